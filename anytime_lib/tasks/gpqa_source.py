"""Where do GPQA questions come from, and may they be shown?

GPQA's authors ask that no question ever appears in plain text online, so the set is had in three ways: from the hub,
with a token of a user who accepted the terms; as a zip, with a password; or as the CSV that lies in both, so a question
is the same whichever way it came. No message of this module quotes a question.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.sources import hub_error, split_source
from anytime_lib.types import Problem

SUBSETS = ("main", "diamond", "extended")
REPO = "Idavidrein/gpqa"
ZIP_PASSWORD = b"deserted-untie-orchid"  # public: it stands in the README of github.com/idavidrein/gpqa
LARGEST = 10**8  # bytes of a file in the zip; the true ones have a few million
OWN = Path(__file__).with_name("data") / "science.csv"
LETTERS = "ABCD"
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")
# Another salt would be another order of the options, and so another meaning of every stored answer.
_SALT = "gpqa option order"


def read(source: Any) -> list[Problem]:
    """The questions of a source, in its order; the metadata of all but our own says `private: True`.

    Args:
        source: None for our own 48 questions; the path of a .csv in GPQA's columns; `dataset.zip#diamond`, the official
            archive; `hub#diamond`, the gated set with the user's token (HF_TOKEN or `hf auth login`) and cache, at
            `revision=...` or the newest; or a `datasets.Dataset` in the same columns. `order=3` after the `#` gives
            another order of the options than the default 0; a `pathlib.Path` takes no options.

    Raises:
        ConfigError: the source cannot be what is meant.
        DataError: it could not be had or read.
    """
    if source is not None and not isinstance(source, str | Path):
        if isinstance(source, dict) or not hasattr(source, "column_names"):
            told = f"must be a string, a Path or one split of a datasets.DatasetDict, not a {type(source).__name__}"
            raise ConfigError(f"the source of gpqa {told}")
        rows = _checked(source.to_list(), source.column_names, "the Dataset")
        return [_problem(row, {"source": "datasets.Dataset", "private": True}, 0) for row in rows]
    known = (*SUBSETS, "order", "revision")
    place, options = split_source(source, known) if isinstance(source, str) else (str(source or ""), {})
    order, revision = options.pop("order", "0"), options.pop("revision", None)
    if not (order.isascii() and order.isdigit()):
        raise ConfigError(f"source {source!r}: order must be a number, as in order=3")
    if revision is not None and place != "hub":
        raise ConfigError(f"source {source!r}: only the hub has revisions; leave revision out")
    origin, raw = _raw(place, list(options), revision or None)
    if place:
        origin["private"] = True
    return [_problem(row, origin, int(order)) for row in _of_csv(raw, place or origin["source"])]


def _raw(place: str, subsets: list[str], revision: str | None) -> tuple[dict[str, Any], bytes]:
    """What a problem's metadata says of its source, and the bytes of the CSV there."""
    path = Path(place).expanduser()
    kind = place if place in ("", "hub") else path.suffix.lower()
    if kind in ("hub", ".zip"):
        if len(subsets) != 1:
            raise ConfigError(f"source {place} must name one subset: {', '.join(f'{place}#{s}' for s in SUBSETS)}")
        file, subset = f"gpqa_{subsets[0]}.csv", subsets[0]
        if kind == ".zip":
            return {"source": path.name, "subset": subset}, _unzip(path, file)
        path = _fetch(file, revision)  # in the hub's cache: snapshots/COMMIT/FILE
        return {"source": REPO, "subset": subset, "revision": path.parent.name}, path.read_bytes()
    if subsets:
        raise ConfigError(f"source {place}: only the hub and the official zip have subsets; leave {subsets[0]} out")
    if kind not in ("", ".csv"):
        raise ConfigError(f"the source of gpqa must be a .csv or .zip file, hub#diamond, or left out; not {place!r}")
    try:
        return {"source": path.name if place else "anytime_lib science v1"}, (path if place else OWN).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the GPQA file {place!r}: {error.strerror}") from error


def _unzip(path: Path, name: str) -> bytes:
    """A file in the official archive, in whichever folder of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = next((i for i in archive.infolist() if PurePosixPath(i.filename).name == name), None)
            if found is None or found.file_size > LARGEST:
                raise DataError(f"{path} holds no {name} of a likely size; is it the official dataset.zip?")
            if found.compress_type == 99:  # the "compression method" that says AES
                told = "is encrypted with AES, which Python cannot read: unpack it with 7-Zip or the like"
                raise DataError(f"{path} {told} and give the path of {name}")
            return archive.read(found, pwd=ZIP_PASSWORD)
    except RuntimeError:  # what zipfile raises for a wrong password
        raise DataError(f"{path} has another password than the official one: unpack it and give the CSV") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise DataError(f"cannot read {path}: it is missing, damaged or no zip file; fetch it again") from error


def _fetch(name: str, revision: str | None) -> Path:
    """A file of the set in the user's hub cache, fetched with the user's token if need be.

    `datasets.load_dataset` would guess a type for each column (an option "1.50" becomes 1.5, "None" is lost) and
    leave a second copy of gated text; the file itself is what the zip holds too.
    """
    from huggingface_hub import get_token, hf_hub_download

    token = True if get_token() else None  # True sends it even where it is not sent unasked: this is asked for
    try:
        return Path(hf_hub_download(REPO, name, repo_type="dataset", revision=revision, token=token))
    except Exception as error:  # of the hub's client, its HTTP client, or the disk: none must be shown with its request
        raise hub_error(REPO, error) from None


def _of_csv(raw: bytes, where: str) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
        return _checked(list(reader), reader.fieldnames or (), where)
    except UnicodeDecodeError:  # whose own message shows the bytes
        raise DataError(f"{where} is not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"{where} is not a readable CSV file: {error}") from error


def _checked(table: Sequence[Mapping[str, Any]], columns: Sequence[str], where: str) -> list[dict[str, str]]:
    """The rows, their cells as stripped text, if each has what it must; a message tells of columns and numbers only."""
    if missing := [column for column in COLUMNS if column not in columns]:
        raise DataError(f"{where} lacks GPQA's column {', '.join(map(repr, missing))}")
    rows = [{column: "" if row[column] is None else str(row[column]).strip() for column in columns} for row in table]
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if empty := [c for c in ("Record ID", "Question", *OPTIONS) if not row[c]]:
            raise DataError(f"{where}: record {number} has nothing in {', '.join(map(repr, empty))}")
        if (first := seen.setdefault(row["Record ID"], number)) != number:
            raise DataError(f"{where}: records {first} and {number} have the same ID")
    if not rows:
        raise DataError(f"{where} holds no questions")
    return rows


def _problem(row: Mapping[str, str], source: Mapping[str, Any], seed: int) -> Problem:
    record = row["Record ID"]
    # The order depends on record and seed alone: no cache, build, subset or draw ever sees the options reshuffled.
    salt = f"{_SALT} {seed}" if seed else _SALT
    order = sorted(range(4), key=lambda i: hashlib.sha256(f"{salt}:{record}:{i}".encode()).digest())
    shown = [f"{letter}) {row[OPTIONS[i]]}" for letter, i in zip(LETTERS, order, strict=True)]
    known = {"domain": row["High-level domain"], "subdomain": row["Subdomain"], "order": order, "order_seed": seed}
    known |= source
    if row.get("Difficulty"):
        known["difficulty"] = row["Difficulty"]
    if row.get("Canary String"):
        known["private"] = True
    if not known.get("private"):
        known["explanation"] = row["Explanation"]
    return Problem(record, "gpqa", "\n".join([row["Question"], "", *shown]), LETTERS[order.index(0)], known)
