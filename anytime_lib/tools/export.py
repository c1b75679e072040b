"""What leaves a run's store, and in which form? Parquet, JSON lines, a Hugging Face dataset folder, Inspect logs.

Every text passes one gate on its way out. The texts of a task with a private problem, and of a task whose problems the
store does not know, are replaced by their length and hash (a prompt may hold other problems of its task as examples,
so the whole task counts); keys are blotted out; what no encoding can hold is replaced. Numbers, hashes and names
leave as they are.
"""

from __future__ import annotations

import html
import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, PackageLoader

from anytime_lib.errors import DataError, nearest
from anytime_lib.redact import Redactor, withheld
from anytime_lib.store import CELL_KEY, COLUMNS, SCHEMA, Store
from anytime_lib.types import canonical_json, replace_file

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


def export(store: Store, folder: str | Path, format: str = "parquet") -> list[Path]:
    """Write a run for others to use; the store is only read, and memory does not grow with it.

    Args:
        store: may be open for reading only.
        folder: made if it is not there; files of the same names are replaced.
        format: `parquet` or `jsonl`: one file for each of `TABLES`; `huggingface`: a folder for
            `datasets.load_dataset`, with a card; `inspect`: logs for `inspect view`, one for each run, model, task and
            method (needs the extra `anytime-lib[inspect]`).

    Returns:
        The files written.

    Raises:
        DataError: an unknown format, a folder that cannot be written to, or `inspect_ai` is not installed.
    """
    folder = Path(folder)
    if format not in FORMATS:
        raise DataError(f"unknown export format {format!r}{nearest(format, FORMATS)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FORMATS[format](store, folder)
    except OSError as error:
        raise DataError(
            f"cannot export to {str(folder)!r}: {error.strerror or error}; choose another folder or free some space"
        ) from None


def main(path: str | Path, folder: str | Path, format: str = "parquet") -> int:
    """`anytime export`: export the store at a path, and print the files written."""
    with Store(path, read_only=True) as store:
        for file in export(store, folder, format):
            print(file)
    return 0


def _parquet(store: Store, folder: Path) -> list[Path]:
    for table, columns in TABLES.items():
        schema = pa.schema(list(columns.items()))
        path = replace_file(folder / f"{table}.parquet")
        with path as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for rows in rows_of(store, table):
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    return [folder / f"{table}.parquet" for table in TABLES]


def _jsonl(store: Store, folder: Path) -> list[Path]:
    for table in TABLES:
        with replace_file(folder / f"{table}.jsonl") as part, part.open("w", encoding="ascii") as file:
            for row in itertools.chain.from_iterable(rows_of(store, table)):
                file.write(json.dumps(row) + "\n")  # ASCII: no character of a model's ends a line for any reader
    return [folder / f"{table}.jsonl" for table in TABLES]


def _huggingface(store: Store, folder: Path) -> list[Path]:
    files = _parquet(store, folder / "data")
    with replace_file(folder / "README.md") as part:
        part.write_text(card(store), encoding="utf-8")
    return [*files, folder / "README.md"]


def card(store: Store) -> str:
    """The dataset card: YAML for `datasets`, then what is in it, where it comes from, and what was withheld."""
    gate = Gate(store)
    front = {
        "pretty_name": "Anytime reasoning run",
        "license": "other",
        "license_name": "to-be-chosen",
        "tags": ["anytime-reasoning", "llm-evaluation"],
        "configs": [{"config_name": table, "data_files": [{"split": "train", "path": f"data/{table}.parquet"}],
                     **({"default": True} if table == "cells" else {})} for table in TABLES],
    }  # fmt: skip
    with store.snapshot() as db:
        counts = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        arms = db.execute("SELECT run, model, task, method, count(DISTINCT problem_id), count(DISTINCT sample), "
                          "count(DISTINCT budget), count(*), sum(status = 'error') FROM cells "
                          "GROUP BY run, model, task, method").fetchall()  # fmt: skip
        tasks = {name for (name,) in db.execute("SELECT task FROM problems UNION SELECT task FROM requests")}
        endpoints = [name for (name,) in db.execute("SELECT DISTINCT endpoint FROM requests ORDER BY 1")]
        dates = "SELECT date(min(created), 'unixepoch'), date(max(created), 'unixepoch') FROM requests"
        first, last = db.execute(dates).fetchone()
    environment = Environment(loader=PackageLoader("anytime_lib", "data"), keep_trailing_newline=True)
    environment.filters["plain"] = lambda text: _markdown(gate.name(text))
    return environment.get_template("dataset_card.md.jinja").render(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=False), arms=arms, version=version("anytime-lib"),
        schema=SCHEMA, first=first, last=last, endpoints=endpoints, hidden=sorted(tasks - gate.public), tables=COLUMNS,
        counts=counts,
    )  # fmt: skip


def _markdown(text: str) -> str:
    """A name inside Markdown: nothing in it is read as markup."""
    return re.sub(r"([\\`*_\[\]()|#!~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _inspect(store: Store, folder: Path) -> list[Path]:
    try:
        from anytime_lib.tools.inspect_logs import write_logs
    except ImportError:
        raise DataError("Inspect logs need inspect_ai; install it with: pip install 'anytime-lib[inspect]'") from None
    return write_logs(store, folder)


FORMATS: dict[str, Callable[[Store, Path], list[Path]]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
    "huggingface": _huggingface,
    "inspect": _inspect,
}
"""Format -> what writes it."""
