"""The notebooks, run as users run them: plain papermill, the `anytime run` command, and a browser on what it made.

A kernel takes ten seconds to start, so what a notebook says of many a run is read where it is run in this process.
"""

import ast
import itertools
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from fake_gpqa import OFFICIAL, official
from fake_server import FakeServer, say_something
from papermill import inspect_notebook

from anytime_lib import RunConfig, plots, readings, run_sweep
from anytime_lib.report import _write_report
from anytime_lib.studies import true_index, truth

ROOT = Path(__file__).parent.parent
STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
SMALL = {"run": "small", "model": "fake", "n_problems": 3, "n_samples": 2, "n_shots": 1, "budgets": [4, 8, 16],
         "tasks": {"natural_plan_trip": {"difficulty": [3]}, "aime": {"difficulty": [1]}, "gpqa": {}},
         "pool": {"problems": 2, "samples": 2, "budget": 8}, "analysis": {"n_resamples": 200},
         "held_out": {"task": "natural_plan_trip", "seed": 5, "n_problems": 2}}  # fmt: skip


OWNED = "document.title='owned'"
HOSTILE = f'</pre></div><script>{OWNED}</script><img src=x onerror="{OWNED}">'
CANARY = "the chartreuse zeppelin of Ouagadougou"


def judges(body: dict[str, Any]) -> bool:
    return "ATTEMPT A: " in body["messages"][-1]["content"]


@pytest.fixture(scope="module")
def hostile() -> Iterator[FakeServer]:
    """A model whose every word but a verdict tries to be code in the page that shows it."""

    def says(body: dict[str, Any], n: int) -> str:
        return say_something(body, n) if judges(body) else f"{HOSTILE} {say_something(body, n)}"

    with closing(FakeServer(says)) as server:
        yield server


@pytest.fixture(scope="module")
def small(hostile: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The settings of a small run on a server that answers."""
    return SMALL | {"base_url": hostile.base_url, "outputs": str(tmp_path_factory.mktemp("run"))}


def written(folder: Path, settings: dict[str, Any]) -> str:
    """The path of a params file."""
    (path := folder / "params.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    return str(path)


def papermill(stem: str, folder: Path, settings: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    """A notebook, run alone into out.ipynb."""
    paths = [str(ROOT / "notebooks" / f"{stem}.ipynb"), str(folder / "out.ipynb"), "-f", written(folder, settings)]
    command = [sys.executable, "-m", "papermill", *paths, "-k", "python3", "--start-timeout", "600", *more]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def anytime_run(folder: Path, settings: dict[str, Any], *stems: str) -> subprocess.CompletedProcess[str]:
    """`anytime run`, of these notebooks alone if any are named."""
    command = [sys.executable, "-m", "anytime_lib.cli", "run", written(folder, settings)]
    if stems:
        (few := folder / "notebooks").mkdir()
        for stem in stems:
            shutil.copy(ROOT / "notebooks" / f"{stem}.ipynb", few)
        command += ["--notebooks", str(few)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def printed(notebook: Path) -> str:
    """All that the cells of an executed notebook printed or showed as text, in one line."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    texts = ["".join(o.get("text") or o.get("data", {}).get("text/plain", "")) for o in outputs]
    return " ".join(" ".join(texts).split())


def cells_of_notebook(stem: str) -> list[tuple[str, str, list[str]]]:
    """The kind, the source and the tags of each cell."""
    cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
    return [(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])) for c in cells]


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_is_a_lecture(stem: str) -> None:
    """At most 35 cells; a question before each code cell; two submodules; a reading after each figure and table."""
    cells = cells_of_notebook(stem)
    assert len(cells) <= 35
    code = [(source, tags) for kind, source, tags in cells if kind == "code"]
    before = [cells[i - 1] for i, (kind, *_) in enumerate(cells) if kind == "code"]
    assert [text for kind, text, _ in before if kind != "markdown" or "?" not in text.split("\n## ")[-1]] == []
    assert [len(source.splitlines()) <= 15 for source, tags in code if "parameters" in tags] == [True]
    nodes = [node for source, _ in code for node in ast.walk(ast.parse(source))]
    modules = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    modules |= {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    modules |= {
        f"{n.module}.{a.name}"
        for n in nodes
        if isinstance(n, ast.ImportFrom) and n.module == "anytime_lib"
        for a in n.names
    }
    ours = {Path(*m.split(".")) for m in modules if m.startswith("anytime_lib.")}
    ours = {m for m in ours if (ROOT / m).is_dir() or (ROOT / m).with_suffix(".py").is_file()}
    assert len(ours) <= 2 and all(len(m.parts) == 2 for m in ours)
    for source, _ in code:
        last = max(source.rfind("save("), source.rfind("display("))
        assert last < 0 or re.search(r"\b(print|say)\(", source[last:]), (
            f"nothing is said of what this shows:\n{source}"
        )


SOURCED = [
    r"`[^`]*`", r"\$[^$]*\$",  # code, formulas
    r"^# \d\db? ·", r"^ *\d\. ", r"\bnotebooks? \d\db?((,| and|,? or| to) \d\db?)*", r"arXiv:? ?[\d.]+",
    r"\b95 ?%", r"(?<![\d])\.05\b", r"\bpower (of )?\.8\b", r"(?<![\d.])[01]\b(?!\.\d)",  # what is fixed by definition
    r"\bAIME (19|20)\d\d( and (19|20)\d\d)?", r"[A-Za-z]-?\d[\w.]*",  # names of data sets and models
    r"^\|.*\b(MIT|CC-BY|none stated)\b.*$",  # a source with its licence
    r"\bpoints of 100\b", r"\b100 problems\b",  # units
]  # fmt: skip
"""Where prose may hold a digit: no result stands there. Every other number is printed by a cell that computes it."""


@pytest.mark.parametrize("stem", STEMS)
def test_no_number_in_prose_is_a_result(stem: str) -> None:
    prose = "\n".join(source for kind, source, _ in cells_of_notebook(stem) if kind == "markdown")
    for pattern in SOURCED:
        prose = re.sub(pattern, "", prose, flags=re.MULTILINE | re.IGNORECASE)
    assert [line for line in prose.splitlines() if re.search(r"\d", line)] == []


COMPARING = STEMS[1:7]
"""These say which method is better."""
EFFECTS = {"helps": 8.0, "harms": 0.125, "undecided": 1.0}
"""What PDP multiplies the simulated respondent's hazard of finding the answer by."""


def told(stem: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a notebook prints that is run in this process, in one line, figures unsaved; it shows no empty table."""

    def display(*shown: Any) -> None:
        assert not any(isinstance(table, pd.DataFrame) and table.empty for table in shown)

    namespace: dict[str, Any] = {"__name__": "notebook", "display": display}
    for module in (plots, readings):
        monkeypatch.setattr(module, "save", lambda figure, path: plt.close(figure))
    monkeypatch.setattr(readings, "say", lambda *texts: print(*texts, sep="\n"))
    with redirect_stdout(StringIO()) as out:
        for kind, source, tags in cells_of_notebook(stem):
            if kind == "code":
                exec(compile(source, stem, "exec"), namespace)
            if "parameters" in tags:
                namespace |= settings
    return " ".join(out.getvalue().split())


@pytest.mark.parametrize("outcome", EFFECTS)
def test_what_notebooks_say_is_true(outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether PDP helps, harms or changes nothing, whether curves rise, whether the judge is right: a claim is made
    only where the simulation makes it true; what is plain to see is claimed."""
    effect = EFFECTS[outcome]
    judge = {"judge_accuracy": {"helps": 0.95, "harms": 0.05}.get(outcome, 0.5), "position_bias": 0.0}
    settings = SMALL | {"model": "simulated", "outputs": str(tmp_path), "tasks": ["aime"], "held_out": None,
                        "methods": ["base", "pdp"], "n_problems": 20, "n_samples": 4, "budgets": [8, 32, 128],
                        "options": {"simulated": {"effects": {"pdp": effect}, "guess": 0.05, **judge}},
                        "endpoint": {"concurrency": 64}, "analysis": {"n_resamples": 200}}  # fmt: skip
    config = RunConfig(**settings)
    said = {stem: told(stem, settings, monkeypatch) for stem in COMPARING}
    everything, true = "\n".join(said.values()), {m: truth(config, "aime", m).mean() for m in ("base", "pdp")}
    gain = true_index(truth(config, "aime", "pdp")) - true_index(truth(config, "aime"))
    assert np.sign(round(gain, 6)) == np.sign(np.log(effect)) and (np.diff(true["base"]) > 0).all()
    claims = {word: re.findall(rf"\bpdp (?:is )?{word} than base", everything) for word in ("better", "worse")}
    assert bool(claims["better"]) == (outcome == "helps") and bool(claims["worse"]) == (outcome == "harms")
    for side in re.findall(r"judged interval lies (above|below) zero", everything):
        assert side == {"helps": "above", "harms": "below"}.get(outcome)
    verdict = {"helps": "pdp is better than base", "harms": "pdp is worse than base"}.get(outcome, "is undecided")
    assert all(verdict in said[stem] for stem in ("03_improved_runs", "04_statistical_analysis"))
    assert re.search(r"\bbase rises", said["01_baseline_sweeps"]) and not re.search(r"(base|pdp) falls", everything)
    for more in re.findall(r"The judge prefers the better-scored attempt .*: (more|less) than coins give", everything):
        assert more == {"helps": "more", "harms": "less"}.get(outcome)
    assert "tokens end is told by: stream (" in everything and not re.search(r"\bnan\b|Empty DataFrame", everything)


NEED_NO_RUN = "08"  # these read no store, so that running them alone is what `anytime run` does already


@pytest.mark.parametrize("stem", [stem for stem in STEMS if not stem.startswith(NEED_NO_RUN)])
def test_each_notebook_runs_alone(
    stem: str, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no other run before it. And papermill knows every setting that its cell lists, so it warns of none."""
    alone = {"outputs": str(tmp_path / "alone"), "tasks": ["natural_plan_trip"], "n_resamples": 100}
    assert told(stem, small | alone, monkeypatch)
    (listed,) = [source for _, source, tags in cells_of_notebook(stem) if "parameters" in tags]
    known = inspect_notebook(str(ROOT / "notebooks" / f"{stem}.ipynb"))
    assert {line.split(" =")[0] for line in listed.splitlines() if " =" in line} == {*known}


def test_a_run_with_failed_requests_is_shown_to_its_end_and_quotes_nothing_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer at the smallest budget fails, and a ninth of the others, and the server quotes what it was asked.
    The canary, which is in questions, options, explanations and replies, stays in the run's store."""

    def quoting(body: dict[str, Any], n: int) -> Any:
        asked, said = body["messages"][0]["content"], say_something(body, n)
        answer = len(body["messages"]) > 1 and not body.get("seed")
        lot = sha256(json.dumps(body, sort_keys=True).encode()).digest()[0]
        if n == 60 or (answer and (len(body["messages"][-2]["content"]) < 30 or lot % 9 == 3)):
            return 400, {"error": {"message": f"cannot take {asked}"}}
        quoted = f"{CANARY}: {asked[:60]} {said}" if body.get("logprobs") else f"{said}, {CANARY}"
        return said if judges(body) else quoted

    questions = official(tmp_path / "gpqa_diamond.csv", (*OFFICIAL, "Explanation"), 24, words=CANARY)
    settings = SMALL | {"run": "private", "outputs": str(tmp_path), "tasks": ["gpqa"], "source": str(questions),
                        "methods": ["base", "budget_prompt", "pdp"], "budgets": [4, 32, 64], "held_out": None,
                        "pool": {"problems": 3, "samples": 3, "budget": 32}}  # fmt: skip
    with closing(FakeServer(quoting)) as server, caplog.at_level(logging.INFO):
        settings["base_url"] = server.base_url
        done = anytime_run(tmp_path, settings, *(STEMS[i] for i in (0, 2, 6, 7)))  # those that show what was said
        assert done.returncode == 0, done.stderr[-2000:]
        run_sweep(RunConfig(**settings), progress=False)
        analysed = [told(stem, settings, monkeypatch) for stem in (STEMS[1], *STEMS[3:6])]
    cells = pd.read_parquet((folder := tmp_path / "private") / "cells.parquet")
    assert set(cells.method) == set(settings["methods"])
    assert (cells[cells.budget == 4].status == "error").all() and (cells[cells.budget == 32].status != "error").any()
    assert "cannot be compared" in (folder / "index.html").read_text("utf-8")
    word = CANARY.split()[1]  # a piece of it would be a leak as well
    holds = {f.name.partition("-")[0] for f in folder.rglob("*") if f.is_file() and word.encode() in f.read_bytes()}
    assert holds == {"store.sqlite"} and word not in done.stdout + done.stderr + caplog.text + "".join(analysed)
    assert "withheld" in (folder / "00_tour.html").read_text("utf-8")


def test_the_baseline_is_that_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebook 03 compares with `baseline`, and says so where it did not run."""
    methods = {"aime": ["base", "direct"], "gpqa": ["base"]}
    few = {"tasks": ["aime", "gpqa"], "n_problems": 4, "n_resamples": 200, "budgets": [32, 128], "baseline": "direct"}
    simulated = yaml.safe_load((ROOT / "params" / "simulated.yaml").read_text("utf-8"))
    own = {"methods": methods, "outputs": str(tmp_path)}
    compared = told("03_improved_runs", simulated | few | own, monkeypatch)
    assert "aime: base " in compared and "aime: direct " not in compared
    assert "gpqa: the baseline, direct, did not run" in compared


def test_papermill_alone(tmp_path: Path) -> None:
    """The analysis of one method with one sample; and a parameter that nobody knows."""
    few = {"model": "simulated", "outputs": str(tmp_path), "tasks": ["aime"], "methods": ["base"], "n_problems": 3,
           "budgets": [8, 32], "n_resamples": 100, "exclude": ["errors", "refused"]}  # fmt: skip
    done = papermill("04_statistical_analysis", tmp_path, few, "-p", "n_samples", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    said = printed(tmp_path / "out.ipynb")
    assert "One method was run" in said and "crossfit" not in said
    done = papermill("04_statistical_analysis", tmp_path, few, "-p", "n_sample", "1")
    assert done.returncode != 0
    assert "unknown parameter 'n_sample'; did you mean 'n_samples'" in done.stderr


@pytest.fixture(scope="module")
def report(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = anytime_run(tmp_path_factory.mktemp("params"), small)
    assert done.returncode == 0, done.stderr[-2000:]
    page = Path(done.stdout.strip().splitlines()[-1])
    assert page.is_file()
    return page


def test_a_second_run_asks_nothing(
    report: Path, small: dict[str, Any], hostile: FakeServer, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    shutil.copytree(report.parent, tmp_path / "small")
    asking = [STEMS[i] for i in (0, 1, 2, 3, 6)]
    settings, before, begun = small | {"outputs": str(tmp_path)}, len(hostile.requests), time.time()
    assert before and all(told(stem, settings, monkeypatch) for stem in asking)
    _write_report(RunConfig(**settings), settings, asking, begun)
    assert "model calls this time: 0" in capsys.readouterr().out
    assert len(hostile.requests) == before, "the second run asked the model"


def test_a_dead_arm_leaves_the_others_standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of one method fails: the analysis says so, and judges the rest."""

    def fails(body: dict[str, Any], n: int) -> Any:
        limited = any("tokens for your reasoning and no more" in str(m["content"]) for m in body["messages"])
        return (400, {"error": {"message": "not that one"}}) if limited else say_something(body, n)

    with closing(FakeServer(fails)) as server:
        own = {"base_url": server.base_url, "tasks": ["gpqa"], "methods": ["base", "direct", "budget_prompt"]}
        settings = SMALL | own | {"held_out": None, "outputs": str(tmp_path)}
        said = told("04_statistical_analysis", settings, monkeypatch)
    assert "budget_prompt cannot be compared with base: base and budget_prompt share no graded cell" in said
    assert "direct against base is " in said and "Of 2 comparisons in the Anytime Index (crossfit), " in said
    assert "1 is impossible to make" in said


def test_what_a_run_leaves(report: Path) -> None:
    folder = report.parent
    for stem in STEMS:
        assert (folder / f"{stem}.ipynb").is_file() and (folder / f"{stem}.html").stat().st_size > 50_000
    cells = pd.read_parquet(folder / "cells.parquet")
    assert len(cells) == 3 * 3 * 3 * 2 * 3  # tasks, methods, problems, samples, budgets
    about = json.loads((folder / "provenance.json").read_text("utf-8"))
    assert about["seed"] == 0 and about["params"]["run"] == "small"
    assert about["versions"]["numpy"] and about["platform"]["cpus"] >= 1
    figures = "01_aime 03_gpqa 04_differences 04_curves_gpqa 04_sensitivity_aime 08_bias_samples 08b_error_rates"
    assert {p.stem for p in (folder / "figures").glob("*.png")} >= {*figures.split()}


def test_what_the_notebooks_of_statistics_say(report: Path) -> None:
    analysis = printed(report.parent / "04_statistical_analysis.ipynb")
    assert "problems_hash" in analysis and "low_missing" in analysis
    for task, method in itertools.product(SMALL["tasks"], ("pdp", "pdp_plus")):
        assert re.search(rf"{task}: {method} against base is undecided.{{,100}} \(crossfit\)", analysis)
    assert "gpqa, base: no budget below 16 was shown" in printed(report.parent / "04b_reference.ipynb")
    running = printed(report.parent / "08_running_maximum.ipynb") + printed(report.parent / "08b_error_rates.ipynb")
    assert "on held-out natural_plan_trip by more than" in printed(report.parent / "03_improved_runs.ipynb")
    assert re.search(r"\b0 of [1-9][\d,]* grades changed", printed(report.parent / "06_grader_audit.ipynb"))
    assert "wrong lost" in running and "simulation: no language model was asked" in running


def test_no_traceback_on_the_command_line(tmp_path: Path) -> None:
    done = anytime_run(tmp_path, SMALL | {"base_url": "http://127.0.0.1:9/v1", "outputs": str(tmp_path)})
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "00_tour.ipynb: no answer from http://127.0.0.1:9/v1" in done.stderr
    done = anytime_run(tmp_path, SMALL | {"outputs": written(tmp_path, SMALL)})  # a file
    assert done.returncode == 2 and "cannot use the store" in done.stderr and "Traceback" not in done.stderr


def test_the_pages_open_without_errors_and_show_what_a_model_said_as_text(report: Path, browser: Any) -> None:
    browser.get(report.as_uri())
    assert "Anytime reasoning" in browser.title
    pictures = browser.find_elements("tag name", "img")
    assert len(pictures) >= 7
    assert all(browser.execute_script("return arguments[0].naturalWidth", p) > 300 for p in pictures)
    links = [a.get_attribute("href") for a in browser.find_elements("tag name", "a")]
    assert all(Path(link.removeprefix("file://").split("#")[0]).exists() for link in links)
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(wide), "the page scrolls sideways"
    if shots := os.environ.get("ANYTIME_SCREENSHOTS"):
        browser.save_screenshot(str(Path(shots) / "index.png"))
    for link in links:
        if link.endswith(".html"):
            browser.get(link)
            assert browser.find_elements("tag name", "h1")
            assert "Traceback" not in browser.page_source and browser.title != "owned"
    assert "onerror" in (report.parent / "00_tour.html").read_text("utf-8")
    severe = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not severe, severe
