"""What could the missing cells change at most? Bounds that hold whatever the answers that never came would have been.

Every missing score lies in [0, 1]; the index rises with every score, so setting all of them to 0 and to 1 bounds it,
and setting one arm's to 0 and the other's to 1 bounds the difference (Manski's worst-case bounds). No assumption about
why they are missing is made, which is why they are wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, Order, cells_array
from anytime_lib.stats.bootstrap import index_of


def bounds(
    cells: pd.DataFrame, *, baseline: str | None = None, treatment: str | None = None, order: Order = "pooled"
) -> pd.DataFrame:
    """Worst- and best-case Anytime Index of every arm, or of the difference between two.

    A cell is missing if it has no score, or if its arm lacks a budget, sample or problem that other cells of the same
    (run, model, task) have.

    Args:
        cells: the tidy table.
        baseline, treatment: both, for the difference treatment minus baseline on each (run, model, task).
        order: level of the running maximum; not `crossfit`, which does not rise with every score.

    Returns:
        Of arms: run, model, task, method, n_missing, share_missing, worst, index (of the cells there are), best. Of
        differences: run, model, task, baseline, treatment, n_missing, share_missing, worst, difference, best; the
        difference is that of the cells that both have, as `compare` reads it. Since it leaves out what only one of them
        has, it may even lie outside the bounds, which is then worth a look.
    """
    if order == "crossfit":
        raise DataError("the cross-fitted index does not rise with every score: bound another order")
    if (baseline is None) != (treatment is None):
        raise DataError("name both baseline and treatment to bound a difference, or neither")
    rows = []
    for key, part in cells.groupby(["run", "model", "task"], sort=False):
        arms = cells_array(part)
        quality = dict(zip(arms.methods, arms.values, strict=True))
        here = dict(zip(("run", "model", "task"), key, strict=True))
        if baseline is None or treatment is None:
            rows += [here | _of_an_arm(str(m), quality[str(m)], arms.budgets, order) for m in part.method.unique()]
        elif baseline in quality and treatment in quality:
            named = here | {"baseline": baseline, "treatment": treatment}
            rows.append(named | _of_a_difference(quality[baseline], quality[treatment], arms.budgets, order))
    if not rows:
        raise DataError(f"no task has both {baseline} and {treatment}")
    return pd.DataFrame(rows)


def _of_an_arm(method: str, quality: Floats, budgets: list[int], order: Order) -> dict[str, Any]:
    worst, index, best = (_index(quality, budgets, order, score) for score in (0.0, np.nan, 1.0))
    return {"method": method} | _missing(quality) | {"worst": worst, "index": index, "best": best}


def _of_a_difference(baseline: Floats, treatment: Floats, budgets: list[int], order: Order) -> dict[str, Any]:
    lost = np.isnan(baseline) | np.isnan(treatment)
    first, second = (_index(np.where(lost, np.nan, q), budgets, order, np.nan) for q in (baseline, treatment))
    low, high = (
        _index(treatment, budgets, order, score) - _index(baseline, budgets, order, 1 - score) for score in (0.0, 1.0)
    )
    counted = _missing(np.stack([baseline, treatment]))
    return counted | {"worst": low, "difference": second - first, "best": high}


def _index(quality: Floats, budgets: list[int], order: Order, score: float) -> float:
    """The index with every missing score set to `score`."""
    return float(index_of(order)(np.where(np.isnan(quality), score, quality), budgets))


def _missing(quality: Floats) -> dict[str, Any]:
    return {"n_missing": int(np.isnan(quality).sum()), "share_missing": float(np.isnan(quality).mean())}
