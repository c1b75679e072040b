"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Every request is stored under the hash of all that determines it, before it is used, and every time it was asked. Every
write is committed before it returns: a kill loses nothing that was stored, a power cut may take the last second. While
a run is open its newest rows are in `store.sqlite-wal`; copy both files then. One process writes, any number read.
"""

import asyncio
import json
import logging
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.types import Problem, lock, packaged

log = logging.getLogger(__name__)
COLUMNS: dict[str, dict[str, list[str]]] = packaged("columns.yaml")
"""Table -> column -> (SQL type, meaning)."""
CELL_COLUMNS = list(COLUMNS["cells"])
CELL_KEY = CELL_COLUMNS[:7]
SCHEMA = 5
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
_EFFORT = "ALTER TABLE cells ADD COLUMN effort TEXT"
_DRAW = f"ALTER TABLE cells ADD COLUMN draw INTEGER; {_EFFORT}"
_STEPS = {0: _TABLES, 2: f"{_TWO_MORE}; {_DRAW}", 3: _DRAW, 4: _EFFORT, SCHEMA: ""}  # a file's schema -> mends it
_USED = ":prompt_tokens, :cached_tokens, :completion_tokens, :seconds, :created"
# A success stays. What had arrived of a reply that broke off (`partial`) gives way to a success or a longer part.
_NEW = "response, status, prompt_tokens, cached_tokens, completion_tokens, seconds, created"
WHERE_KNOWN = f"""ON CONFLICT (key) DO UPDATE SET ({_NEW}) = (excluded.{_NEW.replace(", ", ", excluded.")})
    WHERE requests.status = 'error' OR (requests.status = 'partial' AND (excluded.status = 'ok'
        OR (excluded.status = 'partial' AND excluded.completion_tokens >= requests.completion_tokens)))"""
_PUT = f"""INSERT INTO requests VALUES (:key, :kind, :task, :method, :model, :endpoint, :request, :response,
    replace(replace(replace(:status, 'unconfirmed', 'error'), 'submitted', 'error'), 'batch', 'ok'), {_USED})
    {WHERE_KNOWN}"""
# A success that is stored again, at no cost, is no new attempt: so a put may be repeated.
_ATTEMPT = f"""INSERT INTO attempts SELECT :key, :kind, :task, :method, :status, {_USED}
    WHERE :prompt_tokens + :completion_tokens > 0
        OR NOT EXISTS (SELECT 1 FROM requests WHERE key = :key AND status = 'ok')"""

PATIENCE = 60.0  # seconds to wait while another program holds the file
CHECKPOINT = 250  # writes after which what was written ahead goes into the file
# The file alone then says 1, for it is not all; its write-ahead log says 2. So a file that lost its log is known.
INTO_FILE = "PRAGMA application_id=1; PRAGMA wal_checkpoint(PASSIVE); PRAGMA application_id=2"
_ELSEWHERE = "name another folder with the parameter 'outputs'; to go on with this run, copy the whole folder there"
_RESTORE = "restore it from a copy, or take out what is whole: sqlite3 FILE .recover"
_HINTS = {  # SQLite's primary result code -> what to do
    sqlite3.SQLITE_READONLY: f"where a run was killed, run it again, which mends the file; else {_ELSEWHERE}",
    sqlite3.SQLITE_FULL: "free some space and run again; what was stored before is kept",
    sqlite3.SQLITE_BUSY: f"another program has held it for {PATIENCE:.0f} s; close it there and run again",
    sqlite3.SQLITE_CORRUPT: f"the file is damaged; {_RESTORE}",
    sqlite3.SQLITE_NOTADB: "it is no store, or damaged; restore it from a copy",
}


class Store(AbstractContextManager["Store"]):
    """A run's memory, at `path`, made if it is not there. One process may write at a time; another is refused.

    What is whole in a damaged file (`damaged`) can be read, with a warning. Keys are never written; `key_env` names the
    variable of the one in use. DataError where the folder cannot be written to, or the file is no store, or damaged.
    """

    def __init__(self, path: str | Path, read_only: bool = False, *, key_env: str = "") -> None:
        self.path, self._writer, self._nth = Path(path).expanduser(), None, count(1)
        self._redact = Redactor(os.environ.get(key_env, ""))
        with _in_words(self.path, "use"), ExitStack() as opened:
            self.damaged = _damaged(self.path, read_only)
            if not read_only:
                opened.enter_context(lock(self.path))
                self._writer = opened.enter_context(closing(_open(self.path, "WAL")))
            self._db = opened.enter_context(closing(_open(self.path, damaged=self.damaged)))
            if not self.damaged and self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):  # 1 s for 1 GB
                raise sqlite3.DatabaseError("pages of it are not as they were written")
            self._opened = opened.pop_all()
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
        self._opened.close()

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
        """Every try, however it went (`status`, in data/columns.yaml): as `requests`, and `tokens` of both kinds."""
        return self._frame("""SELECT a.*, model, endpoint, a.prompt_tokens + a.completion_tokens AS tokens
            FROM attempts a JOIN requests USING (key) ORDER BY a.rowid""")

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
        return [Problem(i, t, *json.loads(p)) for i, t, p in zip(found.id, found.task, found.payload, strict=True)]

    def put_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """Store cells (CELL_COLUMNS; what is left out is missing); one with the same coordinates is replaced."""
        whole = ((cell, self._redact(cell["detail"] or "").encode("utf-8", "replace").decode()) for cell in cells)
        rows = [{**cell, "detail": detail} for cell, detail in whole]  # half a surrogate pair cannot be written
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
        with _in_words(self.path, "read"), closing(_open(self.path, damaged=self.damaged)) as db:
            yield db

    def _json(self, value: object) -> str:
        return self._redact(json.dumps(value))  # ASCII: half a surrogate pair stays escaped

    def _value(self, query: str, key: str) -> dict[str, Any] | None:
        with _in_words(self.path, "read"):
            row = self._db.execute(query, (key,)).fetchone()
            return json.loads(row[0]) if row else None

    def _frame(self, query: str, *values: Any) -> pd.DataFrame:
        parts, rows = list[pd.DataFrame](), 1 if self.damaged else 20_000
        try:
            with _in_words(self.path, "read"):
                parts.extend(pd.read_sql_query(query, self._db, params=values, chunksize=rows))
        except DataError:
            if not (self.damaged and parts):
                raise  # of a file that is known to be damaged, the rows before the damage
        return pd.concat(parts, ignore_index=True)

    def _replace(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            query = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})"
            self._write(lambda db: db.executemany(query, rows)).result()

    def _write(self, job: Callable[[sqlite3.Connection], Any]) -> Future[Any]:
        """Have the one thread that writes do a job, in a transaction of its own."""
        if (writer := self._writer) is None:
            raise DataError(f"{str(self.path)!r} is open for reading only; {_ELSEWHERE}")

        def commit() -> Any:
            with _in_words(self.path, "write to"):
                with writer as db:
                    db.execute("BEGIN IMMEDIATE")
                    done = job(db)
                if next(self._nth) % CHECKPOINT == 0 and Path(f"{self.path}-wal").is_file():
                    writer.executescript(INTO_FILE)
                return done

        return self._thread.submit(commit)


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    numbers = [name for name, (kind, _) in COLUMNS["cells"].items() if kind != "TEXT"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame.astype({"score": float, "correct": "boolean", "stopped_naturally": "boolean"})


def _damaged(path: Path, read_only: bool) -> bool:
    """Does a file's size, or its first bytes, tell that only a part of it can be read? Then a warning or an error."""

    def alone() -> bool:  # without what a killed process left beside it, which mends it
        return not any(at.is_file() and at.stat().st_size for at in map(Path, (f"{path}-wal", f"{path}-journal")))

    if not path.is_file() or not alone():
        return False
    magic, page, n_pages, mark = struct.unpack(">16sH10xI36xI", path.open("rb").read(72).ljust(72, b"\0"))
    size, why, ours = path.stat().st_size, "", magic == b"SQLite format 3\0"  # else SQLite will say what it is
    if ours and size < page * n_pages:
        why = f"was cut short, to {size:,} bytes of {page * n_pages:,}: {_RESTORE}"
    elif ours and mark == 1:
        why = f"lacks its newest rows: put {path.name}-wal back, or go on by: sqlite3 FILE 'PRAGMA application_id=2'"
    if why and alone():  # nor has somebody begun to write meanwhile
        if not read_only:
            raise DataError(f"the store {str(path)!r} {why}")
        log.warning("the store %s %s", path, why)
        return True
    return False


def _open(path: Path, journal: str = "", damaged: bool = False) -> sqlite3.Connection:
    """A connection to a store, to read; with a journal, to write: the store is made, and brought to today's form. `WAL`
    is written ahead, so that no reader waits; where a file system cannot do that, `DELETE` takes its place."""
    if not journal and not (path.is_file() and path.stat().st_size):
        raise DataError(f"there is no store at {str(path)!r}")
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if journal else 'ro'}"
    db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        db.execute(f"PRAGMA writable_schema={damaged:d}")  # if it is off, a file that was cut short is not read at all
        if journal == "DELETE":  # only who has the file for himself can end a log that cannot be shared
            db.executescript("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=DELETE; PRAGMA locking_mode=NORMAL")
            log.warning("%s: no write-ahead log can be kept here, so a run and its readers wait for each other", path)
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema not in _STEPS or (schema == 0) != (path.stat().st_size == 0):
            raise DataError(f"{path} (schema {schema}) is no store, lost its -wal, or is newer: update anytime-lib")
        if not journal and schema < 3:
            db.execute("CREATE TEMP VIEW cells AS SELECT *, NULL AS prompt_tokens, NULL AS grader FROM main.cells")
        elif journal:
            db.executescript("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0")
            with db:
                db.execute("BEGIN IMMEDIATE")
                for statement in _STEPS[schema].split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={SCHEMA}")
            if db.execute(f"PRAGMA journal_mode={journal}").fetchone() != (journal.lower(),):
                raise sqlite3.OperationalError("no shared memory")
            if journal == "WAL":
                db.executescript(INTO_FILE)
    except BaseException as error:
        db.close()
        if journal != "WAL" or not isinstance(error, sqlite3.OperationalError):
            raise
        return _open(path, "DELETE")
    return db


@contextmanager
def _in_words(path: Path, what: str) -> Iterator[None]:
    """What SQLite or the system says of a store, as one sentence."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError, json.JSONDecodeError, OSError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        code = 0 if isinstance(cause, OSError) else getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        raise DataError(f"cannot {what} the store {path} ({cause!s:.100}): {_HINTS.get(code, _ELSEWHERE)}") from None
