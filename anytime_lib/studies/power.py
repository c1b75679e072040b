"""What would a study find and cost, going by a pilot?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.index import Floats
from anytime_lib.registry import load_task
from anytime_lib.store import CELL_COLUMNS, Store
from anytime_lib.studies.variance import VarianceSplit, of_method, trace_values, variance_split
from anytime_lib.sweep.costs import Price
from anytime_lib.sweep.run import run_sweep


def power_table(
    cells: pd.DataFrame, *, effect: float, n_problems: Iterable[int], n_samples: Iterable[int], baseline: str = "base",
    treatment: str | None = None, sd_problems: float | None = None, alpha: float = 0.05, n_simulations: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How often studies of every size would find a difference, by simulation from the cells of a pilot.

    Problems of the pilot are drawn with replacement, and for each, samples of its own for either arm; `effect` is added
    to the treatment's, and the paired t test is run on the problems' mean differences. A trace counts with the area
    under its curve (not clipped to [0, 1] when shifted); samples vary around their problem's mean with the variance of
    an unbiased estimate, and problems in their true difference with what `variance_split` finds of the pilot's arms.

    Args:
        cells: of one run, model and task.
        effect: the true difference in mean area (raw Anytime Index).
        baseline, treatment: methods of the pilot; without a treatment both arms are drawn from the baseline's samples.
        sd_problems: standard deviation of the true difference between problems; None: the pilot's, which without a
            treatment is not known and taken as 0, the best case.

    Returns:
        One row per size: power (the share of studies that found it; one without any spread found nothing),
        standard_error (of `power`), effect, n_problems, n_samples, sd_problems, alpha, n_simulations.

    Raises:
        DataError: the pilot has no problem with two samples in each arm, or a study is too small to test anything.
    """
    pilot, sizes = _Pilot.of(cells, baseline, treatment), list(n_problems)
    sd = float(pilot.differences.std(ddof=1)) if sd_problems is None else sd_problems
    rows = []
    for k, n in product(n_samples, sizes):
        found = pilot.power(effect, n, k, sd_problems, alpha, n_simulations, np.random.default_rng(seed))
        error = float(np.sqrt(found * (1 - found) / n_simulations))
        rows.append({"power": found, "standard_error": error, "effect": effect, "n_problems": n, "n_samples": k,
                     "sd_problems": sd, "alpha": alpha, "n_simulations": n_simulations})  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Pilot:
    """What is drawn from: residuals of every problem's samples in both arms, (P, S) each, and the problems' true
    differences around their mean, (P,). A problem counts if every sample of it can be read."""

    residuals: tuple[Floats, Floats]
    differences: Floats

    @classmethod
    def of(cls, cells: pd.DataFrame, baseline: str, treatment: str | None) -> _Pilot:
        found = []
        for method in (baseline, treatment or baseline):
            values, problems = trace_values(of_method(cells, method))
            found.append({p: v for p, v in zip(problems, values, strict=True) if not np.isnan(v).any()})
        shared = [p for p in found[0] if p in found[1]]
        pools = [np.array([arm[p] for p in shared]) for arm in found]
        if len(shared) < 2 or min(pool.shape[1] for pool in pools) < 2:
            raise DataError("a pilot needs at least two problems with two samples each that were graded at all budgets")
        means = [pool.mean(axis=1, keepdims=True) for pool in pools]
        first, second = ((p - m) * np.sqrt(p.shape[1] / (p.shape[1] - 1)) for p, m in zip(pools, means, strict=True))
        raw = (means[1] - means[0])[:, 0]
        true = variance_split(cells, baseline=baseline, treatment=treatment).between if treatment else 0.0
        spread = raw.var(ddof=1)
        return cls((first, second), (raw - raw.mean()) * np.sqrt(true / spread if spread else 0.0))

    def power(
        self, effect: float, n: int, k: int, sd: float | None, alpha: float, n_simulations: int,
        rng: np.random.Generator,
    ) -> float:  # fmt: skip
        """The share of simulated studies of n problems x k samples whose paired t test finds the effect."""
        if n < 2 or k < 1:
            raise DataError(f"nothing can be tested with {n} problems and {k} samples: at least 2 and 1 are needed")
        found, step = 0, max(1, 2_000_000 // (n * k))
        for start in range(0, n_simulations, step):
            size = (min(step, n_simulations - start), n)
            problems = rng.integers(len(self.differences), size=size)
            drawn = self.differences[problems] if sd is None else sd * rng.standard_normal(size)
            differences = effect + drawn
            for sign, pool in zip((-1, 1), self.residuals, strict=True):
                samples = rng.integers(pool.shape[1], size=(*size, k))
                differences = differences + sign * pool[problems[..., None], samples].mean(axis=-1)
            mean, error = differences.mean(axis=1), differences.std(axis=1, ddof=1) / np.sqrt(n)
            t = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 1e-12)
            found += int((t > distributions.t.isf(alpha / 2, n - 1)).sum())
        return found / n_simulations


def cost_of_a_sample(cells: pd.DataFrame, methods: Iterable[str]) -> float:
    """Output tokens that one sample takes in all of these arms: its trace, and the answers asked of it (one that larger
    budgets carry on was asked for once). An arm that the pilot does not hold costs what the mean of the others does."""
    spent, names = [], list(methods)
    for method in names:
        arm = cells[cells.method == method]
        if len(arm):
            traces = arm.groupby(["problem_id", "sample"]).tokens_used.max()
            asked = arm[arm.answer_key.isna() | ~arm.answer_key.duplicated()]
            spent.append(float(traces.mean() + asked.answer_tokens.sum() / len(traces)))
    if not spent:
        raise DataError(f"no cells of {' or '.join(names)}")
    return float(np.mean(spent)) * len(names)


def design_table(
    split: VarianceSplit, *, n_problems: Iterable[int], n_samples: Iterable[int], tokens_per_sample: float,
    price: Price | None = None, power: float = 0.8, alpha: float = 0.05,
) -> pd.DataFrame:  # fmt: skip
    """What each design could find and what it would take, going by the split of the pilot's difference (or of one arm)
    and `cost_of_a_sample`: n_problems, n_samples, detectable (smallest difference found with `power`), tokens (output,
    all arms), dollars (of those; NaN where no price is known)."""
    rows = []
    for k, n in product(n_samples, list(n_problems)):
        tokens, least = n * k * tokens_per_sample, split.detectable(n, k, power=power, alpha=alpha)
        rows.append((n, k, least, tokens, price.dollars(0, 0, tokens) if price else np.nan))
    return pd.DataFrame(rows, columns=["n_problems", "n_samples", "detectable", "tokens", "dollars"])


@dataclass(frozen=True)
class PilotCells:
    """Cells to plan from, and in words where they come from and what could not be used."""

    cells: pd.DataFrame
    told: str
    simulated: bool


def pilot_cells(config: RunConfig) -> PilotCells:
    """The cells that a run has stored, as a pilot; where it has none that vary, those of the simulated respondent.

    No model is asked. A task can be planned from if at least two of its problems have two samples each that were
    graded at every budget, and not all of them came out the same. The simulated pilot runs the config's tasks and
    budgets on problems of our own, into a folder of its own (`<run>-simulated`).
    """
    stored, why = _stored(config)
    if len(stored):
        told = f"pilot: {len(stored)} stored cells of {stored.model.iloc[0]} in the run {config.label!r}"
        if lost := [task for task in config.tasks if task not in set(stored.task)]:
            told += f"; {', '.join(lost)} left out (nothing stored that varies)"
        return PilotCells(stored, told, stored.model.iloc[0].startswith("simulated"))
    cells = run_sweep(_simulated(config), progress=False)
    told = (f"{why}, so the pilot is of the simulated respondent ({cells.model.iloc[0]}): it shows how a study is "
            "planned, and its numbers are not those of any model")  # fmt: skip
    return PilotCells(cells, told, True)


def _stored(config: RunConfig) -> tuple[pd.DataFrame, str]:
    """A run's cells of the tasks that can be planned from; and if there are none, why."""
    path = config.folder / "store.sqlite"
    nothing = pd.DataFrame(columns=CELL_COLUMNS)
    if not path.is_file():
        return nothing, f"the run {config.label!r} has stored nothing yet"
    with Store(path) as store:
        cells, requests = store.cells(run=config.label), store.requests()
    if cells.empty:
        return nothing, f"the run {config.label!r} has no cells yet"
    cells = cells[cells.model == requests[requests.model.isin(cells.model)].model.iloc[-1]]  # the model asked last
    found = []
    for task in config.tasks:
        settings = config.task(task)
        part = cells[(cells.task == task) & cells.method.isin(settings.methods) & cells.budget.isin(settings.budgets)]
        if "base" in set(part.method) and _varies(part[part.method == "base"]):
            arms = [arm for _, arm in part.groupby("method", sort=False) if _varies(arm)]
            found.append(pd.concat(arms))
    whole = pd.concat(found).reset_index(drop=True) if found else nothing
    return whole, f"the cells of the run {config.label!r} do not vary or are too few"


def _varies(arm: pd.DataFrame) -> bool:
    values = trace_values(arm)[0]
    whole = values[~np.isnan(values).any(axis=1)]
    return len(whole) > 1 and whole.shape[1] > 1 and float(np.ptp(whole)) > 0


def _simulated(config: RunConfig) -> RunConfig:
    """The settings of a simulated pilot: up to 24 of each task's problems, and (unless the config says otherwise) a
    respondent that takes the tokens of the budget in the middle for one of middling difficulty, pdp half as fast again.
    """
    there = {split: {name: len(load_task(name).problems(limit=most, seed=config.seed, split=split))
                     for name in config.tasks}
             for split, most in (("test", 24), ("pool", 4))}  # fmt: skip
    middle = float(np.median([np.sqrt(config.task(t).budgets[0] * config.task(t).budgets[-1]) for t in config.tasks]))
    settings = config.options.get("simulated") or {"solve": 1 / middle, "effects": {"pdp": 1.5}}
    return config.but(
        model="simulated", simulated=settings, base_url=None, run=f"{config.run}-simulated", mode="cut",
        answer_via="turn", concurrency=64, source=None, pool_source=None, difficulty=None,
        methods={name: ["base", "pdp"] if n else ["base"] for name, n in there["pool"].items()},
        n_problems=there["test"], pool_problems={name: max(1, n) for name, n in there["pool"].items()}, n_samples=6,
        n_shots=0, pool_samples=2, spend_cap_dollars=None,
        spend_cap_tokens=None, requests_per_minute=None, tokens_per_minute=None,
    )  # fmt: skip
