"""Does any of several methods differ, when so many are compared? A family declared beforehand, adjusted by Holm.

The p-value adjusted is `Comparison.pvalue`. A member that cannot be compared (nothing was graded, or at other budgets)
stays in the family with its reason and counts as not rejected: the others are adjusted for the family as it was
declared, not for what came out of it. Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, cells_array
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, index_of
from anytime_lib.stats.compare import Comparison, compare_arrays
from anytime_lib.stats.intervals import Method
from anytime_lib.stats.pairing import paired
from anytime_lib.stats.permutation import shared_draws

_PLACE = ["run", "model", "task"]


class Member(NamedTuple):
    """One comparison of a family: where, and of what with what."""

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
        """Holm-adjusted, in the family's order (see `holm`)."""
        return holm([c.pvalue for c in self.comparisons.values()])

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: run, model, task, then the columns of `Comparison.to_frame`, pvalue_holm, and
        whether it is below alpha."""
        if not self.comparisons:
            return pd.DataFrame()
        rows = [c.to_frame().assign(run=m.run, model=m.model, task=m.task) for m, c in self.comparisons.items()]
        table = pd.concat(rows, ignore_index=True)
        table = table[[*_PLACE, *table.columns.drop(_PLACE)]]
        table.insert(list(table.columns).index("pvalue") + 1, "pvalue_holm", self.pvalues)
        return table.assign(significant=table.pvalue_holm < self.alpha)

    def summary(self) -> str:
        """One sentence: how many comparisons, and which of them stand."""
        n, pvalues = len(self.comparisons), self.pvalues
        if not n:
            return "Nothing was compared: no task holds two methods of the family."
        what = f"{n} comparison" + ("" if n == 1 else "s")
        if lacking := int(np.isnan(pvalues).sum()):
            what += f" ({lacking} of which could not be made)"
        named = [
            f"{m.treatment} {'above' if c.statistic > 0 else 'below'} {m.baseline} on {m.task} "
            f"({c.statistic:+.3f}, p = {p:.3g}{', but not without the maximum' if c.disagrees else ''})"
            for (m, c), p in zip(self.comparisons.items(), pvalues, strict=True)
            if p < self.alpha
        ]
        if not named:
            return f"Of {what}, none shows a difference at a family-wise error of {self.alpha:.0%} (Holm)."
        return f"Of {what}, {len(named)} at a family-wise error of {self.alpha:.0%} (Holm): {'; '.join(named)}."


def compare_family(
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]] | str | None = None, *, baseline: str = "base",
    alpha: float = 0.05, **settings: Any,
) -> Family:  # fmt: skip
    """Compare methods pair by pair on every task in the cells, and adjust for their number.

    Args:
        cells: the tidy table; every (run, model, task) in it belongs to the family.
        pairs: (baseline, treatment) pairs, declared before the run; "all" for every pair of methods; None for every
            method against `baseline`. A declared pair of which a task lacks a method stays in the family there,
            without a value; of the pairs that "all" and None make, it is left out.
        alpha: the family-wise error.
        settings: of `compare` (n_resamples, seed, order, ...), the same for each.

    Raises:
        DataError: a declared method is in none of the cells, a pair is no pair, or there is no pair at all.
    """
    present = [str(m) for m in cells.method.unique()]
    if isinstance(pairs, str):
        if pairs != "all":
            raise DataError(f'pairs must be a list of [baseline, treatment] pairs, "all" or None, not {pairs!r}')
        chosen: list[Sequence[str]] = list(combinations(present, 2))
    else:
        chosen = [(baseline, m) for m in present if m != baseline] if pairs is None else list(pairs)
    if any(len(p) != 2 or p[0] == p[1] for p in chosen):
        raise DataError(f"a family is made of pairs of two different methods, not {chosen}")
    if unknown := sorted({m for p in chosen for m in p} - set(present)):
        raise DataError(f"no cells of {', '.join(unknown)}; the table holds {', '.join(present)}")
    found = _compared(cells, chosen, not (pairs is None or isinstance(pairs, str)), **settings)
    if not found:
        raise DataError(f"no task has two methods to compare; the table holds {', '.join(present)}")
    return Family(found, alpha)


def declared_family(
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]] | None = None, *, baseline: str = "base",
    confidence_level: float = 0.95, **settings: Any,
) -> Family:  # fmt: skip
    """`compare_family` of the pairs that a run's params declare, whatever came of it: it may be empty, a pair of which
    a method is in none of the cells stays in it, and the family-wise error is what `confidence_level` leaves."""
    chosen = list(pairs or [(baseline, str(m)) for m in cells.method.unique() if m != baseline])
    found = _compared(cells, chosen, bool(pairs), confidence_level=confidence_level, **settings)
    return Family(found, 1 - confidence_level)


def _compared(
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]], declared: bool, *, n_resamples: int = 10_000, seed: Seed = 0,
    order: Order = "pooled", statistic: CurveStatistic | None = None, confidence_level: float = 0.95,
    method: Method = "t",
) -> dict[Member, Comparison]:  # fmt: skip
    """Every pair on every task, all by the same draws; pairs that a task lacks a method of only if `declared`."""
    of, draws = statistic or index_of(order), shared_draws(n_resamples, seed)
    named: dict[str, Any] = {"confidence_level": confidence_level, "method": method}
    found = {}
    for key, part in cells.groupby(_PLACE, sort=False):
        arms = cells_array(part)
        for first, second in pairs:
            if not declared and not {first, second} <= set(arms.methods):
                continue
            named |= {"baseline": first, "treatment": second}
            try:
                if lacking := [m for m in (first, second) if m not in arms.methods]:
                    raise DataError(f"{' and '.join(lacking)} did not run there")
                quality, budgets, n_missing = paired(arms, first, second)
            except DataError as error:
                comparison = Comparison(of=of.name, reason=str(error), **named)
            else:
                comparison = compare_arrays(quality, budgets, of, draws, n_missing=n_missing, **named)
            run, model, of_task = map(str, key)
            found[Member(run, model, of_task, first, second)] = comparison
    return found


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: (m,) -> (m,). NaN stays NaN and counts, as not rejected."""
    p = np.asarray(pvalues, float)
    found = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    found[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(order)))))
    return found
