"""How small a budget is enough?

The least budget whose quality is not inferior to that of the largest by more than a stated margin, with a stated
confidence. Budgets are tested from the largest down, and the first that fails ends it (fixed-sequence testing: Maurer,
Hothorn & Lehmacher 1995; Westfall & Krishen 2001): the chance that the budget found is too small by more than the
margin stays at 1 - confidence, however many budgets there are, and no correction is paid. Picking the smallest of many
budgets that look alike would not keep it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, quality_array
from anytime_lib.sweep.prices import Price, price_of


def upper_bound(
    losses: ArrayLike, confidence_level: float = 0.95, *, worst: float = 1.0, n_draws: int = 10_000, seed: int = 0
) -> Floats:
    """An upper confidence bound of a mean of bounded values, without assuming anything of their distribution.

    The quantile of the mean under uniform Dirichlet weights on the values and on one more at the worst possible
    (Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable",
    2005). Where a t interval would be a point, because no problem in the sample lost anything, this is the exact
    binomial bound, 1 - (1 - confidence)^(1/n): losses may be rare and large.

    Args:
        losses: (..., n) values of at most `worst`.

    Returns:
        (...) bounds.
    """
    return np.asarray(
        np.quantile(possible_means(losses, worst=worst, n_draws=n_draws, seed=seed), confidence_level, axis=-1)
    )


def possible_means(losses: ArrayLike, *, worst: float = 1.0, n_draws: int = 10_000, seed: int = 0) -> Floats:
    """What the mean loss may be at most: that of (..., n) losses and of the worst possible one under uniform Dirichlet
    weights, (..., n_draws).

    `upper_bound` is their quantile, and the share of them at `margin` or above is the p-value of "the mean loss is
    `margin` or more" (of losses that are 0 or `worst`, that of the exact binomial test).
    """
    values = np.asarray(losses, dtype=float)
    padded = np.concatenate([values, np.full((*values.shape[:-1], 1), worst)], axis=-1)
    rng, found = np.random.default_rng(seed), np.empty((*values.shape[:-1], n_draws))
    step = max(1, 1_000_000 // padded.shape[-1])  # so many at once that the weights stay small
    for start in range(0, n_draws, step):
        weights = rng.standard_exponential((min(step, n_draws - start), padded.shape[-1]))
        found[..., start : start + step] = padded @ (weights / weights.sum(axis=1, keepdims=True)).T
    return found


@dataclass(frozen=True)
class SufficientBudget:
    """The least budget that is enough, and what it saves.

    Attributes:
        budget: the least budget shown to be enough; the largest one where no smaller was.
        table: one row per budget: budget, quality, loss (quality at the largest budget less quality here), upper (its
            upper confidence bound), enough, tested (False below the first that failed), tokens_used (mean).
        tokens_saved: reasoning tokens that a trace spends less at it than at the largest budget, on average.
        dollars_saved: the same of 1,000 traces, in dollars of output tokens; None where no price is known.
        least_margin: the least margin that so many problems could show at all.
    """

    task: str
    method: str
    budget: int
    margin: float
    confidence_level: float
    table: pd.DataFrame
    tokens_saved: float
    dollars_saved: float | None
    n_problems: int
    n_samples: int
    n_missing: int
    least_margin: float

    @property
    def share_saved(self) -> float:
        """`tokens_saved` as a share of what a trace spends at the largest budget; 0 where it spends none (`direct`)."""
        spent = float(self.table.tokens_used.iloc[-1])
        return self.tokens_saved / spent if spent else 0.0

    def summary(self) -> str:
        """One sentence that says how small a budget is enough, or why none was shown to be."""
        largest = int(self.table.budget.iloc[-1])
        size = f"({self.n_problems} problems x {self.n_samples} samples)"
        if self.budget == largest:
            why = ""
            if self.least_margin >= self.margin:
                why = f"; so few problems cannot show a margin below {self.least_margin:.3f}"
            return (
                f"{self.task}, {self.method}: no budget below {largest} was shown to lose less than {self.margin:g} "
                f"with {self.confidence_level:.0%} confidence{why} {size}"
            )
        last = self.table.set_index("budget").loc[self.budget]
        money = "" if self.dollars_saved is None else f", ${self.dollars_saved:.2f} per 1,000 traces"
        return (
            f"{self.task}, {self.method}: {self.budget} tokens are enough: against {largest} they lose at most "
            f"{max(last.upper, 0.0):.3f} with {self.confidence_level:.0%} confidence (margin {self.margin:g}), and "
            f"save {self.tokens_saved:,.0f} tokens a trace ({self.share_saved:.0%}{money}) {size}"
        )

    def to_frame(self) -> pd.DataFrame:
        names = ("task", "method", "budget", "margin", "confidence_level", "tokens_saved", "share_saved",
                 "dollars_saved", "n_problems", "n_samples", "n_missing")  # fmt: skip
        return pd.DataFrame([{name: getattr(self, name) for name in names}])


def least_sufficient_budget(
    cells: pd.DataFrame,
    *,
    margin: float = 0.02,
    confidence_level: float = 0.95,
    price: Price | None = None,
    n_draws: int = 10_000,
    seed: int = 0,
) -> SufficientBudget:
    """The least budget of one arm that is not inferior to the largest by `margin` or more.

    Args:
        cells: one run, model, task and method (filter them first).
        margin: the loss in mean quality that counts as nothing, stated before looking.
        confidence_level: one-sided; of not calling a budget enough that loses `margin` or more.
        price: of the model; None: from the package's table, if it has the model.
        n_draws, seed: of the bound (see `upper_bound`).

    Raises:
        DataError: the cells are of several arms, or the largest budget has no graded cell.
    """
    quality, _, budgets = quality_array(cells)
    used = quality_array(cells, "tokens_used")[0]
    lost = _problem_means(quality[..., -1:] - quality)  # (P, T), of samples that both budgets have
    known = ~np.isnan(lost[:, -1])
    if not known.any():
        raise DataError("no cell at the largest budget was graded, so no budget can be compared with it")
    rows, going = [], True
    for t in reversed(range(len(budgets))):
        losses = lost[:, t][~np.isnan(lost[:, t])]
        last = t == len(budgets) - 1
        upper = 0.0 if last else float(upper_bound(losses, confidence_level, n_draws=n_draws, seed=seed))
        tested, going = going, going and (last or (len(losses) > 0 and upper < margin))
        rows.append({"budget": budgets[t], "quality": float(np.nanmean(_problem_means(quality[..., t]))) if len(losses)
                     else np.nan, "loss": float(losses.mean()) if len(losses) else np.nan, "upper": upper,
                     "enough": going, "tested": tested, "tokens_used": float(np.nanmean(used[..., t]))})  # fmt: skip
    table = pd.DataFrame(rows[::-1])
    least = table[table.enough].iloc[0]
    saved = float(table.tokens_used.iloc[-1] - least.tokens_used)
    price = price or price_of(str(cells.model.iloc[0]), "")
    return SufficientBudget(
        task=str(cells.task.iloc[0]), method=str(cells.method.iloc[0]), budget=int(least.budget), margin=margin,
        confidence_level=confidence_level, table=table, tokens_saved=saved,
        dollars_saved=price.dollars(0, 0, 1000 * saved) if price else None, n_problems=int(known.sum()),
        n_samples=quality.shape[1], n_missing=int(np.isnan(quality).sum()),
        least_margin=float(1 - (1 - confidence_level) ** (1 / known.sum())),
    )  # fmt: skip


def _problem_means(values: Floats) -> Floats:
    """(P, S, ...) -> (P, ...) means over the samples that are there; NaN where none is."""
    count = (~np.isnan(values)).sum(axis=1)
    return np.divide(np.nansum(values, axis=1), count, out=np.full(count.shape, np.nan), where=count > 0)
