"""Which competition problems with integer answers are there, and when is such an answer right?

The task `aime`: AIME's own problems, from a file or the Hugging Face hub, or the ladder's, which need neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from itertools import cycle, islice
from typing import Any

from numpy.random import SeedSequence, default_rng

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks import aime_source
from anytime_lib.tasks.base import SPLITS, from_generator, levels, right_or_wrong, select
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate
from anytime_lib.types import Grade, Problem

__all__ = ["TASK", "Aime", "extract_integer"]


class Aime:
    """The task `aime`. Quality is 1 for the right integer, else 0."""

    name = "aime"
    answer_tokens = 64
    grader_version = 1

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Problems of the ladder (None), or of a source as `aime_source.read` takes it; see `Task.problems`.

        Which split a problem is in follows from its content: half of the ladder's and a fifth of a source's are
        `pool`. `difficulty` lists levels of the ladder, taken in turn (by default 1 to 6); AIME has none.
        """
        if source is None:
            wanted = levels(difficulty, LEVELS, "levels of the ladder, 1 to 6")
            return from_generator(lambda part, n: _climb(n, seed, part, wanted), split, limit, seed)
        if difficulty is not None:
            raise ConfigError("AIME has no levels: leave difficulty out, or source")
        found = aime_source.read(source)
        if not (chosen := select(found, split, seed, limit)):
            raise DataError(f"{found[0].metadata['source']} is too small to have any problem in the split {split!r}")
        return chosen

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


def _climb(limit: int, seed: int, split: str, levels: list[int]) -> list[Problem]:
    """`limit` problems of the ladder, the levels in turn."""
    reached: Counter[int] = Counter()
    found: dict[str, Problem] = {}
    for level in islice(cycle(levels), limit):
        problem = _rung(level, reached[level], seed, split, found)
        reached[level] += 1
        found[problem.id] = problem
    return list(found.values())


def _rung(level: int, index: int, seed: int, split: str, taken: Container[str]) -> Problem:
    """The problem at that place of a level; its own stream makes it independent of how many are asked for."""
    names = list(TEMPLATES[level])
    rng = default_rng(SeedSequence([seed, SPLITS[split], level, index]))
    for _ in range(1000):
        text, answer, template = generate(level, rng, names[index % len(names)])
        metadata = {"source": "ladder", "difficulty": level, "template": template}
        content = Problem("", TASK.name, text, answer).content_hash[:8]
        problem = Problem(f"ladder-L{level}-{content}", TASK.name, text, answer, metadata)
        # The last bit of the id's own digits decides the split, so the splits share neither content nor id.
        if int(content, 16) % 2 == SPLITS[split] and problem.id not in taken:
            return problem
    raise ConfigError(f"level {level} of the ladder has no more than {index} different problems; ask for fewer")
