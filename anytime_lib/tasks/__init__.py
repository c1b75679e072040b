"""Which problems are there, how are they asked, and how is an answer graded?

A task is any object with the attributes of `Task`; the three built in are found by name with `load_task`, and
`make_task` makes one of the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from anytime_lib.errors import ConfigError, nearest
from anytime_lib.records import Grade, Problem
from anytime_lib.tasks.own import OwnTask, make_task

__all__ = ["OwnTask", "Task", "load_task", "make_task", "register_task", "task_names"]


@runtime_checkable
class Task(Protocol):
    """What a task must offer.

    A task may also have `verify(problem, text) -> float | None`: a score in [0, 1] from the problem's text alone,
    without its gold answer, None where a text cannot be checked. Pairs by `verifier` need it.

    Attributes:
        name: its name in configs, cells and figures.
        answer_tokens: cap, in tokens, on the answer turn (DESIGN: 64 for an integer, 32 for a letter,
            512 for a trip).
    """

    name: str
    answer_tokens: int

    def problems(
        self,
        source: Any = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "test",
        difficulty: Sequence[Any] | None = None,
    ) -> list[Problem]:
        """Problems in a stable order.

        Args:
            source: None for the task's own problems, else a path or another source the task names (text), a
                `pathlib.Path`, or a `datasets.Dataset` with the columns of the task's files.
            limit: at most this many; the same `seed` gives the same ones.
            seed: for generating or choosing problems.
            split: `test`, or `pool` for exemplars; the two never share a problem. `all` takes a file whole.
            difficulty: the levels wanted, in the task's own terms; None for its default mix.
        """
        ...

    def question(self, problem: Problem) -> str:
        """The user turn that asks for reasoning."""
        ...

    def answer_prompt(self, problem: Problem) -> str:
        """The user turn that asks for the final answer only."""
        ...

    def gold_reasoning(self, problem: Problem) -> str:
        """A short right reasoning, for worked examples; empty where none is known."""
        ...

    def gold_answer(self, problem: Problem) -> str:
        """The gold answer as a model should write it: for worked examples, and graded `correct`."""
        ...

    # Where methods vote, a task may also say which answers agree, without looking at gold answers:
    # `reading(problem, text) -> str | None`, what a text states, in one spelling; and
    # `vote(problem, texts) -> int`, the place of the winner, where the most frequent reading is not the way.

    def grade(self, problem: Problem, text: str) -> Grade:
        """The grade of a response. Never evaluates it, never raises on it, whatever it holds."""
        ...


_BUILT_IN = {"natural_plan_trip": "trip", "aime": "aime", "gpqa": "gpqa"}
_NEEDED = (
    "name",
    "answer_tokens",
    "problems",
    "question",
    "answer_prompt",
    "gold_reasoning",
    "gold_answer",
    "grade",
)
_registered: dict[str, Task] = {}


def task_names() -> list[str]:
    """Names that `load_task` knows."""
    return [*_BUILT_IN, *_registered]


def register_task(task: Task) -> Task:
    """Make a task of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it lacks an attribute of `Task`, or has the name of a built-in task.
    """
    missing = [a for a in _NEEDED if not hasattr(task, a)]
    if missing:
        raise ConfigError(f"a task needs the attributes of anytime_lib.tasks.Task; missing: {', '.join(missing)}")
    if task.name in _BUILT_IN:
        raise ConfigError(f"{task.name!r} is a built-in task; give yours another name")
    _registered[task.name] = task
    return task


def load_task(name: str | Task) -> Task:
    """The task of that name (a `Task` passes through).

    Raises:
        ConfigError: no task has that name; the message gives the nearest.
    """
    if not isinstance(name, str):
        return name
    if name in _registered:
        return _registered[name]
    if name not in _BUILT_IN:
        raise ConfigError(f"unknown task {name!r}{nearest(name, task_names())}")
    task: Task = import_module(f"anytime_lib.tasks.{_BUILT_IN[name]}").TASK
    return task
