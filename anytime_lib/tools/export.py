"""What leaves a run's store, and in which form? Parquet, JSON lines, a Hugging Face dataset folder, Inspect logs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData

from anytime_lib.errors import DataError, nearest
from anytime_lib.store import COLUMNS, SCHEMA, Store
from anytime_lib.tools.gate import Gate, rows_of
from anytime_lib.types import replace_file

_ARROW = {
    "TEXT": pa.string(),
    "INTEGER": pa.int64(),
    "REAL": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "INTEGERS": pa.list_(pa.int64()),
    "MESSAGES": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
}


def export(store: Store, folder: str | Path, format: str = "parquet") -> list[Path]:
    """Write a run for others to use; the store is only read, and memory does not grow with its texts.

    Args:
        store: may be open for reading only.
        folder: made if it is not there; files of the same names are replaced.
        format: `parquet` or `jsonl`: a file for each table of `store.COLUMNS`; `huggingface`: a folder for
            `datasets.load_dataset`, with a card; `inspect`: logs for `inspect view`, one for each run, model, task and
            method (needs the extra `anytime-lib[inspect]`).

    Returns:
        The files written.

    Raises:
        DataError: an unknown format, a folder that cannot be written to, or `inspect_ai` is not installed.
    """
    if format not in FORMATS:
        raise DataError(f"unknown export format {format!r}{nearest(format, FORMATS)}")
    try:
        return FORMATS[format](store, Path(folder))
    except OSError as error:
        raise DataError(
            f"cannot export to {str(folder)!r}: {error.strerror or error}; choose another folder or free some space"
        ) from None


def _parquet(store: Store, folder: Path) -> list[Path]:
    written = []
    for table, columns in COLUMNS.items():
        written.append(folder / f"{table}.parquet")
        schema = pa.schema([(name, _ARROW[kind]) for name, (kind, _) in columns.items()])
        with replace_file(written[-1]) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for rows in rows_of(store, table):
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
    return written


def _jsonl(store: Store, folder: Path) -> list[Path]:
    written = []
    for table in COLUMNS:
        written.append(folder / f"{table}.jsonl")
        with replace_file(written[-1]) as part, part.open("w", encoding="ascii") as file:
            for rows in rows_of(store, table):  # in ASCII, so that no character of a model's ends a line
                file.writelines(json.dumps(row) + "\n" for row in rows)
    return written


def _huggingface(store: Store, folder: Path) -> list[Path]:
    written = _parquet(store, folder / "data")
    with replace_file(folder / "README.md") as part:
        _card(store).save(part)
    return [*written, folder / "README.md"]


def _card(store: Store) -> DatasetCard:
    """YAML for `datasets`, then what is in it, how it was made, and what was withheld."""
    gate = Gate(store)
    with store.snapshot() as db:
        arms = db.execute("""SELECT run, model, task, method, count(DISTINCT problem_id), count(DISTINCT sample),
            count(DISTINCT budget), count(*), sum(status = 'error') FROM cells GROUP BY 1, 2, 3, 4""").fetchall()
        tasks = {name for (name,) in db.execute("SELECT task FROM problems UNION SELECT task FROM requests")}
    parts = {table: [{"split": "train", "path": f"data/{table}.parquet"}] for table in COLUMNS}
    data = DatasetCardData(
        pretty_name="Anytime reasoning run", license="other", license_name="to-be-chosen",
        tags=["anytime-reasoning", "llm-evaluation"],
        configs=[{"config_name": table, "data_files": parts[table], "default": table == "cells"} for table in COLUMNS],
    )  # fmt: skip
    return DatasetCard.from_template(
        data, template_str=(files("anytime_lib") / "data" / "dataset_card.md.jinja").read_text("utf-8"),
        arms=[[_markdown(gate.name(value)) for value in arm] for arm in arms], tables=COLUMNS, schema=SCHEMA,
        hidden=[_markdown(gate.name(task)) for task in sorted(tasks - gate.public)], version=version("anytime-lib"),
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
    "parquet": _parquet, "jsonl": _jsonl, "huggingface": _huggingface, "inspect": _inspect,
}  # fmt: skip
"""Format -> what writes it."""
