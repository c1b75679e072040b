"""How does reasoning that others recorded get into a run?

`import_traces` reads a JSONL file, matches its rows to problems and stores them as traces; the method `imported` then
cuts them at the budgets and has the run's model answer from them. Columns of a row:

    id          the problem's id (also: problem_id), or
    problem     its text (also: prompt), the same but for spaces
    reasoning   what was thought (also: reasoning_content); `response` or `completion` if it holds <think>...</think>
    tokens      its length as billed (also: reasoning_tokens); may be missing
    sample      its number; else rows are counted in their order
    model       whose it is; may be missing
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


class Recorded(BaseModel):
    """One row of a file, by its number."""

    row: int
    reasoning: str
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
        billed; 0 where not told).

    Raises:
        DataError: the file cannot be read or a row cannot be used (the message names it), nothing matches, or other
            traces are imported into this run already.
    """
    task, rows = cast(Task, load_task(task)), read_rows(Path(path))
    settings = config.task(task.name)
    limit, part = (None, "all") if settings.source else (settings.n_problems, "test")
    known = task.problems(settings.source, limit, config.seed, part, settings.difficulty)
    by_id, by_text = {p.id: p for p in known}, {_squeezed(p.text): p for p in known}
    matched: dict[int, Problem] = {}  # number of the row -> problem
    traces: dict[tuple[str, int], Recorded] = {}  # problem and sample -> trace
    before: Counter[str] = Counter()
    for row in rows:
        if not (problem := by_id.get(row.id) or by_text.get(_squeezed(row.text))):
            continue
        matched[row.row] = problem
        row.sample = before[problem.id] if row.sample is None else row.sample
        before[problem.id] += 1
        if (first := traces.setdefault((problem.id, row.sample), row)) is not row:
            raise DataError(f"row {row.row} repeats sample {row.sample} of {problem.id} (row {first.row})")
    if not matched:
        raise DataError(
            f"none of the {len(rows)} rows of {path} matches one of the {len(known)} problems of {task.name}, by id or "
            "by text; is this the right source?"
        )
    with Store(config.folder / "store.sqlite") as store:
        requests = [_request(store, task, matched[row.row], row) for row in traces.values()]
        store.add_problems({problem.id: problem for problem in matched.values()}.values())
        for request in requests:
            store.put(**request)
    n = 1 + max(number for _, number in traces)
    if n > config.n_samples:
        log.warning("%s holds %d samples and n_samples is %d; raise it to use them all", path, n, config.n_samples)
    found = pd.DataFrame([row.model_dump(include={"row", "sample", "model", "tokens"}) for row in rows])
    found.insert(1, "problem_id", [matched[row.row].id if row.row in matched else None for row in rows])
    return found


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
    thought = next((str(raw[name]) for name in ("reasoning", "reasoning_content") if name in row), "")
    whole = next((row[name] for name in ("response", "completion") if "</think>" in row.get(name, "")), "")
    head = (thought or whole).partition("</think>")[0]
    reasoning = head.partition("<think>")[2] if "<think>" in head else head
    if not reasoning.strip():
        raise DataError(
            f"{where}: no reasoning can be read; it must be in reasoning or reasoning_content, or within "
            f"<think>...</think> in response or completion; the row's columns are: {', '.join(row) or 'none'}"
        )
    try:
        return Recorded.model_validate(row | {"row": number, "reasoning": reasoning})
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise DataError(f"{where}: {name!r} must be a whole number, 0 or more; correct it or leave it out") from None


def _plain(value: Any) -> str:
    """A value as text; of a number that a table wrote as 4.0, 4; of a missing one, nothing."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _request(store: Store, task: Task, problem: Problem, row: Recorded) -> dict[str, Any]:
    """What the store keeps of a trace; DataError if it holds another."""
    key = recorded_key(problem, row.sample or 0)
    known = store.get(key)
    if known and (known["reasoning"], known["reasoning_tokens"]) != (row.reasoning, row.tokens):
        raise DataError(
            f"{store.path} has another trace for sample {row.sample} of {problem.id}; import into a run of its own"
        )
    reply = Reply("", row.reasoning, "stop", reasoning_tokens=row.tokens)
    free = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0)
    return {"key": key, "kind": "trace", "task": task.name, "method": "imported", "model": row.model,
            "endpoint": "recorded", "request": {"messages": [{"role": "user", "content": task.question(problem)}]},
            "response": reply.to_json(), "status": "ok", **free}  # fmt: skip
