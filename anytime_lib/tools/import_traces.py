"""How does reasoning that others recorded get into a run?

`import_traces` reads a JSONL file, matches its rows to problems and stores them as traces; the method `imported` then
cuts them at the budgets and has the run's model answer from them. Columns of a row:

    id          the problem's id (also: problem_id), or
    problem     its text (also: prompt), the same but for spaces
    reasoning   what was thought (also: reasoning_content); `response` or `completion` if it holds <think>...</think>
    tokens      its length as billed (also: reasoning_tokens); may be missing
    sample      its number; else rows are counted in their order

and `model`. What the model answered is what follows </think>, else `prediction`, `final_answer`, `model_answer`,
`response` or `completion`. A column `answer` is not read: in many files it is the right one.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pandas as pd
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.models.reply import Reply
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.sweep.client import recorded_key
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

WHOLE = ("response", "completion")
REASONING = ("reasoning", "reasoning_content", *WHOLE)
ANSWERS = ("prediction", "final_answer", "model_answer", *WHOLE)


class Recorded(BaseModel):
    """One row of a file, by its number."""

    row: int
    reasoning: str
    answer: str
    id: str = Field("", validation_alias=AliasChoices("id", "problem_id"))
    text: str = Field("", validation_alias=AliasChoices("problem", "prompt"))
    tokens: int = Field(0, ge=0, lt=2**31, validation_alias=AliasChoices("tokens", "reasoning_tokens"))
    sample: int | None = Field(None, ge=0, lt=2**31)
    model: str = ""


def import_traces(path: str | Path, config: RunConfig, task: str | Task) -> pd.DataFrame:
    """Store the traces of a JSONL file in a config's run, matched to the problems of one task by id or text.

    Importing a file again changes nothing, and what cannot be imported whole is not imported at all.

    Returns:
        One row per row of the file: row, problem_id (missing where no problem matches), sample, model, tokens (as
        billed; 0 where not told), characters, and the grade of the recorded answer: score, correct, status (missing
        where none was recorded).

    Raises:
        DataError: the file cannot be read or a row cannot be used (the message names it), nothing matches, or other
            traces are imported into this run already.
    """
    task = cast(Task, load_task(task))
    settings = config.task(task.name)
    limit, part = (None, "all") if settings.source else (settings.n_problems, "test")
    known = task.problems(settings.source, limit, config.seed, part, settings.difficulty)
    rows = _matched(read_rows(Path(path)), known)
    matched = [(row, problem) for row, problem in rows if problem]
    if not matched:
        raise DataError(
            f"none of the {len(rows)} rows of {path} matches one of the {len(known)} problems of {task.name}, by id or "
            "by text; is this the right source?"
        )
    _number(matched)
    with Store(config.folder / "store.sqlite") as store:
        requests = [_request(store, task, problem, row) for row, problem in matched]
        store.add_problems({problem.id: problem for _, problem in matched}.values())
        for request in requests:
            store.put(**request)
    last = max(row.sample or 0 for row, _ in matched)
    if last >= config.n_samples:
        words = "%s: samples are numbered up to %d and n_samples is %d; set it to %d to use them all"
        log.warning(words, path, last, config.n_samples, last + 1)
    return pd.DataFrame([_told(task, problem, row) for row, problem in rows])


def read_rows(path: Path) -> list[Recorded]:
    """The rows of a JSONL file.

    Raises:
        DataError: the file cannot be read, a row holds no reasoning (it is named), or a number is none.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:  # lines end at newlines alone, not at those of Unicode
            rows = [_read(f"row {i} of {path}", i, line) for i, line in enumerate(lines, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the traces {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise DataError(f"{path} holds no traces")
    return rows


def _read(where: str, number: int, line: str) -> Recorded:
    try:
        raw = dict(json.loads(line).items())
    except (ValueError, RecursionError, AttributeError):
        raise DataError(f"{where} is no JSON object") from None
    row = {name: text for name, value in raw.items() if (text := _plain(value))}
    source = next((c for c in REASONING if c in row and (c not in WHOLE or "</think>" in row[c])), "")
    head, end, after = str(raw.get(source, "")).partition("</think>")
    reasoning = head.partition("<think>")[2] if "<think>" in head else head
    if not reasoning.strip():
        raise DataError(
            f"{where}: no reasoning can be read; it must be in one of {', '.join(REASONING[:2])}, or within "
            f"<think>...</think> in one of {', '.join(WHOLE)}; the row's columns are: {', '.join(row) or 'none'}"
        )
    said = [after.strip() if end else "", *(row[name] for name in ANSWERS if name in row and name != source)]
    told = {"row": number, "reasoning": reasoning, "answer": next(filter(None, said), "")}
    try:
        return Recorded.model_validate(row | told)
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise DataError(f"{where}: {name!r} must be a whole number, 0 or more; correct it or leave it out") from None


def _plain(value: Any) -> str:
    """A value as text; of a number that a table wrote as 4.0, 4; of a missing one, nothing."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, ensure_ascii=False)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _matched(rows: list[Recorded], problems: list[Problem]) -> list[tuple[Recorded, Problem | None]]:
    """Each row with its problem, by id, else by text; None where there is none."""
    by_id, by_text = {p.id: p for p in problems}, {_squeezed(p.text): p for p in problems}
    return [(row, by_id.get(row.id) or by_text.get(_squeezed(row.text))) for row in rows]


def _number(matched: list[tuple[Recorded, Problem]]) -> None:
    """Give each row that has no sample number that of the problem's rows before it."""
    rows: dict[tuple[str, int], int] = {}  # problem and sample -> row
    before: Counter[str] = Counter()
    for row, problem in matched:
        row.sample = before[problem.id] if row.sample is None else row.sample
        before[problem.id] += 1
        if (first := rows.setdefault((problem.id, row.sample), row.row)) != row.row:
            raise DataError(f"row {row.row} repeats sample {row.sample} of {problem.id} (row {first})")


def _request(store: Store, task: Task, problem: Problem, row: Recorded) -> dict[str, Any]:
    """What the store keeps of a trace; DataError if it holds another."""
    key = recorded_key(problem, row.sample or 0)
    known = store.get(key)
    if known and (known["reasoning"], known["reasoning_tokens"]) != (row.reasoning, row.tokens):
        raise DataError(
            f"{store.path} has another trace for sample {row.sample} of {problem.id}; import into a run of its own"
        )
    reply = Reply(row.answer, row.reasoning, "stop", reasoning_tokens=row.tokens)
    free = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0)
    return {"key": key, "kind": "trace", "task": task.name, "method": "imported", "model": row.model,
            "endpoint": "recorded", "request": {"messages": [{"role": "user", "content": task.question(problem)}]},
            "response": reply.to_json(), "status": "ok", **free}  # fmt: skip


def _told(task: Task, problem: Problem | None, row: Recorded) -> dict[str, Any]:
    grade = task.grade(problem, row.answer) if problem and row.answer else None
    found = {"row": row.row, "problem_id": problem and problem.id, "sample": row.sample if problem else None,
             "model": row.model, "tokens": row.tokens, "characters": len(row.reasoning)}  # fmt: skip
    return found | {name: getattr(grade, name, None) for name in ("score", "correct", "status")}
