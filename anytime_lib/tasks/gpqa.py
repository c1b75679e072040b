"""Which of four options is right? GPQA, or 48 science questions of our own in GPQA's layout.

GPQA (Rein et al., arXiv 2311.12022) must be fetched by the user, and its text must never reach git: a question and
its options stand in `Problem.text` and nowhere else, no error message quotes them, and the metadata of every such
problem says `private: True` to whatever shows or exports problems.
"""

from __future__ import annotations

from typing import Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks import gpqa_source
from anytime_lib.tasks.base import levels, right_or_wrong, select
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.gpqa_source import LETTERS
from anytime_lib.types import Grade, Problem

__all__ = ["TASK", "Gpqa", "extract_choice"]

LEVELS = ("easy", "medium", "hard")


class Gpqa:
    """The task `gpqa`: four options, one right; quality is 1 or 0."""

    name = "gpqa"
    answer_tokens = 32
    grader_version = 2

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Our own 48 questions (None), or a source's as `gpqa_source.read` takes it; see `Task.problems`.

        A third, by content, are `pool`. `seed` never changes the order of the options, which the source's `order`
        does. `difficulty` lists some of `easy`, `medium`, `hard`; official files name no difficulty.
        """
        wanted = levels(difficulty, LEVELS, ", ".join(LEVELS))
        found = gpqa_source.read(source)
        name = found[0].metadata["source"]
        if difficulty is not None:
            if not any("difficulty" in p.metadata for p in found):
                raise ConfigError(f"{name} has no column 'Difficulty': leave difficulty out, or source")
            found = [p for p in found if p.metadata.get("difficulty") in wanted]
        if not (chosen := select(found, split, seed, limit, one_in=3)):
            raise DataError(f"{name} has no such question in the split {split!r}")
        return chosen

    def question(self, problem: Problem) -> str:
        return prompt("gpqa.question", problem=problem.text)

    def gold_reasoning(self, problem: Problem) -> str:
        """The explanation of one of our own questions; empty for others, whose text should not spread."""
        return str(problem.metadata.get("explanation", ""))

    def answer_prompt(self, problem: Problem) -> str:
        return prompt("gpqa.answer")

    def gold_answer(self, problem: Problem) -> str:
        return f"Answer: {problem.gold}"

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """The option that a response settles on, for votes."""
        return extract_choice(text, _options(problem))

    def grade(self, problem: Problem, text: str) -> Grade:
        """1 if the option that the response settles on is the right one, else 0."""
        choice = self.extract_answer(problem, text)
        return right_or_wrong(problem, text, choice, "no single option is stated as the answer")


TASK = Gpqa()


def _options(problem: Problem) -> list[str] | None:
    """The texts of A to D in a problem's text, which is the only place that holds them."""
    text, found = problem.text, []
    for letter in reversed(LETTERS):
        text, mark, option = text.rpartition(f"\n{letter}) ")
        found.append(option if mark else "")
    return found[::-1] if all(found) else None
