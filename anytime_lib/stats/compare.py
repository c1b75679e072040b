"""Is the difference between two methods more than chance?

The problem is the unit of analysis: both arms are read on the same problems and resampled with the same draws.
The p-value that counts (`Comparison.pvalue`, the one Holm adjusts) exchanges the two arms of whole problems and reads
the very difference that the interval is about; it is exact whatever the scores look like, and its null is that the
method makes no difference. The interval is about the size of the difference. Near the edge the two may disagree (in
about 1 to 2 % of experiments without effect); `reading` goes by the interval. The p-value of the interval itself would
be a little timid for few problems with one sample (false alarms in 3 % for 5 %), so it is not the one that counts.

The running maximum favours flat and noisy curves. Where the two arms' curves differ in shape, a `pooled` difference is
biased towards the flatter one, its interval is too narrow for it, and its p-value, whose null is that the arms are
exchangeable, may be small although the true indices are equal. So every comparison with a maximum carries the same one
without (`Comparison.raw`), by the same draws; where the two conclude otherwise, the one without is to be trusted.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, average, best_so_far, problem_curves
from anytime_lib.stats.bootstrap import Levels, OfCurve, Seed, curve_of, index_of, jackknifed, resampled
from anytime_lib.stats.intervals import Interval, Method, interval, one_sided_pvalue
from anytime_lib.stats.pairing import paired_arrays
from anytime_lib.stats.permutation import MarginResult, TestResult, exchange_signs, sign_flip_test
from anytime_lib.stats.profiles import trace_indices
from anytime_lib.stats.sufficient import possible_means

FEW = 20
"""Below this many problems every interval rests on few clusters, and is said to be a hint."""

_NO_CELL = "at some budget the two share no graded cell; run again to retry the requests that failed"


@dataclass(frozen=True)
class Comparison:
    """The paired difference of a statistic, treatment minus baseline.

    With a running maximum (`pooled`, `problem`, `trace`) it is the difference of what was read, which lies above the
    truth by more where a curve is flat or noisy. Between arms whose curves have the same shape that cancels; between a
    flat and a rising one it does not, and `confidence_interval` and `pvalue` do not know of it: see `raw`.

    Attributes:
        statistic: the difference on the observed cells.
        n_problems, n_samples: problems and samples that both arms have.
        n_missing: cells left out because either arm lacks them.
        method: of the interval, unless another is asked for.
        of: the statistic's name, the Anytime Index by default.
        exchange: the test by exchanging the arms of whole problems (see `sign_flip_test`): of the arms being
            exchangeable, whole curves and all, not of equal indices alone.
        draws: (R,) the difference on each resample.
        jackknife: (P,) the difference with each problem left out.
        quality: (2, P, S, T) the paired cells themselves.
        budgets: (T,).
        limits: what values the statistic of one arm can take at most.
        raw: the same comparison without a running maximum, by the same draws; None where there is no maximum to leave
            out (`raw`, `crossfit`, tokens to reach a quality).
        reason: why nothing was compared, where nothing was.
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
    budgets: list[int] = field(repr=False)
    limits: tuple[float, float] = (-np.inf, np.inf)
    raw: Comparison | None = field(repr=False, default=None)
    reason: str = ""

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

        The Mann-Whitney statistic of the traces' indices per problem, averaged over problems (Agarwal et al.,
        arXiv 2108.13264, section 4.3), with the t interval over problems. A trace's index weighs budgets as the
        Anytime Index does (linear axis, no maximum); a trace that lacks a budget has none, and is in no pair. Above one
        half the treatment is better more often than not; it says nothing of by how much.

        Returns:
            One row: probability, low, high, n_problems (that have a pair of whole traces), note. Without two problems
            the ends are NaN.
        """
        first, second = np.round(trace_indices(self.quality, self.budgets), 12)  # so that equal traces tie
        each = win_shares(second, first)
        n, note = len(each), ""
        value, half = float(each.mean()) if n else np.nan, np.nan
        if n > 1:
            tail = (1 - (confidence_level or self.confidence_level)) / 2
            half = float(distributions.t.isf(tail, n - 1) * each.std(ddof=1) / np.sqrt(n))
            if half == 0:
                note = "the same on every problem, so the interval is a point"
        else:
            note = "one problem has no spread to judge by" if n else "no problem has a whole trace in both arms"
        low, high = np.clip([value - half, value + half], 0.0, 1.0)
        return pd.DataFrame([{"probability": value, "low": low, "high": high, "n_problems": n, "note": note}])

    def noninferior(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Is the treatment worse by no more than `margin`? One-sided.

        The larger of two p-values: that of the interval's method and draws, and that of Gaffke's bound on the problems'
        contributions (see `upper_bound`), which assumes nothing of their distribution. The draws know only of losses
        that were seen; with the second, rare and large ones are allowed for, and without any difference at all n
        problems show a margin above 1 - alpha^(1 / n) and no smaller one.
        """
        _check_margin(margin)
        pvalue, note = self._not_below(margin, 1)
        claim = f"{self.treatment} is worse than {self.baseline} by less than {margin:g}"
        return MarginResult("non-inferiority", self.statistic + margin, pvalue, note, margin, alpha, claim)

    def equivalent(self, margin: float, alpha: float = 0.05) -> MarginResult:
        """Do the two differ by no more than `margin` either way? Two one-sided tests (TOST), each as `noninferior`;
        the larger p-value."""
        _check_margin(margin)
        pvalue, note = max(self._not_below(margin, 1), self._not_below(margin, -1), key=lambda found: found[0])
        claim = f"{self.treatment} and {self.baseline} differ by less than {margin:g}"
        return MarginResult("equivalence", margin - abs(self.statistic), pvalue, note, margin, alpha, claim)

    @cached_property
    def _possible_losses(self) -> Floats:
        """What the mean loss of the treatment, and of the baseline, may be at most: (2, 10,000)."""
        losses = np.stack([-self.contributions, self.contributions])
        return possible_means(losses, worst=max(self.limits[1] - self.limits[0], float(losses.max())))

    def _not_below(self, margin: float, sign: int) -> tuple[float, str]:
        """The p-value of "the treatment is worse (sign -1: better) by `margin` or more", and what to know of it."""
        if np.isnan(self.statistic):
            return np.nan, self.reason or _NO_CELL
        if np.isnan(self.contributions).any():
            return np.nan, "every budget must be held by two problems or more"
        still, worst = np.ptp(self.contributions) == 0, self.limits[1] - self.limits[0]
        if still and np.isinf(worst):
            return np.nan, "every problem differs alike, so that there is no spread to judge by"
        by_draws = one_sided_pvalue(self.draws, self.statistic, -sign * margin, n=self.n_problems,
                                    jackknife=self.jackknife, method=self.method)  # fmt: skip
        by_draws = by_draws if sign > 0 else 1 - by_draws
        if np.isinf(worst):
            return by_draws, ""
        by_bound = float(np.mean(self._possible_losses[0 if sign > 0 else 1] >= margin))
        if still:
            return max(by_draws, by_bound), "every problem differs alike: by Gaffke's bound alone"
        return max(by_draws, by_bound), "by Gaffke's bound, for rare losses" if by_bound > by_draws else ""

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the figures."""
        if self.reason:
            return [self.reason]
        found = []
        if self.n_problems < FEW:
            found.append("with so few problems a hint, no proof")
        if not np.isnan(self.statistic) and np.ptp(self.contributions) == 0:
            found.append("every problem differs alike, so the interval is a point")
        lost = float(np.mean(np.isnan(self.draws)))
        if 0 < lost < 1:
            found.append(f"{lost:.1%} of the resamples have no value and were left out")
        return found

    def summary(self) -> str:
        """One sentence that says what the interval allows, with and without the maximum."""
        if np.isnan(self.statistic):
            return f"{self.treatment} cannot be compared with {self.baseline}: {self.reason or _NO_CELL}"
        said = {1: "better than", -1: "worse than", 0: "not distinguishable from"}[self.direction]
        if self.of.startswith("tokens"):  # fewer is better
            said = {"better than": "slower than", "worse than": "faster than"}.get(said, said)
        what = "" if self.of == "Anytime Index" else f" in {self.of}"
        low, high = self.confidence_interval()
        size = "; ".join([f"{self.n_problems} problems x {self.n_samples} samples", *self.notes])
        bare = ""
        if self.raw is not None:
            bare = "; without the maximum {:+.3f} [{:+.3f}, {:+.3f}]".format(
                self.raw.statistic, *self.raw.confidence_interval()
            )
        if self.disagrees:
            bare += "; the two disagree: the maximum favours flat or noisy curves; trust the raw one"
        return (
            f"{self.treatment} is {said} {self.baseline}: difference{what} {self.statistic:+.3f}, "
            f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}], p = {self.pvalue:.3g} ({size}){bare}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row; raw_difference, raw_low and raw_high are those without a maximum, of whatever had none its own."""
        low, high = self.confidence_interval()
        bare = self.raw or self
        raw_low, raw_high = bare.confidence_interval()
        return pd.DataFrame(
            [
                {
                    "baseline": self.baseline, "treatment": self.treatment, "baseline_value": self.baseline_value,
                    "treatment_value": self.treatment_value, "difference": self.statistic, "low": low, "high": high,
                    "pvalue": self.pvalue, "effect_size": self.effect_size, "raw_difference": bare.statistic,
                    "raw_low": raw_low, "raw_high": raw_high, "n_problems": self.n_problems,
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

    The default level of the maximum, `pooled`, is the paper's reading. It is fair between curves of the same shape, and
    favours a flat or noisy curve over a rising one: then its interval covers a true difference too rarely (in about .6
    of experiments with 198 problems x 10 samples, ten budgets, one arm flat, in place of .95). The result therefore
    carries the difference without the maximum beside it (`Comparison.raw`).

    Args:
        cells: the tidy table; one run, model and task (filter it first). With a column `answer`, which numbers answers
            asked again from one trace, a cell counts with the mean of its answers.
        baseline, treatment: names of methods in it.
        n_resamples: bootstrap resamples of whole problems, the same for both arms; also the random exchanges.
        seed: of the draws: a whole number, or a numpy Generator.
        order: level of the running maximum (see `mean_curve`).
        method: of the interval: `t`, `percentile`, `basic` or `bca` (see `intervals`).
        levels: how deep is resampled (see `bootstrap`); `answers` needs the column `answer`.
        statistic: another statistic of the curve in place of the index, such as `quality_at(budget)`; it brings its
            own order.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, a cell is there twice, or
            answers are to be resampled and none were asked again.
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
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, both NaN where either lacks one. Or
    (2, P, S, Q, T) with Q answers to each, which are averaged unless `levels` is `answers`."""
    chosen = statistic or index_of(order)
    resampling, exchanging = np.random.default_rng(seed).spawn(2)
    drawn = drawn_with_raw(quality, budgets, chosen, n_resamples, resampling, levels)
    signs = exchange_signs(quality.shape[1], n_resamples - 1, exchanging)
    return judged_with_raw(quality, budgets, drawn, signs, baseline=baseline, treatment=treatment, n_missing=n_missing,
                           confidence_level=confidence_level, method=method)  # fmt: skip


def not_compared(baseline: str, treatment: str, reason: str, of: OfCurve, **named: Any) -> Comparison:
    """The comparison of two arms that cannot be compared: NaN throughout, and why."""
    none = np.full(1, np.nan)
    return Comparison(
        baseline=baseline, treatment=treatment, statistic=np.nan, baseline_value=np.nan, treatment_value=np.nan,
        n_problems=0, n_samples=0, n_missing=0, of=of.name, limits=of.limits, draws=none, jackknife=none,
        exchange=TestResult("exchange of arms", np.nan, np.nan, reason), quality=np.full((2, 1, 1, 2), np.nan),
        budgets=[1, 2], reason=reason, **named,
    )  # fmt: skip


Drawn = dict[OfCurve, Floats]
"""Statistics and their draws on the same resamples: (R, A) each. The first is the one asked for."""


def drawn_with_raw(
    quality: Floats, budgets: list[int], statistic: OfCurve, n_resamples: int, rng: np.random.Generator, levels: Levels
) -> Drawn:
    """Resamples of a statistic of quality and, if it takes a maximum, of the same without, by the same draws."""
    if levels == "answers" and quality.ndim != 5:
        raise DataError("no answer was asked again: levels='answers' needs cells with a column 'answer'")
    same = deepcopy(rng)
    if statistic.order not in ("pooled", "problem", "trace") or not np.isfinite(statistic.limits).all():
        return {statistic: resampled(quality, budgets, statistic, n_resamples, rng, levels)}
    bare = replace(statistic, order="raw")
    curves = resampled(quality, budgets, curve_of("raw"), n_resamples, rng, levels)
    if statistic.order == "pooled":
        draws = np.asarray(statistic.of(best_so_far(curves), budgets))
    else:
        draws = resampled(quality, budgets, statistic, n_resamples, same, levels)
    return {statistic: draws, bare: np.asarray(bare.of(curves, budgets))}


def judged_with_raw(
    quality: Floats, budgets: list[int], drawn: Drawn, signs: NDArray[np.int8], **named: Any
) -> Comparison:
    """A comparison with its companion without the maximum, from the draws of `drawn_with_raw`."""
    (statistic, draws), *others = drawn.items()
    raw = None
    for bare, bare_draws in others:
        raw = judged(quality, budgets, bare, bare_draws, signs, **named)
    return judged(quality, budgets, statistic, draws, signs, raw=raw, **named)


def judged(
    quality: Floats, budgets: list[int], statistic: OfCurve, draws: Floats, signs: NDArray[np.int8], **named: Any
) -> Comparison:
    """A comparison from resamples made already: (2, P, S, T) cells, (R, 2) draws and (F, P) exchanges of the arms."""
    quality = average(quality) if quality.ndim == 5 else quality
    left_out = jackknifed(quality, budgets, statistic)
    first, second = (float(v) for v in statistic(quality, budgets))
    with np.errstate(invalid="ignore"):  # never reached by either: inf - inf has no value
        return Comparison(
            statistic=float(np.subtract(second, first)), baseline_value=first, treatment_value=second,
            n_problems=quality.shape[1], n_samples=quality.shape[2], of=statistic.name,
            exchange=sign_flip_test(problem_curves(quality, statistic.order), budgets, statistic, signs),
            draws=draws[:, 1] - draws[:, 0], jackknife=left_out[:, 1] - left_out[:, 0], quality=quality,
            budgets=budgets, limits=statistic.limits, **named,
        )  # fmt: skip


def win_shares(treatment: Floats, baseline: Floats) -> Floats:
    """The share of pairs of traces in which the treatment's is better, ties counting half: (P, S) twice -> (P,)."""
    a, b = treatment[:, :, None], baseline[:, None, :]
    known = ~(np.isnan(a) | np.isnan(b))
    wins = np.where(known, (a > b) + 0.5 * (a == b), 0.0)
    pairs = known.sum(axis=(1, 2))
    return wins.sum(axis=(1, 2))[pairs > 0] / pairs[pairs > 0]


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise DataError(f"a margin must be above 0, in units of the statistic, not {margin}")
