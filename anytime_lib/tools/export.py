"""What leaves a run's store, and in which form? Parquet, JSON lines, a Hugging Face dataset folder, Inspect logs.

The texts of a task with a private problem, and of a task whose problems the store does not know, are replaced by their
length and hash (a prompt may hold other problems of its task as examples, so the whole task counts); keys are blotted
out; what no encoding can hold is replaced. Numbers, hashes and names leave as they are.
"""

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData

from anytime_lib.errors import AnytimeError, DataError, nearest
from anytime_lib.files import replace_file
from anytime_lib.redact import Redactor
from anytime_lib.store import COLUMNS, SCHEMA, Store
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import withheld

FORMATS = ("parquet", "jsonl", "huggingface", "inspect")
_TEXTS = ("detail", "text", "reasoning", "error")  # columns that may quote a problem
_ARROW = {
    "TEXT": pa.string(),
    "INTEGER": pa.int64(),
    "REAL": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "INTEGERS": pa.list_(pa.int64()),
    "MESSAGES": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
}


def export(store: Store, folder: str | Path, format: str = "parquet") -> list[Path]:
    """Write a run for others to use, in one of `FORMATS`; returns the files written. The store is only read.

    `parquet` and `jsonl` are a file for each table of `store.COLUMNS`; `huggingface` is a folder with a card, for
    `datasets.load_dataset`; `inspect` are logs for `inspect view` (see `inspect_logs`). DataError where the format is
    unknown, the folder holds tables of another run or cannot be written to, or `inspect_ai` is not installed.
    """
    folder = Path(folder).expanduser()
    try:
        if format == "inspect":
            return list(resolve_name("anytime_lib.tools.inspect_logs:write_logs")(store, folder))
        if format == "huggingface":
            tables = export(store, folder / "data")
            with replace_file(folder / "README.md") as part:
                _card(store).save(part)
            return [folder / "README.md", *tables]
        if format not in FORMATS:
            raise DataError(f"unknown export format {format!r}{nearest(format, FORMATS)}")
        paths = {table: folder / f"{table}.{format}" for table in COLUMNS}
        _refuse_others(store, folder)
        for table, path in paths.items():
            batches = Gate(store).rows(table)
            with replace_file(path) as part:
                if format == "jsonl":
                    with part.open("w", encoding="ascii") as file:  # so that no character of a model's ends a line
                        file.writelines(json.dumps(row) + "\n" for rows in batches for row in rows)
                    continue
                schema = pa.schema([(name, _ARROW[kind]) for name, (kind, _) in COLUMNS[table].items()])
                with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                    for rows in batches:
                        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
        return list(paths.values())
    except ImportError:
        raise DataError("Inspect logs need inspect_ai; install it with: pip install 'anytime-lib[inspect]'") from None
    except OSError as error:
        why = f"cannot export to {str(folder)!r}: {error.strerror or error}"
        raise DataError(f"{why}; choose another folder or free some space") from None


def _refuse_others(store: Store, folder: Path) -> None:
    """DataError where the folder has a table of cells, and none of them is of this run."""
    there = set[str]()
    for path in folder.glob("cells.*"):
        with suppress(AnytimeError):  # what cannot be read as a table is none
            there |= {*map(str, read_table(path).get("run", []))}
    if there and there.isdisjoint(map(Gate(store).name, store.cells().run.unique())):
        what = f"holds tables of the run {', '.join(sorted(there))}, and these are of {store.path.parent}"
        raise DataError(f"{str(folder)!r} {what}: choose another folder")


def _card(store: Store) -> DatasetCard:
    """YAML for `datasets`, then what is in it, how it was made, and what was withheld."""
    gate = Gate(store)

    def shown(name: object) -> str:  # nothing in it is read as markup
        return re.sub(r"([\\`*_\[\]()|#!~])", r"\\\1", html.escape(" ".join(gate.name(name).split()), quote=False))

    with store.snapshot() as db:
        arms = db.execute("""SELECT run, model, task, method, count(DISTINCT problem_id), count(DISTINCT sample),
            count(DISTINCT budget), count(*), sum(status = 'error') FROM cells GROUP BY 1, 2, 3, 4""").fetchall()
        tasks = {name for (name,) in db.execute("SELECT task FROM problems UNION SELECT task FROM requests")}
    parts = [{"config_name": t, "data_files": f"data/{t}.parquet", "default": t == "cells"} for t in COLUMNS]
    about = {"pretty_name": "Anytime reasoning run", "tags": ["anytime-reasoning", "llm-evaluation"]}
    data = DatasetCardData(**about, license="other", license_name="to-be-chosen", configs=parts)
    template = (files("anytime_lib") / "data" / "dataset_card.md.jinja").read_text("utf-8")
    told = {"arms": [[*map(shown, arm)] for arm in arms], "hidden": [*map(shown, sorted(tasks - gate.public))]}
    told |= {"tables": COLUMNS, "schema": SCHEMA, "version": version("anytime-lib")}
    return DatasetCard.from_template(data, template_str=template, **told)


class Gate:
    """What of a store may leave it; in full, the texts of the tasks in `public`."""

    def __init__(self, store: Store) -> None:
        problems = store.problems()
        private = {p.task for p in problems if p.metadata.get("private")}  # a prompt may hold others as examples
        self.store, self.public, self._redact = store, {p.task for p in problems} - private, Redactor()

    def name(self, text: object) -> str:
        """A name, of a model, a run, ...: shown for every task."""
        return self._redact(str(text).encode("utf-8", "replace").decode())

    def text(self, task: str, text: object) -> str:
        """A text of a task as it may leave; of None, nothing."""
        found = self.name("" if text is None else text)
        return found if task in self.public or not found else withheld(task, found)

    def rows(self, table: str) -> Iterator[list[dict[str, Any]]]:
        """The rows of a table with the columns of `COLUMNS`, in batches: a trace may be a hundred kilobytes."""
        with self.store.snapshot() as db:
            db.row_factory = sqlite3.Row
            found = db.execute(f"SELECT * FROM {table}")
            while batch := found.fetchmany(500):
                yield [self._row(table, dict(row)) for row in batch]

    def _row(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        task, public = row["task"], row["task"] in self.public
        if table == "problems":
            row["text"], *others = json.loads(row["payload"])
            row["gold"], row["metadata"] = map(json.dumps, others) if public else (None, None)
        elif table == "requests":
            asked = json.loads(row["request"])
            row = json.loads(row["response"]) | row
            said = asked.pop("messages", [])
            row["messages"] = [{"role": self.name(m["role"]), "content": self.text(task, m["content"])} for m in said]
            numbers = {name: value for name, value in asked.items() if isinstance(value, int | float)}
            row["settings"] = json.dumps(asked if public else numbers)
        found: dict[str, Any] = {}
        for name, (kind, _) in COLUMNS[table].items():
            value = found[name] = row.get(name)
            if value is not None and kind == "TEXT":
                found[name] = self.text(task, value) if name in _TEXTS else self.name(value)
            elif value is not None and kind == "BOOLEAN":
                found[name] = bool(value)
        return found
