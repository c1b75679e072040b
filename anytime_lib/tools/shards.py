"""How is a run shared between machines that know nothing of each other?

`prepare` makes once what the methods prepare. Each shard then sweeps the problems that a hash of their content gives to
it, on a store of its own that begins with what the run's store knows. `merge` puts the shards' stores into the run's.
"""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import ConfigError, DataError, RequestFailed
from anytime_lib.methods.base import Preparation, PrepTask
from anytime_lib.store import Store
from anytime_lib.sweep.arms import Run
from anytime_lib.sweep.client import Request, Row
from anytime_lib.sweep.costs import billed
from anytime_lib.sweep.grading import update_grades
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.run import opened, run_async, run_sweep_async, sweep_arms
from anytime_lib.tools.merge import take

FIRST = "run `anytime sweep PARAMS --prepare` first, and again where settings have changed: shards begin with that"


async def as_prepared(preparation: Preparation, client: Any, on: PrepTask) -> Any:
    """What a preparation makes of what is stored; nothing is asked for it. Else each part would pay for it; and where
    a request of it had failed, a part could come to other exemplars than the others have."""

    async def complete(request: Request) -> Row:
        if client.backend.store.request(request.key) is not None:
            raise RequestFailed("it failed when the run was prepared")
        raise DataError(FIRST)

    client.backend = copy.copy(client.backend)
    client.backend.complete = complete
    return await preparation(client, on)


def prepare(config: RunConfig, *, progress: bool = True) -> None:
    """Make what the methods of a run prepare, find out what its endpoint can do, and note what is declared. What there
    is of shards is merged before, so that the notes count its cells."""

    async def only(run: Run, arms: Sequence[Arm], *same: Any) -> pd.DataFrame:
        await run.client.backend.hides_reasoning()
        return await sweep_arms(run, [replace(arm, samples=[]) for arm in arms], *same)

    if any((config.folder / "shards").glob("*/store.sqlite")):
        merge(config)
    run_async(run_sweep_async(config, progress=progress, by=only))


def sweep_shard(config: RunConfig, shard: str, *, progress: bool = True) -> tuple[pd.DataFrame, Path]:
    """Sweep one shard of a run, named "i/n"; returns its cells and its folder, within the run's. It keeps to an n-th of
    the endpoint's rates, and of what the caps on spending leave. DataError where the run is not prepared."""
    i, n = map(int, shard.split("/")) if re.fullmatch(r"\d{1,6}/\d{1,6}", shard) else (0, 0)
    if i >= n:
        raise ConfigError(f"--shard is i/n, with i from 0 to n - 1: of ten 0/10 to 9/10, not {shard!r:.40}")
    if not (path := config.folder / "store.sqlite").is_file():
        raise DataError(FIRST)
    place = config.folder.absolute() / "shards" / f"{i}_of_{n}"
    with Store(path, read_only=True) as whole, Store(place / "store.sqlite") as own:
        share, arms = begin(config, n, whole, own, plan(config, whole), lambda content: int(content[:12], 16) % n == i)
    return run_async(sweep_part(share, place, arms, sweep_arms, progress=progress)), place


async def sweep_part(config: RunConfig, place: Path, arms: Sequence[Arm], by: Any, *, progress: bool) -> Any:
    """Sweep a part of a prepared run in the folder `place`, by `sweep_arms` or `make_cells`."""
    async with opened(config.model_copy(update={"run": str(place)}), progress) as (run, store, model):
        return await by(replace(run, label=config.label, folder=None, make=as_prepared), arms, store, model)


def begin(
    config: RunConfig, n: int, whole: Store, own: Store, every: Sequence[Arm], wanted: Callable[[str], bool]
) -> tuple[RunConfig, list[Arm]]:
    """Begin one of n parts of a run, of the problems whose content hash is `wanted`: put into its own store all of the
    run's but what other problems' cells are of. Returns its config, with its share of rates and caps, and its arms."""
    arms = [replace(arm, samples=[of for of in arm.samples if wanted(of.problem.content_hash)]) for arm in every]
    others = [of for arm in every for of in arm.samples if not wanted(of.problem.content_hash)]
    take(whole, own, beside={(of.task.name, of.problem.id) for of in others}, cells=False)
    rates = {name: getattr(config.endpoint, name) for name in ("requests_per_minute", "tokens_per_minute")}
    changes: dict[str, Any] = {name: rate / n for name, rate in rates.items() if rate}
    bill = billed(whole, config.limits.prices)
    taken = bill[bill.key.isin(own.requests().key)]  # which the part's account begins with
    for unit, least in ("tokens", 1), ("dollars", 1e-9):
        if cap := getattr(config.limits, f"spend_cap_{unit}"):
            share = taken[unit].sum() + (cap - bill[unit].sum()) / n
            changes[f"spend_cap_{unit}"] = max(least, type(least)(share))
    return config.but(**changes), arms


def merge(config: RunConfig, stores: Sequence[str | Path] = ()) -> str:
    """Put the stores of a run's shards, or those named (files or folders), into the run's store; says so in a
    sentence. Merging again changes nothing. DataError where two cannot be merged (see `merge.take`)."""
    if not (found := [*map(Path, stores)] or sorted((config.folder / "shards").glob("*/store.sqlite"))):
        raise DataError(f"there are no shards in {config.folder}; `anytime sweep PARAMS --shard 0/10` makes one of ten")
    with Store(config.folder / "store.sqlite") as run:
        for at in found:
            with Store(at / "store.sqlite" if at.is_dir() else at, read_only=True) as source:
                take(source, run)
        update_grades(run)
    return f"{len(found)} stores merged into {config.folder.resolve()}"
