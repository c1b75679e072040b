"""Would another reasonable choice have led elsewhere? Variants of a difference, and rules that leave cells out."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError, nearest
from anytime_lib.index import ARM, ORDERS, of_methods
from anytime_lib.stats.bootstrap import CurveStatistic, index_of
from anytime_lib.stats.compare import Estimand, compare

Mask: TypeAlias = "pd.Series[bool]"
_PROBLEM = ["run", "model", "task", "problem_id"]
_TRACE = [*ARM, "problem_id", "sample"]


def difference_variants(
    cells: pd.DataFrame, *, baseline: str, treatment: str, estimand: Estimand = "crossfit", **settings: Any
) -> pd.DataFrame:
    """The paired difference in Anytime Index (of one run, model and task) under one changed choice at a time, from what
    is judged (`estimand`). It and `settings` (n_resamples is 2,000 by default) are those of `compare`.

    One row per variant, the judged one first: choice (what was changed), variant, difference, low, high, pvalue, says
    (where the interval lies: `above`, `below` or `around` zero). A variant that has no value here is left out.
    """
    how: dict[str, Any] = {"n_resamples": 2_000, "baseline": baseline, "treatment": treatment} | settings
    arms = of_methods(cells, baseline, treatment)
    order = estimand if arms["sample"].nunique() > 1 else "raw"
    budgets = sorted(arms.budget.unique())
    coarse = arms[arms.budget.isin([*budgets[::2], budgets[-1]])] if len(budgets) > 2 else arms[:0]
    tried: list[tuple[str, str, pd.DataFrame, Estimand | CurveStatistic]] = [
        ("judged", order, arms, order),
        *(("level of the maximum", other, arms, index_of(other)) for other in ORDERS if other != order),
        ("axis", "log", arms, index_of(order, axis="log")),
        ("q_max", "observed", arms, index_of(order, q_max="observed")),
        ("grid", "every second budget", coarse, order),
    ]
    rows: list[tuple[Any, ...]] = []
    for choice, variant, table, of in tried:
        with suppress(DataError) if rows else nullcontext():  # one sample, two budgets, or nothing graded so
            found = compare(table, estimand=of, **how)
            rows.append((choice, variant, found.statistic, *found.confidence_interval(), found.pvalue))
    table = pd.DataFrame(rows, columns=["choice", "variant", "difference", "low", "high", "pvalue"])
    return table.assign(says=np.select([table.low > 0, table.high < 0], ["above", "below"], "around"))


def _natural_stop_missing(cells: pd.DataFrame) -> Mask:
    stopped, last = cells.stopped_naturally, cells.budget == cells.groupby(_TRACE).budget.transform("max")
    return ~_over(stopped.mask(stopped.isna() & ~last, False), cells, _TRACE).transform("any", skipna=False)


def _identical_traces(cells: pd.DataFrame) -> Mask:
    if "text" not in cells:
        raise DataError("the rule identical_traces compares the traces' texts: give it a hash of each, by trace_key")
    ends = cells.sort_values("budget").drop_duplicates(_TRACE, keep="last").sort_values(_TRACE)
    twins = ends.duplicated([*_TRACE[:-1], "text"]) & ends.text.notna()  # an unknown text is no twin's
    return cells[_TRACE].merge(ends[_TRACE].assign(twin=twins), how="left").set_index(cells.index).twin


def _over(values: pd.Series, cells: pd.DataFrame, keys: list[str] = _PROBLEM) -> Any:
    """What is true, false or missing of each cell, grouped."""
    return values.astype("boolean").groupby([cells[key] for key in keys])


RULES: dict[str, tuple[str, Callable[[pd.DataFrame], Mask]]] = {
    "errors": ("cells whose request failed; they have no score and are missing in any case",
               lambda cells: cells.status == "error"),
    "answer_truncated": ("answers that hit their cap on tokens before one could be read",
                         lambda cells: cells.status == "answer_truncated"),
    "refused": ("answers in which the model refused", lambda cells: cells.status == "refused"),
    "unparsed_everywhere": ("problems on which no answer of any method could be read",
                            lambda cells: _over(cells.status != "ok", cells).transform("all")),
    "solved_by_all": ("problems that every method answered rightly in every sample at every budget (ceiling)",
                      lambda cells: _over(cells.correct, cells).transform("all", skipna=False)),
    "solved_by_none": ("problems that no method answered rightly in any sample at any budget, among the cells that "
                       "were graded (floor)", lambda cells: _over(cells.correct, cells).transform("max") == 0),
    "natural_stop_missing": ("traces that had not stopped by themselves at the largest budget", _natural_stop_missing),
    "identical_traces": ("traces word for word as an earlier sample of their problem and method", _identical_traces),
}  # fmt: skip
"""Rules of exclusion: what each takes, in words; and cells -> which to leave out, missing where that is not known."""


def apply_exclusions(
    cells: pd.DataFrame, rules: Sequence[str], texts: "pd.Series[str] | None" = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out what the named rules of `RULES` take, each by all cells; `texts` is a hash of each trace's text by its
    trace_key, for the rule that compares them.

    Returns the cells that are kept, and a report with one row per rule and one for them together: rule, takes (in
    words), cells, traces and problems (that lost a cell), untold (problems with cells of which it cannot be told),
    share (of all cells), problem_ids.
    """
    if strange := [name for name in rules if name not in RULES]:
        raise DataError(f"unknown rule {strange[0]!r}{nearest(strange[0], RULES)}")
    known = cells if texts is None else cells.assign(text=cells.trace_key.map(texts))
    found = pd.DataFrame({name: RULES[name][1](known).astype("boolean") for name in rules}, index=cells.index)
    masks, untold = found.fillna(False).astype(bool), found.isna()
    masks["all rules"], untold["all rules"] = masks.any(axis=1), untold.any(axis=1)
    rows = []
    for name in masks:
        taken, takes = cells[masks[name]], RULES[name][0] if name in RULES else "any of them"
        traces, problems = (len(taken.drop_duplicates(keys)) for keys in (_TRACE, _PROBLEM))
        unknown, ids = len(cells[untold[name]].drop_duplicates(_PROBLEM)), sorted(taken.problem_id.unique())
        rows.append((name, takes, len(taken), traces, problems, unknown, len(taken) / max(len(cells), 1), ids))
    columns = ["rule", "takes", "cells", "traces", "problems", "untold", "share", "problem_ids"]
    return cells[~masks["all rules"]].reset_index(drop=True), pd.DataFrame(rows, columns=columns)
