"""What does a reader see of a run? Executed notebooks, their HTML, figures, the cells, provenance, a first page."""

from __future__ import annotations

import html
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

from anytime_lib.config import RunConfig, read_yaml
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.models.model import Model
from anytime_lib.stats import declared_family, estimate
from anytime_lib.store import Store
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
    with Model(config).shared():
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
    model = Model(config)
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
    with Store(folder / "store.sqlite") as store:
        ledger, requests = store.ledger(), store.requests()
    cells = run_sweep(config, progress=False)  # everything is stored by now: this only reads
    calls = int((requests.created >= since).sum())
    cells.to_parquet(folder / "cells.parquet", index=False)
    (folder / "provenance.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(_first_page(config, about, cells, ledger, notebooks, calls, time.time() - since), encoding="utf-8")
    print(f"model calls this time: {calls}", flush=True)
    return page


def _first_page(
    config: RunConfig, about: dict[str, Any], cells: pd.DataFrame, ledger: pd.DataFrame, notebooks: list[Path],
    calls: int, seconds: float,
) -> str:  # fmt: skip
    e = html.escape
    figures = sorted((config.folder / "figures").glob("*.png"))
    index = estimate(cells, n_resamples=config.n_resamples, seed=config.seed, confidence_level=config.confidence_level)
    index["interval"] = [f"[{low:.3f}, {high:.3f}]" for low, high in zip(index.low, index.high, strict=True)]
    read = cells.groupby(["task", "method"], sort=False).status.apply(lambda s: f"{(s == 'ok').mean():.0%}")
    index["answers read"] = [read[t, m] for t, m in zip(index.task, index.method, strict=True)]
    shown = index[["task", "method", "index", "interval", "final", "answers read", "n_problems", "n_samples"]]
    verdicts = _verdicts(config, cells)
    pictures = "".join(
        f'<figure><img src="figures/{e(f.name)}" alt="{e(f.stem.replace("_", " "))}"></figure>' for f in figures
    )
    links = "".join(
        f'<li><a href="{e(n.with_suffix(".html").name)}">{e(_title(n))}</a> (<a href="{e(n.name)}">notebook</a>)</li>'
        for n in notebooks
    )
    return _PAGE.format(
        run=e(config.run), model=e(about["model"]["name"]), caveat=e(caveat(about["model"]["name"])), links=links,
        index=_table(shown), verdicts="".join(f"<li>{e(v)}</li>" for v in verdicts),
        level=f"{config.confidence_level:.0%}", resamples=f"{config.n_resamples:,}", pictures=pictures,
        ledger=_table(ledger), calls=calls, seconds=f"{seconds:.0f}", made=e(about["made"]),
        sha=e(str((about["model"]["weights"] or {}).get("sha256", "not known"))), seed=config.seed,
    )  # fmt: skip


def _verdicts(config: RunConfig, cells: pd.DataFrame) -> list[str]:
    """What the declared family of comparisons shows, one sentence for each and one for all."""
    family = declared_family(cells, config)
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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Anytime reasoning: {run}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
 h1 {{ line-height: 1.2 }} h2 {{ margin-top: 2.2rem; border-bottom: 1px solid #ddd }}
 table {{ border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto }}
 th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #eee }}
 th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) {{ text-align: left }}
 img {{ max-width: 100% }} figure {{ margin: 1rem 0 }} .note {{ background: #fff6da; padding: .7rem 1rem }}
 code {{ font-size: 13px; overflow-wrap: anywhere }} a {{ color: #0b5cad }}
</style></head><body>
<h1>Anytime reasoning: {run}</h1>
<p>Model <code>{model}</code>. At every token budget: the best answer the model gives if its reasoning is stopped there.
One trace per sample is cut at each budget, an answer is forced, graded in [0, 1], and the curve is summed up as the
<b>Anytime Index</b> (area under the best-so-far quality curve, 0 to 1).</p>
<p class="note">{caveat}</p>
<h2>Read in this order</h2><ol start="0">{links}</ol>
<h2>Anytime Index</h2>
<p>{level} intervals from {resamples} resamples of whole problems; the running maximum is taken
of the pooled curve. <i>final</i> is mean quality at the largest budget; <i>answers read</i> is the share of forced
answers that the grader could read.</p>{index}
<h2>Did the preferences help?</h2><ul>{verdicts}</ul>
<h2>Curves</h2>{pictures}
<h2>What it took</h2>
<p>All requests stored so far, in tokens of the serving model; prompt tokens include cached ones; seconds are summed
over requests, which overlap. Made in {seconds} s this time, with {calls} model calls.</p>{ledger}
<h2>Where it comes from</h2>
<p>Made {made}; seed {seed}; weights sha256 <code>{sha}</code>. Versions, platform and params:
<a href="provenance.json">provenance.json</a>; settings: <a href="params.yaml">params.yaml</a>; every cell:
<code>cells.parquet</code>; every request and answer: <code>store.sqlite</code>.</p>
</body></html>
"""


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
