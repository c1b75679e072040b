"""What would the model have answered at every budget? Sample, cut, force an answer, grade, store."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, EndpointError
from anytime_lib.models.model import Model, load_model
from anytime_lib.store import Store
from anytime_lib.sweep.arms import Run, run_arms
from anytime_lib.sweep.client import CachedClient
from anytime_lib.sweep.costs import spend_limit_of
from anytime_lib.sweep.grading import update_grades
from anytime_lib.sweep.live import LiveBackend
from anytime_lib.sweep.plan import Arm, on_measured_tokens, plan
from anytime_lib.types import digest

log = logging.getLogger(__name__)
NO_CELLS = "{desc}: {elapsed}{postfix}"  # the bar where it is not known, or not yet, how many cells there are
T = TypeVar("T")


def run_sweep(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """Run every (task, method) of a config, in a script or a notebook cell, and return its cells.

    All that is asked is stored before it is used: run again, it calls no model; after a kill or an interrupt it goes on
    where it was. `progress` shows a bar, and tells how many problems are tested, are examples and make the pool.

    Returns the tidy table (columns of `Store.cells()`), one row per model, task, problem, method, sample and budget.
    Cells whose requests failed have status `error` and score NaN; they are tried again by the next run. EndpointError,
    DataError, ConfigError or SpendCapReached where nothing can go on; what was stored is kept.
    """
    return run_async(run_sweep_async(config, progress=progress))


async def run_sweep_async(config: RunConfig, *, progress: bool = True, by: Any = None) -> pd.DataFrame:
    """`run_sweep` as a coroutine; `by` is called in place of `sweep_arms`."""
    async with opened(config, progress) as (run, store, model):
        update_grades(store)
        note_declared(config, store)
        note_criterion(config, store, model.name)
        arms = plan(config, store)
        if progress:
            for name, of in {arm.task.name: arm.problems for arm in arms}.items():
                test, shots, pool = len(of.test), len(of.shots), len(of.pool)
                run.bar.write(f"{name}: problems tested: {test}, examples: {shots}, pool: {pool}")
        return await (by or sweep_arms)(run, arms, store, model)


@asynccontextmanager
async def opened(config: RunConfig, progress: bool) -> AsyncIterator[tuple[Run, Store, Model]]:
    """A run with its store and model. Where it ends in an error, or for a moment where it is interrupted, what is in
    flight is let come back and stored."""
    async with load_model(config) as model:
        with Store(config.folder / "store.sqlite", key_env=config.endpoint.api_key_env) as store:
            spend_limit = spend_limit_of(config.limits, store, model.name, model.endpoint_id)
            shown: dict[str, Any] = {"bar_format": NO_CELLS, "mininterval": 1, "file": bar_file()}
            with tqdm(desc=f"{config.label}: starting", disable=not progress, **shown) as bar:
                backend = LiveBackend(store, model, spend_limit)
                client = CachedClient(backend, config.sampling, config.seed, model.trace_slots)
                telling = asyncio.create_task(_tell(bar, backend))
                try:
                    yield Run(config.label, client, bar, store, config.folder), store, model
                except BaseException as error:
                    await backend.settle(120 if isinstance(error, Exception) else 5)
                    raise
                finally:
                    telling.cancel()
                    bar.set_description_str(config.label, refresh=False)
                    bar.set_postfix_str(backend.total())


async def _tell(bar: "tqdm[Any]", backend: LiveBackend) -> None:
    """Move a bar that is shown every second, whatever the run waits for."""
    while not bar.disable:
        bar.set_postfix_str(backend.total())
        await asyncio.sleep(1)


def bar_file() -> Any:
    """Where a bar goes: in a kernel, to a line of the cell's output, which is written anew; else (None) to stderr."""
    ipython, shown = sys.modules.get("IPython"), list[Any]()
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return None

    def write(text: str) -> None:
        show = shown[0].update if shown else partial(ipython.display.display, display_id=True)
        if handle := show({"text/plain": text.strip()}, raw=True) if text.strip() else None:
            shown.append(handle)

    return SimpleNamespace(write=write, flush=lambda: None, encoding="utf-8")


async def sweep_arms(run: Run, arms: Sequence[Arm], store: Store, model: Model) -> pd.DataFrame:
    """Run these arms and return their cells (see `run_sweep`)."""
    done = await make_cells(run, arms, store, model)
    return swept_cells(store, run.label, model.name, done, run.client.sampling.efforts)


async def make_cells(run: Run, arms: Sequence[Arm], store: Store, model: Model) -> list[Arm]:
    """Run these arms; returns those that could be run. DataError where none could."""
    for arm in arms:
        for on in (arm.prep_task, arm):
            model.tell_problems(on.task, on.problems)
    run.bar.bar_format, run.bar.unit = None, "cell"
    run.bar.total = sum(arm.n_cells(run.client.sampling.efforts) for arm in arms)
    try:
        done = await first_error(run_arms(run, arms))
    finally:
        run.flush()
    if not done:
        raise DataError("no method could be run, for what they need could not be prepared; the warnings say why")
    return done


def swept_cells(store: Store, run: str, model: str, arms: Sequence[Arm], levels: Collection[str]) -> pd.DataFrame:
    """What `run_sweep` returns of these arms, with a warning of cells that failed; EndpointError where all did."""
    cells = store.cells(run=run, model=model)
    cells = cells[np.any([arm.owns(cells, levels) for arm in arms], axis=0)]
    failed = cells[cells.status == "error"]
    if len(failed):
        why = failed.detail.iloc[0]
        if len(failed) == len(cells):
            raise EndpointError(f"every request failed, so there is nothing to grade: {why}")
        log.warning("%d of %d cells ended in an error (%s); run again to retry them", len(failed), len(cells), why)
    return on_measured_tokens(cells.drop(columns="detail").reset_index(drop=True))


def note_declared(config: RunConfig, store: Store) -> None:
    """Write what is `declared` before a run, with its hash, into `declared.jsonl` beside the store: a line whenever it
    is another than the line before, with the time (UTC, ISO), and how many cells of the run were stored by then."""
    path, found = config.folder / "declared.jsonl", digest(config.declared)
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    if not lines or json.loads(lines[-1])["hash"] != found:
        now, n = datetime.now(UTC).isoformat(timespec="seconds"), len(store.cells(run=config.label))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"hash": found, "seen": now, "cells": n, **config.declared}) + "\n")


def held_out_run(run: str) -> str:
    """The `run` under which a run's held-out cells are stored: they are no part of its own table."""
    return f"{run} held out"


def note_criterion(config: RunConfig, store: Store, model: str) -> dict[str, Any] | None:
    """Note the held-out test's criterion, and the hash of all that its verdict depends on, when it is first seen.

    Returns the note: criterion, first_seen (UTC, ISO), after_results and after_run (how many held-out answers, and
    answers of the run's own treatment, were there then); None if the config has no criterion for a task that it runs.
    """
    wanted = config.held_out
    if wanted is None or wanted.pool_task not in config.tasks:
        return None
    names = wanted.task, wanted.pool_task
    tasks = [config.task(name).model_dump(exclude={"methods", "n_problems"}) for name in names]
    for of in tasks:
        of["pool"] = dict(of["pool"].items() - {("draws", 1)})  # as was noted before there were draws
    numbers = [config.seed, config.n_samples, config.analysis.n_resamples, config.endpoint.tokenizer_file]
    sampling = config.sampling.model_dump(exclude=None if config.sampling.efforts else {"efforts"})  # likewise
    design = digest([wanted.model_dump(), tasks, sampling, numbers])
    about = f"{held_out_run(config.label)}, {model}, {design}"
    if (known := store.noted("settle", about)) is not None:
        return known
    held = store.cells(run=held_out_run(config.label), model=model, task=wanted.task)
    own = store.cells(run=config.label, model=model, task=wanted.task, method=wanted.treatment)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    note: dict[str, Any] = {"criterion": wanted.model_dump(mode="json"), "first_seen": now}
    note |= {"after_results": int((held.status != "error").sum()), "after_run": int((own.status != "error").sum())}
    store.note("settle", about, note)
    return note


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
    """Run a coroutine to its end, in a thread of its own: in a notebook cell a loop runs already.

    Ctrl-C or a kernel interrupt cancels it, waits for it to end, and raises KeyboardInterrupt; a second ends the wait.
    """
    begun: Future[asyncio.Task[T]] = Future()

    async def whole() -> T:
        begun.set_result(task := asyncio.create_task(work))
        return await task

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, whole())
        while True:
            try:
                return done.result()
            except KeyboardInterrupt:
                task = begun.result()
                task.get_loop().call_soon_threadsafe(task.cancel)
            except asyncio.CancelledError:
                break
    raise KeyboardInterrupt("stopped; what was stored is kept: run the same again, and it goes on from there")
