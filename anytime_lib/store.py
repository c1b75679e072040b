"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Tables: `requests` (every call, keyed by the hash of all that determines it, written before it is used), `problems`
(so that a store can be graded again by itself) and `cells` (the tidy table; derived, so it can be made anew).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.records import Problem

SCHEMA = 1
CELL_COLUMNS = [
    "run",
    "model",
    "task",
    "problem_id",
    "method",
    "sample",
    "budget",
    "tokens_used",
    "answer_tokens",
    "score",
    "correct",
    "status",
    "stopped_naturally",
    "trace_key",
    "answer_key",
    "detail",
]
CELL_KEY = CELL_COLUMNS[:7]
_REQUEST_COLUMNS = [
    "key",
    "kind",
    "task",
    "method",
    "model",
    "endpoint",
    "request",
    "response",
    "status",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "seconds",
    "created",
]
_TABLES = f"""
CREATE TABLE IF NOT EXISTS problems (task TEXT, id TEXT, content_hash TEXT, payload TEXT, PRIMARY KEY (task, id));
CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, kind TEXT, task TEXT, method TEXT, model TEXT,
    endpoint TEXT, request TEXT, response TEXT, status TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
    completion_tokens INTEGER, seconds REAL, created REAL);
CREATE TABLE IF NOT EXISTS cells (run TEXT, model TEXT, task TEXT, problem_id TEXT, method TEXT, sample INTEGER,
    budget INTEGER, tokens_used INTEGER, answer_tokens INTEGER, score REAL, correct INTEGER, status TEXT,
    stopped_naturally INTEGER, trace_key TEXT, answer_key TEXT, detail TEXT,
    PRIMARY KEY ({", ".join(CELL_KEY)}));
"""


class Store:
    """A run's memory, at `path`; made if it is not there.

    Every write is committed before it returns, so that a kill at any moment loses nothing that was stored.

    Raises:
        DataError: the folder cannot be written to, the file is no store, or it is from a newer version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA:
                raise DataError(f"{self.path} was written by a newer version (schema {version}); update anytime-lib")
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
        except OSError as error:
            raise DataError(
                f"cannot make the folder {str(self.path.parent)!r}: {error.strerror}; choose another "
                "with the parameter 'outputs'"
            ) from None
        except sqlite3.Error as error:
            raise DataError(
                f"cannot use {str(self.path)!r} as a store: {error}; check that the folder is writable "
                "and the disk not full, or choose another with the parameter 'outputs'"
            ) from None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def _write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise DataError(f"cannot write to {str(self.path)!r}: {error}; what was stored before is kept") from None

    # requests

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored response of a request, or None if it was never asked or ended in an error."""
        row = self._db.execute("SELECT response, status FROM requests WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row and row[1] == "ok" else None

    def request(self, key: str) -> dict[str, Any] | None:
        """What was asked under a key, whatever came of it; None if nothing was."""
        row = self._db.execute("SELECT request FROM requests WHERE key = ?", (key,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def put(self, **request: Any) -> None:
        """Store one request (columns of the table `requests`); a stored success is never overwritten."""
        values = {"created": time.time(), **request}
        for name in ("request", "response"):
            values[name] = json.dumps(values[name], ensure_ascii=False)
        self._write(
            f"INSERT INTO requests ({', '.join(_REQUEST_COLUMNS)}) VALUES ({', '.join('?' * len(_REQUEST_COLUMNS))}) "
            f"ON CONFLICT (key) DO UPDATE SET {', '.join(f'{c}=excluded.{c}' for c in _REQUEST_COLUMNS[1:])} "
            "WHERE requests.status != 'ok'",
            [tuple(values[c] for c in _REQUEST_COLUMNS)],
        )

    def requests(self) -> pd.DataFrame:
        """Every request without its texts: key, kind, task, method, model, status, tokens, seconds, created."""
        columns = [c for c in _REQUEST_COLUMNS if c not in ("request", "response")]
        return pd.read_sql_query(f"SELECT {', '.join(columns)} FROM requests ORDER BY created", self._db)

    def ledger(self) -> pd.DataFrame:
        """Tokens by task, method and kind of request.

        Columns: requests, prompt_tokens (cached ones included), cached_tokens, completion_tokens, seconds (summed
        over requests, so more than the time on the clock where they overlap).
        """
        rows = self.requests()
        rows = rows[(rows.status == "ok") & (rows.kind != "tokens") | (rows.completion_tokens > 0)]
        columns = ["prompt_tokens", "cached_tokens", "completion_tokens", "seconds"]
        groups = rows.groupby(["task", "method", "kind"], sort=False)
        return groups.size().to_frame("requests").join(groups[columns].sum()).reset_index()

    # problems

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Keep problems whole, so that the store can be graded again by itself."""
        self._write(
            "INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)",
            [
                (
                    p.task,
                    p.id,
                    p.content_hash,
                    json.dumps([p.text, p.gold, dict(p.metadata)], ensure_ascii=False),
                )
                for p in problems
            ],
        )

    def problems(self, task: str) -> list[Problem]:
        """The problems of a task that the store has seen."""
        rows = self._db.execute("SELECT id, payload FROM problems WHERE task = ? ORDER BY id", (task,)).fetchall()
        return [Problem(id, task, *json.loads(payload)) for id, payload in rows]

    def tasks(self) -> list[str]:
        """Names of the tasks whose problems the store has seen."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT task FROM problems ORDER BY task")]

    # cells

    def answered(self, task: str | None = None) -> Iterator[tuple[dict[str, Any], str]]:
        """Every cell that has an answer, with the stored response (JSON text), one at a time; of one task if named.

        A connection of its own reads, as the store was when it began: cells may be written meanwhile.
        """
        reader = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            names = ", ".join(f"cells.{c}" for c in CELL_COLUMNS)
            rows = reader.execute(
                f"SELECT {names}, requests.response FROM cells JOIN requests ON requests.key = cells.answer_key "
                "WHERE requests.status = 'ok' AND (? IS NULL OR cells.task = ?)", (task, task),
            )  # fmt: skip
            for *values, response in rows:
                yield dict(zip(CELL_COLUMNS, values, strict=True)), response
        finally:
            reader.close()

    def put_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """Store cells (CELL_COLUMNS); one with the same coordinates is replaced."""
        self._write(
            f"INSERT OR REPLACE INTO cells ({', '.join(CELL_COLUMNS)}) VALUES ({', '.join('?' * len(CELL_COLUMNS))})",
            [tuple(cell[c] for c in CELL_COLUMNS) for cell in cells],
        )

    def cells(self) -> pd.DataFrame:
        """The tidy table: one row per (run, model, task, problem_id, method, sample, budget).

        `score` is NaN and `correct` missing where `status` is `error`: a failure of the machinery is no wrong answer.
        """
        frame = pd.read_sql_query(
            f"SELECT {', '.join(CELL_COLUMNS)} FROM cells ORDER BY {', '.join(CELL_KEY)}", self._db
        )
        return tidy(frame)


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    frame["score"] = frame["score"].astype(float)
    for column in ("correct", "stopped_naturally"):
        frame[column] = frame[column].astype("boolean")
    return frame
