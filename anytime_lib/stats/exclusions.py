"""Which cells are left out of an analysis, by which rule, and does it matter?

Rules are named in the params before a run (`exclude`). Each is a small function of the cells, what it takes is counted
and listed, and `with_and_without` shows a result both ways. Rules that look at outcomes (`solved_by_all`,
`solved_by_none`, `natural_stop_missing`) are for sensitivity: a result on what they leave speaks of that part alone.
A cell that was not graded says nothing of an outcome: where such a rule hangs on one, it takes nothing, and the report
lists the problem as one of which it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pandas as pd

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.store import Store

Mask: TypeAlias = "pd.Series[bool]"
Rule = Callable[[pd.DataFrame, Store | None], Mask]
"""The cells, and the run's store where a rule needs texts -> which cells to leave out; missing (of the dtype `boolean`)
where that cannot be told, because what decides it was not graded. Those stay."""

_PROBLEM = ["run", "model", "task", "problem_id"]
_TRACE = ["run", "model", "task", "method", "problem_id", "sample"]


def errors(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """cells whose request failed; they have no score and are missing in any case"""
    return cells.status == "error"


def answer_truncated(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """answers that hit their cap on tokens before one could be read"""
    return cells.status == "answer_truncated"


def refused(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """answers in which the model refused"""
    return cells.status == "refused"


def unparsed_everywhere(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """problems on which no answer of any arm could be read"""
    return ~_anywhere(cells, cells.status == "ok", _PROBLEM)


def solved_by_all(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """problems that every arm answered rightly in every sample at every budget (ceiling)"""
    wrong = _anywhere(cells, ~cells.correct.fillna(True).astype(bool), _PROBLEM)
    return _told(~wrong, ~wrong & _anywhere(cells, cells.correct.isna(), _PROBLEM))


def solved_by_none(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """problems that no arm answered rightly in any sample at any budget, among the cells that were graded (floor)"""
    return _told(~_anywhere(cells, cells.correct.fillna(False).astype(bool), _PROBLEM),
                 ~_anywhere(cells, cells.correct.notna(), _PROBLEM))  # fmt: skip


def natural_stop_missing(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """traces that had not stopped by themselves at the largest budget"""
    stopped = _anywhere(cells, cells.stopped_naturally.fillna(False).astype(bool), _TRACE)
    last = cells.budget == cells.groupby(_TRACE[:4]).budget.transform("max")
    going = _anywhere(cells, last & ~cells.stopped_naturally.fillna(True).astype(bool), _TRACE)
    return _told(~stopped, ~stopped & ~going)


def identical_traces(cells: pd.DataFrame, store: Store | None = None) -> Mask:
    """traces that are word for word an earlier sample of their problem and arm"""
    if store is None:
        raise DataError("the rule identical_traces reads the traces' texts: give it the run's store")
    ends = cells.sort_values("budget").drop_duplicates(_TRACE, keep="last").sort_values(_TRACE)
    rows = [store.get(key) or {} if isinstance(key, str) else {} for key in ends.trace_key]
    texts = [row.get("reasoning") or row.get("text") for row in rows]
    ends = ends.assign(text=[text if text else str(n) for n, text in enumerate(texts)])  # an unknown text is no twin's
    again = ends[ends.duplicated([*_TRACE[:-1], "text"])]
    twins = pd.MultiIndex.from_frame(again[_TRACE])
    return pd.Series(pd.MultiIndex.from_frame(cells[_TRACE]).isin(twins), index=cells.index)


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (errors, answer_truncated, refused, unparsed_everywhere, solved_by_all, solved_by_none,
                 natural_stop_missing, identical_traces)
}  # fmt: skip


def check_rules(names: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, if there is no rule of a name, or one is named twice."""
    for name in names:
        if name not in RULES:
            raise ConfigError(f"exclude: unknown rule {name!r}{nearest(name, RULES)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"exclude names a rule twice: {', '.join(names)}")


def apply_exclusions(
    cells: pd.DataFrame, rules: Sequence[str], store: Store | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out what the named rules take. Each looks at all cells, so their order does not matter.

    Args:
        cells: the tidy table.
        rules: names of RULES.
        store: the run's, for the rules that read texts.

    Returns:
        The cells that are kept; and a report with one row per rule and one for them together: rule, takes (in words),
        cells, traces and problems (that lost a cell), share (of all cells), only (cells that no other rule takes),
        problem_ids; untold and untold_ids (problems with cells of which it cannot be told; they are kept, unless
        another rule takes them).

    Raises:
        ConfigError: no rule has that name.
        DataError: a rule needs the store.
    """
    check_rules(rules)
    found = {name: RULES[name](cells, store).astype("boolean") for name in rules}
    masks = {name: mask.fillna(False).astype(bool) for name, mask in found.items()}
    unknown = {name: mask.isna() for name, mask in found.items()}
    times = sum((mask.astype(int) for mask in masks.values()), pd.Series(0, index=cells.index))
    rows = [
        _counted(name, str(RULES[name].__doc__), cells, mask, unknown[name])
        | {"only": int((mask & (times == 1)).sum())}
        for name, mask in masks.items()
    ]
    out, untold = times > 0, sum(unknown.values(), pd.Series(False, index=cells.index)) > 0
    rows.append(_counted("all rules", "any of them", cells, out, untold) | {"only": int(out.sum())})
    return cells[~out].reset_index(drop=True), pd.DataFrame(rows)


def with_and_without(
    cells: pd.DataFrame,
    rules: Sequence[str],
    result: Callable[[pd.DataFrame], pd.DataFrame],
    store: Store | None = None,
) -> pd.DataFrame:
    """A result on all cells, with each rule alone, and with all of them.

    Args:
        result: cells -> a table, such as `stats.estimate`, or `lambda c: compare(c, ...).to_frame()`.

    Returns:
        The tables one below another, with a first column `excluded`: "nothing", a rule, or "all rules". A rule that
        leaves nothing to compute on has a row without values.
    """
    taken: dict[str, list[str]] = {"nothing": [], **{name: [name] for name in rules}}
    if len(rules) > 1:
        taken["all rules"] = list(rules)
    found: list[pd.DataFrame] = []
    for label, names in taken.items():
        kept = apply_exclusions(cells, names, store)[0]
        try:
            table = result(kept) if len(kept) else pd.DataFrame(index=[0])
        except DataError:
            table = pd.DataFrame(index=[0])
        table.insert(0, "excluded", label)
        found.append(table)
    return pd.concat(found, ignore_index=True)


def _counted(name: str, words: str, cells: pd.DataFrame, mask: Mask, unknown: Mask) -> dict[str, object]:
    taken, untold = cells[mask], cells.loc[unknown, _PROBLEM].drop_duplicates()
    problems = taken[_PROBLEM].drop_duplicates()
    return {"rule": name, "takes": words, "cells": len(taken), "traces": len(taken[_TRACE].drop_duplicates()),
            "problems": len(problems), "share": len(taken) / max(len(cells), 1),
            "problem_ids": sorted(problems.problem_id.unique()), "untold": len(untold),
            "untold_ids": sorted(untold.problem_id.unique())}  # fmt: skip


def _told(mask: Mask, unknown: Mask) -> Mask:
    """The mask, missing where it cannot be told."""
    return mask.astype("boolean").mask(unknown)


def _anywhere(cells: pd.DataFrame, true: Mask, keys: list[str]) -> Mask:
    """Whether something is true of any cell of the same problem (or trace)."""
    return true.groupby([cells[key] for key in keys]).transform("any").astype(bool)
