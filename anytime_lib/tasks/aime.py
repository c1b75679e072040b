"""Which competition problems with integer answers are there, and when is such an answer right?

The task `aime`: AIME's own problems, from a file or the Hugging Face hub, or the ladder's, which need neither.
"""

from importlib import import_module
from typing import Any

from anytime_lib.errors import ConfigError
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import from_generator, select
from anytime_lib.tasks.built_in import levels, right_or_wrong
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.types import Grade, Problem

__all__ = ["TASK", "Aime", "extract_integer"]


class Aime:
    """The task `aime`. Quality is 1 for the right integer, else 0."""

    name = "aime"
    answer_tokens = 64
    grader_version = 6

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Problems of the ladder (None), or of a source as `aime_source.read` takes it; see `Task.problems`.

        Which split a problem is in follows from its content: half of the ladder's and a fifth of a source's are
        `pool`. `difficulty` lists levels of the ladder, taken in turn (by default 1 to 6); AIME has none.
        """
        if source is None:
            ladder = import_module("anytime_lib.tasks.ladder")  # by name: whoever follows a run need not know it
            wanted = levels(difficulty, list(ladder.LEVELS), "levels of the ladder, 1 to 6")
            return from_generator(lambda part, n: ladder.problems(n, seed, part, wanted), split, limit)
        if difficulty is not None:
            raise ConfigError("AIME has no levels: leave difficulty out, or source")
        return select(import_module("anytime_lib.tasks.aime_source").read(source), split, seed, limit)

    def question(self, problem: Problem) -> str:
        return prompt("aime.question", problem=problem.text)

    def gold_reasoning(self, problem: Problem) -> str:
        """Empty: no worked solution is known, so an example shows its answer alone."""
        return ""

    def answer_prompt(self, problem: Problem) -> str:
        return prompt("aime.answer")

    def gold_answer(self, problem: Problem) -> str:
        return f"Final answer: \\boxed{{{problem.gold}}}"

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """The integer that a response states, for votes."""
        value = extract_integer(text)
        return None if value is None else str(value)

    def grade(self, problem: Problem, text: str) -> Grade:
        """Right or wrong by the integer that `extract_integer` reads; its detail is that integer."""
        return right_or_wrong(problem, text, extract_integer(text), "no integer from 0 to 999 is stated as the answer")


TASK = Aime()
