"""What of a run, or of many, is done, running or failed, and what did it cost? Nothing is written."""

import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

from anytime_lib.config import RunConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.store import Store
from anytime_lib.sweep.costs import billed
from anytime_lib.sweep.run import held_out_run


def status(folder: Path, configs: Iterable[RunConfig] = ()) -> tuple[pd.DataFrame, str]:
    """A row for every run in a folder (a run's own, with its shards, or a grid's), and what they come to in words.

    run; state: `done`, `running`, `failed`, `stopped`, `waiting`, or `idle` where nothing tells whether it is whole;
    notebook: the last one begun; cells, those planned (NaN where neither `configs` nor params in the run's folder
    tell), errors among them; tokens and dollars billed (NaN without a price). DataError where there is no run.
    """
    known = {config.folder: config for config in configs}
    rows, words, bills = list[dict[str, object]](), list[str](), list[pd.DataFrame]()
    for at in sorted({path.parent for name in ("params.yaml", "store.sqlite") for path in folder.rglob(name)}):
        planned, prices = _design(at, known.get(at))
        cells, errors, bill = _held(at / "store.sqlite", prices or _design(folder, known.get(folder))[1])
        last = max(at.glob("[0-9][0-9]*_*.ipynb"), key=lambda notebook: notebook.stat().st_mtime, default=None)
        name, log = str(at.relative_to(folder.parent)), at / "log.txt"
        said = log.read_text("utf-8", "replace") if log.is_file() else ""
        why = f"\n{said}".partition("\nanytime: ")[2].strip()
        if last and '"exception": true' in last.read_text("utf-8", "replace"):
            why = why or f"an error in {last}"
        if (at / "made_from.txt").is_file() or (not last and planned <= cells - errors):
            state = "done"
        elif _at_work(at):
            state = "running"
        elif why and not why.startswith("stopped;"):
            state = "failed"
            words.append(f"{name}: {why}")
        else:
            state = "waiting" if bill is None else "stopped" if planned >= 0 else "idle"
        row = {"run": name, "state": state, "notebook": last.stem if last else "", "cells": cells, "planned": planned}
        if bill is not None:
            bills.append(bill)
            row |= {"errors": errors, "tokens": bill.tokens.sum(), "dollars": bill.dollars.sum(min_count=1)}
        rows.append(row)
    if not rows:
        raise DataError(f"there is no run in {folder}; `anytime run` and `anytime sweep` make one")
    table = pd.DataFrame(rows)
    once = ["key", "status", "created"]  # of what a shard took along with its run's store
    tokens, dollars = pd.concat(bills).drop_duplicates(once)[["tokens", "dollars"]].sum() if bills else (0, 0)
    counts = ", ".join(f"{n} {state}" for state, n in table.state.value_counts().items())
    words += ["idle: swept from a script, so what was planned is not noted"] * ("idle" in counts)
    return table, "\n".join([*words, f"{counts}; {tokens:,.0f} tokens{f', ${dollars:.2f}' * bool(dollars)} in all"])


def _held(path: Path, prices: str | None) -> tuple[int, int, pd.DataFrame | None]:
    """The cells in a store, held-out ones aside, errors among them, and its bill; None where there is no store."""
    if not path.is_file() or not path.stat().st_size:
        return 0, 0, None
    with Store(path, read_only=True) as store, store.snapshot() as db:
        counted = "SELECT count(*), count(*) FILTER (WHERE status = 'error') FROM cells WHERE run NOT LIKE ?"
        return *db.execute(counted, [held_out_run("%")]).fetchone(), billed(store, prices)


def _design(folder: Path, config: RunConfig | None) -> tuple[float, str | None]:
    """How many cells a run is to have, held-out ones aside (NaN where nothing tells), and its file of prices."""
    with suppress(ConfigError):  # no params are there, or those of another version
        config = config or RunConfig.from_yaml(folder / "params.yaml")
        tasks, levels = map(config.task, config.tasks), config.sampling.efforts
        each = sum(its.n_problems * len(its.methods) * len(levels or its.budgets) for its in tasks)
        return config.n_samples * each, config.limits.prices
    return float("nan"), None


def _at_work(folder: Path) -> bool:
    """Whether a process has a run in hand, by its locks; on another machine, as long as the store's log is there."""
    opened = (folder / "store.sqlite-wal").is_file()
    for lock in [folder / "index.html.lock", *[folder / "store.sqlite.lock"] * opened]:
        with suppress(OSError, ValueError, psutil.Error):  # nobody had it, or who had it is gone
            _, pid, _, machine = lock.read_text("utf-8").split()
            if machine != platform.node():
                return opened
            if psutil.Process(int(pid)).create_time() < lock.stat().st_mtime + 1:  # else another has its number now
                return True
    return False
