"""Where do a task's rows come from: a source's text, a table in a file, a data set; and what went wrong at the hub?"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anytime_lib.errors import ConfigError, DataError, nearest

LOADERS = {".jsonl": "from_json", ".json": "from_json", ".csv": "from_csv", ".parquet": "from_parquet"}

# What to do about an error of the hub, by the names of the errors behind it or its words; the first that fits.
ADVICE = {
    "GatedRepo|is a gated": "accept its terms on {page} with the account of your token (`hf auth login`, HF_TOKEN)",
    "RevisionNotFound": "see {page}/commits/main, or leave the revision out",
    "LocalEntryNotFound|ConnectionError|ConnectError|TransportError|OfflineMode": (
        "go online, or download it from {page} and give its path, or, if it was loaded before, name its commit "
        "(revision=COMMIT) to have it from the cache"
    ),
    "EntryNotFound": "see its files on {page}",
    "HFValidation": "write hub:OWNER/NAME",
    "RepositoryNotFound|DatasetNotFound": "check {page}, take another, or a local file",
    "Unknown split": "name one, hub:{name}#split=...",
    "Config name is missing|BuilderConfig.*not found": "name one, hub:{name}#config=...",
    "": "take another or a local file",
}


def split_source(source: str | Path, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The place and the options of a source `PLACE#OPTION,NAME=VALUE` (a bare option has the value ""; a Path none).

    ConfigError where an option is not among `known`; it names the nearest.
    """
    place, _, tail = (source, "", "") if isinstance(source, Path) else source.partition("#")
    parts = [part.strip().partition("=") for part in tail.split(",") if part.strip()]
    for name, _, _ in parts:
        if name not in known:
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, known)}")
    return str(place), {name: value for name, _, value in parts}


def dataset_rows(source: Any) -> list[Mapping[str, Any]]:
    """The rows of a `datasets.Dataset`; anything else is a ConfigError."""
    from datasets import Dataset  # slow to import

    if not isinstance(source, Dataset):
        told = f"not a {type(source).__name__}"
        raise ConfigError(f"source must be a path, a source's text or one split of a datasets.Dataset, {told}")
    return source.to_list()


def read_table(path: str | Path, others: str = "") -> list[Mapping[str, Any]]:
    """The rows of a .jsonl, .json, .csv or .parquet file, in its order; `others` says what else a source may be.

    ConfigError where it is another kind of file, DataError where it cannot be read or holds no rows.
    """
    path = Path(path).expanduser()
    if (loader := LOADERS.get(path.suffix.lower())) is None:
        raise ConfigError(f"source must be a {', '.join(LOADERS)} file{others}, not {path}")
    if not path.is_file() or not path.stat().st_size:
        raise DataError(f"there is no file {path}, or it is empty")
    from datasets import Dataset  # slow to import

    # A cache that lasts a moment: an edited file is read again, and no problem text stays behind.
    with tempfile.TemporaryDirectory() as cache:
        try:  # unlike `load_dataset`, it sends no request that counts the load
            rows = getattr(Dataset, loader)(str(path), cache_dir=cache, keep_in_memory=True).to_list()
        except Exception as error:  # of pyarrow, pandas or datasets: whatever it is, the file is at fault
            raise DataError(f"{path} could not be read: {error.__cause__ or error}") from error
    if not rows:
        raise DataError(f"{path} holds no problems")
    return rows


def hub_error(name: str, error: BaseException) -> DataError:
    """What the hub said and what to do; what follows a `?` in an address may be secret and is left out."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    said = re.sub(r"\?\S*", "", " ".join(str(error).split()))[:200]
    kinds = " ".join(kind.__name__ for e in chain for kind in type(e).__mro__)
    advice = next(text for pattern, text in ADVICE.items() if re.search(pattern, f"{kinds} {said}"))
    told = advice.format(name=name, page=f"https://huggingface.co/datasets/{name}")
    return DataError(f"{name} could not be had from the hub: {told} ({type(error).__name__}: {said})")
