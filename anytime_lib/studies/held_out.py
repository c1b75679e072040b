"""Does the claim hold, by a criterion written down before, on problems nobody has looked at?

The criterion in the params names two methods, a statistic, budgets, a margin in quality points and held-out problems.
Both methods are run there as in any sweep; what they prepare (pairs, principles) comes from the run's own pool, so
nothing of the held-out problems is seen before. The verdict follows from the interval of the paired difference alone:
`supported` if all of it is above the margin, `refuted` if all of it is below, else `undecided`. When a criterion is
first seen is noted in the store (`note_criterion`), and a verdict by one younger than held-out results says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.config.groups import HeldOutConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import PrepTask
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.bootstrap import CurveStatistic, index_of
from anytime_lib.stats.compare import FEW, compare
from anytime_lib.sweep.plan import Arm, drawn, samples_of, split_problems
from anytime_lib.sweep.run import held_out_run, note_criterion, opened, run_async, sweep_arms
from anytime_lib.types import ProblemSplit, assert_disjoint

STATISTICS = {
    "index": index_of("pooled"),
    "quality": CurveStatistic(lambda curve, _: np.asarray(curve.mean(axis=-1)), "raw"),
}
"""What a criterion's `statistic` names."""


@dataclass(frozen=True)
class Verdict:
    """What the criterion says: of the difference (treatment minus baseline, in points of 100 times the score) with its
    interval, on the problems and samples that both methods have.

    Attributes:
        seen: when the store first saw the criterion, and what results were there then (see `note_criterion`).
        note: why nothing could be compared; empty where it could.
    """

    outcome: Literal["supported", "refuted", "undecided"]
    criterion: HeldOutConfig
    seen: dict[str, Any]
    note: str = ""
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    n_problems: int = 0
    n_samples: int = 0

    def summary(self) -> str:
        """One sentence."""
        c, few = self.criterion, ", few for an interval" if self.n_problems < FEW else ""
        found = self.note or (
            f"difference {self.difference:+.1f} points, {c.confidence_level:.0%} interval [{self.low:+.1f}, "
            f"{self.high:+.1f}], {self.n_problems} problems x {self.n_samples} samples{few}"
        )
        when = "before any result"
        if n := self.seen["after_results"]:
            when = f"AFTER {n} held-out answers were there: it does not count as written before"
        elif n := self.seen["after_run"]:
            when = f"after {n} answers of the run itself, before any held-out one"
        return (
            f"{self.outcome}: that {c.treatment} beats {c.baseline} on held-out {c.task} by more than {c.margin:g} "
            f"points of {c.statistic} ({found}; criterion first seen {self.seen['first_seen']}, {when})."
        )


def settle(config: RunConfig, *, progress: bool = True) -> Verdict:
    """Run both methods on the held-out problems (stored answers are used again) and apply the criterion.

    Raises:
        ConfigError: the config has no criterion.
        DataError: a held-out problem is also in the run, or there are too few.
    """
    return run_async(_settle(config, progress))


async def _settle(config: RunConfig, progress: bool) -> Verdict:
    wanted, arms = _criterion(config), held_out_arms(config)
    async with opened(config, progress) as (run, store, model):
        seen = note_criterion(config, store, model.name)
        there = replace(run, label=held_out_run(config), folder=None)
        cells = await sweep_arms(there, arms, store, model)
    assert seen is not None
    return judge(cells, wanted, seen, n_resamples=config.analysis.n_resamples, seed=config.seed)


def judge(
    cells: pd.DataFrame, criterion: HeldOutConfig, seen: dict[str, Any], *, n_resamples: int = 10_000, seed: int = 0
) -> Verdict:
    """The verdict on held-out cells; `seen` is what `note_criterion` returned."""
    undecided = Verdict("undecided", criterion, seen)
    try:
        found = compare(
            cells, baseline=criterion.baseline, treatment=criterion.treatment, n_resamples=n_resamples, seed=seed,
            confidence_level=criterion.confidence_level, statistic=STATISTICS[criterion.statistic],
        )  # fmt: skip
    except DataError as error:
        return replace(undecided, note=str(error))
    difference, low, high = (100 * value for value in (found.statistic, *found.confidence_interval()))
    n: dict[str, Any] = {"n_problems": found.n_problems, "n_samples": found.n_samples}
    verdict = replace(undecided, difference=difference, low=low, high=high, **n)
    if found.n_problems < 2 or np.isnan([difference, low, high]).any():
        return replace(verdict, note="at some budget the two share no answer, or there is one problem alone")
    if low == high:
        same = f"every problem shows the same difference, {difference:+.1f} points"
        return replace(verdict, note=f"{same}, so chance cannot be judged")
    if low > criterion.margin:
        return replace(verdict, outcome="supported")
    return replace(verdict, outcome="refuted") if high < criterion.margin else verdict


def held_out_arms(config: RunConfig) -> list[Arm]:
    """Both methods on the held-out problems, with the worked examples and the pool of the run.

    Raises:
        DataError: a held-out problem shares its id or its text with a problem of the run, or there are too few.
    """
    wanted = _criterion(config)
    task, prep, names = load_task(wanted.task), load_task(wanted.pool_task), [wanted.baseline, wanted.treatment]
    settings, own = config.task(task.name), config.task(prep.name)
    own = own.model_copy(update={"methods": [*own.methods, *names]})
    on = PrepTask(prep, own, split_problems(prep, own, config.seed))
    run = on.problems
    if prep.name != task.name:
        run = split_problems(task, settings.model_copy(update={"methods": ["base"]}), config.seed)
    elsewhere = {"source": wanted.source, "pool_source": wanted.source, "difficulty": wanted.difficulty}
    there = settings.model_copy(update={name: value for name, value in elsewhere.items() if value is not None})
    held = drawn(task, there, wanted.seed, "test", there.source, wanted.n_problems)
    leak = "held-out problems are also in the run; give held_out another seed, difficulty or source"
    assert_disjoint([*run.test, *run.shots, *run.pool], held, leak)
    changes = {"methods": names, "n_problems": len(held), "budgets": wanted.budgets or settings.budgets}
    problems, arms = ProblemSplit(held, run.shots, run.pool), []
    for name in dict.fromkeys(names):
        method = load_method(name, settings.options.get(name))
        samples = samples_of(task, method, held, config.n_samples)
        arms.append(Arm(task, settings.model_copy(update=changes), method, problems, samples, on))
    return sorted(arms, key=lambda arm: arm.method.preparation is not None)


def _criterion(config: RunConfig) -> HeldOutConfig:
    if config.held_out is None:
        raise ConfigError("there is no criterion to settle by; write `held_out` (task, margin, ...) into the params")
    if (name := config.held_out.pool_task) not in config.tasks:
        raise ConfigError(f"held_out: {name!r} is not among the tasks of this run")
    return config.held_out
