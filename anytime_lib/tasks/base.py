"""Which problems are there, how are they asked, and how is an answer graded?

A task is any object with the attributes of `Task`; the three built in are found by name with `load_task`, and
`make_task` makes one of the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from anytime_lib.types import Grade, Problem


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
