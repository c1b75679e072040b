"""What does a newcomer meet? Commands and objects that explain themselves, a look at the machine, true pages."""

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from anytime_lib import __version__
from anytime_lib.cli import main, parser
from anytime_lib.models import weights

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
