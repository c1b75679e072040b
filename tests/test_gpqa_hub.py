"""Is the gated set had with the user's own token, kept in the user's own cache, and each refusal told in a sentence?"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gpqa import official
from fake_hub import FakeHub, use_hub

from anytime_lib.errors import DataError
from anytime_lib.tasks.gpqa import TASK
from anytime_lib.tasks.gpqa_source import REPO

TOKEN = "hf_madeUpForThisTest"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = f"https://huggingface.co/datasets/{REPO}"


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("csv") / "gpqa_diamond.csv"
    return official(path, change={"Incorrect Answer 1": "None", "Incorrect Answer 2": "1.50"})


@pytest.fixture
def hub(csv: Path) -> Iterator[FakeHub]:
    hub = FakeHub({REPO: {"gpqa_diamond.csv": csv.read_bytes()}}, COMMIT, (REPO,), TOKEN)
    yield hub
    hub.close()


@pytest.fixture
def load(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., Any]:
    """Loads a source: the problems, or the sentence that tells why not; no log and no cache may show the token."""
    caplog.set_level(logging.DEBUG)

    def loaded(source: str, token: str | None = None, url: str = "", **settings: bool) -> Any:
        with monkeypatch.context() as patch:
            use_hub(patch, url or hub.url, tmp_path, **settings)
            if token:
                patch.setenv("HF_TOKEN", token)
            try:
                found: Any = TASK.problems(source, seed=1)
            except DataError as error:
                found = "".join(traceback.format_exception(error))  # with whatever stands behind it
                assert "another exception" not in found and "direct cause" not in found
        assert "madeUp" not in caplog.text and "Correct Answer" not in caplog.text
        assert not any(b"madeUp" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f.name != "token")
        return found

    return loaded


def test_with_a_token(hub: FakeHub, load: Callable[..., Any], csv: Path) -> None:
    expected = [(p.id, p.text, p.gold) for p in TASK.problems(csv, seed=1)]
    found = load("hub#diamond", TOKEN)
    assert [(p.id, p.text, p.gold) for p in found] == expected  # what the file holds: "None" and "1.50" too
    origin = {"source": REPO, "subset": "diamond", "revision": COMMIT, "private": True}
    assert found[0].metadata.items() >= origin.items()
    assert {bearer for *_, bearer in hub.asked} == {f"Bearer {TOKEN}"}
    assert [method for method, *_ in hub.asked].count("GET") == 1

    # The user's cache serves a revision that is named without a request; what is not there is told in a sentence.
    hub.asked.clear()
    assert load(f"hub#diamond,revision={COMMIT}", TOKEN) == found and hub.asked == []
    told = load("hub#main", TOKEN)
    assert f"see its files on {PAGE} (" in told and "gpqa_main.csv" in told
    told = load("hub#diamond,revision=v9", TOKEN)
    assert f"see {PAGE}/commits/main, or leave the revision out (" in told and "v9" in told

    # Offline it serves what it holds, and the rest is told, as where the hub is down.
    hub.asked.clear()
    assert load("hub#diamond", offline=True) == found
    offline = load("hub#extended", offline=True)
    assert hub.asked == []
    for told in (offline, load("hub#extended", TOKEN, url="http://127.0.0.1:9")):  # where nobody listens
        assert f"{REPO} could not be had from the hub: go online, or download it from {PAGE}" in told


def test_with_the_token_of_a_login(load: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    found = load("hub#diamond,order=2", implicit=False)
    assert (found[0].metadata["source"], found[0].metadata["order_seed"]) == (REPO, 2)


@pytest.mark.parametrize("token", [None, "hf_madeUpBySomebodyElse"], ids=["no token", "terms not accepted"])
def test_refusals(token: str | None, load: Callable[..., Any]) -> None:
    assert f"accept its terms on {PAGE} with the account of your token" in load("hub#diamond", token)
