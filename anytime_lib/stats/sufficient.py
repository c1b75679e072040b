"""How small a budget is enough: the smallest that is not inferior to the largest?

Budgets are tested from the largest down, and the first that fails ends it (fixed-sequence testing: Maurer, Hothorn &
Lehmacher 1995; Westfall & Krishen 2001): the chance that the budget found loses more than the margin stays at 1 -
confidence, however many budgets there are. Picking the smallest of many that look alike would not keep it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, average, quality_array


def upper_bound(
    losses: ArrayLike, confidence_level: float = 0.95, *, worst: float = 1.0, n_draws: int = 10_000, seed: int = 0
) -> Floats:
    """An upper confidence bound of a mean of bounded values, whatever their distribution.

    The quantile of `possible_means` (Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the
    mean of a nonnegative variable", 2005): (..., n) values of at most `worst` -> (...). Where nothing was lost, it is
    the exact binomial bound, 1 - (1 - confidence)^(1/n): losses may be rare and large.
    """
    means = possible_means(losses, worst=worst, n_draws=n_draws, seed=seed)
    return np.asarray(np.quantile(means, confidence_level, axis=-1))


def possible_means(losses: ArrayLike, *, worst: float = 1.0, n_draws: int = 10_000, seed: int = 0) -> Floats:
    """What the mean loss may be at most: (..., n) losses and the worst possible one, under uniform Dirichlet weights ->
    (..., n_draws). The share of them at a margin or above is the p-value of "the mean loss is that or more"."""
    values = np.asarray(losses, dtype=float)
    padded = np.concatenate([values, np.full((*values.shape[:-1], 1), worst)], axis=-1)
    weights = np.random.default_rng(seed).standard_exponential((n_draws, padded.shape[-1]))
    return np.asarray(padded @ (weights / weights.sum(axis=1, keepdims=True)).T)


@dataclass(frozen=True)
class SufficientBudget:
    """The least budget shown to be enough (the largest one where no smaller was), and what it saves.

    Attributes:
        tokens_saved: reasoning tokens that a trace spends less at it than at the largest budget, on average.
        dollars_saved: the same of 1,000 traces, in dollars of output tokens; None where no price is known.
        share_saved: `tokens_saved` as a share of what a trace spends at the largest budget.
        table: one row per budget: budget, quality, loss (quality at the largest budget less quality here), upper (its
            upper confidence bound), enough, tested (False below the first that failed), tokens_used (mean).
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
    cells: pd.DataFrame, *, margin: float = 0.02, confidence_level: float = 0.95, price: float | None = None,
    n_draws: int = 10_000,
) -> SufficientBudget:  # fmt: skip
    """The least budget of one arm that is not inferior to the largest by `margin` or more.

    Args:
        margin: the loss in mean quality that counts as nothing, stated before looking.
        confidence_level: one-sided; of not calling a budget enough that loses `margin` or more.
        price: dollars per million output tokens, if it is known.
        n_draws: of the bound (see `upper_bound`).

    Raises:
        DataError: the cells are of several arms, or the largest budget has no graded cell.
    """
    quality, _, budgets = quality_array(cells)
    used = np.nanmean(quality_array(cells, "tokens_used")[0], axis=(0, 1))
    lost = average(quality[..., -1:] - quality)  # (P, T), of samples that both budgets have
    known = ~np.isnan(lost)
    if not known[:, -1].any():
        raise DataError("no cell at the largest budget was graded, so no budget can be compared with it")
    upper = [float(upper_bound(lost[known[:, t], t], confidence_level, n_draws=n_draws)) for t in range(len(budgets))]
    upper[-1] = 0.0  # against itself
    enough = np.logical_and.accumulate([True, *(np.array(upper[-2::-1]) < margin)])[::-1]
    table = pd.DataFrame({"budget": budgets, "quality": average(average(quality)), "loss": average(lost)})
    table = table.assign(upper=upper, enough=enough, tested=[*enough[1:], True], tokens_used=used)
    at = int(enough.argmax())
    saved = float(used[-1] - used[at])
    return SufficientBudget(
        task=str(cells.task.iloc[0]), method=str(cells.method.iloc[0]), budget=budgets[at], margin=margin,
        confidence_level=confidence_level, tokens_saved=saved, n_problems=int(known[:, -1].sum()),
        dollars_saved=None if price is None else saved * price / 1000, n_samples=quality.shape[1],
        n_missing=int(np.isnan(quality).sum()), share_saved=saved / used[-1] if used[-1] else 0.0, table=table,
    )  # fmt: skip
