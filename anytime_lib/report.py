"""What does a reader see of a run? Executed notebooks, their HTML, figures, the cells, provenance, a first page."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader

from anytime_lib.config import RunConfig, read_yaml
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.models.model import load_model
from anytime_lib.stats import compare_family, estimate
from anytime_lib.store import Store
from anytime_lib.sweep.costs import ledger_table
from anytime_lib.sweep.run import run_sweep
from anytime_lib.types import digest

PACKAGES = ("anytime-lib", "xllamacpp", "openai", "numpy", "scipy", "pandas", "datasets", "papermill")
_ERRORS = ("AnytimeError", "ConfigError", "DataError", "EndpointError", "SpendCapReached")


def caveat(model: str) -> str:
    """What must be said beside a model's numbers; empty if nothing must."""
    if model.startswith("SmolLM2-135M-Instruct"):
        return (
            "SmolLM2-135M-Instruct is a very small model, embedded so that everything runs without a key. Its "
            "reasoning rarely helps it: expect some partial credit on small trips, chance on four-option questions and "
            "next to nothing on mathematics. These curves show that the machinery works; they say nothing about large "
            "models."
        )
    if model.startswith("simulated"):
        return (
            "These numbers are of a simulation: no language model was asked. The simulated respondent reasons by "
            "chance, with rates that its params state, so they show whether the machinery finds a truth that is "
            "known; they say nothing about any model."
        )
    return ""


def run_notebooks(params: str | Path, notebooks: str | Path = "notebooks") -> Path:
    """Execute every numbered notebook with a params file and write the report beside the results.

    Args:
        params: a YAML file of params/.
        notebooks: folder of the numbered notebooks.

    Returns:
        The path of the report's first page.

    Raises:
        AnytimeError: a notebook stopped with one; its sentence is passed on. The notebook, executed that far, is kept.
    """
    config = RunConfig(**(settings := read_yaml(params)))
    found = sorted(Path(notebooks).glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise DataError(f"no notebooks in {str(notebooks)!r}; run this from the project's root")
    started = time.time()
    folder = config.folder
    with Store(folder / "store.sqlite") as store:  # says at once, before any kernel starts, what stands in the way
        if store.read_only:
            raise DataError(f"{folder} cannot be written to; choose another with the parameter 'outputs'")
    with load_model(config).shared():
        for notebook in found:
            begun = time.time()
            _execute(notebook, folder / notebook.name, settings)
            to_html(folder / notebook.name)
            print(f"{notebook.name}: {time.time() - begun:.0f} s", flush=True)
    return write_report(config, settings, [folder / n.name for n in found], since=started)


def _execute(notebook: Path, target: Path, settings: dict[str, Any]) -> None:
    """Run one notebook with papermill; what stops it becomes one sentence."""
    import papermill
    from traitlets.config import Config

    # Kernels are spoken to over sockets in the file system where there are any: nobody else can listen, and two
    # kernels never reach for the same port.
    transport = Config({"KernelManager": {"transport": "ipc" if os.name == "posix" else "tcp"}})
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of settings that a cell does not list
    try:
        papermill.execute_notebook(
            str(notebook), str(target), parameters=settings, progress_bar=False, kernel_name="python3",
            cwd=str(Path.cwd()),  # relative paths in the params mean the same here and in the kernel
            config=transport,
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        if error.ename in _ERRORS:
            raise AnytimeError(f"{notebook.name}: {error.evalue}") from None
        raise AnytimeError(
            f"{notebook.name} stopped with {error.ename}: {str(error.evalue)[:300]}; the notebook as far as it got is "
            f"in {target}"
        ) from None


def to_html(notebook: Path) -> Path:
    """The executed notebook as a page of its own, figures inside it."""
    from nbconvert import HTMLExporter

    logging.getLogger("traitlets").setLevel(logging.ERROR)  # it complains of figures without alternative text
    page, _ = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="").from_filename(str(notebook))
    target = notebook.with_suffix(".html")
    target.write_text(page, encoding="utf-8")
    return target


def provenance(config: RunConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """What a result depends on: versions, model and its weights, params, seed, platform."""
    model = load_model(config)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "platform": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "model": {"name": model.name, "endpoint": model.endpoint_id, "weights": model.weights()},
        "params": settings,
        "config": config.model_dump(),
        "seed": config.seed,
        "command": " ".join(Path(a).name if i == 0 else a for i, a in enumerate(sys.argv)),
    }


def write_report(config: RunConfig, settings: dict[str, Any], notebooks: list[Path], since: float) -> Path:
    """Cells as Parquet, provenance, params and the first page, in the run's folder; returns the page's path."""
    folder = config.folder
    about = provenance(config, settings)
    cells = run_sweep(config, progress=False)  # everything is stored by now: this only reads
    with Store(folder / "store.sqlite") as store:
        ledger, calls = ledger_table(store, config.limits.prices), int((store.requests().created >= since).sum())
    cells.to_parquet(folder / "cells.parquet", index=False)
    (folder / "provenance.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    page = Environment(loader=PackageLoader("anytime_lib", "data"), autoescape=True).get_template("report.html.jinja")
    text = page.render(
        run=config.label, seed=config.seed, model=about["model"]["name"], caveat=caveat(about["model"]["name"]),
        sha=(about["model"]["weights"] or {}).get("sha256", "not known"), made=about["made"],
        level=f"{config.analysis.confidence_level:.0%}", resamples=f"{config.analysis.n_resamples:,}",
        notebooks=[(_title(n), n.with_suffix(".html").name, n.name) for n in notebooks],
        figures=[(f.name, f.stem.replace("_", " ")) for f in sorted((folder / "figures").glob("*.png"))],
        index=_table(_index(config, cells)), verdicts=_verdicts(config, cells), ledger=_table(ledger), calls=calls,
        seconds=f"{time.time() - since:.0f}",
    )  # fmt: skip
    (folder / "index.html").write_text(text, encoding="utf-8")
    print(f"model calls this time: {calls}", flush=True)
    return folder / "index.html"


def _index(config: RunConfig, cells: pd.DataFrame) -> pd.DataFrame:
    """The index of every arm as the first page shows it."""
    index = estimate(cells, **config.resampling).set_index(["task", "method"])
    index["interval"] = [f"[{low:.3f}, {high:.3f}]" for low, high in zip(index.low, index.high, strict=True)]
    read = (cells.status == "ok").groupby([cells.task, cells.method]).mean()
    index["answers read"] = read.map("{:.0%}".format)
    columns = ["task", "method", "index", "interval", "final", "answers read", "n_problems", "n_samples"]
    return index.reset_index()[columns]


def _verdicts(config: RunConfig, cells: pd.DataFrame) -> list[str]:
    """What the declared family of comparisons shows, one sentence for each and one for all."""
    family = compare_family(cells, config.analysis.family, baseline=config.analysis.baseline, **config.resampling)
    if not family.comparisons:
        return ["No method beside the baseline was run."]
    return [f"{m.task}: {c.summary()}" for m, c in family.comparisons.items()] + [family.summary()]


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, border=0, float_format=lambda v: f"{v:,.3f}" if abs(v) < 10 else f"{v:,.0f}")


def _title(notebook: Path) -> str:
    """The first heading of a notebook."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            return str("".join(cell["source"]).split("\n")[0].lstrip("# "))
    return notebook.stem


def measured(cells: pd.DataFrame, config: RunConfig, store: Store) -> pd.DataFrame:
    """Sizes, seed and sources of every arm.

    Returns:
        One row per (task, method), by which it is indexed: n (problems), N (samples a problem), T (budgets), budgets
        (smallest to largest), cells, missing (failures of the machinery), read (share of graded answers that state
        one), seed, source and revision (of the data; where there is none, the hash must do), problems_hash (the first
        digits of a hash of what was asked: equal for equal sets of problems).
    """
    origins = {}
    for task in cells.task.unique():
        here = [p for p in store.problems(task) if p.id in set(cells.problem_id[cells.task == task])]
        sources = sorted({str(p.metadata.get("source", "not known")) for p in here})
        revisions = sorted({str(p.metadata.get("revision", "none")) for p in here})
        asked = digest(sorted(p.content_hash for p in here))[:8]
        origins[task] = {"source": ", ".join(sources), "revision": ", ".join(revisions), "problems_hash": asked}
    rows = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        graded = arm[arm.status != "error"]
        rows.append(
            {"task": task, "method": method, "n": arm.problem_id.nunique(), "N": arm["sample"].nunique(),
             "T": arm.budget.nunique(), "budgets": f"{arm.budget.min()} to {arm.budget.max()}", "cells": len(arm),
             "missing": len(arm) - len(graded), "read": round(float((graded.status == "ok").mean()), 3),
             "seed": config.seed, **origins[task]}
        )  # fmt: skip
    return pd.DataFrame(rows).set_index(["task", "method"])
