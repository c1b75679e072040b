"""What does a newcomer meet? Commands and objects that explain themselves, a look at the machine, true pages."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config
from fake_server import FakeServer, say_something
from test_index import cells_of

from anytime_lib import __version__, anytime_curve, load_task, run_sweep
from anytime_lib.cli import main, parser
from anytime_lib.errors import ConfigError
from anytime_lib.stats import compare
from anytime_lib.tools.estimate import Estimate
from anytime_lib.tools.repeat import repeat_answers
from anytime_lib.types import Grade, Problem

ROOT = Path(__file__).parent.parent
PAGES = {path.name: path for path in [*ROOT.glob("[A-Z]*.md"), *ROOT.glob("docs/*.md")]}
COMMANDS = re.findall(r"[a-z]+", parser().format_usage().partition("{")[2].partition("}")[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_ends_with_an_example_of_it(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    example = " ".join(capsys.readouterr().out.partition("example: anytime ")[2].split())
    assert parser().parse_args(shlex.split(example)).command == command


def test_version_and_config(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert main(["config", str(ROOT / "params" / "simulated.yaml")]) == 0
    said = capsys.readouterr().out
    head = f"'{sys.executable}' -m anytime_lib.cli config | true"  # which ends before it is told anything
    assert subprocess.run(head, shell=True, stderr=subprocess.PIPE, check=True).stderr == b""
    assert said.startswith(f"anytime-lib {__version__}\n") and re.search(r"  concurrency: 64 .*by default 4\)", said)


def test_the_doctor_says_what_is_there_and_what_to_do(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path))
    monkeypatch.setenv("XAI_API_KEY", "xai-0123456789abcdef")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert main(["doctor", str(ROOT / "params" / "simulated.yaml")]) == 0
    told = capsys.readouterr().out
    assert "ok  endpoint: none" in told and not re.search("weights|key", told) and "--: it is not, and" in told
    assert re.search("--  hub: .*give a file's path instead", told) and "\nNOT" not in told
    assert main(["doctor"]) == 0 and "--  weights of qwen2.5-coder-0.5b: not here yet; 491" in capsys.readouterr().out
    elsewhere = (
        "{model: m, base_url: 'http://127.0.0.1:9/v1', api_key_env: XAI_API_KEY, tasks: {aime: {source: no.csv}}}"
    )
    (params := tmp_path / "p.yaml").write_text(elsewhere, "utf-8")
    assert main(["doctor", str(params)]) == 2
    out, err = capsys.readouterr()
    assert "NOT endpoint: no answer from http://127.0.0.1:9/v1" in out and "NOT data of aime: there is no file /" in out
    assert "ok  key XAI_API_KEY: set\n" in out and "0123456789" not in out + err
    assert err == "anytime: to be mended before such a run: endpoint, data of aime\n"


def test_a_server_that_says_other_things_than_before_is_found_out(
    config: Config, server: FakeServer, tmp_path: Path, capsys: Any
) -> None:
    run, params = config(methods=["base", "direct"]), tmp_path / "p.yaml"
    params.write_text(run.to_yaml(), "utf-8")
    assert main(["repeat", str(params)]) == 2 and not run.folder.exists()
    golds = {problem.text: problem.gold for problem in load_task("gpqa").problems()}

    def right(body: dict[str, Any], number: int) -> str:
        asked = body["messages"][0]["content"]
        found = next((gold for text, gold in golds.items() if text in asked), "")
        return say_something(body, number) if body.get("logprobs") else f"Answer: {found}"

    server.script = right
    run_sweep(run, progress=False)
    before = [json.dumps(body) for body in server.requests]
    told = "asked again: {}, failed: {}, another text: {}, another score: {}\n".format
    assert main(["repeat", str(params), "--answers", "10"]) == 0 and told(10, 0, 0, 0) in capsys.readouterr().out
    again = [json.dumps(body) for body in server.requests[len(before) :]]
    assert len(again) == 10 and set(again) <= set(before)
    table = repeat_answers(run, 10)  # what is stored is not asked a third time, and more of it are the same and others
    assert list(table.asked) == [5, 5] and list(table.cells) == [24, 24] and len(server.requests) == len(before) + 10
    assert list(map(str, repeat_answers(run, 1).asked)) == ["1", "0"]
    server.script = lambda body, number: (400, {}) if number % 2 else "2222222"
    n = repeat_answers(run, 40)[["asked", "failed", "differ", "regraded"]].sum()
    assert n.asked > 20 and n.differ + n.failed == n.asked - 10 and n.failed > 5 and n.regraded == n.differ > 5


def test_options_that_would_do_nothing_are_refused(capsys: Any) -> None:
    for options, says in {
        "sweep --workers 2": "give --engine ray", "run --jobs 0": "--jobs must be more", "run --jobs 2": "one run",
        "estimate --tokens-per-second 0": "--tokens-per-second must be", "estimate --batch": "served on this machine",
        "run --notebooks none": "/none has no numbered notebook",
    }.items():  # fmt: skip
        command, *others = options.split()
        assert main([command, str(ROOT / "params" / "simulated.yaml"), *others]) == 2
        assert says in capsys.readouterr().err


def test_objects_say_what_they_hold_and_escape_it() -> None:
    problem = Problem("p1", "sums", "What is <b>20</b> + 22?" + 60 * "x", "42")
    assert re.fullmatch(r"Problem\('p1', 'sums': 'What is <b>20.*x\.\.\.' -> '42'\)", repr(problem))
    private = Problem("p2", "sums", "a secret", "secret 42", {"private": True})
    assert repr(private) == "Problem('p2', 'sums': private)" and "secret" not in private._repr_html_()
    cells = pd.concat([cells_of(np.full((3, 2, 2), q), name) for q, name in ((0.2, "base"), (0.4, "<b>x"))])
    found = compare(cells, "base", "<b>x", n_resamples=100)
    with pytest.raises(ConfigError, match="no setting margin; a margin is for noninferior and equivalent"):
        compare(cells, "base", "<b>x", margin=0.1)
    assert str(found) == found.summary() and found.summary() in repr(found)
    curve = anytime_curve(cells.assign(model="simulated-910e56d7", task="natural_plan_trip"))
    assert {"low", "high", "order", "task", "model", "run"} < {*curve} and anytime_curve(cells[:0]).empty
    assert str(curve).split()[:5] == ["method", "budget", "quality", "low", "high"]  # on a page; what differs
    assert max(map(len, str(curve).splitlines())) <= 90 and "natural_plan_trip" not in str(curve)
    estimate = Estimate(pd.DataFrame({"method": ["<b>x"], "calls": [12_345.6]}), "1 call\n2 dollars")
    assert "12,346" in str(estimate) and str(estimate).endswith("2 dollars")
    told = ("gold answer (str)", "0.30", "+0.20", "1 call<br>2 dollars", "&lt;b&gt;x")
    grade = Grade(0.3, False, "ok", "<b>3 of 10")
    for held, says in zip((problem, grade, found, estimate, curve), told, strict=True):
        page = held._repr_html_()
        assert says in page and page.replace("<b>p1</b>", "").replace("<b>0.30</b>", "").count("<b>") == 0
        assert "&lt;b&gt;" in page


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows_works(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Its Python runs as it stands, its commands are ones that `anytime` has, its links and files are there."""
    page, here = PAGES[name].read_text("utf-8"), PAGES[name].parent
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page)
    named = re.findall(r"(?:params|notebooks)/[\w/.-]+\w", page)
    assert [to for to in links if not (here / to).exists()] + [to for to in named if not (ROOT / to).exists()] == []
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("sh", "python")}
    for line in re.findall(r"bin/anytime (.*)", "\n".join(blocks["sh"])):
        parser().parse_args(shlex.split(line.replace("$PARAMS", "p.yaml"), comments=True))
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks["python"]), {})


def test_no_page_says_what_another_says() -> None:
    lines = [line for page in PAGES.values() for line in page.read_text("utf-8").splitlines() if len(line) > 60]
    assert len(lines) > 150 and sorted(lines) == sorted(set(lines))
