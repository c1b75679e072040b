"""Is the difference between two methods more than chance, and how large a one would be found?

The running maximum favours flat and noisy curves: where one arm is flat and the other is not, the interval of a
`pooled` difference may hold the truth in only .6 of experiments (198 problems x 10 samples, ten budgets). So a
comparison with a maximum carries the same one without (`Comparison.raw`), which is to be trusted where they disagree.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, average, cells_array, of_methods, problem_curves
from anytime_lib.stats import bootstrap
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, index_of
from anytime_lib.stats.intervals import Interval, interval

FEW = 20
"""Below this many problems every interval rests on few clusters, and is said to be a hint."""


@dataclass(frozen=True)
class Comparison:
    """The paired difference in Anytime Index, treatment minus baseline; NaN, with its reason, where there is none.

    Attributes:
        pvalue: two-sided, of `sign_flip_pvalue`. Near the edge the interval may disagree; `summary` goes by that.
        n_missing: cells left out because either arm lacks them.
        raw: the same comparison without a running maximum, if there is one to leave out.
        draws: (R,) the difference on each resample.
        contributions: (P,) each problem's part, whose mean the difference is (jackknife pseudo-values).
        quality, budgets: (2, P, S, T) the paired cells themselves, and (T,).
    """

    baseline: str = "baseline"
    treatment: str = "treatment"
    confidence_level: float = 0.95
    statistic: float = np.nan
    pvalue: float = np.nan
    n_problems: int = 0
    n_samples: int = 0
    n_missing: int = 0
    reason: str = ""
    raw: "Comparison | None" = field(repr=False, default=None)
    draws: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    contributions: Floats = field(repr=False, default_factory=lambda: np.full(1, np.nan))
    quality: Floats = field(repr=False, default_factory=lambda: np.full((2, 1, 1, 2), np.nan))
    budgets: list[int] = field(repr=False, default_factory=lambda: [1, 2])

    def confidence_interval(self) -> Interval:
        """The interval of the difference; a point when all draws are equal."""
        ends = interval(self.draws, self.statistic, n=self.n_problems, confidence_level=self.confidence_level)
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
        lost = float(np.isnan(self.draws).mean())
        found = {
            "with so few problems a hint, no proof": self.n_problems < FEW,
            "every problem differs alike, so the interval is a point": np.ptp(self.contributions) == 0,
            f"{lost:.1%} of the resamples have no value and were left out": 0 < lost < 1,
        }
        return [note for note, holds in found.items() if holds]

    def summary(self) -> str:
        """One sentence that says what the interval allows, with and without the maximum."""
        if np.isnan(self.statistic):
            why = self.reason or "at some budget the two share no graded cell; run again to retry failed requests"
            return f"{self.treatment} cannot be compared with {self.baseline}: {why}"
        said = {1: "better than", -1: "worse than", 0: "not distinguishable from"}[self.direction]
        low, high = self.confidence_interval()
        size = "; ".join([f"{self.n_problems} problems x {self.n_samples} samples", *self.notes])
        text = f"{self.treatment} is {said} {self.baseline}: difference {self.statistic:+.3f}, "
        text += f"{self.confidence_level:.0%} interval [{low:+.3f}, {high:+.3f}], p = {self.pvalue:.3g} ({size})"
        if self.raw is not None:
            low, high = self.raw.confidence_interval()
            text += f"; without the maximum {self.raw.statistic:+.3f} [{low:+.3f}, {high:+.3f}]"
        doubt = "; the two disagree: the maximum favours flat or noisy curves; trust the raw one"
        return text + doubt * self.disagrees

    def to_frame(self) -> pd.DataFrame:
        """One row; raw_difference, raw_low and raw_high are those without a maximum."""
        bare = self.raw or self
        row: dict[str, Any] = {"baseline": self.baseline, "treatment": self.treatment, "difference": self.statistic}
        row["low"], row["high"] = self.confidence_interval()
        row |= {"pvalue": self.pvalue, "effect_size": self.effect_size, "raw_difference": bare.statistic}
        row["raw_low"], row["raw_high"] = bare.confidence_interval()
        row |= {"n_problems": self.n_problems, "n_samples": self.n_samples, "n_missing": self.n_missing}
        return pd.DataFrame([row | {"notes": "; ".join(self.notes)}])


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have, in cells of one run, model and task.

    Returns (2, P, S, T) quality, NaN where either lacks the cell, of the problems and samples with any pair; the T
    budgets; how many cells of the two are left out.
    """
    asked = of_methods(cells, baseline, treatment)
    values, methods, _, budgets = cells_array(asked)
    if asked.groupby("method").budget.nunique().min() < len(budgets):
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    quality = values[[methods.index(baseline), methods.index(treatment)]]
    shared = np.asarray(~np.isnan(quality).any(axis=0))  # (P, S, T)
    if not shared.any():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    quality = np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, shared.any(axis=(0, 2))]
    return quality, budgets, len(asked) - 2 * int(shared.sum())


def compare(
    cells: pd.DataFrame,
    *,
    baseline: str,
    treatment: str,
    order: Order = "pooled",
    statistic: CurveStatistic | None = None,
    **settings: Any,
) -> Comparison:
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: of one run, model and task (filter them first).
        order: level of the running maximum (see `mean_curve`).
        statistic: another statistic of the curve in place of the index, which brings its own order.
        settings: n_resamples, seed, confidence_level.
    """
    quality, budgets, n_missing = paired_arrays(cells, baseline, treatment)
    settings |= {"baseline": baseline, "treatment": treatment, "n_missing": n_missing}
    return compare_arrays(quality, budgets, statistic or index_of(order), **settings)


def compare_arrays(
    quality: Floats,
    budgets: list[int],
    statistic: CurveStatistic,
    *,
    n_resamples: int = 10_000,
    seed: Seed = 0,
    with_raw: bool = True,
    **fields: Any,
) -> Comparison:
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, both NaN where either lacks one.

    Resamples and random exchanges are of whole problems, the same for both arms; `fields` are of the `Comparison`.
    """
    n = quality.shape[1]
    resampling, exchanging = bootstrap.generator(seed).spawn(2)
    weights = bootstrap.draw_weights(n, n_resamples, resampling)
    signs = bootstrap.exchange_signs(n, n_resamples - 1, exchanging)

    def compared(of: CurveStatistic, raw: Comparison | None = None) -> Comparison:
        value = float(np.diff(of(quality, budgets))[0])
        left_out = np.diff(bootstrap.jackknifed(quality, budgets, of))[:, 0]
        pull = (n - 1) * (left_out.mean() - left_out)
        parts = np.round(value + pull, 12)  # so that equal problems tie, which ranks depend on
        draws = np.diff(bootstrap.reweighted(quality, budgets, of, weights))[:, 0]
        pvalue = bootstrap.sign_flip_pvalue(problem_curves(quality, of.order), budgets, of, signs)
        paired = {"quality": quality, "budgets": budgets, "n_problems": n, "n_samples": quality.shape[2]} | fields
        return Comparison(statistic=value, pvalue=pvalue, draws=draws, contributions=parts, raw=raw, **paired)

    bare = with_raw and statistic.order in ("pooled", "problem", "trace")
    return compared(statistic, compared(replace(statistic, order="raw")) if bare else None)


def probability_of_improvement(comparison: Comparison) -> pd.DataFrame:
    """How likely a trace of the treatment beats one of the baseline on the same problem, ties counting half.

    The Mann-Whitney statistic of the traces' raw indices per problem, averaged over problems, with the t interval over
    problems. A trace that lacks a budget is in no pair.

    One row: probability, low, high (NaN without two problems), n_problems (that have a pair of whole traces).
    """
    first, second = np.round(index_of("raw").of(comparison.quality, comparison.budgets), 12)  # so that equal traces tie
    better = np.sign(second[:, :, None] - first[:, None, :]).reshape(len(first), -1, 1)  # NaN where either is missing
    shares = average((better + 1) / 2)[:, 0]
    each = shares[~np.isnan(shares)]
    n, value = len(each), each.mean() if len(each) else np.nan
    factor = distributions.t.isf((1 - comparison.confidence_level) / 2, n - 1)
    half = factor * distributions.sem(each) if n > 1 else np.nan
    low, high = np.clip([value - half, value + half], 0.0, 1.0)
    return pd.DataFrame([{"probability": value, "low": low, "high": high, "n_problems": n}])


def min_detectable_effect(
    n_problems: int, n_samples: int, *, sd_between: float = 0.1, sd_within: float = 0.35
) -> float:
    """The smallest true difference in mean quality that the paired t test (two-sided, .05) finds with a power of .8;
    NaN for fewer than two problems. Source: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 5.

    The variance of a problem's difference is sd_between^2 (of the true one) + 2 sd_within^2 / n_samples (of one trace
    around its problem's mean); the defaults fit multiple choice. The pooled maximum has a little less power.
    """
    if n_problems < 2 or n_samples < 1:
        return float("nan")
    df = n_problems - 1
    critical = distributions.t.isf(0.05 / 2, df)
    # The t statistic's power as a mean over its estimated spread: scipy's noncentral t gives NaN for few problems.
    spread = np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)

    def lacking(shift: float) -> float:
        found = distributions.norm.cdf(shift - critical * spread) + distributions.norm.cdf(-shift - critical * spread)
        return float(found.mean()) - 0.8

    standard_error = float(np.sqrt((sd_between**2 + 2 * sd_within**2 / n_samples) / n_problems))
    return float(optimize.brentq(lacking, 0.0, 20.0 * critical)) * standard_error
