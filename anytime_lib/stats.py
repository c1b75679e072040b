"""Is the difference between two methods more than chance?

The problem is the unit of analysis: samples within a problem are not independent, so problems are resampled, then
samples inside them, with the same draws for both arms (the paired, hierarchical bootstrap). Sources: Miller, "Adding
Error Bars to Evals" (arXiv 2411.00640); Davison & Hinkley, "Bootstrap Methods and their Application" (1997), ch. 3.8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, anytime_index, mean_curve, quality_array

Statistic = Callable[[Floats, list[int]], Floats]
"""(..., P, S, T) quality and the budgets -> (...) or (..., T): any statistic of the curves."""


FEW = 20
"""Below this many problems a bootstrap interval is too narrow to be taken at its word, and is said to be."""


class Interval(NamedTuple):
    """A confidence interval, as scipy names its ends."""

    low: float
    high: float


def index_of(order: Order = "pooled") -> Statistic:
    """The Anytime Index as a statistic, its maximum taken at the level `order` names; NaN where a budget has no
    graded cell at all."""

    def statistic(quality: Floats, budgets: list[int]) -> Floats:
        curve = mean_curve(quality, order)
        unknown = np.asarray(np.isnan(curve).any(axis=-1, keepdims=True))
        index = anytime_index(budgets, np.where(unknown, 0.0, curve), running_max=False)
        return np.where(unknown[..., 0], np.nan, index)

    return statistic


def curve_of(order: Order = "pooled") -> Statistic:
    """The quality curve as a statistic: (..., T)."""
    return lambda quality, _: mean_curve(quality, order)


def resampled(
    quality: Floats, budgets: list[int], statistic: Statistic, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """A statistic on hierarchical bootstrap resamples of one or several arms, with the same draws for all arms.

    Args:
        quality: (A, P, S, T): arms, problems, samples, budgets; NaN where missing.
        budgets: (T,).
        statistic: of a (..., P, S, T) array.
        n_resamples: R.
        rng: where the draws come from.

    Returns:
        (R, A, ...) the statistic of every arm on every resample. Problems are drawn with replacement, then samples
        within each drawn problem; 64 resamples are worked on at once, so that memory stays small.
    """
    _, n_problems, n_samples, _ = quality.shape
    found = []
    for start in range(0, n_resamples, 64):
        size = min(64, n_resamples - start)
        problems = rng.integers(n_problems, size=(size, n_problems))
        samples = rng.integers(n_samples, size=(size, n_problems, n_samples))
        drawn = quality[:, problems[..., None], samples]  # (A, r, P, S, T)
        found.append(np.moveaxis(np.asarray(statistic(drawn, budgets)), 0, 1))
    return np.concatenate(found)


def percentile_interval(draws: Floats, confidence_level: float) -> tuple[Floats, Floats]:
    """The percentile interval of (R, ...) draws: two (...) arrays."""
    tail = (1 - confidence_level) / 2
    if np.isnan(draws).all():  # a budget has no graded cell: there is nothing to resample
        return np.full(draws.shape[1:], np.nan), np.full(draws.shape[1:], np.nan)
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return low, high


@dataclass(frozen=True)
class Comparison:
    """The paired difference of a statistic, treatment minus baseline.

    Attributes:
        statistic: the difference on the observed cells.
        pvalue: two-sided, by sign-flipping each problem's difference in mean quality over budgets (not of the index
            itself, which is no mean over problems); exact up to 12 problems.
        n_problems, n_samples: problems and samples that both arms have.
        n_missing: cells left out because either arm lacks them.
    """

    baseline: str
    treatment: str
    statistic: float
    pvalue: float
    baseline_value: float
    treatment_value: float
    n_problems: int
    n_samples: int
    n_missing: int
    confidence_level: float
    draws: Floats = field(repr=False)

    def confidence_interval(self, confidence_level: float | None = None) -> Interval:
        """The percentile interval of the difference; a point when all draws are equal."""
        low, high = percentile_interval(self.draws, confidence_level or self.confidence_level)
        return Interval(float(low), float(high))

    def reading(self) -> str:
        """One sentence that says what the interval allows."""
        if np.isnan(self.statistic):
            return (
                f"{self.treatment} cannot be compared with {self.baseline}: at some budget the two share no graded "
                "cell; run again to retry the requests that failed"
            )
        low, high = self.confidence_interval()
        said = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
        return (
            f"{self.treatment} is {said} {self.baseline}: difference {self.statistic:+.3f}, "
            f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}] "
            f"({self.n_problems} problems x {self.n_samples} samples"
            + ("; with so few problems the interval is too narrow: a hint, no proof)" if self.n_problems < FEW else ")")
        )

    def to_frame(self) -> pd.DataFrame:
        low, high = self.confidence_interval()
        return pd.DataFrame(
            [
                {
                    "baseline": self.baseline, "treatment": self.treatment, "baseline_value": self.baseline_value,
                    "treatment_value": self.treatment_value, "difference": self.statistic, "low": low, "high": high,
                    "pvalue": self.pvalue, "n_problems": self.n_problems, "n_samples": self.n_samples,
                    "n_missing": self.n_missing,
                }
            ]
        )  # fmt: skip


def estimate(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 10_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The Anytime Index of every (task, method) in the cells, with its bootstrap interval.

    Returns:
        One row per arm: run, model, task, method, order, index, low, high, final (quality at the largest budget),
        n_problems, n_samples, n_missing.
    """
    rows = []
    for (run, model, task, method), arm in cells.groupby(["run", "model", "task", "method"], sort=False):
        quality, problems, budgets = quality_array(arm)
        draws = resampled(quality[None], budgets, index_of(order), n_resamples, np.random.default_rng(seed))[:, 0]
        low, high = percentile_interval(draws, confidence_level)
        rows.append(
            {
                "run": run, "model": model, "task": task, "method": method, "order": order,
                "index": float(index_of(order)(quality, budgets)), "low": float(low), "high": float(high),
                "final": float(mean_curve(quality, "raw")[-1]), "n_problems": len(problems),
                "n_samples": quality.shape[1], "n_missing": int(np.isnan(quality).sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def band(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 2_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Pointwise bootstrap intervals of one arm's curve: budget, quality, low, high."""
    quality, _, budgets = quality_array(cells)
    draws = resampled(quality[None], budgets, curve_of(order), n_resamples, np.random.default_rng(seed))[:, 0]
    low, high = percentile_interval(draws, confidence_level)
    return pd.DataFrame({"budget": budgets, "quality": mean_curve(quality, order), "low": low, "high": high})


def compare(
    cells: pd.DataFrame,
    *,
    baseline: str,
    treatment: str,
    n_resamples: int = 10_000,
    seed: int = 0,
    order: Order = "pooled",
    confidence_level: float = 0.95,
) -> Comparison:
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: the tidy table; one run, model and task (filter it first).
        baseline, treatment: names of methods in it.
        n_resamples: bootstrap resamples; each draws problems, then samples within them, the same for both arms.
        seed: of the draws.
        order: level of the running maximum (see `anytime_curve`).

    Raises:
        DataError: a method is not there, the arms share no problem, or their budgets differ.
    """
    arms = []
    for method in (baseline, treatment):
        arm = cells[cells.method == method]
        if arm.empty:
            raise DataError(f"no cells of method {method!r}; the table holds {', '.join(cells.method.unique())}")
        arms.append(arm)
    keys = ["problem_id", "sample", "budget"]
    graded = [arm.dropna(subset="score") for arm in arms]
    both = graded[0][keys].merge(graded[1][keys], on=keys)
    if both.empty:
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    paired = [arm.merge(both[keys[:2]].drop_duplicates(), on=keys[:2]) for arm in arms]
    if set(paired[0].budget) != set(paired[1].budget):
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    (first, problems, budgets), (second, *_) = map(quality_array, paired)
    # A cell that either arm lacks counts in neither; a budget that no pair was graded at stays, and is NaN.
    first, second = (np.where(np.isnan(first + second), np.nan, values) for values in (first, second))
    quality = np.stack([first, second])
    statistic = index_of(order)
    draws = resampled(quality, budgets, statistic, n_resamples, np.random.default_rng(seed))
    values = [float(v) for v in statistic(quality, budgets)]
    by_problem = np.nanmean(second - first, axis=(1, 2))
    return Comparison(
        baseline=baseline, treatment=treatment, statistic=values[1] - values[0],
        pvalue=sign_flip_pvalue(by_problem, np.random.default_rng([seed, 1])), baseline_value=values[0],
        treatment_value=values[1], n_problems=len(problems), n_samples=first.shape[1],
        n_missing=sum(map(len, arms)) - 2 * len(both), confidence_level=confidence_level,
        draws=draws[:, 1] - draws[:, 0],
    )  # fmt: skip


def sign_flip_pvalue(differences: NDArray[np.float64], rng: np.random.Generator, n_flips: int = 9_999) -> float:
    """Two-sided p-value that paired differences are symmetric about 0; exact for up to 12 of them."""
    n = len(differences)
    if n <= 12:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        extra = 0
    else:
        signs = rng.choice([-1, 1], size=(n_flips, n))
        extra = 1
    observed = abs(differences.sum())
    reached = np.sum(np.abs(signs @ differences) >= observed * (1 - 1e-12) - 1e-12)
    return float((reached + extra) / (len(signs) + extra))


def min_detectable_effect(
    n_problems: int,
    n_samples: int,
    *,
    sd_between: float = 0.1,
    sd_within: float = 0.35,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The smallest true difference between two arms that a paired design would find with the given power.

    A planning value: the two-sided paired t test on the problems' mean differences, whose variance is
    sd_between^2 + 2 sd_within^2 / n_samples (Miller, arXiv 2411.00640, section 5). The defaults fit power simulated on
    scores of multiple choice (n=30 with 10 samples: 10 points found with .79); put in what earlier runs showed.

    Args:
        n_problems, n_samples: problems, and traces per problem and arm.
        sd_between: of the true difference between problems.
        sd_within: of one trace's quality around its problem's mean.

    Returns:
        A difference in mean quality; NaN for fewer than two problems, for which nothing can be tested.
    """
    if n_problems < 2 or n_samples < 1:
        return float("nan")
    df = n_problems - 1
    critical = distributions.t.isf(alpha / 2, df)

    # The t statistic's power as a mean over its estimated spread: scipy's noncentral t gives NaN for few problems.
    spread = np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)

    def lacking(shift: float) -> float:
        found = distributions.norm.cdf(shift - critical * spread) + distributions.norm.cdf(-shift - critical * spread)
        return float(found.mean()) - power

    standard_error = float(np.sqrt((sd_between**2 + 2 * sd_within**2 / n_samples) / n_problems))
    return float(optimize.brentq(lacking, 0.0, 20.0 * critical)) * standard_error
