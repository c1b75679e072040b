"""What is each stored answer worth? Grades are derived from the store; grading again never calls a model."""

import json
import logging
import sqlite3
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
    query = """SELECT cells.*, requests.response FROM cells JOIN requests ON requests.key = cells.answer_key
        WHERE requests.status = 'ok' AND cells.task = coalesce(?, cells.task)"""
    with store.snapshot() as db:
        db.row_factory = sqlite3.Row
        for cell in map(dict, db.execute(query, (task,))):
            reply = json.loads(cell.pop("response"))
            yield StoredAnswer(cell, problems[cell["task"], cell["problem_id"]], reply["text"], reply["finish_reason"])


def update_grades(store: Store) -> None:
    """Grade again what another version of a task's reader graded, so that no table mixes two, and say so."""
    with store.snapshot() as db:
        graded = db.execute("SELECT DISTINCT task, grader FROM cells WHERE answer_key IS NOT NULL").fetchall()
    known = [(task, grader) for task, grader in graded if task in task_names()]
    for task in sorted({t for t, grader in known if grader != getattr(load_task(t), "grader_version", 1)}):
        n = len(regrade(store, task))
        log.warning("%s: graded again, for another version of its reader did it before; %d grades changed", task, n)


def regrade(store: Store, task: str | None = None) -> pd.DataFrame:
    """Grade every stored answer again, with the graders as they are now, and store the cells whose grade changed.

    Answers of a task that is not known here (one of the user's own, not registered) keep their grades, with a note.

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
    store.put_cells(pending)  # now that nothing is read any more: not every file system lets both be
    return pd.DataFrame(changed, columns=[*CELL_KEY, "score_before", "score", "status_before", "status"])
