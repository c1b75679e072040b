"""What is each stored answer worth? Grades are derived from the store; grading again never calls a model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from anytime_lib.guarding import guarded
from anytime_lib.records import Grade, Problem
from anytime_lib.store import CELL_COLUMNS, Store
from anytime_lib.tasks import Task, load_task, task_names

log = logging.getLogger(__name__)

LONGEST = 200_000
"""Characters of an answer that are graded, its last: a cap on the answer's tokens keeps real ones far shorter."""
BATCH = 2_000
"""Cells written at once: large enough for speed, small enough that memory does not grow with the store."""


class StoredAnswer(NamedTuple):
    """A cell with the answer its grade is derived from."""

    cell: dict[str, Any]
    problem: Problem
    text: str
    finish_reason: str


def grade_answer(task: Task, problem: Problem, text: str, finish_reason: str) -> Grade:
    """The grade of an answer; an unread one that hit its cap is `answer_truncated`.

    Raises:
        DataError: the grader failed (see `guarded`).
    """
    with guarded(f"the grader of {task.name}", problem):
        grade = task.grade(problem, text[-LONGEST:])
    if grade.status == "unparsed" and finish_reason == "length":
        return Grade(grade.score, grade.correct, "answer_truncated", grade.detail)
    return grade


def stored_answers(store: Store, task: str | None = None) -> Iterator[StoredAnswer]:
    """Every cell that has an answer, one at a time; of one task if it is named."""
    problems: dict[tuple[str, str], Problem] = {}
    for name in store.tasks() if task is None else [task]:
        problems |= {(name, p.id): p for p in store.problems(name)}
    for cell, response in store.answered(task):
        row = json.loads(response)
        yield StoredAnswer(cell, problems[cell["task"], cell["problem_id"]], row["text"], row["finish_reason"])


def regrade(store: Store, task: str | None = None) -> pd.DataFrame:
    """Grade every stored answer again, with the graders as they are now, and store the cells whose grade changed.

    Answers of a task that is not known here (one of the user's own, not registered) keep their grades, with a note.

    Returns:
        One row per changed cell: its coordinates, score_before, score, status_before, status.
    """
    wanted = store.tasks() if task is None else [task]
    known = set(wanted) & set(task_names())
    if unknown := set(wanted) - known:
        log.warning("not graded again, for their task is not registered here: %s", ", ".join(sorted(unknown)))
    changed: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    for answer in stored_answers(store, task):
        cell = answer.cell
        if cell["task"] not in known:
            continue
        grade = grade_answer(load_task(cell["task"]), answer.problem, answer.text, answer.finish_reason)
        new = {"score": grade.score, "correct": grade.correct, "status": grade.status, "detail": grade.detail}
        if all(cell[name] == value for name, value in new.items()):
            continue
        pending.append(cell | new)
        if (cell["score"], cell["status"]) != (grade.score, grade.status):
            place = {name: cell[name] for name in CELL_COLUMNS[:7]}
            changed.append(place | {"score_before": cell["score"], "score": grade.score,
                                    "status_before": cell["status"], "status": grade.status})  # fmt: skip
        if len(pending) >= BATCH:
            store.put_cells(pending)
            pending = []
    store.put_cells(pending)
    columns = [*CELL_COLUMNS[:7], "score_before", "score", "status_before", "status"]
    return pd.DataFrame(changed, columns=columns)
