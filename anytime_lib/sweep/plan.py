"""Which traces does a config ask for? Its arms: every (task, method), with the problems and samples of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from anytime_lib.config import RunConfig, TaskConfig
from anytime_lib.errors import DataError
from anytime_lib.methods.base import Context, Method
from anytime_lib.methods.judge import verifier_of
from anytime_lib.registry import load_method, load_task
from anytime_lib.store import Store
from anytime_lib.sweep.exemplars import split_problems
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem, ProblemSplit, recorded_key

log = logging.getLogger(__name__)


class Ground(NamedTuple):
    """What a method is prepared on."""

    task: Task
    settings: TaskConfig
    problems: ProblemSplit


@dataclass(frozen=True)
class Arm:
    """One method on one task.

    Attributes:
        problems: the task's draw: under test, worked examples, pool.
        samples: the problem and the number of every trace.
        ground: what the method is prepared on, where that is another task.
    """

    task: Task
    settings: TaskConfig
    method: Method
    problems: ProblemSplit
    samples: list[tuple[Problem, int]]
    ground: Ground | None = None

    @property
    def prepared_on(self) -> Ground:
        """What the method is prepared on: as a rule the arm's own task and pool."""
        return self.ground or Ground(self.task, self.settings, self.problems)

    @property
    def n_cells(self) -> int:
        return len(self.samples) * len(self.settings.budgets)

    def context(self, prepared: Any) -> Context:
        """What its method is given beside a problem."""
        return Context(self.task, self.settings, self.problems.shots, self.problems.pool, prepared,
                     self.settings.budgets[-1])  # fmt: skip

    def owns(self, cells: pd.DataFrame) -> pd.Series:
        """Which of a run's cells (one run, one model) this arm planned: a mask."""
        here = (cells.task == self.task.name) & (cells.method == self.method.name)
        here &= cells.budget.isin(self.settings.budgets)
        numbers: dict[int, set[str]] = {}
        for problem, sample in self.samples:
            numbers.setdefault(sample, set()).add(problem.id)
        mine = pd.Series(False, index=cells.index)
        for sample, ids in numbers.items():
            mine |= (cells["sample"] == sample) & cells.problem_id.isin(ids)
        return here & mine


def plan(config: RunConfig, store: Store | None) -> list[Arm]:
    """The arms of a config, in the order in which they are started: those that need a preparation come last, for
    theirs is made while the others run.

    Raises:
        DataError: there are too few problems, or no recorded trace for the method `recorded`.
    """
    arms = []
    for name in config.tasks:
        task, settings = load_task(name), config.task(name)
        problems = split_problems(task, settings, config.seed)
        for method in (load_method(m, settings.options.get(m)) for m in settings.methods):
            verifier_of(task, needed=getattr(method.preparation, "by", None) == "verifier")
            arms.append(Arm(task, settings, method, problems, _samples(config, method, problems.test, store)))
    return sorted(arms, key=lambda arm: arm.method.preparation is not None)


def _samples(
    config: RunConfig, method: Method, problems: Sequence[Problem], store: Store | None
) -> list[tuple[Problem, int]]:
    """What an arm runs: every sample of every problem, of recorded traces those that were imported."""
    whole = [(p, sample) for p in problems for sample in range(config.n_samples)]
    if method.name != "recorded":
        return whole
    found = [(p, sample) for p, sample in whole if store and store.get(recorded_key(p, sample)) is not None]
    seen = len({p.id for p, _ in found})
    if not found:
        where = store.path if store else config.folder
        raise DataError(f"{where} holds no recorded trace of these problems; `anytime import` brings some in")
    if seen < len(problems):
        log.warning("recorded traces are there for %d of %d problems; the others are left out", seen, len(problems))
    return found
