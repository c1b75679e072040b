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
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, EndpointError
from anytime_lib.models.limiter import Limiter
from anytime_lib.models.model import Model, load_model
from anytime_lib.store import Store
from anytime_lib.sweep.aio import first_error, run_async
from anytime_lib.sweep.arms import Run, run_arms
from anytime_lib.sweep.client import CachedClient
from anytime_lib.sweep.costs import spend_limit_of
from anytime_lib.sweep.criterion import note_criterion
from anytime_lib.sweep.grading import update_grades
from anytime_lib.sweep.live import LiveBackend
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.progress import Progress

log = logging.getLogger(__name__)

SETTLE = 120.0
"""Seconds that requests in flight are waited for where a run ends in an error: they are paid for."""


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


async def run_sweep_async(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """`run_sweep` as a coroutine."""
    async with opened(config) as (store, model):
        update_grades(store)
        note_criterion(config, store, model.name)
        return await sweep_arms(config, plan(config, store), store, model, progress)


@asynccontextmanager
async def opened(config: RunConfig) -> AsyncIterator[tuple[Store, Model]]:
    """A config's store and model, open."""
    async with load_model(config) as model:
        with Store(config.folder / "store.sqlite", key_env=config.endpoint.api_key_env) as store:
            yield store, model


async def sweep_arms(
    config: RunConfig, arms: Sequence[Arm], store: Store, model: Model, progress: bool, keep_files: bool = True
) -> pd.DataFrame:
    """Run these arms and return their cells (see `run_sweep`)."""
    for arm in arms:
        for on in (arm.prep_task, arm):
            model.tell_problems(on.task, on.problems.test, [*on.problems.shots, *on.problems.pool])
    n_cells = sum(arm.n_cells for arm in arms)
    async with running(config, store, model, config.label, n_cells, progress, keep_files=keep_files) as run:
        done = await first_error(run_arms(run, arms))
    here = store.cells(run=config.label, model=model.name)
    mine = pd.Series(False, index=here.index)
    for arm in done:
        mine |= arm.owns(here)
    chosen = here[mine]
    if chosen.empty:
        raise DataError("no method could be run, for what they need could not be prepared; the warnings say why")
    failed = chosen[chosen.status == "error"]
    if len(failed) == len(chosen):
        raise EndpointError(f"every request failed, so there is nothing to grade: {failed.detail.iloc[0]}")
    if len(failed):
        why = failed.detail.iloc[0]
        log.warning("%d of %d cells ended in an error (%s); run again to retry them", len(failed), len(chosen), why)
    same, traces = run.client.repeated
    if same:
        words = "%d of %d traces are word for word another sample of their problem; are seed and temperature heeded?"
        log.warning(words, same, traces)
    return chosen.drop(columns="detail").reset_index(drop=True)


@asynccontextmanager
async def running(
    config: RunConfig,
    store: Store,
    model: Model,
    title: str,
    total: int,
    progress: bool,
    unit: str = "cell",
    keep_files: bool = True,
) -> AsyncIterator[Run]:
    """A run with its limiter, spend limit and bar; its last cells are stored however it ends."""
    at = config.endpoint
    limiter = Limiter(
        at.concurrency, requests_per_minute=at.requests_per_minute, tokens_per_minute=at.tokens_per_minute
    )
    spend_limit = spend_limit_of(config, store, model.name, model.endpoint_id)
    bar = Progress(title, total, progress, unit, limiter=limiter, spend_limit=spend_limit)
    model.limiter, model.on_event = limiter, bar.event
    model.timeouts = replace(model.timeouts, first_token=at.timeout, retries=at.retries)
    backend = LiveBackend(store, model, bar, spend_limit)
    client = CachedClient(config, backend)
    run = Run(config, client, limiter.trace_slots, bar, store, config.folder if keep_files else None)
    ticking = asyncio.create_task(bar.tick())
    try:
        yield run
    except BaseException as error:
        await backend.settle(SETTLE if isinstance(error, Exception) else 0.0)  # 0: an interrupt ends at once
        raise
    finally:
        ticking.cancel()
        run.flush()
        bar.close()
