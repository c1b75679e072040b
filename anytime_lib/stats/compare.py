"""Is the difference between two methods more than chance?

What is judged is one declared number, the estimand. The running maximum of the pooled curve, which the index is by
definition, favours flat and noisy curves, so a difference of pooled indices is described and not judged: between a flat
and a rising curve of equal index its 95 % interval lies on the wrong side of zero in up to a fifth of experiments.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.index import Floats, Order, both_arrays, paired, problem_curves
from anytime_lib.stats import bootstrap, intervals
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, index_of, quality_at
from anytime_lib.stats.intervals import Interval, alpha_of, interval, one_sided_pvalue, spoken, spoken_pvalue, widen_few

FEW = 20
"""Below this many problems every interval rests on few clusters, and proves nothing."""
Estimand = Literal["crossfit", "raw"]
"""Indices that may be judged: the best so far without optimism, or mean quality over the budgets without a maximum."""
BESIDE: tuple[Order, ...] = ("pooled", "crossfit", "raw")
"""What stands beside the judged difference, without intervals: nothing is concluded from it."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """The paired difference in the estimand, treatment minus baseline; NaN, with its reason, where there is none.

    Attributes:
        estimand: what is judged, in words.
        pvalue: two-sided, the larger of `sign_flip_pvalue` and of the interval's (by t on the draws).
        n_draws: how many draws of exemplars there are; 0 where neither arm shows any from the pool.
        df: degrees of freedom of the interval.
        n_left_out: cells left out because either arm lacks them.
        n_missing, share_missing: those of them that were asked for in both arms, and have no score.
        bounds: the difference, were all missing answers of one arm wrong and of the other right, both ways round
            (Manski's bounds, without sampling error).
        beside: the same difference by other readings of the curve, which are described and not judged.
        draws: (R,) the difference on each resample of problems, and of draws of exemplars, where they are several.
        contributions: (P,) each problem's part, whose mean the difference is (jackknife pseudo-values).
    """

    baseline: str = "baseline"
    treatment: str = "treatment"
    confidence_level: float = 0.95
    estimand: str = ""
    lower_is_better: bool = False
    statistic: float = np.nan
    pvalue: float = np.nan
    n_problems: int = 0
    n_samples: int = 0
    n_draws: int = 0
    df: float | None = None
    n_left_out: int = 0
    n_missing: int = 0
    share_missing: float = 0.0
    bounds: Interval = field(default_factory=lambda: Interval(np.nan, np.nan))
    near_limit: bool = False
    reason: str = ""
    beside: dict[str, float] = field(default_factory=dict)
    draws: Floats = field(default_factory=lambda: np.full(1, np.nan))
    contributions: Floats = field(default_factory=lambda: np.full(1, np.nan))

    def _repr_html_(self) -> str:
        table = self.to_frame().drop(columns="notes").T.rename(columns={0: ""})  # the notes are in the sentence
        return f"<p>{escape(self.summary())}</p>{table.to_html(header=False, float_format='{:.3f}'.format)}"

    def confidence_interval(self) -> Interval:
        """The interval of the difference, `over` problems or problems and draws of exemplars; widened where few
        problems differ (see `widen_few`)."""
        return self._ends()[0]

    def _ends(self) -> tuple[Interval, str]:
        how: dict[str, Any] = {"n": self.n_problems, "confidence_level": self.confidence_level, "df": self.df}
        ends = interval(self.draws, self.statistic, **how)
        if self.lower_is_better or np.isnan(self.statistic):  # nothing is known of the largest loss
            return Interval(*map(float, ends)), ""
        low, high, note = widen_few(ends, self.contributions, self.confidence_level)
        return Interval(low, high), note

    def missing_interval(self) -> Interval:
        """The interval whatever the missing answers were: `confidence_interval`, its ends moved by what those could."""
        low, high = self.confidence_interval()
        return Interval(low - (self.statistic - self.bounds.low), high + (self.bounds.high - self.statistic))

    @property
    def over(self) -> str:
        """What the interval and p generalise to."""
        return "problems" if self.df is None else "problems and draws"

    @property
    def direction(self) -> int:
        """What may be concluded of this comparison alone: 1 better, -1 worse, 0 undecided. The interval excludes zero,
        whatever the missing cells were, and p is below what the confidence level leaves."""
        found = _side(self.missing_interval()) * (self.pvalue < alpha_of(self.confidence_level))
        return int(-found if self.lower_is_better else found)

    @property
    def withheld(self) -> bool:
        """Whether the interval excludes zero, and the missing cells could turn that round."""
        return _side(self.missing_interval()) != _side(self.confidence_interval())

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the figures."""
        if self.reason:
            return [self.reason]
        few = self._ends()[1]
        lost, said = float(np.isnan(self.draws).mean()), "[{:+.3f}, {:+.3f}]".format(*self.missing_interval())
        how = f"cells without a score: {self.n_missing} ({self.share_missing:.1%}); whatever they were, {said} (of 1)"
        end = "near an end of the scale, where intervals of few problems are less sure"
        found = {
            "with so few problems nothing is proved": self.n_problems < FEW,
            "of one draw of exemplars: another draw may differ by more than the interval says": self.n_draws == 1,
            "two draws tell little of how draws differ; from three on such intervals hold": self.n_draws == 2,
            "where draws share pool problems, of which a run warns, the interval is too narrow": self.df is not None,
            "too few problems have all draws to tell how draws differ": self.n_draws > 1 and self.df is None,
            how: self.n_missing > 0,
            f"cells left out that not both have: {self.n_left_out}": self.n_left_out > self.n_missing,
            few: bool(few),
            end: self.near_limit,
            f"{lost:.1%} of the resamples have no value and were left out": 0 < lost < 1,
        }
        return [note for note, holds in found.items() if holds]

    def summary(self, adjusted: float | None = None, among: int = 1) -> str:
        """One sentence: what may be concluded, the difference in the estimand with its interval, and p. It follows the
        p-value `adjusted` for all `among` comparisons that are judged together (Holm), if that is given."""
        a, b, words = self.treatment, self.baseline, {1: "better", -1: "worse"}
        alpha = alpha_of(self.confidence_level)
        if np.isnan(self.statistic):
            why = self.reason or "at some budget the two share no graded cell; run again to retry failed requests"
            return f"{a} cannot be compared with {b}: {why}"
        ends, p = self.confidence_interval(), self.pvalue if adjusted is None else adjusted
        side = self.direction * bool(p < alpha)
        value, span = spoken(self.statistic, *ends).split(" ", 1)
        text = f"{a} is {words[side]} than {b}" if side else f"{a} against {b} is undecided"
        text += f": difference {value}, {self.confidence_level:.0%} interval over {self.over} {span}, in "
        text += f"{self.estimand}, problems: {self.n_problems}, samples of each: {self.n_samples}"
        text += f"{f' (of {self.n_draws} draws)' * (self.n_draws > 1)}; p = {spoken_pvalue(self.pvalue, alpha)}"
        if adjusted is None:
            text += ", not adjusted for other comparisons"
        elif among > 1:
            text += f", and {spoken_pvalue(p, alpha)} adjusted for the {among} comparisons (Holm)"
        if self.withheld:
            text += "; the interval excludes zero, but the missing cells could turn that round, so it is withheld"
        elif self.direction and not side:
            text += f"; alone it would be {words[self.direction]}, among so many it does not stand: a hint"
        elif bool(_side(ends)) != (self.pvalue < alpha):
            text += "; the interval and p do not agree, so nothing is concluded"
        return "; ".join([text, *self.notes])

    __repr__ = summary

    def to_frame(self) -> pd.DataFrame:
        """One row; low_missing and high_missing are those of `missing_interval`; then the readings that are not
        judged (see `beside`), and final, that of quality at the largest budget."""
        row: dict[str, Any] = {"baseline": self.baseline, "treatment": self.treatment, "estimand": self.estimand}
        row |= {"difference": self.statistic, "pvalue": self.pvalue}
        row["low"], row["high"] = self.confidence_interval()
        row["low_missing"], row["high_missing"] = self.missing_interval()
        row |= self.beside | {"n_problems": self.n_problems, "n_samples": self.n_samples, "n_draws": self.n_draws}
        row["n_missing"] = self.n_missing
        return pd.DataFrame([row | {"notes": "; ".join(self.notes)}])


def _side(ends: Interval) -> int:
    """1 where an interval lies above zero, -1 below, else 0."""
    return int(ends.low > 0) - int(ends.high < 0)


def compare(
    cells: pd.DataFrame,
    baseline: str,
    treatment: str,
    *,
    estimand: Estimand | CurveStatistic = "crossfit",
    **settings: Any,
) -> Comparison:
    """The difference in Anytime Index between two methods on the same problems.

    Args:
        cells: of one run, model and task (filter them first).
        estimand: what is judged: the index `crossfit` (`raw` where there is one sample), `raw`, or another statistic.
        settings: n_resamples, seed, confidence_level.
    """
    if unknown := settings.keys() - {"n_resamples", "seed", "confidence_level"}:
        raise ConfigError(f"compare has no setting {', '.join(unknown)}; a margin is for noninferior and equivalent")
    quality, budgets, elsewhere, draw = both_arrays(cells, baseline, treatment)
    settings |= {"baseline": baseline, "treatment": treatment}
    return compare_arrays(quality, budgets, estimand, elsewhere=elsewhere, draw=draw, **settings)


def compare_arrays(
    quality: Floats,
    budgets: list[int],
    estimand: Estimand | CurveStatistic = "crossfit",
    *,
    n_resamples: int = 10_000,
    seed: Seed = 0,
    elsewhere: int = 0,
    draw: Floats | None = None,
    **fields: Any,
) -> Comparison:
    """`compare` for cells that are an array already: (2, P, S, T), baseline first, NaN where one has no score, which
    leaves out its partner, too.

    Resamples and random exchanges are of whole problems, the same for both arms. `draw` (S,) tells of which draw of
    exemplars each sample is (see `bootstrap.over_draws`). `elsewhere` counts cells that are not in the array, and
    `fields` are of the `Comparison`.
    """
    (pairs, kept), lost = paired(quality), np.isnan(quality)
    n, n_samples = pairs.shape[1:3]
    if isinstance(estimand, str) and estimand not in ("crossfit", "raw"):
        raise DataError(f"a difference is judged by crossfit or raw; {estimand!r} is described and not judged")
    of = index_of(estimand if n_samples > 1 else "raw") if isinstance(estimand, str) else estimand

    def difference(statistic: CurveStatistic) -> float:
        return float(np.diff(statistic(pairs, budgets))[0])

    value = difference(of)
    ends = [value]
    if lost.any():
        wrong, right = (of(np.where(lost, score, quality), budgets) for score in (0.0, 1.0))
        ends += [float(wrong[1] - right[0]), float(right[1] - wrong[0])]
    left_out = np.diff(bootstrap.jackknifed(pairs, budgets, of))[:, 0]
    parts = value + (n - 1) * (left_out.mean() - left_out)
    resampling, exchanging, drawing = bootstrap.generator(seed).spawn(3)
    signs = bootstrap.exchange_signs(n, n_resamples - 1, exchanging)
    draws = np.diff(bootstrap.resampled(pairs, budgets, of, n_resamples, resampling))[:, 0]
    of_draw = np.full(kept.sum(), np.nan) if draw is None else draw[kept]
    baseline, treatment = (bootstrap.draw_values(arm, budgets, of, of_draw) for arm in pairs)
    draws, df = bootstrap.over_draws(draws, treatment - baseline, drawing)
    by_t = 2 * one_sided_pvalue(draws, abs(value), 0.0, n=n, df=df)
    readings = {order: index_of(order) for order in BESIDE if order != "crossfit" or n_samples > 1}
    beside: dict[str, float] = {o: difference(index) for o, index in readings.items() if index.name != of.name}
    beside["final"] = difference(quality_at())
    means = readings["raw"](pairs, budgets)
    return Comparison(
        statistic=value,
        estimand=of.name,
        lower_is_better=of.lower_is_better,
        beside=beside,
        pvalue=float(np.maximum(bootstrap.sign_flip_pvalue(problem_curves(pairs, of.order), budgets, of, signs), by_t)),
        draws=draws,
        contributions=np.round(parts, 12),  # so that equal problems tie
        n_problems=n,
        n_samples=n_samples,
        n_draws=baseline.shape[1],
        df=df,
        n_left_out=elsewhere + quality.size - 2 * int((~lost).all(axis=0).sum()),
        n_missing=int(lost.sum()),
        share_missing=float(lost.mean()),
        bounds=Interval(min(ends), max(ends)),
        near_limit=bool((n * np.minimum(means, 1 - means) < intervals.NEAR).any()),
        **fields,
    )
