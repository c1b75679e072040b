"""Where do GPQA rows come from, and may they be shown?

GPQA's authors ask that no question ever appears in plain text online, so the set is had in three ways: from the hub,
with a token of a user who accepted the terms; as a zip, with a password; or as the CSV that lies in both, so a question
is the same whichever way it came. No message of this module quotes a question.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.base import split_source
from anytime_lib.tasks.hub import hub_error

if TYPE_CHECKING:
    from datasets import Dataset

SUBSETS = ("main", "diamond", "extended")
REPO = "Idavidrein/gpqa"
ZIP_PASSWORD = b"deserted-untie-orchid"  # public: it stands in the README of github.com/idavidrein/gpqa
LARGEST = 10**8  # bytes of a file in the zip; the true ones have a few million
OWN = "anytime_lib science v1"
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")
CANARY = "Canary String"


@dataclass(frozen=True)
class Source:
    """Rows by column, stripped and checked (no repr shows them); what every problem's metadata says of its source
    (`private` is there, and True, for all but our own); and the seed of the order of the options."""

    rows: list[dict[str, str]] = field(repr=False)
    known: dict[str, Any]
    order_seed: int


def read_source(source: str | Path | Dataset | None) -> Source:
    """The rows of a source.

    Args:
        source: None for our own 48 questions; a .csv in GPQA's columns; `dataset.zip#diamond`, the official archive;
            `hub#diamond`, the gated set with the user's token (HF_TOKEN or `hf auth login`) and cache, at
            `revision=...` or the newest; or a `datasets.Dataset` in the same columns. `order=3` after the `#` gives
            another order of the options than the default 0; a Path takes no options.

    Raises:
        ConfigError: the source cannot be what is meant.
        DataError: it could not be had or read.
    """
    if source is not None and not isinstance(source, str | Path):
        return Source(_of_dataset(source), {"source": "datasets.Dataset", "private": True}, 0)
    place, options = str(source or ""), dict[str, str]()
    if isinstance(source, str):
        place, options = split_source(source, (*SUBSETS, "order", "revision"))
    path, order = Path(place).expanduser(), options.get("order", "0")
    subsets = [name for name in options if name in SUBSETS]
    has_subsets = place == "hub" or path.suffix.lower() == ".zip"
    if not (order.isascii() and order.isdigit()):
        raise ConfigError(f"source {source!r}: order must be a number, as in order=3")
    if "revision" in options and place != "hub":
        raise ConfigError(f"source {source!r}: only the hub has revisions; leave revision out")
    if has_subsets and len(subsets) != 1:
        raise ConfigError(f"source {source!r} must name one subset: {', '.join(f'{place}#{s}' for s in SUBSETS)}")
    if subsets and not has_subsets:
        raise ConfigError(f"source {source!r}: only the hub and the official zip have subsets; leave {subsets[0]} out")
    known: dict[str, Any] = {"source": path.name if place else OWN}
    if not place:
        raw = files("anytime_lib.tasks").joinpath("data", "science.csv").read_bytes()
    elif place == "hub":
        path = _fetch(f"gpqa_{subsets[0]}.csv", options.get("revision") or None)
        raw = path.read_bytes()
        # The hub's cache: snapshots/<commit>/<file>.
        known |= {"source": REPO, "subset": subsets[0], "revision": path.parent.name}
    elif has_subsets:
        raw = _unzip(path, f"gpqa_{subsets[0]}.csv")
        known |= {"subset": subsets[0]}
    elif path.suffix.lower() == ".csv":
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the GPQA file {str(path)!r}: {error.strerror}") from error
    else:
        raise ConfigError(f"the source of gpqa must be a .csv or .zip file, hub#diamond, or left out; not {place!r}")
    return Source(_of_csv(raw, place or OWN), known | ({"private": True} if place else {}), int(order))


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


def _of_dataset(source: Any) -> list[dict[str, str]]:
    if isinstance(source, dict) or not hasattr(source, "select_columns"):
        told = f"must be a string, a Path or one split of a datasets.DatasetDict, not a {type(source).__name__}"
        raise ConfigError(f"the source of gpqa {told}")
    used = [c for c in source.column_names if c in (*COLUMNS, CANARY, "Difficulty", "Explanation")]
    rows = [{k: "" if v is None else str(v).strip() for k, v in row.items()} for row in source.select_columns(used)]
    return _checked(rows, used, "the Dataset")


def _of_csv(raw: bytes, where: str) -> list[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
        rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader]
    except UnicodeDecodeError:  # whose own message shows the bytes
        raise DataError(f"{where} is not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"{where} is not a readable CSV file: {error}") from error
    return _checked(rows, reader.fieldnames or (), where)


def _checked(rows: list[dict[str, str]], columns: Sequence[str], where: str) -> list[dict[str, str]]:
    if missing := [column for column in COLUMNS if column not in columns]:
        raise DataError(f"{where} lacks GPQA's column {', '.join(map(repr, missing))}")
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if empty := [c for c in ("Record ID", "Question", *OPTIONS) if not row[c]]:
            raise DataError(f"{where}: record {number} has nothing in {', '.join(map(repr, empty))}")
        if (first := seen.setdefault(row["Record ID"], number)) != number:
            raise DataError(f"{where}: records {first} and {number} have the same ID")
    return rows
