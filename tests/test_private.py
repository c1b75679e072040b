"""A canary: the text of a private question stays in the run's store, and reaches nothing else that is written."""

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fake_gpqa import OFFICIAL, official
from fake_server import FakeServer, say_something
from test_notebooks import STEMS, anytime_run

from anytime_lib import RunConfig, run_sweep

CANARY = "the chartreuse zeppelin of Ouagadougou"


def quoting(body: dict[str, Any], number: int) -> Any:
    """A model that repeats what it was asked, and a server whose errors do so as well."""
    said = say_something(body, number)
    if number % 7 == 3:
        return 400, {"error": {"message": f"cannot take {body['messages'][0]['content']}"}}
    return f"{CANARY}: {body['messages'][0]['content'][:150]} {said}" if body.get("logprobs") else f"{said}, {CANARY}"


def test_a_private_question_reaches_nothing_but_the_store(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The canary is in questions, options and explanations."""
    questions = official(tmp_path / "gpqa_diamond.csv", (*OFFICIAL, "Explanation"), 24, words=CANARY)
    settings = {"run": "private", "outputs": str(tmp_path), "model": "fake", "tasks": ["gpqa"], "n_problems": 3,
                "methods": ["base", "pdp"], "source": str(questions), "n_samples": 2, "n_shots": 1, "budgets": [8, 40],
                "pool_problems": 2, "pool_samples": 2, "pool_budget": 40, "n_resamples": 100}  # fmt: skip
    with closing(FakeServer(quoting)) as server, caplog.at_level(logging.INFO):
        settings["base_url"] = server.base_url
        done = anytime_run(tmp_path, settings, *STEMS[:8])
        assert done.returncode == 0, done.stderr[-2000:]
        run_sweep(RunConfig(**settings), progress=False)
    folder = tmp_path / "private"
    written = [f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("store.sqlite")]
    assert len(written) > 12
    word = CANARY.split()[1]  # a piece of it would be a leak as well
    assert [f.name for f in written if word.encode() in f.read_bytes()] == []
    assert word not in done.stdout + done.stderr + caplog.text
    assert word.encode() in b"".join(f.read_bytes() for f in folder.glob("store.sqlite*"))
    assert "withheld" in (folder / "00_tour.html").read_text("utf-8")
