"""How does a user make a task of their own in a few lines? Rows, a question, and a function that grades an answer."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.tasks.base import SPLITS, from_generator, in_pool, no_answer, select, user_code
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import Grade, Problem, digest

log = logging.getLogger(__name__)

ONE_IN = 3  # one problem in three is kept for the pool


@dataclass(eq=False, repr=False)  # its rows may be private
class CustomTask:
    """A task made of rows and a grade function, for `RunConfig(tasks=[task])` or `register_task`.

    Attributes:
        name: its name in configs, cells and figures.
        rows: a function that makes one row from a `numpy.random.Generator`, a list of rows, a DataFrame, or the path
            of a .jsonl, .json, .csv or .parquet file. A row has `text` and `gold` ("" where the grade function needs
            none); `id`, `difficulty` and `reasoning` (a worked solution) if you like; other columns become metadata.
            Values are kept as JSON gives them back, a missing one as None. `private: True` keeps the row's text out of
            notebooks and reports.
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
    rows: Any
    grader: Callable[[Problem, str], Grade | float | bool | None]
    _: KW_ONLY
    ask: str = "Think step by step."
    ask_answer: str = "Now give your final answer only."
    write_answer: Callable[[Problem], str] = lambda problem: str(problem.gold)
    answer_tokens: int = 64
    verify: Callable[[Problem, str], float | None] | None = None
    read: Callable[[Problem, str], str | None] | None = None
    grader_version: ClassVar[int] = 1
    _tried: bool = field(default=False, init=False)

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """The rows as problems: a third of them, by content, are `pool`. `source` takes the place of the rows.

        `difficulty` keeps the rows with such a value in that column. Of rows with the same text and gold the first is
        kept. At first one gold answer is graded, with a warning if it is wrong. DataError for no rows or a bad one.
        """
        rows = self.rows if source is None else source

        def made(part: str, n: int) -> list[Problem]:
            # Each comes from a stream of its own, so that more extend fewer.
            tried = (rows(np.random.default_rng([seed, i])) for i in range(1001 + 100 * n))
            in_part = (p for p in self._read(tried, difficulty) if in_pool(p, ONE_IN) == SPLITS[part])
            if len(found := list(islice(in_part, n))) < n:
                raise DataError(f"{self.name} generates too few different problems: {n} wanted, {len(found)} found")
            return found

        if callable(rows):
            found = from_generator(made, split, limit)
        else:
            table = read_table(rows) if isinstance(rows, str | Path) else rows
            listed = table.to_dict("records") if isinstance(table, pd.DataFrame) else table
            found = select(self._read(listed, difficulty), split, seed, limit, ONE_IN)
        if not self._tried:
            self._try_gold(found[0])
        return found

    def _try_gold(self, problem: Problem) -> None:
        """Warn where a problem's own gold answer is not right: hardly any other would be."""
        self._tried = True
        # What fails is told when an answer is graded.
        with suppress(DataError), user_code(f"the write_answer function of {self.name}", problem):
            answer = self.gold_answer(problem)
            if answer.strip() and not (grade := self.grade(problem, answer)).correct:
                says = "%s: the gold answer of %s itself is graded %.2g (%s), so look at the grade function%s"
                kind = "" if type(problem.gold) is str else f"; gold of type {type(problem.gold).__name__} is no text"
                log.warning(says, self.name, problem.id, grade.score, grade.status, kind)

    def _read(self, rows: Iterable[Any], difficulty: Any) -> Iterator[Problem]:
        """The problems of rows, each content once. A message names columns and types, never what is in them."""
        seen: set[str] = set()
        for number, row in enumerate(rows, 1):
            try:
                known = {str(column): _as_json(value) for column, value in row.items()}
                text, gold, name = known.pop("text"), known.pop("gold"), known.pop("id", None)
                if gold is None or not text.strip():
                    raise ValueError("one of these is empty, NA or NaN")
            except KeyError as lacking:
                needs = f"has no {lacking} (it has: {', '.join(map(str, row)):.200}); a row needs 'text' and 'gold'"
                raise DataError(f"{self.name}: row {number} {needs}") from None
            except (AttributeError, TypeError, ValueError, RecursionError) as error:
                what = f"must be a mapping with 'text', 'gold' and what else JSON can hold ({error})"
                raise DataError(f"{self.name}: row {number} {what}") from None
            if isinstance(name, float) and name.is_integer():  # of a table in which other rows have no id
                name = int(name)
            content = digest([self.name, text, gold])
            if content not in seen and (difficulty is None or known.get("difficulty") in difficulty):
                id = f"{self.name}-{content[:10]}" if name is None else str(name)
                yield Problem(id, self.name, text, gold, known)
            seen.add(content)

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
        where = f"the grade function of {self.name}"
        with user_code(where, problem):
            said = self.grader(problem, text) if text.strip() else None
        if said is None:
            return no_answer(text, "the grade function read no answer")
        grade = said if isinstance(said, Grade) else Grade(said, said == 1, "ok")
        if not isinstance(grade.score, int | float | np.number | np.bool_) or not 0 <= grade.score <= 1:
            must = "it must give True, False, a score in [0, 1], None, or a Grade with such a score"
            raise DataError(f"{where} gave a {type(said).__name__} that is no grade on {problem.id}; {must}")
        return replace(grade, score=float(grade.score), correct=bool(grade.correct))


make_task = CustomTask


def _as_json(value: Any) -> Any:
    """A value as JSON gives it back, None for what pandas puts where there is none."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    told = json.dumps(value, ensure_ascii=False, allow_nan=False, default=lambda array: array.tolist())
    return json.loads(told.encode())  # encoding fails on half a surrogate pair
