"""How small a budget is enough: the smallest that is not inferior to the largest?

Budgets are tested from the largest down, and the first that fails ends it (fixed-sequence testing: Maurer, Hothorn &
Lehmacher 1995; Westfall & Krishen 2001): the chance that the budget found loses more than the margin stays at 1 -
confidence, however many budgets there are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.index import ARM, average, mean_curve, quality_array
from anytime_lib.stats.intervals import upper_bound


def least_sufficient_budget(
    cells: pd.DataFrame, *, margin: float = 0.02, confidence_level: float = 0.95, price: float | None = None
) -> pd.DataFrame:
    """The least budget of every arm that is not inferior to the largest by `margin` or more (the largest one where no
    smaller was shown to be), and what stopping there saves.

    Args:
        margin: the loss in mean quality that counts as nothing, stated before looking.
        confidence_level: one-sided; of not calling a budget enough that loses `margin` or more.
        price: dollars per million output tokens, if it is known.

    Returns:
        One row per arm: run, model, task, method, budget, tokens_saved (of a trace, on average), share_saved (of what
        it spends at the largest budget), dollars_saved (for 1,000 traces; NaN without a price), n_problems, n_samples,
        n_missing, says (a sentence).
    """
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, sure = quality_array(arm)[0], f"{confidence_level:.0%} confidence"
        table = budget_losses(arm, margin=margin, confidence_level=confidence_level)
        largest, least = table.iloc[-1], table[table.enough].iloc[0]
        n, saved = int(largest.n_problems), float(largest.tokens_used - least.tokens_used)
        share = saved / largest.tokens_used if largest.tokens_used else 0.0
        dollars, size = saved * (price or np.nan) / 1000, f"({n} problems x {quality.shape[1]} samples)"
        if not n:
            says = "no cell at the largest budget was graded, so no budget can be compared with it"
        elif least.budget == largest.budget:
            possible = 1 - (1 - confidence_level) ** (1 / n)  # the least margin that so many problems could show
            short = f"; so few problems cannot show a margin below {possible:.3f}" if possible >= margin else ""
            says = f"no budget below {largest.budget} was shown to lose less than {margin:g} with {sure}{short} {size}"
        else:
            money = f", ${dollars:.2f} per 1,000 traces" if price else ""
            says = (
                f"{least.budget} tokens are enough: against {largest.budget} they lose at most "
                f"{max(least.upper, 0.0):.3f} with {sure} (margin {margin:g}), and save {saved:,.0f} tokens a trace "
                f"({share:.0%}{money}) {size}"
            )
        says, missing = f"{arm_of[2]}, {arm_of[3]}: {says}", int(np.isnan(quality).sum())
        rows.append((*arm_of, least.budget, saved, share, dollars, n, quality.shape[1], missing, says))
    names = ["budget", "tokens_saved", "share_saved", "dollars_saved", "n_problems", "n_samples", "n_missing", "says"]
    return pd.DataFrame(rows, columns=[*ARM, *names])


def budget_losses(arm: pd.DataFrame, *, margin: float = 0.02, confidence_level: float = 0.95) -> pd.DataFrame:
    """What every budget of one arm loses against the largest.

    Returns:
        One row per budget: budget, quality, loss, upper (its upper confidence bound), enough, tested (False below the
        first that failed), tokens_used (mean), n_problems (graded at it and at the largest).
    """
    quality, _, budgets = quality_array(arm)
    lost = average(quality[..., -1:] - quality)  # (P, T), of samples that both budgets have
    known = ~np.isnan(lost)
    upper = [float(upper_bound(lost[known[:, t], t], confidence_level)) for t in range(len(budgets) - 1)]
    passed = np.append(np.array(upper) < margin, True)
    enough = np.logical_and.accumulate(passed[::-1])[::-1]
    return pd.DataFrame({
        "budget": budgets, "quality": mean_curve(quality, "raw"), "loss": average(lost), "upper": [*upper, 0.0],
        "enough": enough, "tested": np.append(enough[1:], True), "n_problems": known.sum(axis=0),
        "tokens_used": np.nanmean(quality_array(arm, "tokens_used")[0], axis=(0, 1)),
    })  # fmt: skip
