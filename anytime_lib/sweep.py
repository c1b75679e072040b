"""What would the model have answered at every budget? Sample, cut, force an answer, grade, store.

One trace serves every budget: it is sampled once to the largest, cut at each, and an answer is forced there. All
that is asked is stored before it is used, so a run that was stopped goes on where it was, and a run that is
complete calls nobody.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pandas as pd

from anytime_lib.asking import Asker
from anytime_lib.config import RunConfig, TaskSettings
from anytime_lib.errors import DataError, EndpointError
from anytime_lib.exemplars import Draw, draw
from anytime_lib.grading import grade_answer
from anytime_lib.methods import Method, Preference, load_method
from anytime_lib.models import Model
from anytime_lib.models.endpoint import RequestFailed
from anytime_lib.progress import Progress
from anytime_lib.recorded import recorded_key
from anytime_lib.records import Problem
from anytime_lib.store import CELL_KEY, Store
from anytime_lib.synthesis import Synthesis, synthesize
from anytime_lib.tasks import Task, load_task

log = logging.getLogger(__name__)
T = TypeVar("T")


def run_sweep(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """Run every (task, method) of a config and return its cells.

    Works in a script and in a notebook cell alike (`await sweep(config)` is the same, for code that is async).
    Run again, it calls no model; after a kill or an interrupt it goes on where it was.

    Returns:
        The tidy table (columns of `Store.cells()`), one row per model, task, problem, method, sample and budget.
        Cells whose requests failed have status `error` and score NaN; they are tried again by the next run.

    Raises:
        EndpointError, DataError, ConfigError: nothing can go on; what was stored is kept.
    """
    return run_async(sweep(config, progress=progress))


def run_synthesis(config: RunConfig, *, progress: bool = True) -> dict[str, Synthesis]:
    """Synthesise preference pairs for every task of a config: task name -> `Synthesis`."""
    return run_async(_synthesis(config, progress))


async def sweep(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """`run_sweep` as a coroutine."""
    async with Model(config) as model:
        with Store(config.folder / "store.sqlite") as store:
            wanted: set[tuple[Any, ...]] = set()
            for name in config.tasks:
                wanted |= await _sweep_task(config, load_task(name), store, model, progress)
            cells = store.cells()
    keys = zip(*(cells[c] for c in CELL_KEY), strict=True)
    chosen = cells[[key in wanted for key in keys]]
    failed = chosen[chosen.status == "error"]
    if len(failed) == len(chosen):
        raise EndpointError(f"every request failed, so there is nothing to grade: {failed.detail.iloc[0]}")
    if len(failed):
        log.warning("%d of %d cells ended in an error (%s); run again to retry them", len(failed), len(chosen),
                    failed.detail.iloc[0])  # fmt: skip
    return chosen.drop(columns="detail").reset_index(drop=True)


async def _synthesis(config: RunConfig, progress: bool) -> dict[str, Synthesis]:
    found = {}
    async with Model(config) as model:
        with Store(config.folder / "store.sqlite") as store:
            for name in config.tasks:
                task, settings = load_task(name), config.at(name)
                problems = draw(task, settings, config.seed)
                found[name] = await _synthesize(config, task, settings, problems, store, model, progress)
    return found


async def _synthesize(
    config: RunConfig,
    task: Task,
    settings: TaskSettings,
    problems: Draw,
    store: Store,
    model: Model,
    progress: bool,
) -> Synthesis:
    k = config.pool_samples
    meter = Progress(f"{task.name} / synthesis", len(problems.pool) * (2 * k + k * (k - 1)), progress, "call")
    store.add_problems(problems.pool)
    try:
        found = await _first_error(synthesize(Asker(config, store, model, meter), task, settings, problems))
    finally:
        meter.close()
    found.save(config.folder / f"preferences_{task.name}.jsonl")
    return found


async def _sweep_task(
    config: RunConfig, task: Task, store: Store, model: Model, progress: bool
) -> set[tuple[Any, ...]]:
    """Run every method of one task; returns the coordinates (CELL_KEY) of the cells that were planned."""
    settings = config.at(task.name)
    methods = [load_method(name) for name in settings.methods]
    problems = draw(task, settings, config.seed)
    store.add_problems([*problems.test, *problems.shots])
    preferences: list[Preference] = []
    if any(m.needs_preferences for m in methods):
        made = await _synthesize(config, task, settings, problems, store, model, progress)
        preferences = made.preferences
        if not preferences:
            log.warning(made.reading())
            methods = [m for m in methods if not m.needs_preferences]
    wanted: set[tuple[Any, ...]] = set()
    for method in methods:
        samples = _samples(config, method, problems.test, store)
        await _sweep_arm(config, task, settings, method, problems, samples, preferences, store, model, progress)
        wanted |= {(config.run, model.name, task.name, p.id, method.name, sample, budget)
                   for p, sample in samples for budget in settings.budgets}  # fmt: skip
    return wanted


def _samples(config: RunConfig, method: Method, problems: Sequence[Problem], store: Store) -> list[tuple[Problem, int]]:
    """What an arm runs: every sample of every problem, of recorded traces those that were imported."""
    if method.name != "recorded":
        return [(p, sample) for p in problems for sample in range(config.n_samples)]
    found = [(p, sample) for p in problems for sample in range(config.n_samples)
             if store.get(recorded_key(p, sample)) is not None]  # fmt: skip
    seen = len({p.id for p, _ in found})
    if not found:
        raise DataError(f"{store.path} holds no recorded trace of these problems; `anytime import` brings some in")
    if seen < len(problems):
        log.warning("recorded traces are there for %d of %d problems; the others are left out", seen, len(problems))
    return found


async def _sweep_arm(
    config: RunConfig, task: Task, settings: TaskSettings, method: Method, problems: Draw,
    samples: Sequence[tuple[Problem, int]], preferences: Sequence[Preference], store: Store, model: Model,
    progress: bool,
) -> None:  # fmt: skip
    meter = Progress(f"{task.name} / {method.name}", len(samples) * len(settings.budgets), progress)
    asker = Asker(config, store, model, meter)
    limit = asyncio.Semaphore(config.concurrency)

    async def one(problem: Problem, sample: int) -> None:
        async with limit:
            await _sweep_trace(asker, task, settings, method, problems, preferences, problem, sample, meter)

    async def everything() -> None:
        async with asyncio.TaskGroup() as group:
            for problem, sample in samples:
                group.create_task(one(problem, sample))

    try:
        await _first_error(everything())
    finally:
        meter.close()


async def _sweep_trace(
    asker: Asker, task: Task, settings: TaskSettings, method: Method, problems: Draw,
    preferences: Sequence[Preference], problem: Problem, sample: int, meter: Progress,
) -> None:  # fmt: skip
    """One trace, its answers at every budget in ascending order (so that prefix caches hit), their cells."""
    messages = method.messages(task, problem, problems.shots, preferences)
    cells: list[dict[str, Any]] = [
        {"run": asker.config.run, "model": asker.model.name, "task": task.name, "problem_id": problem.id,
         "method": method.name, "sample": sample, "budget": budget, "tokens_used": None, "answer_tokens": None,
         "score": None, "correct": None, "status": "error", "stopped_naturally": None, "trace_key": None,
         "answer_key": None, "detail": ""}
        for budget in settings.budgets
    ]  # fmt: skip
    try:
        if method.name == "recorded":
            trace = await asker.recorded(task, method.name, problem, messages, sample)
        else:
            trace = await asker.trace(task, method.name, problem, messages, sample, settings.budgets[-1])
    except RequestFailed as error:
        asker.store.put_cells(cell | {"detail": str(error)} for cell in cells)
        meter.done(len(cells))
        return
    for cell in cells:
        used = trace.used(cell["budget"])
        cell |= {"tokens_used": used, "trace_key": trace.key,
                 "stopped_naturally": trace.stopped and trace.n_tokens <= cell["budget"]}  # fmt: skip
        try:
            key, row = await asker.answer(
                task, method.name, problem, trace, cell["budget"], sample, settings.answer_tokens
            )
        except RequestFailed as error:
            cell["detail"] = str(error)
        else:
            grade = grade_answer(task, problem, row["text"], row["finish_reason"])
            cell |= {"answer_key": key, "answer_tokens": row["completion_tokens"], "score": grade.score,
                     "correct": grade.correct, "status": grade.status, "detail": grade.detail}  # fmt: skip
        asker.store.put_cells([cell])
        meter.done()


async def _first_error(work: Coroutine[Any, Any, T]) -> T:
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
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
    finally:
        asyncio.run_coroutine_threadsafe(_drain(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()


async def _drain() -> None:
    """Wait for the loop's other tasks to end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
