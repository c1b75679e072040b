"""Is the gated set had with the user's own token, kept in the user's own cache, and each refusal told in a sentence?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gpqa import official
from fake_hub import FakeHub, in_client

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
for source in sys.argv[1:]:
    try:
        problems = TASK.problems(source, split="all", seed=1)
        known = [problems[0].metadata[k] for k in ("source", "subset", "revision", "private")]
        print(json.dumps([digest([[p.id, p.text, p.gold] for p in problems]), known]))
    except DataError as error:
        assert error.__suppress_context__ and error.__cause__ is None
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("csv") / "gpqa_diamond.csv"
    return official(path, change={"Incorrect Answer 1": "None", "Incorrect Answer 2": "1.50"})


@pytest.fixture
def hub(csv: Path) -> Iterator[FakeHub]:
    hub = FakeHub({REPO: {"gpqa_diamond.csv": csv.read_bytes()}}, COMMIT, (REPO,), TOKEN)
    yield hub
    hub.close()


def load(hub: FakeHub, home: Path, *sources: str, **env: str) -> list[Any]:
    """What came of loading each source; neither output nor cache may show the token."""
    done = in_client(LOAD, *sources, HF_ENDPOINT=hub.url, HF_HOME=str(home), HF_HUB_VERBOSITY="debug", **env)
    assert "madeUp" not in done.stdout + done.stderr
    assert "Correct Answer" not in done.stdout + done.stderr
    assert not any(b"madeUp" in f.read_bytes() for f in home.rglob("*") if f.is_file() and f.name != "token")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_with_a_token(hub: FakeHub, csv: Path, tmp_path: Path) -> None:
    expected = digest([[p.id, p.text, p.gold] for p in TASK.problems(csv, split="all", seed=1)])
    (result,) = load(hub, tmp_path, "hub#diamond", HF_TOKEN=TOKEN)
    assert result == [expected, [REPO, "diamond", COMMIT, True]]  # what the file holds: "None" and "1.50" too
    assert {bearer for *_, bearer in hub.asked} == {f"Bearer {TOKEN}"}
    assert [method for method, *_ in hub.asked].count("GET") == 1

    # The user's cache serves a revision that is named without a request; what is not there is told in a sentence.
    hub.asked.clear()
    sources = (f"hub#diamond,revision={COMMIT}", "hub#main", "hub#diamond,revision=v9")
    again, no_file, no_revision = load(hub, tmp_path, *sources, HF_TOKEN=TOKEN)
    assert again == result and not any("diamond" in path for _, path, _ in hub.asked if "/v9/" not in path)
    assert f"see its files on {PAGE} (" in no_file and "gpqa_main.csv" in no_file
    assert f"see {PAGE}/commits/main, or leave the revision out (" in no_revision and "v9" in no_revision

    # Offline it serves what it holds, and the rest is told, as where the hub is down.
    hub.asked.clear()
    cached, offline = load(hub, tmp_path, "hub#diamond", "hub#extended", HF_HUB_OFFLINE="1")
    assert cached == result and hub.asked == []
    hub.close()
    (down,) = load(hub, tmp_path, "hub#extended", HF_TOKEN=TOKEN)
    for told in (offline, down):
        assert f"{REPO} could not be had from the hub: go online, or download it from {PAGE}" in told
    assert not any("\n" in told for told in (no_file, no_revision, offline, down))


def test_with_the_token_of_a_login(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    ((_, known),) = load(hub, tmp_path, "hub#diamond,order=2", HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
    assert known[0] == REPO


@pytest.mark.parametrize("token", [{}, {"HF_TOKEN": "hf_madeUpBySomebodyElse"}], ids=["no token", "terms not accepted"])
def test_refusals(token: dict[str, str], hub: FakeHub, tmp_path: Path) -> None:
    (told,) = load(hub, tmp_path, "hub#diamond", **token)
    assert f"accept its terms on {PAGE} with the account of your token" in told and "\n" not in told
