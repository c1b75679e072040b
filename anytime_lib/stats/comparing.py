"""Is the difference between two methods more than chance?

The problem is the unit of analysis: both arms are read on the same problems and resampled with the same draws.
The p-value that counts (`Comparison.pvalue`, the one Holm adjusts) exchanges the two arms of whole problems and reads
the very difference that the interval is about; it is exact whatever the scores look like, and its null is that the
method makes no difference. The interval is about the size of the difference. Near the edge the two may disagree (in
about 1 to 2 % of experiments without effect); `reading` goes by the interval. The p-value of the interval itself would
be a little timid for few problems with one sample (false alarms in 3 % for 5 %), so it is not the one that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, problem_curves
from anytime_lib.stats.bootstrap import Levels, OfCurve, Seed, index_of, jackknifed, resampled
from anytime_lib.stats.intervals import Interval, Method, interval, one_sided_pvalue
from anytime_lib.stats.testing import MarginResult, TestResult, exchange_signs, exchange_test

FEW = 20
"""Below this many problems every interval rests on few clusters, and is said to be a hint."""

_AXES = ("method", "problem_id", "sample", "budget")


@dataclass(frozen=True)
class Comparison:
    """The paired difference of a statistic, treatment minus baseline.

    Attributes:
        statistic: the difference on the observed cells.
        n_problems, n_samples: problems and samples that both arms have.
        n_missing: cells left out because either arm lacks them.
        method: of the interval, unless another is asked for.
        of: the statistic's name, the Anytime Index by default.
        exchange: the test by exchanging the arms of whole problems (see `exchange_test`).
        draws: (R,) the difference on each resample.
        jackknife: (P,) the difference with each problem left out.
        quality: (2, P, S, T) the paired cells themselves.
    """

    baseline: str
    treatment: str
    statistic: float
    baseline_value: float
    treatment_value: float
    n_problems: int
    n_samples: int
    n_missing: int
    confidence_level: float
    method: Method
    of: str
    exchange: TestResult = field(repr=False)
    draws: Floats = field(repr=False)
    jackknife: Floats = field(repr=False)
    quality: Floats = field(repr=False)

    @property
    def pvalue(self) -> float:
        """Two-sided, by exchanging the arms of whole problems: see `exchange`."""
        return self.exchange.pvalue

    def confidence_interval(self, confidence_level: float | None = None, method: Method | None = None) -> Interval:
        """The interval of the difference; a point when all draws are equal."""
        low, high = interval(
            self.draws, self.statistic, n=self.n_problems, jackknife=self.jackknife, method=method or self.method,
            confidence_level=confidence_level or self.confidence_level,
        )  # fmt: skip
        return Interval(float(low), float(high))

    @cached_property
    def contributions(self) -> Floats:
        """Each problem's contribution to the difference: (P,), their mean is the difference.

        By leaving the problem out (jackknife pseudo-values, centred). Without a pooled maximum they are the problems'
        own differences; with it, their differences where the pooled curve has its maximum. Rounded to twelve decimals,
        so that equal problems tie, which ranks depend on.
        """
        pull = (self.n_problems - 1) * (self.jackknife.mean() - self.jackknife)
        return np.asarray(np.round(self.statistic + pull, 12))

    @property
    def effect_size(self) -> float:
        """Cohen's d_z: the mean of the problems' contributions over their standard deviation. Infinite if all differ
        alike, 0 if none differs."""
        spread = float(self.contributions.std(ddof=1)) if self.n_problems > 1 else float("nan")
        if spread == 0:
            return float(np.sign(self.statistic)) * np.inf if self.statistic else 0.0
        return self.statistic / spread

    def ttest(self) -> TestResult:
        """Student's paired t test on the problems' contributions (`scipy.stats.ttest_1samp`)."""
        name, found = "paired t", self.contributions
        if self.n_problems < 2 or np.isnan(found).any():
            return TestResult(name, np.nan, np.nan, "every budget must be held by two problems or more")
        if np.ptp(found) == 0:
            if found[0] == 0:
                return TestResult(name, 0.0, 1.0, "no problem differs")
            return TestResult(name, np.nan, np.nan, "every problem differs alike, so that there is no spread to judge "
                              "by; a formula would give p = 0")  # fmt: skip
        result = distributions.ttest_1samp(found, 0.0)
        return TestResult(name, float(result.statistic), float(result.pvalue), f"{self.n_problems - 1} d.f.")

    def wilcoxon(self) -> TestResult:
        """Wilcoxon's signed-rank test with Pratt's zeros (`scipy.stats.wilcoxon`): exact up to 50 problems if none
        is 0 and no two tie, otherwise normal; the note says which."""
        name, found = "Wilcoxon signed-rank (Pratt)", self.contributions
        if np.isnan(found).any():
            return TestResult(name, np.nan, np.nan, "every budget must be held by two problems or more")
        if not found.any():
            return TestResult(name, 0.0, 1.0, "no problem differs")
        zeros, sizes = int(np.sum(found == 0)), np.abs(found[found != 0])
        ties = len(sizes) - len(np.unique(sizes))
        exact = len(found) <= 50 and not zeros and not ties
        result = distributions.wilcoxon(found, zero_method="pratt", method="exact" if exact else "asymptotic")
        how = "exact" if exact else f"normal approximation: {zeros} zeros, {ties} ties, {len(found)} problems"
        return TestResult(name, float(result.statistic), float(result.pvalue), how)

    def tests(self) -> pd.DataFrame:
        """The tests side by side; `exchange` is the one that counts."""
        found = [self.exchange, self.ttest(), self.wilcoxon()]
        return pd.concat([t.to_frame() for t in found], ignore_index=True)

    def probability_of_improvement(self, confidence_level: float | None = None) -> pd.DataFrame:
        """How likely a trace of the treatment beats one of the baseline on the same problem, ties counting half.

        The Mann-Whitney statistic of the traces' mean scores per problem, averaged over problems (Agarwal et al.,
        arXiv 2108.13264, section 4.3), with the t interval over problems: probability, low, high. Above one half
        the treatment is better more often than not; it says nothing of by how much.
        """
        first, second = _over_budgets(self.quality)
        each = win_shares(second, first)
        value, n = float(each.mean()), len(each)
        half = 0.0
        if n > 1:
            tail = (1 - (confidence_level or self.confidence_level)) / 2
            half = float(distributions.t.isf(tail, n - 1) * each.std(ddof=1) / np.sqrt(n))
        return pd.DataFrame([{"probability": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}])

    def noninferior(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Is the treatment worse by no more than `margin`? One-sided, by the interval's method and draws."""
        _check_margin(margin)
        pvalue = self._above(-margin)
        claim = f"{self.treatment} is worse than {self.baseline} by less than {margin:g}"
        return MarginResult("non-inferiority", self.statistic + margin, pvalue, self._lack, margin, alpha, claim)

    def equivalent(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Do the two differ by no more than `margin` either way? Two one-sided tests (TOST); the larger p-value."""
        _check_margin(margin)
        pvalue = max(self._above(-margin), 1 - self._above(margin))
        claim = f"{self.treatment} and {self.baseline} differ by less than {margin:g}"
        return MarginResult("equivalence", margin - abs(self.statistic), pvalue, self._lack, margin, alpha, claim)

    @property
    def _lack(self) -> str:
        """Why nothing can be said of margins: without spread the draws are a point, which says nothing of chance."""
        lacking = not np.isnan(self.statistic) and np.ptp(self.contributions) == 0
        return "every problem differs alike, so that there is no spread to judge by" if lacking else ""

    def _above(self, null: float) -> float:
        if self._lack:
            return float("nan")
        return one_sided_pvalue(self.draws, self.statistic, null, n=self.n_problems, jackknife=self.jackknife,
                                method=self.method)  # fmt: skip

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the figures."""
        found = []
        if self.n_problems < FEW:
            found.append("with so few problems a hint, no proof")
        if not np.isnan(self.statistic) and np.ptp(self.contributions) == 0:
            found.append("every problem differs alike, so the interval is a point")
        lost = float(np.mean(np.isnan(self.draws)))
        if 0 < lost < 1:
            found.append(f"{lost:.1%} of the resamples have no value and were left out")
        return found

    def reading(self) -> str:
        """One sentence that says what the interval allows."""
        if np.isnan(self.statistic):
            return (
                f"{self.treatment} cannot be compared with {self.baseline}: at some budget the two share no graded "
                "cell; run again to retry the requests that failed"
            )
        low, high = self.confidence_interval()
        said = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
        if low == high and self.pvalue >= 1 - self.confidence_level:  # a point tells nothing of chance
            said = "not distinguishable from"
        if self.of.startswith("tokens"):  # fewer is better
            said = {"better than": "slower than", "worse than": "faster than"}.get(said, said)
        what = "" if self.of == "Anytime Index" else f" in {self.of}"
        size = "; ".join([f"{self.n_problems} problems x {self.n_samples} samples", *self.notes])
        return (
            f"{self.treatment} is {said} {self.baseline}: difference{what} {self.statistic:+.3f}, "
            f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}], p = {self.pvalue:.3g} ({size})"
        )

    def to_frame(self) -> pd.DataFrame:
        low, high = self.confidence_interval()
        return pd.DataFrame(
            [
                {
                    "baseline": self.baseline, "treatment": self.treatment, "baseline_value": self.baseline_value,
                    "treatment_value": self.treatment_value, "difference": self.statistic, "low": low, "high": high,
                    "pvalue": self.pvalue, "effect_size": self.effect_size, "n_problems": self.n_problems,
                    "n_samples": self.n_samples, "n_missing": self.n_missing, "notes": "; ".join(self.notes),
                }
            ]
        )  # fmt: skip


def compare(
    cells: pd.DataFrame,
    *,
    baseline: str,
    treatment: str,
    n_resamples: int = 10_000,
    seed: Seed = 0,
    order: Order = "pooled",
    confidence_level: float = 0.95,
    method: Method = "t",
    levels: Levels = "problems",
    statistic: OfCurve | None = None,
) -> Comparison:
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: the tidy table; one run, model and task (filter it first).
        baseline, treatment: names of methods in it.
        n_resamples: bootstrap resamples of whole problems, the same for both arms; also the random exchanges.
        seed: of the draws: a whole number, or a numpy Generator.
        order: level of the running maximum (see `mean_curve`).
        method: of the interval: `t`, `percentile`, `basic` or `bca` (see `intervals`).
        levels: how deep is resampled (see `bootstrap`).
        statistic: another statistic of the curve in place of the index, such as `quality_at(budget)`; it brings its
            own order.

    Raises:
        DataError: a method is not there, the arms share no problem, or their budgets differ.
    """
    quality, budgets, n_missing = paired_arrays(cells, baseline, treatment)
    return compare_arrays(
        quality, budgets, baseline=baseline, treatment=treatment, n_missing=n_missing, n_resamples=n_resamples,
        seed=seed, order=order, confidence_level=confidence_level, method=method, levels=levels, statistic=statistic,
    )  # fmt: skip


def compare_arrays(
    quality: Floats,
    budgets: list[int],
    *,
    baseline: str = "baseline",
    treatment: str = "treatment",
    n_missing: int = 0,
    n_resamples: int = 10_000,
    seed: Seed = 0,
    order: Order = "pooled",
    confidence_level: float = 0.95,
    method: Method = "t",
    levels: Levels = "problems",
    statistic: OfCurve | None = None,
) -> Comparison:
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, both NaN where either lacks one."""
    chosen = statistic or index_of(order)
    resampling, exchanging = np.random.default_rng(seed).spawn(2)
    draws = resampled(quality, budgets, chosen, n_resamples, resampling, levels)
    signs = exchange_signs(quality.shape[1], n_resamples - 1, exchanging)
    return judged(quality, budgets, chosen, draws, signs, baseline=baseline, treatment=treatment, n_missing=n_missing,
                  confidence_level=confidence_level, method=method)  # fmt: skip


def judged(
    quality: Floats, budgets: list[int], statistic: OfCurve, draws: Floats, signs: Floats, **named: Any
) -> Comparison:
    """A comparison from resamples made already: (2, P, S, T) cells, (R, 2) draws and (F, P) exchanges of the arms."""
    left_out = jackknifed(quality, budgets, statistic)
    first, second = (float(v) for v in statistic(quality, budgets))
    with np.errstate(invalid="ignore"):  # never reached by either: inf - inf has no value
        return Comparison(
            statistic=float(np.subtract(second, first)), baseline_value=first, treatment_value=second,
            n_problems=quality.shape[1], n_samples=quality.shape[2], of=statistic.name,
            exchange=exchange_test(problem_curves(quality, statistic.order), budgets, statistic, signs),
            draws=draws[:, 1] - draws[:, 0], jackknife=left_out[:, 1] - left_out[:, 0], quality=quality, **named,
        )  # fmt: skip


def arms_array(cells: pd.DataFrame) -> tuple[Floats, list[str], list[int]]:
    """All methods of one run, model and task: (M, P, S, T) quality, NaN where missing; the methods; the budgets."""
    if any(cells[name].nunique() > 1 for name in ("run", "model", "task")):
        raise DataError("one run, model and task expected, the cells hold several: filter them first")
    codes, names = zip(
        *(pd.factorize(cells[key], sort=key in ("sample", "budget")) for key in _AXES), strict=True
    )  # fmt: skip
    quality = np.full([len(n) for n in names], np.nan)
    quality[codes] = cells.score.to_numpy(float)
    return quality, [str(m) for m in names[0]], [int(b) for b in names[3]]


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have: (2, P, S, T) quality, NaN where either lacks the cell; budgets; cells left out."""
    present = [str(m) for m in cells.method.unique()]
    for name in (baseline, treatment):
        if name not in present:
            raise DataError(f"no cells of method {name!r}; the table holds {', '.join(present)}")
    both = cells[(cells.method == baseline) | (cells.method == treatment)]
    if set(both.budget[both.method == baseline]) != set(both.budget[both.method == treatment]):
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    every, methods, budgets = arms_array(both)
    quality = every[[methods.index(baseline), methods.index(treatment)]]
    paired = np.asarray(~np.isnan(quality).any(axis=0))
    if not paired.any():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    # A cell that either arm lacks counts in neither; a budget that no pair was graded at stays, and is NaN.
    quality = np.where(paired, quality, np.nan)[:, paired.any(axis=(1, 2))][:, :, paired.any(axis=(0, 2))]
    return quality, budgets, len(both) - len(quality) * int(paired.sum())


def win_shares(treatment: Floats, baseline: Floats) -> Floats:
    """The share of pairs of traces in which the treatment's is better, ties counting half: (P, S) twice -> (P,)."""
    a, b = treatment[:, :, None], baseline[:, None, :]
    known = ~(np.isnan(a) | np.isnan(b))
    wins = np.where(known, (a > b) + 0.5 * (a == b), 0.0)
    pairs = known.sum(axis=(1, 2))
    return wins.sum(axis=(1, 2))[pairs > 0] / pairs[pairs > 0]


def _over_budgets(quality: Floats) -> Floats:
    seen = ~np.isnan(quality)
    count = seen.sum(axis=-1)
    total = np.where(seen, quality, 0.0).sum(axis=-1)
    return np.asarray(np.round(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), 12))


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise DataError(f"a margin must be above 0, in units of the statistic, not {margin}")
