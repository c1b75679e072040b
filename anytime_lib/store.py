"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Tables: `requests` (every call, keyed by the hash of all that determines it, stored before it is used), `attempts`
(every time one was asked, for the ledger), `problems` (so that a store can be graded again by itself), `notes` (small
facts, such as what an endpoint can do) and `cells` (the tidy table; derived, so it can be made anew).

Every write is committed before it returns: a kill at any moment loses nothing that was stored, and a power cut may
take the last second. While a run is open its newest rows are in `store.sqlite-wal`; copy both files then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.types import Problem

log = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
NoteKind = Literal["capabilities", "mode", "settle", "bill"]
"""What an endpoint can do; whether runs are fresh and why; the criteria of held-out tests; what preparations cost."""

COLUMNS: dict[str, dict[str, list[str]]] = yaml.safe_load((files("anytime_lib") / "data" / "columns.yaml").read_text())
"""Table -> column -> (SQL type, meaning)."""
CELL_COLUMNS = list(COLUMNS["cells"])
CELL_KEY = CELL_COLUMNS[:7]

SCHEMA = 3
_TABLES = f"""
    CREATE TABLE problems (task TEXT, id TEXT, content_hash TEXT, payload TEXT, PRIMARY KEY (task, id));
    CREATE TABLE requests (key TEXT PRIMARY KEY, kind TEXT, task TEXT, method TEXT, model TEXT, endpoint TEXT,
        request TEXT, response TEXT, status TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
        completion_tokens INTEGER, seconds REAL, created REAL);
    CREATE TABLE attempts (key TEXT, kind TEXT, task TEXT, method TEXT, status TEXT, prompt_tokens INTEGER,
        cached_tokens INTEGER, completion_tokens INTEGER, seconds REAL, created REAL);
    CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT);
    CREATE TABLE cells ({", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS["cells"].items())},
        PRIMARY KEY ({", ".join(CELL_KEY)})) WITHOUT ROWID"""
_TWO_MORE = "ALTER TABLE cells ADD COLUMN prompt_tokens INTEGER; ALTER TABLE cells ADD COLUMN grader INTEGER"
_STEPS = {0: _TABLES, 2: _TWO_MORE, SCHEMA: "SELECT 1"}
"""Schema of the file (0: it is empty) -> what makes it today's."""

# A success stays. What had arrived of a reply that broke off (`partial`) gives way to a success or a longer part.
_PUT = """INSERT INTO requests VALUES (:key, :kind, :task, :method, :model, :endpoint, :request, :response, :status,
        :prompt_tokens, :cached_tokens, :completion_tokens, :seconds, :created)
    ON CONFLICT (key) DO UPDATE SET response = excluded.response, status = excluded.status,
        prompt_tokens = excluded.prompt_tokens, cached_tokens = excluded.cached_tokens,
        completion_tokens = excluded.completion_tokens, seconds = excluded.seconds, created = excluded.created
    WHERE requests.status = 'error' OR (requests.status = 'partial' AND (excluded.status = 'ok'
        OR (excluded.status = 'partial' AND excluded.completion_tokens >= requests.completion_tokens)))"""
# A success that is stored again, at no cost, is no new attempt: so a put may be repeated.
_ATTEMPT = """INSERT INTO attempts SELECT :key, :kind, :task, :method, :status, :prompt_tokens, :cached_tokens,
        :completion_tokens, :seconds, :created
    WHERE :prompt_tokens + :completion_tokens > 0
        OR NOT EXISTS (SELECT 1 FROM requests WHERE key = :key AND status = 'ok')"""
_PUT_CELL = f"INSERT OR REPLACE INTO cells VALUES ({', '.join(f':{name}' for name in CELL_COLUMNS)})"
PATIENCE = 120.0
"""Seconds to wait while another process writes."""


class Store:
    """A run's memory, at `path`; made if it is not there. Several processes may use one store at once.

    Args:
        path: the file.
        read_only: only read. A store that is there and cannot be written to is opened so by itself, with a warning.
        key_env: the environment variable of the key in use. Keys of the environment are never written (see `redact`).

    Raises:
        DataError: the folder cannot be written to, the file is damaged or no store, or it is from a newer version.
    """

    def __init__(self, path: str | Path, read_only: bool = False, *, key_env: str = "") -> None:
        self.path = Path(path)
        self._redact = Redactor(os.environ.get(key_env, ""))
        with _in_words(self.path, "use"):
            self._writer = None if read_only else _open_to_write(self.path)
            self._db = _open_to_read(self.path)
        self.read_only = self._writer is None
        self._waiting: deque[tuple[Job[Any], Future[Any]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def __enter__(self) -> Store:
        return self

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
        """What was asked under a key, whatever came of it; None if nothing was."""
        return self._value("SELECT request FROM requests WHERE key = ?", key)

    def put(self, **request: Any) -> dict[str, Any]:
        """Store one request (columns of the table `requests`) and the attempt it was; returns the response as stored:
        where another process was first, its success is what counts."""
        return self.put_many([request])[0]

    def put_many(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`put` for many requests in one transaction: all are stored, or none."""
        return self._write(self._put(requests)).result()

    async def aput(self, **request: Any) -> dict[str, Any]:
        """`put` that lets the event loop run meanwhile. A cancelled task's request is stored: it was paid for."""
        return (await asyncio.wrap_future(self._write(self._put([request]))))[0]

    def _put(self, requests: Sequence[Mapping[str, Any]]) -> Job[list[dict[str, Any]]]:
        rows = []
        for request in requests:
            safe = {name: self._json(request[name]) for name in ("request", "response")}
            safe["endpoint"] = self._redact(str(request["endpoint"]))
            rows.append({"created": time.time(), **request, **safe})

        def stored(db: sqlite3.Connection) -> list[dict[str, Any]]:
            db.executemany(_ATTEMPT, rows)
            db.executemany(_PUT, rows)
            found = (db.execute("SELECT response FROM requests WHERE key = :key", row).fetchone() for row in rows)
            return [json.loads(response) for (response,) in found]

        return stored

    def requests(self) -> pd.DataFrame:
        """Every request without its texts, in the order in which they were first asked: key, kind, task, method,
        model, endpoint, status, prompt_tokens (cached ones included), cached_tokens, completion_tokens, seconds and
        created."""
        return self._frame("""SELECT key, kind, task, method, model, endpoint, status, prompt_tokens, cached_tokens,
            completion_tokens, seconds, created FROM requests ORDER BY rowid""")

    def attempts(self) -> pd.DataFrame:
        """Every time something was asked, in order: the columns of `requests`, and `tokens`, the prompt's and the
        completion's together."""
        return self._frame("""SELECT key, a.kind, a.task, a.method, model, endpoint, a.status, a.prompt_tokens,
            a.cached_tokens, a.completion_tokens, a.seconds, a.created, a.prompt_tokens + a.completion_tokens AS tokens
            FROM attempts a JOIN requests USING (key) ORDER BY a.rowid""")

    def note(self, kind: NoteKind, about: str, value: Mapping[str, Any]) -> None:
        """Keep a small fact, in place of what was noted of the same before."""
        row = self._redact(f"{kind} {about}"), self._json(dict(value))
        self._write(lambda db: db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", row)).result()

    def noted(self, kind: NoteKind, about: str) -> dict[str, Any] | None:
        """What was noted, or None."""
        key = self._redact(f"{kind} {about}")
        return self._value("SELECT value FROM notes WHERE key = ?", key)

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
        """Tasks whose texts may be shown: the store knows their problems, and none of them is private.

        The whole task counts, because a prompt may hold other problems of it as examples.
        """
        rows = self._rows("SELECT DISTINCT task, json_extract(payload, '$[2].private') FROM problems")
        return {task for task, _ in rows} - {task for task, private in rows if private}

    def put_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """Store cells (CELL_COLUMNS; what is left out is missing); one with the same coordinates is replaced."""
        rows = [dict.fromkeys(CELL_COLUMNS) | dict(cell) | {"detail": self._plain(cell["detail"])} for cell in cells]
        self._write(lambda db: db.executemany(_PUT_CELL, rows)).result()

    def cells(self, **only: str) -> pd.DataFrame:
        """The tidy table: one row per (run, model, task, problem_id, method, sample, budget), in that order.

        `score` is NaN and `correct` missing where `status` is `error`: a failure of the machinery is no wrong answer.
        `only` gives values of `run`, `model`, `task` or `method`, where not all cells are wanted.
        """
        if unknown := set(only) - set(CELL_KEY):
            raise DataError(f"cells are chosen by {', '.join(CELL_KEY)}, not by {', '.join(sorted(unknown))}")
        where = " AND ".join(f"{name} = ?" for name in only) or "1"
        return tidy(self._frame(f"SELECT * FROM cells WHERE {where} ORDER BY {', '.join(CELL_KEY)}", *only.values()))

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
        with _in_words(self.path, "read"), closing(_open_to_read(self.path)) as db:
            yield db

    def _json(self, value: object) -> str:
        return self._redact(json.dumps(value))  # ASCII: half a surrogate pair stays escaped

    def _plain(self, text: object) -> str:
        """A model's or server's words as a database takes them."""
        return self._redact(str(text or "")).encode("utf-8", "replace").decode()

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with _in_words(self.path, "read"):
            return self._db.execute(query, values).fetchall()

    def _value(self, query: str, key: str) -> dict[str, Any] | None:
        rows = self._rows(query, key)
        return json.loads(rows[0][0]) if rows else None

    def _frame(self, query: str, *values: Any) -> pd.DataFrame:
        with _in_words(self.path, "read"):
            parts = list(pd.read_sql_query(query, self._db, params=values, chunksize=20_000))
        return pd.concat(parts, ignore_index=True)

    def _write(self, job: Job[T]) -> Future[T]:
        """Run a job in the one thread that writes, in one transaction with whatever else waits by then."""
        if self._writer is None:
            raise DataError(f"{str(self.path)!r} is open for reading only; to go on with it, {_ELSEWHERE}")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # from now on it cannot be cancelled
        self._waiting.append((job, future))
        self._thread.submit(self._commit_waiting)
        return future

    def _commit_waiting(self) -> None:
        if batch := [self._waiting.popleft() for _ in range(len(self._waiting))]:
            self._commit(batch)

    def _commit(self, batch: Sequence[tuple[Job[Any], Future[Any]]]) -> None:
        assert self._writer is not None
        try:
            with _in_words(self.path, "write to"), self._writer as db:
                db.execute("BEGIN IMMEDIATE")
                results = [job(db) for job, _ in batch]
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # whose fault it was, each finds out alone
                for one in batch:
                    self._commit([one])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    numbers = [name for name, (kind, _) in COLUMNS["cells"].items() if kind != "TEXT"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame.astype({"score": float, "correct": "boolean", "stopped_naturally": "boolean"})


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _open_to_write(path: Path) -> sqlite3.Connection | None:
    """A connection that writes to a store of today's form; None where the file is there and may only be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connect(path, "rwc")
    try:
        _schema(db, path)
        _use_wal(db)
        with db:
            db.execute("BEGIN IMMEDIATE")  # of two processes that make a store at once, one waits
            for statement in _STEPS[_schema(db, path)].split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA}")
        return db
    except sqlite3.Error as error:
        db.close()
        if _code(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or not path.is_file():
            raise
        log.warning("%s cannot be written to; it is opened for reading only", path)
        return None


def _use_wal(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA synchronous=NORMAL")
    until = time.monotonic() + PATIENCE
    while True:  # SQLite itself does not wait here until no other process is in the way
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise DataError(f"there is no store at {str(path)!r}")
    db = _connect(path, "ro")
    if (schema := _schema(db, path)) == 0:
        raise DataError(f"{str(path)!r} is an empty file and not a store")
    if schema < SCHEMA:
        db.execute("CREATE TEMP VIEW cells AS SELECT *, NULL AS prompt_tokens, NULL AS grader FROM main.cells")
    return db


def _schema(db: sqlite3.Connection, path: Path) -> int:
    """The schema of a store that is whole and known here; 0 of an empty file."""
    schema, pages, page = (db.execute(f"PRAGMA {x}").fetchone()[0] for x in ("user_version", "page_count", "page_size"))
    wal = path.with_name(f"{path.name}-wal")
    if not (wal.exists() and wal.stat().st_size) and (lacking := pages * page - path.stat().st_size) > 0:
        raise DataError(f"{str(path)!r} is damaged: its last {lacking:,} bytes are missing; restore it from a copy")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if schema > SCHEMA:
        raise DataError(f"{path} was written by a newer version (schema {schema}); update anytime-lib")
    if schema not in _STEPS or (tables and not tables >= {"problems", "requests", "cells", "attempts", "notes"}):
        raise DataError(f"{str(path)!r} is a database of something else and not a store")
    return int(schema)


_ELSEWHERE = "copy the whole folder to another place and name that with the parameter 'outputs'"
_OUTPUTS = "choose another with the parameter 'outputs'"
_ROOM = "free some space and run again; what was stored before is kept"
_HINTS = {
    sqlite3.SQLITE_FULL: f"the disk is full; {_ROOM}",
    sqlite3.SQLITE_IOERR: f"the disk fails or is full; {_ROOM}",
    sqlite3.SQLITE_BUSY: f"another process has been writing to it for {PATIENCE:.0f} s; wait for it and run again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy",
    sqlite3.SQLITE_NOTADB: "it is no store, or damaged; restore it from a copy",
}
"""SQLite's primary result code -> what to do."""


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _in_words(path: Path, what: str) -> Iterator[None]:
    """What SQLite or the system says of a store, as one sentence."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        hint = _HINTS.get(_code(cause), f"make it, or {_ELSEWHERE}")
        raise DataError(f"cannot {what} the store {str(path)!r} ({cause}): {hint}") from None
    except OSError as error:
        raise DataError(f"cannot make the folder {str(path.parent)!r}: {error.strerror}; {_OUTPUTS}") from None
