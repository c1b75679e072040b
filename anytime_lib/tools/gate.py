"""What of a run's store may leave it? One gate for every export.

The texts of a task with a private problem, and of a task whose problems the store does not know, are replaced by their
length and hash (a prompt may hold other problems of its task as examples, so the whole task counts); keys are blotted
out; what no encoding can hold is replaced. Numbers, hashes and names leave as they are.
"""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from anytime_lib.redact import Redactor, withheld
from anytime_lib.store import CELL_KEY, COLUMNS, Store
from anytime_lib.types import canonical_json

ROWS = 500
"""Rows held at once; a trace may be a hundred kilobytes."""
_ARROW = {
    "TEXT": pa.string(),
    "INTEGER": pa.int64(),
    "REAL": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "INTEGERS": pa.list_(pa.int64()),
    "MESSAGES": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
}
TABLES = {table: {name: _ARROW[kind] for name, (kind, _) in columns.items()} for table, columns in COLUMNS.items()}
"""What is exported: table -> column -> Arrow type."""
_ORDERS = {"cells": ", ".join(CELL_KEY), "problems": "task, id", "requests": "rowid", "attempts": "rowid"}


class Gate:
    """What of a store's texts may leave it: those of the tasks in `public`."""

    def __init__(self, store: Store) -> None:
        self.public = store.public_tasks()
        self._redact = Redactor()

    def text(self, task: str, text: object) -> str:
        """A text of a task as it may leave."""
        found = str(text or "").encode("utf-8", "replace").decode()
        return self._redact(found) if task in self.public or not found else withheld(task, found)

    def name(self, text: object) -> str:
        """A name (of a model, a run, ...): shown for every task."""
        return self._redact(str("" if text is None else text).encode("utf-8", "replace").decode())

    def row(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row of a table as it may leave."""
        shape = {"cells": self._cell, "problems": self._problem, "requests": self._request}.get(table, dict)
        names = {name: self.name(row[name]) for name in ("run", "model", "endpoint", "problem_id") if name in row}
        found = shape(row | names)
        return {name: found[name] for name in TABLES[table]}

    def _cell(self, row: dict[str, Any]) -> dict[str, Any]:
        flags = {c: None if row[c] is None else bool(row[c]) for c in ("correct", "stopped_naturally")}
        return row | flags | {"detail": self.text(row["task"], row["detail"])}

    def _problem(self, row: dict[str, Any]) -> dict[str, Any]:
        text, gold, metadata = json.loads(row["payload"])
        if metadata.get("private"):
            return row | {"text": withheld(row["id"], text), "gold": None, "metadata": '{"private":true}'}
        values = {"text": text, "gold": json.dumps(gold), "metadata": json.dumps(metadata)}
        return row | {name: self.name(value) for name, value in values.items()}

    def _request(self, row: dict[str, Any]) -> dict[str, Any]:
        task, asked, said = row["task"], json.loads(row["request"]), json.loads(row["response"])
        messages = [{"role": self.name(m.get("role")), "content": self.text(task, m.get("content"))}
                    for m in asked.pop("messages", [])]  # fmt: skip
        settings = {name: value if task in self.public or _plain(value) else withheld(task, canonical_json(value))
                    for name, value in asked.items() if name not in ("kind", "model", "endpoint")}  # fmt: skip
        reason = str(said.get("finish_reason") or "")
        texts = {name: self.text(task, said.get(name)) for name in ("text", "reasoning", "error")}
        return row | texts | {
            "messages": messages, "settings": self.name(canonical_json(settings)), "ends": said.get("ends"),
            "finish_reason": reason if re.fullmatch(r"[A-Za-z_]{1,32}", reason) else "",
        }  # fmt: skip


def _plain(value: object) -> bool:
    """A number or a key: it holds no words."""
    if isinstance(value, str):
        return re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return not isinstance(value, list | dict)


def rows_of(store: Store, table: str) -> Iterator[list[dict[str, Any]]]:
    """The rows of one of `TABLES` as they may leave the store, `ROWS` at a time."""
    gate = Gate(store)
    with store.snapshot() as db:
        db.row_factory = sqlite3.Row
        rows = (gate.row(table, dict(row)) for row in db.execute(f"SELECT * FROM {table} ORDER BY {_ORDERS[table]}"))
        while batch := list(itertools.islice(rows, ROWS)):
            yield batch
