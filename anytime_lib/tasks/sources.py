"""Which table does a file or data set hold?"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError

Readers = Mapping[str, Callable[[Path], Any]]
READERS: Readers = {
    ".jsonl": lambda path: pd.DataFrame(map(json.loads, path.read_bytes().splitlines()), dtype=object),
    ".json": lambda path: pd.DataFrame(json.loads(path.read_bytes()), dtype=object),
    ".csv": pd.read_csv,
    ".parquet": partial(pd.read_parquet, dtype_backend="pyarrow"),
}
"""What reads a file of each kind as a table."""


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
        except FileNotFoundError:
            raise DataError(f"there is no file {path.absolute()}") from None
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
