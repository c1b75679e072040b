"""What becomes of 5,000 requests to a server that misbehaves on three tries in ten?

    python tests/benchmarks/bench_faults.py [--problems 125] [--rate 0.3] [--seed 1] [--concurrency 64] [--retries 6]

One sweep (problems x 8 samples, a trace and 4 answers each: 125 problems make 5,000 requests) is run twice over real
sockets, each with a store of its own: on a well-behaved server, then on the same one misbehaving in every way that
tests/misbehaving_server.py knows. The second is run again for as long as cells are left whose requests never
succeeded. Lost is a cell that differs in any column from the well-behaved run's; the target is 0.
"""

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import options, seconds
from misbehaving_server import FAULTS, HARMLESS, MisbehavingServer

from anytime_lib import RunConfig, Store, make_task, run_sweep
from anytime_lib.models.limiter import Timeouts
from anytime_lib.models.served import ServedModel
from anytime_lib.types import Problem

SAMPLES, BUDGETS, RUNS = 8, [20, 40, 60, 80], 6


def numbers(rng: np.random.Generator) -> dict[str, Any]:
    return {"text": f"Which letter has the number {rng.integers(10**9)}?", "gold": "ABCD"[rng.integers(4)]}


def share(problem: Problem, text: str) -> float | None:
    """A score that tells letters apart."""
    letter = text.removeprefix("Answer: ")
    return ("ABCD".index(letter) + 1) / 4 if letter in tuple("ABCD") else None


def main() -> None:
    context, runs = options(__doc__, problems=125, rate=0.3, seed=1, concurrency=64, retries=6), list[pd.DataFrame]()
    logging.disable(logging.WARNING)
    ServedModel.timeouts = Timeouts(connect=5.0, whole=60.0, backoff=0.02, longest=0.2)
    told = tuple(kind for kind in FAULTS if kind != "wrong_usage")  # an answer without counts is kept, as 0 tokens
    server = MisbehavingServer(rate=0.0, seed=context.seed, only=told)
    settings: dict[str, Any] = {"run": "run", "model": "fake", "base_url": server.base_url, "n_samples": SAMPLES}
    settings |= {"tasks": [make_task("letters", numbers, share)], "methods": ["base"], "budgets": BUDGETS}
    settings |= {"n_problems": context.problems, "timeout": 1.0}
    settings |= {"concurrency": context.concurrency, "retries": context.retries}
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str) -> None:
            cells = run_sweep(RunConfig(outputs=f"{folder}/{name}", **settings), progress=False)
            runs.append(cells.drop(columns="prompt_tokens"))  # which a server may state wrongly

        clean = seconds(lambda: run("well"))
        asked, well = server.requests, runs.pop()
        assert set(well.status) == {"ok"} and not server.sent, "the well-behaved run is not clean"
        server.rate, server.requests = context.rate, 0
        server.tries.clear()
        spent, failed = 0.0, list[int]()
        while not failed or (failed[-1] and len(failed) < RUNS):
            spent += seconds(lambda: run("ill"))
            failed.append(int((runs[-1].status == "error").sum()))
        with Store(f"{folder}/ill/run/store.sqlite") as store:
            good = store.attempts().query("status == 'ok' and kind in ('trace', 'answer')")
            doubled = int(good.key.duplicated().sum())
    alike = int(pd.concat([runs[-1], well]).duplicated().sum())
    lost, faults = len(well) - alike, sum(server.sent.values())

    size = f"{asked} requests, {len(well)} cells, {context.concurrency} at a time"
    print(f"{size}, {context.rate:.0%} of tries misbehave")
    print(f"well-behaved: {clean:.1f} s; misbehaving: {spent:.1f} s, {server.requests} tries")
    for kind, count in sorted(server.sent.items()):
        print(f"  {kind:<24} {count:5d}{'  (looked through)' if kind in HARMLESS else ''}")
    print(f"cells that ended in an error, run by run: {', '.join(map(str, failed))}")
    print(f"faults sent {faults}, survived {faults - lost}, lost {lost}; requests answered twice: {doubled}")
    server.close()
    sys.exit(bool(lost or doubled))


if __name__ == "__main__":
    main()
