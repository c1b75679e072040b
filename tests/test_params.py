"""Does every file of params/ work, as shipped and on the data that it names? What it would cost can be told of each."""

import json
import math
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from fake_gpqa import official
from test_trip_source import official_row

from anytime_lib import RunConfig
from anytime_lib.cli import main
from anytime_lib.errors import DataError
from anytime_lib.registry import load_task
from anytime_lib.stats import min_detectable_effect
from anytime_lib.sweep.costs import price_of
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.trip_source import generate

PARAMS = Path(__file__).parent.parent / "params"
FILES = {str(path.relative_to(PARAMS).with_suffix("")): path for path in sorted(PARAMS.rglob("*.yaml"))}
del FILES["grid"]  # of many runs: tests/test_grid.py
PAPER = {name: path for name, path in FILES.items() if name.startswith("paper/")}
SOURCE = re.compile(r"^( +)#? ?((?:pool_)?source:) (\S+)", re.MULTILINE)
"""A line that names a source, switched on or not."""


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files as long as the sources that are fetched: 1,600 trips, 30 problems of a year, 198 questions among 448."""
    folder = tmp_path_factory.mktemp("data")
    trips = [generate(3 + i // 200, i) for i in range(1600)]
    rows = {f"trip_planning_example_{i}": official_row(trip) for i, trip in enumerate(trips)}
    (folder / "trips.json").write_text(json.dumps(rows), "utf-8")
    years = {year: Path(os.environ.get("ANYTIME_BENCH_DATA", ""), f"aime_20{year}.jsonl") for year in (24, 25)}
    for year, path in years.items():
        if not path.is_file():  # made up, under a name that tells no year, whose answers would be checked
            problems = [{"problem": f"Find {i} + {year}. " * 20, "answer": i + year} for i in range(30)]
            years[year] = folder / f"{year}.jsonl"
            years[year].write_text("\n".join(map(json.dumps, problems)), "utf-8")
    older = [{"problem": f"Find {i} x 3. " * 20, "answer": i} for i in range(919)]
    (folder / "older.jsonl").write_text("\n".join(map(json.dumps, older)), "utf-8")
    return {
        "hub#1983-2023": folder / "older.jsonl",
        "official": folder / "trips.json", "hub#2024": years[24], "hub#2025": years[25],
        "hub#diamond": official(folder / "diamond.csv", n=198), "hub#main": official(folder / "main.csv", n=448),
    }  # fmt: skip


def switched_on(path: Path, stand_ins: dict[str, Path]) -> str:
    """The text of a params file with its sources switched on, and files in the place of those that are fetched."""
    return SOURCE.sub(lambda line: f"{line[1]}{line[2]} {stand_ins[line[3]]}", path.read_text("utf-8"))


def few(text: str) -> str:
    """A params file with one sample of each problem, one draw of exemplars, and four attempts at each in the pool."""
    text = re.sub(r"samples: (64|16)", "samples: 4", text.replace("draws: 5", "draws: 1"))
    return re.sub(r"n_samples: (8|10)", "n_samples: 1", text)


CASES = [(name, on) for name, path in FILES.items() for on in (False, True) if name not in [*PAPER][1:]
         and (SOURCE.search(path.read_text("utf-8")) if on else name not in {*PAPER, "claim"})]  # fmt: skip
"""Every file as shipped, but for those that fetch; and with its sources switched on, if it names any. One of those that
share the paper's design stands for all."""
ROOM = {"paper": 128_000, "local-vllm": 40_960, "claim": 40_960}
"""A slot's context in tokens, where it is not 4,096."""


def longest(config: RunConfig, task: str) -> int:
    """The most tokens of a request, but for the question's."""
    its = config.task(task)
    cuts = [budget for budget in its.budgets if budget <= its.pool_budget] or [its.pool_budget]
    return (its.pool.pair_tokens or 2 * sum(cuts)) + its.budgets[-1] + its.answer_cap


@pytest.mark.parametrize(("name", "on"), CASES)
def test_what_it_would_cost_can_be_told(
    name: str, on: bool, stand_ins: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Of all its problems; but one sample of each, and four attempts, are enough to see that they are there."""
    text = switched_on(FILES[name], stand_ins) if on else FILES[name].read_text("utf-8")
    params = tmp_path / "p.yaml"
    params.write_text(few(text), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for way in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, way, lambda *a, **k: pytest.fail("a socket was used"))
    assert main(["estimate", str(params)]) == 0
    told, config = capsys.readouterr().out, RunConfig.from_yaml(params)
    for task in config.tasks:
        assert f"{task}: differences of about" in told
        its = config.task(task)
        assert [m for m in its.methods if not re.search(rf"{task} +{m} ", told)] == []
        assert longest(config, task) < ROOM.get(name.split("/")[0], 4096)
    assert name not in PAPER or "no price is known" not in told


def test_the_models_of_the_paper_share_its_design() -> None:
    """Seven files that differ in model, endpoint, what their authors advise, and room for an answer; no more."""
    configs = [RunConfig.from_yaml(path) for path in PAPER.values()]
    assert len({config.model for config in configs}) == len({config.run for config in configs}) == 7
    assert all(price_of(config.model, config.endpoint.base_url or "") for config in configs)
    assert all(longest(config, task) < ROOM["paper"] for config in configs for task in config.tasks)
    caps: Any = {"answer_tokens": True, "options": True, "pool": {"verdict_tokens"}}
    designs = [{name: c.task(name).model_dump(exclude=caps) for name in c.tasks} for c in configs]
    assert designs == designs[:1] * 7 and {config.n_samples for config in configs} == {configs[0].n_samples}
    most = {name: settings["budgets"][-1] for name, settings in designs[0].items()}
    assert most == {"natural_plan_trip": 4096, "aime": 16384, "gpqa": 16384}
    room = {None: (4, {}), 2048: (2048, {"leap": {"principle_tokens": 2048}})}  # for reasoning, in whatever is said
    assert all((config.pool.verdict_tokens, config.options) == room[config.answer_tokens] for config in configs)
    assert all(settings["methods"] == ["base", "leap", "pdp", "pdp_plus"] for settings in designs[0].values())


def test_the_claim_has_pools_for_all_its_draws(stand_ins: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "claim.yaml").write_text(switched_on(FILES["claim"], stand_ins), "utf-8")
    config = RunConfig.from_yaml(tmp_path / "claim.yaml")
    for name in config.tasks:
        its, found = config.task(name), split_problems(load_task(name), config.task(name), config.seed)
        assert len(found.test) >= 100 and len(found.pool) == its.pool.draws * its.pool.problems == 30
    assert config.analysis.family == [["pdp_shuffled", "pdp"], ["base", "pdp"]]


def test_the_pages_tell_what_such_a_run_finds() -> None:
    readme, page = ((PARAMS.parent / name).read_text("utf-8") for name in ("README.md", "docs/paper.md"))
    config = RunConfig.from_yaml(PAPER["paper/grok-3"])
    told = re.findall(r"^\| (?:trips|AIME|GPQA|mean of the three) \| ([\d.]+) \|", page, re.MULTILINE)
    found = [100 * min_detectable_effect(config.task(task).n_problems, config.n_samples) for task in config.tasks]
    assert told == [f"{points:.1f}" for points in (*found, math.hypot(*found) / 3)]
    assert [path.name for path in PAPER.values() if f"`params/paper/{path.name}`" not in readme] == []


def test_the_pool_is_what_its_source_has_beside_those_under_test(stand_ins: dict[str, Path]) -> None:
    diamond, main_set = str(stand_ins["hub#diamond"]), str(stand_ins["hub#main"])
    wanted = {"tasks": ["gpqa"], "source": diamond, "pool_source": main_set, "n_problems": 198}
    task, settings = load_task("gpqa"), RunConfig(**wanted, pool_problems=250).task("gpqa")
    found = split_problems(task, settings, 0)
    ids = {part: {problem.id for problem in getattr(found, part)} for part in ("test", "pool")}
    assert len(ids["test"]) == 198 and len(ids["pool"]) == 250 and not ids["test"] & ids["pool"]
    with pytest.raises(DataError, match=r"251 pool problems wanted, .*main\.csv holds 250 beside those under test"):
        split_problems(task, RunConfig(**wanted, pool_problems=251).task("gpqa"), 0)
