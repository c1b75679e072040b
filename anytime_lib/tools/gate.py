"""What of a run's store may leave it? One gate for every export.

The texts of a task with a private problem, and of a task whose problems the store does not know, are replaced by their
length and hash (a prompt may hold other problems of its task as examples, so the whole task counts); keys are blotted
out; what no encoding can hold is replaced. Numbers, hashes and names leave as they are.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from anytime_lib.redact import Redactor, withheld
from anytime_lib.store import CELL_KEY, COLUMNS, Store
from anytime_lib.types import canonical_json

ROWS = 500
"""Rows held at once; a trace may be a hundred kilobytes."""
_ORDERS = {"cells": ", ".join(CELL_KEY), "problems": "task, id", "requests": "rowid", "attempts": "rowid"}


class Gate:
    """What of a store's texts may leave it: those of the tasks in `public`."""

    def __init__(self, store: Store) -> None:
        self.public = store.public_tasks()
        self._redact = Redactor()

    def name(self, text: object) -> str:
        """A name (of a model, a run, ...): shown for every task."""
        return self._redact(str("" if text is None else text).encode("utf-8", "replace").decode())

    def text(self, task: str, text: object) -> str:
        """A text of a task as it may leave."""
        found = self.name(text)
        return found if task in self.public or not found else withheld(task, found)

    def row(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row of a table as it may leave, with the columns of `COLUMNS`."""
        shape = {"cells": self._cell, "problems": self._problem, "requests": self._request}.get(table, dict)
        found = shape(row)
        for name, (kind, _) in COLUMNS[table].items():
            if kind in ("TEXT", "BOOLEAN") and found[name] is not None:
                found[name] = self.name(found[name]) if kind == "TEXT" else bool(found[name])
        return {name: found[name] for name in COLUMNS[table]}

    def _cell(self, row: dict[str, Any]) -> dict[str, Any]:
        return row | {"detail": self.text(row["task"], row["detail"])}

    def _problem(self, row: dict[str, Any]) -> dict[str, Any]:
        text, gold, metadata = json.loads(row["payload"])
        if metadata.get("private"):
            return row | {"text": withheld(row["id"], text), "gold": None, "metadata": '{"private":true}'}
        return row | {"text": text, "gold": json.dumps(gold), "metadata": json.dumps(metadata)}

    def _request(self, row: dict[str, Any]) -> dict[str, Any]:
        task, asked, said = row["task"], json.loads(row["request"]), json.loads(row["response"])
        messages = [{"role": self.name(message.get("role")), "content": self.text(task, message.get("content"))}
                    for message in asked.pop("messages", [])]  # fmt: skip
        settings = {name: value for name, value in asked.items() if name not in ("kind", "model", "endpoint")}
        if task not in self.public:
            settings = {name: value for name, value in settings.items() if isinstance(value, int | float)}
        texts = {name: self.text(task, said.get(name)) for name in ("text", "reasoning", "error")}
        reason = str(said.get("finish_reason", ""))
        return row | texts | {
            "messages": messages, "settings": canonical_json(settings), "ends": said.get("ends"),
            "finish_reason": reason if reason.isidentifier() and len(reason) <= 32 else "",
        }  # fmt: skip


def rows_of(store: Store, table: str) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table as they may leave the store, `ROWS` at a time, with the columns of `COLUMNS`."""
    gate = Gate(store)
    with store.snapshot() as db:
        db.row_factory = sqlite3.Row
        rows = (gate.row(table, dict(row)) for row in db.execute(f"SELECT * FROM {table} ORDER BY {_ORDERS[table]}"))
        while batch := list(itertools.islice(rows, ROWS)):
            yield batch
