"""How is a store's file opened and brought up to date, and what is said where that fails?"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml

from anytime_lib.errors import DataError

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
ELSEWHERE = "name another folder with the parameter 'outputs'; to go on with this run, copy the whole folder there"
_HINTS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run again; what was stored before is kept",
    sqlite3.SQLITE_IOERR: "the disk fails or is full; free some space and run again; what was stored before is kept",
    sqlite3.SQLITE_BUSY: f"another process has been writing to it for {PATIENCE:.0f} s; wait for it and run again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a copy",
    sqlite3.SQLITE_NOTADB: "it is no store, or damaged; restore it from a copy",
}
"""SQLite's primary result code -> what to do."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection that writes to a store of today's form, made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = _connect(path, "rwc")
    try:
        _schema(db, path)
        db.execute("PRAGMA synchronous=NORMAL")
        with suppress(sqlite3.OperationalError):  # another process is in the way: it will do, or has done, the same
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


def open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise DataError(f"there is no store at {str(path)!r}")
    db = _connect(path, "ro")
    if _schema(db, path) < SCHEMA:
        db.execute("CREATE TEMP VIEW cells AS SELECT *, NULL AS prompt_tokens, NULL AS grader FROM main.cells")
    return db


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _schema(db: sqlite3.Connection, path: Path) -> int:
    """The schema of a store known here; 0 of an empty file."""
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if schema > SCHEMA:
        raise DataError(f"{path} was written by a newer version (schema {schema}); update anytime-lib")
    if schema not in _STEPS or (schema == 0) != (tables == 0):
        raise DataError(f"{str(path)!r} is a database of something else and not a store")
    return int(schema)


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def in_words(path: Path, what: str) -> Iterator[None]:
    """What SQLite or the system says of a store, as one sentence."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError, OSError) as error:
        cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
        raise DataError(
            f"cannot {what} the store {str(path)!r} ({cause}): {_HINTS.get(_code(cause), ELSEWHERE)}"
        ) from None
