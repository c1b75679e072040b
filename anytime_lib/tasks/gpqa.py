"""Which of four options is right? GPQA, or 48 science questions of our own in GPQA's layout.

GPQA (Rein et al., arXiv 2311.12022) must be fetched by the user, and its text must never reach git: a question and
its options stand in `Problem.text` and nowhere else, no error message quotes them, and the metadata of every such
problem says `private: True` to whatever shows or exports problems.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import check_split, levels, no_answer, select
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.gpqa_source import CANARY, OPTIONS, Source, read_source
from anytime_lib.types import Grade, Problem

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["TASK", "Gpqa", "extract_choice"]

NAME = "gpqa"
LETTERS = "ABCD"
LEVELS = ("easy", "medium", "hard")
# Another salt would be another order of the options, and so another meaning of every stored answer.
_SALT = "gpqa option order"


class Gpqa:
    """The task `gpqa`: four options, one right; quality is 1 or 0."""

    name = NAME
    answer_tokens = 32
    grader_version = 1

    def problems(
        self,
        source: str | Path | Dataset | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "all",
        difficulty: Sequence[str] | None = None,
    ) -> list[Problem]:
        """Our own 48 questions, or GPQA's.

        Args:
            source: None for our own, else as `gpqa_source.read_source` takes it: the path of an official CSV,
                `dataset.zip#diamond`, `hub#diamond`, or a `datasets.Dataset`; `#order=3` for another order of options.
            limit: at most this many; more extend fewer.
            seed: of the order in which questions are taken; it never changes the order of the options.
            split: `pool` (a third, by content), `test` (the rest), or `all`.
            difficulty: of `easy`, `medium`, `hard`; all by default. Official files name no difficulty.
        """
        check_split(split)
        wanted = levels(difficulty, LEVELS, ", ".join(LEVELS))
        had = read_source(source)
        name = had.known["source"]
        found = [_problem(row, had) for row in had.rows]
        if difficulty is not None:
            if not any("difficulty" in p.metadata for p in found):
                raise ConfigError(f"{name} has no column 'Difficulty': leave difficulty out, or source")
            found = [p for p in found if p.metadata.get("difficulty") in wanted]
        chosen = select(found, split, seed, limit, one_in=3)
        if not chosen:
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
        choice = extract_choice(text, _options(problem))
        if choice is None:
            return no_answer(text, "no single option is stated as the answer")
        return Grade(float(choice == problem.gold), choice == problem.gold, "ok", choice)


def _problem(row: dict[str, str], source: Source) -> Problem:
    record, seed = row["Record ID"], source.order_seed
    # The order depends on record and seed alone: no cache, build, subset or draw ever sees the options reshuffled.
    salt = f"{_SALT} {seed}" if seed else _SALT
    order = sorted(range(4), key=lambda i: hashlib.sha256(f"{salt}:{record}:{i}".encode()).digest())
    shown = [f"{letter}) {row[OPTIONS[i]]}" for letter, i in zip(LETTERS, order, strict=True)]
    known: dict[str, Any] = {
        "domain": row["High-level domain"],
        "subdomain": row["Subdomain"],
        "order": order,
        "order_seed": seed,
        **source.known,
    }
    if row.get("Difficulty"):
        known["difficulty"] = row["Difficulty"]
    if row.get(CANARY):
        known["private"] = True
    if not known.get("private"):
        known["explanation"] = row["Explanation"]
    text = "\n".join([row["Question"], "", *shown])
    return Problem(record, NAME, text, LETTERS[order.index(0)], known)


def _options(problem: Problem) -> list[str] | None:
    """The texts of A to D in a problem's text, which is the only place that holds them."""
    text, found = problem.text, []
    for letter in reversed(LETTERS):
        text, mark, option = text.rpartition(f"\n{letter}) ")
        found.append(option if mark else "")
    return found[::-1] if all(found) else None


TASK = Gpqa()
