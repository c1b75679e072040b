"""What may be concluded? Tests against a margin, and sentences by rule, which nobody picks after seeing the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.stats.compare import FEW, Comparison
from anytime_lib.stats.family import Family
from anytime_lib.stats.intervals import one_sided_pvalue, possible_means


@dataclass(frozen=True)
class MarginResult:
    """A one-sided test against a margin, at alpha = .05: small p-values speak for the claim."""

    claim: str
    pvalue: float
    note: str

    @property
    def holds(self) -> bool:
        return bool(self.pvalue < 0.05)

    def summary(self) -> str:
        """One line in words."""
        word, note = "shown" if self.holds else "not shown", f"; {self.note}" if self.note else ""
        return f"{self.claim}: {word} at alpha = 0.05 (p = {self.pvalue:.3g}{note})"


def noninferior(comparison: Comparison, margin: float) -> MarginResult:
    """Is the treatment worse by no more than `margin`, in units of the index?

    The larger of two p-values: by the interval's method and draws, which know only of losses that were seen, and by
    Gaffke's bound on the problems' contributions (see `upper_bound`), which allows for rare and large ones. Without any
    difference at all, n problems show a margin above 1 - .05^(1 / n) and no smaller one.
    """
    claim = f"{comparison.treatment} is worse than {comparison.baseline} by less than {margin:g}"
    return MarginResult(claim, *_not_below(comparison, margin)[0])


def equivalent(comparison: Comparison, margin: float) -> MarginResult:
    """Do the two differ by no more than `margin` either way? The larger p-value of two one-sided tests (TOST)."""
    claim = f"{comparison.treatment} and {comparison.baseline} differ by less than {margin:g}"
    return MarginResult(claim, *max(_not_below(comparison, margin), key=lambda found: found[0]))


def _not_below(c: Comparison, margin: float) -> list[tuple[float, str]]:
    """The p-values of "the treatment is worse by `margin` or more" and of "better", each with what to know of it."""
    if not margin > 0:
        raise DataError(f"a margin must be above 0, in units of the index, not {margin}")
    if np.isnan(c.contributions).any():
        return [(np.nan, c.reason or "every budget must be held by two problems or more")] * 2
    found, worst = [], max(1.0, float(np.abs(c.contributions).max()))
    for sign in (1, -1):
        by_draws = one_sided_pvalue(sign * c.draws, sign * c.statistic, -margin, n=c.n_problems, method=c.method)
        by_bound = float(np.mean(possible_means(-sign * c.contributions, worst=worst) >= margin))
        note = "by Gaffke's bound, for rare losses" if by_bound > by_draws else ""
        found.append((max(by_draws, by_bound), note))
    return found


VERDICTS = {
    "better": "the interval lies above zero, and Holm's adjustment leaves it standing",
    "worse": "the interval lies below zero, and Holm's adjustment leaves it standing",
    "hint": "the interval excludes zero, but does not stand among so many comparisons",
    "equivalent": "both are shown to differ by less than the margin",
    "not worse": "a loss of the margin or more is excluded; a gain is not shown",
    "not told": "the interval holds zero and a difference as large as the margin: these cells do not tell",
    "no spread": "every problem differs alike (or there is only one): nothing tells chance from a difference",
    "not compared": "at some budget the two share no graded cell, or one did not run or ran at other budgets",
}
"""What each verdict means."""


def conclude(family: Family, margin: float) -> pd.DataFrame:
    """A verdict for every comparison of a family; `margin` is the largest difference in index that counts as nothing.

    Returns:
        One row per comparison: task, baseline, treatment, verdict (of `VERDICTS`), small (the difference is shown to be
        below the margin, whatever its sign), reading (a sentence).
    """
    rows = []
    for (member, comparison), adjusted in zip(family.comparisons.items(), family.pvalues, strict=True):
        small = equivalent(comparison, margin).holds
        verdict, sentence = _told(comparison, bool(adjusted < family.alpha), small, margin)
        few = " With so few problems a hint, no proof." if comparison.n_problems < FEW else ""
        reading = f"{member.task}: {sentence}.{few}"
        rows.append((member.task, member.baseline, member.treatment, verdict, small, reading))
    return pd.DataFrame(rows, columns=["task", "baseline", "treatment", "verdict", "small", "reading"])


def _told(comparison: Comparison, stands: bool, small: bool, margin: float) -> tuple[str, str]:
    """The verdict on one comparison, and its sentence."""
    a, b, d = comparison.treatment, comparison.baseline, comparison.statistic
    low, high = comparison.confidence_interval()
    span, seems = f"{d:+.3f}, interval [{low:+.3f}, {high:+.3f}]", "better" if d > 0 else "worse"
    if np.isnan(d):
        return "not compared", comparison.summary()
    point = low == high and not (stands and low)
    if not point and (low > 0 or high < 0):
        if not stands:
            return "hint", f"{a} seems {seems} than {b} ({span}), which does not stand after Holm's adjustment"
        size = f", though by less than {margin:g}" if small else ""
        doubt = "; without the maximum it is not, and the maximum favours flat or noisy curves" * comparison.disagrees
        return seems, f"{a} is {seems} than {b}{size}: {span}, among all that was compared{doubt}"
    if small:
        return "equivalent", f"{a} and {b} differ by less than {margin:g}: {span}"
    if point:
        return "no spread", f"{a} against {b}: {d:+.3f} on every problem, and no spread to judge it by"
    if noninferior(comparison, margin).holds:
        return "not worse", f"{a} is worse than {b} by less than {margin:g}, if at all; better is not shown: {span}"
    return "not told", f"whether {a} is better than {b} these cells do not tell: {span}"
