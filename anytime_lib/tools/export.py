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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from anytime_lib.errors import DataError, nearest
from anytime_lib.redact import Redactor, withheld
from anytime_lib.store import CELL_KEY, COLUMNS, SCHEMA, Store
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
TABLES: dict[str, dict[str, tuple[pa.DataType, str]]] = {
    table: {name: (_ARROW[kind], meaning) for name, (kind, meaning) in columns.items()}
    for table, columns in COLUMNS.items()
}
"""What is exported: table -> column -> (type, meaning)."""
_ORDERS = {"cells": ", ".join(CELL_KEY), "problems": "task, id", "requests": "rowid", "attempts": "created"}


class Gate:
    """What of a store's texts may leave it.

    Attributes:
        public: tasks whose texts may.
    """

    def __init__(self, store: Store) -> None:
        self.public = store.public_tasks()
        self._redact = Redactor()

    def text(self, task: str, text: object) -> str:
        """A text of a task as it may leave."""
        found = str(text or "").encode("utf-8", "replace").decode()
        if not found:
            return ""
        return self._redact(found) if task in self.public else withheld(task, found)

    def name(self, text: object) -> str:
        """A name (of a model, a run, ...): shown for every task."""
        return "" if text is None else self._redact(str(text).encode("utf-8", "replace").decode())

    def cell(self, row: dict[str, Any]) -> dict[str, Any]:
        flags = {c: None if row[c] is None else bool(row[c]) for c in ("correct", "stopped_naturally")}
        names = {c: self.name(row[c]) for c in ("run", "model", "problem_id")}
        return row | flags | names | {"detail": self.text(row["task"], row["detail"])}

    def problem(self, row: dict[str, Any]) -> dict[str, Any]:
        text, gold, metadata = json.loads(row.pop("payload"))
        if metadata.get("private"):
            shown = {"text": withheld(row["id"], text), "gold": None, "metadata": '{"private":true}'}
        else:
            values = {"text": text, "gold": json.dumps(gold), "metadata": json.dumps(metadata)}
            shown = {name: self.name(value) for name, value in values.items()}
        return row | shown

    def request(self, row: dict[str, Any]) -> dict[str, Any]:
        task, asked, said = row["task"], json.loads(row.pop("request")), json.loads(row.pop("response"))
        messages = [{"role": self.name(m.get("role")), "content": self.text(task, m.get("content"))}
                    for m in asked.pop("messages", [])]  # fmt: skip
        settings = {name: value if task in self.public or _plain(value) else withheld(task, canonical_json(value))
                    for name, value in asked.items() if name not in ("kind", "model", "endpoint")}  # fmt: skip
        reason = str(said.get("finish_reason") or "")
        return row | {name: self.name(row[name]) for name in ("model", "endpoint")} | {
            "messages": messages, "settings": self.name(canonical_json(settings)), "ends": said.get("ends"),
            "finish_reason": reason if re.fullmatch(r"[A-Za-z_]{1,32}", reason) else "",
            **{name: self.text(task, said.get(name)) for name in ("text", "reasoning", "error")},
        }  # fmt: skip


def _plain(value: object) -> bool:
    """A number or a key: it holds no words."""
    if isinstance(value, str):
        return re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return not isinstance(value, list | dict)


def rows_of(store: Store, table: str) -> Iterator[dict[str, Any]]:
    """The rows of one of `TABLES` as they may leave the store, one at a time."""
    gate = Gate(store)
    shape: Callable[[dict[str, Any]], dict[str, Any]] = {
        "cells": gate.cell, "problems": gate.problem, "requests": gate.request}.get(table, dict)  # fmt: skip
    with store.snapshot() as reader:
        reader.row_factory = sqlite3.Row
        for row in reader.execute(f"SELECT * FROM {table} ORDER BY {_ORDERS[table]}"):
            found = shape(dict(row))
            yield {name: found[name] for name in TABLES[table]}


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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, that takes the place of `path` once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _parquet(store: Store, folder: Path) -> list[Path]:
    return [_to_parquet(store, table, folder / f"{table}.parquet") for table in TABLES]


def _to_parquet(store: Store, table: str, path: Path) -> Path:
    schema = pa.schema([(name, kind) for name, (kind, _) in TABLES[table].items()])
    with replacing(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for rows in _batches(rows_of(store, table)):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    return path


def _jsonl(store: Store, folder: Path) -> list[Path]:
    paths = []
    for table in TABLES:
        with replacing(path := folder / f"{table}.jsonl") as part, part.open("w", encoding="ascii") as file:
            for row in rows_of(store, table):
                file.write(json.dumps(row) + "\n")  # ASCII: no character of a model's ends a line for any reader
        paths.append(path)
    return paths


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, ROWS)), [])


def _huggingface(store: Store, folder: Path) -> list[Path]:
    files = [_to_parquet(store, table, folder / "data" / f"{table}.parquet") for table in TABLES]
    with replacing(folder / "README.md") as part:
        part.write_text(card(store), encoding="utf-8")
    return [*files, folder / "README.md"]


def card(store: Store) -> str:
    """The dataset card: YAML for `datasets`, then what is in it, where it comes from, and what was withheld."""
    gate, db = Gate(store), store._db
    counts = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    front = {
        "pretty_name": "Anytime reasoning run",
        "license": "other",
        "license_name": "to-be-chosen",
        "tags": ["anytime-reasoning", "llm-evaluation"],
        "configs": [{"config_name": table, "data_files": [{"split": "train", "path": f"data/{table}.parquet"}],
                     **({"default": True} if table == "cells" else {})} for table in TABLES],
    }  # fmt: skip
    arms = db.execute("SELECT run, model, task, method, count(DISTINCT problem_id), count(DISTINCT sample), "
                      "count(DISTINCT budget), count(*), sum(status = 'error') FROM cells "
                      "GROUP BY run, model, task, method").fetchall()  # fmt: skip
    tasks = {name for (name,) in db.execute("SELECT task FROM problems UNION SELECT task FROM requests")}
    endpoints = [name for (name,) in db.execute("SELECT DISTINCT endpoint FROM requests ORDER BY 1")]
    first, last = db.execute("SELECT date(min(created), 'unixepoch'), date(max(created), 'unixepoch') FROM requests"
                             ).fetchone()  # fmt: skip

    def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
        lines = [head, ["---"] * len(head), *([_cell(gate.name(v)) for v in row] for row in rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    hidden = sorted(tasks - gate.public)
    withheld_texts = (
        f"The texts of {', '.join(_cell(gate.name(t)) for t in hidden)} are withheld: these tasks have problems that "
        "must not be published, or problems that the run does not know. In place of each text stand its length and the "
        "start of its SHA-256; scores, token counts and keys are complete."
        if hidden
        else "No text is withheld: no problem of this run is marked as private."
    )
    columns = "\n\n".join(
        f"### {name}\n\n{counts[name]:,} rows.\n\n| column | meaning |\n| --- | --- |\n"
        + "\n".join(f"| `{column}` | {meaning} |" for column, (_, meaning) in meanings.items())
        for name, meanings in TABLES.items()
    )
    head = ["run", "model", "task", "method", "problems", "samples", "budgets", "cells", "of them errors"]
    return f"""---
{yaml.safe_dump(front, sort_keys=False, allow_unicode=False)}---

# An anytime-reasoning run

A language model's best answer at every token budget: each reasoning trace was sampled once, cut at each budget, and an
answer was asked for at each cut and graded. Made with anytime-lib; the idea is that of arXiv 2601.11038.

{table(head, arms)}

## Provenance

anytime-lib {version("anytime-lib")}, store schema {SCHEMA}. Asked between {first} and {last}, at
{", ".join(_cell(gate.name(e)) for e in endpoints) or "no endpoint"}.

## Withheld texts

{withheld_texts}

## Licence

To be chosen by whoever publishes this folder: set `license` above. Problems stay under their authors' terms, and the
provider of a model may restrict the use of what it wrote.

## Columns

{columns}

Texts in these tables were written by a model: treat them as untrusted input.
"""


def _cell(text: object) -> str:
    """A name inside Markdown: nothing in it is read as markup."""
    return re.sub(r"([\\`*_\[\]()|#!~])", r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


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
