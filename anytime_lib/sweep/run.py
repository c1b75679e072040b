"""What would the model have answered at every budget? Sample, cut, force an answer, grade, store.

One trace serves every budget: it is sampled once to the largest, cut at each, and an answer is forced there. All
that is asked is stored before it is used, so a run that was stopped goes on where it was, and a run that is
complete calls nobody. Where reasoning is hidden (or `mode` is `fresh`), each budget gets a run of its own: what it
shows of its reasoning is given back and an answer forced as ever; if it hides it, what it said within the budget is
its answer, and nothing said is an empty one, with score 0.

Traces of all tasks and arms share the slots of one limiter. A trace and its answers follow each other without a pause,
in ascending order, so that prefix caches hit; no more of them are at work than there are slots, so that all slots are
busy and memory does not grow with the sweep.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd

from anytime_lib.config import RunConfig, TaskConfig
from anytime_lib.errors import DataError, EndpointError, HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Context, Preparation, Prompted
from anytime_lib.methods.judge import PreferenceSource
from anytime_lib.methods.pdp import Pairs
from anytime_lib.methods.search import BudgetAnswer, Searching, Session
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.models.limiter import Limiter
from anytime_lib.models.model import Model
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.studies import held_out as settling
from anytime_lib.sweep.client import CachedClient, completion
from anytime_lib.sweep.exemplars import split_problems
from anytime_lib.sweep.ledger import spend_limit_of
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.progress import Progress
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.user_code import grade_answer, user_code
from anytime_lib.types import Completion, Problem, ProblemSplit, Trace

log = logging.getLogger(__name__)
T = TypeVar("T")
CACHED_FROM = 1024
"""Tokens from which prefix caches keep a prompt. Shorter traces have nothing to lose when their answers are asked for
side by side, and are asked so where slots would stand idle."""
SETTLE = 120.0
"""Seconds that requests in flight are waited for where a run ends in an error: they are paid for."""
GO_ON = "stopped; what was stored is kept: run the same again, and it goes on from there"


def run_sweep(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """Run every (task, method) of a config and return its cells.

    Works in a script and in a notebook cell alike (async code: `await run_sweep_async(config)`).
    Run again, it calls no model; after a kill or an interrupt it goes on where it was.

    Returns:
        The tidy table (columns of `Store.cells()`), one row per model, task, problem, method, sample and budget.
        Cells whose requests failed have status `error` and score NaN; they are tried again by the next run.

    Raises:
        EndpointError, DataError, ConfigError, SpendCapReached: nothing can go on; what was stored is kept.
    """
    return run_async(run_sweep_async(config, progress=progress))


def run_synthesis(
    config: RunConfig, *, by: PreferenceSource = "judge", keep: bool = True, progress: bool = True
) -> dict[str, Synthesis]:
    """Synthesise preference pairs for every task of a config: task name -> `Synthesis`.

    Args:
        by: who prefers, as the methods name it (see `synthesis.ways`): `judge` is whom `pairs_by` names.
        keep: write the preference files (see `preference_file`).
    """
    return run_async(_synthesis(config, by, keep, progress))


async def run_sweep_async(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """`run_sweep` as a coroutine."""
    async with Model(config) as model:
        with Store(config.folder / "store.sqlite", key_env=config.endpoint.api_key_env) as store:
            settling.note_criterion(config, store, model.name)
            return await sweep_arms(config, plan(config, store), store, model, progress)


async def sweep_arms(
    config: RunConfig, arms: Sequence[Arm], store: Store, model: Model, progress: bool, keeps: bool = True
) -> pd.DataFrame:
    """Run these arms and return their cells (see `run_sweep`)."""
    async with _running(config, store, model, config.label, sum(a.n_cells for a in arms), progress) as run:
        run.keeps = keeps
        for arm in arms:
            for on in (arm.prepared_on, arm):
                model.tell_problems(on.task, on.problems.test, [*on.problems.shots, *on.problems.pool])
        done = await first_error(run_arms(run, arms))
    cells = store.cells()
    here = cells[(cells.run == config.label) & (cells.model == model.name)]
    mine = pd.Series(False, index=here.index)
    for arm in done:
        mine |= arm.owns(here)
    chosen = here[mine]
    failed = chosen[chosen.status == "error"]
    if len(failed) == len(chosen):
        raise EndpointError(f"every request failed, so there is nothing to grade: {failed.detail.iloc[0]}")
    if len(failed):
        log.warning("%d of %d cells ended in an error (%s); run again to retry them", len(failed), len(chosen),
                    failed.detail.iloc[0])  # fmt: skip
    same, traces = run.client.repeated
    if same:
        log.warning("%d of %d traces are word for word another sample of their problem; does the server heed seed and "
                    "temperature?", same, traces)  # fmt: skip
    return chosen.drop(columns="detail").reset_index(drop=True)


@dataclass
class Run:
    """What the parts of one run share; `keeps` is false where nothing is to be written (an estimate)."""

    config: RunConfig
    store: Store
    client: CachedClient
    limiter: Limiter
    meter: Progress
    cells: _Cells
    keeps: bool = True


@asynccontextmanager
async def _running(
    config: RunConfig, store: Store, model: Model, title: str, total: int, progress: bool, unit: str = "cell"
) -> AsyncIterator[Run]:
    """A run's limiter, purse and bar; its last cells are stored however it ends."""
    limiter = Limiter(config.endpoint.concurrency, requests_per_minute=config.endpoint.requests_per_minute,
                      tokens_per_minute=config.endpoint.tokens_per_minute)  # fmt: skip
    spend_limit = spend_limit_of(config, store, model.name, model.endpoint_id)
    meter = Progress(title, total, progress, unit, limiter=limiter, spend_limit=spend_limit)
    model.limiter, model.on_event = limiter, meter.event
    model.timeouts = replace(
        model.timeouts, first_token=config.endpoint.timeout, retries=config.endpoint.retries,
    )  # fmt: skip
    ticking = asyncio.create_task(meter.tick())
    cells, client = _Cells(store), CachedClient(config, store, model, meter, spend_limit)
    try:
        yield Run(config, store, client, limiter, meter, cells)
    except BaseException as error:
        await client.settle(SETTLE if isinstance(error, Exception) else 0.0)  # 0: an interrupt ends at once
        raise
    finally:
        ticking.cancel()
        cells.flush()
        limiter.close()
        meter.close()


class _Cells:
    """Cells on their way to the store. They are derived from stored requests, so they may share a commit: what a kill
    takes, the next run makes again without a call."""

    def __init__(self, store: Store) -> None:
        self._store, self._pending, self._stored = store, list[dict[str, Any]](), time.monotonic()

    def put(self, cells: Sequence[dict[str, Any]]) -> None:
        self._pending += cells
        if len(self._pending) >= 500 or time.monotonic() > self._stored + 1:
            self.flush()

    def flush(self) -> None:
        pending, self._pending, self._stored = self._pending, [], time.monotonic()
        if pending:
            self._store.put_cells(pending)


async def _synthesis(config: RunConfig, by: PreferenceSource, keep: bool, progress: bool) -> dict[str, Synthesis]:
    found, k = {}, config.pool.samples
    async with Model(config) as model:
        with Store(config.folder / "store.sqlite", key_env=config.endpoint.api_key_env) as store:
            for name in config.tasks:
                task = load_task(name)
                problems = split_problems(task, config.task(name), config.seed)
                model.tell_problems(task, problems.test, [*problems.shots, *problems.pool])
                total = len(problems.pool) * (2 * k + k * (k - 1))
                async with _running(config, store, model, f"{name} / synthesis", total, progress, "call") as run:
                    run.keeps = keep
                    found[name] = await first_error(_prepare(run, task, config.task(name), problems, Pairs(by)))
    return found


async def _prepare(run: Run, task: Task, settings: TaskConfig, problems: ProblemSplit, preparation: Preparation) -> Any:
    """What a preparation makes of a task's pool, kept in the run's folder."""
    run.store.add_problems(problems.pool)
    made = await preparation(run.client, task, settings, problems, run.limiter.trace_slots)
    if run.keeps:
        preparation.save(made, run.config.folder)
    return made


async def run_arms(run: Run, arms: Sequence[Arm]) -> list[Arm]:
    """Run arms, traces of one after those of another, without waiting for an arm to end; returns those that ran."""
    done: list[Arm] = []
    async with asyncio.TaskGroup() as group:
        made: dict[tuple[str, str], asyncio.Task[Any]] = {}
        for arm in arms:
            on = arm.prepared_on
            if (needed := arm.method.preparation) and (on.task.name, needed.name) not in made:
                made[on.task.name, needed.name] = group.create_task(_prepare(run, *on, needed))
        told: set[tuple[str, str]] = set()
        for arm in arms:
            run.store.add_problems([*arm.problems.test, *arm.problems.shots])
            prepared = None
            if needed := arm.method.preparation:
                where = arm.prepared_on.task.name, needed.name
                prepared = await made[where]
                if not prepared:
                    if where not in told:
                        log.warning(prepared.summary())
                    told.add(where)
                    run.meter.fewer(arm.n_cells)
                    continue
            done.append(arm)
            context = arm.context(prepared)
            for problem, sample in arm.samples:
                await run.limiter.trace_slots.acquire()
                group.create_task(_unit(run, arm, problem, sample, context))
    return done


async def _unit(run: Run, arm: Arm, problem: Problem, sample: int, context: Context) -> None:
    """One sample of one problem: what is asked for it, its answers at every budget, their cells."""
    cells: list[dict[str, Any]] = [
        {"run": run.config.label, "model": run.client.model.name, "task": arm.task.name, "problem_id": problem.id,
         "method": arm.method.name, "sample": sample, "budget": budget, "tokens_used": None, "answer_tokens": None,
         "score": None, "correct": None, "status": "error", "stopped_naturally": None, "trace_key": None,
         "answer_key": None, "detail": ""}
        for budget in arm.settings.budgets
    ]  # fmt: skip
    try:
        if isinstance(arm.method, Searching):
            await _searched(run, arm, arm.method, problem, context, cells)
        elif isinstance(arm.method, Prompted):
            for part in ([cell] for cell in cells) if arm.method.per_budget else (cells,):
                await _prompted(run, arm, arm.method, problem, replace(context, budget=part[-1]["budget"]), part)
    finally:
        run.limiter.trace_slots.release()


def _failed(run: Run, cells: Sequence[dict[str, Any]], error: RequestFailed) -> None:
    run.cells.put([cell | {"detail": str(error)} for cell in cells])
    run.meter.done(len(cells))


async def _prompted(
    run: Run, arm: Arm, method: Prompted, problem: Problem, context: Context, cells: list[dict[str, Any]]
) -> None:
    """One trace, to the largest budget of these cells, and the answers that are forced at each."""
    task, sample = arm.task, cells[0]["sample"]
    messages = method.messages(problem, context)
    trace: Trace | None = None
    try:
        if method.name == "recorded":
            trace = await run.client.recorded(task, method.name, problem, messages, sample)
        elif run.config.sampling.mode == "cut":
            trace = await run.client.trace(task, method.name, problem, messages, sample, context.budget)
    except HiddenReasoning as hidden:
        if method.name == "recorded":
            return _failed(run, cells, hidden)
        run.client.say_fresh(str(hidden))
    except RequestFailed as error:
        return _failed(run, cells, error)

    async def fill(cell: dict[str, Any]) -> None:
        try:
            if trace is None:
                await _fresh_cell(run, arm, problem, messages, cell)
            else:
                await _cut_cell(run, arm, problem, trace, cell)
        except RequestFailed as error:
            cell["detail"] = str(error)
        run.cells.put([cell])
        run.meter.done()

    tokens = 0 if trace is None else trace.n_tokens + sum(len(m["content"]) for m in messages) / 4
    short = tokens < CACHED_FROM and run.client.model.endpoint_id != "embedded"  # llama.cpp: one cache a slot
    pending = cells
    while pending:
        if short and run.limiter.idle():  # of budgets that share an answer, the first asks for it
            cuts = {cell["budget"] if trace is None else trace.used(cell["budget"]): cell for cell in pending[::-1]}
            await _together(fill(cell) for _, cell in sorted(cuts.items()))
            done = {cell["budget"] for cell in cuts.values()}
        else:
            await fill(pending[0])
            done = {pending[0]["budget"]}
        pending = [cell for cell in pending if cell["budget"] not in done]


async def _searched(
    run: Run, arm: Arm, method: Searching, problem: Problem, context: Context, cells: list[dict[str, Any]]
) -> None:
    """What a method that searches would answer at each budget; it is held to each of them."""
    session = Session(run.client, context, method.name, problem, cells[0]["sample"])
    pending, spent = list(cells), 0
    with user_code(f"the method {method.name}", problem):
        try:
            async for stop in method.answers_by_budget(problem, context, session):
                if not pending or stop.budget != pending[0]["budget"] or not spent <= stop.used <= stop.budget:
                    raise DataError(_bug(method.name, problem, stop, spent))
                cell, spent = pending.pop(0), stop.used
                cell |= {"tokens_used": stop.used, "stopped_naturally": stop.stopped}
                if isinstance(stop.answer, RequestFailed):
                    cell["detail"] = str(stop.answer)
                else:
                    cell["trace_key"] = stop.answer.trace_key
                    tokens = stop.answer.tokens if stop.answer_tokens is None else stop.answer_tokens
                    _graded(arm, problem, cell, stop.answer, tokens)
                run.cells.put([cell])
                run.meter.done()
        except RequestFailed as error:
            return _failed(run, pending, error)
    if pending:
        raise DataError(f"a bug of the method {method.name}: {problem.id} has no stop at {len(pending)} budgets")


def _bug(name: str, problem: Problem, stop: BudgetAnswer, spent: int) -> str:
    return (
        f"a bug of the method {name}: on {problem.id} it spent {stop.used} tokens at the budget {stop.budget}, after "
        f"{spent} before; its stops must be the budgets in ascending order, and none may spend more than its own"
    )


async def _cut_cell(run: Run, arm: Arm, problem: Problem, trace: Trace, cell: dict[str, Any]) -> None:
    budget = cell["budget"]
    cell |= {"tokens_used": trace.used(budget), "trace_key": trace.key,
             "stopped_naturally": trace.stopped and trace.n_tokens <= budget}  # fmt: skip
    answer = await run.client.answer(
        arm.task, arm.method.name, problem, trace, budget, cell["sample"], arm.settings.answer_cap
    )
    _graded(arm, problem, cell, answer, answer.tokens)


async def _fresh_cell(
    run: Run, arm: Arm, problem: Problem, messages: list[dict[str, str]], cell: dict[str, Any]
) -> None:
    budget, sample = cell["budget"], cell["sample"]
    fresh = await run.client.fresh(arm.task, arm.method.name, problem, messages, sample, budget)
    cell |= {"tokens_used": fresh.used, "trace_key": fresh.trace.key, "stopped_naturally": fresh.trace.stopped}
    if fresh.spoken:
        said = max(0, fresh.row["completion_tokens"] - fresh.used)
        _graded(arm, problem, cell, completion(fresh.trace.key, fresh.row), said)
        return
    answer = await run.client.answer(
        arm.task, arm.method.name, problem, fresh.trace, budget, sample, arm.settings.answer_cap
    )
    _graded(arm, problem, cell, answer, answer.tokens)


def _graded(arm: Arm, problem: Problem, cell: dict[str, Any], answer: Completion, answer_tokens: int) -> None:
    grade = grade_answer(arm.task, problem, answer.text, answer.finish_reason)
    cell |= {"answer_key": answer.key, "answer_tokens": answer_tokens, "score": grade.score, "correct": grade.correct,
             "status": grade.status, "detail": grade.detail}  # fmt: skip


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


async def first_error(work: Coroutine[Any, Any, T]) -> T:
    """Await work that may raise a group of errors; raise the first of it alone, so that it reads as one sentence."""
    try:
        return await work
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    raise error  # outside the handler: a group left in its context would make notebooks print the group


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from plain code, also inside a notebook cell, where a loop runs already.

    Ctrl-C or a kernel interrupt cancels it, waits for it to end, and raises KeyboardInterrupt.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            return asyncio.run(work)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(GO_ON) from None
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise KeyboardInterrupt(GO_ON) from None
    finally:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_drain(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        if not thread.is_alive():
            loop.close()


async def _drain() -> None:
    """Wait for the loop's other tasks to end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
