"""Where is what was downloaded, and how is a file written whole or not at all?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_dir


def cache_folder() -> Path:
    """The folder for what is downloaded: ANYTIME_CACHE, or the user's own cache folder."""
    return Path(os.environ.get("ANYTIME_CACHE") or user_cache_dir("anytime"))


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A path to write to, that takes the place of `path` once it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
