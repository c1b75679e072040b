"""Is the gated set had with the user's own token, kept in the user's own cache, and every refusal told in a sentence?

A process of its own talks to a hub on 127.0.0.1, since the hub's client reads its settings when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gpqa import official
from fake_hub import FakeHub

from anytime_lib.tasks.gpqa import TASK
from anytime_lib.tasks.gpqa_source import REPO
from anytime_lib.types import digest

TOKEN = "hf_madeUpForThisTest"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = f"https://huggingface.co/datasets/{REPO}"
LOAD = """
import json, logging, sys, time
time.sleep = lambda seconds: None  # the hub's client waits between its tries
logging.basicConfig(level=logging.DEBUG)
from anytime_lib.errors import DataError
from anytime_lib.types import digest
from anytime_lib.tasks.gpqa import TASK
try:
    problems = TASK.problems(sys.argv[1], split="all", seed=1)
    known = {json.dumps({k: v for k, v in p.metadata.items() if k in ("source", "subset", "revision", "private")})
             for p in problems}
    print(json.dumps({"hash": digest([[p.id, p.text, p.gold] for p in problems]), "known": list(known)}))
except DataError as error:
    assert error.__suppress_context__ and error.__cause__ is None
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return official(tmp_path / "gpqa_diamond.csv", change={"Incorrect Answer 1": "None", "Incorrect Answer 2": "1.50"})


@pytest.fixture
def hub(csv: Path) -> Iterator[FakeHub]:
    hub = FakeHub({REPO: {"gpqa_diamond.csv": csv.read_bytes()}}, COMMIT, (REPO,), TOKEN)
    yield hub
    hub.close()


def load(hub: FakeHub, home: Path, source: str, **env: str) -> dict[str, Any]:
    """What came of loading a source, of which neither output nor cache may show the token."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    told = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_VERBOSITY": "debug", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, source], env=clean | told | env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "madeUp" not in done.stdout + done.stderr
    assert "Correct Answer" not in done.stdout + done.stderr
    assert not any(b"madeUp" in f.read_bytes() for f in home.rglob("*") if f.is_file() and f.name != "token")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_with_a_token(hub: FakeHub, csv: Path, tmp_path: Path) -> None:
    expected = digest([[p.id, p.text, p.gold] for p in TASK.problems(csv, split="all", seed=1)])
    known = json.dumps({"source": "Idavidrein/gpqa", "subset": "diamond", "revision": COMMIT, "private": True})
    result = load(hub, tmp_path / "hf", "hub#diamond", HF_TOKEN=TOKEN)
    assert result == {"hash": expected, "known": [known]}  # byte for byte what the file holds: "None" and "1.50" too
    assert {bearer for *_, bearer in hub.asked} == {f"Bearer {TOKEN}"}
    assert [method for method, *_ in hub.asked].count("GET") == 1

    # The user's cache serves from then on: offline, and without a request for a revision that is named.
    hub.asked.clear()
    assert load(hub, tmp_path / "hf", "hub#diamond", HF_HUB_OFFLINE="1") == result
    assert load(hub, tmp_path / "hf", f"hub#diamond,revision={COMMIT}", HF_TOKEN=TOKEN) == result
    assert hub.asked == []


def test_with_the_token_of_a_login(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(TOKEN)
    assert "hash" in load(hub, tmp_path / "hf", "hub#diamond,order=2", HF_HUB_DISABLE_IMPLICIT_TOKEN="1")


@pytest.mark.parametrize(
    ("source", "env", "message"),
    [
        ("hub#diamond", {}, f"accept its terms on {PAGE} with the account of your token"),
        ("hub#diamond", {"HF_TOKEN": "hf_madeUpBySomebodyElse"}, f"accept its terms on {PAGE} with the account"),
        ("hub#main", {"HF_TOKEN": TOKEN}, f"see its files on {PAGE} (.*gpqa_main.csv"),
        ("hub#diamond,revision=v9", {"HF_TOKEN": TOKEN}, f"see {PAGE}/commits/main, or leave the revision out (.*v9"),
    ],
    ids=["no token", "terms not accepted", "no such file", "no such revision"],
)
def test_refusals(source: str, env: dict[str, str], message: str, hub: FakeHub, tmp_path: Path) -> None:
    told = load(hub, tmp_path / "hf", source, **env)["error"]
    assert all(part in told for part in message.split(".*")) and "\n" not in told


def test_no_way_to_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    offline = load(hub, tmp_path / "hf", "hub#diamond", HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN)["error"]
    hub.close()
    down = load(hub, tmp_path / "hf", "hub#diamond", HF_TOKEN=TOKEN)["error"]
    for message in (offline, down):
        assert f"{REPO} could not be had from the hub: go online, or download it from {PAGE}" in message
