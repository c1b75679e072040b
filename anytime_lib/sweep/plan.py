"""Which problems are run, which are shown as examples, and by which arms?"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.config.groups import TaskConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import Method, PrepTask, Prompted, Sample
from anytime_lib.registry import load_method, load_task
from anytime_lib.store import Store
from anytime_lib.sweep.client import recorded_key
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem, ProblemSplit, assert_disjoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arm:
    """One method on one task."""

    task: Task
    settings: TaskConfig
    method: Method
    problems: ProblemSplit  # of the task: under test, worked examples, pool
    samples: list[Sample]
    other_prep: PrepTask | None = None  # on whose pool the method is prepared, where it is not the arm's own

    @property
    def prep_task(self) -> PrepTask:
        return self.other_prep or PrepTask(self.task, self.settings, self.problems)

    @property
    def n_draws(self) -> int:
        """How many draws of exemplars its samples are dealt to; 0 where it shows none from the pool."""
        shows = self.method.preparation or self.method.needs_pool
        return self.prep_task.settings.pool.draws if shows else 0

    def n_cells(self, levels: Collection[str] = ()) -> int:
        """How many cells it plans, at these levels of effort if any."""
        return len(self.samples) * len(levels or self.settings.budgets)

    def owns(self, cells: pd.DataFrame, levels: Collection[str] = ()) -> pd.Series:
        """Which of a run's cells (one run, one model) this arm planned, at these levels of effort if any: a mask."""
        here = (cells.task == self.task.name) & (cells.method == self.method.name)
        by_place = cells.effort == cells.budget.map(dict(enumerate(levels, 1)))
        here &= by_place if levels else cells.effort.isna() & cells.budget.isin(self.settings.budgets)
        wanted = pd.MultiIndex.from_tuples([(of.problem.id, of.number) for of in self.samples], names=["id", "n"])
        return here & pd.MultiIndex.from_frame(cells[["problem_id", "sample"]]).isin(wanted)


def on_measured_tokens(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells of a store with what a level of effort took, in place of its place, as their budget: mean tokens over all
    cells of one run, model and task, rounded, and kept apart by one at the least. Other cells are as they were."""
    budget = cells.budget.copy()
    for _, part in cells[cells.effort.notna()].groupby(["run", "model", "task"]):
        took = part.groupby("budget").tokens_used.mean().clip(lower=1).fillna(1).sort_values(kind="stable").round()
        apart = np.arange(len(took))
        budget[part.index] = part.budget.map((took - apart).cummax() + apart).astype(int)
    return cells.assign(budget=budget)


def plan(config: RunConfig, store: Store | None) -> list[Arm]:
    """The arms of a config, in the order in which they are started: those that need a preparation come last. DataError
    where there are too few problems, or no recorded trace for the method `imported`."""
    arms = []
    for name in config.tasks:
        task, settings = load_task(name), config.task(name)
        problems = split_problems(task, settings, config.seed)
        for method in (load_method(m, settings.options.get(m)) for m in settings.methods):
            method.check(task)
            by_tokens = not isinstance(method, Prompted) or method.per_budget or method.name == "imported"
            if config.sampling.efforts and by_tokens:
                raise ConfigError(f"{method.name} is held to tokens, and a level of effort is none; leave it out")
            samples = [Sample(task, method.name, p, n) for p in problems.test for n in range(config.n_samples)]
            if method.name == "imported":
                samples = [of for of in samples if store and store.get(recorded_key(of.problem, of.number))]
                if not samples:
                    raise DataError("the run's store has no recorded trace of these problems; see `anytime import`")
                stored = len(store.requests().query("endpoint == 'recorded' and task == @task.name")) if store else 0
                left_out, unused = len(problems.test) - len({of.problem.id for of in samples}), stored - len(samples)
                if left_out or unused:
                    log.warning("problems left out without a recorded trace: %d; traces not used: %d", left_out, unused)
            arms.append(Arm(task, settings, method, problems, samples))
    return sorted(arms, key=lambda arm: arm.method.preparation is not None)


def split_problems(task: Task, settings: TaskConfig, seed: int) -> ProblemSplit:
    """Draw a task's test problems, worked examples and pool, which all draws of exemplars are taken from (`pool_of`);
    DataError where there are too few problems, or the pool shares an id or a text with the test set."""
    methods, own = [load_method(name) for name in settings.methods], settings.pool
    needs_pool = any(method.needs_pool or method.preparation for method in methods)
    n_pool, least = (settings.n_shots + needs_pool * own.problems * n for n in (own.draws, min(own.draws, 2)))
    if settings.pool_source == "none" and n_pool:
        why = "examples, pairs and principles come from a pool, and pool_source is 'none'"
        raise DataError(f"{task.name}: {why}; name one, or leave out n_shots and the methods that need a pool")
    test = drawn(task, settings, seed, "test", settings.n_problems)
    pool = drawn(task, settings, seed, "pool", n_pool, test, least)
    assert_disjoint(test, pool)
    if len(pool) < n_pool:
        words = "%s: the pool has %d problems, too few for %d draws of %d each: draws share some, and differ by less"
        log.warning(f"{words} than new ones would", task.name, len(pool) - settings.n_shots, own.draws, own.problems)
    return ProblemSplit(test, pool[: settings.n_shots], pool[settings.n_shots :])


def pool_of(on: PrepTask, seed: int, draw: int) -> PrepTask:
    """The same with the pool of one draw of exemplars alone: the next problems of the whole pool for each, or, where
    they are too few for all draws, some of them at random; the first draw is the first of them in either case."""
    pool, n = on.problems.pool, on.settings.pool.problems
    where = range(n * draw, n * (draw + 1))
    if draw and len(pool) < n * on.settings.pool.draws:
        where = np.random.default_rng([seed, draw]).permutation(len(pool))[:n].tolist()
    part = [pool[i] for i in where if i < len(pool)]
    return on._replace(problems=replace(on.problems, pool=part), draw=draw)


def drawn(
    task: Task, settings: TaskConfig, seed: int, part: str, wanted: int, tested: Sequence[Problem] = (), least: int = 0
) -> list[Problem]:
    """So many problems of one part, `test` or `pool`; where `least` is given, fewer are enough, if not fewer than that.
    With a pool from a source of its own, neither source is split, and the pool is what that holds beside `tested`."""
    source = settings.source if part == "test" else settings.pool_source or settings.source
    if not wanted:
        return []
    whole = source and settings.pool_source is not None
    known = {mark for p in tested if whole for mark in (p.id, p.content_hash)}
    found = task.problems(source, None if known else wanted, seed, "all" if whole else part, settings.difficulty)
    found = [p for p in found if not known & {p.id, p.content_hash}][:wanted]
    if len(found) < (least or wanted):
        every = found if whole else task.problems(source, None, seed, "all", settings.difficulty)
        apart = f": {len(every) - len(found)} others are kept for the {'pool' if part == 'test' else 'test'}"
        keeps = "" if whole else apart + ", unless you name a pool_source, or none" * bool(source)
        holds = f"{source or 'its own set'} holds {len(found)}{' beside those under test' if known else ''}"
        raise DataError(f"{task.name}: {wanted} {part} problems wanted, {holds}; ask for fewer{keeps}")
    return found
