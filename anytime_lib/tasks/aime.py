"""Which competition problems with integer answers are there, and when is such an answer right?

The task `aime`: problems from a file in one of AIME's usual layouts, or the ladder's own, which need no file.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.random import SeedSequence, default_rng

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.records import Grade, Problem, unread
from anytime_lib.tasks.choosing import SPLITS, check_split, choose
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate

__all__ = ["TASK", "Aime", "extract_integer"]

NAME = "aime"
TEXT_COLUMNS = ("prompt", "problem", "Problem", "question", "Question")
ANSWER_COLUMNS = ("answer", "Answer", "expected_answer", "solution_answer")
ID_COLUMNS = ("id", "ID", "problem_id")
READERS = {".jsonl": "from_json", ".csv": "from_csv", ".parquet": "from_parquet"}
_INSTRUCTION = re.compile(
    r"\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*\Z", re.IGNORECASE
)


class Aime:
    """The task `aime`. Quality is 1 for the right integer, else 0."""

    name = NAME
    answer_tokens = 64

    def problems(
        self,
        source: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "test",
        difficulty: Sequence[Any] | None = None,
    ) -> list[Problem]:
        """Problems of the ladder, or of a file.

        Args:
            source: None for the ladder, else the path of a .jsonl, .csv or .parquet file.
            limit: how many (30 of the ladder by default; all of a file); more extend fewer.
            seed: of the ladder's numbers, or of the order in which a file's problems are taken.
            split: `test`, `pool`, or `all` of a file. Which one a problem belongs to follows from its content, so they
                share none whatever the seed: half of the ladder's and a fifth of a file's are `pool`.
            difficulty: levels of the ladder, taken in turn (by default 1 to 6); a file has none.
        """
        check_split(split)
        if source is None:
            return _climb(30 if limit is None else limit, seed, split, _levels(difficulty))
        if difficulty is not None:
            raise ConfigError("a file of problems has no levels: leave difficulty out, or source")
        chosen = choose(_read(Path(source)), split, seed, limit)
        if not chosen:
            raise DataError(f"{source} is too small to have any problem in the split {split!r}")
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

    def grade(self, problem: Problem, text: str) -> Grade:
        """Right or wrong by the integer that `extract_integer` reads; its detail is that integer."""
        if not text.strip():
            return unread("the reply is empty", "empty")
        value = extract_integer(text)
        if value is None:
            return unread("no integer from 0 to 999 is stated as the answer")
        correct = value == problem.gold
        return Grade(float(correct), correct, "ok", str(value))


TASK = Aime()


def _levels(difficulty: Sequence[Any] | None) -> list[int]:
    if difficulty is None:
        return list(LEVELS)
    if isinstance(difficulty, str) or not isinstance(difficulty, Sequence) or not difficulty:
        raise ConfigError(f"difficulty must be a list of levels from 1 to 6, not {difficulty!r}")
    for level in difficulty:
        if isinstance(level, bool) or level not in LEVELS:
            raise ConfigError(f"unknown level {level!r} of the ladder; known: 1, 2, 3, 4, 5, 6")
    return [int(level) for level in difficulty]


def _climb(limit: int, seed: int, split: str, levels: list[int]) -> list[Problem]:
    """`limit` problems of the ladder, the levels in turn."""
    if seed < 0 or limit < 1:
        raise ConfigError(f"seed must not be negative and limit at least 1, not {seed} and {limit}")
    if split not in SPLITS:
        raise ConfigError("the ladder has the splits test and pool; 'all' is for a file")
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


def _read(path: Path) -> list[Problem]:
    """Every problem of a file, in its order; a row that only repeats an earlier one is left out."""
    rows = _rows(path)
    text_column = _column(path, rows[0], TEXT_COLUMNS, "problem text")
    answer_column = _column(path, rows[0], ANSWER_COLUMNS, "answer")
    id_column = next((c for c in ID_COLUMNS if c in rows[0]), None)
    problems: dict[str, Problem] = {}
    texts: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows, 1):
        where = f"row {number} of {path}"
        text = row[text_column]
        text = _INSTRUCTION.sub("", text).strip() if isinstance(text, str) else ""
        if not text:
            raise DataError(f"{where} has no problem text in column {text_column!r}")
        gold = _gold(row[answer_column])
        if gold is None:
            raise DataError(f"{where} has the answer {row[answer_column]!r}, which is no integer from 0 to 999")
        first, first_gold = texts.setdefault(text, (number, gold))
        if first_gold != gold:
            raise DataError(f"{where} asks what row {first} asks, but the answers differ: {gold}, {first_gold}")
        if first != number:
            continue
        own = row[id_column] if id_column else None
        key = f"{path.stem}-{number}" if own is None else str(own)
        if key in problems:
            raise DataError(f"{where} has the id {key!r} of an earlier row")
        problems[key] = Problem(key, NAME, text, gold, {"source": path.name, "row": number})
    return list(problems.values())


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if path.suffix.lower() not in READERS:
        raise ConfigError(f"source must be a {', '.join(READERS)} file (or left out for the ladder), not {path}")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    from datasets import Dataset  # slow to import, and of no use to the ladder

    # The readers behind `load_dataset`, without the request it sends to count a load: nothing goes out.
    # The cache is of the moment, so that an edited file is read again and no problem text stays behind.
    read = getattr(Dataset, READERS[path.suffix.lower()])
    with tempfile.TemporaryDirectory() as cache:
        try:
            rows: list[Mapping[str, Any]] = read(str(path), cache_dir=cache, keep_in_memory=True).to_list()
        except Exception as error:  # of pyarrow, pandas or datasets: whatever it is, the file is at fault
            raise DataError(f"{path} could not be read: {error.__cause__ or error}") from error
    if not rows:
        raise DataError(f"{path} holds no problems")
    return rows


def _column(path: Path, row: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in row:
            return name
    raise DataError(f"{path} has no column with the {what}: one of {', '.join(names)}; it has {', '.join(row)}")


def _gold(value: object) -> int | None:
    """The answer in `value`: 25, 25.0 (a CSV column with gaps), "025", "$25$"; None if there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    digits = re.fullmatch(r"\s*\$?\s*(\d[\d,]{0,8})\s*\$?\s*", str(value))
    number = int(digits[1].replace(",", "")) if digits else -1
    return number if 0 <= number <= 999 else None
