"""What will a run cost, how long will it take, and what could it find out? Nothing is sent.

The run itself is gone through, by the same engine and methods, with a backend that counts what the store does not know
and makes up a reply to it, as long as it may be. The low figures suppose that replies end early.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from anytime_lib.config import RunConfig
from anytime_lib.methods.base import ModelName
from anytime_lib.models.model import load_model
from anytime_lib.models.reply import Reply
from anytime_lib.stats import min_detectable_effect
from anytime_lib.store import Store
from anytime_lib.studies.held_out import held_out_arms
from anytime_lib.sweep.arms import Run, run_arms
from anytime_lib.sweep.client import CachedClient, Request
from anytime_lib.sweep.costs import Price, price_of
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.run import first_error, run_async
from anytime_lib.tasks.base import Task
from anytime_lib.types import Grade, Problem, digest

EARLY = 0.25
"""The share of its cap that a reply takes in the low estimate; in the high one all run to their caps."""
LOW, HIGH = 1 / 5, 1 / 3
"""Tokens per byte of a prompt, in the low and the high estimate; prose takes about a quarter."""
MADE_UP = "\ue000"
"""One token of a made-up reply: a character for private use, three bytes long, that nobody else writes."""


class CountingBackend:
    """Completes requests with made-up replies, and counts them.

    Attributes:
        counts: (task, method, kind) -> calls, bytes and made-up tokens of the prompts, most tokens of the replies.
        stored: keys of the plan's requests that the store has already.
    """

    def __init__(self, model: ModelName, store: Store | None) -> None:
        self.model, self._store = model, store
        self.counts: dict[tuple[str, str, str], Any] = defaultdict(lambda: np.zeros(4, dtype=int))
        self.stored: set[str] = set()
        self._asked: set[str] = set()

    def get(self, key: str) -> dict[str, Any] | None:
        row = self._store.get(key) if self._store else None
        if row is not None and "text" in row:
            self.stored.add(key)
        return row

    async def complete(self, request: Request) -> dict[str, Any]:
        """A reply that runs to its cap. Prompts that hold made-up text may come out alike where real ones do not, so
        different methods do not share them."""
        messages, most = request.body["messages"], request.body["max_tokens"]
        prompt = "".join(message["content"] for message in messages)
        made_up, size = prompt.count(MADE_UP), len(prompt.encode()) + 24 * len(messages)
        about = digest([request.method if made_up else "", request.key])
        if about not in self._asked:
            self._asked.add(about)
            attempt = request.method == "synthesis" and request.kind in ("trace", "answer")
            place = request.task, request.method, "synthesis" if attempt else request.kind
            self.counts[place] += (1, size - made_up * len(MADE_UP.encode()), made_up, most)
        lot = int(about[:8], 16) if request.kind == "judge" else 0
        odds = {"AB"[lot % 2]: -0.1 - lot % 97 / 100, "BA"[lot % 2]: -3.0}
        ends = [8 + 3 * token for token in range(1, most + 1)]  # bytes
        return Reply(about[:8] + MADE_UP * most, "", "length", ends, odds, completion_tokens=most).to_json()

    async def tokenise(self, request: Request, text: str) -> dict[str, Any]:
        return {"ends": None}

    async def hides_reasoning(self) -> bool:
        return False  # a probe would ask


class _Ungraded:
    """A task that takes a made-up answer for one that can be read and is wrong, as good as its hash says."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._task, name)
        if name not in ("grade", "verify") or found is None:
            return found

        def made_up(problem: Problem, text: str) -> Any:
            score = int(digest(text)[:8], 16) / 2**33
            if MADE_UP not in text:
                return found(problem, text)
            return score if name == "verify" else Grade(score, False, "ok")

        return made_up


@dataclass(frozen=True)
class Estimate:
    """A run's plan in numbers.

    Attributes:
        table: one row per (task, method, kind): calls still to be made if replies run to their caps, prompt_low,
            prompt_high, output_low, output_high (tokens), dollars_low, dollars_high (NaN without a price).
        stored: requests of the plan that the store has already.
        price: of the model; None if the table has none.
        rate: output tokens per second of all requests together; None where it is not known.
    """

    config: RunConfig
    table: pd.DataFrame
    stored: int
    price: Price | None
    rate: float | None

    def summary(self) -> str:
        """What the table comes to, a line each on calls, tokens, dollars, time and what could be found."""
        total, price = self.table.sum(numeric_only=True), self.price
        lines = [
            f"{total.calls:,.0f} calls to make ({self.stored:,} of the plan are stored already)",
            f"prompt tokens {total.prompt_low:,.0f} to {total.prompt_high:,.0f}, less what prefix caches take; output "
            f"tokens {total.output_low:,.0f} to {total.output_high:,.0f}",
        ]
        if price is None:
            lines.append(f"dollars: no price is known for {self.config.model!r}; name a file with it in `prices`")
        elif price.input or price.output:
            where = f"price of {price.model} at {price.host or 'its host'}, {price.date or 'undated'}"
            lines.append(f"dollars {total.dollars_low:.2f} to {total.dollars_high:.2f} ({where})")
        if self.rate:
            low, high = (timedelta(seconds=round(t / self.rate)) for t in (total.output_low, total.output_high))
            lines.append(f"time {low} to {high} (hours:minutes:seconds)")
        else:
            lines.append("time: no rate is known; give --tokens-per-second, of one request")
        for task in self.config.tasks:
            n = self.config.task(task).n_problems
            least = min_detectable_effect(n, self.config.n_samples)
            found = f"differences of about {least:.3f} between two arms would be found (power .8, two-sided .05)"
            if not least <= 1:  # NaN, or more than qualities can differ by
                found = f"no difference could be found with n = {n}; take more problems"
            lines.append(f"{task}: {found}")
        return "\n".join(lines)


def estimate_run(config: RunConfig, *, tokens_per_second: float | None = None) -> Estimate:
    """Count what a sweep, and the held-out test if there is one, would ask that the store does not have.

    Args:
        tokens_per_second: of one request, for the time; None: as measured on the stored ones.
    """
    path, model, rate = config.folder / "store.sqlite", load_model(config), tokens_per_second
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(Store(path)) if path.is_file() else None
        backend = CountingBackend(model, store)
        _go_through(config, store, backend)
        if store and rate is None:
            asked = store.attempts().query("model == @model.name and endpoint == @model.endpoint_id and seconds > 0")
            rate = asked.completion_tokens.sum() / asked.seconds.sum() if len(asked) else None
    rows = [(*place, *counts) for place, counts in backend.counts.items()]
    counted = pd.DataFrame(rows, columns=["task", "method", "kind", "calls", "size", "made_up", "most"])
    table = counted[["task", "method", "kind"]].assign(calls=counted.calls.astype(int))
    price = price_of(model.name, model.endpoint_id, config.limits.prices)
    for end, per_byte, share in (("low", LOW, EARLY), ("high", HIGH, 1.0)):
        prompt: Any = (per_byte * counted["size"] + share * counted.made_up).astype(float)
        output: Any = (share * counted.most).astype(float)
        dollars = price.dollars(prompt, 0, output) if price else np.nan
        table = table.assign(**{f"prompt_{end}": prompt, f"output_{end}": output, f"dollars_{end}": dollars})
    return Estimate(config, table, len(backend.stored), price, rate and rate * config.endpoint.concurrency)


def _go_through(config: RunConfig, store: Store | None, backend: CountingBackend) -> None:
    """The run, gone through without asking anybody, and without a word."""
    held_out = held_out_arms(config) if config.held_out and config.held_out.pool_task in config.tasks else []
    arms = [_ungraded(arm) for arm in [*plan(config, store), *held_out]]

    async def whole() -> None:
        client = CachedClient(backend, config.sampling, config.seed)
        await first_error(run_arms(Run(config.label, client, tqdm(disable=True)), arms))

    logging.disable(logging.CRITICAL)  # nothing that happens in a pretended run is news
    try:
        run_async(whole())
    finally:
        logging.disable(logging.NOTSET)


def _ungraded(arm: Arm) -> Arm:
    task: Any = _Ungraded(arm.task)
    return replace(arm, task=task, samples=[replace(of, task=task) for of in arm.samples])
