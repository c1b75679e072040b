"""How is a store's file opened and brought up to date, and what is said where that fails?"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml

from anytime_lib.errors import DataError

log = logging.getLogger("anytime_lib.store")

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
_STEPS = {0: _TABLES, 2: _TWO_MORE, SCHEMA: "SELECT 1"}
"""Schema of the file (0: it is empty) -> what makes it today's."""

PATIENCE = 120.0
"""Seconds to wait while another process writes."""


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def open_to_write(path: Path) -> sqlite3.Connection | None:
    """A connection that writes to a store of today's form; None where the file is there and may only be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connect(path, "rwc")
    try:
        _schema(db, path)
        db.execute("PRAGMA synchronous=NORMAL")
        until = time.monotonic() + PATIENCE
        while not _is_wal(db) and time.monotonic() < until:
            time.sleep(0.01)
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


def _is_wal(db: sqlite3.Connection) -> bool:
    """Try to switch to a write-ahead log; SQLite itself does not wait here until no other process is in the way."""
    try:
        return bool(db.execute("PRAGMA journal_mode=WAL"))
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_BUSY:
            raise
        return False


def open_to_read(path: Path) -> sqlite3.Connection:
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


ELSEWHERE = "copy the whole folder to another place and name that with the parameter 'outputs'"
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
def in_words(path: Path, what: str) -> Iterator[None]:
    """What SQLite or the system says of a store, as one sentence."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__
        hint = _HINTS.get(_code(cause), f"make it, or {ELSEWHERE}")
        raise DataError(f"cannot {what} the store {str(path)!r} ({cause}): {hint}") from None
    except OSError as error:
        raise DataError(f"cannot make the folder {str(path.parent)!r}: {error.strerror}; {_OUTPUTS}") from None
