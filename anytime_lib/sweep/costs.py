"""What does a token cost, and may the next call still be paid for?"""

import asyncio
import datetime
import logging
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import yaml
from pydantic import StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass

from anytime_lib.config.groups import LimitsConfig
from anytime_lib.errors import AnytimeError, ConfigError
from anytime_lib.store import Store
from anytime_lib.types import Message, packaged

log = logging.getLogger(__name__)
TOKENS = ["prompt_tokens", "cached_tokens", "completion_tokens"]


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens of one model at one host: of prompts, of completions, of prompts that the provider's
    cache took (None: as of others); the share of these that its Batch API takes; when and where that was listed."""

    model: Annotated[str, StringConstraints(to_lower=True)]
    input: float
    output: float
    cached: float | None = None
    batch: float = 1.0
    host: str = ""
    date: datetime.date | str = ""
    source: str = ""

    def dollars(self, prompt: float, cached: float, completion: float) -> float:
        """The price of so many tokens (numbers or columns of them); cached ones are part of the prompt."""
        cached_price = self.input if self.cached is None else self.cached
        return ((prompt - cached) * self.input + cached * cached_price + completion * self.output) / 1e6


@cache
def load_prices(path: str | None = None) -> tuple[Price, ...]:
    """The price table of a file, or the one that comes with the package; ConfigError where it is none."""
    try:
        rows = packaged("prices.yaml") if path is None else yaml.safe_load(Path(path).read_text("utf-8"))
        return TypeAdapter(tuple[Price, ...]).validate_python(rows)
    except (OSError, yaml.YAMLError, ValueError) as error:
        must = "list model, input and output, in dollars per million tokens, as anytime_lib/data/prices.yaml does"
        raise ConfigError(f"cannot read the prices in {path!r} ({type(error).__name__}): it must {must}") from None


def price_of(model: str, endpoint: str, prices: str | None = None) -> Price | None:
    """The price of a model (whose name may have a date or a provider's prefix) at an endpoint, by `load_prices`; None
    where it has none. The embedded model and the simulated respondent cost nothing."""
    if endpoint in ("embedded", "simulated"):
        return Price(endpoint, 0.0, 0.0, source="this machine")
    name = re.sub(r"-\d{4}-\d{2}-\d{2}$|-latest$|:[a-z]+$", "", model.lower())
    found = [price for price in load_prices(prices) if price.model in (name, name.rsplit("/", 1)[-1])]
    host = urlsplit(endpoint).hostname or ""
    own = next((p for p in found if p.host and host.endswith(p.host)), None)
    return own or next((replace(p, batch=1.0) if p.host else p for p in found), None)  # another host's Batch API


def billed(store: Store, prices: str | None = None) -> pd.DataFrame:
    """Every attempt that was billed, or (status `unconfirmed`) may have been: the columns of `Store.attempts`, and
    `dollars` by a file of prices (None: the package's own dated table), NaN where no price is known."""
    rows = store.attempts()
    rows = rows[(rows[TOKENS].sum(axis=1) > 0) & (rows.kind != "recorded")]
    dollars = pd.Series(np.nan, index=rows.index)
    for (model, endpoint), own in rows.groupby(["model", "endpoint"], sort=False):
        if price := price_of(str(model), str(endpoint), prices):
            share = np.where(own.status == "batch", price.batch, 1.0)
            dollars[own.index] = price.dollars(*(own[name] * share for name in TOKENS))  # type: ignore[arg-type]
    return rows.assign(dollars=dollars)


class SpendCapReached(AnytimeError):
    """The next call could break the cap on spending, so it was not made."""


class SpendLimit:
    """The account of a run: what was spent and what is in flight, at worst, stay below its caps.

    Args:
        price: of the model; None if unknown, and then a cap in dollars is a ConfigError.
        caps: on the run's whole store: (tokens of prompts and completions, dollars), None: none.
        spent: what that store has been charged for already: (tokens, dollars).
    """

    def __init__(
        self, price: Price | None, caps: tuple[int | None, float | None], spent: tuple[float, float] = (0, 0)
    ) -> None:
        if caps[1] is not None and price is None:
            why = "spend_cap_dollars needs a price, and none is known for this model"
            raise ConfigError(f"{why}; name a file with its price in `prices`, or set spend_cap_tokens")
        self.price, self.spent, self._reserved = price, np.array(spent, float), np.zeros(2)
        self._caps = np.array([np.inf if cap is None else cap for cap in caps])
        self._in_flight, self._closed, self._settled = 0, False, asyncio.Event()
        self._times = 1.0  # `max_tokens`: what a server bills

    def worst(self, messages: list[Message], max_tokens: int) -> dict[str, int]:
        """The most that a try may be billed, in tokens."""
        size = sum(len(m["content"].encode()) for m in messages)
        prompt = math.ceil(size / 3) + 8 * len(messages)  # on the high side: prose takes about 4 bytes a token
        return {"prompt_tokens": prompt, "completion_tokens": math.ceil(max_tokens * self._times)}

    @asynccontextmanager
    async def reserve(self, messages: list[Message], max_tokens: int) -> AsyncIterator[dict[str, Any]]:
        """Make one try of a call inside: entered when the caps allow the worst it can cost, charged when left for the
        usage put into what it yields. What does not fit waits for those in flight; SpendCapReached if none is."""
        worst = self._cost(self.worst(messages, max_tokens))
        while self._closed or (self.spent + self._reserved + worst > self._caps + 1e-9).any():
            if self._closed or not self._in_flight:
                self._closed = True  # nobody sends what the end of the run would cut off
                named = zip(("spend_cap_tokens ({:,.0f})", "spend_cap_dollars ({:.2f})"), self._caps, strict=True)
                caps = " and ".join(name.format(cap) for name, cap in named if cap < np.inf)
                spent = f"{self.spent[0]:,.0f} tokens" + (f" (${self.spent[1]:.4f})" if self.price else "")
                why = f"stopped before a call that could break {caps}: {spent} spent so far, all of it stored"
                raise SpendCapReached(f"{why}; raise the cap and run again to go on from here")
            self._settled.clear()
            await self._settled.wait()
        self._in_flight += 1
        self._reserved += worst
        usage: dict[str, Any] = {}
        try:
            yield usage
        finally:
            self._in_flight -= 1
            self._reserved -= worst
            self.spent += self._cost(usage)
            if (billed := usage.get("completion_tokens") or 0) > 1.5 * max_tokens + 16:
                if self._times == 1:  # said once
                    log.warning("the server bills %d tokens for a reply of %d at most", billed, max_tokens)
                self._times = max(self._times, min(billed / max_tokens, 4))  # a verdict's few say little of a trace's
            self._settled.set()

    def _cost(self, usage: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """Tokens and dollars of one try."""
        prompt, cached, completion = (usage.get(name) or 0 for name in TOKENS)
        return np.array([prompt + completion, self.price.dollars(prompt, cached, completion) if self.price else 0.0])


def spend_limit_of(limits: LimitsConfig, store: Store, model: str, endpoint: str) -> SpendLimit:
    """A run's account: its caps, and what its store has been charged for so far (looked up where there is a cap)."""
    price, caps = price_of(model, endpoint, limits.prices), (limits.spend_cap_tokens, limits.spend_cap_dollars)
    if caps == (None, None):
        return SpendLimit(price, caps)
    rows = billed(store, limits.prices)
    return SpendLimit(price, caps, (rows.tokens.sum(), rows.dollars.sum()))
