"""What would a study find and cost, going by a pilot?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.registry import load_task
from anytime_lib.store import CELL_COLUMNS, Store
from anytime_lib.studies.variance import VarianceSplit, trace_scores, variance_split
from anytime_lib.sweep.costs import Price
from anytime_lib.sweep.run import run_sweep


def power_table(
    cells: pd.DataFrame, *, effect: float, n_problems: Iterable[int], n_samples: Iterable[int], baseline: str = "base",
    treatment: str | None = None, n_simulations: int = 1_000, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How often studies of every size would find a difference (two-sided .05), by simulation from a pilot's cells.

    Problems of the pilot are drawn with replacement, and for each, samples of its own for either arm; `effect` is added
    to the treatment's, and the paired t test is run on the problems' mean differences. A trace counts with the area
    under its curve (not clipped to [0, 1] when shifted); samples vary around their problem's mean with the variance of
    an unbiased estimate, and problems in their true difference with what `variance_split` finds of the pilot's arms.

    Args:
        cells: of one run, model and task. A problem counts if every sample of it can be read.
        effect: the true difference in mean area (raw Anytime Index).
        baseline, treatment: methods of the pilot; without a treatment both arms are drawn from the baseline's samples,
            and problems do not vary in their true difference, the best case.

    Returns:
        One row per size: n_samples, n_problems, power (the share of studies that found it; one without any spread found
        nothing), standard_error (of `power`), effect, sd_problems (of the true difference), n_simulations.

    Raises:
        DataError: the pilot has no problem with two samples in each arm, or a study is too small to test anything.
    """
    arms = [trace_scores(cells, method).dropna() for method in (baseline, treatment or baseline)]
    shared = arms[0].index.intersection(arms[1].index)
    if len(shared) < 2 or min(arm.shape[1] for arm in arms) < 2:
        raise DataError("a pilot needs at least two problems with two samples each that were graded at all budgets")
    pools = [arm.loc[shared].to_numpy() for arm in arms]
    means = [pool.mean(axis=1, keepdims=True) for pool in pools]
    residuals = [(p - m) * np.sqrt(p.shape[1] / (p.shape[1] - 1)) for p, m in zip(pools, means, strict=True)]
    seen = (means[1] - means[0])[:, 0]
    spread = seen.var(ddof=1)
    true = variance_split(cells, baseline=baseline, treatment=treatment).between if treatment else 0.0
    differences = (seen - seen.mean()) * np.sqrt(true / spread if spread else 0.0)
    table = pd.DataFrame(product(n_samples, n_problems), columns=["n_samples", "n_problems"])
    if table.n_problems.min() < 2 or table.n_samples.min() < 1:
        raise DataError("nothing can be tested with fewer than 2 problems or 1 sample")
    power = []
    for k, n in table.itertuples(index=False):
        rng = np.random.default_rng(seed)
        problems = rng.integers(len(shared), size=(n_simulations, n))
        found = effect + differences[problems]
        for sign, pool in zip((-1, 1), residuals, strict=True):
            samples = rng.integers(pool.shape[1], size=(n_simulations, n, k))
            found = found + sign * pool[problems[..., None], samples].mean(axis=-1)
        error = found.std(axis=1, ddof=1) / np.sqrt(n)
        t = np.divide(np.abs(found.mean(axis=1)), error, out=np.zeros(n_simulations), where=error > 1e-12)
        power.append(float((t > distributions.t.isf(0.025, n - 1)).mean()))
    table["power"] = power
    table["standard_error"] = np.sqrt(table.power * (1 - table.power) / n_simulations)
    return table.assign(effect=effect, sd_problems=differences.std(ddof=1), n_simulations=n_simulations)


def cost_of_a_sample(cells: pd.DataFrame, methods: Iterable[str]) -> float:
    """Output tokens that one sample takes in all of these arms: its trace, and the answers asked of it (one that larger
    budgets carry on was asked for once). An arm that the pilot does not hold costs what the mean of the others does."""
    names = list(methods)
    arms = cells[cells.method.isin(names)]
    if arms.empty:
        raise DataError(f"no cells of {' or '.join(names)}")
    traces = arms.groupby(["method", "problem_id", "sample"]).tokens_used.max().groupby("method")
    asked = arms[arms.answer_key.isna() | ~arms.duplicated(["method", "answer_key"])]
    each = traces.mean() + asked.groupby("method").answer_tokens.sum() / traces.size()
    return float(each.mean()) * len(names)


def design_table(
    split: VarianceSplit, *, n_problems: Iterable[int], n_samples: Iterable[int], tokens_per_sample: float,
    price: Price | None = None,
) -> pd.DataFrame:  # fmt: skip
    """What each design could find and what it would take, going by the split of the pilot's difference (or of one arm)
    and `cost_of_a_sample`: n_problems, n_samples, detectable (smallest difference found with power .8), tokens (output,
    all arms), dollars (of those; NaN where no price is known)."""
    table = pd.DataFrame(product(n_samples, n_problems), columns=["n_samples", "n_problems"])
    table["detectable"] = [split.detectable(n, k) for k, n in table.itertuples(index=False)]
    table["tokens"] = table.n_problems * table.n_samples * tokens_per_sample
    return table.assign(dollars=price.dollars(0, 0, table.tokens) if price else np.nan)  # type: ignore[arg-type]


def pilot_cells(config: RunConfig) -> tuple[pd.DataFrame, str]:
    """The cells that a run has stored, as a pilot, and a sentence on where they come from. No model is asked.

    A task can be planned from if at least two of its problems have two samples each that were graded at every budget,
    and not all of them came out the same. Where there is none, the simulated respondent runs the config's tasks and
    budgets on problems of our own, into a folder of its own (`<run>-simulated`).
    """
    stored = _stored(config)
    if stored.empty:
        cells = run_sweep(_simulated(config), progress=False)
        return cells, (
            f"the run {config.label!r} has stored nothing that varies, so the pilot is of the simulated respondent "
            f"({cells.model.iloc[0]}): it shows how a study is planned, and its numbers are not those of any model"
        )
    told = f"pilot: {len(stored)} stored cells of {stored.model.iloc[0]} in the run {config.label!r}"
    if lost := [task for task in config.tasks if task not in set(stored.task)]:
        told += f"; {', '.join(lost)} left out (nothing stored that varies)"
    return stored, told


def _stored(config: RunConfig) -> pd.DataFrame:
    """A run's cells of the tasks that can be planned from."""
    found = [pd.DataFrame(columns=CELL_COLUMNS)]
    if not (path := config.folder / "store.sqlite").is_file():
        return found[0]
    with Store(path) as store:
        cells = store.cells(run=config.label)
    cells = cells[cells.model.isin(cells.model.tail(1))]  # of one model, where there are several
    for name in config.tasks:
        settings = config.task(name)
        part = cells[(cells.task == name) & cells.method.isin(settings.methods) & cells.budget.isin(settings.budgets)]
        arms = {str(method): arm for method, arm in part.groupby("method", sort=False) if _varies(arm)}
        found += arms.values() if "base" in arms else []
    return pd.concat(found[1:] or found, ignore_index=True)


def _varies(arm: pd.DataFrame) -> bool:
    whole = trace_scores(arm, arm.method.iloc[0]).dropna().to_numpy()
    return min(whole.shape) > 1 and float(np.ptp(whole)) > 0


def _simulated(config: RunConfig) -> RunConfig:
    """The settings of a simulated pilot: up to 24 of each task's problems, and (unless the config says otherwise) a
    respondent that takes the tokens of the budget in the middle for one of middling difficulty, pdp half as fast again.
    """
    tasks, middles = {}, []
    for name in config.tasks:
        settings = config.task(name)
        middles.append(np.sqrt(settings.budgets[0] * settings.budgets[-1]))
        test, pool = (len(load_task(name).problems(limit=most, seed=config.seed, split=part))
                      for part, most in (("test", 24), ("pool", 4)))  # fmt: skip
        tasks[name] = {"budgets": settings.budgets, "methods": ["base", "pdp"] if pool else ["base"],
                       "n_problems": test,
                       "pool": settings.pool.model_dump() | {"problems": max(1, pool), "samples": 2}}  # fmt: skip
    simulated = {"solve": 1 / float(np.median(middles)), "effects": {"pdp": 1.5}}
    options = {"simulated": config.options.get("simulated") or simulated}
    return RunConfig(run=f"{config.run}-simulated", model="simulated", seed=config.seed, n_samples=6, concurrency=64,
                     tasks=tasks, options=options)  # fmt: skip
