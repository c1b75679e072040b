"""What does it cost to lose nothing, and is a store of a million cells still quick to read?

    python tests/benchmarks/bench_store.py [--cells 1000000] [--puts 2000] [--folder DIR]

Writing: requests per second of 2 KB each, beside JSON lines with a flush per line; `aput` is asked by 256 tasks of one
event loop, as a sweep does. Reading: `cells()` of `--cells` cells in a fresh process, beside `pandas.read_sql_query`.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import options
from common import seconds as timed
from crash_harness import cell, columns

from anytime_lib import Store
from anytime_lib.types import digest

SLOTS = 256
BUDGETS, SAMPLES = 8, 8


def cells(n: int) -> Iterable[dict[str, Any]]:
    for i in range(n):
        trace, b = divmod(i, BUDGETS)
        problem, sample = divmod(trace, SAMPLES)
        graded = {"score": (i % 10) / 10, "correct": i % 10 == 0, "detail": f"Berlin 1-{i % 9}, Rome {i % 9}-12"}
        told = {"tokens_used": 2**b * 32, "answer_tokens": 60, "stopped_naturally": b > 5, "budget": 2**b * 32}
        keys = {"trace_key": digest([0, trace]), "answer_key": digest([1, i])}
        yield cell(f"trip-{problem:07d}", sample) | graded | told | keys


def fill(store: Store, rows: Iterable[dict[str, Any]]) -> None:
    rows = iter(rows)
    while part := list(itertools.islice(rows, 10_000)):
        store.put_cells(part)


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


async def waiting(store: Store, rows: list[dict[str, Any]]) -> None:
    left = iter(rows)

    async def slot() -> None:
        for row in left:
            await store.aput(**row)

    await asyncio.gather(*(slot() for _ in range(SLOTS)))


def writing(folder: Path, n: int) -> None:
    rows = [columns(digest(i), "ok", 30) for i in range(n)]  # of 2 KB each
    found = {"JSON lines, flushed": timed(lambda: lines(folder / "b.jsonl", rows))}
    with Store(folder / "f.sqlite") as store:
        found["Store.put"] = timed(lambda: [store.put(**r) for r in rows])
    with Store(folder / "g.sqlite") as store:
        found[f"Store.aput, {SLOTS} waiting"] = timed(lambda: asyncio.run(waiting(store, rows)))
    print(f"{'writing ' + str(n) + ' requests':34}{'per second':>12}{'ms each':>10}")
    for name, seconds in found.items():
        print(f"{name:34}{n / seconds:12,.0f}{1000 * seconds / n:10.3f}")


CHILD = """
import resource, sqlite3, sys, time
import pandas as pd
from anytime_lib import Store
start, (path, what) = time.perf_counter(), sys.argv[1:]
if what == "read_sql_query":
    found = pd.read_sql_query("SELECT * FROM cells ORDER BY run, model, task, problem_id, method, sample, budget",
                              sqlite3.connect(path))
else:
    with Store(path) as store:
        found = store.cells()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(f"{what:30}{len(found):12,}{time.perf_counter() - start:10.2f}{peak:10.0f}")
"""


def main() -> None:
    asked = options(__doc__, cells=1_000_000, puts=2000, folder="")
    with tempfile.TemporaryDirectory(dir=asked.folder or None) as temporary:
        folder = Path(temporary)
        writing(folder, asked.puts)
        with Store(folder / "big.sqlite") as store:
            seconds = timed(lambda: fill(store, cells(asked.cells)))
        size = (folder / "big.sqlite").stat().st_size / 1e6
        print(f"\n{asked.cells:,} cells put in {seconds:.0f} s, {size:.0f} MB on disk")
        print(f"{'reading, in a fresh process':30}{'rows':>12}{'seconds':>10}{'MB peak':>10}")
        for what in ("cells", "read_sql_query"):
            subprocess.run([sys.executable, "-c", CHILD, str(folder / "big.sqlite"), what], check=True)


if __name__ == "__main__":
    main()
