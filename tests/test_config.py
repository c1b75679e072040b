"""Settings: every mistake is one sentence that names the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from anytime_lib import Parameters, RunConfig
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"modle": "x"}, "unknown parameter 'modle'; did you mean 'model'"),
        ({"model": 1000.0}, "-r model"),
        ({"budgets": [8, 8]}, "increasing"),
        ({"budgets": [16, 8]}, "increasing"),
        ({"budgets": [0, 8]}, "positive"),
        ({"budgets": [8]}, "at least two"),
        ({"budgets": {"aime": [8]}, "tasks": ["aime"]}, "at least two"),
        ({"n_samples": 0}, "'n_samples'.*greater than or equal to 1"),
        ({"n_problems": 0}, "n_problems must be at least 1"),
        ({"tasks": ["amie"]}, "unknown task 'amie'; did you mean 'aime'"),
        ({"tasks": []}, "'tasks'"),
        ({"methods": ["bsae"]}, "unknown method 'bsae'; did you mean 'base'"),
        ({"n_shots": {"amie": 2}}, "n_shots: unknown task 'amie'"),
        ({"answer_via": "magic"}, "'answer_via'"),
        ({"temperature": "hot"}, "'temperature'"),
        ({"requests_per_minute": float("inf")}, "'requests_per_minute'.*finite number"),
        ({"tokens_per_minute": float("nan")}, "'tokens_per_minute'.*finite number"),
        ({"spend_cap_dollars": float("inf")}, "'spend_cap_dollars'.*finite number"),
        ({"request_deadline": float("inf")}, "'request_deadline'.*finite number"),
        ({"run": "../elsewhere"}, "'run'"),
        ({"base_url": "localhost:8080"}, "base_url must be an address"),
        ({"base_url": "https://"}, "base_url must be an address"),
        ({"base_url": 5}, "base_url must be an address"),
        ({"exclude": ["eror"]}, "exclude: unknown rule 'eror'; did you mean 'errors'"),
        ({"exclude": ["errors", "errors"]}, "names a rule twice"),
        ({"n_pairs": 0}, "n_pairs must be at least 1"),
        ({"answer_tokens": 0}, "answer_tokens must be at least 1"),
        ({"methods": {"natural_plan_trip": []}}, "methods of natural_plan_trip must name at least one"),
        ({"tasks": ["aime", "aime"]}, "tasks names one twice"),
    ],
)
def test_mistakes(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        RunConfig(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "https://me:sk-secret@api.example.com/v1"},
        {"base_url": "https://api.example.com/v1?key=sk-secret"},
        {"base_url": "https://api.example.com/v1#sk-secret"},
        {"api_key_env": "sk-secret-1234"},
        {"api_key_env": "gsk_secret1234"},
    ],
)
def test_a_pasted_key_is_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="environment variable") as error:
        RunConfig(**settings)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("port", [-1, 65536, 99999999])
def test_a_port_that_cannot_be(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"--port={port}", "--gguf=none.gguf"]) == 2
    said = capsys.readouterr().err
    assert f"between 0 (any free one) and 65535, not {port}" in said and said.count("\n") == 1


@pytest.mark.parametrize("text", ["1: 2", "a: [", "- 1\n- 2", "just words", "\x00"])
def test_bad_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml") as error:
        RunConfig.from_yaml(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="No such file"):
        RunConfig.from_yaml(tmp_path / "none.yaml")


def test_values_per_task() -> None:
    config = RunConfig(**{"tasks": ["aime", "gpqa"], "budgets": {"aime": [1, 2]}, "n_shots": 3})
    assert config.at("aime").budgets == [1, 2]
    assert config.at("gpqa").budgets == RunConfig().budgets
    assert config.at("gpqa").n_shots == 3
    assert (config.at("aime").answer_tokens, config.at("gpqa").answer_tokens) == (64, 32)


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.name)
def test_the_params_we_ship_are_valid(path: Path) -> None:
    RunConfig.from_yaml(path)


def test_parameters_sees_what_was_set_between() -> None:
    namespace: dict[str, Any] = {"json": json, "helper": len}
    parameters = Parameters(namespace)
    namespace |= {"model": "m", "n_samples": 3, "yaml": yaml}
    assert parameters.config().n_samples == 3
    namespace |= {"cells": [1, 2], "n_samples": 4}  # made by later cells; the cell is run again
    assert parameters.config().n_samples == 4
    typo = Parameters(namespace)
    namespace["n_sample"] = 2
    with pytest.raises(ConfigError, match="unknown parameter 'n_sample'; did you mean 'n_samples'"):
        typo.config()


def test_the_parameters_cells_are_in_step_with_the_config() -> None:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 5
    for path in notebooks:
        cells = json.loads(path.read_text())["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        assert ["".join(c["source"]) for c in tagged] == [RunConfig.parameters_cell()], path.name
        assert all(not c.get("outputs") for c in cells), f"{path.name} is committed with outputs"


def test_environment_yml_is_in_step_with_pyproject() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [d.replace("huggingface_hub", "huggingface-hub") for d in listed if isinstance(d, str)]
    pip = next(d["pip"] for d in listed if isinstance(d, dict))
    ours = {*project["dependencies"], f"python{project['requires-python']}", "pip", "-e .[test]"}
    ours |= {d for d in project["optional-dependencies"]["test"] if d.startswith("pytest>")}
    assert {*conda, *pip} == ours
    names = {d.split(">")[0] for d in conda}
    assert {"jupyterlab", "papermill", "openai", "numpy", "scipy", "seaborn", "datasets", "pytest"} <= names


def test_a_name_in_use_before_the_parameters_hides_none_of_them() -> None:
    """`settle` is also a function that a notebook may have imported; and the first cell may be run again."""
    namespace: dict[str, Any] = {"settle": print, "seed": 3}
    parameters = Parameters(namespace)
    namespace |= {"settle": {"task": "aime", "seed": 9, "n_problems": 4}, "tasks": ["aime"], "seed": 5}
    found = parameters.config()
    assert found.settle and found.settle.seed == 9 and found.seed == 5
    assert Parameters(namespace).config() == found
