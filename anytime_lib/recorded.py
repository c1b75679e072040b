"""How does reasoning that others recorded get into a run?

`import_traces` reads a JSONL file, matches its rows to problems and stores them as traces; the method `recorded` then
cuts them at the budgets and has the run's model answer from them. A row may hold (the first name found counts):

    the problem's id          id, problem_id, task_id, example_id
    or its text, or prompt    prompt, problem, question, input
    the reasoning             reasoning, reasoning_content, thinking, trace, response, text, output (without <think>)
    its length as billed      reasoning_tokens, thinking_tokens, completion_tokens, n_tokens
    the final answer          answer, final_answer, prediction; else what follows </think>
    the sample's number       sample, sample_id, attempt; else in the order of the rows
    who reasoned              model, model_name
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.models.endpoint import Reply
from anytime_lib.records import Problem, digest
from anytime_lib.store import Store
from anytime_lib.tasks import Task, load_task

FIELDS = {
    "id": ("id", "problem_id", "task_id", "example_id"),
    "text": ("prompt", "problem", "question", "input"),
    "reasoning": ("reasoning", "reasoning_content", "thinking", "trace", "response", "text", "output"),
    "tokens": ("reasoning_tokens", "thinking_tokens", "completion_tokens", "n_tokens"),
    "answer": ("answer", "final_answer", "prediction"),
    "sample": ("sample", "sample_id", "attempt"),
    "model": ("model", "model_name"),
}
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Record:
    """One recorded reasoning: row number, what names its problem, and what was said."""

    row: int
    id: str | None
    text: str
    reasoning: str
    tokens: int
    answer: str
    sample: int | None
    model: str


def recorded_key(problem: Problem, sample: int) -> str:
    """The store's key of a recorded trace."""
    return digest({"kind": "recorded", "task": problem.task, "problem": problem.content_hash, "sample": sample})


def import_traces(path: str | Path, config: RunConfig, task: str | Task) -> pd.DataFrame:
    """Store the traces of a JSONL file in a config's run, matched to the problems of one task.

    Rows are matched by id, else by text: the problem's own, or a prompt that contains it. Importing a file again
    changes nothing.

    Returns:
        One row per row of the file: row, problem_id (missing where no problem matches), sample, model, tokens (as
        billed; 0 where not told), characters, and the grade of the recorded final answer: score, correct, status
        (missing where none was recorded).

    Raises:
        DataError: the file cannot be read or a row holds no reasoning (the message names the rows), nothing matches, or
            other traces are recorded in this run already.
    """
    task = load_task(task)
    settings = config.at(task.name)
    whole = settings.source is not None
    problems = task.problems(settings.source, None if whole else settings.n_problems, config.seed,
                             "all" if whole else "test", settings.difficulty)  # fmt: skip
    records = read_records(Path(path))
    found = _match(records, problems)
    if not any(found):
        raise DataError(
            f"none of the {len(records)} rows of {path} matches one of the {len(problems)} problems of {task.name}, "
            "by id or by text; is this the right source?"
        )
    rows: list[dict[str, Any]] = []
    used: set[tuple[str, int]] = set()
    with Store(config.folder / "store.sqlite") as store:
        store.add_problems(p for p in found if p is not None)
        for record, problem in zip(records, found, strict=True):
            row: dict[str, Any] = {"row": record.row, "problem_id": None, "sample": None, "model": record.model,
                                   "tokens": record.tokens, "characters": len(record.reasoning),
                                   "score": None, "correct": None, "status": None}  # fmt: skip
            rows.append(row)
            if problem is None:
                continue
            sample = record.sample if record.sample is not None else _free(used, problem.id)
            if (problem.id, sample) in used:
                raise DataError(f"row {record.row} of {path} repeats sample {sample} of {problem.id}")
            used.add((problem.id, sample))
            _put(store, task, problem, sample, record)
            row |= {"problem_id": problem.id, "sample": sample}
            if record.answer:
                grade = task.grade(problem, record.answer)
                row |= {"score": grade.score, "correct": grade.correct, "status": grade.status}
    return pd.DataFrame(rows)


def read_records(path: Path) -> list[Record]:
    """The rows of a JSONL file as records; DataError names every row that cannot be used."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the traces {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    records, bad = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            record = _record(number, row) if isinstance(row, dict) else None
        except (ValueError, RecursionError):
            record = None
        if record is None:
            bad.append(number)
        else:
            records.append(record)
    if bad:
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise DataError(
            f"{path}: no reasoning can be read from row {shown}; each row must be a JSON object with one of "
            f"{', '.join(FIELDS['reasoning'])}"
        )
    if not records:
        raise DataError(f"{path} holds no traces")
    return records


def _record(number: int, row: Mapping[str, Any]) -> Record | None:
    """One row, or None if it holds no reasoning."""

    def of(what: str) -> Any:
        return next((row[n] for n in FIELDS[what] if row.get(n) is not None), None)

    said = of("reasoning")
    if not isinstance(said, str):
        return None
    reasoning, after = _split_think(said)
    if not reasoning.strip():
        return None
    answer, tokens, sample, name = of("answer"), of("tokens"), of("sample"), of("id")
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer, ensure_ascii=False)
    return Record(
        row=number,
        id=None if name is None else str(name),
        text=str(of("text") or ""),
        reasoning=reasoning,
        tokens=tokens if isinstance(tokens, int) and tokens > 0 else 0,
        answer=answer if answer is not None else after,
        sample=sample if isinstance(sample, int) and sample >= 0 else None,
        model=str(of("model") or ""),
    )


def _split_think(text: str) -> tuple[str, str]:
    """What stands within `<think>` (its end may be missing, or its beginning), and what comes after."""
    head, end, after = text.partition("</think>")
    return head.partition("<think>")[2] if "<think>" in head else head, after.strip() if end else ""


def _match(records: Sequence[Record], problems: Sequence[Problem]) -> list[Problem | None]:
    """The problem of each record, by id, else by text; None where there is none."""
    by_id = {p.id: p for p in problems}
    texts = {_SPACES.sub(" ", p.text).strip(): p for p in problems}
    found = []
    for record in records:
        text = _SPACES.sub(" ", record.text).strip()
        problem = by_id.get(record.id or "") or texts.get(text)
        if problem is None and text:
            problem = next((p for known, p in texts.items() if known and known in text), None)
        found.append(problem)
    return found


def _free(used: set[tuple[str, int]], problem_id: str) -> int:
    sample = 0
    while (problem_id, sample) in used:
        sample += 1
    return sample


def _put(store: Store, task: Task, problem: Problem, sample: int, record: Record) -> None:
    key = recorded_key(problem, sample)
    reply = Reply(record.answer, record.reasoning, "stop", reasoning_tokens=record.tokens)
    known = store.get(key)
    if known is not None and known["reasoning"] != record.reasoning:
        raise DataError(
            f"{store.path} has another recorded trace for sample {sample} of {problem.id}; import into a run of its own"
        )
    store.put(
        key=key, kind="trace", task=task.name, method="recorded", model=record.model, endpoint="recorded",
        request={"messages": [{"role": "user", "content": task.question(problem)}]},
        response=reply.to_json(), status="ok", prompt_tokens=0, cached_tokens=0, completion_tokens=0, seconds=0,
    )  # fmt: skip
