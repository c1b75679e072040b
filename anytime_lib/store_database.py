"""How is a store's file opened, brought up to date and written, so that nothing committed is ever lost?

One SQLite file with a write-ahead log (WAL). A transaction is there whole or not at all, whatever kills the process.
What a power cut does depends on when the log reaches the disk: `durable` transactions (what a model was paid for)
are flushed before they return (`synchronous=FULL`), derived rows only with the next of those (`NORMAL`). A flush
takes milliseconds, so transactions that wait at the same time share one.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from anytime_lib.errors import DataError

log = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
"""What runs inside a transaction; it returns what its caller gets once the transaction is committed."""

PATIENCE = 120.0
"""Seconds to wait while another process writes."""
CHUNK = 2_000
"""Rows read at once: so few that they are gone before Python's garbage collector goes through them."""
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)

_CELLS = """(run TEXT, model TEXT, task TEXT, problem_id TEXT, method TEXT, sample INTEGER,
    budget INTEGER, tokens_used INTEGER, answer_tokens INTEGER, score REAL, correct INTEGER, status TEXT,
    stopped_naturally INTEGER, trace_key TEXT, answer_key TEXT, detail TEXT,
    PRIMARY KEY (run, model, task, problem_id, method, sample, budget))"""
_ATTEMPTS = "key, kind, task, method, status, prompt_tokens, cached_tokens, completion_tokens, seconds, created"
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE problems (task TEXT, id TEXT, content_hash TEXT, payload TEXT, PRIMARY KEY (task, id))",
        """CREATE TABLE requests (key TEXT PRIMARY KEY, kind TEXT, task TEXT, method TEXT, model TEXT,
            endpoint TEXT, request TEXT, response TEXT, status TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
            completion_tokens INTEGER, seconds REAL, created REAL)""",
        f"CREATE TABLE cells {_CELLS}",
    ),
    (
        """CREATE TABLE attempts (key TEXT, kind TEXT, task TEXT, method TEXT, status TEXT, prompt_tokens INTEGER,
            cached_tokens INTEGER, completion_tokens INTEGER, seconds REAL, created REAL)""",
        f"INSERT INTO attempts SELECT {_ATTEMPTS} FROM requests ORDER BY created",
        "CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT)",
        # Kept in the order of their key: a million are read in one pass, and one is found without a second lookup.
        "ALTER TABLE cells RENAME TO cells_1",
        f"CREATE TABLE cells {_CELLS} WITHOUT ROWID",
        "INSERT INTO cells SELECT * FROM cells_1",
        "DROP TABLE cells_1",
    ),
)
"""Step i brings a store from schema i to i + 1; the first makes an empty one."""
SCHEMA = len(_STEPS)
_OLD = {1: (f"CREATE TEMP VIEW attempts AS SELECT {_ATTEMPTS} FROM requests",
            "CREATE TEMP TABLE notes (key TEXT PRIMARY KEY, value TEXT)")}  # fmt: skip
"""What an older store that may only be read lacks, beside it in memory."""


class Database:
    """The file at `path`, one connection that reads and one that writes.

    Args:
        path: made, with its folder, if it is not there.
        read_only: only read; also what happens, with a warning, where the file is there and cannot be written to.

    Attributes:
        reader: a connection for reading; it sees every committed transaction.
        read_only: whether writing is refused.

    Raises:
        DataError: the file cannot be opened, is no store, or is from a newer version.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path, self.read_only = path, read_only
        self._writer: sqlite3.Connection | None = None
        self._lock, self._synchronous = threading.Lock(), ""
        self._pending: list[tuple[Job[Any], bool, Future[Any]]] = []
        self._pending_lock, self._flushing = threading.Lock(), False
        self._executor: ThreadPoolExecutor | None = None
        try:
            if not read_only:
                self._open_for_writing()
            self.reader = self._open_for_reading() if self.read_only else _connect(path)
        except OSError as error:
            raise DataError(
                f"cannot make the folder {str(path.parent)!r}: {error.strerror}; choose another "
                "with the parameter 'outputs'"
            ) from None
        except sqlite3.Error as error:
            raise DataError(_in_words(error, path, "cannot use {} as a store")) from None

    def _open_for_writing(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = _connect(self.path)
        try:
            _patiently(lambda: db.execute("PRAGMA journal_mode=WAL").fetchone())
            db.execute("PRAGMA fullfsync=1")  # macOS alone: a flush that the drive does not merely note
            db.execute("BEGIN IMMEDIATE")  # of two processes that open a new or old store at once, one waits
            try:
                version = self._version(db)
                for statement in (s for step in _STEPS[version:] for s in step):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={SCHEMA}")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except BaseException as error:
            db.close()
            if not (isinstance(error, sqlite3.Error) and _code(error) in _UNWRITABLE and self.path.is_file()):
                raise
            log.warning("%s cannot be written to; it is opened for reading only", self.path)
            self.read_only = True
        else:
            self._writer = db

    def _open_for_reading(self) -> sqlite3.Connection:
        if not self.path.is_file():
            raise DataError(f"there is no store at {str(self.path)!r}")
        wal = self.path.with_name(self.path.name + "-wal")
        db = _connect(self.path, "mode=ro")
        try:
            version = self._version(db)
        except sqlite3.Error as error:
            db.close()
            if _code(error) not in _UNWRITABLE:
                raise
            # Without its log's index, which cannot be made here, SQLite reads the file only as one that never changes.
            if wal.is_file() and wal.stat().st_size:
                raise DataError(
                    f"{str(self.path)!r} has rows in {wal.name} that can only be read where the folder can be written "
                    "to; copy the whole folder to such a place"
                ) from None
            db = _connect(self.path, "mode=ro&immutable=1")
            version = self._version(db)
        if version == 0:
            raise DataError(f"{str(self.path)!r} is an empty file and not a store")
        for statement in _OLD.get(version, ()):
            db.execute(statement)
        return db

    def _version(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not tables >= {"problems", "requests", "cells"} and version <= SCHEMA:
            raise DataError(f"{str(self.path)!r} is a database of something else and not a store")
        if version > SCHEMA:
            raise DataError(
                f"{self.path} was written by a newer version (schema {version}, known here up to {SCHEMA}); "
                "update anytime-lib"
            )
        return version

    def another_reader(self) -> sqlite3.Connection:
        """A connection of its own, for a long read while others write; the caller closes it."""
        return self._open_for_reading()

    def close(self) -> None:
        """Write what waits, then close; what others have open stays open."""
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        self.reader.close()
        if self._writer is not None:
            self._writer.close()

    def write(self, job: Job[T], *, durable: bool = True) -> T:
        """Run a job in a transaction of its own; returns once it is committed.

        Raises:
            DataError: it could not be written; nothing of it is there, and all that was stored before is.
        """
        try:
            return self._transact([job], durable)[0]
        except sqlite3.Error as error:
            raise DataError(_in_words(error, self.path, "cannot write to {}")) from None

    def submit(self, job: Job[T], *, durable: bool = True) -> Future[T]:
        """Run a job soon, in one transaction with whatever else waits by then; the future tells its end.

        A job is run even if nobody waits for its future any more.
        """
        future: Future[T] = Future()
        with self._pending_lock:
            self._pending.append((job, durable, future))
            if not self._flushing:
                self._flushing = True
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
                self._executor.submit(self._flush)
        return future

    def _flush(self) -> None:
        while True:
            with self._pending_lock:
                batch, self._pending = self._pending, []
                self._flushing = bool(batch)
            if not batch:
                return
            try:
                results: list[Any] = self._transact([job for job, _, _ in batch], any(d for _, d, _ in batch))
            except Exception:  # whose fault it was, each finds out alone
                results = [_outcome(lambda job=job, d=d: self.write(job, durable=d))  # type: ignore[misc]
                           for job, d, _ in batch]  # fmt: skip
            for (_, _, future), result in zip(batch, results, strict=True):
                if future.set_running_or_notify_cancel():
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)

    def _transact(self, jobs: Sequence[Job[T]], durable: bool) -> list[T]:
        db = self._writer
        if db is None:
            raise DataError(
                f"{str(self.path)!r} is open for reading only, so nothing can be written to it; to go on with the run, "
                "copy it to another folder and name that with the parameter 'outputs'"
            )
        with self._lock:
            synchronous = "FULL" if durable else "NORMAL"
            if synchronous != self._synchronous:
                db.execute(f"PRAGMA synchronous={synchronous}")
                self._synchronous = synchronous
            db.execute("BEGIN IMMEDIATE")
            try:
                results = [job(db) for job in jobs]
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return results


def read_frame(
    db: sqlite3.Connection, query: str, values: Sequence[Any], types: Mapping[str, pa.DataType]
) -> pd.DataFrame:
    """The rows of a query as a DataFrame, read in chunks into Arrow columns: column name -> Arrow type, in order."""
    tables, batches = [pa.schema(list(types.items())).empty_table()], []
    for batch in read_batches(db, query, values, types):
        batches.append(batch)
        if len(batches) == 50:
            tables.append(pa.Table.from_batches(batches).combine_chunks())
            batches = []
    tables.append(pa.Table.from_batches(batches, tables[0].schema))
    return pa.concat_tables(tables).to_pandas(split_blocks=True)


def read_batches(
    db: sqlite3.Connection, query: str, values: Sequence[Any], types: Mapping[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    """The rows of a query as Arrow record batches of `CHUNK` rows."""
    cursor = db.execute(query, values)
    while rows := cursor.fetchmany(CHUNK):
        columns = [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types.values(), strict=True)]
        yield pa.record_batch(columns, names=list(types))


def _connect(path: Path, mode: str = "mode=rwc") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )


def _patiently(call: Callable[[], Any]) -> None:
    """Call until no other process is in the way: SQLite itself does not wait where the kind of log is set."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            call()
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _outcome(call: Callable[[], T]) -> T | Exception:
    try:
        return call()
    except Exception as error:
        return error


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _in_words(error: sqlite3.Error, path: Path, what: str) -> str:
    """One sentence for what SQLite said."""
    opening = what.format(repr(str(path)))
    hint = {
        sqlite3.SQLITE_FULL: "the disk is full; free some space and run again",
        sqlite3.SQLITE_IOERR: f"the disk fails or is full ({error}); free some space and run again",
        sqlite3.SQLITE_READONLY: "it may only be read; open it with read_only=True, or choose another folder with the "
        "parameter 'outputs'",
        sqlite3.SQLITE_BUSY: f"another process has been writing to it for {PATIENCE:.0f} s; wait for it and run again",
        sqlite3.SQLITE_CORRUPT: f"the file is damaged ({error}); restore it from a copy",
    }.get(_code(error))
    if hint is None:
        hint = (
            f"{error}; check that the folder is writable and the disk not full, or choose another with the parameter "
            "'outputs'"
        )
    return f"{opening}: {hint}; what was stored before is kept"
