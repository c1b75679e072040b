"""What does a reader see of a run? Executed notebooks, their HTML, figures, the cells, provenance, a first page."""

import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.models.model import load_model
from anytime_lib.models.weights import sha256_of
from anytime_lib.plots import plot_accounts, plot_curves, plot_differences, rounded, save, save_table
from anytime_lib.readings import caveat, read_accounts, read_curves, read_index
from anytime_lib.stats import compare_family, estimate
from anytime_lib.stats.family import Family
from anytime_lib.store import Store
from anytime_lib.studies.equal_cost import accounts
from anytime_lib.studies.exclusions import analysed_cells
from anytime_lib.sweep.ledger import ledger_table
from anytime_lib.sweep.run import run_sweep
from anytime_lib.tools.explorer import explore
from anytime_lib.tools.status import status
from anytime_lib.types import digest, lock

PACKAGES = ("anytime-lib", "xllamacpp", "openai", "numpy", "scipy", "pandas", "datasets", "papermill")
INDEX = ["task", "method", "index", "low", "high", "final", "n_problems", "n_samples"]
DIFFERENCES = ["task", "treatment", "baseline", "difference", "low", "high", "pvalue", "pvalue_holm", *INDEX[-2:]]
log = logging.getLogger(__name__)
KERNELS = 3  # that a notebook is given, should they die
DESCRIBED = """{% extends 'index.html.j2' %}{% block data_png %}
{%- set alt = output | get_metadata('alt', 'image/png') or 'A figure without a description' -%}
{{ super() | replace('<img', '<img alt="' ~ (alt | escape) ~ '"', 1) }}{% endblock %}
{% block html_head_css %}{{ super() }}<style>.jp-OutputArea pre { word-break: normal !important }</style>
{%- endblock %}"""
"""nbconvert's page, with the alternative text of each figure, which it leaves out, and without broken words."""


def run_notebooks(settings: dict[str, Any], notebooks: str | Path = "notebooks") -> Path:
    """Execute every numbered notebook with the settings of a run and write the report beside the results; returns the
    path of its first page. Where all that they follow from (the notebooks, the settings, this package, those it
    stands on, and the store) is as it was, they stand as they are. AnytimeError where a notebook stops; it is kept."""
    config = RunConfig(**settings)
    found = sorted(Path(notebooks).glob("[0-9][0-9]*_*.ipynb"))
    if not found:
        raise DataError(f"{Path(notebooks).absolute()} has no numbered notebook; those of the project are at its root")
    started, folder = time.time(), config.folder
    Store(folder / "store.sqlite").close()  # says at once, before any kernel starts, what stands in the way
    first, noted = folder / "index.html", folder / "made_from.txt"
    if first.is_file() and noted.is_file() and noted.read_text("utf-8") == _made_from(found, settings, folder):
        print("model calls this time: 0 (nothing has changed since this was made; delete it to have it made again)")
        return first
    # One process at a time, in which pages are made while the next notebook runs.
    with lock(first), load_model(config).shared(), ThreadPoolExecutor(1) as beside:
        noted.unlink(missing_ok=True)
        (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        pages = []
        for notebook in found:
            begun = time.time()
            _execute(notebook, folder / notebook.name, settings)
            pages.append(beside.submit(_write_page, folder / notebook.name))
            print(f"{notebook.name}: {time.time() - begun:.0f} s", flush=True)
        for page in pages:
            page.result()
        _write_report(config, settings, [notebook.stem for notebook in found], started)
        noted.write_text(_made_from(found, settings, folder) or "what failed is to be tried again", "utf-8")
    return first


def run_grid(runs: list[dict[str, Any]], notebooks: str | Path, jobs: int) -> None:
    """`anytime run` of each run of a grid (`runs_of`), `jobs` at a time, in processes whose words go into `log.txt`
    beside what they make. One that fails stops no other; AnytimeError at the end."""
    folders, begun = [RunConfig(**settings).folder for settings in runs], list[subprocess.Popen[bytes]]()
    try:
        for folder, settings in zip(folders, runs, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    except OSError as error:
        raise DataError(f"cannot write there ({error}); name another folder with the parameter 'outputs'") from None

    anytime = sys.executable, "-m", "anytime_lib.cli"

    def made(folder: Path) -> int:
        one = "run", f"{folder}/params.yaml", "--notebooks", str(notebooks)
        with (folder / "log.txt").open("wb", buffering=0) as said:
            # In a session of its own: Ctrl-C reaches it once, from here.
            begun.append(child := subprocess.Popen([*anytime, *one], stdout=said, stderr=said, start_new_session=True))
            if (code := child.wait()) not in (0, 2, 130):  # by which `anytime` itself has said why
                said.write(f"\nanytime: it ended with status {code}; see {said.name}\n".encode())
        return code

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        waiting = {pool.submit(made, folder): folder.name for folder in folders}
        try:
            for one in as_completed(waiting):
                print(f"{waiting[one]}: {'failed' if one.result() else 'done'}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in begun:
                child.terminate()
            raise
    print(status(folders[0].parent)[1])
    if failed := sum(bool(one.result()) for one in waiting):
        what = "mend what is said of them and give the same command again; those that are done stay as they are"
        raise AnytimeError(f"{failed} of {len(runs)} runs failed: {what}")


def _made_from(notebooks: Sequence[Path], settings: dict[str, Any], folder: Path) -> str | None:
    """A hash of all that a run's notebooks and report follow from: notebooks, settings, files that these name, the
    reader's labels, packages, requests and cells. None where a request failed, which is to be tried again."""
    with Store(folder / "store.sqlite", read_only=True) as store:
        requests, cells = store.requests(), store.cells()
    stored = [int(pd.util.hash_pandas_object(table, index=False).sum()) for table in (requests, cells)]
    files = [*notebooks, *Path(__file__).parent.rglob("*.*"), *_named(settings), folder / "labels.csv"]
    hashes = {str(path): sha256_of(path) for path in files if path.suffix != ".pyc" and path.is_file()}
    about = [os.environ.get("ANYTIME_BENCH_DATA", ""), {name: version(name) for name in PACKAGES}]
    return digest([hashes, settings, stored, about]) if (requests.status == "ok").all() else None


def _named(value: object) -> list[Path]:
    """The paths, of files or not, that the texts in a setting may be."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [Path(value)] if isinstance(value, str) and len(value) < 250 else []
    return own + [path for part in inside for path in _named(part)]


def _execute(notebook: Path, target: Path, settings: dict[str, Any]) -> None:
    """Run one notebook with papermill, again where its kernel dies; what stops it becomes one sentence."""
    import papermill
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of settings that a cell does not list
    for left in reversed(range(KERNELS)):
        try:
            # A kernel is spoken to by sockets in a folder of its own, where the system has such: nobody else can
            # listen, and no two kernels that start at once, in whatever process, take the same ones.
            with tempfile.TemporaryDirectory() as folder:
                sockets = {"transport": "ipc", "ip": f"{folder}/kernel"} if os.name == "posix" else {}
                # A kernel says in the user's terminal that it is shut down, and its event loop what it met meanwhile.
                quiet = "import logging; logging.getLogger('tornado.general').disabled = True"
                arguments = ["--log-level=50", f"--IPKernelApp.exec_lines={quiet}"]
                how: dict[str, Any] = {"extra_arguments": arguments, "cwd": str(Path.cwd())}  # as paths are meant
                how |= {"progress_bar": False, "kernel_name": "python3", "start_timeout": 600}
                how |= {"config": Config({"KernelManager": sockets})}
                papermill.execute_notebook(str(notebook), str(target), parameters=settings, **how)
            return
        except papermill.PapermillExecutionError as error:
            why = f"{str(error.evalue)[:500]} ({error.ename}; the notebook as far as it got is in {target})"
            raise AnytimeError(f"{notebook.name}: {why}") from None
        except RuntimeError as error:  # the kernel died, as where memory runs out; what it stored is kept
            if not left:
                why = f"{KERNELS} kernels died ({error}; as far as the last one got is in {target})"
                raise AnytimeError(f"{notebook.name}: {why}: see that memory is enough, and run again") from None
            log.warning("%s: its kernel died (%s) and is started anew", notebook.name, error)


def _write_page(notebook: Path) -> None:
    """An executed notebook as a page, with its figures inside."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    last_bar = Config({"CoalesceStreamsPreprocessor": {"enabled": True}})  # of all that a bar was, what it came to
    exporter = HTMLExporter(last_bar, embed_images=True, mathjax_url="", require_js_url="", raw_template=DESCRIBED)
    page, _ = exporter.from_filename(str(notebook))
    notebook.with_suffix(".html").write_text(page, encoding="utf-8")


def _write_report(config: RunConfig, settings: dict[str, Any], notebooks: list[str], since: float) -> Path:
    """Cells as Parquet, provenance and the first page, in the run's folder; returns the page's path."""
    folder, model = config.folder, load_model(config)
    everything = run_sweep(config, progress=False)  # all of it is stored by now: this only reads
    everything.to_parquet(folder / "cells.parquet", index=False)
    cells, left_out = analysed_cells(config, everything)
    with Store(folder / "store.sqlite", read_only=True) as store:
        ledger, calls = ledger_table(store, config.limits.prices), int((store.requests().created >= since).sum())
    about = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "platform": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "model": {"name": model.name, "endpoint": model.endpoint_id, "weights": model.weights},
        "params": settings,
        "config": config.model_dump(),
        "seed": config.seed,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
    page = Environment(loader=PackageLoader("anytime_lib", "data"), autoescape=True).get_template("report.html.jinja")
    of, again = config.analysis, config.resampling
    family = compare_family(cells, of.family, baseline=of.baseline, estimand=of.estimand, **again)
    index = estimate(cells, **again)
    save_table(index[INDEX], folder / "figures" / "report_index.md")
    if family.comparisons:
        save_table(family.to_frame()[DIFFERENCES], folder / "figures" / "report_differences.md")
    told = {"about": about, "run": config.label, "caveat": caveat(model.name), "notebooks": notebooks, "calls": calls}
    told |= {"family": family, "figures": _figures(cells, config, family), "analysis": of, "cells": cells}
    told["left_out"] = int(left_out.cells.iloc[-1])
    told |= {"index": rounded(index[INDEX]).to_html(index=False, border=0), "index_reading": read_index(index)}
    told["more"] = sorted(p.stem for p in (folder / "figures").glob("*.png") if not p.stem.startswith("report_"))
    told["explorer"] = explore(config).name
    told["ledger"] = rounded(ledger).to_html(index=False, border=0)
    text = page.render(told, seconds=time.time() - since)
    (folder / "provenance.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"model calls this time: {calls}", flush=True)
    return folder / "index.html"


def _figures(cells: pd.DataFrame, config: RunConfig, family: Family) -> list[dict[str, str]]:
    """The figures of the first page, written into the run's folder: differences, and curves and costs of every task,
    each with its name (empty where there was nothing to draw), alternative text and reading."""
    found: list[dict[str, str]] = []
    quick: dict[str, Any] = {"seed": config.seed, "confidence_level": config.analysis.confidence_level}

    def shown(name: str, figure: Any, reading: str) -> None:
        save(figure, config.folder / "figures" / f"report_{name}.png")
        found.append({"name": f"report_{name}" if figure.axes else "", "alt": figure.alt, "reading": reading})

    if family.comparisons:
        title = f"Treatment less baseline, {cells.model.iloc[0]}"
        shown("differences", plot_differences(family, title=title), family.summary())
    for task, part in cells.groupby("task", sort=False):
        shown(f"curves_{task}", plot_curves(part, **quick), read_curves(part, **quick))
        try:
            with Store(config.folder / "store.sqlite", read_only=True) as store:
                costs = accounts(part, store)
            reading = read_accounts(costs, baseline=config.analysis.baseline)
            shown(f"costs_{task}", plot_accounts(costs), reading)
        except DataError as error:
            found.append({"name": "", "alt": "", "reading": f"{task}: {error}."})
    return found


def measured(cells: pd.DataFrame, config: RunConfig, store: Store) -> pd.DataFrame:
    """One row per (task, method), by which it is indexed: n (problems), N (samples of each), T (budgets), budgets
    (smallest to largest), cells, missing (failures of the machinery), read (share of graded answers that state one),
    source and revision of the data, problems_hash (the first digits of a hash of what was asked: equal for equal sets
    of problems), seed."""
    about = [(p.task, p.id, p.content_hash, *map(p.metadata.get, ("source", "revision"))) for p in store.problems()]
    known = pd.DataFrame(about, columns=["task", "problem_id", "hash", "source", "revision"]).fillna("none").astype(str)

    def listed(names: pd.Series) -> str:
        return ", ".join(sorted(set(names)))

    failed = cells.status == "error"
    arms = cells.assign(failed=failed, read=(cells.status == "ok").astype(float).mask(failed)).merge(known)
    told: dict[str, Any] = {"n": ("problem_id", "nunique"), "N": ("sample", "nunique"), "T": ("budget", "nunique")}
    told["budgets"] = ("budget", lambda budgets: f"{budgets.min()} to {budgets.max()}")
    told |= {"cells": ("budget", "size"), "missing": ("failed", "sum"), "read": ("read", "mean")}
    told |= {"source": ("source", listed), "revision": ("revision", listed)}
    told["problems_hash"] = ("hash", lambda hashes: digest(sorted(set(hashes)))[:8])
    table = arms.groupby(["task", "method"], sort=False).agg(**told)
    return table.round({"read": 3}).assign(seed=config.seed)
