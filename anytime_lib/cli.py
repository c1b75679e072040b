"""What can be done from the command line? Every command is one function here."""

from __future__ import annotations

import argparse
import logging
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.models import weights
from anytime_lib.models.embedded import serve_forever
from anytime_lib.report import run_notebooks
from anytime_lib.stats import estimate
from anytime_lib.store import Store
from anytime_lib.sweep.grading import regrade
from anytime_lib.sweep.ledger import against_fresh, ledger_summary, ledger_table
from anytime_lib.sweep.run import run_sweep
from anytime_lib.tools.estimate import estimate_run
from anytime_lib.tools.explain import explain
from anytime_lib.tools.export import export
from anytime_lib.tools.import_traces import import_traces


def main(argv: list[str] | None = None) -> int:
    """Entry point of the `anytime` command; returns the exit status (2 for a mistake that can be mended)."""
    asked = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        asked.run_command(asked)
        return 0
    except AnytimeError as error:
        print(f"anytime: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anytime: stopped; what was stored is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anytime", description="Anytime reasoning for language models.")
    commands = parser.add_subparsers(required=True)

    def command(name: str, function: object, says: str, **positional: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=says, description=says)
        found.set_defaults(run_command=function)
        for argument, about in positional.items():
            found.add_argument(argument, help=about)
        return found

    params = "YAML file, such as params/demo.yaml"
    run = "YAML file of the run, its folder, or its store.sqlite"
    found = command("run", _run, "execute the numbered notebooks and write the report", params=params)
    found.add_argument("--notebooks", default="notebooks", help="folder of the numbered notebooks")
    command("sweep", _sweep, "run a params file's sweep and print its Anytime Index", params=params)
    found = command("estimate", _estimate, "what a sweep would cost and find; nothing is sent", params=params)
    found.add_argument("--tokens-per-second", type=float, help="of one request; as measured on the store by default")
    command("ledger", _ledger, "what a run was billed, and what fresh runs would have cost", run=run)
    traces = "JSONL file: id or text, reasoning, token count"
    found = command("import", _import, "store reasoning that others recorded, for the method `imported`", traces=traces)
    found.add_argument("--task", required=True, help="name of the task the traces are of")
    found.add_argument("--source", help="where the task's problems are; problems of our own by default")
    found.add_argument("--run", default="run", help="the run they go into: its name or folder")
    command("grade", _grade, "grade a run's stored answers again; no model is called", run=run)
    key = "key of the request, or the start of it (trace_key or answer_key of a cell)"
    command("explain", _explain, "which field made a request a new one", key=key, run=run)
    found = command("export", _export, "write a run's tables for others", run=run, folder="where to write")
    found.add_argument("--format", default="parquet", help="parquet, jsonl, huggingface or inspect")
    found = command("serve", _serve, "keep the embedded model (or any GGUF file) running for notebooks")
    found.add_argument("--gguf", help="path of a GGUF file; the embedded model by default")
    says = "port on 127.0.0.1; 0 for any free one"
    found.add_argument("--port", type=int, default=8765, choices=range(65536), metavar="PORT", help=says)
    return parser


def _run(asked: Namespace) -> None:
    print(run_notebooks(asked.params, asked.notebooks).resolve())


def _sweep(asked: Namespace) -> None:
    config = RunConfig.from_yaml(asked.params)
    cells = run_sweep(config)
    print(estimate(cells, **config.resampling).to_string(index=False))
    with Store(config.folder / "store.sqlite", read_only=True) as store:
        print(ledger_summary(ledger_table(store, config.limits.prices)))
    print(config.folder.resolve())


def _estimate(asked: Namespace) -> None:
    found = estimate_run(RunConfig.from_yaml(asked.params), tokens_per_second=asked.tokens_per_second)
    _show(found.table)
    print(found.summary())


def _ledger(asked: Namespace) -> None:
    prices = RunConfig.from_yaml(asked.run).limits.prices if asked.run.endswith((".yaml", ".yml")) else None
    with Store(_store_of(asked.run), read_only=True) as store:
        table = ledger_table(store, prices)
        _show(table)
        _show(against_fresh(store, prices))
    print(ledger_summary(table))


def _import(asked: Namespace) -> None:
    config = RunConfig(run=asked.run, tasks=[asked.task], source=asked.source, methods=["imported"])
    found = import_traces(asked.traces, config, asked.task)
    missed = found.row[found.problem_id.isna()].astype(str)
    print(f"{len(found) - len(missed)} of {len(found)} traces stored in {config.folder.resolve()}")
    if len(missed):
        print(f"no problem matches row {', '.join(missed[:20])}{' ...' if len(missed) > 20 else ''}")
    print("run the method `imported` in this run to have a model answer from them")


def _grade(asked: Namespace) -> None:
    with Store(_store_of(asked.run)) as store:
        changed = regrade(store)
    _show(changed)
    print(f"{len(changed)} grades changed")


def _explain(asked: Namespace) -> None:
    with Store(_store_of(asked.run), read_only=True) as store:
        print(explain(store, asked.key))


def _export(asked: Namespace) -> None:
    with Store(_store_of(asked.run), read_only=True) as store:
        print(*export(store, asked.folder, asked.format), sep="\n")


def _serve(asked: Namespace) -> None:
    serve_forever(weights.resolve(asked.gguf), port=asked.port)


def _store_of(run: str) -> Path:
    """The store of a run that is named by its params, its folder, or the store itself; DataError if there is none."""
    path = Path(run)
    if path.suffix in (".yaml", ".yml"):
        path = RunConfig.from_yaml(path).folder
    path = path if path.suffix == ".sqlite" else path / "store.sqlite"
    if not path.is_file():
        raise DataError(f"there is no run at {path}; `anytime sweep` makes one")
    return path


def _show(table: pd.DataFrame) -> None:
    if len(table):
        print(table.to_string(index=False, float_format=lambda x: f"{x:,.4g}" if x < 1e4 else f"{x:,.0f}") + "\n")


if __name__ == "__main__":
    sys.exit(main())
