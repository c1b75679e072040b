"""Would another reasonable choice have led elsewhere? The same difference, read in every way one might have read it.

One choice is changed at a time: the level of the running maximum, the axis, q_max, the grid of budgets, the grader,
the method of the interval. A finding that lives on a single choice is a finding about that choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS
from anytime_lib.stats.bootstrap import Seed, index_of
from anytime_lib.stats.compare import Comparison, compare
from anytime_lib.stats.intervals import METHODS


def thinned(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells on a coarser grid: every second budget of each task left out, the smallest and the largest kept.

    Two budgets or fewer cannot be thinned: no cells.
    """
    kept = []
    for _, part in cells.groupby("task", sort=False):
        budgets = sorted(part.budget.unique())
        if len(budgets) > 2:
            kept.append(part[part.budget.isin([*budgets[::2], budgets[-1]])])
    return pd.concat(kept) if kept else cells.iloc[:0]


def difference_variants(
    cells: pd.DataFrame,
    *,
    baseline: str,
    treatment: str,
    grades: Mapping[str, pd.DataFrame] | None = None,
    n_resamples: int = 2_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The paired difference in Anytime Index under one changed choice at a time.

    Args:
        cells: of one run, model and task.
        baseline, treatment: methods.
        grades: the cells under other graders (of `regraded`).
        n_resamples, seed, confidence_level: as in `compare`.

    Returns:
        One row per variant: choice (what was changed), variant, difference, low, high, pvalue, says (where the interval
        lies: `above` zero, `below` it, or `around` it). The first row is the default; a variant that has no value here
        (cross-fit with one sample, a grid of two budgets) is left out.
    """
    settings: dict[str, Any] = {"baseline": baseline, "treatment": treatment, "n_resamples": n_resamples,
                                "seed": seed, "confidence_level": confidence_level}  # fmt: skip
    default = compare(cells, **settings)
    rows = [_row("default", "pooled maximum, linear, t", default)]
    here = cells.method.isin([baseline, treatment])
    tried: list[tuple[str, str, pd.DataFrame, dict[str, Any]]] = [
        ("level of the maximum", order, cells, {"order": order}) for order in ORDERS if order != "pooled"
    ]
    tried.append(("axis", "log", cells, {"statistic": index_of(axis="log")}))
    tried.append(("q_max", "observed", cells, {"statistic": index_of(q_max="observed")}))
    tried.append(("grid", "every second budget", thinned(cells[here]), {}))
    task = cells.task.iloc[0]
    tried += [("grader", name, table[table.task == task], {}) for name, table in (grades or {}).items()]
    for choice, variant, table, change in tried:
        if table.empty:
            continue
        try:
            rows.append(_row(choice, variant, compare(table, **(settings | change))))
        except DataError:  # one sample, or nothing graded so
            continue
    for method in METHODS[1:]:
        low, high = default.confidence_interval(method=method)  # type: ignore[arg-type]
        rows.append(_row("interval", method, default) | {"low": low, "high": high})
    table = pd.DataFrame(rows)
    return table.assign(says=np.select([table.low > 0, table.high < 0], ["above", "below"], "around"))


def _row(choice: str, variant: str, found: Comparison) -> dict[str, Any]:
    low, high = found.confidence_interval()
    return {"choice": choice, "variant": variant, "difference": found.statistic, "low": low, "high": high,
            "pvalue": found.pvalue}  # fmt: skip
