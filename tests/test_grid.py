"""Many experiments from one file: which they are, how they are made, and what `anytime status` tells of them."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from conftest import Config, refused

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.sweep.ledger import ledger_table
from anytime_lib.tools.grid import runs_of
from anytime_lib.tools.status import status

SHIPPED = Path(__file__).parent.parent / "params" / "grid.yaml"


def written(folder: Path, settings: dict[str, Any]) -> Path:
    (path := folder / "grid.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    return path


def test_each_combination_is_a_run_with_a_name_that_can_be_read(tmp_path: Path) -> None:
    remote = {"model": "Qwen/Qwen3-8B", "base_url": "http://127.0.0.1:1/v1"}
    axes = {"model": ["simulated", remote], "tasks": ["aime", ["aime", "gpqa"]], "methods": [["base", "pdp"], "base"]}
    own = {"run": "many", "tasks": {"aime": {"difficulty": [2]}}, "concurrency": 9, "n_problems": 2}
    runs = [RunConfig(**run) for run in runs_of(written(tmp_path, own | {"grid": axes | {"seed": [3]}}))]
    names = [f"{m}_{t}_{a}_seed-3" for m in ("simulated", "Qwen-Qwen3-8B") for t in ("aime", "aime-gpqa")
             for a in ("base-pdp", "base")]  # fmt: skip
    assert [run.folder for run in runs] == [Path("outputs", "many", name) for name in names]
    assert runs[2].tasks == {"aime": {"difficulty": [2]}, "gpqa": {}} and runs[1].methods == ["base"]
    assert runs[3].endpoint.base_url is None and runs[4].endpoint.base_url == remote["base_url"]
    assert {run.endpoint.concurrency for run in runs} == {9} and {run.seed for run in runs} == {3}
    assert runs_of(written(tmp_path, own)) == [own]


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ([1, 2], "a list of values for each"),
        ({"seed": []}, "a list of values for each"),
        ({"sed": [1]}, "unknown parameter 'sed'; did you mean 'seed'"),
        ({"model": ["a/b", "a-b"]}, "two runs would be named 'outputs/run/a-b'"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_before_anything_starts(axes: Any, says: str, tmp_path: Path) -> None:
    with refused(ConfigError, says):
        runs_of(written(tmp_path, {"grid": axes}))


def test_what_the_shipped_grid_costs_is_told_of_each_run(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    (params := tmp_path / "few.yaml").write_text(SHIPPED.read_text("utf-8").replace(": 12\n", ": 2\n"), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["estimate", str(params)]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    calls = [float(row[1].replace(",", "")) for name, row in rows.items() if name.startswith("qwen")]
    assert len(calls) == 8 and sum(calls) == float(rows["in"][2].replace(",", ""))
    assert main(["sweep", str(params)]) == 2
    assert "outputs/grid/qwen2.5-coder-0.5b_aime_seed-1/params.yaml" in capsys.readouterr().err


CELLS = [
    "import os, time\nfrom pathlib import Path\nfrom anytime_lib import Parameters, run_sweep\n"
    "parameters = Parameters(globals())",
    "run = 'run'",
    "config = parameters.config()\nrun_sweep(config, progress=False)\nhere = Path(os.environ['HERE'])",
    "if config.label == 'aime_seed-1' and not (here / 'died').exists():\n    (here / 'died').touch()\n    os._exit(9)",
    "if config.label == 'gpqa_seed-1':\n    raise ValueError('no luck')",
    "while config.label == 'gpqa_seed-2' and not (here / 'go').exists():\n    time.sleep(0.1)",
]


def test_a_grid_is_made_run_by_run_and_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    """Of four runs one's kernel dies once, one fails, and one takes so long that the grid is stopped, looked at
    meanwhile. Made again, what was done stays, and the error of the one that fails is told at the end."""
    (tmp_path / "notebooks").mkdir()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, CELLS)], metadata={"kernelspec": kernel})
    book.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(book, tmp_path / "notebooks" / "00_small.ipynb")
    settings = {"outputs": str(tmp_path), "run": "grid", "model": "simulated", "methods": ["base"], "n_problems": 3,
                "n_resamples": 100, "budgets": [8, 9], "grid": {"tasks": ["aime", "gpqa"], "seed": [1, 2]}}  # fmt: skip
    params, folder = written(tmp_path, settings), tmp_path / "grid"
    monkeypatch.setenv("HERE", str(tmp_path))
    command = [sys.executable, "-m", "anytime_lib.cli", "run", str(params), "--jobs", "2", "--notebooks"]
    command.append(str(tmp_path / "notebooks"))
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def states() -> dict[str, str]:
        table = status(folder)[0]
        return dict(zip(table.run.map(lambda run: Path(run).name), table.state, strict=True))

    meanwhile = {"aime_seed-1": "done", "aime_seed-2": "done", "gpqa_seed-1": "failed", "gpqa_seed-2": "running"}
    until, seen = time.monotonic() + 900, dict[str, str]()
    while seen != meanwhile and first.poll() is None and time.monotonic() < until:
        time.sleep(0.5)
        seen = states() if folder.is_dir() else {}
    first.send_signal(signal.SIGTERM)
    _, told = first.communicate(timeout=600)
    assert seen == meanwhile, told
    assert first.returncode == 130 and "the same command goes on" in told and "Traceback" not in told
    assert states() == meanwhile | {"gpqa_seed-2": "stopped"}
    assert "its kernel died" in (folder / "aime_seed-1" / "log.txt").read_text("utf-8")
    with Store(folder / "aime_seed-1" / "store.sqlite", read_only=True) as store:
        assert not store.attempts().key.duplicated().any()  # the second kernel asked nothing again

    (tmp_path / "go").touch()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "1 of 4 runs failed: mend what is said" in again.stderr
    assert "gpqa_seed-1: 00_small.ipynb: no luck (ValueError" in again.stdout.split("gpqa_seed-2: done")[-1]
    assert "3 done, 1 failed" in again.stdout and states() == meanwhile | {"gpqa_seed-2": "done"}
    kept = {run for run in meanwhile if "nothing has changed" in (folder / run / "log.txt").read_text("utf-8")}
    assert kept == {"aime_seed-1", "aime_seed-2"}


def test_status_of_a_sweep_and_its_shards(config: Config, tmp_path: Path, capsys: Any) -> None:
    """What is told costs what the ledger says, a shard that took along what is stored costs nothing, and a process
    that was killed is not at work. Nothing is written."""
    prices = written(tmp_path, {"prices": []}).with_name("prices.yaml")
    prices.write_text("- {model: fake, input: 1000, output: 1000}", "utf-8")
    its = config(prices=str(prices))
    run_sweep(its, progress=False)
    with Store(its.folder / "store.sqlite", read_only=True) as store:
        paid = ledger_table(store, its.limits.prices).dollars.sum()
    shutil.copytree(its.folder, its.folder / "shards" / "0")
    files = {path: path.stat().st_mtime_ns for path in its.folder.rglob("*")}
    table, words = status(its.folder, [its])
    assert {path: path.stat().st_mtime_ns for path in its.folder.rglob("*")} == files
    own = table.set_index("run").loc["run"]
    assert (own.state, own.cells, own.planned, own.errors) == ("done", 24, 24, 0) and own.dollars == pytest.approx(paid)
    assert f"${paid:.2f} in all" in words and paid > 1
    levels = its.but(sampling={"mode": "effort", "efforts": ["low", "high"]})
    assert status(its.folder, [levels])[0].planned[0] == 12
    code = "import sys\nfrom anytime_lib import Store\nwith Store(sys.argv[1]):\n    print(1, flush=True)\n    input()"
    command = [sys.executable, "-c", code, str(its.folder / "store.sqlite")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        found = [status(its.folder, [its.but(n_problems=9)])[0].set_index("run").loc["run"]]
        child.kill()
    found.append(status(its.folder, [its.but(n_problems=9)])[0].set_index("run").loc["run"])
    assert [(row.state, row.planned) for row in found] == [("running", 72), ("stopped", 72)]
    assert main(["status", str(its.folder)]) == 0 and "2 idle; 2,191 tokens" in capsys.readouterr().out
    with refused(DataError, "no run in .*nowhere"):
        status(tmp_path / "nowhere")
