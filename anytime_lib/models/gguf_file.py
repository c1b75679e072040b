"""What is this GGUF file, exactly?"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from gguf import LlamaFileType

from anytime_lib.errors import DataError
from anytime_lib.types import cache_folder as cache_dir
from anytime_lib.types import sha256_of as sha256

__all__ = ["alias", "cache_dir", "checked", "describe", "sha256"]


def checked(path: Path) -> Path:
    """The path, absolute, if a GGUF file is there.

    Raises:
        DataError: nothing is there, or something else is.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a .gguf file")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise DataError(f"{path} is not a GGUF file (it does not begin with 'GGUF'); give another file")
    return path


def alias(path: Path) -> str:
    """The model's name in every request: the file's stem and the first 8 hex digits of its SHA-256.

    With the hash in it, a stored request says which weights answered, whatever the file is called later.
    """
    return f"{path.stem}@{sha256(path)[:8]}"


def describe(path: Path) -> dict[str, Any]:
    """The file's provenance: name (as in its metadata), file, alias, sha256, size, quantisation."""
    name, quantisation = _metadata(str(path), sha256(path))
    return {
        "name": name or path.stem,
        "file": path.name,
        "alias": alias(path),
        "sha256": sha256(path),
        "size": path.stat().st_size,
        "quantisation": quantisation,
    }


@lru_cache(maxsize=16)
def _metadata(path: str, digest: str) -> tuple[str, str]:
    """A file's name and quantisation, as far as its metadata say."""
    found = _header(Path(path), ("general.name", "general.file_type"))
    kind = found.get("general.file_type")
    try:
        quantisation = "unknown" if kind is None else LlamaFileType(kind).name
    except ValueError:  # a type newer than the gguf package
        quantisation = f"type {kind}"
    return str(found.get("general.name", "")), quantisation.removeprefix("MOSTLY_").removeprefix("ALL_")


_FORMATS = dict(zip(range(8), "BbHhIif?", strict=True)) | {10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def _header(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The wanted keys of a GGUF file's header.

    By hand, because the gguf package's reader takes seconds over the vocabulary that follows them.
    """
    found: dict[str, Any] = {}
    with path.open("rb") as file:

        def number(form: str) -> Any:
            return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))[0]

        def value(kind: int) -> Any:
            if kind == _STRING:
                return file.read(number("Q")).decode(errors="replace")
            if kind == _ARRAY:
                of, length = number("I"), number("Q")
                if of not in (_STRING, _ARRAY):
                    return file.seek(length * struct.calcsize(_FORMATS[of]), os.SEEK_CUR)
                for _ in range(length):
                    value(of)
                return None
            return number(_FORMATS[kind])

        try:
            file.seek(4 + 4 + 8)  # magic, version, number of tensors
            for _ in range(number("Q")):
                key = value(_STRING)
                found[key] = value(number("I"))
                if all(name in found for name in wanted):
                    break
        except (struct.error, KeyError, MemoryError, OverflowError) as error:
            raise DataError(f"the metadata of {path} cannot be read ({error}); fetch the file again") from None
    return {name: found[name] for name in wanted if name in found}
