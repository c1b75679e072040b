"""How does reasoning that others recorded get into a run, and how good was what it had finished by each budget?

Stored as traces, which the method `imported` cuts at the budgets and has the run's model answer from. A row names its
problem, by `id` or `problem_id` or its text, and has the reasoning; it may have `tokens` (its length as billed; also
`reasoning_tokens`), `sample` (else rows are counted in their order) and `model`. The columns for texts that public sets
use are known (data/traces.yaml). `answer` and `final_answer` are the right answer in many of them: such a column is
taken for that where it is right in every row, and so is `answer` beside whole replies.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.models.reply import Reply
from anytime_lib.models.tokenizers import file_pieces, from_file
from anytime_lib.registry import load_task
from anytime_lib.store import Store, tidy
from anytime_lib.sweep.client import recorded_key
from anytime_lib.tasks.base import Task, grade_answer
from anytime_lib.tasks.said import split_thinking
from anytime_lib.types import packaged

log = logging.getLogger(__name__)

COLUMNS: dict[str, list[str]] = packaged("traces.yaml")
"""What a text is -> the columns that may hold it."""
# It may be a number, which tables write as 4.0, or a plan in JSON.
Name = Annotated[str, BeforeValidator(lambda value: f"{value:.15g}" if isinstance(value, float) else str(value))]


class Recorded(BaseModel):
    """One trace of a file, by the number of its row; with what was said, and in which column ("": in the reply)."""

    row: int
    reasoning: str
    said: Name = ""
    said_in: str = ""
    id: Name = Field("", validation_alias=AliasChoices("id", "problem_id"))
    text: str = ""
    tokens: int = Field(0, ge=0, lt=2**31, validation_alias=AliasChoices("tokens", "reasoning_tokens"))
    sample: int | None = Field(None, ge=0, lt=2**31)
    model: Name = ""


def import_traces(path: str | Path, config: RunConfig, task: str | Task) -> pd.DataFrame:
    """Store the traces of a JSONL file (or a JSON list) in a config's run, matched to the problems of one task by id or
    text.

    Importing a file again changes nothing, and what cannot be imported whole is not imported at all: DataError where a
    row cannot be used (the message names it), none matches, or other traces are imported into this run already.

    One row per trace: row (of the file), problem_id (missing where no problem matches), sample, model, tokens (as
    billed; else of the reasoning, by the config's `tokenizer_file`; 0 without one), answer_tokens (of what was said
    after it, by that file; 0 without one), score and status of what the model itself said (missing where it said
    nothing). `attrs` has n_problems: how many the traces were matched with.
    """
    task, rows = cast(Task, load_task(task)), read_rows(Path(path).expanduser())
    settings = config.task(task.name)
    limit, part = (None, "all") if settings.source else (settings.n_problems, "test")
    problems = {p.id: p for p in task.problems(settings.source, limit, config.seed, part, settings.difficulty)}
    texts = {id: problem.text for id, problem in problems.items()}
    found = pd.DataFrame([row.model_dump() for row in rows])
    found["problem_id"] = [row.id if row.id in problems else _named(row.text, texts) for row in rows]
    found["sample"] = found["sample"].astype("Int64").fillna(found.groupby("problem_id").cumcount().astype("Int64"))
    matched = found.dropna(subset="problem_id")
    if matched.empty:
        why = f"none of the {len(rows)} rows of {path} matches one of the {len(problems)} problems of {task.name}"
        raise DataError(f"{why}, by id or by text; is this the right source?")
    for again in matched[matched.duplicated(["problem_id", "sample"])].itertuples():
        raise DataError(f"row {again.row} repeats sample {again.sample} of {again.problem_id}")
    found["score"], found["status"] = float("nan"), None
    for column, own in matched[matched.said != ""].groupby("said_in"):
        answers = zip(own.problem_id, own.said, strict=True)
        grades = [grade_answer(task, problems[id], said, "stop") for id, said in answers]
        if column in ("answer", "final_answer") and all(grade.correct for grade in grades):
            log.warning("%s: %r is right in every row, so it is not taken for what the model said", path, column)
        else:
            found.loc[own.index, "score"] = [grade.score for grade in grades]
            found.loc[own.index, "status"] = [grade.status for grade in grades]
    by = from_file(file) if (file := config.endpoint.tokenizer_file) else None
    apart = found.said.where(found.score.notna() & (found.said != found.reasoning), "")
    after, counted = ([len(file_pieces(by, text)) if by else 0 for text in of] for of in (apart, found.reasoning))
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
    found["tokens"], found["answer_tokens"] = found.tokens.where(found.tokens > 0, counted), after
    if n := (found.tokens == 0).sum():
        log.warning("%s: traces without a token count: %d; add a column `tokens`, or set `tokenizer_file`", path, n)
    found.attrs["n_problems"] = len(problems)
    return found[["row", "problem_id", "sample", "model", "tokens", "answer_tokens", "score", "status"]]


def finished_cells(traces: pd.DataFrame, budgets: Sequence[int], *, task: str, method: str) -> pd.DataFrame:
    """The cells of imported traces as they would be without any model: a row per trace and budget, as `Store.cells` has
    them. `method` names their curve: whose traces they are.

    A trace that had ended within the budget, its answer included, scores what that answer scores; else it has answered
    nothing by then (`empty`, score 0). Beyond the point where a recording broke off nobody knows (`error`, no score),
    and budgets where that holds for more than one trace in twenty are left out: the rest are those that ended early.
    DataError where nothing told a trace's length.
    """
    known = traces.dropna(subset="problem_id")
    if n := int((known.tokens == 0).sum()):
        why = f"of {n} of {len(known)} traces nothing tells how many tokens they have"
        raise DataError(f"{method} on {task}: {why}; name the model's own tokenizer.json (`tokenizer_file`)")
    cells = known.merge(pd.DataFrame({"budget": sorted(budgets)}), how="cross")
    ended, length = cells.score.notna(), cells.tokens + cells.answer_tokens
    finished, unknown = ended & (length <= cells.budget), ~ended & (length < cells.budget)
    score, status = cells.score.where(finished, 0.0).mask(unknown), cells.status.where(finished, "empty")
    cells = cells.assign(run="recorded", model="recorded by others", task=task, method=method, score=score)
    cells["correct"], cells["status"] = (score == 1).astype("boolean").mask(unknown), status.mask(unknown, "error")
    cells["tokens_used"], cells["stopped_naturally"] = length.clip(upper=cells.budget), finished
    return tidy(cells[unknown.groupby(cells.budget).transform("mean") <= 0.05]).reset_index(drop=True)


def read_rows(path: Path) -> list[Recorded]:
    """The traces of a JSONL file, or of a JSON file that is a list of them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the traces {str(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    lines: list[Any] = text.split("\n")  # not at the line ends of Unicode
    with suppress(ValueError, RecursionError):
        lines = listed if isinstance(listed := json.loads(text), list) else lines
    rows = dict[int, dict[str, Any]]()
    for number, line in enumerate(lines, 1):
        try:
            if not isinstance(line, str) or line.strip():
                row = json.loads(line) if isinstance(line, str) else line
                rows[number] = {k: v for k, v in row.items() if str(v).strip() not in ("", "None", "nan")}
        except (ValueError, RecursionError, AttributeError):
            raise DataError(f"row {number} of {path} is no JSON object") from None
    if not rows:
        raise DataError(f"{path} holds no traces")
    whole = ""  # the first column in which some reply has thinking
    for name in reversed(COLUMNS["reply"]):
        whole = name if any(split_thinking(text)[0] for r in rows.values() for text in _texts(r, name)) else whole
    if plain := not whole and not any(_texts(r, name) for r in rows.values() for name in COLUMNS["reasoning"]):
        replies = (name for name in COLUMNS["reply"] if name != "text" and any(_texts(r, name) for r in rows.values()))
        if whole := next(replies, ""):
            log.warning("%s: no reply has its answer apart, so a whole reply is taken for both", path.name)
    found = []
    for number, row in rows.items():
        apart = next(filter(None, (_texts(row, name) for name in COLUMNS["reasoning"])), [])
        if not (apart or _texts(row, whole)):
            must = "it must be in `reasoning`, or within <think>...</think> in `completion`; the row's columns are"
            raise DataError(f"row {number} of {path}: no reasoning can be read; {must}: {', '.join(row)[:200]}")
        problem = next((text for name in COLUMNS["text"] for text in _texts(row, name, "user", "human")), "")
        beside = [name for name in COLUMNS["said"] if name in row and (apart or name not in (whole, "answer"))]
        for text in apart or _texts(row, whole):
            thought, said = split_thinking(text)  # one without tags, among others that have them, never ended
            said = said if thought or plain else ""
            about = {"row": number, "text": problem, "reasoning": thought or text, "said": said}
            if not said and beside:
                about |= {"said": row[beside[0]], "said_in": beside[0]}
            try:
                found.append(Recorded.model_validate(row | about))
            except ValidationError as error:
                why = "{loc[0]!r}: {msg}; correct it or leave it out".format(**error.errors()[0])
                raise DataError(f"row {number} of {path}, {why}") from None
    return found


def _texts(row: dict[str, Any], name: str, *roles: str) -> list[str]:
    """The texts in a column, which may be a list of them; of a chat, what one of `roles` (the model) said last."""
    value = row.get(name)
    values = value if isinstance(value, list) else [value]
    if turns := [turn for turn in values if isinstance(turn, dict)]:
        of = [turn for turn in turns if turn.get("role", turn.get("from")) in (roles or ("assistant", "gpt", "model"))]
        values = [turn.get("content", turn.get("value")) for turn in of[-1:]]
        if thought := [turn[key] for turn in of[-1:] for key in COLUMNS["reasoning"] if isinstance(turn.get(key), str)]:
            values = [f"<think>{thought[0]}</think>{values[0] or ''}"]
    return [text for text in values if isinstance(text, str) and text.strip()]


@cache
def _plain(text: str) -> tuple[str, str, list[str]]:
    """A text without white space; and without figures and TeX its letters and digits, and its numbers."""
    words = re.sub(r"(?is)\[asy\].*?\[/asy\]|\\[a-z]+", " ", unicodedata.normalize("NFKC", text)).lower()
    return "".join(text.split()), re.sub(r"[\W_]+", "", words), re.findall(r"\d+", words)


def _named(text: str, texts: dict[str, str]) -> str | None:
    """The problem that a text puts: the same but for white space; or else, of the long ones, the only one that is in
    it whole, or that has the same numbers in the same order and nearly the same letters."""
    squeezed, ours, numbers = _plain(text)
    same = [id for id, other in texts.items() if _plain(other)[0] == squeezed]
    for id, other in () if same else texts.items():
        _, its, own = _plain(other)
        like = len(own) > 1 and own == numbers and SequenceMatcher(None, ours, its, autojunk=False).ratio() > 0.9
        if len(its) > 50 and (its in ours or like):
            same.append(id)
    return same[0] if len(same) == 1 else None
