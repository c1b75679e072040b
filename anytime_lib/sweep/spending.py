"""May the next call still be paid for, and what has been spent so far?"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from anytime_lib.errors import AnytimeError, ConfigError
from anytime_lib.sweep.prices import Price
from anytime_lib.types import Message


class SpendCapReached(AnytimeError):
    """The next call could break the cap on spending, so it was not made."""


class Reservation:
    """One try's usage, filled in by whoever makes the call; what is not filled in costs nothing."""

    usage: Mapping[str, Any] = {}


class SpendLimit:
    """The account of a run, with an optional cap.

    Every try of a call reserves the worst that it can cost (its prompt, estimated on the high side, and all of
    `max_tokens`) and settles for what it did cost, whatever came of it. A try that does not fit waits for those in
    flight to settle; when none is left and it still does not fit, the run stops, with nothing in flight that was paid
    for and not stored.

    Args:
        price: of the model; None if unknown.
        cap_tokens, cap_dollars: on prompt and completion together, over the run's whole store.
        tokens, dollars: what the store has been charged for already.

    Raises:
        ConfigError: a cap in dollars on a model without a price.
    """

    def __init__(
        self, price: Price | None, *, cap_tokens: int | None = None, cap_dollars: float | None = None,
        tokens: int = 0, dollars: float = 0.0,
    ) -> None:  # fmt: skip
        if cap_dollars is not None and price is None:
            raise ConfigError(
                "spend_cap_dollars needs a price, and none is known for this model; name a file with its price in "
                "`prices`, or set spend_cap_tokens"
            )
        self.price, self.cap_tokens, self.cap_dollars = price, cap_tokens, cap_dollars
        self.tokens, self.dollars = tokens, dollars
        self._held_tokens = 0
        self._held_dollars = 0.0
        self._settled = asyncio.Event()
        self._closed = False
        self._tokens_per_byte = 1 / 3  # above what prose takes (about 1/4); raised to the highest seen

    def prompt_tokens(self, messages: list[Message]) -> int:
        """An estimate of a prompt's tokens, on the high side."""
        return math.ceil(_size(messages) * self._tokens_per_byte) + 8 * len(messages)

    @asynccontextmanager
    async def reserve(self, messages: list[Message], max_tokens: int) -> AsyncIterator[Reservation]:
        """Make one try of a call inside: entered when the cap allows it, settled for the bill when left.

        Raises:
            SpendCapReached: it does not, and never will.
        """
        prompt = self.prompt_tokens(messages)
        tokens = prompt + max_tokens
        dollars = self.price.dollars(prompt, 0, max_tokens) if self.price else 0.0
        while self._closed or not self._fits(tokens, dollars):
            if self._closed or not self._held_tokens:
                self._closed = True  # nobody sends what the end of the run would cut off
                raise SpendCapReached(self._sentence())
            self._settled.clear()
            await self._settled.wait()
        self._held_tokens += tokens
        self._held_dollars += dollars
        bill = Reservation()
        try:
            yield bill
        finally:
            self._held_tokens -= tokens
            self._held_dollars -= dollars
            used, size = bill.usage.get("prompt_tokens") or 0, _size(messages)
            self._tokens_per_byte = max(self._tokens_per_byte, (used - 8 * len(messages)) / max(size, 1))
            self.tokens += used + (bill.usage.get("completion_tokens") or 0)
            self.dollars += self.price.of(bill.usage) if self.price else 0.0
            self._settled.set()

    def _fits(self, tokens: int, dollars: float) -> bool:
        within_tokens = self.cap_tokens is None or self.tokens + self._held_tokens + tokens <= self.cap_tokens
        within = self.cap_dollars is None or self.dollars + self._held_dollars + dollars <= self.cap_dollars + 1e-9
        return within_tokens and within

    def _sentence(self) -> str:
        caps = {"spend_cap_tokens": self.cap_tokens and f"{self.cap_tokens:,}",
                "spend_cap_dollars": self.cap_dollars is not None and f"{self.cap_dollars:.2f}"}  # fmt: skip
        told = " and ".join(f"{name} ({value})" for name, value in caps.items() if value)
        spent = f"{self.tokens:,} tokens" + (f" (${self.dollars:.4f})" if self.price else "")
        return (
            f"stopped before a call that could break {told}: {spent} spent so far, all of it stored; raise the cap "
            "and run again to go on from here"
        )


def _size(messages: list[Message]) -> int:
    return sum(len(m["content"].encode()) for m in messages)
