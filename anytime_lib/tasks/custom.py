"""How does a user make a task of their own in a few lines? Rows, a question, and a function that grades an answer."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.choosing import check_split, choose, in_pool
from anytime_lib.tasks.refusals import no_answer
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import Grade, Problem, Status

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
Rows = Callable[[np.random.Generator], Row] | Iterable[Row] | pd.DataFrame | str | Path
STATUSES = tuple(status for status in get_args(Status) if status != "error")
"""What a grade function may say of an answer: `error` is for the machinery."""
ONE_IN = 3
"""One problem in three is kept for the pool."""


@dataclass(frozen=True)
class CustomTask:
    """A task made of rows and a grade function; `make_task` says what each part is."""

    name: str
    rows: Rows = field(repr=False)
    grader: Callable[[Problem, str], Grade | float | bool | None] = field(repr=False)
    ask: str = "Think step by step."
    ask_answer: str = "Now give your final answer only."
    write_answer: Callable[[Problem], str] = field(default=lambda problem: str(problem.gold), repr=False)
    answer_tokens: int = 64
    verify: Callable[[Problem, str], float | None] | None = field(default=None, repr=False)
    read: Callable[[Problem, str], str | None] | None = field(default=None, repr=False)

    def problems(
        self,
        source: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "test",
        difficulty: Sequence[Any] | None = None,
    ) -> list[Problem]:
        """The rows as problems: a third of them, by content, are `pool`. `source` names a file to read instead.

        `difficulty` keeps the rows whose column of that name is among its values. Of rows with the same text and gold
        the first is kept.

        Raises:
            DataError: there are no rows, a row cannot be used, or an id stands for rows of different content. The
                message names columns, never what is in them.
        """
        check_split(split)
        rows = self.rows if source is None else source
        if callable(rows):
            if split == "all":
                raise ConfigError(f"{self.name} generates its problems: it has the splits test and pool, not 'all'")
            return self._generated(rows, 30 if limit is None else limit, seed, split, difficulty)
        found: dict[str, Problem] = {}
        hashes: dict[str, str] = {}
        number = 0
        for number, row in enumerate(_table(rows), 1):
            self._add(self._problem(number, row), found, hashes)
        if not found:
            raise DataError(f"{self.name} has no rows")
        if number > len(found):
            log.warning("%s: %d rows repeat the text and gold of another and are left out", self.name,
                        number - len(found))  # fmt: skip
        return choose(_of(difficulty, found.values()), split, seed, limit, one_in=ONE_IN)

    def _generated(
        self, make: Callable[[np.random.Generator], Row], limit: int, seed: int, split: str, difficulty: Any
    ) -> list[Problem]:
        """`limit` different problems of a split; each comes from its own stream, so that more extend fewer."""
        found: dict[str, Problem] = {}
        hashes: dict[str, str] = {}
        for i in itertools.count():
            if len(found) == limit:
                return list(found.values())
            if i > 1000 + 100 * limit:
                raise DataError(f"{self.name} generates too few different problems: {limit} wanted, {len(found)} found")
            problem = self._problem(i, make(np.random.default_rng([seed, i])))
            if _of(difficulty, [problem]) and (split == "pool") == in_pool(problem, ONE_IN):
                self._add(problem, found, hashes)
        raise AssertionError("unreachable")

    def _add(self, problem: Problem, found: dict[str, Problem], hashes: dict[str, str]) -> None:
        """Put a problem among those found (by content hash; `hashes`: by id), unless its like is there."""
        if hashes.setdefault(problem.id, problem.content_hash) != problem.content_hash:
            raise DataError(
                f"{self.name}: rows of different content share the id {problem.id!r}; give each its own in column 'id'"
            )
        found.setdefault(problem.content_hash, problem)

    def _problem(self, number: int, row: Row) -> Problem:
        where = f"{self.name}: row {number}"
        if not isinstance(row, Mapping):
            raise DataError(f"{where} must be a mapping with a 'text' and a 'gold', not a {type(row).__name__}")
        if lacking := [repr(c) for c in ("text", "gold") if _missing(row.get(c))]:
            raise DataError(
                f"{where} must be a mapping with a 'text' and a 'gold'; missing: {', '.join(lacking)} (an empty cell "
                "of a table, NA or None in a CSV, and NaN are no value)"
            )
        known = {}
        for column, value in row.items():
            try:
                known[str(column)] = None if _missing(value) else _plain(value)
            except (TypeError, ValueError, RecursionError) as error:
                what = "half a surrogate pair" if isinstance(error, UnicodeError) else type(value).__name__
                raise DataError(
                    f"{where}: column {column!r} holds what JSON cannot ({what}); give it as a number, "
                    "a text, or a list or mapping of these"
                ) from None
        text, gold, name = known.pop("text"), known.pop("gold"), known.pop("id", None)
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: column 'text' must be a text that is not blank")
        problem = Problem("", self.name, text, gold, known)
        if isinstance(name, float) and name.is_integer():  # of a table in which other rows have no id
            name = int(name)
        context = "" if name is None else str(name)
        return replace(problem, id=context or f"{self.name}-{problem.content_hash[:10]}")

    def question(self, problem: Problem) -> str:
        return f"{problem.text}\n\n{self.ask}".strip()

    def answer_prompt(self, problem: Problem) -> str:
        return self.ask_answer

    def gold_reasoning(self, problem: Problem) -> str:
        """The row's column `reasoning`, if it has one."""
        return str(problem.metadata.get("reasoning") or "")

    def gold_answer(self, problem: Problem) -> str:
        return self.write_answer(problem)

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """What a response states, for votes: by the user's function, else the text in lower case."""
        if self.read:
            try:
                return self.read(problem, text)
            except Exception as error:
                private, where = problem.metadata.get("private"), f"the read function of {self.name}"
                told = f"{where} failed on {problem.id}: {type(error).__name__}"
                raise DataError(told) from (None if private else error)
        return " ".join(text.lower().split()).rstrip(".") or None

    def grade(self, problem: Problem, text: str) -> Grade:
        """What the user's function says of a response; it must be a Grade, a bool, a score in [0, 1], or None.

        Raises:
            DataError: the function failed, or said something else. The answer is stored all the same. The message
                names what was raised, not what it says; the cause is attached, unless the problem is private.
        """
        if not text.strip():
            return no_answer(text, "")
        where = f"the grade function of {self.name}"
        try:
            said = self.grader(problem, text)
        except Exception as error:
            private = problem.metadata.get("private")
            raise DataError(
                f"{where} failed on {problem.id} ({type(error).__name__}); mend it and run again: answers are stored"
            ) from (None if private else error)
        if said is None:
            return no_answer(text, "the grade function read no answer")
        context = said.score if isinstance(said, Grade) else said
        try:
            score = float("nan") if isinstance(context, str | bytes) else float(context)
        except (TypeError, ValueError, OverflowError):
            score = float("nan")
        if not 0 <= score <= 1:
            raise DataError(
                f"{where} gave no score in [0, 1] on {problem.id} ({type(said).__name__}); it must give True, False, a "
                "score in [0, 1], a Grade, or None"
            )
        if not isinstance(said, Grade):
            return Grade(score, score == 1, "ok")
        if said.status not in STATUSES:
            raise DataError(f"{where} gave a Grade of unknown status on {problem.id}; known: {', '.join(STATUSES)}")
        return Grade(score, bool(said.correct), said.status, str(said.detail or ""))


def make_task(
    name: str,
    rows: Rows,
    grade: Callable[[Problem, str], Grade | float | bool | None],
    *,
    ask: str = CustomTask.ask,
    ask_answer: str = CustomTask.ask_answer,
    write_answer: Callable[[Problem], str] | None = None,
    answer_tokens: int = 64,
    verify: Callable[[Problem, str], float | None] | None = None,
    read: Callable[[Problem, str], str | None] | None = None,
) -> CustomTask:
    """A task of your own, for `RunConfig(tasks=[task])` or `register_task`.

    Args:
        name: its name in configs, cells and figures.
        rows: where problems come from: a function that makes one row from a `numpy.random.Generator`, an iterable of
            rows (read once), a DataFrame, or the path of a .jsonl, .csv or .parquet file. A row has `text` and `gold`
            ("" where the grade function needs none); `id`, `difficulty` and `reasoning` (a worked solution) if you
            like; other columns become metadata. Values are kept as JSON gives them back: NumPy's as plain numbers and
            lists, a tuple as a list, a missing one as None. `private: True` keeps the row's text out of notebooks and
            reports.
        grade: (problem, response) -> True or False, a score in [0, 1], a `Grade`, or None where no answer can be read.
            The response is whatever a model said: never evaluate it.
        ask: what is said after the problem's text.
        ask_answer: the turn that asks for the final answer.
        write_answer: the gold answer as a model should write it, for worked examples; str(gold) by default.
        answer_tokens: cap on the answer turn.
        verify: (problem, response) -> a score in [0, 1] from the problem's text alone, or None; for pairs by
            `verifier`.
        read: (problem, response) -> what it states in one spelling, or None: which answers agree, where methods vote.

    Raises:
        ConfigError: `rows` or `grade` is none of these.
    """
    if not callable(grade):
        raise ConfigError(f"{name}: grade must be a function of (problem, response), not a {type(grade).__name__}")
    if not callable(rows) and not isinstance(rows, str | Path):
        rows = list(_table(rows))  # an iterator can be read but once, and problems are asked for again and again
    context = {} if write_answer is None else {"write_answer": write_answer}
    return CustomTask(
        name, rows, grade, ask, ask_answer, answer_tokens=answer_tokens, verify=verify, read=read, **context
    )


def _table(rows: Iterable[Row] | pd.DataFrame | str | Path) -> Iterable[Row]:
    """The rows of a table, whatever holds them."""
    if isinstance(rows, str | Path):
        return read_table(rows)
    if isinstance(rows, pd.DataFrame):
        return [{str(column): value for column, value in row.items()} for row in rows.to_dict("records")]
    if not isinstance(rows, Iterable):
        raise ConfigError(
            f"rows must be a function, an iterable of rows, a DataFrame or a file's path, not a {type(rows).__name__}"
        )
    return rows


def _missing(value: Any) -> bool:
    """Whether a value is None, or what pandas puts where there is none."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _plain(value: Any) -> Any:
    """A value as JSON gives it back; ValueError or TypeError if JSON, or a file, cannot hold it."""
    if type(value) in (int, bool):
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_of_numpy)
    text.encode()  # half a surrogate pair
    return json.loads(text)


def _of_numpy(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind not in "mM":
        return value.tolist()
    raise TypeError


def _of(difficulty: Sequence[Any] | None, problems: Iterable[Problem]) -> list[Problem]:
    return [p for p in problems if difficulty is None or p.metadata.get("difficulty") in difficulty]
