"""Does any of several methods differ, when so many are compared? A family declared beforehand, adjusted by Holm.

A member that cannot be compared stays in the family with its reason and counts as not rejected: the others are adjusted
for the family as it was declared, not for what came out of it.
Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats
from anytime_lib.stats.compare import Comparison, compare

_PLACE = ARM[:3]


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
        """Holm-adjusted, in the family's order (see `holm`)."""
        return holm([c.pvalue for c in self.comparisons.values()])

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison: run, model, task, the columns of `Comparison.to_frame`, pvalue_holm, significant."""
        if not self.comparisons:
            return pd.DataFrame()
        table = pd.concat([c.to_frame() for c in self.comparisons.values()], ignore_index=True)
        table = pd.concat([pd.DataFrame(self.comparisons.keys())[_PLACE], table], axis=1)
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
    cells: pd.DataFrame, pairs: Sequence[Sequence[str]] | None = None, *, baseline: str = "base",
    confidence_level: float = 0.95, **settings: Any,
) -> Family:  # fmt: skip
    """Compare methods pair by pair on every (run, model, task) in the cells, and adjust for their number.

    Args:
        pairs: (baseline, treatment) pairs, declared before the run; a pair of which a task lacks a method stays in the
            family there, without a value. None: every method of a task against `baseline`.
        confidence_level: of each interval; what it leaves is the family-wise error.
        settings: of `compare` (n_resamples, seed, order, ...), the same for each.
    """
    found = {}
    for place, part in cells.groupby(_PLACE, sort=False):
        methods = [str(m) for m in part.method.unique()]
        against = [(baseline, m) for m in methods if m != baseline and baseline in methods]
        run, model, task = map(str, place)
        for first, second in pairs or against:
            named: dict[str, Any] = {"baseline": first, "treatment": second, "confidence_level": confidence_level}
            try:
                comparison = compare(part, **named, **settings)
            except DataError as error:
                comparison = Comparison(reason=str(error), **named)
            found[Member(run, model, task, first, second)] = comparison
    return Family(found, 1 - confidence_level)


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: (m,) -> (m,). NaN stays NaN and counts, as not rejected."""
    p = np.asarray(pvalues, float)
    order = np.argsort(p, kind="stable")  # NaN last
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(1.0, adjusted)[np.argsort(order, kind="stable")]
