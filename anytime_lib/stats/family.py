"""What may be concluded of several methods? A family declared beforehand, margins, and verdicts by rule.

Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats, Order
from anytime_lib.stats import intervals
from anytime_lib.stats.compare import Comparison, compare
from anytime_lib.stats.intervals import APART, alpha_of, n_apart, one_sided_pvalue, possible_means, upper_bound

MEANING: dict[Order, str] = {
    "crossfit": "the best budget so far chosen by half of the samples, read in the other half",
    "raw": "mean quality over the budgets, without a maximum",
    "pooled": "best so far of the mean curve",
    "problem": "best so far of each problem's mean",
    "trace": "best so far of each trace",
}
"""What an index of each order is, in words."""


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

    @property
    def directions(self) -> list[int]:
        """What may be concluded of each among all that was compared, in the family's order: 1 better, -1 worse, 0
        undecided, withheld, or not compared."""
        pairs = zip(self.comparisons.values(), self.pvalues, strict=True)
        return [c.direction * bool(p < self.alpha) for c, p in pairs]

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: run, model, task, the columns of `Comparison.to_frame`, pvalue_holm, significant
        (whether better or worse may be concluded, see `directions`)."""
        rows = [c.to_frame() for c in self.comparisons.values()] or [Comparison().to_frame()[:0]]
        table = pd.DataFrame(self.comparisons.keys(), columns=Member._fields)[ARM[:3]]
        table = table.join(pd.concat(rows, ignore_index=True))
        table.insert(list(table).index("pvalue") + 1, "pvalue_holm", self.pvalues)
        return table.assign(significant=np.array(self.directions) != 0)

    def sentences(self) -> list[str]:
        """One sentence a comparison (see `Comparison.summary`), which follows the adjusted p-value."""
        pairs, n = zip(self.comparisons.items(), self.pvalues, strict=True), len(self.comparisons)
        return [f"{member.task}: {c.summary(float(p), n)}" for (member, c), p in pairs]

    def summary(self) -> str:
        """How many comparisons there are, which of them stand, and what was judged."""
        n, lacking, words = len(self.comparisons), int(np.isnan(self.pvalues).sum()), {1: "better", -1: "worse"}
        if not n:
            return "Nothing was compared: no task holds two methods of the family."
        sides = zip(self.comparisons, self.directions, strict=True)
        found = [f"{m.treatment} {words[side]} than {m.baseline} on {m.task}" for m, side in sides if side]
        rest = {"undecided": n - lacking - len(found), "impossible to make": lacking}
        left = "".join(f"; {count} {'is' if count == 1 else 'are'} {what}" for what, count in rest.items() if count)
        named = {c.estimand for c in self.comparisons.values() if c.estimand}
        meant = [f"{name}: {words}" for name, words in MEANING.items() if any(f"({name})" in what for what in named)]
        text = f"Of {n} comparison{'s' * (n > 1)}{' in ' * bool(named)}{' or '.join(sorted(named))}, "
        text += f"{len(found) or 'none'} stand{'s' * (len(found) < 2)} at a family-wise error of "
        text += f"{self.alpha:.0%} (Holm){': ' * bool(found)}{'; '.join(found)}{left}."
        text += " Of each method that shows exemplars this is one draw of them." * any(
            c.n_draws == 1 for c in self.comparisons.values()
        )
        return text + (f" Here {'; '.join(meant)}." if meant else "")


def compare_family(
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]] | None = None, *, baseline: str = "base", **settings: Any
) -> Family:
    """Compare methods pair by pair on every (run, model, task) in the cells, and adjust for their number.

    Args:
        pairs: (baseline, treatment), declared before the run. None: every method of a task against `baseline`.
        settings: of `compare` (n_resamples, seed, estimand), the same for each. What `confidence_level` (.95) leaves
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
    return Family(found, alpha_of(level))


def over_tasks(family: Family) -> pd.DataFrame:
    """The mean difference over the tasks of a family, all of one weight, of every pair of methods, by t (degrees of
    freedom by Satterthwaite). It speaks of other problems of these tasks (and, from two draws of exemplars on each, of
    other draws), and of no other task.

    One row per (run, model, baseline, treatment): difference, low, high, low_missing and high_missing (whatever the
    missing answers were), pvalue, pvalue_holm (over these rows), n_tasks, n_draws (of exemplars, on the task that has
    fewest), says (above zero, below zero, or undecided).
    """
    groups, rows = dict[tuple[str, ...], list[Comparison]](), []
    for m, c in family.comparisons.items():
        groups.setdefault((m.run, m.model, m.baseline, m.treatment), []).append(c)
    for place, of in groups.items():
        variances = np.array([intervals.standard_error(c.draws, c.n_problems) ** 2 for c in of], dtype=float)
        value, error = np.mean([c.statistic for c in of]), np.sqrt(variances.sum()) / len(of)
        df = variances.sum() ** 2 / max((variances**2 / [c.df or max(c.n_problems - 1, 1) for c in of]).sum(), 1e-300)
        low, high = value + np.array([-1, 1]) * distributions.t.isf(family.alpha / 2, df) * error
        lost = np.mean([np.subtract(c.bounds, c.statistic) for c in of], axis=0)
        p = 2 * distributions.t.sf(np.abs(value) / error, df) if error > 0 else np.nan
        rows.append((*place, value, low, high, low + lost[0], high + lost[1], p, len(of), min(c.n_draws for c in of)))
    names = [*ARM[:2], "baseline", "treatment", "difference", "low", "high", "low_missing", "high_missing", "pvalue"]
    table = pd.DataFrame(rows, columns=[*names, "n_tasks", "n_draws"])
    table.insert(len(names), "pvalue_holm", holm(table.pvalue))
    sides, stands = [table.low_missing > 0, table.high_missing < 0], table.pvalue_holm < family.alpha
    return table.assign(says=np.select([side & stands for side in sides], ["above zero", "below zero"], "undecided"))


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
    """Is the treatment worse by no more than `margin`, in units of the estimand?

    By t on the problems' differences, which supposes that losses as large as any were seen; where fewer than `APART`
    problems differ from the rest, by Gaffke's bound as well. What that bound, which allows for rare and large losses,
    can exclude is said beside it. Missing cells count as at their worst.
    """
    return _against(comparison, margin, f"against {comparison.baseline}, {comparison.treatment} loses", [1])


def equivalent(comparison: Comparison, margin: float) -> MarginResult:
    """Do the two differ by no more than `margin` either way? The larger p-value of two one-sided tests (TOST), each as
    in `noninferior`."""
    return _against(comparison, margin, f"{comparison.treatment} and {comparison.baseline} differ by", [1, -1])


def _against(c: Comparison, margin: float, claim: str, signs: Sequence[int]) -> MarginResult:
    """The largest p-value of "the treatment is worse (sign 1), or better (-1), by `margin` or more"."""
    if not margin > 0:
        raise DataError(f"a margin must be above 0, in units of the estimand, not {margin}")
    if np.isnan(c.contributions).any():
        why = c.reason or "every budget must be held by two problems or more"
        return MarginResult(np.nan, False, f"{claim} less than {margin:g}: not shown ({why})")
    bounded = not c.lower_is_better  # else nothing is known of the largest loss
    few = bounded and n_apart(c.contributions) < APART
    pvalue, rare = 0.0, 0.0
    for sign in [-sign if c.lower_is_better else sign for sign in signs]:
        value = sign * (c.bounds.low if sign > 0 else c.bounds.high)
        losses = sign * (c.statistic - c.contributions) - value
        pvalue = max(pvalue, one_sided_pvalue(sign * c.draws, value, -margin, n=c.n_problems, df=c.df))
        pvalue = max(pvalue, bound_pvalue(losses, margin)) if few else pvalue
        rare = max(rare, upper_bound(losses)) if bounded else rare
    holds = bool(pvalue < 0.05)
    by = "Gaffke's bound: too few problems differ for t" if few else "t"
    said = f"{'shown' if holds else 'not shown'} at alpha = 0.05 by {by} (p = {pvalue:.3g})"
    if bounded:
        said += f"; if losses can be rare and large, only a margin of {rare:.3f} or more is excluded (Gaffke's bound)"
    return MarginResult(pvalue, holds, f"{claim} less than {margin:g}: {said}")


def bound_pvalue(losses: Floats, margin: float) -> float:
    """The p-value, by the bound of `upper_bound`, of "the mean of (n,) losses is `margin` or more"."""
    possible = possible_means(losses)
    return float(np.mean(possible >= margin) if isinstance(possible, np.ndarray) else possible.sf(margin))


VERDICTS = {
    "better": "the interval lies above zero, and Holm's adjustment leaves it standing",
    "worse": "the interval lies below zero, and Holm's adjustment leaves it standing",
    "hint": "undecided; alone it would be better or worse, but it does not stand among so many comparisons",
    "withheld": "undecided; the interval excludes zero, and the cells that are missing could turn that round",
    "equivalent": "which is better is undecided; a difference of the margin or more is excluded, among all compared",
    "not worse": "a gain is undecided; a loss of the margin or more is excluded, also among all that was compared",
    "undecided": "neither a difference nor that it is smaller than the margin is shown: these cells do not tell",
    "not compared": "at some budget the two share no graded cell, or one did not run or ran at other budgets",
}
"""What each verdict means."""


def conclude(family: Family, margin: float) -> pd.DataFrame:
    """A verdict for every comparison of a family; `margin` is the largest difference that counts as nothing. Claims of
    a difference, of equivalence and of not being worse are each adjusted for their number (Holm).

    One row per comparison: task, baseline, treatment, verdict (of `VERDICTS`), reading (the family's sentence, and what
    is shown of the margin).
    """
    every = family.comparisons.values()
    shown = [holm([of(c, margin).pvalue for c in every]) < family.alpha for of in (equivalent, noninferior)]
    rows, parts = [], zip(family.comparisons.items(), family.sentences(), family.directions, *shown, strict=True)
    for (member, c), sentence, side, equal, no_worse in parts:
        verdict, more = _told(c, side, bool(equal), bool(no_worse), margin)
        rows.append((*member[2:], verdict, f"{sentence}{more}."))
    return pd.DataFrame(rows, columns=["task", "baseline", "treatment", "verdict", "reading"])


def _told(c: Comparison, side: int, equal: bool, no_worse: bool, margin: float) -> tuple[str, str]:
    """The verdict on one comparison, by what stands after adjustment (a difference, equivalence, being no worse), and
    what its sentence lacks."""
    if np.isnan(c.statistic):
        return "not compared", ""
    if c.withheld:
        return "withheld", ""
    if side:
        return "better" if side > 0 else "worse", f"; the two differ by less than {margin:g}" * equal
    if c.direction:
        return "hint", ""
    if equal:
        return "equivalent", f"; that the two differ by {margin:g} or more is excluded, so they are equivalent"
    if no_worse:
        return "not worse", f"; that {c.treatment} is worse by {margin:g} or more is excluded, so it is not worse"
    return "undecided", f"; that they differ by less than {margin:g} is not shown either"
