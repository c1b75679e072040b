"""What will a run cost, how long will it take, and what could it find out? Nothing is sent.

The run itself is gone through, by the same engine and methods, with an asker that reads the store and makes up a reply
for whatever is not there: once with replies as long as they may be, once with short ones.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from zlib import crc32

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.models.limiter import Limiter
from anytime_lib.stats import min_detectable_effect
from anytime_lib.store import Store
from anytime_lib.studies.held_out import held_out_arms
from anytime_lib.studies.rereading import Named, named
from anytime_lib.sweep.client import NOT_TOKENISED, CachedClient, Tokenised, tokens_key
from anytime_lib.sweep.ledger import attempts
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.prices import Price, load_prices, price_of
from anytime_lib.sweep.progress import Progress
from anytime_lib.sweep.run import Run, first_error, run_arms, run_async
from anytime_lib.tasks.base import Task
from anytime_lib.types import Grade, Message, Problem, digest

EARLY = 0.25
"""The share of its cap that a reply takes in the low estimate, where no stored trace tells better."""
LOW, HIGH = 1 / 5, 1 / 3
"""Tokens per byte of a prompt, in the low and the high estimate; prose takes about a quarter."""
MADE_UP = "\x00"
"""What every made-up reply begins with: no request that holds one can be stored."""


@dataclass
class _Tally:
    """Calls of one (task, method, kind), and their tokens."""

    calls: int = 0
    prompt: float = 0.0
    cached: float = 0.0
    output: float = 0.0


class _Pretender(CachedClient):
    """An asker that asks nobody.

    Args:
        high: replies run to their caps; else traces are as long as `lengths` says of their (task, method), and all
            else takes a quarter of its cap.

    Attributes:
        tally: calls that the store does not know, by (task, method, kind).
        known: keys of those that it does.
        lengths: tokens of the stored traces, by (task, method).
    """

    def __init__(self, config: RunConfig, store: Store | None, model: Named, meter: Progress, high: bool,
                 lengths: dict[tuple[str, str], list[int]]) -> None:  # fmt: skip
        super().__init__(config, store, model, meter)  # type: ignore[arg-type]
        self.high, self.lengths = high, lengths
        self.tally: dict[tuple[str, str, str], _Tally] = defaultdict(_Tally)
        self.known: set[str] = set()
        self._asked: set[int] = set()
        self._prefixes: set[int] = set()

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int
    ) -> tuple[str, dict[str, Any]]:
        messages, most = request["messages"], request["max_tokens"]
        made_up = any(MADE_UP in m["content"] for m in messages)
        if self.store and not made_up:
            key, _ = self._keyed(kind, request, sample)
            if (row := self.store.get(key)) is not None:
                if kind == "trace" and key not in self.known:
                    self.lengths[task, method].append(len(row["ends"] or ()) or row["completion_tokens"])
                self.known.add(key)
                return key, row
        length = most
        if not self.high:
            stored = self.lengths.get((task, method)) if kind == "trace" else None
            length = min(most, max(1, round(sum(stored) / len(stored) if stored else EARLY * most)))
        # What is made up may come out alike where what will be said does not: then methods share nothing.
        about = (method if made_up else "", kind, str(sample), str(most), *(m["content"] for m in messages))
        if (whole := hash(about)) not in self._asked:
            self._asked.add(whole)
            self._count(self.tally[task, "synthesis" if method == "synthesis" else method, _kind(kind, method)],
                        messages, length)  # fmt: skip
        number = crc32("\n".join(about).encode())  # unlike `hash`, the same in every session
        verdict = number if kind == "judge" else 0  # a valuation favours nobody
        return f"{MADE_UP}{number:x}", _reply(number, verdict, length, length < most, 3 if self.high else 5)

    def _count(self, tally: _Tally, messages: Sequence[Message], length: int) -> None:
        """One call. A prefix cache takes the messages that an earlier call began with, and the turn it wrote."""
        prefix, seen, size = 0, 0, 0
        for i, message in enumerate(messages):
            before = size
            size += len(message["content"].encode()) + 24
            prefix = hash((prefix, message["role"], message["content"]))
            if prefix in self._prefixes or (message["role"] == "assistant" and i and seen == before):
                seen = size
            self._prefixes.add(prefix)
        tally.calls += 1
        tally.prompt += size * (HIGH if self.high else LOW)
        tally.cached += seen * LOW
        tally.output += length

    async def _known_to_hide(self, request: dict[str, Any], sample: int) -> bool:
        return False  # a probe would ask

    async def _tokenised(self, trace_key: str, text: str, task: str, method: str) -> Tokenised:
        return (self.store.get(tokens_key(trace_key)) if self.store else None) or NOT_TOKENISED


def _kind(kind: str, method: str) -> str:
    return "synthesis" if method == "synthesis" and kind in ("trace", "answer") else kind


def _reply(number: int, verdict: int, tokens: int, stopped: bool, per_token: int) -> dict[str, Any]:
    """A made-up reply of so many tokens; another number is another text, another verdict another preference."""
    odds = {"AB"[verdict % 2]: -0.1 - verdict % 97 / 100, "BA"[verdict % 2]: -3.0}
    head = f"{MADE_UP}{number:08x} "
    return {"text": head + _filler(tokens * per_token), "reasoning": "", "reasoning_tokens": 0, "prompt_tokens": 0,
            "cached_tokens": 0, "completion_tokens": tokens, "ends": _ends(len(head), tokens, per_token),
            "first": odds, "finish_reason": "stop" if stopped else "length"}  # fmt: skip


@lru_cache(256)
def _filler(size: int) -> str:
    return ("thought " * (size // 8 + 1))[:size]


@lru_cache(256)
def _ends(head: int, tokens: int, per_token: int) -> list[int]:
    return [head + per_token * i for i in range(1, tokens + 1)]


class _Ungraded:
    """A task that takes a made-up answer for one that can be read and is wrong, as good as its number says."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._task, name)
        if name == "verify" and found:
            return lambda problem, text: self._score(text) if MADE_UP in text else found(problem, text)
        return found

    def _score(self, text: str) -> float:
        return int(digest(text)[:8], 16) / 2**33

    def grade(self, problem: Problem, text: str) -> Grade:
        if MADE_UP in text:
            return Grade(self._score(text), False, "ok")
        return self._task.grade(problem, text)


class _Nothing:
    """Keeps nothing of what a run would store."""

    def add_problems(self, problems: Iterable[Problem]) -> None: ...

    def put(self, cells: Sequence[dict[str, Any]]) -> None: ...


@dataclass(frozen=True)
class Estimate:
    """A run's plan in numbers.

    Attributes:
        table: one row per (task, method, kind): calls still to be made if replies run to their caps, prompt_low,
            prompt_high, cached_up_to (prompt tokens that a prefix cache can take), output_low, output_high,
            dollars_low, dollars_high.
        stored: requests of the plan that the store has already.
        price: of the model; None if the table has none.
        seconds: (low, high) of the time it takes; None where no rate is known.
        detectable: task -> smallest difference between two arms that the design finds with a power of .8.
        problems: task -> problems under test.
    """

    table: pd.DataFrame
    model: str
    stored: int
    price: Price | None
    seconds: tuple[float, float] | None
    detectable: dict[str, float]
    problems: dict[str, int]

    def summary(self) -> str:
        """What the table comes to, a line each on calls, tokens, dollars, time and what could be found."""
        t = self.table
        total = {name: float(t[name].sum()) for name in t.columns[3:]}
        lines = [
            f"{int(total['calls']):,} calls to make ({self.stored:,} of the plan are stored already)",
            f"prompt tokens {_span(total['prompt_low'], total['prompt_high'])}, up to {total['cached_up_to']:,.0f} of "
            f"them from a prefix cache; output tokens {_span(total['output_low'], total['output_high'])}",
        ]
        if self.price is None:
            lines.append(f"dollars: no price is known for {self.model!r}; name a file with it in `prices`")
        elif self.price.input or self.price.output:
            where = f"price of {self.price.model} at {self.price.host or 'its host'}, {self.price.date or 'undated'}"
            lines.append(f"dollars {total['dollars_low']:.2f} to {total['dollars_high']:.2f} ({where})")
        if self.seconds:
            lines.append(f"time {_clock(self.seconds[0])} to {_clock(self.seconds[1])}")
        else:
            lines.append("time: no rate is known; give --tokens-per-second, of one request")
        lines += [
            f"{task}: differences of about {d:.3f} between two arms would be found (power .8, two-sided .05)"
            if d <= 1 else  # NaN, or more than qualities can differ by
            f"{task}: none could be found with n = {self.problems[task]} (power .8, two-sided .05); take more problems"
            for task, d in self.detectable.items()
        ]  # fmt: skip
        return "\n".join(lines)


def estimate_run(config: RunConfig, *, tokens_per_second: float | None = None) -> Estimate:
    """Count what a sweep, and the settling test if there is one, would ask that the store does not have.

    High: every reply runs to its cap, nothing is cached, prompts take a token every three bytes. Low: traces are as
    long as the stored ones of that arm were (a quarter of the cap where there are none), a prefix cache takes what it
    can, prompts take a token every five bytes.

    Args:
        tokens_per_second: of one request, for the time; None: as measured on the stored ones.
    """
    path = config.folder / "store.sqlite"
    store = Store(path) if path.is_file() else None
    try:
        model = named(config, store)
        held_out = held_out_arms(config) if config.held_out and config.held_out.pool_task in config.tasks else []
        arms = [replace(arm, task=_Ungraded(arm.task)) for arm in [*plan(config, store), *held_out]]
        lengths: dict[tuple[str, str], list[int]] = defaultdict(list)
        high = _gone_through(config, store, model, arms, True, lengths)
        low = _gone_through(config, store, model, arms, False, lengths)
        price = price_of(model.name, model.endpoint_id, load_prices(config.limits.prices))
        rates = _rates(store, model, tokens_per_second)
    finally:
        if store:
            store.close()
    table = _table(low.tally, high.tally, price)
    detectable = {name: min_detectable_effect(config.task(name).n_problems, config.n_samples) for name in config.tasks}
    problems = {name: config.task(name).n_problems for name in config.tasks}
    seconds = _seconds(table, rates, config.endpoint.concurrency)
    return Estimate(table, model.name, len(high.known), price, seconds, detectable, problems)


def _gone_through(
    config: RunConfig, store: Store | None, model: Named, arms: Sequence[Arm], high: bool,
    lengths: dict[tuple[str, str], list[int]],
) -> _Pretender:  # fmt: skip
    """The run, gone through without asking anybody."""
    meter, nothing = Progress("", 0, False), _Nothing()
    client = _Pretender(config, store, model, meter, high, lengths)

    async def whole() -> None:
        run = Run(config, nothing, client, Limiter(1), meter, nothing, keeps=False)  # type: ignore[arg-type]
        await first_error(run_arms(run, arms))

    with _quiet():
        run_async(whole())
    meter.close()
    return client


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that happens in a pretended run is news."""
    log = logging.getLogger("anytime_lib")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _rates(store: Store | None, model: Named, told: float | None) -> dict[str, float]:
    """Output tokens per second of one request, by kind: as told, else as measured on what is stored."""
    if told:
        return {"": told}
    rows = attempts(store) if store else pd.DataFrame()
    if rows.empty:
        return {}
    rows = rows[(rows.model == model.name) & (rows.endpoint == model.endpoint_id) & (rows.seconds > 0)]
    sums = rows.groupby("kind")[["completion_tokens", "seconds"]].sum()
    rates = {str(kind): float(r.completion_tokens / r.seconds) for kind, r in sums.iterrows() if r.completion_tokens}
    if len(rows):
        rates[""] = max(1e-9, float(rows.completion_tokens.sum() / rows.seconds.sum()))
    return rates


def _seconds(table: pd.DataFrame, rates: dict[str, float], slots: int) -> tuple[float, float] | None:
    if not rates:
        return None
    per_second = table.kind.map(lambda kind: rates.get(kind, rates[""]))
    low, high = ((table[name] / per_second).sum() / slots for name in ("output_low", "output_high"))
    return float(low), float(high)


def _table(
    low: dict[tuple[str, str, str], _Tally], high: dict[tuple[str, str, str], _Tally], price: Price | None
) -> pd.DataFrame:
    rows = []
    for place in high:
        most, least = high[place], low.get(place, _Tally())
        row: dict[str, Any] = dict(zip(("task", "method", "kind"), place, strict=True)) | {
            "calls": most.calls, "prompt_low": min(least.prompt, most.prompt), "prompt_high": most.prompt,
            "cached_up_to": min(least.cached, least.prompt, most.prompt),
            "output_low": min(least.output, most.output), "output_high": max(least.output, most.output),
        }  # fmt: skip
        row["dollars_low"], row["dollars_high"] = float("nan"), float("nan")
        if price:
            row["dollars_low"] = price.dollars(row["prompt_low"], row["cached_up_to"], row["output_low"])
            row["dollars_high"] = price.dollars(row["prompt_high"], 0, row["output_high"])
        rows.append(row)
    names = ["task", "method", "kind", "calls", "prompt_low", "prompt_high", "cached_up_to", "output_low",
             "output_high", "dollars_low", "dollars_high"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _span(low: float, high: float) -> str:
    return f"{low:,.0f} to {high:,.0f}"


def _clock(seconds: float) -> str:
    """Seconds as a person says them."""
    steps = itertools.takewhile(lambda s: seconds >= s[0], ((0, 1, "s"), (120, 60, "min"), (7200, 3600, "h")))
    _, unit, name = list(steps)[-1]
    return f"{seconds / unit:,.0f} {name}"
