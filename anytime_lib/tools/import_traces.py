"""How does reasoning that others recorded get into a run?

Stored as traces, which the method `imported` cuts at the budgets and has the run's model answer from. Columns of a row:

    id          the problem's id (also: problem_id), or
    problem     its text (also: prompt), the same but for spaces
    reasoning   what was thought (also: reasoning_content); `response` or `completion` if it holds <think>...</think>
    tokens      its length as billed (also: reasoning_tokens); may be missing
    sample      its number; else rows are counted in their order
    model       whose it is; may be missing
"""

import json
import logging
from pathlib import Path
from typing import Annotated, cast

import pandas as pd
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.models.reply import Reply
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.sweep.client import recorded_key
from anytime_lib.tasks.base import Task

log = logging.getLogger(__name__)

# It may be a number, which tables write as 4.0.
Name = Annotated[str, BeforeValidator(lambda value: f"{value:.15g}" if isinstance(value, float) else str(value))]


class Recorded(BaseModel):
    """One row of a file, by its number."""

    row: int
    reasoning: str
    id: Name = Field("", validation_alias=AliasChoices("id", "problem_id"))
    text: str = Field("", validation_alias=AliasChoices("problem", "prompt"))
    tokens: int = Field(0, ge=0, lt=2**31, validation_alias=AliasChoices("tokens", "reasoning_tokens"))
    sample: int | None = Field(None, ge=0, lt=2**31)
    model: Name = ""


def import_traces(path: str | Path, config: RunConfig, task: str | Task) -> pd.DataFrame:
    """Store the traces of a JSONL file in a config's run, matched to the problems of one task by id or text.

    Importing a file again changes nothing, and what cannot be imported whole is not imported at all: DataError where a
    row cannot be used (the message names it), none matches, or other traces are imported into this run already.

    One row per row of the file: row, problem_id (missing where no problem matches), sample, model, tokens (as billed; 0
    where not told).
    """
    task, rows = cast(Task, load_task(task)), read_rows(Path(path))
    settings = config.task(task.name)
    limit, part = (None, "all") if settings.source else (settings.n_problems, "test")
    problems = {p.id: p for p in task.problems(settings.source, limit, config.seed, part, settings.difficulty)}
    by_text = {_squeezed(problem.text): id for id, problem in problems.items()}
    found = pd.DataFrame([row.model_dump() for row in rows])
    found["problem_id"] = [row.id if row.id in problems else by_text.get(_squeezed(row.text)) for row in rows]
    found["sample"] = found["sample"].astype("Int64").fillna(found.groupby("problem_id").cumcount().astype("Int64"))
    matched = found.dropna(subset="problem_id")
    if matched.empty:
        why = f"none of the {len(rows)} rows of {path} matches one of the {len(problems)} problems of {task.name}"
        raise DataError(f"{why}, by id or by text; is this the right source?")
    for again in matched[matched.duplicated(["problem_id", "sample"])].itertuples():
        raise DataError(f"row {again.row} repeats sample {again.sample} of {again.problem_id}")
    requests = []
    with Store(config.folder / "store.sqlite") as store:
        for row in matched.to_dict("records"):
            problem = problems[row["problem_id"]]
            key = recorded_key(problem, row["sample"])
            reply = Reply("", row["reasoning"], "stop", reasoning_tokens=row["tokens"]).to_json()
            known = store.get(key) or reply
            if (known["reasoning"], known["reasoning_tokens"]) != (row["reasoning"], row["tokens"]):
                which = f"sample {row['sample']} of {problem.id}"
                raise DataError(f"{store.path} has another trace for {which}; import into a run of its own")
            who = {"task": task.name, "method": "imported", "model": row["model"], "endpoint": "recorded"}
            asked = {"messages": [{"role": "user", "content": task.question(problem)}]}
            nothing = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0)
            what = {"key": key, "kind": "trace", "request": asked, "response": reply, "status": "ok"}
            requests.append(what | who | nothing)
        store.add_problems(problems[id] for id in matched.problem_id.unique())
        for request in requests:
            store.put(**request)
    if (n := 1 + matched["sample"].max()) > config.n_samples:
        log.warning("%s holds %d samples and n_samples is %d; raise it to use them all", path, n, config.n_samples)
    return found[["row", "problem_id", "sample", "model", "tokens"]]


def read_rows(path: Path) -> list[Recorded]:
    """The rows of a JSONL file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # not at the line ends of Unicode
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the traces {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"row {number} of {path}"
        try:
            row = {k: v for k, v in json.loads(line).items() if str(v).strip() not in ("", "None", "nan")}
        except (ValueError, RecursionError, AttributeError):
            raise DataError(f"{where} is no JSON object") from None
        whole = next((row[name] for name in ("response", "completion") if "</think>" in str(row.get(name))), "")
        thought = str(row.get("reasoning", row.get("reasoning_content", whole))).strip()
        reasoning = thought.partition("</think>")[0].split("<think>", 1)[-1]
        if not reasoning.strip():
            raise DataError(
                f"{where}: no reasoning can be read; it must be in reasoning or reasoning_content, or within "
                f"<think>...</think> in response or completion; the row's columns are: {', '.join(row) or 'none'}"
            )
        try:
            rows.append(Recorded.model_validate(row | {"row": number, "reasoning": reasoning}))
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"{where}, {first['loc'][0]!r}: {first['msg']}; correct it or leave it out") from None
    if not rows:
        raise DataError(f"{path} holds no traces")
    return rows


def _squeezed(text: str) -> str:
    return "".join(text.split())
