"""Is the difference between two methods more than chance?

The problem is the unit of analysis: both arms are read on the same problems and resampled with the same draws. The
p-value (`Comparison.pvalue`) exchanges the two arms of whole problems and reads the very difference that the interval
is about; its null is that the method makes no difference. Near the edge the two may disagree (in about 1 to 2 % of
experiments without effect); `summary` goes by the interval.

The running maximum favours flat and noisy curves. Where the two arms' curves differ in shape, a `pooled` difference is
biased towards the flatter one, and its interval is too narrow (with 198 problems x 10 samples, ten budgets and one arm
flat it holds the truth in about .6 of experiments). So every comparison with a maximum carries the same one without
(`Comparison.raw`), by the same draws; where the two conclude otherwise, the one without is to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, problem_curves
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, index_of, jackknifed, reweighted
from anytime_lib.stats.intervals import Interval, Method, interval, one_sided_pvalue
from anytime_lib.stats.pairing import paired_arrays
from anytime_lib.stats.permutation import MarginResult, SharedDraws, TestResult, shared_draws, sign_flip_test
from anytime_lib.stats.sufficient import possible_means

FEW = 20
"""Below this many problems every interval rests on few clusters, and is said to be a hint."""

_NO_CELL = "at some budget the two share no graded cell; run again to retry the requests that failed"
_TOO_FEW = "every budget must be held by two problems or more"
_ALIKE = "every problem differs alike"


@dataclass(frozen=True)
class Comparison:
    """The paired difference of a statistic, treatment minus baseline.

    Attributes:
        of: the statistic's name, the Anytime Index by default.
        statistic: the difference on the observed cells.
        n_problems, n_samples: problems and samples that both arms have.
        n_missing: cells left out because either arm lacks them.
        exchange: the test by exchanging the arms of whole problems (see `sign_flip_test`).
        draws: (R,) the difference on each resample.
        contributions: (P,) each problem's contribution to the difference, which is their mean (jackknife pseudo-values,
            centred). Without a pooled maximum they are the problems' own differences.
        quality, budgets: (2, P, S, T) the paired cells themselves, and (T,).
        raw: the same comparison without a running maximum; None where there is none to leave out.
        reason: why nothing was compared, where nothing was.
    """

    baseline: str
    treatment: str
    confidence_level: float
    method: Method
    of: str
    statistic: float = np.nan
    baseline_value: float = np.nan
    treatment_value: float = np.nan
    n_problems: int = 0
    n_samples: int = 0
    n_missing: int = 0
    exchange: TestResult = field(repr=False, default=TestResult("exchange of arms", np.nan, np.nan))
    draws: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    contributions: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    quality: Floats = field(repr=False, default_factory=lambda: np.full((2, 1, 1, 2), np.nan))
    budgets: list[int] = field(repr=False, default_factory=lambda: [1, 2])
    raw: Comparison | None = field(repr=False, default=None)
    reason: str = ""

    @property
    def pvalue(self) -> float:
        """Two-sided, by exchanging the arms of whole problems: see `exchange`."""
        return self.exchange.pvalue

    def confidence_interval(self, confidence_level: float | None = None, method: Method | None = None) -> Interval:
        """The interval of the difference; a point when all draws are equal."""
        how, level = method or self.method, confidence_level or self.confidence_level
        ends = interval(self.draws, self.statistic, n=self.n_problems, method=how, confidence_level=level)
        return Interval(*map(float, ends))

    @property
    def direction(self) -> int:
        """What the interval allows to be said: 1 above zero, -1 below, 0 neither. A point, which tells nothing of
        chance, counts only where the exchange of arms bears it out."""
        low, high = self.confidence_interval()
        if low == high and not self.pvalue < 1 - self.confidence_level:
            return 0
        return int(low > 0) - int(high < 0)

    @property
    def disagrees(self) -> bool:
        """Whether the maximum leads to another conclusion than the same comparison without it."""
        return self.raw is not None and self.direction != self.raw.direction

    @property
    def effect_size(self) -> float:
        """Cohen's d_z: the mean of the problems' contributions over their standard deviation; infinite if all differ
        alike, 0 if none differs."""
        spread = float(self.contributions.std(ddof=1)) if self.n_problems > 1 else np.nan
        if spread == 0:
            return float(np.sign(self.statistic)) * np.inf if self.statistic else 0.0
        return self.statistic / spread

    def ttest(self) -> TestResult:
        """Student's paired t test on the problems' contributions (`scipy.stats.ttest_1samp`)."""
        found = self.contributions
        if self.n_problems < 2 or np.isnan(found).any():
            return TestResult("paired t", np.nan, np.nan, _TOO_FEW)
        if not found.any():
            return TestResult("paired t", 0.0, 1.0, "no problem differs")
        if np.ptp(found) == 0:
            return TestResult("paired t", np.nan, np.nan, f"{_ALIKE}, for which a formula would give p = 0")
        result = distributions.ttest_1samp(found, 0.0)
        return TestResult("paired t", float(result.statistic), float(result.pvalue), f"{self.n_problems - 1} d.f.")

    def noninferior(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Is the treatment worse by no more than `margin`? One-sided.

        The larger of two p-values: by the interval's method and draws, which know only of losses that were seen, and by
        Gaffke's bound on the problems' contributions (see `upper_bound`), which allows for rare and large ones. Without
        any difference at all, n problems show a margin above 1 - alpha^(1 / n) and no smaller one.
        """
        pvalue, note = self._not_below(margin, 1)
        claim = f"{self.treatment} is worse than {self.baseline} by less than {margin:g}"
        return MarginResult("non-inferiority", self.statistic + margin, pvalue, note, margin, alpha, claim)

    def equivalent(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Do the two differ by no more than `margin` either way? Two one-sided tests (TOST), each as `noninferior`;
        the larger p-value."""
        pvalue, note = max(self._not_below(margin, 1), self._not_below(margin, -1), key=lambda found: found[0])
        claim = f"{self.treatment} and {self.baseline} differ by less than {margin:g}"
        return MarginResult("equivalence", margin - abs(self.statistic), pvalue, note, margin, alpha, claim)

    @cached_property
    def _possible_losses(self) -> Floats:
        """What the mean loss of the treatment, and of the baseline, may be at most: (2, 10,000)."""
        losses = np.stack([-self.contributions, self.contributions])
        return possible_means(losses, worst=max(1.0, float(losses.max())))

    def _not_below(self, margin: float, sign: int) -> tuple[float, str]:
        """The p-value of "the treatment is worse (sign -1: better) by `margin` or more", and what to know of it."""
        if not margin > 0:
            raise DataError(f"a margin must be above 0, in units of the statistic, not {margin}")
        if np.isnan(self.contributions).any():
            return np.nan, _TOO_FEW if not np.isnan(self.statistic) else self.reason or _NO_CELL
        how = {"n": self.n_problems, "method": self.method}
        by_draws = one_sided_pvalue(sign * self.draws, sign * self.statistic, -margin, **how)  # type: ignore[arg-type]
        by_bound = float(np.mean(self._possible_losses[0 if sign > 0 else 1] >= margin))
        if np.ptp(self.contributions) == 0:
            return max(by_draws, by_bound), f"{_ALIKE}: by Gaffke's bound alone"
        return max(by_draws, by_bound), "by Gaffke's bound, for rare losses" if by_bound > by_draws else ""

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the figures."""
        if self.reason:
            return [self.reason]
        found = ["with so few problems a hint, no proof"] if self.n_problems < FEW else []
        if not np.isnan(self.statistic) and np.ptp(self.contributions) == 0:
            found.append(f"{_ALIKE}, so the interval is a point")
        lost = float(np.mean(np.isnan(self.draws)))
        if 0 < lost < 1:
            found.append(f"{lost:.1%} of the resamples have no value and were left out")
        return found

    def summary(self) -> str:
        """One sentence that says what the interval allows, with and without the maximum."""
        if np.isnan(self.statistic):
            return f"{self.treatment} cannot be compared with {self.baseline}: {self.reason or _NO_CELL}"
        said = {1: "better than", -1: "worse than", 0: "not distinguishable from"}[self.direction]
        what = "" if self.of == "Anytime Index" else f" in {self.of}"
        low, high = self.confidence_interval()
        size = "; ".join([f"{self.n_problems} problems x {self.n_samples} samples", *self.notes])
        bare = ""
        if self.raw is not None:
            ends = self.raw.confidence_interval()
            bare = f"; without the maximum {self.raw.statistic:+.3f} [{ends.low:+.3f}, {ends.high:+.3f}]"
        if self.disagrees:
            bare += "; the two disagree: the maximum favours flat or noisy curves; trust the raw one"
        return (
            f"{self.treatment} is {said} {self.baseline}: difference{what} {self.statistic:+.3f}, "
            f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}], p = {self.pvalue:.3g} ({size}){bare}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row; raw_difference, raw_low and raw_high are those without a maximum, of whatever had none its own."""
        bare = self.raw or self
        (low, high), (raw_low, raw_high) = self.confidence_interval(), bare.confidence_interval()
        return pd.DataFrame([{
            "baseline": self.baseline, "treatment": self.treatment, "baseline_value": self.baseline_value,
            "treatment_value": self.treatment_value, "difference": self.statistic, "low": low, "high": high,
            "pvalue": self.pvalue, "effect_size": self.effect_size, "raw_difference": bare.statistic,
            "raw_low": raw_low, "raw_high": raw_high, "n_problems": self.n_problems, "n_samples": self.n_samples,
            "n_missing": self.n_missing, "notes": "; ".join(self.notes),
        }])  # fmt: skip


def compare(
    cells: pd.DataFrame, *, baseline: str, treatment: str, n_resamples: int = 10_000, seed: Seed = 0,
    order: Order = "pooled", confidence_level: float = 0.95, method: Method = "t",
    statistic: CurveStatistic | None = None,
) -> Comparison:  # fmt: skip
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: the tidy table; one run, model and task (filter it first).
        baseline, treatment: names of methods in it.
        n_resamples, seed: of whole problems, the same for both arms; also of the random exchanges.
        order: level of the running maximum (see `mean_curve`).
        method: of the interval: `t` or `percentile` (see `intervals`).
        statistic: another statistic of the curve in place of the index, such as `quality_at(budget)`; it brings its
            own order.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, or a cell is there twice.
    """
    quality, budgets, n_missing = paired_arrays(cells, baseline, treatment)
    return compare_arrays(
        quality, budgets, statistic or index_of(order), shared_draws(n_resamples, seed), baseline=baseline,
        treatment=treatment, n_missing=n_missing, method=method, confidence_level=confidence_level,
    )  # fmt: skip


def compare_arrays(
    quality: Floats, budgets: list[int], statistic: CurveStatistic, draws: SharedDraws, *, baseline: str = "baseline",
    treatment: str = "treatment", n_missing: int = 0, method: Method = "t", confidence_level: float = 0.95,
) -> Comparison:  # fmt: skip
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, both NaN where either lacks one."""
    weights, signs = draws(quality.shape[1])

    def compared(of: CurveStatistic, raw: Comparison | None = None) -> Comparison:
        first, second = (float(v) for v in of(quality, budgets))
        left_out = np.diff(jackknifed(quality, budgets, of))[:, 0]
        pull = (len(left_out) - 1) * (left_out.mean() - left_out)
        return Comparison(
            baseline, treatment, confidence_level, method, of.name, statistic=second - first, baseline_value=first,
            treatment_value=second, n_problems=quality.shape[1], n_samples=quality.shape[2], n_missing=n_missing,
            exchange=sign_flip_test(problem_curves(quality, of.order), budgets, of, signs),
            draws=np.diff(reweighted(quality, budgets, of, weights))[:, 0],
            contributions=np.round(second - first + pull, 12),  # so that equal problems tie, which ranks depend on
            quality=quality, budgets=budgets, raw=raw,
        )  # fmt: skip

    without = statistic.order in ("pooled", "problem", "trace")
    return compared(statistic, compared(replace(statistic, order="raw")) if without else None)
