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

A name whose value is null, NaN or blank does not count.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.models.reply import Reply
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem, recorded_key

log = logging.getLogger(__name__)

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
_WITHIN = re.compile(r"[0-9]{2}|[A-Za-z]{2}")


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


def import_traces(path: str | Path, config: RunConfig, task: str | Task) -> pd.DataFrame:
    """Store the traces of a JSONL file in a config's run, matched to the problems of one task.

    Rows are matched by id, else by text: the problem's own, or a prompt that contains it. Of several problems in a
    prompt (worked examples come first) the one that ends last counts. Importing a file again changes nothing, and what
    cannot be imported whole is not imported at all.

    Returns:
        One row per row of the file: row, problem_id (missing where no problem matches), sample, model, tokens (as
        billed; 0 where not told), characters, and the grade of the recorded final answer: score, correct, status
        (missing where none was recorded).

    Raises:
        DataError: the file cannot be read or a row cannot be used (the message names it), nothing matches, a row's id
            and text name different problems, or other traces are recorded in this run already.
    """
    task = cast(Task, load_task(task))
    settings = config.task(task.name)
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
    samples = _samples(records, found)
    rows: list[dict[str, Any]] = []
    requests: list[dict[str, Any]] = []
    with Store(config.folder / "store.sqlite") as store:
        for record, problem, sample in zip(records, found, samples, strict=True):
            row: dict[str, Any] = {"row": record.row, "problem_id": None, "sample": None, "model": record.model,
                                   "tokens": record.tokens, "characters": len(record.reasoning),
                                   "score": None, "correct": None, "status": None}  # fmt: skip
            rows.append(row)
            if problem is None:
                continue
            requests.append(_request(store, task, problem, sample, record))
            row |= {"problem_id": problem.id, "sample": sample}
            if record.answer:
                grade = task.grade(problem, record.answer)
                row |= {"score": grade.score, "correct": grade.correct, "status": grade.status}
        store.add_problems({p.id: p for p in found if p is not None}.values())
        store.put_many(requests)
    last = max(row["sample"] for row in rows if row["sample"] is not None)
    if last >= config.n_samples:
        log.warning("%s: samples are numbered up to %d and n_samples is %d; set it to %d to use them all",
                    path, last, config.n_samples, last + 1)  # fmt: skip
    return pd.DataFrame(rows)


def read_records(path: Path) -> list[Record]:
    """The rows of a JSONL file as records.

    Raises:
        DataError: the file cannot be read, rows hold no reasoning (all are named), or a number is none.
    """
    records, bad = [], []
    try:
        with path.open(encoding="utf-8-sig") as lines:  # lines end at newlines alone, not at those of Unicode
            for number, line in enumerate(lines, 1):
                if line.strip():
                    record = _record(f"row {number} of {path}", number, line)
                    bad.extend([number] if record is None else [])
                    records.extend([] if record is None else [record])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the traces {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    if bad:
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise DataError(
            f"{path}: no reasoning can be read from row {shown}; each row must be a JSON object with one of "
            f"{', '.join(FIELDS['reasoning'])}"
        )
    if not records:
        raise DataError(f"{path} holds no traces")
    return records


def _record(where: str, number: int, line: str) -> Record | None:
    """One row, or None if it holds no reasoning."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None

    def named(what: str) -> tuple[str, Any]:
        told = ((name, row[name]) for name in FIELDS[what] if name in row)
        return next(((n, v) for n, v in told if not _blank(v)), ("", None))

    said = named("reasoning")[1]
    if not isinstance(said, str):
        return None
    reasoning, after = _split_think(said)
    if not reasoning.strip():
        return None
    answer, name = named("answer")[1], named("id")[1]
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer, ensure_ascii=False)
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return Record(
        row=number,
        id=None if name is None else str(name),
        text=str(named("text")[1] or ""),
        reasoning=reasoning,
        tokens=_whole(where, *named("tokens")) or 0,
        answer=answer if answer is not None else after,
        sample=_whole(where, *named("sample")),
        model=str(named("model")[1] or ""),
    )


def _blank(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _whole(where: str, column: str, value: Any) -> int | None:
    """A count, also where a table wrote it as 12.0 or "12"; None where there is none."""
    if value is None:
        return None
    try:
        count = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        count = float("nan")
    if not 0 <= count < 2**31 or not count.is_integer():
        raise DataError(f"{where}: {column!r} must be a whole number, 0 or more; correct it or leave it out")
    return int(count)


def _split_think(text: str) -> tuple[str, str]:
    """What stands within `<think>` (its end may be missing, or its beginning), and what comes after."""
    head, end, after = text.partition("</think>")
    return head.partition("<think>")[2] if "<think>" in head else head, after.strip() if end else ""


def _match(records: Sequence[Record], problems: Sequence[Problem]) -> list[Problem | None]:
    """The problem of each record, by id, else by text; None where there is none."""
    by_id = {p.id: p for p in problems}
    texts = {_flat(p.text): p for p in problems}
    texts.pop("", None)
    by_prompt: dict[str, Problem | None] = {}  # many samples, few prompts
    found = []
    for record in records:
        prompt = _flat(record.text)
        if prompt not in by_prompt:
            by_prompt[prompt] = texts.get(prompt) or _asked_last(prompt, texts)
        named, asked = by_id.get(record.id or ""), by_prompt[prompt]
        if named is not None and asked is not None and _flat(named.text) != _flat(asked.text):
            raise DataError(
                f"row {record.row} has the id of {named.id} and the text of {asked.id}; correct one, or leave it out"
            )
        found.append(named or asked)
    return found


def _flat(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def _asked_last(prompt: str, texts: Mapping[str, Problem]) -> Problem | None:
    """The problem whose text ends last in a prompt, the longest of those that end there."""
    ends = {text: end for text in texts if text in prompt and (end := _end_of(text, prompt))}
    return texts[max(ends, key=lambda text: (ends[text], len(text)))] if ends else None


def _end_of(text: str, prompt: str) -> int:
    """Where a text last ends in a prompt, not within a word or number ("3 + 4" is not in "3 + 45"); 0 if nowhere."""
    start = prompt.rfind(text)
    while start >= 0:
        end = start + len(text)
        if not any(_WITHIN.match(prompt[max(i - 1, 0) : i + 1]) for i in (start, end)):
            return end
        start = prompt.rfind(text, 0, end - 1)
    return 0


def _samples(records: Sequence[Record], found: Sequence[Problem | None]) -> list[int]:
    """The sample number of each record: its own, else the lowest that is free, in the order of the rows.

    Raises:
        DataError: two rows have the same number for one problem.
    """
    used: dict[str, dict[int, int]] = defaultdict(dict)  # problem -> sample -> row
    for record, problem in zip(records, found, strict=True):
        if problem is not None and record.sample is not None:
            first = used[problem.id].setdefault(record.sample, record.row)
            if first != record.row:
                raise DataError(f"row {record.row} repeats sample {record.sample} of {problem.id} (row {first})")
    free: dict[str, Iterator[int]] = defaultdict(itertools.count)
    samples = []
    for record, problem in zip(records, found, strict=True):
        sample = record.sample
        if sample is None:
            sample = next(n for n in free[problem.id] if n not in used[problem.id]) if problem else 0
        samples.append(sample)
    return samples


def _request(store: Store, task: Task, problem: Problem, sample: int, record: Record) -> dict[str, Any]:
    """What the store keeps of a trace; DataError if it holds another."""
    key = recorded_key(problem, sample)
    reply = Reply(record.answer, record.reasoning, "stop", reasoning_tokens=record.tokens)
    known = store.get(key)
    if known is not None and any(
        known[name] != getattr(reply, name) for name in ("reasoning", "reasoning_tokens", "text")
    ):
        raise DataError(
            f"{store.path} has another recorded trace for sample {sample} of {problem.id}; import into a run of its own"
        )
    return {
        "key": key, "kind": "trace", "task": task.name, "method": "recorded", "model": record.model,
        "endpoint": "recorded", "request": {"messages": [{"role": "user", "content": task.question(problem)}]},
        "response": reply.to_json(), "status": "ok", "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0,
        "seconds": 0,
    }  # fmt: skip
