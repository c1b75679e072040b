"""What must a task offer, and how are its problems split and its answers graded?

A task is any object with the attributes of `Task`; `load_task` finds the built-in ones, `make_task` makes others.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from traceback import walk_tb
from typing import Any, Protocol, runtime_checkable

from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.tasks.said import said
from anytime_lib.types import Grade, Problem

SPLITS = {"test": 0, "pool": 1}
LONGEST = 200_000  # characters of an answer that are graded, its last: the cap on its tokens keeps it far shorter
_REFUSAL = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable|not able)\b"
    r"|\bI (?:cannot|can't|can not|won't|will not) (?:answer|help|assist|provide)"
    r"|\bI (?:must )?(?:decline|refuse) to\b",
    re.IGNORECASE,
)


@runtime_checkable
class Task(Protocol):
    """What a task must offer.

    A task may also have `extract_answer(problem, text)`, what a response states in one spelling, or None, so that votes
    can be counted; `vote(problem, texts)`, the place of the winner where the most frequent answer is not the way;
    `verify(problem, text)`, a score in [0, 1] from the problem's text alone, or None; and `grader_version` (else 1),
    which is stored with every cell: raise it with every change of the grader that can change a grade.

    Attributes:
        name: its name in configs, cells and figures.
        answer_tokens: cap on the answer turn (64 for an integer, 32 for a letter, 512 for a trip).
    """

    name: str
    answer_tokens: int

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Problems in a stable order, by default all there are.

        Args:
            source: None for the task's own problems, else a path or another source the task names (text), a
                `pathlib.Path`, or a `datasets.Dataset` with the columns of the task's files.
            limit: at most this many; the same `seed` gives the same ones, and more extend fewer.
            seed: for generating or choosing problems.
            split: `test`, or `pool` for exemplars, which never share a problem; or `all`. A generated set is as large
                as one asks: its `all` is `limit` problems of test, without a limit 30 of test and then 30 of pool.
            difficulty: the levels wanted, in the task's own terms; None for its default mix.
        """

    def question(self, problem: Problem) -> str:
        """The user turn that asks for reasoning."""

    def answer_prompt(self, problem: Problem) -> str:
        """The user turn that asks for the final answer only."""

    def gold_reasoning(self, problem: Problem) -> str:
        """A short right reasoning, for worked examples; empty where none is known."""

    def gold_answer(self, problem: Problem) -> str:
        """The gold answer as a model should write it: for worked examples, and graded `correct`."""

    def grade(self, problem: Problem, text: str) -> Grade:
        """The grade of a response. Never evaluates it, never raises on it, whatever it holds."""


def in_pool(problem: Problem, one_in: int) -> bool:
    """Whether a problem's content puts it in the pool, as it does one in `one_in`."""
    return int(problem.content_hash[:8], 16) % one_in == 0


def select(problems: Iterable[Problem], split: str, seed: int, limit: int | None, one_in: int = 5) -> list[Problem]:
    """The problems of a split (see `in_pool`), at most `limit`; their ids and the seed decide their order."""
    found = [p for p in problems if split == "all" or in_pool(p, one_in) == SPLITS[split]]
    return _sound(sorted(found, key=lambda p: hashlib.sha256(f"{seed}:{p.id}".encode()).digest()))[:limit]


def from_generator(make: Callable[[str, int], list[Problem]], split: str, limit: int | None) -> list[Problem]:
    """The problems of a generated set (see `Task.problems`); `make(split, n)` gives n problems of test or of pool."""
    if split == "all" and not limit:
        return _sound(make("test", 30) + make("pool", 30))
    return _sound(make("test" if split == "all" else split, limit or 30))


def _sound(problems: list[Problem]) -> list[Problem]:
    """The problems; DataError where there are none, or an id is not theirs alone."""
    if not problems:
        raise DataError("the source has no problem of that kind in that split")
    id, n = Counter(p.id for p in problems).most_common(1)[0]
    if n > 1:
        raise DataError(f"{n} different problems share the id {id!r}; each needs one of its own")
    return problems


def no_answer(text: str, why: str) -> Grade:
    """The grade of a response in which no answer was found: `empty`, `refused`, or `unparsed` with the reason `why`."""
    text = said(text)
    if not text:
        return Grade(0.0, False, "empty", "nothing was said")
    if _REFUSAL.search(text):
        return Grade(0.0, False, "refused", "declined to answer")
    return Grade(0.0, False, "unparsed", why)


@contextmanager
def user_code(who: str, problem: Problem) -> Iterator[None]:
    """Run the user's own code (a grader, a method) inside it. DataError, with the place, where it fails: what its
    exception says may quote the problem, so it is in the traceback alone, of a private one nowhere. Ours pass."""
    try:
        yield
    except AnytimeError:
        raise
    except Exception as error:
        calls = [(str(of.f_globals.get("__name__")), of.f_code, line) for of, line in walk_tb(error.__traceback__)]
        own = (f" in {of.co_filename}, line {line}" for name, of, line in calls if not name.startswith("anytime_lib."))
        why = f"{who} failed on {problem.id} ({type(error).__name__}){next(own, '')}"
        private = problem.metadata.get("private")
        raise DataError(f"{why}; mend it and run again: the answers are stored") from (None if private else error)


def grade_answer(task: Task, problem: Problem, text: str, finish_reason: str) -> Grade:
    """The grade of an answer; an unread one that hit its cap is `answer_truncated`. Errors as of `user_code`."""
    with user_code(f"the grader of {task.name}", problem):
        grade = task.grade(problem, text[-LONGEST:])
    if grade.status == "unparsed" and finish_reason == "length":
        return replace(grade, status="answer_truncated")
    return grade
