"""How does a user make a task of their own in a few lines? Rows, a question, and a function that grades an answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.records import Grade, Problem
from anytime_lib.tasks.choosing import check_split, choose, in_pool
from anytime_lib.tasks.refusals import no_answer
from anytime_lib.tasks.sources import read_table

Row = Mapping[str, Any]
Rows = Callable[[np.random.Generator], Row] | Iterable[Row] | str | Path
ONE_IN = 3
"""One problem in three is kept for the pool."""


@dataclass(frozen=True)
class OwnTask:
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

        `difficulty` keeps the rows whose column of that name is among its values.
        """
        check_split(split)
        rows = self.rows if source is None else source
        if callable(rows):
            if split == "all":
                raise ConfigError(f"{self.name} generates its problems: it has the splits test and pool, not 'all'")
            return self._generated(rows, 30 if limit is None else limit, seed, split, difficulty)
        found = [
            self._problem(i, row) for i, row in enumerate(read_table(rows) if isinstance(rows, str | Path) else rows, 1)
        ]
        return choose(_of(difficulty, found), split, seed, limit, one_in=ONE_IN)

    def _generated(
        self, make: Callable[[np.random.Generator], Row], limit: int, seed: int, split: str, difficulty: Any
    ) -> list[Problem]:
        """`limit` different problems of a split; each comes from its own stream, so that more extend fewer."""
        found: dict[str, Problem] = {}
        for i in itertools.count():
            if len(found) == limit:
                return list(found.values())
            if i > 1000 + 100 * limit:
                raise DataError(f"{self.name} generates too few different problems: {limit} wanted, {len(found)} found")
            problem = self._problem(i, make(np.random.default_rng([seed, i])))
            if _of(difficulty, [problem]) and (split == "pool") == in_pool(problem, ONE_IN):
                found.setdefault(problem.content_hash, problem)
        raise AssertionError("unreachable")

    def _problem(self, number: int, row: Row) -> Problem:
        if not isinstance(row, Mapping) or not isinstance(row.get("text"), str) or "gold" not in row:
            raise DataError(f"{self.name}: row {number} must be a mapping with a 'text' and a 'gold', not {row!r:.80}")
        known = {k: v for k, v in row.items() if k not in ("id", "text", "gold")}
        problem = Problem("", self.name, row["text"], row["gold"], known)
        return replace(problem, id=str(row.get("id") or f"{self.name}-{problem.content_hash[:10]}"))

    def question(self, problem: Problem) -> str:
        return f"{problem.text}\n\n{self.ask}".strip()

    def answer_prompt(self, problem: Problem) -> str:
        return self.ask_answer

    def gold_reasoning(self, problem: Problem) -> str:
        """The row's column `reasoning`, if it has one."""
        return str(problem.metadata.get("reasoning", ""))

    def gold_answer(self, problem: Problem) -> str:
        return self.write_answer(problem)

    def reading(self, problem: Problem, text: str) -> str | None:
        """What a response states, for votes: by the user's function, else the text in lower case."""
        if self.read:
            return self.read(problem, text)
        return " ".join(text.lower().split()).rstrip(".") or None

    def grade(self, problem: Problem, text: str) -> Grade:
        """What the user's function says of a response; it must be a Grade, a bool, a score in [0, 1], or None.

        Raises:
            DataError: the function failed, or said something else. The answer is stored all the same.
        """
        if not text.strip():
            return no_answer(text, "")
        try:
            said = self.grader(problem, text)
            if isinstance(said, Grade):
                return said
            if said is None:
                return no_answer(text, "the grade function read no answer")
            score = float(said)
        except Exception as error:
            raise DataError(f"the grade function of {self.name} failed on {problem.id}: {error!r:.200}") from error
        if not 0 <= score <= 1:
            raise DataError(f"the grade function of {self.name} gave {said!r} on {problem.id}; a score lies in [0, 1]")
        return Grade(score, score == 1, "ok")


def make_task(
    name: str,
    rows: Rows,
    grade: Callable[[Problem, str], Grade | float | bool | None],
    *,
    ask: str = OwnTask.ask,
    ask_answer: str = OwnTask.ask_answer,
    write_answer: Callable[[Problem], str] | None = None,
    answer_tokens: int = 64,
    verify: Callable[[Problem, str], float | None] | None = None,
    read: Callable[[Problem, str], str | None] | None = None,
) -> OwnTask:
    """A task of your own, for `RunConfig(tasks=[task])` or `register_task`.

    Args:
        name: its name in configs, cells and figures.
        rows: where problems come from: a function that makes one row from a `numpy.random.Generator`, an iterable of
            rows, or the path of a .jsonl, .csv or .parquet file. A row has `text` and `gold`; `id`, `difficulty` and
            `reasoning` (a worked solution) if you like; other columns become metadata. `private: True` keeps its
            text out of notebooks and reports.
        grade: (problem, response) -> True or False, a score in [0, 1], a `Grade`, or None where no answer can be read.
            The response is whatever a model said: never evaluate it.
        ask: what is said after the problem's text.
        ask_answer: the turn that asks for the final answer.
        write_answer: the gold answer as a model should write it, for worked examples; str(gold) by default.
        answer_tokens: cap on the answer turn.
        verify: (problem, response) -> a score in [0, 1] from the problem's text alone, or None; for pairs by
            `verifier`.
        read: (problem, response) -> what it states in one spelling, or None: which answers agree, where methods vote.
    """
    given = {} if write_answer is None else {"write_answer": write_answer}
    return OwnTask(name, rows, grade, ask, ask_answer, answer_tokens=answer_tokens, verify=verify, read=read, **given)


def _of(difficulty: Sequence[Any] | None, problems: list[Problem]) -> list[Problem]:
    return [p for p in problems if difficulty is None or p.metadata.get("difficulty") in difficulty]
