"""What does a newcomer meet? Commands and objects that explain themselves, a look at the machine, true pages."""

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from test_index import cells_of

from anytime_lib import __version__, anytime_curve
from anytime_lib.cli import main, parser
from anytime_lib.models import weights
from anytime_lib.stats import compare
from anytime_lib.tools.estimate import Estimate
from anytime_lib.types import Grade, Problem

SIMULATED = str(Path(__file__).parent.parent / "params" / "simulated.yaml")
COMMANDS = re.findall(r"[a-z]+", parser().format_usage().partition("{")[2].partition("}")[0])


def told_of(capsys: pytest.CaptureFixture[str], *asked: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*asked])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_ends_with_an_example_of_it(command: str, capsys: Any) -> None:
    example = " ".join(told_of(capsys, command, "--help").partition("example: anytime ")[2].split())
    assert parser().parse_args(shlex.split(example)).command == command


def test_version_and_config(capsys: Any) -> None:
    assert told_of(capsys, "--version") == f"anytime-lib {__version__}\n"
    assert main(["config", SIMULATED]) == 0
    assert "  concurrency: 64 " in (said := capsys.readouterr().out) and "(by default 4)" in said


def test_the_doctor_says_what_is_there_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def no_network(*asked: Any, **how: Any) -> None:
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(httpx, "head", no_network)
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path))
    monkeypatch.setenv("XAI_API_KEY", "xai-0123456789abcdef")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / weights.WEIGHTS["smollm2-135m"].file).touch()
    assert main(["doctor", SIMULATED]) == 0
    told = capsys.readouterr().out
    assert "ok  weights of smollm2-135m: here\n--  weights of qwen2.5-coder-0.5b: not here yet: 491 MB" in told
    assert "ok  endpoint: none is needed" in told and "--  hub: https" in told and "NOT" not in told
    params = tmp_path / "p.yaml"
    params.write_text("{model: m, base_url: 'http://127.0.0.1:9/v1', api_key_env: XAI_API_KEY, "
                      "tasks: {aime: {source: none.jsonl, pool_source: 'hub#2024'}}}", "utf-8")  # fmt: skip
    assert main(["doctor", str(params)]) == 2
    out, err = capsys.readouterr()
    assert "NOT endpoint: no answer from http://127.0.0.1:9/v1" in out and "ok  key XAI_API_KEY: set\n" in out
    assert "NOT data of aime: cannot read none.jsonl" in out and "NOT hub" in out and "0123456789" not in out + err
    assert err == "anytime: to be mended before such a run: endpoint, data of aime, hub\n"


def test_objects_say_what_they_hold_and_escape_it() -> None:
    problem = Problem("p1", "sums", "What is <b>20</b> + 22? " + 60 * "x", "42")
    assert repr(problem).startswith("Problem('p1', 'sums': 'What is <b>20") and repr(problem).endswith("...' -> '42')")
    page = problem._repr_html_()
    assert "What is &lt;b&gt;20" in page and "gold answer (str)" in page and 60 * "x" in page
    private = Problem("p2", "sums", "a secret", "secret 42", {"private": True})
    assert repr(private) == "Problem('p2', 'sums': private)" and "secret" not in private._repr_html_()
    grade = Grade(0.3, False, "ok", "3 of <i>10</i>")._repr_html_()
    assert "0.30" in grade and "not right" in grade and "&lt;i&gt;10" in grade
    cells = pd.concat([cells_of(np.full((3, 2, 2), q), name) for q, name in ((0.2, "base"), (0.4, "<b>x"))])
    found = compare(cells, "base", "<b>x", n_resamples=100)
    assert str(found) == found.summary() and found.summary() in repr(found)
    assert (
        "+0.200" in found._repr_html_()
        and "<td>&lt;b&gt;x</td>" in found._repr_html_()
        and "<b>x" not in found._repr_html_()
    )
    assert "quality" in str(anytime_curve(cells.assign(model="simulated-910e56d7", task="natural_plan_trip")))
    estimate = Estimate(pd.DataFrame({"method": ["<b>x"], "calls": [12_345.6]}), "1 call\n2 dollars")
    assert "12,346" in str(estimate) and str(estimate).endswith("2 dollars")
    assert "&lt;b&gt;x" in estimate._repr_html_() and "1 call<br>2 dollars" in estimate._repr_html_()
