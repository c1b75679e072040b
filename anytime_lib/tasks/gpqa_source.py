"""Where do the rows of GPQA come from, and may their text be shown?

GPQA's authors ask that no question ever appears in plain text online, so the set is had in three ways: from the hub,
with a token of a user who accepted the terms; as a zip, with a password; or as the CSV that lies in both. All hold
the same bytes, so a question is the same whichever way it came. No message of this module quotes a question.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.base import split_source

if TYPE_CHECKING:
    from datasets import Dataset

SUBSETS = ("main", "diamond", "extended")
REPO = "Idavidrein/gpqa"
PAGE = f"https://huggingface.co/datasets/{REPO}"
ZIP_PASSWORD = b"deserted-untie-orchid"  # public: it stands in the README of github.com/idavidrein/gpqa
OWN = "anytime_lib science v1"

OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")
CANARY = "Canary String"
_USED = (*COLUMNS, CANARY, "Difficulty", "Explanation")
_AES = 99  # the "compression method" by which a zip says that it is encrypted with AES


@dataclass(frozen=True)
class Source:
    """What a source holds.

    Attributes:
        rows: by column, stripped and checked; no repr shows them.
        known: what every problem's metadata says of its source; `private` is there, and True, for all but our own.
        order_seed: of the order of the options.
    """

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
    place, context = "", dict[str, str]()
    if isinstance(source, Path):
        place = str(source)
    elif source:
        place, context = split_source(source, (*SUBSETS, "order", "revision"))
    subsets = [name for name in context if name in SUBSETS]
    order, suffix = _order(source, context.get("order", "0")), Path(place).suffix.lower()
    if "revision" in context and place != "hub":
        raise ConfigError(f"source {source!r}: only the hub has revisions; leave revision out")
    if place == "hub" or suffix == ".zip":
        if len(subsets) != 1:
            raise ConfigError(f"source {source!r} must name one subset: {', '.join(f'{place}#{s}' for s in SUBSETS)}")
        known: dict[str, Any] = {"source": REPO if place == "hub" else Path(place).name, "subset": subsets[0]}
        if place == "hub":
            path = _fetch(subsets[0], context.get("revision") or None)
            raw, known["revision"] = path.read_bytes(), path.parent.name  # the hub's cache: snapshots/<commit>/<file>
        else:
            raw = _unzip(Path(place), subsets[0])
        return Source(_of_csv(raw, str(source)), known | {"private": True}, order)
    if subsets:
        raise ConfigError(f"source {source!r}: only the hub and the official zip have subsets; leave {subsets[0]} out")
    if not place:
        raw = files("anytime_lib.tasks").joinpath("data", "science.csv").read_bytes()
        return Source(_of_csv(raw, OWN), {"source": OWN}, order)
    if suffix != ".csv":
        raise ConfigError(f"the source of gpqa must be a .csv or .zip file, hub#diamond, or left out; not {place!r}")
    return Source(_of_csv(_bytes(Path(place)), place), {"source": Path(place).name, "private": True}, order)


def _order(source: object, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ConfigError(f"source {source!r}: order must be a number, as in order=3")
    return int(value)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the GPQA file {str(path)!r}: {error.strerror}") from error


def _unzip(path: Path, subset: str) -> bytes:
    """The CSV of a subset in the official archive, in whichever folder of it."""
    name = f"gpqa_{subset}.csv"
    raw = _bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            found = [i for i in archive.infolist() if PurePosixPath(i.filename).name == name]
            if not found:
                raise DataError(f"{path} holds no {name}; is it the official dataset.zip?")
            if found[0].compress_type == _AES:
                raise DataError(
                    f"{path} is encrypted with AES, which Python cannot read: unpack it with 7-Zip or the like and "
                    f"give the path of {name}"
                )
            return archive.read(found[0], pwd=ZIP_PASSWORD)
    except RuntimeError:  # what zipfile raises for a wrong password
        raise DataError(f"{path} has another password than the official one: unpack it and give the CSV") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise DataError(f"{path} is damaged or no zip file; fetch it again") from error


def _fetch(subset: str, revision: str | None) -> Path:
    """The CSV of a subset in the user's hub cache, fetched with the user's token if need be.

    `datasets.load_dataset` would guess a type for each column (an option "1.50" becomes 1.5, "None" is lost) and
    leave a second copy of gated text; the file itself is what the zip holds too.
    """
    from huggingface_hub import get_token, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RevisionNotFoundError

    token = get_token()
    try:
        # True sends it even where the user has turned off sending it unasked: this is asked for.
        use = True if token else None
        return Path(hf_hub_download(REPO, f"gpqa_{subset}.csv", repo_type="dataset", revision=revision, token=use))
    except Exception as error:  # of the hub's client, its HTTP client, or the disk: none must be shown with its request
        if isinstance(error, RevisionNotFoundError):
            told = f"{REPO} has no revision {revision!r}; leave it out, or see {PAGE}/commits/main"
        elif _status(error) in (401, 403) and token:
            told = f"your Hugging Face token gives no access to {REPO}: accept its terms at {PAGE} with its account"
        elif _status(error) in (401, 403):
            told = f"{REPO} is gated: accept its terms at {PAGE}, then set HF_TOKEN or run `hf auth login`"
        elif isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            told = f"{REPO} has no gpqa_{subset}.csv at this revision; see {PAGE}"
        else:
            told = (
                f"{REPO} is not in the cache and could not be fetched ({type(error).__name__}): go online and try "
                f"again, or download gpqa_{subset}.csv from {PAGE} and give its path"
            )
        raise DataError(told) from None


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error of the hub's client, if one is."""
    while error is not None:
        if (response := getattr(error, "response", None)) is not None:
            return int(response.status_code)
        error = error.__cause__
    return None


def _of_dataset(source: Any) -> list[dict[str, str]]:
    from datasets import Dataset

    if not isinstance(source, Dataset):
        raise ConfigError(
            f"the source of gpqa must be a string, a Path or a datasets.Dataset, not a {type(source).__name__}"
            " (of a DatasetDict give one split, as in data['train'])"
        )
    used = [column for column in source.column_names if column in _USED]
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


def _checked(rows: list[dict[str, str]], columns: Any, where: str) -> list[dict[str, str]]:
    if missing := [column for column in COLUMNS if column not in columns]:
        raise DataError(f"{where} lacks GPQA's column {', '.join(map(repr, missing))}")
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if empty := [c for c in ("Record ID", "Question", *OPTIONS) if not row[c]]:
            raise DataError(f"{where}: record {number} has nothing in {', '.join(map(repr, empty))}")
        if (first := seen.setdefault(row["Record ID"], number)) != number:
            raise DataError(f"{where}: records {first} and {number} have the same ID")
    return rows
