"""How fast is the bootstrap? Against a plain loop over resamples.

10,000 paired resamples of the Anytime Index on 2 arms x 200 problems x 8 samples x 12 budgets: ours, whole problems
drawn as weights, and numpy one resample at a time (200 of them timed, and scaled). The ratio counts, not the seconds;
peak memory is what the resamples hold at once. Then all pairs of 8 methods on 3 tasks, as `compare_family` does them.

    python tests/benchmarks/bench_stats.py
"""

import tracemalloc
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
from common import best_seconds, seconds

from anytime_lib import anytime_index
from anytime_lib.stats import compare_family
from anytime_lib.stats.bootstrap import index_of, resampled

BUDGETS = [2**i for i in range(12)]
N_RESAMPLES = 10_000
SHAPE = (2, 200, 8, 12)
LOOPED = 200


def quality(rng: np.random.Generator, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rise = np.linspace(0.2, 0.9, shape[-1])
    return (rng.random(shape) < rng.random((1, shape[1], 1, 1)) * rise).astype(float)


def plain_loop(q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, found = q.shape[1], []
    for _ in range(LOOPED):
        mean = q[:, rng.integers(n, size=n)].mean(axis=(1, 2))
        found.append([anytime_index(BUDGETS, row) for row in mean])
    return np.asarray(found)


def peak(call: Callable[[], object]) -> float:
    """The most memory that a call holds at once, in MB, as numpy tells it."""
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 2**20


def table_of(n_tasks: int, n_methods: int) -> pd.DataFrame:
    """A tidy table of many arms, the columns the comparison reads."""
    parts = []
    for task in range(n_tasks):
        values = quality(np.random.default_rng(task), (n_methods, *SHAPE[1:]))
        method, problem, sample, budget = (i.ravel() for i in np.indices(values.shape))
        columns = {"run": "r", "model": "m", "task": f"task{task}", "problem_id": problem.astype(str)}
        columns |= {"method": np.char.add("m", method.astype(str)).astype(object), "sample": sample}
        parts.append(pd.DataFrame(columns | {"budget": np.asarray(BUDGETS)[budget], "score": values.ravel()}))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    q, statistic = quality(np.random.default_rng(0)), index_of()

    def ours() -> np.ndarray:
        return resampled(q, BUDGETS, statistic, N_RESAMPLES, np.random.default_rng(1))

    def looped() -> np.ndarray:
        return plain_loop(q, np.random.default_rng(1))

    best = best_seconds({"ours": ours, "loop": looped}, turns=5)
    mine, loop = best["ours"], best["loop"] * N_RESAMPLES / LOOPED
    print("standard error of the difference (ours, loop):", np.diff(ours()).std(), np.diff(looped()).std())
    print(f"plain loop  {loop:8.2f} s (scaled from {LOOPED} resamples)")
    ours_is = f"{loop / mine:5.1f} x the loop (target 15), peak {peak(ours):.0f} MB (target under 500)"
    print(f"ours        {mine:8.2f} s: {ours_is}")
    cells = table_of(3, 8)
    spent = seconds(lambda: compare_family(cells, list(combinations(cells.method.unique(), 2))))
    print(f"all pairs of 8 methods on 3 tasks: {spent:.1f} s of {N_RESAMPLES:,} resamples each (target: a few)")


if __name__ == "__main__":
    main()
