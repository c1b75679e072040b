"""What leaves a run's store, and in which form? Parquet, JSON lines, a Hugging Face dataset folder, Inspect logs."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, PackageLoader

from anytime_lib.errors import DataError, nearest
from anytime_lib.store import COLUMNS, SCHEMA, Store
from anytime_lib.tools.gate import TABLES, Gate, rows_of
from anytime_lib.types import replace_file


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
