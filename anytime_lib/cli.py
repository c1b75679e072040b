"""What can be done from the command line?"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from anytime_lib import __version__
from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, ConfigError, DataError
from anytime_lib.models import weights
from anytime_lib.models.embedded import serve_forever
from anytime_lib.report import run_grid, run_notebooks
from anytime_lib.stats import estimate
from anytime_lib.store import Store
from anytime_lib.sweep.grading import regrade
from anytime_lib.sweep.ledger import against_fresh, ledger_summary, ledger_table
from anytime_lib.sweep.run import run_sweep
from anytime_lib.tools.batch import run_batches
from anytime_lib.tools.doctor import diagnose
from anytime_lib.tools.estimate import estimate_run, number
from anytime_lib.tools.explain import explain
from anytime_lib.tools.explorer import explore
from anytime_lib.tools.export import FORMATS, export
from anytime_lib.tools.grid import runs_of
from anytime_lib.tools.import_traces import import_traces
from anytime_lib.tools.on_ray import sweep_on_ray
from anytime_lib.tools.repeat import repeat_answers
from anytime_lib.tools.shards import merge, prepare, sweep_shard
from anytime_lib.tools.status import status


def main(argv: list[str] | None = None) -> int:
    """Entry point of the `anytime` command; returns the exit status (2 for a mistake that can be mended)."""
    asked = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of schedulers and containers: it is as Ctrl-C
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        _run(asked)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes as it ends
        return 141  # as shells have it
    except AnytimeError as error:
        print(f"anytime: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anytime: stopped; what was stored is kept, and the same command goes on from there", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """What may be asked; the help of each command ends with an example."""
    whole = argparse.ArgumentParser(prog="anytime", description="Anytime reasoning for language models.")
    whole.add_argument("--version", action="version", version=f"anytime-lib {__version__}")
    commands = whole.add_subparsers(dest="command", required=True)

    def command(example: str, says: str, **arguments: str) -> argparse.ArgumentParser:
        name = example.split()[0]
        found = commands.add_parser(name, help=says, description=says, epilog=f"example: anytime {example}")
        for argument, about in arguments.items():
            optional = {"nargs": "?"} if about.endswith("by default") else {}
            found.add_argument(argument, help=about, **optional)  # type: ignore[arg-type]
        return found

    params, run = "YAML file, such as params/demo.yaml", "YAML file of the run, its folder, or its store.sqlite"
    some = f"{params}; the defaults of every setting by default"
    found = command("run params/demo.yaml", "execute the numbered notebooks and write the report", params=params)
    found.add_argument("--notebooks", default="notebooks", help="folder of the numbered notebooks")
    found.add_argument("--jobs", type=int, default=1, help="runs of a grid that are made at the same time")
    again = "ask stored answers again, one at a time: does the server say the same? Costs their price"
    command("repeat params/demo.yaml --answers 20", again, params=params).add_argument(
        "--answers", type=int, default=40, help="how many; %(default)s by default"
    )
    place = f"{run}; that of a grid"
    command("status outputs/grid", "what is done, running, failed, and what it cost; it may be running", run=place)
    command("config params/demo.yaml", "print every setting: its value, what it is, its default", params=some)
    command("doctor params/demo.yaml", "is all there that a run needs? If not, what to do; fetches data", params=some)
    found = command("sweep params/quick.yaml", "run a params file's sweep and print its Anytime Index", params=params)
    cheaper = "through the provider's Batch API, which costs less and takes up to a day for each wave of requests"
    how = found.add_mutually_exclusive_group()
    how.add_argument("--prepare", action="store_true", help="make what the methods prepare, once, before any shard")
    how.add_argument("--shard", metavar="i/n", help="sweep one of n parts of it, i from 0 to n - 1, on its own store")
    how.add_argument("--batch", action="store_true", help=cheaper)
    how.add_argument("--engine", choices=["ray"], help="on a Ray cluster; the options that follow are for it")
    found.add_argument("--address", help="of the cluster, as HEAD:6379; the one here, or a new one, by default")
    found.add_argument("--workers", type=int, help="one for each node by default")
    found.add_argument("--serve", metavar="COMMAND", help="with which each worker serves the model on its node")
    command("merge outputs/demo", "put the stores of a run's shards into the run's own", run=run).add_argument(
        "stores", nargs="*", help="those to put there, files or folders; the run's shards by default"
    )
    costs = "estimate params/paper/gpt-4o.yaml --tokens-per-second 50"
    found = command(costs, "what a sweep would cost and find; asks no model, fetches the tasks' data", params=params)
    found.add_argument("--batch", action="store_true", help=cheaper)
    found.add_argument("--tokens-per-second", type=float, help="of one request; as measured on the store by default")
    command("ledger outputs/demo", "what a run was billed, and what fresh runs would have cost", run=run)
    traces = "JSONL file, or a JSON list: id or text, reasoning, token count"
    theirs = "import traces.jsonl --task natural_plan_trip --source trip_planning.json --run theirs"
    found = command(theirs, "store reasoning that others recorded, for the method `imported`", traces=traces)
    found.add_argument("--task", required=True, help="name of the task the traces are of")
    found.add_argument("--source", help="where the task's problems are; problems of our own by default")
    found.add_argument("--run", default="run", help="the run they go into: its name or folder")
    command("grade outputs/demo", "grade a run's stored answers again; no model is called", run=run)
    command("report outputs/demo", "write the explorer, a page to read the run's traces and answers by", run=run)
    key = "key of the request, or the start of it (trace_key or answer_key of a cell)"
    command("explain 3f2a outputs/demo", "which field made a request a new one", key=key, run=run)
    others = "export outputs/demo out --format jsonl"
    found = command(others, "write a run's tables for others", run=run, folder="where")
    found.add_argument("--format", default="parquet", help=", ".join(FORMATS))
    found = command("serve --model qwen2.5-coder-1.5b", "keep an embedded model (or any GGUF file) for notebooks")
    models = f"{', '.join(weights.WEIGHTS)}, or the path of a .gguf file; %(default)s, the first, by default"
    found.add_argument("--model", "--gguf", default="embedded", help=models)
    found.add_argument("--port", type=int, default=8765, help="on 127.0.0.1; 0 for any free one")
    found.add_argument("--slots", type=int, default=4, help="requests that are worked on at the same time")
    found.add_argument("--context", type=int, help="tokens of prompt and reply of each; 4096 or more by default")
    return whole


def _run(asked: argparse.Namespace) -> None:
    for name in ("jobs", "workers", "tokens_per_second", "slots", "context", "answers"):
        if (value := getattr(asked, name, None)) is not None and not value > 0:
            raise ConfigError(f"--{name.replace('_', '-')} must be more than 0, not {value}")
    match asked.command:
        case "run":
            if len(runs := runs_of(asked.params)) > 1:
                run_grid(runs, asked.notebooks, asked.jobs)
            elif asked.jobs > 1:
                raise ConfigError(f"--jobs is for the runs of a grid, and {asked.params} is one run: leave it out")
            else:
                print(run_notebooks(runs[0], asked.notebooks).resolve())
        case "status":
            configs = [RunConfig(**run) for run in runs_of(asked.run)] if asked.run.endswith((".yaml", ".yml")) else []
            folder = configs[0].folder if configs else _config(asked.run).folder
            table, words = status(folder.parent if len(configs) > 1 else folder, configs)
            _show(table)
            print(words)
        case "config":
            print((_alone(asked.params) if asked.params else RunConfig()).to_yaml(), end="")
        case "doctor":
            wrong = list[str]()
            for what, well, says in diagnose(_alone(asked.params) if asked.params else RunConfig()):
                print({True: "ok ", None: "-- ", False: "NOT"}[well], f"{what}: {says}", flush=True)
                wrong += [what] * (well is False)
            print("(ok: it is there; --: it is not, and not every run needs it; NOT: to be mended before such a run)")
            if wrong:
                raise DataError(f"to be mended before such a run: {', '.join(wrong)}")
        case "sweep" if not asked.engine and (asked.address or asked.workers or asked.serve):
            raise ConfigError("--address, --workers and --serve are for a Ray cluster: give --engine ray with them")
        case "sweep" if asked.prepare:
            prepare(config := _alone(asked.params))
            print(f"prepared: {config.folder.resolve()}")
        case "sweep" if asked.shard:
            cells, folder = sweep_shard(_alone(asked.params), asked.shard)
            print(f"cells: {len(cells):,}, of them errors: {(cells.status == 'error').sum():,}; {folder}")
            print(f"when all shards are swept: anytime merge {asked.params}")
        case "sweep":
            config = _alone(asked.params)
            how = {"address": asked.address, "workers": asked.workers, "serve": asked.serve}
            here = run_batches if asked.batch else run_sweep
            table = sweep_on_ray(config, **how) if asked.engine else here(config)
            print(estimate(table, **config.resampling).to_string(index=False))
            level = config.analysis.confidence_level
            print(f"index: best so far of the mean curve (order: pooled); low, high: its {level:.0%} interval")
            with _store(config) as store:
                print(ledger_summary(ledger_table(store, config.limits.prices)))
            print(config.folder.resolve())
        case "repeat":
            with _store(config := _alone(asked.params)):
                pass  # else a run that is not there would be made
            _show(table := repeat_answers(config, asked.answers))
            n = table[["asked", "failed", "differ", "regraded"]].sum()
            print(f"asked again: {n.asked}, failed: {n.failed}, another text: {n.differ}, another score: {n.regraded}")
            print("where many differ, or one method's answers are unread, distrust the server before the method")
        case "merge":
            print(merge(_config(asked.run), asked.stores))
        case "estimate":
            how = {"tokens_per_second": asked.tokens_per_second, "batch": asked.batch}
            configs = [RunConfig(**run) for run in runs_of(asked.params)]
            costs = {of.label: estimate_run(of, **how) for of in configs}
            if len(costs) == 1:
                print(*costs.values())
            else:
                sums = {run: of.table.filter(regex="calls|dollars").sum(min_count=1) for run, of in costs.items()}
                table = pd.DataFrame(sums).T
                table.loc["in all"] = table.sum(skipna=False)
                print(table.to_string(float_format=number))
        case "ledger":
            config = _config(asked.run)
            with _store(config) as store:
                table = ledger_table(store, config.limits.prices)
                _show(table)
                if len(fresh := against_fresh(store, config.limits.prices)):
                    print("Had every budget been a run of its own (fresh_...; ratio: total / fresh_total):")
                    _show(fresh)
                print(ledger_summary(table))
        case "import":
            config = RunConfig(run=asked.run, tasks=[asked.task], source=asked.source, methods=["imported"])
            rows = import_traces(asked.traces, config, asked.task)
            missed = rows.row[rows.problem_id.isna()].tolist()
            print(f"{len(rows) - len(missed)} of {len(rows)} traces stored in {config.folder.resolve()}")
            for model, own in rows.dropna(subset="problem_id").groupby("model").score:
                told = f"mean score {own.mean():.3f} of {own.count()} answers; without one: {own.isna().sum()}"
                print(f"{str(model) or 'traces'}: {told}")
            print(f"rows that match no problem: {missed or 'none'}")
            place = f", source: {asked.source!r}, pool_source: none" if asked.source else ""
            told = f"{{methods: [imported], n_problems: {rows.attrs['n_problems']}{place}}}"
            print(f"now sweep a params file with `run: {asked.run}`, a model, and `tasks: {{{asked.task}: {told}}}`")
        case "grade":
            with _store(_config(asked.run), read_only=False) as store:
                changed = regrade(store)
            _show(changed)
            print(f"grades changed: {len(changed)}")
        case "report":
            config = _config(asked.run)
            with _store(config):
                print(explore(config).resolve())
        case "explain":
            with _store(_config(asked.run)) as store:
                print(explain(store, asked.key))
        case "export":
            with _store(_config(asked.run)) as store:
                print(*export(store, asked.folder, asked.format), sep="\n")
        case "serve":
            serve_forever(weights.resolve(asked.model), asked.port, asked.slots, asked.context)


def _alone(params: str) -> RunConfig:
    """The config of a params file of one run."""
    first, *others = runs_of(params)
    if others:
        one = f"such as {first['run']}/params.yaml, which `anytime run` writes"
        raise ConfigError(f"{params} is a grid of {1 + len(others)} runs: name the params of one, {one}")
    return RunConfig(**first)


def _config(run: str) -> RunConfig:
    """The config of a run that is named by its params, or by its folder or store (then without params)."""
    path = Path(run).absolute()
    if path.suffix in (".yaml", ".yml"):
        return _alone(run)
    bare = Path(run).name == run and not path.exists()  # one in outputs/
    return RunConfig(run=run if bare else str(path.parent if path.suffix == ".sqlite" else path))


@contextmanager
def _store(config: RunConfig, read_only: bool = True) -> Iterator[Store]:
    path = config.folder / "store.sqlite"
    if not path.is_file():
        raise DataError(f"there is no run at {path}; `anytime run` and `anytime sweep` make one")
    with Store(path, read_only) as store:
        try:
            yield store
        except Exception as error:
            if isinstance(error, AnytimeError) or not store.damaged:
                raise
            raise DataError("the store is damaged, as was said, and what is left does not fit together") from None
        if store.damaged:
            raise DataError("the store is damaged, as was said, so this may not be all that it held")


def _show(table: pd.DataFrame) -> None:
    if len(table):
        text = table.to_string(index=False, float_format=number, na_rep="-") + "\n"
        print("".join(c if c.isprintable() or c == "\n" else "?" for c in text))  # a model's words may be in it


if __name__ == "__main__":
    sys.exit(main())
