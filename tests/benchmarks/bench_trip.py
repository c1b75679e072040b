"""How fast are trips graded and solved, and does a hostile answer cost more than its length?

    python tests/benchmarks/bench_trip.py [--turns 5] [--answers 100000]

Graded are NATURAL PLAN's recorded predictions and golden plans where ANYTIME_BENCH_DATA holds them, else golden plans
of generated problems. Where ANYTIME_NATURAL_PLAN names a checkout of google-deepmind/natural-plan, their parser grades
the same answers in turns with ours (the best of `--turns` each), and the ratio is theirs to ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anytime_lib.tasks.trip import TASK, generate, grade_official, grade_partial, grade_strict, read_plan, solve
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


def official_program(folder: str) -> Any:
    """Their module, with a stand-in for absl (which only their command line needs)."""
    flags = types.SimpleNamespace(DEFINE_string=lambda *args, **named: None)
    for name, module in {"absl": types.SimpleNamespace(app=None, flags=flags), "absl.flags": flags}.items():
        sys.modules.setdefault(name, module)  # type: ignore[arg-type]
    spec = importlib.util.spec_from_file_location("natural_plan", Path(folder) / "evaluate_trip_planning.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def per_answer(graders: dict[str, Callable[[Problem, str], Any]], turns: int) -> dict[str, float]:
    """Microseconds an answer, the best of `turns`, the graders in turns."""
    known = answers()
    best = dict.fromkeys(graders, float("inf"))
    for _ in range(turns):
        for name, grade in graders.items():
            start = time.perf_counter()
            for problem, text in known:
                grade(problem, text)
            best[name] = min(best[name], (time.perf_counter() - start) / len(known) * 1e6)
    return best


def solving(problems: list[Problem]) -> str:
    spent, found = [], []
    for problem in problems:
        start = time.perf_counter()
        found.append(len(solve(problem)))
        spent.append((time.perf_counter() - start) * 1e3)
    median, high, most = np.percentile(spent, [50, 90, 100])
    return (
        f"median {median:.2f}, p90 {high:.2f}, max {most:.2f} ms ({len(problems)} problems, {max(found)} plans at most)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--answers", type=int, default=100_000)
    context = parser.parse_args()
    known = answers()
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(known)} different answers")

    graders: dict[str, Callable[[Problem, str], Any]] = {
        "official": grade_official,
        "strict and partial": TASK.grade,
        "strict": grade_strict,
        "partial": grade_partial,
    }
    if folder := os.environ.get("ANYTIME_NATURAL_PLAN"):
        theirs = official_program(folder)
        golden = {p.id: ("**".join(c for c, _ in p.gold), "**".join(str(d) for _, d in p.gold)) for p, _ in known}
        graders["their official"] = lambda p, text: theirs.compute_example_score(
            *golden[p.id], theirs.parse_response(text)
        )
        assert all(graders["their official"](p, text) == grade_official(p, text) for p, text in known)
    print("\ngrading, microseconds an answer")
    for name, spent in (times := per_answer(graders, context.turns)).items():
        ratio = f"   their official takes {times['their official'] / spent:.1f} times that" if folder else ""
        print(f"{name:>22} {spent:8.1f}{ratio}")

    start = time.perf_counter()
    for i in range(context.answers):
        problem, text = known[i % len(known)]
        TASK.grade(problem, text)
        grade_official(problem, text)
    spent = time.perf_counter() - start
    print(f"\n{context.answers} answers, all three grades: {spent:.1f} s on one core")

    print("\nsolving, ten cities")
    print(f"{'generated':>22} {solving([generate(10, seed) for seed in range(200)])}")
    print(f"{'without events':>22} {solving([generate(10, seed, windows=0.0) for seed in range(20)])}")
    print(f"{'one plan only':>22} {solving([generate(10, seed, unique=True) for seed in range(200)])}")
    if "ANYTIME_BENCH_DATA" in os.environ:
        real = {p.id: p for p, _ in known}
        print(f"{'real':>22} {solving([p for p in real.values() if p.metadata['n_cities'] == 10])}")

    print("\nhostile answers, seconds for 1 MB (and for 2 MB)")
    problem = next(p for p, _ in known if p.metadata["n_cities"] == 10)
    cities = ["Rome", "Nice", *(c for c, _ in problem.gold[:8])]
    for name, piece in HOSTILE.items():
        row = []
        for size in (1_000_000, 2_000_000):
            text = piece * (size // len(piece))
            start = time.perf_counter()
            read_plan(text, cities)
            grade_official(problem, text)
            row.append(time.perf_counter() - start)
        print(f"{name:>22} {row[0]:8.2f} ({row[1]:.2f})")


if __name__ == "__main__":
    main()
