"""How long do sharding and merging take, and in how much memory?

    python tests/benchmarks/bench_shards.py [--cells 1000000] [--shards 10] [--folder DIR]

Shards' stores are made, with a trace for eight cells and an answer for each, of 2 KB. In fresh processes they are
merged; merged again, which changes nothing; and what one shard begins with is taken out of the whole.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench_store import cells, fill
from common import options
from crash_harness import columns

from anytime_lib import Store
from anytime_lib.types import Problem

CHILD = """
import resource, sys, time
from pathlib import Path
from anytime_lib import RunConfig, Store
from anytime_lib.tools.merge import take
from anytime_lib.tools.shards import merge
folder, what, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
start = time.perf_counter()
if what == "one shard's beginning":
    with Store(folder / "store.sqlite", read_only=True) as whole, Store(folder / "start.sqlite") as begun:
        take(whole, begun, beside={("t", p.id) for p in whole.problems() if int(p.id[5:]) % n}, cells=False)
else:
    merge(RunConfig(run=str(folder)))
print(f"{what:24}{time.perf_counter() - start:10.1f}{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:10.0f}")
"""


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    """Make a store of cells with their problems and, faster than one by one, their requests."""
    with Store(path) as store, closing(sqlite3.connect(path)) as db, db:
        fill(store, rows)
        store.add_problems(Problem(name, "t", name, "gold") for name in {row["problem_id"] for row in rows})
        for key in dict.fromkeys(row[name] for row in rows for name in ("trace_key", "answer_key")):
            asked = {**columns(key, "ok", 15), "cached_tokens": 0, "created": 1.0}
            asked = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in asked.items()}
            db.execute(f"INSERT INTO requests ({', '.join(asked)}) VALUES (:{', :'.join(asked)})", asked)
        names = ", ".join(name for _, name, *_ in db.execute("PRAGMA table_info(attempts)"))
        db.execute(f"INSERT INTO attempts SELECT {names} FROM requests")


def main() -> None:
    asked = options(__doc__, cells=1_000_000, shards=10, folder="")
    with tempfile.TemporaryDirectory(dir=asked.folder or None) as folder:
        for i in range(asked.shards):
            own = [row for row in cells(asked.cells) if int(row["problem_id"][5:]) % asked.shards == i]
            put(Path(folder, "shards", f"{i}_of_{asked.shards}", "store.sqlite"), own)
        print(f"{'':24}{'seconds':>10}{'MB peak':>10}")
        for what in ("merging", "merging again", "one shard's beginning"):
            subprocess.run([sys.executable, "-c", CHILD, folder, what, str(asked.shards)], check=True)
        size = Path(folder, "store.sqlite").stat().st_size
        print(
            f"{asked.cells:,} cells of {asked.shards} shards: {size / 1e6:,.0f} MB ({size / asked.cells:,.0f} B a cell)"
        )


if __name__ == "__main__":
    main()
