"""What does a `source` name, with which options, and which rows does a file hold?

A source is `PLACE` or `PLACE#OPTION,NAME=VALUE`: a file's path, or a place that the task knows by name (`hub`,
`official`), and after `#` what to take from it: `trip_planning.json#5shot`, `hub#2024`, `dataset.zip#diamond,order=1`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anytime_lib.errors import ConfigError, DataError, nearest

READERS = {".jsonl": "from_json", ".json": "from_json", ".csv": "from_csv", ".parquet": "from_parquet"}


def split_source(source: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """A source's place and its options (a bare option has the value "").

    Raises:
        ConfigError: an option is not among `known`; the message names the nearest.
    """
    place, _, tail = source.partition("#")
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in tail.split(","))):
        name, _, value = part.partition("=")
        if name not in (names := list(known)):
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, names)}")
        options[name] = value
    return place, options


def read_table(path: str | Path, others: str = "") -> list[Mapping[str, Any]]:
    """The rows of a .jsonl, .json, .csv or .parquet file, in its order; `others` says what else a source may be.

    Raises:
        ConfigError: another kind of file.
        DataError: there is no such file, or it cannot be read, or it is empty.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ConfigError(f"source must be a {', '.join(READERS)} file{', ' * bool(others)}{others}, not {path}")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    from datasets import Dataset  # slow to import, and of no use to problems of our own

    # The readers behind `load_dataset`, without the request it sends to count a load: nothing goes out.
    # The cache is of the moment, so that an edited file is read again and no problem text stays behind.
    read = getattr(Dataset, READERS[path.suffix.lower()])
    with tempfile.TemporaryDirectory() as cache:
        try:
            rows: list[Mapping[str, Any]] = read(str(path), cache_dir=cache, keep_in_memory=True).to_list()
        except Exception as error:  # of pyarrow, pandas or datasets: whatever it is, the file is at fault
            raise DataError(f"{path} could not be read: {error.__cause__ or error}") from error
    if not rows:
        raise DataError(f"{path} holds no problems")
    return rows
