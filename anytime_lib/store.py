"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Every request is stored under the hash of all that determines it, before it is used, and every time it was asked. Every
write is committed before it returns: a kill loses nothing that was stored, a power cut may take the last second. While
a run is open its newest rows are in `store.sqlite-wal`; copy both files then.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.types import Problem

T = TypeVar("T")
COLUMNS: dict[str, dict[str, list[str]]] = yaml.safe_load((files("anytime_lib") / "data" / "columns.yaml").read_text())
"""Table -> column -> (SQL type, meaning)."""
CELL_COLUMNS = list(COLUMNS["cells"])
CELL_KEY = CELL_COLUMNS[:7]
SCHEMA = 3
_USAGE = "prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, seconds REAL, created REAL"
_TABLES = f"""
    CREATE TABLE problems (task TEXT, id TEXT, content_hash TEXT, payload TEXT, PRIMARY KEY (task, id));
    CREATE TABLE requests (key TEXT PRIMARY KEY, kind TEXT, task TEXT, method TEXT, model TEXT, endpoint TEXT,
        request TEXT, response TEXT, status TEXT, {_USAGE});
    CREATE TABLE attempts (key TEXT, kind TEXT, task TEXT, method TEXT, status TEXT, {_USAGE});
    CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT);
    CREATE TABLE cells ({", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS["cells"].items())},
        PRIMARY KEY ({", ".join(CELL_KEY)})) WITHOUT ROWID"""
_TWO_MORE = "ALTER TABLE cells ADD COLUMN prompt_tokens INTEGER; ALTER TABLE cells ADD COLUMN grader INTEGER"
_STEPS = {0: _TABLES, 2: _TWO_MORE, SCHEMA: ""}
"""Schema of a file (0: it is empty) -> what makes it today's."""
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

PATIENCE = 120.0  # seconds to wait while another process writes
_ELSEWHERE = "name another folder with the parameter 'outputs'; to go on with this run, copy the whole folder there"
_HINTS = {
    sqlite3.SQLITE_FULL: "free some space and run again; what was stored before is kept",
    sqlite3.SQLITE_BUSY: f"another process has been writing to it for {PATIENCE:.0f} s; wait for it and run again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy",
    sqlite3.SQLITE_NOTADB: "it is no store, or damaged; restore it from a copy",
}
"""SQLite's primary result code -> what to do."""


class Store(AbstractContextManager["Store"]):
    """A run's memory, at `path`, made if it is not there. Several processes may use one at once.

    Keys are never written (see `redact`); `key_env` is the environment variable of the one in use. DataError is raised
    where the folder cannot be written to, or the file is damaged, no store, or from a newer version.
    """

    def __init__(self, path: str | Path, read_only: bool = False, *, key_env: str = "") -> None:
        self.path = Path(path)
        self._redact = Redactor(os.environ.get(key_env, ""))
        with _in_words(self.path, "use"):
            self._writer = None if read_only else _open(self.path, False)
            self._db = _open(self.path, True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits and close; unless others have the store open, it is one plain file then."""
        self._thread.shutdown()
        self._db.close()
        if self._writer is not None:
            with suppress(sqlite3.Error):
                self._writer.executescript("PRAGMA busy_timeout=0; PRAGMA journal_mode=DELETE")
            self._writer.close()

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored response of a request, or None if it was never asked or ended in an error."""
        return self._value("SELECT response FROM requests WHERE key = ? AND status = 'ok'", key)

    def request(self, key: str) -> dict[str, Any] | None:
        """What was asked under a key, whatever came of it."""
        return self._value("SELECT request FROM requests WHERE key = ?", key)

    def put(self, **request: Any) -> dict[str, Any]:
        """Store a request (columns of `requests`) and the attempt it was; returns what counts: the first success."""
        return self._put(request).result()

    async def aput(self, **request: Any) -> dict[str, Any]:
        """`put` that lets the event loop run meanwhile. A cancelled task's request is stored: it was paid for."""
        return await asyncio.shield(asyncio.wrap_future(self._put(request)))

    def _put(self, request: Mapping[str, Any]) -> Future[dict[str, Any]]:
        safe = {name: self._json(request[name]) for name in ("request", "response")}
        row = {"created": time.time(), **request, **safe, "endpoint": self._redact(request["endpoint"])}

        def stored(db: sqlite3.Connection) -> dict[str, Any]:
            db.execute(_ATTEMPT, row)
            db.execute(_PUT, row)
            (response,) = db.execute("SELECT response FROM requests WHERE key = :key", row).fetchone()
            return dict(json.loads(response))

        return self._write(stored)

    def requests(self) -> pd.DataFrame:
        """Every request without its texts, in the order first asked; prompt_tokens include cached_tokens."""
        return self._frame("""SELECT key, kind, task, method, model, endpoint, status, prompt_tokens, cached_tokens,
            completion_tokens, seconds, created FROM requests ORDER BY rowid""")

    def attempts(self) -> pd.DataFrame:
        """Every time something was asked, in order: as `requests`, and `tokens`, of prompt and completion."""
        return self._frame("""SELECT a.*, model, endpoint, a.prompt_tokens + a.completion_tokens AS tokens
            FROM attempts a JOIN requests USING (key) ORDER BY a.rowid""")

    def billed(self, keys: Iterable[str]) -> dict[str, int]:
        """What was billed for requests, all attempts at them together: prompt, cached and completion tokens."""
        attempts = self.attempts()
        tokens = attempts.loc[attempts.key.isin([*keys]), ["prompt_tokens", "cached_tokens", "completion_tokens"]]
        return {str(name): int(total) for name, total in tokens.sum().items()}

    def note(self, kind: str, about: str, value: Mapping[str, Any]) -> None:
        """Keep a small fact (`capabilities`, `mode`, `settle`, `bill`), in place of what was noted of the same."""
        self._replace("notes", [(self._redact(f"{kind} {about}"), self._json(dict(value)))])

    def noted(self, kind: str, about: str) -> dict[str, Any] | None:
        """What was noted, or None."""
        return self._value("SELECT value FROM notes WHERE key = ?", self._redact(f"{kind} {about}"))

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Keep problems whole, so that the store can be graded again by itself."""
        rows = [(p.task, p.id, p.content_hash, self._json([p.text, p.gold, dict(p.metadata)])) for p in problems]
        self._replace("problems", rows)

    def problems(self, task: str | None = None) -> list[Problem]:
        """The problems that the store has seen, of one task if it is named."""
        found = self._frame("SELECT * FROM problems WHERE task = coalesce(?, task) ORDER BY task, id", task)
        rows = zip(found.id, found.task, found.payload, strict=True)
        return [Problem(id, name, *json.loads(payload)) for id, name, payload in rows]

    def put_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """Store cells (CELL_COLUMNS; what is left out is missing); one with the same coordinates is replaced."""
        rows = [{**cell, "detail": self._redact(cell["detail"] or "")} for cell in cells]
        for row in rows:  # half a surrogate pair cannot be written
            row["detail"] = row["detail"].encode("utf-8", "replace").decode()
        self._replace("cells", [tuple(map(row.get, CELL_COLUMNS)) for row in rows])

    def cells(self, **only: str) -> pd.DataFrame:
        """The tidy table: one row per (run, model, task, problem_id, method, sample, budget), in that order.

        `score` is NaN and `correct` missing where `status` is `error`: a failure of the machinery is no wrong answer.
        `only` gives values of `run`, `model`, `task` or `method`, where not all cells are wanted.
        """
        where = " AND ".join(f"{name} = ?" for name in only) or "1"
        return tidy(self._frame(f"SELECT * FROM cells WHERE {where} ORDER BY {', '.join(CELL_KEY)}", *only.values()))

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for one long read while others write."""
        with _in_words(self.path, "read"), closing(_open(self.path, True)) as db:
            yield db

    def _json(self, value: object) -> str:
        return self._redact(json.dumps(value))  # ASCII: half a surrogate pair stays escaped

    def _value(self, query: str, key: str) -> dict[str, Any] | None:
        with _in_words(self.path, "read"):
            row = self._db.execute(query, (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def _frame(self, query: str, *values: Any) -> pd.DataFrame:
        with _in_words(self.path, "read"):
            parts = list(pd.read_sql_query(query, self._db, params=values, chunksize=20_000))
        return pd.concat(parts, ignore_index=True)

    def _replace(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            query = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})"
            self._write(lambda db: db.executemany(query, rows)).result()

    def _write(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have the one thread that writes do a job, in a transaction of its own."""
        if (writer := self._writer) is None:
            raise DataError(f"{str(self.path)!r} is open for reading only; {_ELSEWHERE}")

        def commit() -> T:
            with _in_words(self.path, "write to"), writer as db:
                db.execute("BEGIN IMMEDIATE")
                return job(db)

        return self._thread.submit(commit)


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    numbers = [name for name, (kind, _) in COLUMNS["cells"].items() if kind != "TEXT"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame.astype({"score": float, "correct": "boolean", "stopped_naturally": "boolean"})


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a store; to write, the store is made, and brought to today's form."""
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise DataError(f"there is no store at {str(path)!r}")
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        schema = _schema(db, path)
        if read_only and schema < SCHEMA:
            db.execute("CREATE TEMP VIEW cells AS SELECT *, NULL AS prompt_tokens, NULL AS grader FROM main.cells")
        elif not read_only:
            db.execute("PRAGMA synchronous=NORMAL")
            with suppress(sqlite3.OperationalError):  # another process is in the way, which does the same
                db.execute("PRAGMA journal_mode=WAL")
            with db:
                db.execute("BEGIN IMMEDIATE")  # of two processes that make a store at once, one waits
                for statement in _STEPS[_schema(db, path)].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={SCHEMA}")
    except BaseException:
        db.close()
        raise
    return db


def _schema(db: sqlite3.Connection, path: Path) -> int:
    """The schema of a store known here; 0 of an empty file."""
    query = "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
    schema, tables = db.execute(query).fetchone()
    if schema not in _STEPS or (schema == 0) != (tables == 0):
        raise DataError(f"{str(path)!r} (schema {schema}) is no store, or one of a newer version: update anytime-lib")
    return int(schema)


@contextmanager
def _in_words(path: Path, what: str) -> Iterator[None]:
    """What SQLite or the system says of a store, as one sentence."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError, OSError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        hint = _HINTS.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, _ELSEWHERE)
        raise DataError(f"cannot {what} the store {str(path)!r} ({cause}): {hint}") from None
