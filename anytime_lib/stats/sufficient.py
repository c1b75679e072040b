"""How small a budget is enough: the smallest that is not inferior to the largest?

Budgets are tested from the largest down, and the first that fails ends it (fixed-sequence testing: Maurer, Hothorn &
Lehmacher 1995; Westfall & Krishen 2001): the chance that the budget found loses more than the margin stays at 1 -
confidence, however many budgets there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import average, mean_curve, quality_array
from anytime_lib.stats.intervals import upper_bound


@dataclass(frozen=True)
class SufficientBudget:
    """The least budget shown to be enough (the largest one where no smaller was), and what stopping there saves.

    Attributes:
        tokens_saved: reasoning tokens of a trace, on average; share_saved: of what it spends at the largest budget;
            dollars_saved: for the output tokens of 1,000 traces, None where no price is known.
        table: one row per budget: budget, quality, loss (against the largest budget), upper (its upper confidence
            bound), enough, tested (False below the first that failed), tokens_used (mean).
    """

    task: str
    method: str
    budget: int
    margin: float
    confidence_level: float
    tokens_saved: float
    dollars_saved: float | None
    n_problems: int
    n_samples: int
    n_missing: int
    share_saved: float
    table: pd.DataFrame

    def summary(self) -> str:
        """One sentence that says how small a budget is enough, or why none was shown to be."""
        largest, sure = int(self.table.budget.iloc[-1]), f"{self.confidence_level:.0%} confidence"
        size = f"({self.n_problems} problems x {self.n_samples} samples)"
        if self.budget == largest:
            least = 1 - (1 - self.confidence_level) ** (1 / self.n_problems)  # that so many problems could show at all
            short = f"; so few problems cannot show a margin below {least:.3f}" if least >= self.margin else ""
            return (
                f"{self.task}, {self.method}: no budget below {largest} was shown to lose less than {self.margin:g} "
                f"with {sure}{short} {size}"
            )
        upper = max(self.table.set_index("budget").upper[self.budget], 0.0)
        money = "" if self.dollars_saved is None else f", ${self.dollars_saved:.2f} per 1,000 traces"
        return (
            f"{self.task}, {self.method}: {self.budget} tokens are enough: against {largest} they lose at most "
            f"{upper:.3f} with {sure} (margin {self.margin:g}), and save {self.tokens_saved:,.0f} tokens a trace "
            f"({self.share_saved:.0%}{money}) {size}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row: everything but the table."""
        return pd.DataFrame([vars(self)]).drop(columns="table")


def least_sufficient_budget(
    cells: pd.DataFrame, *, margin: float = 0.02, confidence_level: float = 0.95, price: float | None = None
) -> SufficientBudget:
    """The least budget of one arm that is not inferior to the largest by `margin` or more.

    Args:
        margin: the loss in mean quality that counts as nothing, stated before looking.
        confidence_level: one-sided; of not calling a budget enough that loses `margin` or more.
        price: dollars per million output tokens, if it is known.

    Raises:
        DataError: the cells are of several arms, or the largest budget has no graded cell.
    """
    quality, _, budgets = quality_array(cells)
    used = np.nanmean(quality_array(cells, "tokens_used")[0], axis=(0, 1))
    lost = average(quality[..., -1:] - quality)  # (P, T), of samples that both budgets have
    known = ~np.isnan(lost)
    if not known[:, -1].any():
        raise DataError("no cell at the largest budget was graded, so no budget can be compared with it")
    upper = [float(upper_bound(lost[known[:, t], t], confidence_level)) for t in range(len(budgets) - 1)]
    passed = np.append(np.array(upper) < margin, True)
    enough = np.logical_and.accumulate(passed[::-1])[::-1]
    table = pd.DataFrame({
        "budget": budgets, "quality": mean_curve(quality, "raw"), "loss": average(lost), "upper": [*upper, 0.0],
        "enough": enough, "tested": np.append(enough[1:], True), "tokens_used": used,
    })  # fmt: skip
    at = int(enough.argmax())
    saved = float(used[-1] - used[at])
    return SufficientBudget(
        task=str(cells.task.iloc[0]), method=str(cells.method.iloc[0]), budget=budgets[at], margin=margin,
        confidence_level=confidence_level, tokens_saved=saved, n_problems=int(known[:, -1].sum()),
        dollars_saved=None if price is None else saved * price / 1000, n_samples=quality.shape[1],
        n_missing=int(np.isnan(quality).sum()), share_saved=saved / used[-1] if used[-1] else 0.0, table=table,
    )  # fmt: skip
