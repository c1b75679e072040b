"""How is a source read: the text that names it, the table it is, and what the hub said if it gave none?"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError, nearest

Readers = Mapping[str, Callable[[Path], Any]]
READERS: Readers = {
    ".jsonl": lambda path: pd.DataFrame(map(json.loads, path.read_bytes().splitlines()), dtype=object),
    ".json": lambda path: pd.DataFrame(json.loads(path.read_bytes()), dtype=object),
    ".csv": pd.read_csv,
    ".parquet": partial(pd.read_parquet, dtype_backend="pyarrow"),
}
"""What reads a file of each kind as a table."""


def split_source(source: str | Path, known: str) -> tuple[str, dict[str, str]]:
    """The place and the options of a source `PLACE#OPTION,NAME=VALUE` (a bare option is ""; in a file's name, none).

    `known` are patterns of the options with `|` between them; another is a ConfigError that names the nearest.
    """
    place, mark, tail = str(source).rpartition("#")
    if not mark or isinstance(source, Path) or Path(source).expanduser().is_file():
        place, tail = str(source), ""
    options = dict(part.strip().partition("=")[::2] for part in tail.split(",") if part.strip())
    for name in options:
        if not re.fullmatch(known, name):
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, known.split('|'))}")
    return place, options


def read_table(source: Any, readers: Readers = READERS) -> pd.DataFrame:
    """The table in a `datasets.Dataset` or in a file of a kind that one of `readers` reads; None where a cell is empty.

    ConfigError where it is neither; DataError, without a word of what is in it, where it cannot be read or has no rows.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if (reader := readers.get(path.suffix.lower())) is None:
            raise ConfigError(f"source must be a {' or '.join(readers)} file (docs/data.md has others), not {path}")
        try:
            table = reader(path)
        except Exception as error:  # of pandas, pyarrow, zipfile or the disk: whatever it is, the file is at fault
            raise DataError(f"cannot read {path} ({' '.join(str(error).split())}); fetch or write it again") from None
    else:
        from datasets import Dataset  # slow to import

        if not isinstance(source, Dataset):
            raise ConfigError(f"source must be a path or one split of a datasets.Dataset, not a {type(source)}")
        path, table = Path("the dataset"), pd.DataFrame(source.to_list(), dtype=object)
    if table.empty:
        raise DataError(f"{path} holds no rows")
    return table.astype(object).where(table.notna(), None)


def hub_error(name: str, error: Exception) -> DataError:
    """What the hub said and what to do; what follows a `?` in an address may be secret and is left out."""
    said = re.sub(r"\?\S*", "", " ".join(str(error).split()))[:200]
    return DataError(
        f"{name} could not be had from the hub ({type(error).__name__}: {said}); look at "
        f"https://huggingface.co/datasets/{name}, accept its terms there with the account of your token (`hf auth "
        "login`, HF_TOKEN) if it is gated, and name what it has, or download it and give the path"
    )
