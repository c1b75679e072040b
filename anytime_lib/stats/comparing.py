"""Is the difference between two methods more than chance?

The problem is the unit of analysis: both arms are read on the same problems and resampled with the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, quality_array
from anytime_lib.stats.bootstrap import Interval, index_of, percentile_interval, resampled

FEW = 20
"""Below this many problems a bootstrap interval is too narrow to be taken at its word, and is said to be."""


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
