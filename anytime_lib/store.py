"""What has been asked, answered and graded so far? One SQLite file per run; nothing is paid for twice.

Tables: `requests` (every call, keyed by the hash of all that determines it, written before it is used), `attempts`
(every time one was asked, so that failures and repetitions stay on the ledger), `problems` (so that a store can be
graded again by itself), `notes` (small facts, such as what an endpoint can do) and `cells` (the tidy table; derived,
so it can be made anew).
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from anytime_lib.errors import DataError
from anytime_lib.redact import MARK, Redactor
from anytime_lib.store_database import Database, Job, read_frame
from anytime_lib.types import Problem

_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()
_CELL_TYPES = {
    "run": _TEXT,
    "model": _TEXT,
    "task": _TEXT,
    "problem_id": _TEXT,
    "method": _TEXT,
    "sample": _INT,
    "budget": _INT,
    "tokens_used": _INT,
    "answer_tokens": _INT,
    "score": _REAL,
    "correct": pa.int8(),
    "status": _TEXT,
    "stopped_naturally": pa.int8(),
    "trace_key": _TEXT,
    "answer_key": _TEXT,
    "detail": _TEXT,
}
CELL_COLUMNS = list(_CELL_TYPES)
CELL_KEY = CELL_COLUMNS[:7]
_USAGE = {"prompt_tokens": _INT, "cached_tokens": _INT, "completion_tokens": _INT, "seconds": _REAL}
_ATTEMPT_TYPES = {"key": _TEXT, "kind": _TEXT, "task": _TEXT, "method": _TEXT, "status": _TEXT, **_USAGE,
                  "created": _REAL}  # fmt: skip
_REQUEST_COLUMNS = ["key", "kind", "task", "method", "model", "endpoint", "request", "response", "status", *_USAGE,
                    "created"]  # fmt: skip
_REQUEST_TYPES = {c: (_USAGE | {"created": _REAL}).get(c, _TEXT) for c in _REQUEST_COLUMNS}
_PUT = f"""INSERT INTO requests ({", ".join(_REQUEST_COLUMNS)}) VALUES ({", ".join(f":{c}" for c in _REQUEST_COLUMNS)})
    ON CONFLICT (key) DO UPDATE SET {", ".join(f"{c}=excluded.{c}" for c in _REQUEST_COLUMNS[1:])}
    WHERE requests.status != 'ok' AND (requests.status != 'partial' OR excluded.status = 'ok'
        OR (excluded.status = 'partial' AND excluded.completion_tokens >= requests.completion_tokens))"""
# A success that is stored again, at no cost, is no new attempt: so a put may be repeated.
_ATTEMPT = f"""INSERT INTO attempts ({", ".join(_ATTEMPT_TYPES)}) SELECT {", ".join(f":{c}" for c in _ATTEMPT_TYPES)}
    WHERE :prompt_tokens + :completion_tokens > 0
        OR NOT EXISTS (SELECT 1 FROM requests WHERE key = :key AND status = 'ok')"""
_PUT_CELL = f"INSERT OR REPLACE INTO cells ({', '.join(CELL_COLUMNS)}) VALUES ({', '.join('?' * len(CELL_COLUMNS))})"


class Store:
    """A run's memory, at `path`; made if it is not there, and brought up to date if an older version wrote it.

    Every write is committed before it returns, so that a kill at any moment loses nothing that was stored, and what a
    model was asked is on the disk by then, so that a power cut loses nothing either. (Cells are derived: a power cut
    may take the last of them, and the next run makes them again from what was asked.) Several processes may use one
    store at once. Keys that are in the environment are never written (see `redact`).

    Args:
        path: the file.
        read_only: only read. A store that is there and cannot be written to is opened so by itself, with a warning.
        key_env: the environment variable of the key in use, which is never written, however it looks.

    Raises:
        DataError: the folder cannot be written to, the file is no store, or it is from a newer version.
    """

    def __init__(self, path: str | Path, read_only: bool = False, *, key_env: str = "") -> None:
        self.path = Path(path)
        self._database = Database(self.path, read_only)
        self._db = self._database.reader
        self._redact = Redactor(os.environ.get(key_env, ""))

    @property
    def read_only(self) -> bool:
        return self._database.read_only

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def _json(self, value: object) -> str:
        """JSON that a database takes, whatever a model wrote: half a surrogate pair stays escaped."""
        text = json.dumps(value, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            text = json.dumps(value)
        return self._redact(text)

    # requests

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored response of a request, or None if it was never asked or ended in an error."""
        row = self._db.execute("SELECT response, status FROM requests WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row and row[1] == "ok" else None

    def request(self, key: str) -> dict[str, Any] | None:
        """What was asked under a key, whatever came of it; None if nothing was."""
        row = self._db.execute("SELECT request FROM requests WHERE key = ?", (key,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def put(self, **request: Any) -> dict[str, Any]:
        """Store one request (columns of the table `requests`) and the attempt it was.

        A stored success is never overwritten: where another process was first, its response is what counts. What had
        arrived of a reply that broke off (`partial`) gives way to a success or a longer part, never to an `error`.

        Returns:
            The response as stored.
        """
        return self._database.write(self._putting([request]))[0]

    def put_many(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`put` for many requests in one transaction: all are stored, or none."""
        return self._database.write(self._putting(requests))

    async def aput(self, **request: Any) -> dict[str, Any]:
        """`put` for many tasks of one event loop: those that wait at the same time share one flush to the disk.

        Returns once the request is on the disk, as `put` does, and lets the loop run meanwhile. A cancelled task's
        request is stored all the same: it was paid for.
        """
        future = self._database.submit(self._putting([request]))
        return (await asyncio.wrap_future(future))[0]

    def _putting(self, requests: Sequence[Mapping[str, Any]]) -> Job[list[dict[str, Any]]]:
        rows = []
        for request in requests:
            texts = {name: self._json(request[name]) for name in ("request", "response")}
            rows.append({"created": time.time(), **request, **texts})

        def job(db: sqlite3.Connection) -> list[dict[str, Any]]:
            stored = []
            for request, row in zip(requests, rows, strict=True):
                db.execute(_ATTEMPT, row)
                text = row["response"]
                if late := db.execute(_PUT, row).rowcount == 0:
                    (text,) = db.execute("SELECT response FROM requests WHERE key = ?", (row["key"],)).fetchone()
                stored.append(json.loads(text) if late or MARK in text else request["response"])
            return stored

        return job

    def requests(self) -> pd.DataFrame:
        """Every request without its texts: key, kind, task, method, model, status, tokens, seconds, created."""
        types = {c: t for c, t in _REQUEST_TYPES.items() if c not in ("request", "response")}
        return read_frame(self._db, f"SELECT {', '.join(types)} FROM requests ORDER BY created", (), types)

    def attempts(self) -> pd.DataFrame:
        """Every time something was asked, in order: key, kind, task, method, status, prompt_tokens (cached ones
        included), cached_tokens, completion_tokens, seconds, created, model, and `tokens`, the prompt's and the
        completion's together."""
        types = {**_ATTEMPT_TYPES, "model": _TEXT}
        names = ", ".join(f"attempts.{c}" for c in _ATTEMPT_TYPES)
        frame = read_frame(
            self._db,
            f"SELECT {names}, requests.model FROM attempts JOIN requests USING (key) ORDER BY attempts.created",
            (), types,
        )  # fmt: skip
        frame["tokens"] = frame.prompt_tokens + frame.completion_tokens
        return frame

    def ledger(self) -> pd.DataFrame:
        """Tokens by task, method and kind of request, whatever was billed for failures and repetitions included.

        Columns: requests, prompt_tokens (cached ones included), cached_tokens, completion_tokens, seconds (summed
        over requests, so more than the time on the clock where they overlap).
        """
        types = {"task": _TEXT, "method": _TEXT, "kind": _TEXT, "requests": _INT, **_USAGE}
        return read_frame(
            self._db,
            f"SELECT task, method, kind, count(*), {', '.join(f'sum({c})' for c in _USAGE)} FROM attempts "
            "WHERE (status = 'ok' AND kind != 'tokens') OR completion_tokens > 0 OR prompt_tokens > 0 "
            "GROUP BY task, method, kind ORDER BY min(created)",
            (), types,
        )  # fmt: skip

    # notes

    def note(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a small fact under a name, in place of what was there."""
        text = self._json(dict(value))
        self._database.write(lambda db: db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, text)) and None)

    def noted(self, key: str) -> dict[str, Any] | None:
        """What was noted under a name, or None."""
        row = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    # problems

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Keep problems whole, so that the store can be graded again by itself."""
        rows = [(p.task, p.id, p.content_hash, self._json([p.text, p.gold, dict(p.metadata)])) for p in problems]
        self._database.write(
            lambda db: db.executemany("INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)", rows) and None
        )

    def problems(self, task: str) -> list[Problem]:
        """The problems of a task that the store has seen."""
        rows = self._db.execute("SELECT id, payload FROM problems WHERE task = ? ORDER BY id", (task,)).fetchall()
        return [Problem(id, task, *json.loads(payload)) for id, payload in rows]

    def tasks(self) -> list[str]:
        """Names of the tasks whose problems the store has seen."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT task FROM problems ORDER BY task")]

    def public_tasks(self) -> set[str]:
        """Tasks whose texts may be shown: the store knows their problems, and none of them is private.

        The whole task counts, because a prompt may hold other problems of it as examples.
        """
        rows = self._db.execute("SELECT task, json_extract(payload, '$[2].private') FROM problems")
        found: dict[str, bool] = {}
        for task, private in rows:
            found[task] = found.get(task, True) and not private
        return {task for task, public in found.items() if public}

    # cells

    def answered(self, task: str | None = None) -> Iterator[tuple[dict[str, Any], str]]:
        """Every cell that has an answer, with the stored response (JSON text), one at a time; of one task if named.

        A connection of its own reads, as the store was when it began: cells may be written meanwhile.
        """
        reader = self._database.another_reader()
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
        rows = [self._cell(cell) for cell in cells]
        self._database.write(lambda db: db.executemany(_PUT_CELL, rows) and None, durable=False)

    async def aput_cells(self, cells: Iterable[Mapping[str, Any]]) -> None:
        """`put_cells`, in one transaction with whatever else waits (see `aput`)."""
        rows = [self._cell(cell) for cell in cells]
        await asyncio.wrap_future(
            self._database.submit(lambda db: db.executemany(_PUT_CELL, rows) and None, durable=False)
        )

    def _cell(self, cell: Mapping[str, Any]) -> tuple[Any, ...]:
        """A cell's values; its detail comes from a model or a server, and is made a text that a database takes."""
        detail = self._redact(str(cell["detail"] or "")).encode("utf-8", "replace").decode()
        return (*(cell[c] for c in CELL_COLUMNS[:-1]), detail)

    def cells(self, **only: str) -> pd.DataFrame:
        """The tidy table: one row per (run, model, task, problem_id, method, sample, budget), in that order.

        `score` is NaN and `correct` missing where `status` is `error`: a failure of the machinery is no wrong answer.

        Args:
            only: values of `run`, `model`, `task` or `method`, where not all cells are wanted.
        """
        if unknown := set(only) - set(CELL_KEY):
            raise DataError(f"cells are chosen by {', '.join(CELL_KEY)}, not by {', '.join(sorted(unknown))}")
        where = " AND ".join(f"{name} = ?" for name in only) or "1"
        query = f"SELECT {', '.join(CELL_COLUMNS)} FROM cells WHERE {where} ORDER BY {', '.join(CELL_KEY)}"
        return tidy(read_frame(self._db, query, tuple(only.values()), _CELL_TYPES))

    def done(self, run: str, model: str, task: str, method: str, budgets: Sequence[int]) -> dict[tuple[str, int], str]:
        """Samples of an arm that have a cell without error at each of these budgets, all cut from one trace.

        Returns:
            (problem_id, sample) -> the trace's key. The cells hold for the settings they were made with: compare the
            key with that of the request that would be made now.
        """
        rows = self._db.execute(
            f"SELECT problem_id, sample, min(trace_key) FROM cells WHERE run = ? AND model = ? AND task = ? "
            f"AND method = ? AND status != 'error' AND budget IN ({', '.join('?' * len(budgets))}) "
            "GROUP BY problem_id, sample HAVING count(*) = ? AND min(trace_key) = max(trace_key)",
            (run, model, task, method, *budgets, len(budgets)),
        )
        return {(problem, sample): key for problem, sample, key in rows}


def tidy(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with their columns in order and their types right, whatever made them."""
    frame = cells.reindex(columns=CELL_COLUMNS)
    frame["score"] = frame["score"].astype(float)
    for column in ("correct", "stopped_naturally"):
        frame[column] = frame[column].astype("boolean")
    return frame
