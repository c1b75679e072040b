"""Would another reasonable choice have led elsewhere? The same difference, read in every way one might have read it.

One choice is changed at a time: the level of the running maximum, the axis, q_max, the grid of budgets, the grader,
the method of the interval. A finding that lives on a single choice is a finding about that choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.grading import stored_answers
from anytime_lib.index import ORDERS
from anytime_lib.records import Problem
from anytime_lib.stats.bootstrap import Seed, index_of
from anytime_lib.stats.comparing import Comparison, compare
from anytime_lib.stats.intervals import METHODS
from anytime_lib.store import Store
from anytime_lib.tasks import trip

Grader = Callable[[Problem, str], float]

GRADERS: Mapping[str, Mapping[str, Grader]] = {
    "natural_plan_trip": {"strict": trip.grade_strict, "official": trip.grade_official},
}
"""Other verdicts that a task's stored answers can be given, beside its own."""


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


def regraded(cells: pd.DataFrame, store: Store) -> dict[str, pd.DataFrame]:
    """The cells as other graders would have them: grader -> cells of the tasks that it knows.

    Stored answers are read again; no model is called and nothing is written. Beside `GRADERS`, `right or wrong` counts
    an answer as 1 if it is wholly right and as 0 otherwise, for tasks that give partial credit.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for task, part in cells.groupby("task", sort=False):
        whole = part.correct.astype("Float64").to_numpy(float, na_value=np.nan)
        if task not in GRADERS and not np.array_equal(whole, part.score.to_numpy(float), equal_nan=True):
            found.setdefault("right or wrong", []).append(part.assign(score=np.where(part.score.isna(), np.nan, whole)))
        if task in GRADERS:
            wanted = set(part.answer_key.dropna())
            texts = {
                a.cell["answer_key"]: a for a in stored_answers(store, str(task)) if a.cell["answer_key"] in wanted
            }
            for name, grade in GRADERS[str(task)].items():
                scores = {key: float(grade(a.problem, a.text)) for key, a in texts.items()}
                found.setdefault(name, []).append(
                    part.assign(score=part.answer_key.map(scores).astype(float).where(part.score.notna()))
                )
    return {name: pd.concat(parts) for name, parts in found.items()}


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
