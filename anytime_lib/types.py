"""Which nouns does everything else speak in?

A task deals in `Problem` and `Grade`; `Trace` is one sampled reasoning, `Completion` whatever else the model said.
"""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from anytime_lib.errors import DataError

fcntl = import_module("fcntl") if os.name == "posix" else None

Status = Literal["ok", "unparsed", "answer_truncated", "empty", "refused", "error"]
"""How an answer came out. Only `error` is a failure of the machinery, and it is never graded."""

TokenMode = Literal["stream", "tokenizer", "file", "proportional", "usage"]
"""What tells token boundaries: the reply, the server's tokenizer, the user's, the count; `usage`: nothing is cut."""

Message = dict[str, str]  # role, content


@dataclass(frozen=True, repr=False)
class Problem:
    """One item of a task. Its `id` is unique within the task and stable for ever. `text` is put to the model, without
    any instruction on how to answer; `gold` is the right answer in the task's own form, and `metadata` whatever else is
    known, both of them JSON. `private: True` in it keeps the text from being shown (see `shown`)."""

    id: str
    task: str
    text: str
    gold: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Its text and its gold answer, shortened; of a private problem the id alone."""
        held = "private" if self.metadata.get("private") else f"{_short(self.text)!r} -> {_short(self.gold)!r}"
        return f"Problem({self.id!r}, {self.task!r}: {held})"

    def _repr_html_(self) -> str:
        gold = "" if self.metadata.get("private") else f"gold answer ({type(self.gold).__name__}): {_pre(self.gold)}"
        return f"<b>{escape(self.id)}</b>, of {escape(self.task)}{_pre(shown(self))}{gold}"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of task, text and gold: two problems with the same content share it whatever their ids."""
        return digest([self.task, self.text, self.gold])

    @property
    def level(self) -> str:
        """Its difficulty as a word, in the task's own terms; empty where none is told."""
        return str(self.metadata.get("difficulty", self.metadata.get("n_cities", "")))


@dataclass(frozen=True)
class Grade:
    """A verdict on one answer: `score` in [0, 1], `correct` if it is wholly right, and, in a few words of `detail`, the
    answer as it was read, or why none could be."""

    score: float
    correct: bool
    status: Status
    detail: str = ""

    def _repr_html_(self) -> str:
        right = "right" if self.correct else "not right"
        return f"score <b>{self.score:.2f}</b>, {right} ({escape(self.status)}){_pre(self.detail)}"


@dataclass(frozen=True)
class ProblemSplit:
    """A task's problems in one run: under test, worked examples, and the pool that methods prepare on, if any."""

    test: list[Problem]
    shots: list[Problem]
    pool: list[Problem]


@dataclass(frozen=True)
class Trace:
    """One sampled reasoning, with the key of its request and the conversation that asked for it. `ends` tells where
    each token ends, as byte offsets into the text's UTF-8; `stopped`, whether the model stopped by itself."""

    key: str
    messages: list[Message] = field(repr=False)
    text: str
    ends: list[int] = field(repr=False)
    token_mode: TokenMode
    stopped: bool
    prompt_tokens: int = 0

    @property
    def n_tokens(self) -> int:
        return len(self.ends)

    def used(self, budget: int) -> int:
        """Tokens this trace spends under a budget: the budget, or its own length if it ended before."""
        return min(budget, self.n_tokens)


@dataclass(frozen=True)
class Completion:
    """What the model said to one request; `first` has the log-probabilities (nats) of the alternatives for its first
    token, where they were asked for, and `trace_key` names the reasoning that an answer was forced from."""

    key: str
    text: str = field(repr=False)
    finish_reason: str = "stop"
    tokens: int = 0
    prompt_tokens: int = 0
    first: Mapping[str, float] = field(default_factory=dict, repr=False)
    trace_key: str | None = None


def digest(value: object) -> str:
    """SHA-256 (hex) of a value's one JSON text: sorted keys, no spaces, Unicode kept."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def withheld(what: str, text: str) -> str:
    """What is shown in place of a text: its length and hash, never a word of it."""
    return f"[text of {what} withheld: {len(text)} characters, sha256 {digest(text)[:12]}]"


def shown(problem: Problem, text: str | None = None) -> str:
    """A problem's text, or what a model said of it, as it may be shown: of a private one only id, hash and length."""
    text = problem.text if text is None else text
    return withheld(problem.id, text) if problem.metadata.get("private") else text


def _short(value: Any, most: int = 60) -> Any:
    """A value as it is, or the beginning of its text."""
    return value if len(text := str(value)) <= most else f"{text[: most - 3]}..."


def _pre(text: object) -> str:
    """A text in a page, as it is written and escaped."""
    return f'<pre style="white-space: pre-wrap">{escape(str(text))}</pre>'


def assert_disjoint(
    test: Iterable[Problem], exemplars: Iterable[Problem], leak: str = "exemplars are also under test; use another pool"
) -> None:
    """DataError if an exemplar is also under test, by id or by text, whatever its white space and its gold answer."""
    tested = {mark for problem in test for mark in (problem.id, " ".join(problem.text.split()))}
    if found := [p.id for p in exemplars if tested & {p.id, " ".join(p.text.split())}]:
        raise DataError(f"leak: {len(found)} {leak} (by id or by text: {', '.join(found[:3])})")


def packaged(name: str) -> Any:
    """What a YAML file among the package's own data holds."""
    return yaml.safe_load((files("anytime_lib") / "data" / name).read_text("utf-8"))


def lock(path: Path) -> IO[str]:
    """The right to write to a file, until what this returns is closed or the process is gone; where another has it,
    DataError, which names the holder. Where a file system has no locks, everybody has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f"{path.name}.lock").open("a+", encoding="utf-8")
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with file:
            why = f"{file.read(200) or 'another process'} has {str(path)!r} open for writing, which one alone may"
        raise DataError(f"{why}: wait for it, or stop it; to read only, use Store(path, read_only=True)") from None
    except OSError:
        pass
    file.truncate(0)
    print(f"process {os.getpid()} on {platform.node()}", end="", file=file, flush=True)
    return file
