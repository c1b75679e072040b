"""What can be done from the command line? Every command is one function here."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from anytime_lib.errors import AnytimeError, ConfigError, DataError

if TYPE_CHECKING:
    from anytime_lib.config import RunConfig


def main(argv: list[str] | None = None) -> int:
    """Entry point of the `anytime` command; returns the exit status (2 for a mistake that can be mended)."""
    parser = argparse.ArgumentParser(prog="anytime", description="Anytime reasoning for language models.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="execute the numbered notebooks with a params file and write the report")
    run.add_argument("params", help="YAML file, such as params/demo.yaml")
    run.add_argument("--notebooks", default="notebooks", help="folder of the numbered notebooks")
    sweep = commands.add_parser("sweep", help="run a params file's sweep and print its Anytime Index")
    sweep.add_argument("params", help="YAML file")
    estimate = commands.add_parser("estimate", help="what a params file's sweep would cost and find; nothing is sent")
    estimate.add_argument("params", help="YAML file")
    estimate.add_argument("--tokens-per-second", type=float, help="of one request; as measured on the store by default")
    ledger = commands.add_parser("ledger", help="what a run was billed, and what fresh runs would have cost")
    ledger.add_argument("params", help="YAML file of the run")
    bring = commands.add_parser("import", help="store reasoning that others recorded, for the method `recorded`")
    bring.add_argument("traces", help="JSONL file: id or text, reasoning, token count, final answer")
    bring.add_argument("--task", required=True, help="name of the task the traces are of")
    bring.add_argument("--params", help="YAML file of the run they go into (its source and folder)")
    bring.add_argument("--source", help="where the task's problems are, if the params do not say")
    bring.add_argument("--run", help="name of the run, if the params do not say")
    grade = commands.add_parser("grade", help="grade a run's stored answers again; no model is called")
    grade.add_argument("params", help="YAML file of the run")
    why = commands.add_parser("why", help="compare a stored request with its nearest neighbour: why was it not cached?")
    why.add_argument("key", help="key of the request, or the start of it (trace_key or answer_key of a cell)")
    why.add_argument("run", help="YAML file of the run, its folder, or its store.sqlite")
    export = commands.add_parser("export", help="write a run's tables for others; private texts stay here")
    export.add_argument("run", help="YAML file of the run, its folder, or its store.sqlite")
    export.add_argument("folder", help="where to write")
    export.add_argument("--format", default="parquet", help="parquet, jsonl, huggingface or inspect")
    serve = commands.add_parser("serve", help="keep the embedded model (or any GGUF file) running for notebooks")
    serve.add_argument("--gguf", help="path of a GGUF file; the embedded model by default")
    serve.add_argument("--port", type=int, default=8765, help="port on 127.0.0.1; 0 for any free one")
    serve.add_argument("--slots", type=int, default=4, help="requests served at once")
    serve.add_argument("--context", type=int, default=4096, help="tokens of context per request")
    asked = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        commands_ = {"run": _run, "sweep": _sweep, "estimate": _estimate, "ledger": _ledger, "import": _import,
                     "grade": _grade, "why": _why, "export": _export, "serve": _serve}  # fmt: skip
        return commands_[asked.command](asked)
    except AnytimeError as error:
        print(f"anytime: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anytime: stopped; what was stored is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def _run(asked: argparse.Namespace) -> int:
    from anytime_lib.report import run_notebooks

    page = run_notebooks(asked.params, asked.notebooks)
    print(page.resolve())
    return 0


def _sweep(asked: argparse.Namespace) -> int:
    from anytime_lib.config import RunConfig
    from anytime_lib.stats import estimate
    from anytime_lib.store import Store
    from anytime_lib.sweep.ledger import ledger_table, reading
    from anytime_lib.sweep.run import run_sweep

    config = RunConfig.from_yaml(asked.params)
    cells = run_sweep(config)
    print(estimate(cells, n_resamples=config.analysis.n_resamples, seed=config.seed).to_string(index=False))
    with Store(config.folder / "store.sqlite") as store:
        print(reading(ledger_table(store, config.limits.prices)))
    print(Path(config.folder).resolve())
    return 0


def _estimate(asked: argparse.Namespace) -> int:
    from anytime_lib.config import RunConfig
    from anytime_lib.tools.estimate import estimate_run

    rate = asked.tokens_per_second
    if rate is not None and not 0 < rate < math.inf:
        raise ConfigError(f"--tokens-per-second must be a finite number above 0, not {rate:g}")
    found = estimate_run(RunConfig.from_yaml(asked.params), tokens_per_second=rate)
    if len(found.table):
        print(found.table.to_string(index=False, float_format=lambda x: f"{x:,.2f}" if x < 10 else f"{x:,.0f}"))
    print(found.summary())
    return 0


def _ledger(asked: argparse.Namespace) -> int:
    from anytime_lib.config import RunConfig
    from anytime_lib.store import Store
    from anytime_lib.sweep.ledger import against_fresh, identical_traces, ledger_table, reading

    config = RunConfig.from_yaml(asked.params)
    path = _there(config, asked.params)
    with Store(path) as store:
        table = ledger_table(store, config.limits.prices)
        for frame in (table, against_fresh(store, config.limits.prices), identical_traces(store)):
            print(frame.to_string(index=False, float_format=lambda x: f"{x:,.4g}" if x < 1e4 else f"{x:,.0f}") + "\n")
    print(reading(table))
    return 0


def _there(config: RunConfig, params: str) -> Path:
    """Where a run's store is; DataError if there is none."""
    path = config.folder / "store.sqlite"
    if not path.is_file():
        raise DataError(f"there is no run at {path}; `anytime sweep {params}` makes one")
    return path


def _import(asked: argparse.Namespace) -> int:
    from anytime_lib.config import RunConfig, read_yaml
    from anytime_lib.tools.import_traces import import_traces

    context = {"run": asked.run, "source": asked.source and {asked.task: asked.source}}
    settings = read_yaml(asked.params) if asked.params else {"tasks": [asked.task], "methods": ["recorded"]}
    config = RunConfig(**(settings | {k: v for k, v in context.items() if v}))
    found = import_traces(asked.traces, config, asked.task)
    matched = found.dropna(subset="problem_id")
    print(f"{len(matched)} of {len(found)} traces stored in {config.folder.resolve()}")
    if len(missed := found[found.problem_id.isna()]):
        print(f"no problem matches row {', '.join(map(str, missed.row[:20]))}{' ...' if len(missed) > 20 else ''}")
    if len(scored := matched.dropna(subset="score")):
        print(f"recorded answers: {len(scored)} graded, mean score {scored.score.mean():.3f}, "
              f"{scored.correct.mean():.1%} correct, {(scored.status == 'ok').mean():.1%} read")  # fmt: skip
    print("run the method `recorded` in this run to have a model answer from them")
    return 0


def _grade(asked: argparse.Namespace) -> int:
    from anytime_lib.config import RunConfig
    from anytime_lib.store import Store
    from anytime_lib.sweep.grading import regrade

    with Store(_there(RunConfig.from_yaml(asked.params), asked.params)) as store:
        changed = regrade(store)
    print(f"{len(changed)} grades changed" + (f":\n{changed.to_string(index=False)}" if len(changed) else ""))
    return 0


def _why(asked: argparse.Namespace) -> int:
    from anytime_lib.tools import explain as why

    return why.main(_store_of(asked.run), asked.key)


def _export(asked: argparse.Namespace) -> int:
    from anytime_lib.tools import export

    return export.main(_store_of(asked.run), asked.folder, asked.format)


def _store_of(run: str) -> Path:
    """The store of a run that is named by its params, its folder, or the store itself."""
    from anytime_lib.config import RunConfig

    path = Path(run)
    if path.suffix in (".yaml", ".yml"):
        path = RunConfig.from_yaml(path).folder
    return path if path.suffix == ".sqlite" else path / "store.sqlite"


def _serve(asked: argparse.Namespace) -> int:
    from anytime_lib.models import weights
    from anytime_lib.models.embedded import serve_forever

    if not 0 <= asked.port <= 65535:
        raise ConfigError(f"--port must be between 0 (any free one) and 65535, not {asked.port}")
    serve_forever(weights.resolve(asked.gguf), port=asked.port, slots=asked.slots, context=asked.context)
    return 0


if __name__ == "__main__":
    sys.exit(main())
