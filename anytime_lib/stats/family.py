"""What may be concluded of several methods? A family declared beforehand, margins, and verdicts by rule.

Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats
from anytime_lib.stats.compare import FEW, Comparison, compare
from anytime_lib.stats.intervals import one_sided_pvalue, possible_means


class Member(NamedTuple):
    run: str
    model: str
    task: str
    baseline: str
    treatment: str


@dataclass(frozen=True)
class Family:
    """Comparisons that are judged together, those that could not be made with NaN and their `reason`; and the chance
    `alpha`, if no method made a difference, that any of them is called one."""

    comparisons: dict[Member, Comparison]
    alpha: float

    @property
    def pvalues(self) -> Floats:
        """Holm-adjusted, in the family's order."""
        return holm([c.pvalue for c in self.comparisons.values()])

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: run, model, task, the columns of `Comparison.to_frame`, pvalue_holm, significant."""
        if not self.comparisons:
            return pd.DataFrame()
        rows = pd.concat([c.to_frame() for c in self.comparisons.values()], ignore_index=True)
        table = pd.DataFrame(self.comparisons.keys())[ARM[:3]].join(rows)
        table.insert(list(table).index("pvalue") + 1, "pvalue_holm", self.pvalues)
        return table.assign(significant=table.pvalue_holm < self.alpha)

    def summary(self) -> str:
        """One sentence: how many comparisons, and which of them stand."""
        n, pvalues, error = len(self.comparisons), self.pvalues, f"at a family-wise error of {self.alpha:.0%} (Holm)"
        if not n:
            return "Nothing was compared: no task holds two methods of the family."
        what = f"{n} comparison{'' if n == 1 else 's'}"
        if lacking := int(np.isnan(pvalues).sum()):
            what += f" ({lacking} of which could not be made)"
        named = [
            f"{m.treatment} {'above' if c.statistic > 0 else 'below'} {m.baseline} on {m.task} "
            f"({c.statistic:+.3f}, p = {p:.3g}{', but not without the maximum' if c.disagrees else ''})"
            for (m, c), p in zip(self.comparisons.items(), pvalues, strict=True)
            if p < self.alpha
        ]
        if not named:
            return f"Of {what}, none shows a difference {error}."
        return f"Of {what}, {len(named)} {error}: {'; '.join(named)}."


def compare_family(
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]] | None = None, *, baseline: str = "base", **settings: Any
) -> Family:
    """Compare methods pair by pair on every (run, model, task) in the cells, and adjust for their number.

    Args:
        pairs: (baseline, treatment), declared before the run. None: every method of a task against `baseline`.
        settings: of `compare` (n_resamples, seed, order, ...), the same for each. What `confidence_level` (.95) leaves
            is the family-wise error.
    """
    found, level = {}, settings.setdefault("confidence_level", 0.95)
    for place, part in cells.groupby(ARM[:3], sort=False):
        methods = [str(m) for m in part.method.unique()]
        against = [(baseline, m) for m in methods if m != baseline and baseline in methods]
        for first, second in pairs or against:
            try:
                comparison = compare(part, baseline=first, treatment=second, **settings)
            except DataError as error:
                comparison = Comparison(first, second, level, reason=str(error))
            found[Member._make([*map(str, place), first, second])] = comparison
    return Family(found, 1 - level)


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: (m,) -> (m,). NaN stays NaN and counts, as not rejected."""
    p = np.asarray(pvalues, float)
    order = np.argsort(p, kind="stable")  # NaN last
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(1.0, adjusted)[np.argsort(order, kind="stable")]


class MarginResult(NamedTuple):
    """A one-sided test against a margin, at alpha = .05: whether the claim is shown, and a line that says so."""

    pvalue: float
    holds: bool
    says: str


def noninferior(comparison: Comparison, margin: float) -> MarginResult:
    """Is the treatment worse by no more than `margin`, in units of the index?

    The larger of two p-values: by the draws, which know only of losses that were seen, and by Gaffke's bound on the
    problems' contributions (see `upper_bound`), which allows for rare and large ones.
    """
    return _against(comparison, margin, f"{comparison.treatment} is worse than {comparison.baseline} by", [1])


def equivalent(comparison: Comparison, margin: float) -> MarginResult:
    """Do the two differ by no more than `margin` either way? The larger p-value of two one-sided tests (TOST)."""
    return _against(comparison, margin, f"{comparison.treatment} and {comparison.baseline} differ by", [1, -1])


def _against(c: Comparison, margin: float, claim: str, signs: Sequence[int]) -> MarginResult:
    """The largest p-value of "the treatment is worse (sign 1), or better (-1), by `margin` or more"."""
    if not margin > 0:
        raise DataError(f"a margin must be above 0, in units of the index, not {margin}")
    pvalue, note = np.nan, c.reason or "every budget must be held by two problems or more"
    if not np.isnan(c.contributions).any():
        found, worst = [], max(1.0, float(np.abs(c.contributions).max()))
        for sign in signs:
            by_draws = one_sided_pvalue(sign * c.draws, sign * c.statistic, -margin, n=c.n_problems)
            by_bound = float(np.mean(possible_means(-sign * c.contributions, worst=worst) >= margin))
            found.append((max(by_draws, by_bound), "by Gaffke's bound, for rare losses" * (by_bound > by_draws)))
        pvalue, note = max(found, key=lambda one: one[0])
    holds = bool(pvalue < 0.05)
    said = f"{'shown' if holds else 'not shown'} at alpha = 0.05 (p = {pvalue:.3g}{'; ' * bool(note)}{note})"
    return MarginResult(pvalue, holds, f"{claim} less than {margin:g}: {said}")


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

    One row per comparison: task, baseline, treatment, verdict (of `VERDICTS`), reading (a sentence).
    """
    rows = []
    for (member, comparison), adjusted in zip(family.comparisons.items(), family.pvalues, strict=True):
        verdict, sentence = _told(comparison, bool(adjusted < family.alpha), margin)
        few = " With so few problems a hint, no proof." if comparison.n_problems < FEW else ""
        rows.append((*member[2:], verdict, f"{member.task}: {sentence}.{few}"))
    return pd.DataFrame(rows, columns=["task", "baseline", "treatment", "verdict", "reading"])


def _told(comparison: Comparison, stands: bool, margin: float) -> tuple[str, str]:
    """The verdict on one comparison, and its sentence."""
    a, b, d = comparison.treatment, comparison.baseline, comparison.statistic
    low, high = comparison.confidence_interval()
    span, seems = f"{d:+.3f}, interval [{low:+.3f}, {high:+.3f}]", "better" if d > 0 else "worse"
    if np.isnan(d):
        return "not compared", comparison.summary()
    small = equivalent(comparison, margin).holds
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
