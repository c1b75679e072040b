"""Does any of several methods differ, when so many are compared? A family declared beforehand, adjusted by Holm.

The p-value adjusted is `Comparison.pvalue`: the exchange of arms, which tests the difference the interval is about.
Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).

A member that cannot be compared (an arm of which nothing was graded, or that was run at other budgets) stays in the
family with its reason and without a value. It counts as not rejected: the others are adjusted for the family as it was
declared, not for what happened to come out of it, which costs a little power and never an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order
from anytime_lib.stats.bootstrap import Levels, OfCurve, Seed, index_of
from anytime_lib.stats.compare import Comparison, compare_arrays, drawn_with_raw, judged_with_raw, not_compared
from anytime_lib.stats.intervals import Method
from anytime_lib.stats.pairing import Arms, arms_array
from anytime_lib.stats.permutation import exchange_signs

if TYPE_CHECKING:
    from anytime_lib.config import RunConfig

ALL_PAIRS = "all"


class Member(NamedTuple):
    """One comparison of a family: where, and of what with what."""

    run: str
    model: str
    task: str
    baseline: str
    treatment: str


@dataclass(frozen=True)
class Family:
    """Comparisons that are judged together.

    Attributes:
        comparisons: every member of the family, those that could not be compared with NaN and their `reason`; none
            where a run holds no two methods to compare.
        alpha: the chance, if no method made a difference, that any member is called one.
    """

    comparisons: dict[Member, Comparison]
    alpha: float

    @property
    def pvalues(self) -> Floats:
        """Holm-adjusted, in the family's order; NaN for what could not be compared, which counts all the same."""
        return holm([c.pvalue for c in self.comparisons.values()])

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: run, model, task, then the columns of `Comparison.to_frame`, pvalue_holm, and
        whether it is below alpha."""
        if not self.comparisons:
            return pd.DataFrame()
        rows = [c.to_frame().assign(run=m.run, model=m.model, task=m.task) for m, c in self.comparisons.items()]
        table = pd.concat(rows, ignore_index=True)
        table = table[["run", "model", "task", *table.columns.drop(["run", "model", "task"])]]
        table.insert(list(table.columns).index("pvalue") + 1, "pvalue_holm", self.pvalues)
        return table.assign(significant=table.pvalue_holm < self.alpha)

    def summary(self) -> str:
        """One sentence: how many comparisons, and which of them stand."""
        n, found = len(self.comparisons), int(np.sum(self.pvalues < self.alpha))
        if not n:
            return "Nothing was compared: no task holds two methods of the family."
        what = f"{n} comparison" + ("" if n == 1 else "s")
        if lacking := int(np.isnan(self.pvalues).sum()):
            what += f" ({lacking} of which could not be made)"
        if not found:
            return f"Of {what}, none shows a difference at a family-wise error of {self.alpha:.0%} (Holm)."
        named = "; ".join(
            f"{m.treatment} {'above' if c.statistic > 0 else 'below'} {m.baseline} on {m.task} "
            f"({c.statistic:+.3f}, p = {p:.3g}{', but not without the maximum' if c.disagrees else ''})"
            for (m, c), p in zip(self.comparisons.items(), self.pvalues, strict=True)
            if p < self.alpha
        )
        return f"Of {what}, {found} at a family-wise error of {self.alpha:.0%} (Holm): {named}."


def compare_family(
    cells: pd.DataFrame,
    pairs: Sequence[Sequence[str]] | str | None = None,
    *,
    baseline: str = "base",
    alpha: float = 0.05,
    **settings: Any,
) -> Family:
    """Compare methods pair by pair on every task in the cells, and adjust for their number.

    Args:
        cells: the tidy table; every (run, model, task) in it belongs to the family.
        pairs: (baseline, treatment) pairs, declared before the run (`family` in the params); "all" for every pair of
            methods; None for every method against `baseline`. A declared pair whose two methods a task does not both
            have stays in the family there, without a value; of the pairs that "all" and None make, it is left out.
        baseline: the method the others are compared with when `pairs` is None.
        alpha: the family-wise error.
        settings: of `compare` (n_resamples, seed, order, ...), the same for each.

    Returns:
        The family, every arm resampled by the same draws. A pair that cannot be compared is NaN and says why.

    Raises:
        DataError: a declared method is in none of the cells, a pair is no pair, or there is no pair at all.
    """
    present = [str(m) for m in cells.method.unique()]
    if isinstance(pairs, str) and pairs != ALL_PAIRS:
        raise DataError(f'pairs must be a list of [baseline, treatment] pairs, "all" or None, not {pairs!r}')
    chosen: list[tuple[str, ...]]
    if pairs is None:
        chosen = [(baseline, m) for m in present if m != baseline]
    else:
        chosen = list(combinations(present, 2)) if isinstance(pairs, str) else [tuple(p) for p in pairs]
    if any(len(p) != 2 or p[0] == p[1] for p in chosen):
        raise DataError(f"a family is made of pairs of two different methods, not {chosen}")
    unknown = sorted({m for p in chosen for m in p} - set(present))
    if unknown:
        raise DataError(f"no cells of {', '.join(unknown)}; the table holds {', '.join(present)}")
    found = _compared(cells, chosen, declared=pairs is not None and not isinstance(pairs, str), **settings)
    if not found:
        raise DataError(f"no task has two methods to compare; the table holds {', '.join(present)}")
    return Family(found, alpha)


def declared_family(cells: pd.DataFrame, config: RunConfig, **settings: Any) -> Family:
    """The family that a run's params declare (`family`, else every method against `baseline`), at their level.

    Without any pair the family is empty.

    Args:
        cells: of the run.
        settings: of `compare`, in place of those of the config.
    """
    pairs = [(str(first), str(second)) for first, second in config.analysis.family or []]
    if not pairs:
        pairs = [(config.analysis.baseline, str(m)) for m in cells.method.unique() if m != config.analysis.baseline]
    alpha = 1 - settings.get("confidence_level", config.analysis.confidence_level)
    chosen = config.resampling
    return Family(_compared(cells, pairs, declared=bool(config.analysis.family), **(chosen | settings)), alpha)


def _compared(
    cells: pd.DataFrame, pairs: Sequence[tuple[str, ...]], *, declared: bool, **settings: Any
) -> dict[Member, Comparison]:
    """Every pair on every task; those a task lacks a method of only if they were declared."""
    found: dict[Member, Comparison] = {}
    for (run, model, task), part in cells.groupby(["run", "model", "task"], sort=False):
        arms = arms_array(part)
        here = [pair for pair in pairs if declared or set(pair) <= set(arms.methods)]
        compared = _on_a_task(arms, here, **settings) if here else {}
        found |= {Member(str(run), str(model), str(task), *pair): compared[pair] for pair in here}
    return found


def _on_a_task(
    arms: Arms,
    pairs: Sequence[tuple[str, ...]],
    *,
    n_resamples: int = 10_000,
    seed: Seed = 0,
    order: Order = "pooled",
    confidence_level: float = 0.95,
    method: Method = "t",
    levels: Levels = "problems",
    statistic: OfCurve | None = None,
) -> dict[tuple[str, ...], Comparison]:
    """What `compare` finds for each pair. Arms that have every cell are drawn once for all, since draws depend on
    problems and samples only; which cells others are paired on depends on the pair."""
    chosen = statistic or index_of(order)
    named: dict[str, Any] = {"confidence_level": confidence_level, "method": method}
    whole = np.flatnonzero(arms.complete)
    position = {arms.methods[m]: i for i, m in enumerate(whole)}
    complete = arms.quality[whole]
    resampling, exchanging = np.random.default_rng(seed).spawn(2)
    if any(set(pair) <= set(position) for pair in pairs):
        drawn = drawn_with_raw(complete, arms.budgets, chosen, n_resamples, resampling, levels)
        signs = exchange_signs(complete.shape[1], n_resamples - 1, exchanging)
    found: dict[tuple[str, ...], Comparison] = {}
    for first, second in pairs:
        arm = {"baseline": first, "treatment": second, **named}
        if lacking := [m for m in (first, second) if m not in arms.methods]:
            found[first, second] = not_compared(reason=f"{' and '.join(lacking)} did not run there", of=chosen, **arm)
        elif first in position and second in position:
            both = [position[first], position[second]]
            of_both = {of: draws[:, both] for of, draws in drawn.items()}
            found[first, second] = judged_with_raw(complete[both], arms.budgets, of_both, signs, n_missing=0, **arm)
        else:
            try:
                quality, budgets, n_missing = arms.pair(first, second)
            except DataError as error:
                found[first, second] = not_compared(reason=str(error), of=chosen, **arm)
                continue
            found[first, second] = compare_arrays(
                quality, budgets, n_missing=n_missing, n_resamples=n_resamples, seed=seed, levels=levels,
                statistic=chosen, **arm,
            )  # fmt: skip
    return found


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: (m,) -> (m,).

    NaN stays NaN and counts: what could not be tested is a member of the family that is not rejected.
    """
    p = np.asarray(pvalues, float)
    found = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    found[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(order)))))
    return found
