"""What is each stored answer worth? Grades are derived from the store; grading again never calls a model."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from anytime_lib.registry import load_task, task_names
from anytime_lib.store import CELL_KEY, Store
from anytime_lib.tasks.base import grade_answer
from anytime_lib.types import Problem

log = logging.getLogger(__name__)


class StoredAnswer(NamedTuple):
    """A cell with the answer its grade is derived from."""

    cell: dict[str, Any]
    problem: Problem
    text: str
    finish_reason: str


def stored_answers(store: Store, task: str | None = None) -> Iterator[StoredAnswer]:
    """Every cell that has an answer, one at a time; of one task if it is named."""
    problems = {(p.task, p.id): p for p in store.problems(task)}
    for cell, response in store.answered(task):
        row = json.loads(response)
        yield StoredAnswer(cell, problems[cell["task"], cell["problem_id"]], row["text"], row["finish_reason"])


def update_grades(store: Store) -> None:
    """Grade again what another version of a task's reader graded, so that no table mixes two, and say so."""
    known = [(task, grader) for task, grader in store.graders() if task in task_names()]
    for task in sorted({t for t, grader in known if grader != getattr(load_task(t), "grader_version", 1)}):
        n = len(regrade(store, task))
        log.warning("%s: graded again, for another version of its reader did it before; %d grades changed", task, n)


def regrade(store: Store, task: str | None = None) -> pd.DataFrame:
    """Grade every stored answer again, with the graders as they are now, and store the cells whose grade changed.

    Answers of a task that is not known here (one of the user's own, not registered) keep their grades, with a note.

    Returns:
        One row per changed cell: its coordinates, score_before, score, status_before, status.
    """
    wanted = {problem.task for problem in store.problems(task)}
    known = {name: load_task(name) for name in wanted & {*task_names()}}
    if unknown := wanted - set(known):
        log.warning("not graded again, for their task is not registered here: %s", ", ".join(sorted(unknown)))
    changed, pending = list[dict[str, Any]](), list[dict[str, Any]]()
    for before, problem, text, finish_reason in stored_answers(store, task):
        if (own := known.get(problem.task)) is None:
            continue
        new = asdict(grade_answer(own, problem, text, finish_reason))
        cell = before | new | {"grader": getattr(own, "grader_version", 1)}
        if cell != before:
            pending.append(cell)
        if (cell["score"], cell["status"]) != (before["score"], before["status"]):
            changed.append(cell | {"score_before": before["score"], "status_before": before["status"]})
        if len(pending) >= 2_000:  # so memory does not grow with the store
            store.put_cells(pending)
            pending = []
    store.put_cells(pending)
    return pd.DataFrame(changed, columns=[*CELL_KEY, "score_before", "score", "status_before", "status"])


def regraded(cells: pd.DataFrame, store: Store) -> dict[str, pd.DataFrame]:
    """The cells as other graders would have them: grader -> cells of the tasks that it knows.

    A task may have `other_graders`; `right or wrong` counts an answer as 1 if it is wholly right and as 0 otherwise,
    for tasks that give partial credit and have none. Stored answers are read again; no model is called.
    """
    found: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for task, part in cells.groupby("task", sort=False):
        graders = getattr(load_task(task), "other_graders", {}) if task in task_names() else {}
        graded, wanted = part.score.notna(), {*part.answer_key}
        there = [a for a in stored_answers(store, str(task)) if a.cell["answer_key"] in wanted] if graders else []
        for name, grade in graders.items():
            scores = {a.cell["answer_key"]: float(grade(a.problem, a.text)) for a in there}
            found[name].append(part.assign(score=part.answer_key.map(scores).astype(float).where(graded)))
        whole = part.correct.astype("Float64").astype(float).where(graded)
        if not graders and not whole.equals(part.score):
            found["right or wrong"].append(part.assign(score=whole))
    return {name: pd.concat(parts) for name, parts in found.items()}
