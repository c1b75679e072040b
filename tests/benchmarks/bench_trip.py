"""How fast are trips graded and solved, and does a hostile answer cost more than its length?

    python tests/benchmarks/bench_trip.py [--turns 5] [--answers 100000]

Graded are NATURAL PLAN's recorded predictions and golden plans where ANYTIME_BENCH_DATA holds them, else golden plans
of generated problems. Where ANYTIME_NATURAL_PLAN names a checkout of google-deepmind/natural-plan, their parser grades
the same answers in turns with ours (the best of `--turns` each), and the ratio is theirs to ours.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from common import best_seconds, options, seconds

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


def solving(problems: list[Problem]) -> str:
    spent = [seconds(lambda problem=problem: solve(problem)) * 1e3 for problem in problems]
    median, high, most = np.percentile(spent, [50, 90, 100])
    return f"median {median:.2f}, p90 {high:.2f}, max {most:.2f} ms ({len(problems)} problems)"


def main() -> None:
    asked, known = options(__doc__, turns=5, answers=100_000), answers()
    print(f"{platform.machine()}, Python {platform.python_version()}, {len(known)} different answers")

    graders: dict[str, Any] = {"official": grade_official, "strict and partial": TASK.grade,
                               "strict": grade_strict, "partial": grade_partial}  # fmt: skip
    if folder := os.environ.get("ANYTIME_NATURAL_PLAN"):
        theirs = official_program(folder)
        golden = {p.id: ("**".join(c for c, _ in p.gold), "**".join(str(d) for _, d in p.gold)) for p, _ in known}

        def official(p: Problem, text: str) -> Any:
            return theirs.compute_example_score(*golden[p.id], theirs.parse_response(text))

        graders["their official"] = official
        assert all(graders["their official"](p, text) == grade_official(p, text) for p, text in known)
    print("\ngrading, microseconds an answer")
    calls = {name: lambda grade=grade: [grade(p, text) for p, text in known] for name, grade in graders.items()}
    for name, spent in (times := best_seconds(calls, asked.turns)).items():
        ratio = f"   their official takes {times['their official'] / spent:.1f} times that" if folder else ""
        print(f"{name:>22} {spent / len(known) * 1e6:8.1f}{ratio}")
    rounds = asked.answers // len(known)
    spent = rounds * sum(best_seconds({n: calls[n] for n in ("official", "strict and partial")}, 1).values())
    print(f"\n{rounds * len(known)} answers, all three grades: {spent:.1f} s on one core")

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
        texts = [piece * (size // len(piece)) for size in (1_000_000, 2_000_000)]
        one, two = (seconds(lambda t=t: (read_plan(t, cities), grade_official(problem, t))) for t in texts)
        print(f"{name:>22} {one:8.2f} ({two:.2f})")


if __name__ == "__main__":
    main()
