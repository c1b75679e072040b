"""When may a request start, and when is it tried again?

Concurrency starts at the configured maximum, shrinks to four fifths when the server says 429 (once per cool-down, for
the refusals of one burst are one piece of news), grows again while all slots are used, and holds still on a 5xx, which
says nothing about load. A `Retry-After` holds every start back, whoever heard it.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from aiolimiter import AsyncLimiter
from anyio import CapacityLimiter

from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.reply import RetryableError

log = logging.getLogger(__name__)
T = TypeVar("T")
Listener = Callable[[str], None]

SHRINK, COOL_DOWN = 0.8, 15.0  # what a 429 leaves of the slots, and for how many seconds


class Limiter:
    """The limits of one endpoint: `most` requests at once, and where known so many requests and tokens per minute. A
    tenth of either rate may start at once, so that no minute sees more than 1.1 times the limit.

    Attributes:
        slots: one for each request in flight.
    """

    def __init__(
        self, most: int, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self.most = most
        self.slots = CapacityLimiter(most)
        self._requests, self._tokens = _per_minute(requests_per_minute), _per_minute(tokens_per_minute)
        self._not_before = self._calm_until = 0.0
        self._done = 0

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[None]:
        """Hold one slot; entered when there is one and the rates allow a request of so many tokens."""
        async with self.slots:
            for rate, amount in ((self._requests, 1.0), (self._tokens, float(tokens))):
                while rate and amount > 0:  # an amount larger than the burst is taken in parts
                    part = min(amount, rate.max_rate)
                    await rate.acquire(part)
                    amount -= part
            while (wait := self._not_before - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - may grow
                await asyncio.sleep(wait)
            yield

    def succeeded(self) -> None:
        """A request was answered; told while its slot is held. When as many were as there are slots, with all of them
        taken, there are a twentieth of the maximum more."""
        width = int(self.slots.total_tokens)
        self._done = self._done + 1 if self.slots.available_tokens <= 0 else 0
        if self._done >= width and asyncio.get_running_loop().time() >= self._calm_until:
            self._done = 0
            self.slots.total_tokens = min(self.most, width + max(1, self.most // 20))

    def rate_limited(self, retry_after: float | None = None) -> None:
        """The server said 429; nobody starts before `retry_after` seconds have passed."""
        now, wait = asyncio.get_running_loop().time(), retry_after or 0.0
        self._not_before = max(self._not_before, now + wait)
        self._done = 0
        if now >= self._calm_until:
            self.slots.total_tokens = max(1, int(self.slots.total_tokens * SHRINK))
            self._calm_until = now + max(COOL_DOWN, wait)


def _per_minute(rate: float | None) -> AsyncLimiter | None:
    burst = max(1.0, (rate or 0.0) / 10)
    return AsyncLimiter(burst, 60 * burst / rate) if rate else None


@dataclass(frozen=True)
class Timeouts:
    """How long an endpoint is waited for, in seconds, and how often it is asked again."""

    connect: float = 10.0
    first_token: float = 300.0  # and for each sign of life after it; servers that queue need minutes
    whole: float = 1800.0
    retries: int = 6  # after the first try, where one fails in a way that may pass
    limited: float = 600.0  # how long one is tried again from its first 429, or wish to wait, however often that is
    backoff: float = 0.5  # the first pause between tries; each is twice the one before, up to `longest`
    longest: float = 30.0  # a `Retry-After` is honoured up to ten times as long


async def retry(
    once: Callable[[], Awaitable[T]], place: str, limits: Timeouts, limiter: Limiter, tell: Listener | None = None
) -> T:
    """What a call of an endpoint (`place`, in messages) returns, in the end; `tell` hears why it is tried again.
    RequestFailed where the call is given up, EndpointError where no try found anybody there."""
    clock = asyncio.get_running_loop().time
    until, tries, failures, reached = float("inf"), 0, 0, False
    while True:
        try:
            return await once()
        except RetryableError as error:
            last = error
        if waiting := last.limited or last.wait is not None:
            until = min(until, clock() + limits.limited)
        tries, failures, reached = tries + 1, failures + (not waiting), reached or not last.unreachable
        too_long = (last.wait or 0.0) > 10 * limits.longest
        if last.limited:  # a day's wait for one does not hold the others back for a day
            limiter.rate_limited(limits.longest if too_long else last.wait)
        if last.final or too_long or failures > limits.retries or (waiting and clock() > until):
            if not reached:
                why = f"no answer from {place} after {tries} tries ({last}); is the server running and at that address?"
                raise EndpointError(f"{why} What was stored is kept: run again to go on")
            advice = f"; the server asks to wait {last.wait:.0f} s: run again after that" if too_long else ""
            raise RequestFailed(f"{last}{advice}{f' ({tries} tries)' if tries > 1 else ''}")
        pause = min(limits.longest, limits.backoff * 2.0 ** (tries - 1)) * (1 + random.random() / 4)
        pause = max(pause, (last.wait or 0.0) + random.random() * limits.backoff)
        count = "it asks to wait" if waiting else f"retry {failures} of {limits.retries}"
        count = "rate limited" if last.limited else count
        log.info("%s: %s; %s, in %.1f s", place, last, count, pause)
        if tell:
            tell(f"{last}; {count}")
        await asyncio.sleep(pause)
