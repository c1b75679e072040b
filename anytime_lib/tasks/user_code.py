"""What is told when a function that is not ours fails on a problem?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.tasks.base import Task
from anytime_lib.types import Grade, Problem


@contextmanager
def user_code(who: str, problem: Problem) -> Iterator[None]:
    """Run inside it what may be the user's own code: a grader, a checker, a method.

    Raises:
        DataError: it failed. What the exception says may quote the problem: it is left to the traceback, and of a
            private problem it is left out there too. An error of ours passes as it is.
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
    """The grade of an answer; an unread one that hit its cap is `answer_truncated`. Errors as of `user_code`."""
    with user_code(f"the grader of {task.name}", problem):
        grade = task.grade(problem, text[-LONGEST:])
    if grade.status == "unparsed" and finish_reason == "length":
        return replace(grade, status="answer_truncated")
    return grade
