"""How fast are trips graded and solved, and does a hostile answer cost more than its length?

    python tests/benchmarks/bench_trip.py [--turns 5]

Graded are NATURAL PLAN's recorded predictions and golden plans where ANYTIME_BENCH_DATA holds them, else golden plans
of generated problems.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anytime_lib.tasks.trip import TASK, generate, grade_official, read_plan, solve
from anytime_lib.types import Problem

HOSTILE = {
    "prose": "We could stay in Rome for 3 days and then go on. ",
    "days on one line": "Day 1-3 Rome ",
    "flights on one line": "Day 1 from Rome to Nice ",
    "'from' on one line": "from from ",
    "open braces": "{",
    "one open object": "{" + " " * 50 + '"day": [ ',
    "open objects": '{"day_range": "Day 1-3", "place": [',
    "lists": '{"day_range": "Day 1-3", "place": "Rome"}, ',
    "lines": "Day 1-3: Rome\n",
    "tables": "| 1 | Rome | 1 | 3 |\n",
    "digits": "9",
    "day, then spaces": "Day 1        ",
    "dashes": "1-",
    "marks": "Day 1: a\u0300\u0323\u0300\u0323 ",
    "newlines": "\n",
    "pipes": "|",
    "small words": "on from the ",
}


def answers() -> list[tuple[Problem, str]]:
    """What is graded."""
    if folder := os.environ.get("ANYTIME_BENCH_DATA"):
        path = Path(folder) / "trip_planning_subset.json"
        rows = json.loads(path.read_text())
        kinds = ("golden_plan", "pred_5shot_pro")
        return [(p, rows[p.id][kind]) for p in TASK.problems(path, split="all") for kind in kinds]
    return [(p := generate(n, seed), TASK.gold_answer(p)) for n in range(3, 11) for seed in range(10)]


def seconds(function: Callable[..., Any], *given: Any) -> float:
    start = time.perf_counter()
    function(*given)
    return time.perf_counter() - start


def solving(problems: list[Problem]) -> str:
    median, high, most = np.percentile([seconds(solve, p) * 1e3 for p in problems], [50, 90, 100])
    return f"median {median:.2f}, p90 {high:.2f}, max {most:.2f} ms ({len(problems)} problems)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    known = answers()
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(known)} different answers")

    print(f"\ngrading, microseconds an answer, the best of {turns} turns")
    for name, grade in {"official": grade_official, "strict and partial": TASK.grade}.items():
        best = min(sum(seconds(grade, p, text) for p, text in known) for _ in range(turns))
        print(f"{name:>22} {best / len(known) * 1e6:8.1f}")

    print("\nsolving, ten cities")
    print(f"{'generated':>22} {solving([generate(10, seed) for seed in range(200)])}")
    print(f"{'without events':>22} {solving([generate(10, seed, windows=0.0) for seed in range(20)])}")
    print(f"{'one plan only':>22} {solving([generate(10, seed, unique=True) for seed in range(200)])}")
    if "ANYTIME_BENCH_DATA" in os.environ:
        real = {p.id: p for p, _ in known if p.metadata["n_cities"] == 10}
        print(f"{'real':>22} {solving([*real.values()])}")

    print("\nhostile answers, seconds for 1 MB (and for 2 MB)")
    problem = next(p for p, _ in known if p.metadata["n_cities"] == 10)
    cities = ["Rome", "Nice", *(c for c, _ in problem.gold[:8])]
    for name, piece in HOSTILE.items():
        texts = (piece * (size // len(piece)) for size in (1_000_000, 2_000_000))
        once, twice = (seconds(read_plan, text, cities) + seconds(grade_official, problem, text) for text in texts)
        print(f"{name:>22} {once:8.2f} ({twice:.2f})")


if __name__ == "__main__":
    main()
