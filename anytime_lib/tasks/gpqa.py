"""Which of four options is right? GPQA, or 48 science questions of our own in GPQA's layout.

GPQA (Rein et al., arXiv 2311.12022) must be fetched by the user, and its text must never reach git: a
question and its options stand in `Problem.text` and nowhere else, and no error message quotes them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.prompts import prompt
from anytime_lib.records import Grade, Problem, unread
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.choosing import check_split, choose

__all__ = ["TASK", "Gpqa", "extract_choice"]

NAME = "gpqa"
OWN = "anytime_lib science v1"
LETTERS = "ABCD"
LEVELS = ("easy", "medium", "hard")
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")
# Another salt would be another order of the options, and so another meaning of every stored answer.
_SALT = "gpqa option order"

_REFUSAL = re.compile(
    r"\bI(?:['’]m| am) (?:sorry|unable|not able)\b"
    r"|\bI (?:cannot|can['’]t|can not|won['’]t|will not) (?:answer|help|assist|provide)"
    r"|\bI (?:must )?(?:decline|refuse) to\b",
    re.IGNORECASE,
)


class Gpqa:
    """The task `gpqa`: four options, one right; quality is 1 or 0."""

    name = NAME
    answer_tokens = 32

    def problems(
        self,
        source: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "test",
        difficulty: Sequence[str] | None = None,
    ) -> list[Problem]:
        """Our own 48 questions, or those of a file in the columns of GPQA's official CSV.

        Args:
            source: None for our own, else the path of a .csv file.
            limit: at most this many; more extend fewer.
            seed: of the order in which questions are taken; it never changes the order of the options.
            split: `pool` (a third, by content), `test` (the rest), or `all`.
            difficulty: of `easy`, `medium`, `hard`; all by default. Official files name no difficulty.
        """
        check_split(split)
        levels = _levels(difficulty)
        found = [_problem(row, source) for row in _rows(source)]
        if difficulty is not None:
            if not any("difficulty" in p.metadata for p in found):
                raise ConfigError(f"{source} has no column 'Difficulty': leave difficulty out, or source")
            found = [p for p in found if p.metadata.get("difficulty") in levels]
        chosen = choose(found, split, seed, limit, one_in=3)
        if not chosen:
            raise DataError(f"{source or OWN} has no such question in the split {split!r}")
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

    def grade(self, problem: Problem, text: str) -> Grade:
        """1 if the option that the response settles on is the right one, else 0."""
        if not text.strip():
            return unread("nothing was said", "empty")
        choice = extract_choice(text)
        if choice is None:
            if _REFUSAL.search(text):
                return unread("declined to answer", "refused")
            return unread("no single option is stated as the answer")
        return Grade(float(choice == problem.gold), choice == problem.gold, "ok", choice)


def _levels(difficulty: Sequence[str] | None) -> Sequence[str]:
    if difficulty is None:
        return LEVELS
    if isinstance(difficulty, str) or not difficulty:
        raise ConfigError(f"difficulty must be a list of {', '.join(LEVELS)}, not {difficulty!r}")
    for level in difficulty:
        if level not in LEVELS:
            raise ConfigError(f"unknown difficulty {level!r}{nearest(str(level), LEVELS)}")
    return difficulty


def _rows(source: str | None) -> list[dict[str, str]]:
    """The rows of a CSV, stripped and checked."""
    if source is None:
        text = files("anytime_lib.tasks").joinpath("data", "science.csv").read_text(encoding="utf-8")
    elif Path(source).suffix.lower() != ".csv":
        raise ConfigError(f"the source of gpqa must be a .csv file in GPQA's official columns, not {str(source)!r}")
    else:
        try:
            text = Path(source).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"cannot read the GPQA file {str(source)!r}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{source} is not UTF-8 text") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{source} lacks GPQA's column {', '.join(map(repr, missing))}")
        rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader]
    except csv.Error as error:
        raise DataError(f"{source} is not a readable CSV file: {error}") from error
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        record = row["Record ID"] or f"record {number}"
        if empty := [c for c in ("Record ID", "Question", *OPTIONS) if not row[c]]:
            raise DataError(f"{source}: {record} has nothing in {', '.join(map(repr, empty))}")
        if record in seen:
            raise DataError(f"{source}: the record ID {record!r} occurs twice")
        seen.add(record)
    return rows


def _problem(row: dict[str, str], source: str | None) -> Problem:
    record = row["Record ID"]
    # The order depends on the record alone: no cache, build or seed ever sees the options reshuffled.
    order = sorted(range(4), key=lambda i: hashlib.sha256(f"{_SALT}:{record}:{i}".encode()).digest())
    shown = [f"{letter}) {row[OPTIONS[i]]}" for letter, i in zip(LETTERS, order, strict=True)]
    known: dict[str, Any] = {
        "domain": row["High-level domain"],
        "subdomain": row["Subdomain"],
        "order": order,
        "source": Path(source).name if source else OWN,
    }
    if row.get("Difficulty"):
        known["difficulty"] = row["Difficulty"]
    if source is None:
        known["explanation"] = row["Explanation"]
    text = "\n".join([row["Question"], "", *shown])
    return Problem(record, NAME, text, LETTERS[order.index(0)], known)


TASK = Gpqa()
