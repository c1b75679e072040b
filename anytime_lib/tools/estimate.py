"""What will a run cost, how long will it take, and what could it find out? Nobody is asked.

The run itself is gone through, by the same engine and methods, with a backend that counts what the store does not know
and makes up a reply to it, as long as it may be. The lower figures suppose that replies end earlier.
"""

import copy
import logging
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from anytime_lib.config import RunConfig
from anytime_lib.models.model import Model, load_model
from anytime_lib.models.reply import Reply
from anytime_lib.stats import min_detectable_effect
from anytime_lib.store import Store
from anytime_lib.studies.held_out import held_out_arms
from anytime_lib.sweep.arms import Run, run_arms
from anytime_lib.sweep.client import CachedClient, Request
from anytime_lib.sweep.costs import price_of
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.run import first_error, run_async
from anytime_lib.tools.batch import refuse
from anytime_lib.types import Grade, Problem, digest

ENDS = {"low": (1 / 5, 0.25), "high": (1 / 3, 1.0), "middle": (1 / 4, 0.5)}
"""Tokens per byte of a prompt (prose takes about a quarter), and the share of its cap that a reply takes: in the middle
as stored traces of the baseline do, if there are any. Prompts of answers are cached, but for the high end."""
MARK = 0xE000
"""Of a made-up reply: the character for private use at MARK + k, three bytes that nobody else writes, is 2^k tokens."""


def number(value: float) -> str:
    """A number for a table that is read: four digits, or all before the point."""
    return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


class Estimate(NamedTuple):
    """A row per (task, method, kind): calls still to be made if replies run to their caps; prompt, output (tokens) and
    dollars (NaN without a price), each _low, _high and _middle. And the sum of it in words."""

    table: pd.DataFrame
    summary: str

    def __repr__(self) -> str:
        rows = f"{self.table.to_string(index=False, float_format=number)}\n\n"
        return f"{rows if len(self.table) else ''}{self.summary}"

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(escape, self.summary.splitlines()))
        rows = self.table.to_html(index=False, float_format=number)
        return f"{rows if len(self.table) else ''}<p>{lines}</p>"


class CountingBackend:
    """Makes replies up that run to their caps. Of every request it was `asked` for, it keeps task, method, kind, bytes
    and made-up tokens of the prompt, and cap; of those that the store has already, the keys."""

    def __init__(self, model: Model, store: Store | None) -> None:
        self.model, self._store = model, store
        self.asked: dict[str, tuple[Any, ...]] = {}
        self.stored: set[str] = set()

    def get(self, key: str) -> dict[str, Any] | None:
        row = self._store.get(key) if self._store else None
        if row is not None and "text" in row:
            self.stored.add(key)
        return row

    async def complete(self, request: Request) -> dict[str, Any]:
        messages, cap = request.body["messages"], request.body["max_tokens"]
        prompt = "".join(message["content"] for message in messages)
        marks = marks_in(prompt)
        size = len(prompt.encode()) + 24 * len(messages) - 3 * len(marks)
        # Prompts that hold made-up text may come out alike where real ones do not: methods do not share those.
        about = digest([request.method if len(marks) else "", request.key])
        attempt = request.method == "synthesis" and request.kind in ("trace", "answer")
        place = (request.task, request.method, "synthesis" if attempt else request.kind)
        self.asked[about] = (*place, size, int((2**marks).sum()), cap)
        lot = int(about[:8], 16) if request.kind == "judge" else 0  # decides for whom it is
        first = {"AB"[lot % 2]: -0.1 - lot % 97 / 100, "BA"[lot % 2]: -3.0}
        text, ends = made_up_reply(cap)
        return Reply(about[:8] + text, "", "length", ends, first, completion_tokens=cap).to_json()

    async def tokenise(self, request: Request, text: str, billed: int) -> dict[str, Any]:
        return {"ends": None}

    async def hides_reasoning(self) -> bool:
        return False  # a probe would ask


@cache
def made_up_reply(cap: int) -> tuple[str, list[int]]:
    """So many tokens, and where each ends, after eight bytes more. From 128 on a mark is a 64th of what is before it,
    at most: text as long as a reply's would take long to copy."""
    marks, ends = "", list[int]()
    while len(ends) < cap:
        power = max(0, len(ends).bit_length() - 7)
        ends += [8 + 3 * len(marks)] * (2**power - 1) + [11 + 3 * len(marks)]
        marks += chr(MARK + power)
    return marks, ends[:cap]


def marks_in(text: str) -> np.ndarray[Any, Any]:
    """The made-up tokens of a text, each mark by its k."""
    codes = np.frombuffer(text.encode("utf-16-le"), np.uint16).astype(int) - MARK
    return codes[(codes >= 0) & (codes < 32)]


def estimate_run(config: RunConfig, *, tokens_per_second: float | None = None, batch: bool = False) -> Estimate:
    """Count what a sweep, and the held-out test if there is one, would ask that the store does not have; the time is at
    `tokens_per_second` of one request, or as measured on the stored ones. By `batch` it costs what the Batch
    API takes, as far as that is known, and no prefix cache takes anything."""
    path, rate = config.folder / "store.sqlite", tokens_per_second
    missing = config.model.endswith(".gguf") and not config.endpoint.base_url and not Path(config.model).is_file()
    model = load_model(config.but(model="embedded") if missing else config)  # any file costs the same
    with Store(path, read_only=True) if path.is_file() else nullcontext() as store:
        backend = CountingBackend(model, store)
        arms = plan(config, store)
        if batch:
            refuse(arms, model)
        if config.held_out and config.held_out.pool_task in config.tasks:
            arms += held_out_arms(config)
        client = CachedClient(backend, config.sampling, config.seed)
        run = Run(config.label, client, tqdm(disable=True))
        logging.disable(logging.CRITICAL)  # nothing that happens in a pretended run is news
        try:
            run_async(first_error(run_arms(run, [_lenient(arm) for arm in arms])))
        finally:
            logging.disable(logging.NOTSET)
        taken: dict[Any, float] = {}
        if store:
            asked = store.attempts().query("model == @model.name and endpoint == @model.endpoint_id and seconds > 0")
            rate = rate or (asked.completion_tokens.sum() / asked.seconds.sum() if len(asked) else None)
            traces = asked[(asked.kind == "trace") & (asked.method == config.analysis.baseline)].groupby("task")
            lengths, tasks = traces.completion_tokens.mean(), {arm.task.name for arm in arms}
            known = {str(task): length for task, length in lengths.items() if task in tasks}
            taken = {task: min(1.0, length / config.task(task).budgets[-1]) for task, length in known.items()}
    table = pd.DataFrame(backend.asked.values(), columns=["task", "method", "kind", "bytes", "made_up", "cap"])
    sums = table.assign(calls=1).groupby(["task", "method", "kind"], sort=False).sum()
    table = sums[["calls"]].copy()
    price = price_of(model.name, model.endpoint_id, config.limits.prices)
    answers = sums.index.get_level_values("kind") == "answer"
    for end, (per_byte, plain) in ENDS.items():
        share = pd.Series([taken.get(of[0], plain) if end == "middle" else plain for of in sums.index], sums.index)
        prompt, output = per_byte * sums["bytes"] + share * sums.made_up, share * sums.cap
        paid: Any = prompt, prompt * (answers & (end != "high") & (not batch)), output
        table[f"prompt_{end}"], table[f"output_{end}"] = prompt, output
        table[f"dollars_{end}"] = price.dollars(*paid) * (price.batch if batch else 1) if price else float("nan")
    total, about = table.sum(), "{:,.0f} to {:,.0f}, about {:,.0f}"
    dollars = f"no price is known for {config.model!r}; name a file with it in `prices`"
    time = "no rate is known; give --tokens-per-second, of one request"
    if price:
        by = ", ".join(str(part) for part in (price.model, price.host, price.date) if part)
        taken_by_it = f"{price.batch:.0%} of it" if price.batch < 1 else "all of it, for no discount is known"
        by += f"; the Batch API takes {taken_by_it}" if batch else ""
        dollars = f"{about.replace('0f', '2f').format(*total.filter(like='dollars_'))} (price of {by})"
    if batch:
        time = "up to 24 hours for each wave: traces, answers, before them whatever preparations ask"
    elif rate:
        times = (total.filter(like="output_") / rate / config.endpoint.concurrency).round()
        time = "{} to {}, about {} (hours:minutes:seconds)".format(*(timedelta(seconds=t) for t in times))
    lines = [
        f"{total.calls:,.0f} calls to make ({len(backend.stored):,} of the plan are stored already)",
        f"prompt tokens: {about.format(*total.filter(like='prompt_'))}{', less what prefix caches take' * (not batch)}",
        f"output tokens: {about.format(*total.filter(like='output_'))}",
        f"dollars: {dollars}",
        f"time: {time}",
        f"about: with replies as long as stored traces of {', '.join(taken) or 'no task'}, else half their caps",
    ]
    lines = lines if total.calls else [f"nothing is left to ask ({len(backend.stored):,} requests are stored)"]
    for task in config.tasks:
        n, draws = config.task(task).n_problems, config.task(task).pool.draws
        least = min_detectable_effect(n, config.n_samples, n_draws=draws)  # NaN where there is none
        over = f"over {draws} draws" if draws > 1 else "for one draw"
        found = f"differences of about {least:.3f} between two methods, in what is judged ({config.analysis.estimand})"
        found += f", would be found {over} of exemplars (power .8, two-sided .05; by planning values: a pilot in "
        found += "notebook 07 knows more)"
        lines.append(f"{task}: {found if least <= 1 else f'no difference could be found with n = {n}'}")
    return Estimate(table.reset_index(), "\n".join(lines))


def _lenient(arm: Arm) -> Arm:
    """An arm whose task takes a made-up answer for one that can be read and is wrong, as good as its hash says."""
    real, task, verify = arm.task, copy.copy(arm.task), getattr(arm.task, "verify", None)

    def score(text: str) -> float:
        return int(digest(text)[:8], 16) / 2**33

    def graded(problem: Problem, text: str) -> Grade:
        return Grade(score(text), False, "ok") if len(marks_in(text)) else real.grade(problem, text)

    def verified(problem: Problem, text: str) -> float | None:
        return score(text) if len(marks_in(text)) or not verify else verify(problem, text)

    vars(task).update(grade=graded, verify=verify and verified)
    return replace(arm, task=task, samples=[replace(of, task=task) for of in arm.samples])
