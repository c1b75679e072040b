"""Which competition problems with integer answers are there, and when is such an answer right?

The task `aime`: AIME's own problems, from a file or the Hugging Face hub, or the ladder's, which need neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.random import SeedSequence, default_rng

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks import aime_source
from anytime_lib.tasks.base import SPLITS, from_generator, levels, no_answer, select
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate
from anytime_lib.types import Grade, Problem

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["TASK", "Aime", "extract_integer"]

NAME = "aime"


class Aime:
    """The task `aime`. Quality is 1 for the right integer, else 0."""

    name = NAME
    answer_tokens = 64
    grader_version = 1

    def problems(
        self,
        source: str | Path | Dataset | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "all",
        difficulty: Sequence[Any] | None = None,
    ) -> list[Problem]:
        """Problems of the ladder, or of AIME.

        Args:
            source: None for the ladder; else the path of a .jsonl, .json, .csv or .parquet file, `hub#2024` (a year or
                a range of 1983-2025), `hub:OWNER/NAME`, or a `datasets.Dataset`; options as in `aime_source`.
            limit: how many (of the ladder as `Task.problems` says; all of a source); more extend fewer.
            seed: of the ladder's numbers, or of the order in which a source's problems are taken.
            split: `test`, `pool`, or `all`. Which one a problem belongs to follows from its content, so
                they share none whatever the seed: half of the ladder's and a fifth of a source's are `pool`.
            difficulty: levels of the ladder, taken in turn (by default 1 to 6); AIME has none.

        Raises:
            ConfigError: a setting makes no sense.
            DataError: a source cannot be had or read, or has a wrong answer; the message names every such problem.
        """
        if source is None:
            wanted = levels(difficulty, LEVELS, "levels of the ladder, 1 to 6")
            return from_generator(lambda part, n: _climb(n, seed, part, wanted), split, limit, seed)
        if difficulty is not None:
            raise ConfigError("AIME has no levels: leave difficulty out, or source")
        chosen = select(aime_source.read(source), split, seed, limit)
        if not chosen:
            name = source if isinstance(source, str | Path) else "the dataset"
            raise DataError(f"{name} is too small to have any problem in the split {split!r}")
        return chosen

    def question(self, problem: Problem) -> str:
        """The user turn that asks for reasoning."""
        return prompt("aime.question", problem=problem.text)

    def gold_reasoning(self, problem: Problem) -> str:
        """Empty: no worked solution is known, so an example shows its answer alone."""
        return ""

    def answer_prompt(self, problem: Problem) -> str:
        """The user turn that asks for the final integer only."""
        return prompt("aime.answer")

    def gold_answer(self, problem: Problem) -> str:
        r"""`Final answer: \boxed{17}`."""
        return f"Final answer: \\boxed{{{problem.gold}}}"

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """The integer that a response states, for votes."""
        value = extract_integer(text)
        return None if value is None else str(value)

    def grade(self, problem: Problem, text: str) -> Grade:
        """Right or wrong by the integer that `extract_integer` reads; its detail is that integer."""
        value = extract_integer(text)
        if value is None:
            return no_answer(text, "no integer from 0 to 999 is stated as the answer")
        correct = value == problem.gold
        return Grade(float(correct), correct, "ok", str(value))


TASK = Aime()


def _climb(limit: int, seed: int, split: str, levels: list[int]) -> list[Problem]:
    """`limit` problems of the ladder, the levels in turn."""
    reached: Counter[int] = Counter()
    taken: set[str] = set()
    problems = []
    for i in range(limit):
        level = levels[i % len(levels)]
        problem = _rung(level, reached[level], seed, split, taken)
        reached[level] += 1
        taken.add(problem.id)
        problems.append(problem)
    return problems


def _rung(level: int, index: int, seed: int, split: str, taken: set[str]) -> Problem:
    """The problem at that place of a level; its own stream makes it independent of how many are asked for."""
    names = list(TEMPLATES[level])
    rng = default_rng(SeedSequence([seed, SPLITS[split], level, index]))
    for _ in range(1000):
        text, answer, template = generate(level, rng, names[index % len(names)])
        metadata = {"source": "ladder", "difficulty": level, "template": template}
        content = Problem("", NAME, text, answer).content_hash[:8]
        problem = Problem(f"ladder-L{level}-{content}", NAME, text, answer, metadata)
        # The last bit of the id's own digits decides the split, so the splits share neither content nor id.
        if int(content, 16) % 2 == SPLITS[split] and problem.id not in taken:
            return problem
    raise ConfigError(f"level {level} of the ladder has no more than {index} different problems; ask for fewer")
