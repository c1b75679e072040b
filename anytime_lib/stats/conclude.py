"""What may be concluded? Sentences by rule from intervals: nobody chooses the words after seeing the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.stats.compare import FEW, Comparison
from anytime_lib.stats.family import Family

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
    """One verdict of `VERDICTS` for every comparison of a family, with a margin in units of the statistic: the largest
    difference that counts as nothing.

    Returns:
        One row per comparison: task, baseline, treatment, verdict, small (the difference is shown to be below the
        margin, whatever its sign), reading (a sentence).
    """
    rows = []
    for (member, comparison), adjusted in zip(family.comparisons.items(), family.pvalues, strict=True):
        verdict = _verdict(comparison, float(adjusted), family.alpha, margin)
        small = not np.isnan(comparison.statistic) and comparison.equivalent(margin).holds
        few = " With so few problems a hint, no proof." if comparison.n_problems < FEW else ""
        reading = f"{member.task}: {_sentence(comparison, verdict, small, margin)}.{few}"
        rows.append((member.task, member.baseline, member.treatment, verdict, small, reading))
    return pd.DataFrame(rows, columns=["task", "baseline", "treatment", "verdict", "small", "reading"])


def _verdict(comparison: Comparison, adjusted: float, alpha: float, margin: float) -> str:
    if np.isnan(comparison.statistic):
        return "not compared"
    low, high = comparison.confidence_interval()
    stands, equivalent = adjusted < alpha, comparison.equivalent(margin).holds
    if low == high and (not stands or low == 0):
        return "equivalent" if equivalent else "no spread"
    if low > 0 or high < 0:
        return ("better" if low > 0 else "worse") if stands else "hint"
    if equivalent:
        return "equivalent"
    return "not worse" if comparison.noninferior(margin).holds else "not told"


def _sentence(comparison: Comparison, verdict: str, small: bool, margin: float) -> str:
    a, b, d = comparison.treatment, comparison.baseline, comparison.statistic
    low, high = comparison.confidence_interval()
    span = f"{d:+.3f}, interval [{low:+.3f}, {high:+.3f}]"
    size = f", though by less than {margin:g}" if small else ""
    doubt = "; without the maximum it is not, and the maximum favours flat or noisy curves"
    stands = f"{a} is {verdict} than {b}{size}: {span}, among all that was compared{doubt * comparison.disagrees}"
    return {
        "better": stands,
        "worse": stands,
        "hint": f"{a} seems {'better' if d > 0 else 'worse'} than {b} ({span}), which does not stand after Holm's "
        "adjustment",
        "equivalent": f"{a} and {b} differ by less than {margin:g}: {span}",
        "not worse": f"{a} is worse than {b} by less than {margin:g}, if at all; better is not shown: {span}",
        "not told": f"whether {a} is better than {b} these cells do not tell: {span}",
        "no spread": f"{a} against {b}: {d:+.3f} on every problem, and no spread to judge it by",
        "not compared": comparison.summary(),
    }[verdict]
