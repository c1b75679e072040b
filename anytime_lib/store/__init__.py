"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Every request is stored, under the hash of all that determines it, before it is used, and every time it was asked. Every
write is committed before it returns: a kill at any moment loses nothing that was stored, and a power cut may take the
last second. While a run is open its newest rows are in `store.sqlite-wal`; copy both files then.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.store.file import (
    CELL_COLUMNS,
    CELL_KEY,
    COLUMNS,
    ELSEWHERE,
    SCHEMA,
    in_words,
    open_to_read,
    open_to_write,
)
from anytime_lib.types import Problem

__all__ = ["CELL_COLUMNS", "CELL_KEY", "COLUMNS", "SCHEMA", "NoteKind", "Store", "tidy"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
NoteKind = Literal["capabilities", "mode", "settle", "bill"]
"""What an endpoint can do; whether runs are fresh and why; the criteria of held-out tests; what preparations cost."""

# A success stays. What had arrived of a reply that broke off (`partial`) gives way to a success or a longer part.
_PUT = """INSERT INTO requests VALUES (:key, :kind, :task, :method, :model, :endpoint, :request, :response, :status,
        :prompt_tokens, :cached_tokens, :completion_tokens, :seconds, :created)
    ON CONFLICT (key) DO UPDATE SET
        (response, status, prompt_tokens, cached_tokens, completion_tokens, seconds, created) =
        (:response, :status, :prompt_tokens, :cached_tokens, :completion_tokens, :seconds, :created)
    WHERE requests.status = 'error' OR (requests.status = 'partial' AND (excluded.status = 'ok'
        OR (excluded.status = 'partial' AND excluded.completion_tokens >= requests.completion_tokens)))"""
# A success that is stored again, at no cost, is no new attempt: so a put may be repeated.
_ATTEMPT = """INSERT INTO attempts SELECT :key, :kind, :task, :method, :status, :prompt_tokens, :cached_tokens,
        :completion_tokens, :seconds, :created
    WHERE :prompt_tokens + :completion_tokens > 0
        OR NOT EXISTS (SELECT 1 FROM requests WHERE key = :key AND status = 'ok')"""
_PUT_CELL = f"INSERT OR REPLACE INTO cells VALUES ({', '.join(f':{name}' for name in CELL_COLUMNS)})"


class Store(AbstractContextManager["Store"]):
    """A run's memory, at `path`, made if it is not there. Several processes may use one at once.

    Keys are never written (see `redact`); `key_env` is the environment variable of the one in use.

    Raises:
        DataError: the folder cannot be written to, the file is damaged or no store, or it is from a newer version.
    """

    def __init__(self, path: str | Path, read_only: bool = False, *, key_env: str = "") -> None:
        self.path, self.read_only = Path(path), read_only
        self._redact = Redactor(os.environ.get(key_env, ""))
        with in_words(self.path, "use"):
            self._writer = None if read_only else open_to_write(self.path)
            self._db = open_to_read(self.path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits and close; unless others have the store open, it is one plain file then."""
        self._thread.shutdown()
        self._db.close()
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._writer.execute("PRAGMA busy_timeout=0")
                self._writer.execute("PRAGMA journal_mode=DELETE")
            self._writer.close()

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored response of a request, or None if it was never asked or ended in an error."""
        return self._value("SELECT response FROM requests WHERE key = ? AND status = 'ok'", key)

    def request(self, key: str) -> dict[str, Any] | None:
        """What was asked under a key, whatever came of it."""
        return self._value("SELECT request FROM requests WHERE key = ?", key)

    def put(self, **request: Any) -> dict[str, Any]:
        """Store a request (columns of `requests`) and the attempt it was; returns what counts: the first success."""
        return self._write(self._put(request)).result()

    async def aput(self, **request: Any) -> dict[str, Any]:
        """`put` that lets the event loop run meanwhile. A cancelled task's request is stored: it was paid for."""
        return await asyncio.shield(asyncio.wrap_future(self._write(self._put(request))))

    def _put(self, request: Mapping[str, Any]) -> Job[dict[str, Any]]:
        safe = {name: self._json(request[name]) for name in ("request", "response")}
        row = {"created": time.time(), **request, **safe, "endpoint": self._redact(request["endpoint"])}

        def stored(db: sqlite3.Connection) -> dict[str, Any]:
            db.execute(_ATTEMPT, row)
            db.execute(_PUT, row)
            (response,) = db.execute("SELECT response FROM requests WHERE key = :key", row).fetchone()
            return dict(json.loads(response))

        return stored

    def requests(self) -> pd.DataFrame:
        """Every request without its texts, in the order first asked; prompt_tokens include cached_tokens."""
        return self._frame("""SELECT key, kind, task, method, model, endpoint, status, prompt_tokens, cached_tokens,
            completion_tokens, seconds, created FROM requests ORDER BY rowid""")

    def attempts(self) -> pd.DataFrame:
        """Every time something was asked, in order: as `requests`, and `tokens`, of prompt and completion."""
        return self._frame("""SELECT key, a.kind, a.task, a.method, model, endpoint, a.status, a.prompt_tokens,
            a.cached_tokens, a.completion_tokens, a.seconds, a.created, a.prompt_tokens + a.completion_tokens AS tokens
            FROM attempts a JOIN requests USING (key) ORDER BY a.rowid""")

    def billed(self, keys: Iterable[str]) -> dict[str, int]:
        """What was billed for requests, all attempts at them together: prompt, cached and completion tokens."""
        names = ("prompt_tokens", "cached_tokens", "completion_tokens")
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in names)
        query = f"SELECT {sums} FROM attempts WHERE key IN (SELECT value FROM json_each(?))"
        return dict(zip(names, *self._rows(query, json.dumps([*keys])), strict=True))

    def note(self, kind: NoteKind, about: str, value: Mapping[str, Any]) -> None:
        """Keep a small fact, in place of what was noted of the same before."""
        row = self._redact(f"{kind} {about}"), self._json(dict(value))
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", row)).result()

    def noted(self, kind: NoteKind, about: str) -> dict[str, Any] | None:
        """What was noted, or None."""
        return self._value("SELECT value FROM notes WHERE key = ?", self._redact(f"{kind} {about}"))

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Keep problems whole, so that the store can be graded again by itself."""
        rows = [(p.task, p.id, p.content_hash, self._json([p.text, p.gold, dict(p.metadata)])) for p in problems]
        self._write(lambda db: db.executemany("INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)", rows)).result()

    def problems(self, task: str) -> list[Problem]:
        """The problems of a task that the store has seen."""
        rows = self._rows("SELECT id, payload FROM problems WHERE task = ? ORDER BY id", task)
        return [Problem(id, task, *json.loads(payload)) for id, payload in rows]

    def tasks(self) -> list[str]:
        """Names of the tasks whose problems the store has seen."""
        return [name for (name,) in self._rows("SELECT DISTINCT task FROM problems ORDER BY task")]

    def public_tasks(self) -> set[str]:
        """Tasks whose texts may be shown: the store knows their problems, and none of them is private. (The whole task
        counts, because a prompt may hold other problems of it as examples.)"""
        rows = self._rows("SELECT DISTINCT task, json_extract(payload, '$[2].private') FROM problems")
        return {task for task, _ in rows} - {task for task, private in rows if private}

    def put_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """Store cells (CELL_COLUMNS; what is left out is missing); one with the same coordinates is replaced."""
        rows = [dict.fromkeys(CELL_COLUMNS) | dict(c) | {"detail": self._plain(c["detail"])} for c in cells]
        self._write(lambda db: db.executemany(_PUT_CELL, rows)).result()

    def cells(self, **only: str) -> pd.DataFrame:
        """The tidy table: one row per (run, model, task, problem_id, method, sample, budget), in that order.

        `score` is NaN and `correct` missing where `status` is `error`: a failure of the machinery is no wrong answer.
        `only` gives values of `run`, `model`, `task` or `method`, where not all cells are wanted.
        """
        where = " AND ".join(f"{name} = ?" for name in only) or "1"
        return tidy(self._frame(f"SELECT * FROM cells WHERE {where} ORDER BY {', '.join(CELL_KEY)}", *only.values()))

    def graders(self) -> list[tuple[str, int | None]]:
        """Tasks with the versions of their reader that graded their cells; None: one before versions were kept."""
        return self._rows("SELECT DISTINCT task, grader FROM cells WHERE answer_key IS NOT NULL")

    def answered(self, task: str | None = None) -> Iterator[tuple[dict[str, Any], str]]:
        """Every cell (of one task, if named) that has an answer, with the stored response (JSON text), one at a time,
        as the store was at the start: cells may be written meanwhile."""
        query = """SELECT cells.*, requests.response FROM cells JOIN requests ON requests.key = cells.answer_key
            WHERE requests.status = 'ok' AND (? IS NULL OR cells.task = ?)"""
        with self.snapshot() as db:
            for *values, response in db.execute(query, (task, task)):
                yield dict(zip(CELL_COLUMNS, values, strict=True)), response

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for one long read while others write."""
        with in_words(self.path, "read"), closing(open_to_read(self.path)) as db:
            yield db

    def _json(self, value: object) -> str:
        return self._redact(json.dumps(value))  # ASCII: half a surrogate pair stays escaped

    def _plain(self, text: object) -> str:
        """A model's or server's words as a database takes them."""
        return self._redact(str(text or "")).encode("utf-8", "replace").decode()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with in_words(self.path, "read"):
            return self._db.execute(query, values).fetchall()

    def _value(self, query: str, key: str) -> dict[str, Any] | None:
        rows = self._rows(query, key)
        return json.loads(rows[0][0]) if rows else None

    def _frame(self, query: str, *values: Any) -> pd.DataFrame:
        with in_words(self.path, "read"):
            parts = list(pd.read_sql_query(query, self._db, params=values, chunksize=20_000))
        return pd.concat(parts, ignore_index=True)

    def _write(self, job: Job[T]) -> Future[T]:
        """Have the one thread that writes do a job, in a transaction of its own."""
        if self._writer is None:
            raise DataError(f"{str(self.path)!r} is open for reading only; {ELSEWHERE}")
        return self._thread.submit(self._commit, self._writer, job)

    def _commit(self, writer: sqlite3.Connection, job: Job[T]) -> T:
        with in_words(self.path, "write to"), writer as db:
            db.execute("BEGIN IMMEDIATE")
            return job(db)


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    numbers = [name for name, (kind, _) in COLUMNS["cells"].items() if kind != "TEXT"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame.astype({"score": float, "correct": "boolean", "stopped_naturally": "boolean"})
