"""What will a run cost, how long will it take, and what could it find out? Nothing is sent."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from anytime_lib.asking import NOT_TOKENISED, Asker, HiddenReasoning, Tokenised, Trace, tokens_key
from anytime_lib.config import RunConfig
from anytime_lib.ledger import attempts
from anytime_lib.methods import Attempt, Preference
from anytime_lib.models import Model
from anytime_lib.models.endpoint import RequestFailed
from anytime_lib.plan import Arm, plan
from anytime_lib.prices import Price, load_prices, price_of
from anytime_lib.records import Message, Problem
from anytime_lib.stats import min_detectable_effect
from anytime_lib.store import Store
from anytime_lib.synthesis import Compared, Synthesis, chosen, compare_on

T = TypeVar("T")
EARLY = 0.25
"""The share of its budget that a trace takes in the low estimate, where no stored trace tells better."""
LOW, HIGH = 1 / 5, 1 / 3
"""Tokens per byte of a prompt, in the low and the high estimate; prose takes about a quarter."""


class NotStored(RequestFailed):
    """The store does not know this request, and an estimate asks nobody."""


_VERDICT: dict[str, Any] = {"text": "A", "first": {}, "reasoning": "", "reasoning_tokens": 0, "finish_reason": "stop"}


@dataclass
class _Tally:
    """Calls of one (task, method, kind), and their tokens (low, high)."""

    calls: int = 0
    prompt: list[float] = field(default_factory=lambda: [0.0, 0.0])
    cached: float = 0.0
    output: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, size: int, extra: tuple[float, float], output: tuple[float, float], cached: float = 0.0) -> None:
        """One call: a prompt of so many bytes and extra tokens, and what it writes; `cached` is of the prompt."""
        self.calls += 1
        for i, per_byte in enumerate((LOW, HIGH)):
            self.prompt[i] += size * per_byte + extra[i]
            self.output[i] += output[i]
        self.cached += cached


@dataclass(frozen=True)
class _Named:
    """What an `Asker` needs to know of a model to form the keys of requests."""

    name: str
    endpoint_id: str


class _Reader(Asker):
    """An asker that only knows what is stored: whatever is not is counted as a call to be made."""

    def __init__(self, config: RunConfig, store: Store | None, model: _Named) -> None:
        super().__init__(config, store, model, None)  # type: ignore[arg-type]
        self.missing: list[tuple[str, str, str, dict[str, Any]]] = []

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int
    ) -> tuple[str, dict[str, Any]]:
        key, _ = self._keyed(kind, request, sample)
        known = self.store.get(key) if self.store else None
        if known is None:
            self.missing.append((kind, task, method, request))
            if kind == "judge":  # both verdicts on a pair are counted; what they say is used by nobody
                return key, _VERDICT
            raise NotStored("not asked yet")
        return key, known

    async def _known_to_hide(self, request: dict[str, Any], sample: int) -> bool:
        return False  # a probe would ask

    async def _tokenised(self, trace_key: str, text: str, task: str, method: str) -> Tokenised:
        return (self.store.get(tokens_key(trace_key)) if self.store else None) or NOT_TOKENISED


@dataclass(frozen=True)
class Estimate:
    """A run's plan in numbers.

    Attributes:
        table: one row per (task, method, kind): calls still to be made, prompt_low, prompt_high, cached_up_to (prompt
            tokens that a prefix cache can take), output_low, output_high, dollars_low, dollars_high.
        stored: requests of the plan that the store has already.
        price: of the model; None if the table has none.
        seconds: (low, high) of the time it takes; None where no rate is known.
        detectable: task -> smallest difference between two arms that the design finds with a power of .8.
    """

    table: pd.DataFrame
    model: str
    stored: int
    price: Price | None
    seconds: tuple[float, float] | None
    detectable: dict[str, float]

    def reading(self) -> str:
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
            for task, d in self.detectable.items() if d == d
        ]  # fmt: skip
        return "\n".join(lines)


def estimate_run(config: RunConfig, *, tokens_per_second: float | None = None) -> Estimate:
    """Count what a sweep would ask that its store does not have.

    High: every trace runs to its budget, nothing is cached, prompts take a token every three bytes. Low: traces are as
    long as the stored ones of that arm were (a quarter of the budget where there are none), a prefix cache takes what
    it can, prompts take a token every five bytes.

    Args:
        tokens_per_second: of one request, for the time; None: as measured on the stored ones.
    """
    path = config.folder / "store.sqlite"
    store = Store(path) if path.is_file() else None
    try:
        model = _model(config, store)
        reader = _Reader(config, store, model)
        tally: dict[tuple[str, str, str], _Tally] = defaultdict(_Tally)
        arms = plan(config, store)
        pools = {a.task.name: _synthesis(reader, a, tally) for a in arms if a.method.needs_preferences}
        asked = 0
        for arm in arms:
            asked += _arm(reader, arm, pools.get(arm.task.name), tally)
        price = price_of(model.name, model.endpoint_id, load_prices(config.prices))
        rates = _rates(store, model, tokens_per_second)
    finally:
        if store:
            store.close()
    table = _table(tally, price)
    detectable = {name: min_detectable_effect(config.at(name).n_problems, config.n_samples) for name in config.tasks}
    stored = max(0, asked - int(table.calls.sum()))
    return Estimate(table, model.name, stored, price, _seconds(table, rates, config.concurrency), detectable)


def _model(config: RunConfig, store: Store | None) -> _Named:
    """The model's name in keys; that of the embedded one is taken from the store, so that no weights are fetched."""
    if config.base_url is None and config.model == "embedded":
        seen = store.requests() if store else pd.DataFrame(columns=["endpoint", "model"])
        names = seen[seen.endpoint == "embedded"].model
        return _Named(str(names.iloc[-1]) if len(names) else "embedded", "embedded")
    model = Model(config)
    return _Named(model.name, model.endpoint_id)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nobody; no event loop, and so no socket, is made for it."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("an estimate waits for nobody")


def _size(messages: Sequence[Message]) -> int:
    return sum(len(m["content"].encode()) + 24 for m in messages)


def _synthesis(reader: _Reader, arm: Arm, tally: dict[tuple[str, str, str], _Tally]) -> tuple[Synthesis | None, int]:
    """The pairs, if all of their requests are stored, and the number of calls that the synthesis takes in all."""
    task, settings, k = arm.task, arm.settings, reader.config.pool_samples
    before, compared, by = len(reader.missing), list[Compared](), reader.config.pairs_by
    for problem in arm.problems.pool:
        known = len(reader.missing)
        compared.append(_at_once(compare_on(reader, task, settings, arm.problems.shots, problem, by)))
        lost = sum(kind in ("trace", "answer") for kind, *_ in reader.missing[known:])
        traces = sum(kind == "trace" for kind, *_ in reader.missing[known:])
        size, budget = _size([{"role": "user", "content": task.question(problem)}]), settings.pool_budget
        here = tally[task.name, "synthesis", "synthesis"]
        for _ in range(traces):  # the answer after a trace that is not there yet
            here.add(size, (EARLY * budget, budget), (settings.answer_tokens / 4, settings.answer_tokens))
        verdicts = (
            k * (k - 1) - (k - lost) * (k - lost - 1) + sum(kind == "judge" for kind, *_ in reader.missing[known:])
        )
        for _ in range(verdicts if by not in ("grader", "verifier") else 0):
            said, why = budget + settings.answer_tokens, reader.config.rationale_tokens
            tally[task.name, "synthesis", "judge"].add(size, (said / 2, 2 * said), (1 + why / 4, 4 + why))
    for kind, _, _, request in reader.missing[before:]:
        if kind in ("trace", "answer"):
            most = request["max_tokens"]
            tally[task.name, "synthesis", "synthesis"].add(_size(request["messages"]), (0, 0), (most / 4, most))
    total = len(arm.problems.pool) * (2 * k + k * (k - 1))
    return (chosen(reader, task, settings, compared, by) if len(reader.missing) == before else None), total


def _arm(
    reader: _Reader, arm: Arm, pool: tuple[Synthesis | None, int] | None, tally: dict[tuple[str, str, str], _Tally]
) -> int:
    """Tally an arm's calls that are not stored; returns how many it takes in all, as far as that can be known."""
    task, method, settings = arm.task, arm.method.name, arm.settings
    preferences: list[Preference] = []
    asked = 0
    if arm.method.needs_preferences and pool:
        asked = pool[1]
        preferences = pool[0].preferences if pool[0] else _stand_ins(arm)
        if not preferences:
            return asked
    cap, budgets = settings.answer_tokens, settings.budgets
    lengths: list[int] = []
    unknown: list[tuple[int, list[int]]] = []  # bytes of the prompt, budgets of the traces to be sampled for it
    answers = tally[task.name, method, "answer"]
    for problem, sample in arm.samples:
        messages = arm.method.messages(task, problem, arm.problems.shots, preferences)
        before, new = len(reader.missing), list[int]()
        for budget, trace in _stored(reader, arm, problem, messages, sample):
            asked += 1
            if trace is None:
                new.append(budget)
                continue
            lengths.append(trace.n_tokens)
            whole = trace.token_mode == "usage"
            cuts = {0: budget} if whole else {trace.used(b): b for b in reversed(budgets)}
            for at in sorted(cuts.values()):
                asked += 1
                with contextlib.suppress(RequestFailed):
                    _at_once(reader.answer(task, method, problem, trace, at, sample, cap))
        for kind, _, _, request in reader.missing[before:]:
            if kind == "answer":
                size = _size(request["messages"])
                answers.add(size, (0, 0), (cap / 4, cap), cached=size * LOW)
        if new:
            unknown.append((_size(messages), new))
            asked += len(budgets) if new == budgets[-1:] else len(new)
    mean = sum(lengths) / len(lengths) if sum(lengths) else EARLY * budgets[-1]
    for size, new in unknown:
        cached = size * LOW
        for budget in new:
            tally[task.name, method, "trace"].add(size, (0, 0), (min(mean, budget), budget))
        for budget in budgets if new == budgets[-1:] and reader.config.mode == "cut" else new:
            answers.add(size, (min(mean, budget), budget), (cap / 4, cap), cached=cached)
            cached = size * LOW + min(mean, budget)
    return asked


def _stored(
    reader: _Reader, arm: Arm, problem: Problem, messages: list[Message], sample: int
) -> Iterator[tuple[int, Trace | None]]:
    """The runs that one sample takes: the budget of each, and its trace, None where it is still to be sampled. Those
    that need no answer turn (their own words are the answer, or they cannot be used) are left out."""
    task, method, budgets = arm.task, arm.method.name, arm.settings.budgets
    try:
        if method == "recorded":
            yield budgets[-1], _at_once(reader.recorded(task, method, problem, messages, sample))
            return
        if reader.config.mode == "cut":
            yield budgets[-1], _at_once(reader.trace(task, method, problem, messages, sample, budgets[-1]))
            return
    except NotStored:
        yield budgets[-1], None
        return
    except HiddenReasoning:
        if method == "recorded":
            return
    except RequestFailed:
        return
    for budget in budgets:
        try:
            run = _at_once(reader.fresh(task, method, problem, messages, sample, budget))
        except NotStored:
            yield budget, None
        except RequestFailed:
            continue
        else:
            if not run.spoken:
                yield budget, run.trace


def _stand_ins(arm: Arm) -> list[Preference]:
    """Pairs of the length that is to be expected, before any is synthesised."""
    filler, answer = "thought " * (arm.settings.pool_budget // 2), "answer " * (arm.settings.answer_tokens // 4)
    made = Attempt(filler, answer, "", "")
    return [Preference(p, made, made, 0.0) for p in arm.problems.pool[: arm.settings.n_pairs]]


def _rates(store: Store | None, model: _Named, told: float | None) -> dict[str, float]:
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


def _table(tally: dict[tuple[str, str, str], _Tally], price: Price | None) -> pd.DataFrame:
    rows = []
    for (task, method, kind), t in tally.items():
        if not t.calls:
            continue
        row: dict[str, Any] = {"task": task, "method": method, "kind": kind, "calls": t.calls,
                               "prompt_low": t.prompt[0], "prompt_high": t.prompt[1],
                               "cached_up_to": min(t.cached, t.prompt[0]), "output_low": t.output[0],
                               "output_high": t.output[1]}  # fmt: skip
        row["dollars_low"] = price.dollars(t.prompt[0], row["cached_up_to"], t.output[0]) if price else float("nan")
        row["dollars_high"] = price.dollars(t.prompt[1], 0, t.output[1]) if price else float("nan")
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
