"""The `official` grade against NATURAL PLAN's own evaluator, run as a separate process on mutated answers.

Set ANYTIME_NATURAL_PLAN to the folder of a checkout of google-deepmind/natural-plan at commit ca76db3.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from numpy.random import Generator, default_rng

from anytime_lib.tasks.trip import TASK, generate, grade_official, parse_problem
from anytime_lib.types import Problem

CASES = 3000
# Runs in the other process: one verdict for each [cities, durations, text], "error" where their program breaks.
DRIVER = """
import json, sys, types
try:
    import absl.app, absl.flags
except ImportError:  # only their command line needs it
    flags = types.SimpleNamespace(DEFINE_string=lambda *a, **k: None)
    sys.modules.update({"absl": types.SimpleNamespace(app=None, flags=flags), "absl.flags": flags})
import evaluate_trip_planning as theirs
def verdict(cities, durations, text):
    try:
        return theirs.compute_example_score(cities, durations, theirs.parse_response(text))
    except ValueError:
        return "error"
print(json.dumps([verdict(*case) for case in json.load(sys.stdin)]))
"""


def swap(old: str, new: str) -> Callable[[str, Generator], str]:
    return lambda text, rng: text.replace(old, new)


def swap_one(old: str, new: str) -> Callable[[str, Generator], str]:
    def change(text: str, rng: Generator) -> str:
        parts = text.split(old)
        at = int(rng.integers(len(parts)))
        return old.join(parts[:at]) + (new if at > 0 else "") + old.join(parts[at:])

    return change


def on_lines(change: Callable[[list[str], Generator], list[str]]) -> Callable[[str, Generator], str]:
    return lambda text, rng: "\n".join(change(text.split("\n"), rng))


def insert(lines: list[str], line: str, rng: Generator) -> list[str]:
    at = int(rng.integers(len(lines) + 1))
    return [*lines[:at], line, *lines[at:]]


PROSE = (
    "First I need 3-4 days somewhere.",
    "The trip is for visiting the 3 European cities for 9 days:",
    "On Day 3 and Day 5 we go from here to there and from Rome to Nice.",
    "**Day 9:** Fly from Nice to Atlantis.",
    "**Day 9-12:** Visit Atlantis for 4 days.",
    "Day 12from Rome to NiceDay 4-5",
    "from from to to to Day 1 from a to b to c from d to",
    "See 2024-05-01, or 12-.",
    "Day ٣: from Ærø to Kraków, Day ４-５",
    "\r\x0b\x0c\x1c\u2028 Day 2 from X\u2028 to Y",
    "European cities for 99999999999999999999 days 1-99999999999999999999",
    "Day " + "9" * 5000 + " from Rome to Nice",
    "7-" + "0" * 50 + "9",
)
MUTATIONS: list[Callable[[str, Generator], str]] = [
    lambda text, rng: text,
    swap("-", "–"),
    swap_one("-", "—"),
    swap("Day", "day"),
    swap_one("Day", "day"),
    swap_one("**", ""),
    swap("**", ""),
    swap(" from ", " out of "),
    swap_one(" to ", " into "),
    swap_one("\n", " "),
    swap_one("\n", "\r\n"),
    swap_one("\n", "\n\n"),
    swap("1", "１"),
    swap_one("3", "٣"),
    swap("cities for ", "towns for "),
    swap_one("o", "ö"),
    lambda text, rng: text[: int(rng.integers(len(text) + 1))],
    lambda text, rng: text + "\n\nAlternatively:\n" + text,
    lambda text, rng: text.replace(str(int(rng.integers(1, 12))), str(int(rng.integers(1, 12))), 1),
    on_lines(lambda lines, rng: [lines[i] for i in rng.permutation(len(lines))]),
    on_lines(lambda lines, rng: lines[1:]),
    on_lines(lambda lines, rng: [line for line in lines if rng.random() < 0.9]),
    on_lines(lambda lines, rng: insert(lines, lines[int(rng.integers(len(lines)))], rng)),
    on_lines(lambda lines, rng: insert(lines, PROSE[int(rng.integers(len(PROSE)))], rng)),
    on_lines(lambda lines, rng: [*lines, PROSE[int(rng.integers(len(PROSE)))]]),
]


def mutated(text: str, rng: Generator) -> str:
    for i in rng.integers(len(MUTATIONS), size=int(rng.integers(0, 4))):
        text = MUTATIONS[i](text, rng)
    return text


def answers() -> list[tuple[Problem, str]]:
    """What is mutated: golden plans, one with cities of several words, and the recorded predictions if given."""
    found = [(p := generate(n, seed), TASK.gold_answer(p)) for n in range(2, 11) for seed in range(5)]
    text = generate(3, 4).text
    for city, name in zip([c for c, _ in generate(3, 4).gold], ("The Hague", "Kraków", "St. Gallen"), strict=True):
        text = text.replace(city, name)
    gold = list(zip(("The Hague", "Kraków", "St. Gallen"), [d for _, d in generate(3, 4).gold], strict=True))
    found.append((p := parse_problem(text, gold=gold), TASK.gold_answer(p)))
    if folder := os.environ.get("ANYTIME_BENCH_DATA"):
        path = Path(folder) / "trip_planning_subset.json"
        rows = json.loads(path.read_text())
        for p in TASK.problems(path, split="all"):
            found += [(p, rows[p.id]["golden_plan"]), (p, rows[p.id]["pred_5shot_pro"])]
    return found


@pytest.mark.skipif(
    "ANYTIME_NATURAL_PLAN" not in os.environ, reason="ANYTIME_NATURAL_PLAN names no checkout of natural-plan"
)
def test_same_verdict_as_the_official_program() -> None:
    rng = default_rng(0)
    known = answers()
    cases = [(p, mutated(text, rng)) for p, text in (known[i % len(known)] for i in range(CASES))]
    asked = [["**".join(c for c, _ in p.gold), "**".join(str(d) for _, d in p.gold), text] for p, text in cases]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=os.environ["ANYTIME_NATURAL_PLAN"],
        check=True,
        timeout=300,
    )
    theirs = json.loads(done.stdout)
    counted = Counter(theirs)
    assert counted[1.0] > CASES / 10 and counted[0.0] > CASES / 10 and counted["error"]
    ours = [grade_official(p, text) for p, text in cases]
    differ = [text for (_, text), a, b in zip(cases, ours, theirs, strict=True) if a != (0.0 if b == "error" else b)]
    assert not differ, f"{len(differ)} of {CASES} verdicts differ, the first on {differ[0]!r}"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda t: t, 1.0),
        (lambda t: "\n".join([t, "**Day 14:** Fly from A to Atlantis.", "**Day 14-15:** Visit Atlantis."]), 1.0),
        (lambda t: t.replace("-", "–"), 0.0),
        (lambda t: t.replace("Day", "day"), 0.0),
        (lambda t: "I take 4-5 days.\n" + t, 1.0),
        (lambda t: t + "\nAnother way:\n" + t.replace("Fly from", "Fly far from"), 1.0),
        (lambda t: t.replace("**Day 1-", "**Day 7-"), 1.0),  # stated ranges are never looked at
        (lambda t: "Day " + "9" * 5000 + " from A to B\n" + t, 0.0),  # their program breaks on it
    ],
)
def test_quirks(change: Callable[[str], str], verdict: float) -> None:
    problem = generate(4, 2)
    assert grade_official(problem, change(TASK.gold_answer(problem))) == verdict
