"""Settings: every mistake is one sentence that names the field."""

import ast
import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from pydoc import render_doc
from typing import Any

import pytest
import yaml
from conftest import refused
from fake_gpqa import official

from anytime_lib import Parameters, RunConfig, Store, load_task
from anytime_lib.config import parameter_names
from anytime_lib.errors import ConfigError
from anytime_lib.sweep.costs import load_prices
from anytime_lib.tasks.gpqa import read

ROOT, CASES = Path(__file__).parent.parent, Path(__file__).with_name("config_cases.yaml")


@pytest.mark.parametrize(("settings", "says"), yaml.safe_load(CASES.read_text(encoding="utf-8")))
def test_mistakes(settings: dict[str, Any], says: str) -> None:
    with refused(ConfigError, says):
        RunConfig(**settings)


def test_a_pasted_key_is_refused_and_not_repeated() -> None:
    urls = [f"https://{words}" for words in ("me:sk-secret@h.com/v1", "h.com/v1?key=sk-secret", "h.com/v1#sk-secret")]
    for settings in [{"base_url": url} for url in urls] + [{"api_key_env": k} for k in ("sk-secret-1", "gsk_secret1")]:
        with pytest.raises(ConfigError, match="environment variable") as error:
            RunConfig(**settings)
        assert "secret" not in str(error.value)


BOMB = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("text", "says"),
    [("1: 2", ""), ("a: [", ""), ("- 1\n- 2", ""), ("just words", ""), ("\x00", ""), ("[" * 5000, ""), (BOMB, "alias"),
     ("seed: 1\nseed: 2", "'seed' is given twice"), ("endpoint: {retries: 1, retries: 2}", "'retries' is given twice"),
     ("seed: 010", "'010' is read in several ways"), ("seed: 1:30", "several ways"), ("seed: 0x1F", "several ways")],
)  # fmt: skip
def test_bad_yaml(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    with refused(ConfigError, rf"p\.yaml.*{says}"):
        RunConfig.from_yaml(path)
    with refused(ConfigError, "null byte"):
        RunConfig.from_yaml("a\0b")


@pytest.mark.parametrize("name", ["~/a b", "~/hh[1]", "~/ee#1", "~/50%20"])
def test_paths_are_taken_as_they_are_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / name[2:]
    place.with_suffix(".jsonl").write_text('{"problem": "What is 1 + 1?", "answer": 2}\n', encoding="utf-8")
    place.with_suffix(".yaml").write_text("- {model: fake, input: 1, output: 1}", encoding="utf-8")
    config = RunConfig(outputs=name, tasks=["aime"], source=f"{name}.jsonl", prices=f"{name}.yaml")
    assert load_task("aime").problems(config.source) == load_task("aime").problems(f"{name}.jsonl") != []
    assert load_prices(config.limits.prices)[0].model == "fake" and len(read(official(place.with_suffix(".csv")))) == 30
    Store(config.folder / "store.sqlite").close()
    assert (place / "run" / "store.sqlite").is_file()


def test_values_per_task() -> None:
    config = RunConfig(**{"tasks": ["aime", "gpqa"], "budgets": {"aime": [1, 2]}, "n_shots": 3})
    assert config.task("aime").budgets == [1, 2]
    assert config.task("gpqa").budgets == RunConfig().budgets
    assert config.task("gpqa").n_shots == 3
    assert (config.task("aime").answer_tokens, config.task("gpqa").answer_tokens) == (64, 32)


def test_parameters_sees_what_was_set_between() -> None:
    namespace: dict[str, Any] = {"json": json, "helper": len}
    parameters = Parameters(namespace)
    namespace |= {"model": "m", "n_samples": 3, "yaml": yaml}
    assert parameters.config().n_samples == 3
    namespace |= {"cells": [1, 2], "n_samples": 4, "family": object()}  # made by later cells; the cell is run again
    assert parameters.config().n_samples == 4
    assert Parameters(namespace).config() == parameters.config()  # and when all is run again
    for typo, meant in (("n_sample", "n_samples"),) * 2 + (("n_problemz", "n_problems"),):  # told on every run of all
        again = Parameters(namespace)
        namespace |= {typo: 2, "n_problemz": 3}  # two of them: mending one leaves the other
        with pytest.raises(ConfigError, match=f"unknown parameter '{typo}'; did you mean '{meant}'"):
            again.config()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_the_parameters_cells_are_in_step_with_the_config(path: Path) -> None:
    """Each line is `name = default  # what it is`, so that papermill knows the name; the default is the config's."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (tagged,) = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    lines = tagged.splitlines()
    assert len(lines) <= 16 and all(re.fullmatch(r"\w+ = .+  # .+", line) for line in lines)
    first = ast.parse(next("".join(c["source"]) for c in cells if c["cell_type"] == "code"))
    known = [
        name.id for n in first.body if isinstance(n, ast.Assign) for name in n.targets if isinstance(name, ast.Name)
    ]
    namespace: dict[str, Any] = dict.fromkeys(known)  # what a notebook alone knows
    parameters = Parameters(namespace)
    exec(tagged, namespace)
    assert parameters.config() == RunConfig()
    assert not any(c.get("outputs") for c in cells), "committed with outputs"
    nodes = [n for c in cells if c["cell_type"] == "code" for n in ast.walk(ast.parse("".join(c["source"])))]
    imported = {a.asname or a.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    assert not imported & parameter_names(), "a parameter that papermill sets would hide it"


def test_flat_names_join_their_group() -> None:
    endpoint = {"base_url": "http://h/v1", "concurrency": 2}
    config = RunConfig(endpoint=endpoint, concurrency=8, pool_budget=9, tree_width=3)
    assert (config.endpoint.base_url, config.endpoint.concurrency) == ("http://h/v1", 8)
    assert (config.pool.budget, config.pool.samples) == (9, 3)
    assert config.options == {"tree_of_thoughts": {"width": 3}}


def test_tasks_with_settings_of_their_own() -> None:
    own = {"aime": {"n_problems": 3, "pool": {"budget": 5}, "n_pairs": 1, "tree_width": 2}, "gpqa": None}
    config = RunConfig(tasks=own, n_problems=7, pool={"samples": 4})
    assert [config.task(t).n_problems for t in config.tasks] == [3, 7]
    assert config.task("aime").pool.model_dump() == config.pool.model_dump() | {"budget": 5, "n_pairs": 1}
    assert [config.but(n_problems=2).task(t).n_problems for t in config.tasks] == [2, 2]
    assert config.but(tasks=["aime"]).task("aime") == config.task("aime")


def test_environment_yml_is_in_step_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    conda = [d.replace("huggingface_hub", "huggingface-hub") for d in listed if isinstance(d, str)]
    pip = next(d["pip"] for d in listed if isinstance(d, dict))
    ours = {*project["dependencies"], f"python{project['requires-python']}", "pip", "-e .[test]"}
    ours |= {d for d in project["optional-dependencies"]["test"] if d.startswith("pytest>")}
    assert {*conda, *pip} == ours


def test_a_name_in_use_before_the_parameters_hides_none_of_them() -> None:
    """`settle` is also a function that a notebook may have imported; and the first cell may be run again."""
    namespace: dict[str, Any] = {"settle": print, "seed": 3}
    parameters = Parameters(namespace)
    namespace |= {"settle": {"task": "aime", "seed": 9, "n_problems": 4}, "tasks": ["aime"], "seed": 5}
    found = parameters.config()
    assert found.held_out and found.held_out.seed == 9 and found.seed == 5
    assert Parameters(namespace).config() == found


@pytest.mark.parametrize("name", ["simulated", "study"])
def test_every_setting_is_listed_explained_and_read_back(name: str, tmp_path: Path) -> None:
    config = RunConfig.from_yaml(ROOT / "params" / f"{name}.yaml")
    (again := tmp_path / "p.yaml").write_text(config.to_yaml(), "utf-8")
    assert RunConfig.from_yaml(again) == config == eval(repr(config))
    assert all(re.fullmatch(r"[# ]*\w+:.*  # \w.+", line) for line in config.to_yaml().splitlines())
    changed, rest = RunConfig(model="<b>m", concurrency=9)._repr_html_().split("<details>")
    assert changed.count("\n") == 3 and re.search(r"endpoint:.*\n  concurrency: 9 .*by default 4", changed)
    assert "&lt;b&gt;m" in changed and "  margin: 0.05" in rest and "RunConfig(**settings)" in render_doc(RunConfig)
    assert {line.strip("# ").partition(":")[0] for line in str(RunConfig.__doc__).split("\n")} >= {
        *RunConfig.model_fields
    }
