"""How does a sweep run on a Ray cluster?

Each worker is a Ray task with the ordinary runner inside, on a store in its node's temporary folder. Every few seconds
what is new in it comes back and is merged into the run's store by key. Where a worker or its node is lost, another
takes its part over, and begins with all that had come back.
"""

import asyncio
import logging
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pandas as pd
from tqdm import tqdm

from anytime_lib.config import RunConfig
from anytime_lib.errors import ConfigError, EndpointError
from anytime_lib.models.endpoint import is_loopback
from anytime_lib.models.model import OWN, load_model
from anytime_lib.store import Store
from anytime_lib.sweep.costs import SpendCapReached
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.run import bar_file, make_cells, swept_cells
from anytime_lib.tools.merge import take
from anytime_lib.tools.shards import begin, prepare, sweep_part

log = logging.getLogger(__name__)
EVERY = 2.0  # seconds between two reports of a worker
LOSSES = 3  # of a part's workers in a row, without anything new from them, that are made good
LOADING = 3600  # seconds that a server of the user's may take until it answers
_SO_FAR = "SELECT coalesce(max(rowid), 0), (SELECT count(*) FROM cells) FROM attempts"


def reports(config: RunConfig, arms: Sequence[Arm], known: bytes, serve: str | None) -> Iterator[tuple[Any, ...]]:
    """Sweep a part of a run, beginning with a store of what is known: what runs on a worker. It tells what is new (a
    store, or nothing), how many cells there are so far, whether it is over, and what ended it before its time."""
    with TemporaryDirectory(prefix="anytime-") as folder, ThreadPoolExecutor(1) as thread:
        (path := Path(folder, "store.sqlite")).write_bytes(known)
        with Store(path, read_only=True) as store:

            def work() -> None:
                with served(serve, config.endpoint.base_url) if serve else nullcontext():
                    asyncio.run(sweep_part(config, Path(folder), arms, make_cells, progress=False))

            done, over, tried = thread.submit(work), False, 0
            while not over:
                over, rows = bool(wait([done], EVERY).done), b""
                with store.snapshot() as db:
                    newest, n_cells = db.execute(_SO_FAR).fetchone()
                if newest > tried or over:
                    with Store(part := Path(folder, "new.sqlite")) as new:
                        take(store, new, since=tried, cells=over)
                    rows, tried = part.read_bytes(), newest
                    part.unlink()
                yield rows, n_cells, over, done.exception() if over else None


@contextmanager
def served(command: str, url: str | None) -> Iterator[None]:
    """While it lasts, a command of the user's serves at `url`."""
    with subprocess.Popen(f"exec {command}", shell=True, start_new_session=True) as server:
        try:
            for _ in range(LOADING):
                with suppress(httpx.HTTPError):
                    httpx.get(f"{url}/models", timeout=5, trust_env=False)
                    break
                with suppress(subprocess.TimeoutExpired):
                    server.wait(1)
                    raise EndpointError(f"{command!r} ended before it answered at {url}; what it said tells why")
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def sweep_on_ray(
    config: RunConfig, *, address: str | None = None, workers: int | None = None, serve: str | None = None
) -> pd.DataFrame:
    """As `run_sweep`, by workers on a Ray cluster that share the endpoint's limits and what the caps leave. What the
    methods prepare is made here first. Keys, and files that the config names, are those of each node.

    The cluster is that at `address` (None: at RAY_ADDRESS, or the one on this machine, or a new one on it), with so
    many `workers` (None: one for each node). `serve` is a command that serves the model at the config's `base_url`; it
    runs on the node of each worker, and here."""
    try:
        import ray
    except ImportError:
        raise ConfigError("Ray is not installed; install it with: pip install 'anytime-lib[ray]'") from None
    model, url = load_model(config), config.endpoint.base_url
    if serve and not (url and is_loopback(url)):
        raise ConfigError("--serve starts a server on each node, so base_url must be where it listens on 127.0.0.1")
    if not url and model.endpoint_id not in OWN:  # of which a node may know nothing
        config = config.but(base_url=os.environ.get("OPENAI_BASE_URL"))
    with served(serve, url) if serve else nullcontext():
        prepare(config)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with (
        ray.init(address=address, ignore_reinit_error=True, logging_level=logging.WARNING),
        Store(config.folder / "store.sqlite") as store,
        tqdm(desc=config.label, unit="cell", file=bar_file()) as bar,
        TemporaryDirectory() as folder,
    ):
        every, path = plan(config, store), Path(folder, "store.sqlite")
        bar.total = sum(arm.n_cells(config.sampling.efforts) for arm in every)
        n = workers or sum(node["Alive"] and node["Resources"].get("CPU", 0) >= 1 for node in ray.nodes()) or 1
        own = serve or model.endpoint_id in OWN  # a server for each worker
        hashes = sorted({of.problem.content_hash for arm in every for of in arm.samples})
        n = min(n, len(hashes), len(hashes) if own else config.endpoint.concurrency)
        shared = config if own else config.but(concurrency=config.endpoint.concurrency // n)
        gpus = ray.cluster_resources().get("GPU", 0) // n if serve else 0
        how = {"num_cpus": 1, "num_gpus": gpus, "scheduling_strategy": "SPREAD", "max_retries": 0}
        task = ray.remote(reports).options(num_returns="streaming", **how)
        shares, losses, cells, capped = dict[int, RunConfig](), Counter[int](), Counter[int](), list[Any]()

        def begun(i: int) -> Any:
            """A worker's reports on a part, which it begins with what the run's store knows of it."""
            path.unlink(missing_ok=True)
            with Store(path) as start:
                share, arms = begin(shared, n, store, start, every, {*hashes[i::n]}.__contains__)
            # One that takes over has no more to spend than the one before.
            return task.remote(shares.setdefault(i, share), arms, path.read_bytes(), serve)

        waiting = {begun(i): i for i in range(n)}
        while waiting:
            for told in ray.wait(list(waiting), timeout=1)[0]:
                i = waiting.pop(told)
                try:
                    rows, cells[i], over, error = ray.get(next(told))
                except ray.exceptions.RayError as lost:
                    losses[i] += 1
                    if losses[i] > LOSSES:
                        raise
                    words = "a worker was lost with what it had in flight; another takes its part over (%.150s)"
                    log.warning(words, " ".join(str(lost).split()))
                    waiting[begun(i)] = i
                    continue
                if rows:
                    losses[i] = 0
                    path.write_bytes(rows)
                    with Store(path, read_only=True) as new:
                        take(new, store)
                if not over:
                    waiting[told] = i
                elif isinstance(error, SpendCapReached):
                    capped.append(error)
                elif error:
                    raise error
            bar.n = cells.total()
            bar.set_postfix_str(f"{len(waiting)} workers")
        if capped:
            raise SpendCapReached(f"a worker's share is spent; run again to deal out what others left ({capped[0]})")
        return swept_cells(store, config.label, model.name, every, config.sampling.efforts)
