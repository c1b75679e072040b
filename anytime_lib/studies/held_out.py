"""Does the claim hold, by a criterion written down before, on problems nobody has looked at?

The criterion in the params names two methods, a statistic, budgets, a margin in quality points and held-out problems.
Both methods are run there as in any sweep; what they prepare (pairs, principles) comes from the run's own pool, so
nothing of the held-out problems is seen before. The verdict follows from the interval of the paired difference alone:
`supported` if all of it is above the margin, `refuted` if all of it is below, else `undecided`.

When a criterion is first seen it is noted in the store with its time and with what results were there already
(`sweep.run.note_criterion`), and a verdict by a criterion that is younger than held-out results says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import HeldOutConfig, RunConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import PrepTask
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.compare import FEW, compare
from anytime_lib.stats.pairing import paired_arrays
from anytime_lib.sweep.aio import run_async
from anytime_lib.sweep.plan import Arm, drawn, samples_of, split_problems
from anytime_lib.sweep.run import held_out_run, note_criterion, opened, sweep_arms
from anytime_lib.types import ProblemSplit, assert_disjoint

Outcome = Literal["supported", "refuted", "undecided"]
ELSEWHERE = "give settle another seed, difficulty or source"


@dataclass(frozen=True)
class Verdict:
    """What the criterion says. Values, ends and difference are in quality points (100 times the score).

    Attributes:
        difference, low, high: treatment minus baseline, and its interval; NaN where nothing could be compared.
        n_problems, n_samples: what both methods have.
        seen: when the store first saw the criterion, and how many results were there then (see `note_criterion`):
            held-out ones mean that it was changed once results could be known.
        note: why nothing could be compared; empty where it could.
    """

    outcome: Outcome
    criterion: HeldOutConfig
    seen: dict[str, Any]
    note: str = ""
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    baseline_value: float = np.nan
    treatment_value: float = np.nan
    n_problems: int = 0
    n_samples: int = 0

    @property
    def changed(self) -> bool:
        """Whether held-out results were there before the criterion was."""
        return bool(self.seen["after_results"])

    def summary(self) -> str:
        """One sentence."""
        c, few = self.criterion, ", few for an interval" if self.n_problems < FEW else ""
        found = self.note or (
            f"difference {self.difference:+.1f} points, {c.confidence_level:.0%} interval [{self.low:+.1f}, "
            f"{self.high:+.1f}], {self.n_problems} problems x {self.n_samples} samples{few}"
        )
        when = "before any result"
        if self.changed:
            there = f"AFTER {self.seen['after_results']} held-out answers were there"
            when = f"{there}: it does not count as written before"
        elif self.seen["after_run"]:
            when = f"after {self.seen['after_run']} answers of the run itself, before any held-out one"
        claim = (
            f"{c.treatment} beats {c.baseline} on held-out {c.task} by more than {c.margin:g} points of {c.statistic}"
        )
        return f"{self.outcome}: that {claim} ({found}; criterion first seen {self.seen['first_seen']}, {when})."


def settle(config: RunConfig, *, progress: bool = True) -> Verdict:
    """Run both methods on the held-out problems (stored answers are used again) and apply the criterion.

    Raises:
        ConfigError: the config has no criterion.
        DataError: a held-out problem is also in the run, or there are too few.
    """
    return run_async(_settle(config, progress))


async def _settle(config: RunConfig, progress: bool) -> Verdict:
    wanted, arms = _criterion(config), held_out_arms(config)
    async with opened(config) as (store, model):
        seen = note_criterion(config, store, model.name)
        there = config.but(run=held_out_run(config))
        cells = await sweep_arms(there, arms, store, model, progress, keep_files=False)
    assert seen
    return judge(cells, wanted, seen, n_resamples=config.analysis.n_resamples, seed=config.seed)


def judge(
    cells: pd.DataFrame, criterion: HeldOutConfig, seen: dict[str, Any], *, n_resamples: int = 10_000, seed: int = 0
) -> Verdict:
    """The verdict on held-out cells; `seen` is what `note_criterion` returned."""
    undecided = Verdict("undecided", criterion, seen)
    if missing := [m for m in (criterion.baseline, criterion.treatment) if m not in set(cells.method)]:
        note = f"{' and '.join(missing)} did not run there, for what it needs could not be prepared"
        return replace(undecided, note=note)
    try:
        found = replace(undecided, **_difference(cells, criterion, n_resamples, seed))
    except DataError as error:
        return replace(undecided, note=str(error))
    if np.isnan([found.difference, found.low, found.high]).any():
        return replace(found, note="at some budget the two share no answer, or there is one problem alone")
    if found.low == found.high:
        same = f"every problem shows the same difference, {found.difference:+.1f} points"
        return replace(found, note=f"{same}, so chance cannot be judged")
    if found.low > criterion.margin:
        return replace(found, outcome="supported")
    return replace(found, outcome="refuted") if found.high < criterion.margin else found


def _difference(cells: pd.DataFrame, wanted: HeldOutConfig, n_resamples: int, seed: int) -> dict[str, Any]:
    """Fields of a `Verdict`: the difference of the statistic in points, with its interval."""
    if wanted.statistic == "quality":
        return _quality_difference(cells, wanted)
    draws: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "confidence_level": wanted.confidence_level}
    found = compare(cells, baseline=wanted.baseline, treatment=wanted.treatment, **draws)
    low, high = found.confidence_interval() if found.n_problems > 1 else (np.nan, np.nan)
    points = {"difference": found.statistic, "low": low, "high": high}
    points |= {"baseline_value": found.baseline_value, "treatment_value": found.treatment_value}
    counts = {"n_problems": found.n_problems, "n_samples": found.n_samples}
    return {name: 100 * value for name, value in points.items()} | counts


def _quality_difference(cells: pd.DataFrame, wanted: HeldOutConfig) -> dict[str, Any]:
    """Of mean quality over the budgets, no maximum; a t interval over the problems' differences."""
    quality, *_ = paired_arrays(cells, wanted.baseline, wanted.treatment)
    baseline, treatment = 100 * np.nanmean(np.nanmean(quality, axis=2), axis=2)
    change, n = treatment - baseline, quality.shape[1]
    mean, half = change.mean(), np.nan
    if n > 1:
        half = distributions.t.isf((1 - wanted.confidence_level) / 2, n - 1) * change.std(ddof=1) / np.sqrt(n)
    points = {"difference": mean, "low": mean - half, "high": mean + half}
    points |= {"baseline_value": baseline.mean(), "treatment_value": treatment.mean()}
    return {name: float(value) for name, value in points.items()} | {"n_problems": n, "n_samples": quality.shape[2]}


def held_out_arms(config: RunConfig) -> list[Arm]:
    """Both methods on the held-out problems, with the worked examples and the pool of the run.

    Raises:
        DataError: a held-out problem shares its id or its text with a problem of the run, or there are too few.
    """
    wanted = _criterion(config)
    task, prep = load_task(wanted.task), load_task(wanted.pool_task)
    methods = list(dict.fromkeys([wanted.baseline, wanted.treatment]))
    settings, own = (
        config.task(name).model_copy(update={"methods": list(dict.fromkeys([*config.task(name).methods, *methods]))})
        for name in (task.name, prep.name)
    )
    on = PrepTask(prep, own, split_problems(prep, own, config.seed))
    run = on.problems
    if prep.name != task.name:
        run = split_problems(task, settings.model_copy(update={"methods": ["base"]}), config.seed)
    own_source = {} if wanted.source is None else {"source": wanted.source, "pool_source": wanted.source}
    own_levels = {} if wanted.difficulty is None else {"difficulty": wanted.difficulty}
    there = settings.model_copy(update=own_source | own_levels)
    held = drawn(task, there, wanted.seed, "test", there.source, wanted.n_problems)
    assert_disjoint([*run.test, *run.shots, *run.pool], held, "held-out problems are also in the run", ELSEWHERE)
    changes = {"methods": methods, "n_problems": len(held), "budgets": wanted.budgets or settings.budgets}
    settings = settings.model_copy(update=changes)
    problems = ProblemSplit(held, run.shots, run.pool)
    found = [load_method(name, settings.options.get(name)) for name in methods]
    arms = [Arm(task, settings, m, problems, samples_of(config, task, m, held), on) for m in found]
    return sorted(arms, key=lambda arm: arm.method.preparation is not None)


def _criterion(config: RunConfig) -> HeldOutConfig:
    if config.held_out is None:
        raise ConfigError(
            "there is no criterion to settle by; write `settle` (task, margin, seed, ...) into the params"
        )
    if (name := config.held_out.pool_task) not in config.tasks:
        raise ConfigError(f"settle: {name!r} is not among the tasks of this run")
    return config.held_out
