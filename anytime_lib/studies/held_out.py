"""Does the claim hold, by a criterion written down before, on problems nobody has looked at?

Both methods are run there as in any sweep, but what they prepare comes from the run's own pool. The verdict follows
from the interval of the paired difference alone, whatever the missing answers were: `supported` if all of it is above
the margin, `refuted` if all of it is below, else `undecided`; it says so where the criterion was first seen after
held-out results were there. The `index` is judged as everywhere: `crossfit`, or `raw` of a single sample.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.config.groups import HeldOutConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import PrepTask, Sample
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.bootstrap import CurveStatistic
from anytime_lib.stats.compare import Estimand, compare
from anytime_lib.sweep.plan import Arm, drawn, split_problems
from anytime_lib.sweep.run import held_out_run, note_criterion, opened, run_async, sweep_arms
from anytime_lib.types import ProblemSplit, assert_disjoint


class Verdict(NamedTuple):
    """What the criterion says, in one word and in a sentence, of the difference (treatment minus baseline, in points of
    100 times the score) with its interval; all NaN where nothing could be compared."""

    outcome: str
    summary: str
    difference: float
    low: float
    high: float


def settle(config: RunConfig, *, progress: bool = True) -> Verdict:
    """Run both methods on the held-out problems (stored answers are used again) and apply the criterion. Errors are
    those of `held_out_arms`."""
    arms = held_out_arms(config)

    async def asked() -> tuple[dict[str, Any] | None, pd.DataFrame]:
        async with opened(config, progress) as (run, store, model):
            seen = note_criterion(config, store, model.name)
            there = replace(run, label=held_out_run(config.label), folder=None)
            return seen, await sweep_arms(there, arms, store, model)

    seen, cells = run_async(asked())
    assert config.held_out and seen
    return judge(cells, config.held_out, seen, n_resamples=config.analysis.n_resamples, seed=config.seed)


def judge(
    cells: pd.DataFrame, criterion: HeldOutConfig, seen: dict[str, Any], *, n_resamples: int = 10_000, seed: int = 0
) -> Verdict:
    """The verdict on held-out cells; `seen` is what `note_criterion` returned."""
    c, outcome, difference, low, high = criterion, "undecided", np.nan, np.nan, np.nan
    quality = CurveStatistic(lambda curve, _: np.asarray(curve.mean(axis=-1)), "raw", "mean quality over the budgets")
    judged: dict[str, Estimand | CurveStatistic] = {"index": "crossfit", "raw": "raw", "quality": quality}
    how: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "confidence_level": c.confidence_level}
    what = f"points of {c.statistic}"
    try:
        found = compare(cells, baseline=c.baseline, treatment=c.treatment, estimand=judged[c.statistic], **how)
    except DataError as error:
        told = str(error)
    else:
        difference, low, high = (100 * value for value in (found.statistic, *found.confidence_interval()))
        least, most = (100 * end for end in found.missing_interval())
        told = f"difference {difference:+.1f} points, {c.confidence_level:.0%} interval over {found.over} "
        told += f"[{low:+.1f}, {high:+.1f}], "
        told += "; ".join([f"problems: {found.n_problems}, samples of each: {found.n_samples}", *found.notes])
        what = f"points in {found.estimand}"
        if np.isnan(difference):
            told = "at some budget the two share no answer"
        elif least > c.margin or most < c.margin:
            outcome = "supported" if least > c.margin else "refuted"
    when = "before any result"
    if n := seen["after_results"]:
        when = f"AFTER {n} held-out answers were there: it does not count as written before"
    elif n := seen["after_run"]:
        when = f"after {n} answers of the run itself, before any held-out one"
    says = f"{outcome}: that {c.treatment} beats {c.baseline} on held-out {c.task} by more than {c.margin:g} {what} "
    says += f"({told}; criterion first seen {seen['first_seen']}, {when})."
    return Verdict(outcome, says, difference, low, high)


def held_out_arms(config: RunConfig) -> list[Arm]:
    """Both methods on the held-out problems, with the worked examples and the pool of the run. A config without a
    criterion for a task that it runs is a ConfigError; held-out problems that are too few, or share an id or a text
    with a problem of the run, are a DataError."""
    if (wanted := config.held_out) is None:
        raise ConfigError("there is no criterion to settle by; write `held_out` (task, margin, ...) into the params")
    if wanted.pool_task not in config.tasks:
        raise ConfigError(f"held_out: {wanted.pool_task!r} is not among the tasks of this run")
    task, prep, names = load_task(wanted.task), load_task(wanted.pool_task), [wanted.baseline, wanted.treatment]
    settings, own = config.task(task.name), config.task(prep.name)
    own = own.model_copy(update={"methods": [*own.methods, *names]})
    on = PrepTask(prep, own, split_problems(prep, own, config.seed))
    run = on.problems
    if prep.name != task.name:
        run = split_problems(task, settings.model_copy(update={"methods": ["base"]}), config.seed)
    elsewhere = {"source": wanted.source, "pool_source": wanted.source, "difficulty": wanted.difficulty}
    there = settings.model_copy(update={name: value for name, value in elsewhere.items() if value is not None})
    held = drawn(task, there, wanted.seed, "test", wanted.n_problems)
    leak = "held-out problems are also in the run; give held_out another seed, difficulty or source"
    assert_disjoint([*run.test, *run.shots, *run.pool], held, leak)
    changes = {"methods": names, "n_problems": len(held), "budgets": wanted.budgets or settings.budgets}
    settings, problems = settings.model_copy(update=changes), ProblemSplit(held, run.shots, run.pool)
    methods = [load_method(name, settings.options.get(name)) for name in names]
    numbers = range(config.n_samples)
    samples = {m.name: [Sample(task, m.name, p, n) for p in held for n in numbers] for m in methods}
    return [Arm(task, settings, m, problems, samples[m.name], on) for m in methods]
