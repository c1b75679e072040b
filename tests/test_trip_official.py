"""The `official` grade against NATURAL PLAN's own evaluator, run as a separate process on mutated answers.

Set ANYTIME_NATURAL_PLAN to the folder of a checkout of google-deepmind/natural-plan at commit ca76db3.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from anytime_lib.tasks.trip import TASK, generate, grade_official, parse_problem
from anytime_lib.types import Problem

CASES = 3000
# Runs in the other process: one verdict for each [cities, durations, text], "error" where their program breaks.
DRIVER = """
import json, sys, types
flags = types.SimpleNamespace(DEFINE_string=lambda *a, **k: None)  # only their command line needs absl
sys.modules.update({"absl": types.SimpleNamespace(app=None, flags=flags), "absl.flags": flags})
import evaluate_trip_planning as theirs
def verdict(cities, durations, text):
    try:
        return theirs.compute_example_score(cities, durations, theirs.parse_response(text))
    except ValueError:
        return "error"
print(json.dumps([verdict(*case) for case in json.load(sys.stdin)]))
"""
PROSE = (
    "First I need 3-4 days somewhere.", "The trip is for visiting the 3 European cities for 9 days:",
    "On Day 3 and Day 5 we go from here to there and from Rome to Nice.", "**Day 9:** Fly from Nice to Atlantis.",
    "**Day 9-12:** Visit Atlantis for 4 days.", "Day 12from Rome to NiceDay 4-5", "See 2024-05-01, or 12-.",
    "from from to to to Day 1 from a to b to c from d to", "Day ٣: from Ærø to Kraków, Day ４-５",
    "\r\x0b\x0c\x1c\u2028 Day 2 from X\u2028 to Y", "Day " + "9" * 5000 + " from Rome to Nice",
    "European cities for 99999999999999999999 days 1-99999999999999999999", "7-" + "0" * 50 + "9",
)  # fmt: skip
SWAPS = [pair.split("|") for pair in ("-|–", "Day|day", "**|", " from | out of ", " to | into ", "1|１", "3|٣", "\n| ",
                                      "\n|\r\n", "cities for |towns for ", "o|ö", "1|2", "4|3")]  # fmt: skip
MUTATIONS: list[Callable[[str, Random], str]] = [
    *[lambda text, r: text.replace(*r.choice(SWAPS))] * 2,
    *[lambda text, r: text.replace(*r.choice(SWAPS), r.randint(1, 3))] * 2,
    *[lambda text, r: "\n".join(placed(text.split("\n"), r.choice(PROSE), r))] * 2,
    lambda text, r: text[: r.randint(0, len(text))],
    lambda text, r: text + "\n\nAlternatively:\n" + text,
    lambda text, r: "\n".join(r.sample(lines := text.split("\n"), len(lines))),
    lambda text, r: "\n".join(line for line in text.split("\n") if r.random() < 0.9),
    lambda text, r: "\n".join(placed(lines := text.split("\n"), r.choice(lines), r)),
]


def placed(lines: list[str], line: str, r: Random) -> list[str]:
    """The lines and one more, anywhere; at the end as often as not."""
    at = r.choice([r.randint(0, len(lines)), len(lines)])
    return [*lines[:at], line, *lines[at:]]


def answers() -> list[tuple[Problem, str]]:
    """What is mutated: golden plans, one with cities of several words, and the recorded predictions if given."""
    found = [(p := generate(n, seed), TASK.gold_answer(p)) for n in range(2, 11) for seed in range(5)]
    problem, names = generate(3, 4), ("The Hague", "Kraków", "St. Gallen")
    text = problem.text
    for (city, _), name in zip(problem.gold, names, strict=True):
        text = text.replace(city, name)
    gold = [(name, days) for (_, days), name in zip(problem.gold, names, strict=True)]
    found.append((p := parse_problem(text, gold=gold), TASK.gold_answer(p)))
    if folder := os.environ.get("ANYTIME_BENCH_DATA"):
        path = Path(folder) / "trip_planning_subset.json"
        rows = json.loads(path.read_text())
        for p in TASK.problems(path, split="all"):
            found += [(p, rows[p.id]["golden_plan"]), (p, rows[p.id]["pred_5shot_pro"])]
    return found


@pytest.mark.skipif("ANYTIME_NATURAL_PLAN" not in os.environ, reason="it names no checkout of natural-plan")
def test_same_verdict_as_the_official_program() -> None:
    r, known = Random(0), answers()
    cases = []
    for i in range(CASES):
        problem, text = known[i % len(known)]
        for change in r.choices(MUTATIONS, k=r.randint(0, 3)):
            text = change(text, r)
        cases.append((problem, text))
    asked = [["**".join(c for c, _ in p.gold), "**".join(str(d) for _, d in p.gold), text] for p, text in cases]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=os.environ["ANYTIME_NATURAL_PLAN"], input=json.dumps(asked),
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    theirs = json.loads(done.stdout)
    counted = Counter(theirs)
    assert counted[1.0] > CASES / 10 and counted[0.0] > CASES / 10 and counted["error"]
    ours = [grade_official(p, text) for p, text in cases]
    differ = [text for (_, text), a, b in zip(cases, ours, theirs, strict=True) if a != (0.0 if b == "error" else b)]
    assert not differ, f"{len(differ)} of {CASES} verdicts differ, the first on {differ[0]!r}"


def test_quirks() -> None:
    problem = generate(4, 2)
    told = TASK.gold_answer(problem)
    right = [
        told,
        told + "\n**Day 14:** Fly from A to Atlantis.\n**Day 14-15:** Visit Atlantis.",
        "I take 4-5 days.\n" + told,
        told + "\nAnother way:\n" + told.replace("Fly from", "Fly far from"),
        told.replace("**Day 1-", "**Day 7-"),  # stated ranges are never looked at
    ]
    broken = "Day " + "9" * 5000 + " from A to B\n" + told  # their program breaks on it
    wrong = [told.replace("-", "–"), told.replace("Day", "day"), broken]
    assert [grade_official(problem, text) for text in right + wrong] == [1.0] * 5 + [0.0] * 3
