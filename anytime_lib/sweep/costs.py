"""What does a token cost, what was paid, and may the next call still be paid for?"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import yaml

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, ConfigError
from anytime_lib.methods.search import Searching
from anytime_lib.registry import load_method, method_names
from anytime_lib.store import Store
from anytime_lib.types import Message, digest

TOKENS = ["prompt_tokens", "cached_tokens", "completion_tokens"]


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens of one model at one host.

    Attributes:
        input, cached, output: of prompt tokens, of those that the provider's cache took, of completion tokens.
        date, source: when and where that was listed.
    """

    model: str
    host: str
    input: float
    output: float
    cached: float
    date: str
    source: str

    def dollars(self, prompt: float, cached: float, completion: float) -> float:
        """The price of so many tokens (numbers or columns of them); cached ones are part of the prompt."""
        return ((prompt - cached) * self.input + cached * self.cached + completion * self.output) / 1e6

    def of(self, usage: Mapping[str, Any]) -> float:
        """The price of one request's usage."""
        return self.dollars(*(usage.get(name) or 0 for name in TOKENS))


@cache
def load_prices(path: str | None = None) -> tuple[Price, ...]:
    """The price table: a file's, or the one that comes with the package.

    Raises:
        ConfigError: the file cannot be read or an entry lacks a price.
    """
    try:
        raw = (files("anytime_lib") / "data" / "prices.yaml" if path is None else Path(path)).read_text("utf-8")
        return tuple(
            Price(str(e["model"]).lower(), str(e.get("host", "")), float(e["input"]), float(e["output"]),
                  float(e.get("cached", e["input"])), str(e.get("date", "")), str(e.get("source", "")))
            for e in yaml.safe_load(raw)
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"cannot read the prices in {path!r}: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(
            f"{path} must list prices in the form of anytime_lib/data/prices.yaml: model, input and output in dollars "
            "per million tokens"
        ) from None


def price_of(model: str, endpoint: str, table: tuple[Price, ...] | None = None) -> Price | None:
    """The price of a model at an endpoint; None where the table has none.

    A dated name counts as the model it dates, a provider's prefix as its model. The embedded model and the
    simulated respondent cost nothing.
    """
    if endpoint in ("embedded", "simulated"):
        return Price("embedded", "", 0.0, 0.0, 0.0, "", "this machine")
    name = re.sub(r"-\d{4}-\d{2}-\d{2}$|-latest$|:[a-z]+$", "", model.lower())
    found = [p for p in (load_prices() if table is None else table) if p.model in (name, name.rsplit("/", 1)[-1])]
    host = urlsplit(endpoint).hostname or ""
    return next((p for p in found if p.host and host.endswith(p.host)), found[0] if found else None)


def billed(store: Store, prices: str | None = None) -> pd.DataFrame:
    """Every attempt that was billed: the columns of `Store.attempts`, and `dollars` by a file of prices (None: the
    package's own dated table), NaN where no price is known."""
    rows = store.attempts()
    rows = rows[(rows[TOKENS].sum(axis=1) > 0) & (rows.kind != "recorded")]
    dollars = pd.Series(float("nan"), index=rows.index)
    for (model, endpoint), own in rows.groupby(["model", "endpoint"], sort=False):
        if price := price_of(str(model), str(endpoint), load_prices(prices)):
            dollars[own.index] = price.dollars(*(own[name] for name in TOKENS))  # type: ignore[arg-type]
    return rows.assign(dollars=dollars)


def ledger_table(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What a run was billed, by task, method and kind.

    Kinds: `trace` (reasoning), `answer`, `synthesis` (attempts at the pool, and their answers), `judge` (verdicts),
    `value` (of a thought), `explain` and `principle` (of LEAP), whatever a method of the user's own names, `probe`,
    and `retry`: whatever was billed for requests that came to nothing or had to be asked again.

    Returns:
        One row per (task, method, kind): requests, prompt_tokens (cached ones included), cached_tokens,
        completion_tokens, seconds (summed over requests), dollars (NaN where no price is known), share (of all tokens)
        and dollars_per_million (of prompt and completion tokens together).
    """
    rows = billed(store, prices)
    counted = ~rows.duplicated("key", keep="last") & (rows.status == "ok")
    attempts = (rows.method == "synthesis") & rows.kind.isin(["trace", "answer"])
    rows["kind"] = rows.kind.mask(attempts, "synthesis").where(counted, "retry")
    groups = rows.groupby(["task", "method", "kind"], sort=False)
    table = groups.size().to_frame("requests").join(groups[[*TOKENS, "seconds"]].sum())
    table["dollars"] = groups["dollars"].sum(min_count=1)
    whole = table.prompt_tokens + table.completion_tokens
    table["share"] = whole / max(whole.sum(), 1)
    table["dollars_per_million"] = 1e6 * table.dollars / whole
    return table.reset_index()


def ledger_summary(table: pd.DataFrame) -> str:
    """One sentence on a `ledger_table`: tokens, how much of them is reasoning, the caches' share, dollars."""
    prompt, cached, completion = (int(table[name].sum()) for name in TOKENS)
    reasoning = int(table[table.kind == "trace"].completion_tokens.sum())
    dollars = table.dollars.sum(min_count=1)
    told = f", ${dollars:.4f} (${1e6 * dollars / max(prompt + completion, 1):.3f} per million)" if dollars > 0 else ""
    return (
        f"{prompt + completion:,} tokens: {prompt:,} of prompts ({cached / max(prompt, 1):.0%} from caches), "
        f"{completion:,} written, {reasoning:,} of them reasoning ({reasoning / max(completion, 1):.0%}){told}"
    )


def against_fresh(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What the curves cost, and what they would have cost with a run of its own for every budget.

    A fresh run at budget b would have written min(b, length) tokens of reasoning on the trace's own prompt, and its
    answer would have been asked for as it was; both are read off the stored cells. Cached prompt tokens are taken as
    they came, for the fresh runs in the same proportion.

    Returns:
        One row per (task, method), but for those that search (their traces are not one reasoning cut at every budget):
        reasoning_tokens, prompt_tokens, total (answers included) and dollars (NaN where no price is known), the same
        of fresh runs (fresh_...), and ratio (total / fresh_total).
    """
    usage = store.requests().set_index("key")
    cells = store.cells().dropna(subset=["trace_key", "answer_key"])
    known = {name for name in method_names() if not isinstance(load_method(name), Searching)} - {"imported"}
    rows = []
    for (task, method), arm in cells[cells.method.isin(known)].groupby(["task", "method"], sort=False):
        traces, answers = usage.loc[arm.trace_key], usage.loc[arm.answer_key]
        apart = (arm.trace_key != arm.answer_key).to_numpy()  # a fresh run may have answered within its trace
        once = usage.loc[arm.trace_key.unique(), TOKENS].sum()
        cut = once + usage.loc[arm.answer_key[apart].unique(), TOKENS].sum()
        fresh = traces[TOKENS].sum() + answers.loc[apart, TOKENS].sum()
        fresh["completion_tokens"] += arm.tokens_used.sum() - traces.completion_tokens.sum()
        row: dict[str, Any] = {"task": task, "method": method}
        price = price_of(str(traces.model.iloc[0]), str(traces.endpoint.iloc[0]), load_prices(prices))
        for prefix, reasoning, spent in (("", once.completion_tokens, cut), ("fresh_", arm.tokens_used.sum(), fresh)):
            row |= {
                f"{prefix}reasoning_tokens": reasoning,
                f"{prefix}prompt_tokens": spent.prompt_tokens,
                f"{prefix}total": spent.prompt_tokens + spent.completion_tokens,
                f"{prefix}dollars": price.dollars(*spent[TOKENS]) if price else float("nan"),
            }
        rows.append(row | {"ratio": row["total"] / max(row["fresh_total"], 1)})
    return pd.DataFrame(rows)


def trace_hashes(store: Store) -> pd.Series:
    """A hash of every stored trace's reasoning by its trace_key, by which identical traces are known."""
    rows = {key: store.get(key) or {} for key in store.cells().trace_key.dropna().unique()}
    texts = pd.Series({key: row.get("reasoning") or row.get("text") for key, row in rows.items()}, dtype=object)
    return texts[texts.astype(bool)].map(digest)


def identical_traces(store: Store) -> pd.DataFrame:
    """How many traces are word for word another sample of their problem: a sign that a server ignores the seed.

    Returns:
        One row per (task, method): traces, identical (beyond the first of each text) and rate.
    """
    cells = store.cells().dropna(subset="trace_key").sort_values("budget")
    traces = cells.drop_duplicates(["task", "method", "problem_id", "sample"], keep="last")
    traces = traces.assign(text=traces.trace_key.map(trace_hashes(store)))
    traces["identical"] = traces.duplicated(["task", "method", "problem_id", "text"])
    counts = traces.groupby(["task", "method"], sort=False).identical.agg(traces="size", identical="sum", rate="mean")
    return counts.reset_index()


class SpendCapReached(AnytimeError):
    """The next call could break the cap on spending, so it was not made."""


class Reservation:
    """One try's usage, filled in by whoever makes the call; what is not filled in costs nothing."""

    usage: Mapping[str, Any] = {}


class SpendLimit:
    """The account of a run, with an optional cap: what was spent and what is in flight, at worst, stay below it.

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
        self.price, self.tokens, self.dollars = price, tokens, dollars
        self._caps = (math.inf if cap_tokens is None else cap_tokens, math.inf if cap_dollars is None else cap_dollars)
        self._in_flight: list[tuple[int, float]] = []
        self._settled = asyncio.Event()
        self._closed = False

    @asynccontextmanager
    async def reserve(self, messages: list[Message], max_tokens: int) -> AsyncIterator[Reservation]:
        """Make one try of a call inside: entered when the cap allows the worst that it can cost, charged for what it
        did cost when left. A try that does not fit waits for those in flight.

        Raises:
            SpendCapReached: it does not fit, and nothing is in flight any more.
        """
        size = sum(len(m["content"].encode()) for m in messages)
        prompt = math.ceil(size / 3) + 8 * len(messages)  # on the high side: prose takes about 4 bytes a token
        worst = self._cost({"prompt_tokens": prompt, "completion_tokens": max_tokens})
        while self._closed or not self._fits(worst):
            if self._closed or not self._in_flight:
                self._closed = True  # nobody sends what the end of the run would cut off
                raise SpendCapReached(self._sentence())
            self._settled.clear()
            await self._settled.wait()
        self._in_flight.append(worst)
        reservation = Reservation()
        try:
            yield reservation
        finally:
            self._in_flight.remove(worst)
            tokens, dollars = self._cost(reservation.usage)
            self.tokens += tokens
            self.dollars += dollars
            self._settled.set()

    def _cost(self, usage: Mapping[str, Any]) -> tuple[int, float]:
        """Tokens and dollars of one try."""
        tokens = (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)
        return tokens, self.price.of(usage) if self.price else 0.0

    def _fits(self, worst: tuple[int, float]) -> bool:
        tokens, dollars = map(sum, zip((self.tokens, self.dollars), worst, *self._in_flight, strict=True))
        return tokens <= self._caps[0] and dollars <= self._caps[1] + 1e-9

    def _sentence(self) -> str:
        names = (f"spend_cap_tokens ({self._caps[0]:,})", f"spend_cap_dollars ({self._caps[1]:.2f})")
        caps = " and ".join(name for name, cap in zip(names, self._caps, strict=True) if cap < math.inf)
        spent = f"{self.tokens:,} tokens" + (f" (${self.dollars:.4f})" if self.price else "")
        return (
            f"stopped before a call that could break {caps}: {spent} spent so far, all of it stored; raise the cap and "
            "run again to go on from here"
        )


def spend_limit_of(config: RunConfig, store: Store, model: str, endpoint: str) -> SpendLimit:
    """A run's account: its caps, and what its store has been charged for so far (looked up where there is a cap)."""
    limits = config.limits
    price, tokens, dollars = price_of(model, endpoint, load_prices(limits.prices)), 0, 0.0
    if limits.spend_cap_tokens is not None or limits.spend_cap_dollars is not None:
        rows = billed(store, limits.prices)
        tokens, dollars = int(rows.tokens.sum()), float(rows.dollars.sum())
    return SpendLimit(price, cap_tokens=limits.spend_cap_tokens, cap_dollars=limits.spend_cap_dollars, tokens=tokens,
                      dollars=dollars)  # fmt: skip
