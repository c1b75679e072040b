"""Where do GPQA questions come from, and may they be shown?

GPQA's authors ask that no question ever appears in plain text online, so the set is had in three ways: from the hub,
with a token of a user who accepted the terms; as a zip, with a password; or as the CSV that lies in both, so a question
is the same whichever way it came. No message of this module quotes a question.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.sources import dataset_rows, hub_error, split_source
from anytime_lib.types import Problem

SUBSETS = ("main", "diamond", "extended")
REPO = "Idavidrein/gpqa"
ZIP_PASSWORD = b"deserted-untie-orchid"  # public: it stands in the README of github.com/idavidrein/gpqa
LARGEST = 10**8  # bytes of a file in the zip; the true ones have a few million
OWN = Path(__file__).with_name("data") / "science.csv"
LETTERS = "ABCD"
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")


def read(source: Any) -> list[Problem]:
    """The questions of a source, in its order; the metadata of all but our own says `private: True`.

    A source is None for our own 48; the path of a .csv in GPQA's columns; `dataset.zip#diamond`, the official archive;
    `hub#diamond`, the gated set with the user's token (HF_TOKEN or `hf auth login`) and cache, at `revision=...` or the
    newest; or a `datasets.Dataset` in the same columns. `order=3` after the `#` gives another order of the options than
    the default 0. ConfigError where it is something else, DataError where it could not be had or read.
    """
    if not isinstance(source, str | Path | None):
        table = pd.DataFrame(dataset_rows(source), dtype=object)
        return _problems(table, {"source": "datasets.Dataset", "private": True, "order_seed": 0})
    place, options = split_source(source or "", (*SUBSETS, "order", "revision"))
    if not (order := options.get("order", "0")).isdecimal():
        raise ConfigError(f"source {source!r}: order must be a number, as in order=3")
    if not place:
        origin = {"source": "anytime_lib science v1", "order_seed": int(order)}
        return _problems(_of_csv(OWN.read_bytes(), OWN.name), origin)
    path, subsets = Path(place).expanduser(), [name for name in SUBSETS if name in options]
    kind = place if place == "hub" else path.suffix.lower()
    if kind not in ("hub", ".csv", ".zip"):
        raise ConfigError(f"the source of gpqa must be a .csv or .zip file, hub#diamond, or left out; not {place!r}")
    if len(subsets) != (kind != ".csv") or ("revision" in options and kind != "hub"):
        told = f"the hub and a .zip need one subset, as in {place}#diamond, a .csv none; only the hub has revisions"
        raise ConfigError(f"source {source!r}: {told}")
    origin = {"source": path.name, "private": True, "order_seed": int(order)}
    if subsets:
        origin["subset"] = subsets[0]
    if kind == "hub":
        path = _fetch(f"gpqa_{subsets[0]}.csv", options.get("revision"))  # in the hub's cache: snapshots/COMMIT/FILE
        origin |= {"source": REPO, "revision": path.parent.name}
    try:
        raw = _unzip(path, f"gpqa_{subsets[0]}.csv") if kind == ".zip" else path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the GPQA file {place!r}: {error.strerror}") from error
    return _problems(_of_csv(raw, place), origin)


def _unzip(path: Path, name: str) -> bytes:
    """A file in the official archive, in whichever folder of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = next((i for i in archive.infolist() if PurePosixPath(i.filename).name == name), None)
            if found is None or found.file_size > LARGEST:
                raise DataError(f"{path} holds no {name} of a likely size; is it the official dataset.zip?")
            return archive.read(found, pwd=ZIP_PASSWORD)
    # A wrong password is a RuntimeError, and AES a method that is not implemented.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        told = "unpack it with 7-Zip or the like and give the path of the CSV, or fetch it again"
        raise DataError(f"cannot read {name} in {path} ({error}): {told}") from None


def _fetch(name: str, revision: str | None) -> Path:
    """A file of the set in the user's hub cache, fetched with the user's token if need be.

    `datasets.load_dataset` would guess a type for each column ("1.50" becomes 1.5) and leave a second copy of the text.
    """
    from huggingface_hub import get_token, hf_hub_download

    token = True if get_token() else None  # True sends it even where it is not sent unasked: this is asked for
    try:
        return Path(hf_hub_download(REPO, name, repo_type="dataset", revision=revision or None, token=token))
    except Exception as error:  # of the hub's client, its HTTP client, or the disk: none must be shown with its request
        raise hub_error(REPO, error) from None


def _of_csv(raw: bytes, where: str) -> pd.DataFrame:
    """The cells of a CSV file as they are, text all of them."""
    try:
        return pd.read_csv(io.BytesIO(raw), dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except ValueError as error:  # whose own words may show what is in the file
        raise DataError(f"{where} is not a CSV file in UTF-8 ({type(error).__name__})") from None


def _problems(table: pd.DataFrame, origin: Mapping[str, Any]) -> list[Problem]:
    """The problems in a table's rows. No message tells more than columns and numbers."""
    where = origin["source"]
    if missing := [column for column in COLUMNS if column not in table]:
        raise DataError(f"{where} lacks GPQA's column {', '.join(map(repr, missing))}")
    table = table.where(table.notna(), "").astype(str).apply(lambda cells: cells.str.strip())
    if table.empty:
        raise DataError(f"{where} holds no questions")
    faults = table["Record ID"].duplicated() | (table[["Record ID", "Question", *OPTIONS]] == "").any(axis=1)
    if faults.any():
        raise DataError(f"{where}: record {faults.argmax() + 1} lacks an ID of its own, the question or an option")
    return [_problem(row, origin) for row in table.to_dict("records")]


def _problem(row: Mapping[Any, str], origin: Mapping[str, Any]) -> Problem:
    record = row["Record ID"]
    # The order depends on record and seed alone: no cache, build, subset or draw ever sees the options reshuffled.
    # Another salt would be another order, and so another meaning of every stored answer.
    salt = "gpqa option order" + (f" {origin['order_seed']}" if origin["order_seed"] else "")
    order = sorted(range(4), key=lambda i: hashlib.sha256(f"{salt}:{record}:{i}".encode()).digest())
    shown = [f"{letter}) {row[OPTIONS[i]]}" for letter, i in zip(LETTERS, order, strict=True)]
    known = {"domain": row["High-level domain"], "subdomain": row["Subdomain"], "order": order} | dict(origin)
    if row.get("Difficulty"):
        known["difficulty"] = row["Difficulty"]
    if row.get("Canary String"):
        known["private"] = True
    if not known.get("private"):
        known["explanation"] = row["Explanation"]
    return Problem(record, "gpqa", "\n".join([row["Question"], "", *shown]), LETTERS[order.index(0)], known)
