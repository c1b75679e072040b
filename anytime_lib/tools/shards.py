"""How is a run shared between machines that know nothing of each other?

`prepare` makes once what the methods prepare. Each shard then sweeps the problems that a hash of their content gives to
it, on a store of its own that begins with what the run's store knows. `merge` puts the shards' stores into the run's.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from tqdm import tqdm

from anytime_lib.config import RunConfig
from anytime_lib.errors import ConfigError, DataError, HiddenReasoning, RequestFailed
from anytime_lib.models.model import Model
from anytime_lib.store import Store
from anytime_lib.sweep.arms import Run
from anytime_lib.sweep.client import CachedClient, Request, Row
from anytime_lib.sweep.costs import billed
from anytime_lib.sweep.grading import update_grades
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.run import opened, run_async, run_sweep_async, sweep_arms
from anytime_lib.tools.merge import take

FIRST = "run `anytime sweep PARAMS --prepare` first, and again where settings have changed: shards begin with that"


class PreparedClient(CachedClient):
    """Asks for nothing that is prepared. Else each part would pay for it; and where a request of it had failed, a part
    could come to other exemplars than the others have."""

    def __init__(self, run: Run, store: Store) -> None:
        super().__init__(run.client.backend, run.client.sampling, run.client.seed, run.client.trace_slots)
        self._store = store

    def _known(self, request: Request) -> Row | None:
        row = super()._known(request)
        if row is None and self.keys is not None:  # they are kept while something is prepared
            about = self._store.noted("capabilities", f"{self.model.endpoint_id} {self.model.name}")
            if about and about["reasoning"] == "hidden":
                raise HiddenReasoning("the server hid it when the run was prepared")
            if self._store.request(request.key) is not None:
                raise RequestFailed("it failed when the run was prepared")
            raise DataError(FIRST)
        return row


def some_of(arms: Sequence[Arm], wanted: Callable[[str], bool]) -> list[Arm]:
    """Arms with the samples of those problems whose content hash is wanted; where none is, they are only prepared."""
    return [replace(arm, samples=[of for of in arm.samples if wanted(of.problem.content_hash)]) for arm in arms]


def prepare(config: RunConfig, *, progress: bool = True) -> None:
    """Make what the methods of a run prepare, find out what its endpoint can do, and note what is declared. What there
    is of shards is merged before, so that the notes count its cells."""

    async def only(run: Run, arms: Sequence[Arm], store: Store, model: Model) -> pd.DataFrame:
        await run.client.backend.hides_reasoning()
        return await sweep_arms(run, some_of(arms, lambda _: False), store, model)

    if (config.folder / "shards").is_dir():
        merge(config)
    run_async(run_sweep_async(config, progress=progress, by=only))


def sweep_shard(config: RunConfig, shard: str, *, progress: bool = True) -> tuple[pd.DataFrame, Path]:
    """Sweep one shard of a run, named "i/n"; returns its cells and its folder, within the run's. It keeps to an n-th of
    the endpoint's rates, and of what the caps on spending leave. DataError where the run is not prepared."""
    numbers = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard)
    i, n = [int(number) for number in numbers.groups()] if numbers else [0, 0]
    if i >= n:
        raise ConfigError(f"--shard is i/n, with i from 0 to n - 1: of ten 0/10 to 9/10, not {shard!r:.40}")
    if not (path := config.folder / "store.sqlite").is_file():
        raise DataError(FIRST)
    place = config.folder.absolute() / "shards" / f"{i}_of_{n}"
    with Store(path, read_only=True) as whole, TemporaryDirectory() as temporary:
        every = plan(config, whole)
        arms = some_of(every, lambda content: int(content[:12], 16) % n == i)
        with Store(Path(temporary, "store.sqlite")) as start, Store(place / "store.sqlite") as mine:
            own = begin(config, n, whole, start, every, arms)
            take(start, mine)
    return run_async(sweep_part(own, place, arms, progress=progress)), place


async def sweep_part(
    config: RunConfig, place: Path, arms: Sequence[Arm], *, progress: bool = True, bar: "tqdm[Any] | None" = None
) -> pd.DataFrame:
    """Sweep a part of a prepared run in the folder `place`; its cells are counted by `bar`, if that is given."""
    async with opened(config.model_copy(update={"run": str(place)}), progress) as (run, store, model):
        run = replace(run, label=config.label, client=PreparedClient(run, store), folder=None)
        run.bar = run.bar if bar is None else bar
        return await sweep_arms(run, arms, store, model)


def begin(
    config: RunConfig, n: int, whole: Store, start: Store, every: Sequence[Arm], arms: Sequence[Arm]
) -> RunConfig:
    """Put into a new store what one of n parts of a run needs of the run's: all but what the other problems' cells are
    of. The part's config has an n-th of the endpoint's rates, and caps that leave an n-th of what may be spent yet."""
    both = ({(of.task.name, of.problem.id) for arm in some for of in arm.samples} for some in (every, arms))
    take(whole, start, beside=next(both) - next(both), cells=False)
    changes: dict[str, Any] = {}
    for name in ("requests_per_minute", "tokens_per_minute"):
        if rate := getattr(config.endpoint, name):
            changes[name] = rate / n
    for unit, least in ("tokens", 1), ("dollars", 1e-9):
        if cap := getattr(config.limits, f"spend_cap_{unit}"):
            spent, own = (billed(store, config.limits.prices)[unit].sum() for store in (whole, start))
            changes[f"spend_cap_{unit}"] = max(least, type(least)(own + (cap - spent) / n))
    return config.but(**changes)


def merge(config: RunConfig, stores: Sequence[str | Path] = ()) -> str:
    """Put the stores of a run's shards, or those named (files or folders), into the run's store; says so in a
    sentence. Merging again changes nothing. DataError where two cannot be merged (see `merge.take`)."""
    named = [Path(at, "store.sqlite") if Path(at).is_dir() else Path(at) for at in stores]
    if not (found := named or sorted((config.folder / "shards").glob("*/store.sqlite"))):
        raise DataError(f"there are no shards in {config.folder}; `anytime sweep PARAMS --shard 0/10` makes one of ten")
    with Store(config.folder / "store.sqlite") as run:
        for path in found:
            with Store(path, read_only=True) as source:
                take(source, run)
        update_grades(run)
    return f"{len(found)} stores merged into {config.folder.resolve()}"
