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
from anytime_lib.index import Floats, Order, mean_curve, quality_array
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
    read = index_of(order).of
    rows: list[dict[str, Any]] = []
    for (run, model, task), part in cells.groupby(["run", "model", "task"], sort=False):
        here: dict[str, Any] = {"run": run, "model": model, "task": task}
        full = pd.MultiIndex.from_product([part[c].unique() for c in ("problem_id", "sample", "budget")],
                                          names=["problem_id", "sample", "budget"])  # fmt: skip
        arms: dict[str, tuple[Floats, list[int]]] = {}
        for name, arm in part.groupby("method", sort=False):
            whole = arm.set_index(full.names)[["score"]].reindex(full).reset_index()
            quality, _, budgets = quality_array(whole.assign(**here, method=name))
            arms[str(name)] = quality, budgets

        def filled(name: str, score: float, arms: dict[str, tuple[Floats, list[int]]] = arms) -> float:
            quality, budgets = arms[name]
            return float(read(mean_curve(np.where(np.isnan(quality), score, quality), order), budgets))

        def counted(*names: str, arms: dict[str, tuple[Floats, list[int]]] = arms) -> dict[str, Any]:
            lost = np.concatenate([np.isnan(arms[name][0]).ravel() for name in names])
            return {"n_missing": int(lost.sum()), "share_missing": float(lost.mean())}

        def observed(name: str, arms: dict[str, tuple[Floats, list[int]]] = arms) -> float:
            return float(read(mean_curve(arms[name][0], order), arms[name][1]))

        if baseline is None or treatment is None:
            rows += [here | {"method": m} | counted(m) | {"worst": filled(m, 0.0), "index": observed(m),
                     "best": filled(m, 1.0)} for m in arms]  # fmt: skip
        elif baseline in arms and treatment in arms:
            lost = np.isnan(arms[baseline][0]) | np.isnan(arms[treatment][0])
            first, second = (
                float(read(mean_curve(np.where(lost, np.nan, arms[m][0]), order), arms[m][1]))
                for m in (baseline, treatment)
            )
            rows.append(
                here | {"baseline": baseline, "treatment": treatment} | counted(baseline, treatment)
                | {"worst": filled(treatment, 0.0) - filled(baseline, 1.0),
                   "difference": second - first,
                   "best": filled(treatment, 1.0) - filled(baseline, 0.0)}
            )  # fmt: skip
    if not rows:
        raise DataError(f"no task has both {baseline} and {treatment}")
    return pd.DataFrame(rows)
