"""How fast are trips graded and solved, and does a hostile answer cost more than its length?

    python tests/benchmarks/bench_trip.py [--turns 5]

Graded are NATURAL PLAN's recorded predictions and golden plans where ANYTIME_BENCH_DATA holds them, else golden plans
of generated problems.
"""

import json
import os
import platform
from pathlib import Path

import numpy as np
from common import best_seconds, options, seconds

from anytime_lib.tasks.trip import TASK, generate, grade_official, read_plan
from anytime_lib.tasks.trip_problem import plans, read_trip
from anytime_lib.types import Problem

HOSTILE = {
    "prose": "We could stay in Rome for 3 days and then go on. ",
    "days on one line": "Day 1-3 Rome ",
    "flights on one line": "Day 1 from Rome to Nice ",
    "open braces": "{",
    "one open object": "{" + " " * 50 + '"day": [ ',
    "open objects": '{"day_range": "Day 1-3", "place": [',
    "lists": '{"day_range": "Day 1-3", "place": "Rome"}, ',
    "tables": "| 1 | Rome | 1 | 3 |\n",
    "digits": "9",
    "day, then spaces": "Day 1        ",
    "marks": "Day 1: a\u0300\u0323\u0300\u0323 ",
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


def main() -> None:
    turns, known = options(__doc__, turns=5).turns, answers()
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(known)} different answers")
    graders = {"official": grade_official, "strict and partial": TASK.grade}
    calls = {name: lambda grade=grade: [grade(p, text) for p, text in known] for name, grade in graders.items()}
    for name, best in best_seconds(calls, turns).items():
        print(f"{name:>22} {best / len(known) * 1e6:8.1f} us an answer, the best of {turns} turns")

    ten_cities = {"generated": [generate(10, seed) for seed in range(200)]}
    ten_cities["one plan only"] = [generate(10, seed, unique=True) for seed in range(200)]
    ten_cities["graded"] = [p for p, _ in known if p.metadata["n_cities"] == 10]
    for name, problems in ten_cities.items():
        times = [seconds(lambda p=p: list(plans(read_trip(p.text)))) * 1e3 for p in problems]
        print(f"{name:>22} solved in (median, p90, max) {np.percentile(times, [50, 90, 100]).round(2)} ms")

    print("hostile answers, seconds for 1 MB (and for 2 MB)")
    problem = next(p for p, _ in known if p.metadata["n_cities"] == 10)
    cities = ["Rome", "Nice", *(c for c, _ in problem.gold[:8])]
    for name, piece in HOSTILE.items():
        texts = [piece * (size // len(piece)) for size in (1_000_000, 2_000_000)]
        once, twice = (seconds(lambda t=t: (read_plan(t, cities), grade_official(problem, t))) for t in texts)
        print(f"{name:>22} {once:8.2f} ({twice:.2f})")


if __name__ == "__main__":
    main()
