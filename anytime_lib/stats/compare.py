"""Is the difference between two methods more than chance?

The running maximum favours flat and noisy curves: where the arms' curves differ in shape, a `pooled` difference leans
to the flatter one and its interval is too narrow (with 198 problems x 10 samples, ten budgets and one arm flat it holds
the truth in about .6 of experiments). So a comparison with a maximum carries the same one without (`Comparison.raw`),
by the same draws; where the two conclude otherwise, the one without is to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, cells_array, problem_curves
from anytime_lib.stats import bootstrap
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, index_of
from anytime_lib.stats.intervals import Interval, Method, interval

FEW = 20
"""Below this many problems every interval rests on few clusters, and is said to be a hint."""


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have, in cells of one run, model and task.

    Returns:
        (2, P, S, T) quality, NaN where either lacks the cell, of the problems and samples with any pair; the T budgets,
        those without a pair too; how many cells of the two are left out.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, or see `cells_array`.
    """
    present = [str(m) for m in cells.method.unique()]
    for name in (baseline, treatment):
        if name not in present:
            raise DataError(f"no cells of method {name!r}; the table holds {', '.join(present)}")
    arms = cells_array(cells[cells.method.isin([baseline, treatment])])
    both = [arms.methods.index(baseline), arms.methods.index(treatment)]
    quality, asked = arms.values[both], arms.asked[both]
    if not asked.any(axis=(1, 2)).all():
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    shared = np.asarray(~np.isnan(quality).any(axis=0))  # (P, S, T)
    if not shared.any():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    quality = np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, shared.any(axis=(0, 2))]
    return quality, arms.budgets, int(asked.sum()) - 2 * int(shared.sum())


@dataclass(frozen=True)
class Comparison:
    """The paired difference in Anytime Index, treatment minus baseline; NaN, with its reason, where there is none.

    Attributes:
        pvalue: two-sided, of `sign_flip_pvalue`. It and the interval may disagree near the edge (in 1 to 2 % of
            experiments without effect); `summary` goes by the interval.
        n_missing: cells left out because either arm lacks them.
        raw: the same comparison without a running maximum; None where there is none to leave out.
        draws: (R,) the difference on each resample.
        contributions: (P,) each problem's part, whose mean the difference is (jackknife pseudo-values, centred);
            without a pooled maximum the problems' own differences.
        quality, budgets: (2, P, S, T) the paired cells themselves, and (T,).
    """

    baseline: str = "baseline"
    treatment: str = "treatment"
    confidence_level: float = 0.95
    method: Method = "t"
    statistic: float = np.nan
    pvalue: float = np.nan
    n_problems: int = 0
    n_samples: int = 0
    n_missing: int = 0
    reason: str = ""
    raw: Comparison | None = field(repr=False, default=None)
    draws: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    contributions: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    quality: Floats = field(repr=False, default_factory=lambda: np.full((2, 1, 1, 2), np.nan))
    budgets: list[int] = field(repr=False, default_factory=lambda: [1, 2])

    def confidence_interval(self, confidence_level: float | None = None) -> Interval:
        """The interval of the difference; a point when all draws are equal."""
        level = confidence_level or self.confidence_level
        ends = interval(self.draws, self.statistic, n=self.n_problems, method=self.method, confidence_level=level)
        return Interval(*map(float, ends))

    @property
    def direction(self) -> int:
        """What the interval says: 1 above zero, -1 below, 0 neither. A point counts only where the p-value agrees."""
        low, high = self.confidence_interval()
        told = low < high or self.pvalue < 1 - self.confidence_level
        return int(told and low > 0) - int(told and high < 0)

    @property
    def disagrees(self) -> bool:
        """Whether the maximum leads to another conclusion than the same comparison without it."""
        return self.raw is not None and self.direction != self.raw.direction

    @property
    def effect_size(self) -> float:
        """Cohen's d_z, of the problems' contributions; infinite if all differ alike, 0 if none differs."""
        if self.n_problems < 2:
            return np.nan
        if np.ptp(self.contributions) == 0:
            return float(np.sign(self.statistic)) * np.inf if self.statistic else 0.0
        return self.statistic / float(self.contributions.std(ddof=1))

    def ttest_pvalue(self) -> float:
        """Of Student's paired t test on the problems' contributions; NaN if all differ alike, 1 if none differs."""
        t = abs(self.effect_size) * np.sqrt(self.n_problems)
        return float(2 * distributions.t.sf(t, self.n_problems - 1)) if np.isfinite(t) else np.nan

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the figures."""
        if self.reason:
            return [self.reason]
        found = ["with so few problems a hint, no proof"] if self.n_problems < FEW else []
        if np.ptp(self.contributions) == 0:
            found.append("every problem differs alike, so the interval is a point")
        if 0 < (lost := float(np.isnan(self.draws).mean())) < 1:
            found.append(f"{lost:.1%} of the resamples have no value and were left out")
        return found

    def summary(self) -> str:
        """One sentence that says what the interval allows, with and without the maximum."""
        if np.isnan(self.statistic):
            why = self.reason or "at some budget the two share no graded cell; run again to retry failed requests"
            return f"{self.treatment} cannot be compared with {self.baseline}: {why}"
        said = {1: "better than", -1: "worse than", 0: "not distinguishable from"}[self.direction]
        low, high = self.confidence_interval()
        size, bare = "; ".join([f"{self.n_problems} problems x {self.n_samples} samples", *self.notes]), ""
        if self.raw is not None:
            ends = self.raw.confidence_interval()
            bare = f"; without the maximum {self.raw.statistic:+.3f} [{ends.low:+.3f}, {ends.high:+.3f}]"
        if self.disagrees:
            bare += "; the two disagree: the maximum favours flat or noisy curves; trust the raw one"
        return (
            f"{self.treatment} is {said} {self.baseline}: difference {self.statistic:+.3f}, "
            f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}], p = {self.pvalue:.3g} ({size}){bare}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row; raw_difference, raw_low and raw_high are those without a maximum."""
        bare = self.raw or self
        (low, high), (raw_low, raw_high) = self.confidence_interval(), bare.confidence_interval()
        return pd.DataFrame([{
            "baseline": self.baseline, "treatment": self.treatment, "difference": self.statistic, "low": low,
            "high": high, "pvalue": self.pvalue, "effect_size": self.effect_size, "raw_difference": bare.statistic,
            "raw_low": raw_low, "raw_high": raw_high, "n_problems": self.n_problems, "n_samples": self.n_samples,
            "n_missing": self.n_missing, "notes": "; ".join(self.notes),
        }])  # fmt: skip


def compare(
    cells: pd.DataFrame, *, baseline: str, treatment: str, order: Order = "pooled",
    statistic: CurveStatistic | None = None, **settings: Any,
) -> Comparison:  # fmt: skip
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: the tidy table; one run, model and task (filter it first).
        order: level of the running maximum (see `mean_curve`).
        statistic: another statistic of the curve in place of the index, which brings its own order.
        settings: n_resamples, seed, confidence_level, method (see `compare_arrays`).
    """
    quality, budgets, n_missing = paired_arrays(cells, baseline, treatment)
    names: dict[str, Any] = {"baseline": baseline, "treatment": treatment, "n_missing": n_missing}
    return compare_arrays(quality, budgets, statistic or index_of(order), **names, **settings)


def compare_arrays(
    quality: Floats, budgets: list[int], statistic: CurveStatistic, *, n_resamples: int = 10_000, seed: Seed = 0,
    with_raw: bool = True, **fields: Any,
) -> Comparison:  # fmt: skip
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, both NaN where either lacks one.

    Resamples and random exchanges are of whole problems, the same for both arms. `fields` are of the `Comparison`:
    baseline, treatment, n_missing, confidence_level, and the method of its interval (see `intervals`).
    """
    n, drawn = quality.shape[1], _drawn if isinstance(seed, int) else _drawn.__wrapped__
    weights, signs = drawn(n, n_resamples, seed)

    def compared(of: CurveStatistic, raw: Comparison | None = None) -> Comparison:
        value = float(np.diff(of(quality, budgets))[0])
        left_out = np.diff(bootstrap.jackknifed(quality, budgets, of))[:, 0]
        pull = (n - 1) * (left_out.mean() - left_out)
        return Comparison(
            statistic=value, n_problems=n, n_samples=quality.shape[2], quality=quality, budgets=budgets, raw=raw,
            pvalue=bootstrap.sign_flip_pvalue(problem_curves(quality, of.order), budgets, of, signs),
            draws=np.diff(bootstrap.reweighted(quality, budgets, of, weights))[:, 0],
            contributions=np.round(value + pull, 12), **fields,  # so that equal problems tie, which ranks depend on
        )  # fmt: skip

    if with_raw and statistic.order in ("pooled", "problem", "trace"):
        return compared(statistic, compared(replace(statistic, order="raw")))
    return compared(statistic)


@lru_cache(maxsize=1)
def _drawn(n: int, n_resamples: int, seed: Seed) -> tuple[Floats, NDArray[np.int8]]:
    """Resamples and exchanges of n problems, kept for the next comparison of a family."""
    resampling, exchanging = bootstrap.generator(seed).spawn(2)
    weights = bootstrap.draw_weights(n, n_resamples, resampling)
    return weights, bootstrap.exchange_signs(n, n_resamples - 1, exchanging)
