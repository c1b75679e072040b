"""What if a function that is not ours fails on a problem? It must not tell what may be private."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.tasks.base import Task
from anytime_lib.types import Grade, Problem


@contextmanager
def user_code(who: str, problem: Problem) -> Iterator[None]:
    """Run inside it what may be the user's own code: a grader, a checker, a method.

    Raises:
        DataError: it failed. The sentence names `who`, the problem and the exception's type; what the exception says
            is left to the traceback, for it may quote the problem, and of a private problem it is left out there too.
            An error of ours passes as it is.
    """
    try:
        yield
    except AnytimeError:
        raise
    except Exception as error:
        raise DataError(
            f"{who} failed on {problem.id} ({type(error).__name__}); mend it and run again: the answers are stored"
        ) from (None if problem.metadata.get("private") else error)


LONGEST = 200_000
"""Characters of an answer that are graded, its last: a cap on the answer's tokens keeps real ones far shorter."""


def grade_answer(task: Task, problem: Problem, text: str, finish_reason: str) -> Grade:
    """The grade of an answer; an unread one that hit its cap is `answer_truncated`.

    Raises:
        DataError: the grader failed (see `user_code`).
    """
    with user_code(f"the grader of {task.name}", problem):
        grade = task.grade(problem, text[-LONGEST:])
    if grade.status == "unparsed" and finish_reason == "length":
        return Grade(grade.score, grade.correct, "answer_truncated", grade.detail)
    return grade
