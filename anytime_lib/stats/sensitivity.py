"""Would another reasonable choice have led elsewhere? Variants of a difference, and rules that leave cells out.

Variants change one choice at a time: a finding that lives on a single choice is a finding about that choice. Rules of
exclusion are named in the params before a run (`exclude`). Where a rule that looks at outcomes hangs on a cell that was
not graded, it takes nothing, and the report lists the problem as one of which it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.index import ARM, ORDERS
from anytime_lib.stats.bootstrap import Seed, index_of
from anytime_lib.stats.compare import compare

Mask: TypeAlias = "pd.Series[bool]"
Texts: TypeAlias = "pd.Series[str] | None"
Rule = Callable[[pd.DataFrame, Texts], Mask]
"""The cells, and a hash of each trace's text by its key where a rule needs it -> which cells to leave out; missing (of
the dtype `boolean`) where that cannot be told, because what decides it was not graded. Those stay."""

_PROBLEM = ["run", "model", "task", "problem_id"]
_TRACE = [*ARM, "problem_id", "sample"]


def difference_variants(
    cells: pd.DataFrame, *, baseline: str, treatment: str, grades: Mapping[str, pd.DataFrame] | None = None,
    n_resamples: int = 2_000, seed: Seed = 0, confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """The paired difference in Anytime Index under one changed choice at a time: the level of the running maximum, the
    axis, q_max, the grid of budgets, the grader, the method of the interval.

    Args:
        cells: of one run, model and task.
        grades: the cells under other graders.

    Returns:
        One row per variant: choice (what was changed), variant, difference, low, high, pvalue, says (where the interval
        lies: `above` zero, `below` it, or `around` it). The first row is the default; a variant that has no value here
        (cross-fit with one sample, a grid of two budgets) is left out.
    """
    settings: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "confidence_level": confidence_level}
    settings |= {"baseline": baseline, "treatment": treatment}
    arms, task = cells[cells.method.isin([baseline, treatment])], cells.task.iloc[0]
    found = [("default", "pooled maximum, linear, t", compare(arms, **settings))]
    tried: list[tuple[str, str, pd.DataFrame, dict[str, Any]]] = [
        *(("level of the maximum", order, arms, {"order": order}) for order in ORDERS if order != "pooled"),
        ("axis", "log", arms, {"statistic": index_of(axis="log")}),
        ("q_max", "observed", arms, {"statistic": index_of(q_max="observed")}),
        ("grid", "every second budget", coarser_grid(arms), {}),
        *(("grader", name, table[table.task == task], {}) for name, table in (grades or {}).items()),
        ("interval", "percentile", arms, {"method": "percentile"}),
    ]
    for choice, variant, table, change in tried:
        with suppress(DataError):  # one sample, two budgets, or nothing graded so
            found.append((choice, variant, compare(table, **settings | change)))
    rows = [(choice, variant, c.statistic, *c.confidence_interval(), c.pvalue) for choice, variant, c in found]
    table = pd.DataFrame(rows, columns=["choice", "variant", "difference", "low", "high", "pvalue"])
    return table.assign(says=np.select([table.low > 0, table.high < 0], ["above", "below"], "around"))


def coarser_grid(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of a task at every second budget, the smallest and the largest among them; of two budgets none."""
    budgets = sorted(cells.budget.unique())
    return cells[cells.budget.isin([*budgets[::2], budgets[-1]])] if len(budgets) > 2 else cells.iloc[:0]


def errors(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """cells whose request failed; they have no score and are missing in any case"""
    return cells.status == "error"


def answer_truncated(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """answers that hit their cap on tokens before one could be read"""
    return cells.status == "answer_truncated"


def refused(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """answers in which the model refused"""
    return cells.status == "refused"


def unparsed_everywhere(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """problems on which no answer of any arm could be read"""
    return ~_anywhere(cells, cells.status == "ok", _PROBLEM)


def solved_by_all(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """problems that every arm answered rightly in every sample at every budget (ceiling)"""
    wrong = _anywhere(cells, ~cells.correct.fillna(True).astype(bool), _PROBLEM)
    return _told(~wrong, ~wrong & _anywhere(cells, cells.correct.isna(), _PROBLEM))


def solved_by_none(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """problems that no arm answered rightly in any sample at any budget, among the cells that were graded (floor)"""
    right = _anywhere(cells, cells.correct.fillna(False).astype(bool), _PROBLEM)
    return _told(~right, ~_anywhere(cells, cells.correct.notna(), _PROBLEM))


def natural_stop_missing(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """traces that had not stopped by themselves at the largest budget"""
    stopped = _anywhere(cells, cells.stopped_naturally.fillna(False).astype(bool), _TRACE)
    last = cells.budget == cells.groupby(ARM).budget.transform("max")
    going = _anywhere(cells, last & ~cells.stopped_naturally.fillna(True).astype(bool), _TRACE)
    return _told(~stopped, ~stopped & ~going)


def identical_traces(cells: pd.DataFrame, texts: Texts = None) -> Mask:
    """traces that are word for word an earlier sample of their problem and arm"""
    if texts is None:
        raise DataError("the rule identical_traces compares the traces' texts: give it a hash of each, by trace_key")
    ends = cells.sort_values("budget").drop_duplicates(_TRACE, keep="last").sort_values(_TRACE)
    known = ends.assign(text=ends.trace_key.map(texts)).dropna(subset="text")  # an unknown text is no twin's
    twins = pd.MultiIndex.from_frame(known.loc[known.duplicated([*_TRACE[:-1], "text"]), _TRACE])
    return pd.Series(pd.MultiIndex.from_frame(cells[_TRACE]).isin(twins), index=cells.index)


_RULES: list[Rule] = [errors, answer_truncated, refused, unparsed_everywhere, solved_by_all, solved_by_none]
RULES = {rule.__name__: rule for rule in [*_RULES, natural_stop_missing, identical_traces]}


def check_rules(names: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, if there is no rule of a name, or one is named twice."""
    for name in names:
        if name not in RULES:
            raise ConfigError(f"exclude: unknown rule {name!r}{nearest(name, RULES)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"exclude names a rule twice: {', '.join(names)}")


def apply_exclusions(
    cells: pd.DataFrame, rules: Sequence[str], texts: Texts = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out what the named rules of RULES take. Each looks at all cells, so their order does not matter.

    Args:
        texts: a hash of each trace's text by its trace_key, for the rule that compares them.

    Returns:
        The cells that are kept; and a report with one row per rule and one for them together: rule, takes (in words),
        cells, traces and problems (that lost a cell), share (of all cells), problem_ids; untold and untold_ids
        (problems with cells of which it cannot be told; they are kept, unless another rule takes them); only (cells
        that no other rule takes).

    Raises:
        ConfigError: no rule has that name.
        DataError: a rule needs texts.
    """
    check_rules(rules)
    found = pd.DataFrame({name: RULES[name](cells, texts).astype("boolean") for name in rules}, index=cells.index)
    masks, unknown = found.fillna(False).astype(bool), found.isna()
    times = masks.sum(axis=1)
    rows = [_counted(name, str(RULES[name].__doc__), cells, masks[name], unknown[name], times == 1) for name in rules]
    rows.append(_counted("all rules", "any of them", cells, times > 0, unknown.any(axis=1), times > 0))
    return cells[times == 0].reset_index(drop=True), pd.DataFrame(rows)


def with_and_without(
    cells: pd.DataFrame, rules: Sequence[str], result: Callable[[pd.DataFrame], pd.DataFrame], texts: Texts = None
) -> pd.DataFrame:
    """A result (cells -> a table) on all cells, with each rule alone, and with all of them.

    Returns:
        The tables one below another, with a first column `excluded`: "nothing", a rule, or "all rules". A rule that
        leaves nothing to compute on has a row without values.
    """
    taken: dict[str, list[str]] = {"nothing": [], **{name: [name] for name in rules}}
    if len(rules) > 1:
        taken["all rules"] = list(rules)
    found = []
    for label, names in taken.items():
        kept, table = apply_exclusions(cells, names, texts)[0], pd.DataFrame(index=[0])
        with suppress(DataError):
            table = result(kept) if len(kept) else table
        table.insert(0, "excluded", label)
        found.append(table)
    return pd.concat(found, ignore_index=True)


def _counted(name: str, words: str, cells: pd.DataFrame, mask: Mask, unknown: Mask, alone: Mask) -> dict[str, object]:
    taken, untold = cells[mask], cells.loc[unknown, _PROBLEM].drop_duplicates()
    problems = taken[_PROBLEM].drop_duplicates()
    return {
        "rule": name, "takes": words, "cells": len(taken), "traces": len(taken[_TRACE].drop_duplicates()),
        "problems": len(problems), "share": len(taken) / max(len(cells), 1),
        "problem_ids": sorted(problems.problem_id.unique()), "untold": len(untold),
        "untold_ids": sorted(untold.problem_id.unique()), "only": int((mask & alone).sum()),
    }  # fmt: skip


def _told(mask: Mask, unknown: Mask) -> Mask:
    """The mask, missing where it cannot be told."""
    return mask.astype("boolean").mask(unknown)


def _anywhere(cells: pd.DataFrame, true: Mask, keys: list[str]) -> Mask:
    """Whether something is true of any cell of the same problem (or trace)."""
    return true.groupby([cells[key] for key in keys]).transform("any").astype(bool)
