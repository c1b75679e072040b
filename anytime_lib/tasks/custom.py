"""How does a user make a task of their own in a few lines? Rows, a question, and a function that grades an answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.tasks.base import from_generator, in_pool, no_answer, select, user_code
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import Grade, Problem, Status

log = logging.getLogger(__name__)

Rows = Callable[[np.random.Generator], Mapping[str, Any]] | Iterable[Mapping[str, Any]] | pd.DataFrame | str | Path
STATUSES = tuple(status for status in get_args(Status) if status != "error")
"""What a grade function may say of an answer: `error` is for the machinery."""
ONE_IN = 3
"""One problem in three is kept for the pool."""


@dataclass(eq=False, repr=False)  # its rows may be private
class CustomTask:
    """A task made of rows and a grade function, for `RunConfig(tasks=[task])` or `register_task`.

    Attributes:
        name: its name in configs, cells and figures.
        rows: a function that makes one row from a `numpy.random.Generator`, an iterable of rows (read once), a
            DataFrame, or the path of a .jsonl, .json, .csv or .parquet file. A row has `text` and `gold` ("" where
            the grade function needs none); `id`, `difficulty` and `reasoning` (a worked solution) if you like; other
            columns become metadata. Values are kept as JSON gives them back, a missing one as None. `private: True`
            keeps the row's text out of notebooks and reports.
        grader: (problem, response) -> True or False, a score in [0, 1], a `Grade`, or None where no answer can be
            read. The response is whatever a model said: never evaluate it.
        ask: what is said after the problem's text.
        ask_answer: the turn that asks for the final answer.
        write_answer: the gold answer as a model should write it, for worked examples.
        answer_tokens: cap on the answer turn.
        verify: (problem, response) -> a score in [0, 1] from the problem's text alone, or None; for pairs.
        read: (problem, response) -> what it states in one spelling, or None; so that votes can be counted.
    """

    name: str
    rows: Rows
    grader: Callable[[Problem, str], Grade | float | bool | None]
    _: KW_ONLY
    ask: str = "Think step by step."
    ask_answer: str = "Now give your final answer only."
    write_answer: Callable[[Problem], str] = lambda problem: str(problem.gold)
    answer_tokens: int = 64
    verify: Callable[[Problem, str], float | None] | None = None
    read: Callable[[Problem, str], str | None] | None = None
    grader_version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not callable(self.rows) and not isinstance(self.rows, str | Path):
            self.rows = list(_table(self.rows))  # an iterator can be read but once, and problems are asked for again

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """The rows as problems: a third of them, by content, are `pool`. `source` takes the place of the rows.

        `difficulty` keeps the rows whose column of that name is among its values. Of rows with the same text and gold
        the first is kept. DataError where there are none, or one cannot be used: it names columns, never what is in
        them.
        """

        def of_level(problem: Problem) -> bool:
            return difficulty is None or problem.metadata.get("difficulty") in difficulty

        def made(part: str, n: int) -> list[Problem]:
            # Each comes from a stream of its own, so that more extend fewer.
            tried = (self._problem(i, rows(np.random.default_rng([seed, i]))) for i in range(1001 + 100 * n))  # type: ignore[operator]
            wanted = (p for p in tried if of_level(p) and (part == "pool") == in_pool(p, ONE_IN))
            found = list(islice(self._different(wanted), n))
            if len(found) < n:
                raise DataError(f"{self.name} generates too few different problems: {n} wanted, {len(found)} found")
            return found

        rows = self.rows if source is None else source
        if callable(rows):
            return from_generator(made, split, limit, seed)
        read = [self._problem(number, row) for number, row in enumerate(_table(rows), 1)]
        if not (found := list(self._different(read))):
            raise DataError(f"{self.name} has no rows")
        if repeated := len(read) - len(found):
            log.warning("%s: %d rows repeat the text and gold of another and are left out", self.name, repeated)
        return select(filter(of_level, found), split, seed, limit, one_in=ONE_IN)

    def _different(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """The problems without those whose content was there before; DataError if content differs under one id."""
        contents: dict[str, str] = {}
        seen: set[str] = set()
        for p in problems:
            if contents.setdefault(p.id, p.content_hash) != p.content_hash:
                raise DataError(f"{self.name}: rows of different content share the id {p.id!r} in column 'id'")
            if p.content_hash not in seen:
                seen.add(p.content_hash)
                yield p

    def _problem(self, number: int, row: Any) -> Problem:
        """The problem of a row; a message names its columns, never what is in them."""
        where = f"{self.name}: row {number}"
        cells = row.items() if isinstance(row, Mapping) else ()
        known = {str(column): _as_json(value, f"{where}: column {str(column)!r}") for column, value in cells}
        text, gold, name = (known.pop(column, None) for column in ("text", "gold", "id"))
        if gold is None or not isinstance(text, str) or not text.strip():
            raise DataError(f"{where} must be a mapping with a 'text' and a 'gold', neither of them empty, NA or NaN")
        if isinstance(name, float) and name.is_integer():  # of a table in which other rows have no id
            name = int(name)
        problem = Problem("" if name is None else str(name), self.name, text, gold, known)
        return problem if problem.id else replace(problem, id=f"{self.name}-{problem.content_hash[:10]}")

    def question(self, problem: Problem) -> str:
        return f"{problem.text}\n\n{self.ask}".strip()

    def answer_prompt(self, problem: Problem) -> str:
        return self.ask_answer

    def gold_reasoning(self, problem: Problem) -> str:
        return str(problem.metadata.get("reasoning") or "")

    def gold_answer(self, problem: Problem) -> str:
        return self.write_answer(problem)

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """What a response states, for votes: by the user's function, else the text in lower case."""
        if self.read:
            with user_code(f"the read function of {self.name}", problem):
                return self.read(problem, text)
        return " ".join(text.lower().split()).rstrip(".") or None

    def grade(self, problem: Problem, text: str) -> Grade:
        """What the user's function says of a response: a Grade, a bool, a score in [0, 1] or None; else DataError."""
        if not text.strip():
            return no_answer(text, "")
        where = f"the grade function of {self.name}"
        with user_code(where, problem):
            said = self.grader(problem, text)
        if said is None:
            return no_answer(text, "the grade function read no answer")
        grade = said if isinstance(said, Grade) else Grade(said, said == 1, "ok")
        number = isinstance(grade.score, int | float | np.number | np.bool_)
        if not number or not 0 <= grade.score <= 1 or grade.status not in STATUSES:
            raise DataError(
                f"{where} gave a {type(said).__name__} that is no grade on {problem.id}; it must give True, False, a "
                f"score in [0, 1], None, or a Grade with such a score and a status of {', '.join(STATUSES)}"
            )
        return Grade(float(grade.score), bool(grade.correct), grade.status, str(grade.detail or ""))


make_task = CustomTask


def _table(rows: Any) -> Iterable[Any]:
    """The rows of a table, whatever holds them."""
    if isinstance(rows, str | Path):
        return read_table(rows)
    return rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows


def _as_json(value: Any, where: str) -> Any:
    """A value as JSON gives it back, None for what pandas puts where there is none; DataError if it cannot hold it."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=lambda array: array.tolist())
        return json.loads(text.encode())  # encoding fails on half a surrogate pair
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise DataError(f"{where} holds what JSON cannot: a {type(value).__name__}, or NaN or the like in it") from None
