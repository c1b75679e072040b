"""Trips: prompts read and written, solved, graded; against real data where it is given."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.trip import TASK, generate, grade_official, grade_strict, parse_problem, read_plan, solve
from anytime_lib.tasks.trip_problem import Stay, check, plan_of, read_trip
from anytime_lib.types import Problem

DATA = Path(os.environ.get("ANYTIME_BENCH_DATA", "")) / "trip_planning_subset.json"
real = pytest.mark.skipif(not DATA.is_file(), reason="ANYTIME_BENCH_DATA holds no trip_planning_subset.json")


@given(st.integers(2, 10), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60)
def test_generated_problems_are_solvable_and_graded(n: int, seed: int, unique: bool) -> None:
    problem = generate(n, seed, unique=unique)
    assert problem == generate(n, seed, unique=unique)
    golden = plan_of([(c, d) for c, d in problem.gold])
    assert golden in solve(problem) and (not unique or len(solve(problem)) == 1)
    trip = read_trip(problem.text)
    assert all(all(check(trip, plan).values()) for plan in solve(problem))
    told = TASK.gold_answer(problem)
    assert TASK.grade(problem, told).correct and grade_official(problem, told) == 1
    assert not TASK.grade(problem, told.replace("Day 1-", "Day 2-")).correct
    assert 0 < TASK.grade(problem, "\n".join(told.split("\n")[:3])).score < 1 or n == 2


def test_splits_and_limits() -> None:
    test, pool = (TASK.problems(limit=20, split=s, seed=3) for s in ("test", "pool"))
    assert not {p.content_hash for p in test} & {p.content_hash for p in pool}
    assert TASK.problems(limit=5, seed=3) == test[:5]
    assert TASK.problems() == TASK.problems(limit=30) + TASK.problems(limit=30, split="pool")
    assert isinstance(TASK, Task)


def test_a_sentence_that_cannot_be_read_is_shown() -> None:
    for old, new, says in (
        ("You only take", "You must see Paris at dawn. You only take", "You must see Paris"),
        ("direct flights:\n", "direct flights:\nAtlantis and Nowhere, ", r"flight.*Atlantis"),
        ("visit 3 European", "visit 4 European", "speaks of 4 cities"),
        ("European cities", "towns", "not a trip-planning prompt"),
        ("direct flights:", "flights:", "cannot read this"),
    ):
        with pytest.raises(DataError, match=says):
            parse_problem(generate(3, 0).text.replace(old, new))


WHOLE = "011710f32364011929def4365537843aff76ba187351dc6e949f9d3b56732ca6"
SPLIT = "21795db6c60b3a1e003edec247b89a86b4fed82e69e35fc7017f7918a9f27529"


def test_generated_problems_stay_what_they_were() -> None:
    """Stored runs rest on them: every byte, ids and metadata too."""

    def digest(problems: list[Problem], *more: str) -> str:
        rows = [[p.id, p.text, p.gold, dict(p.metadata), *(getattr(p, name) for name in more)] for p in problems]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    assert digest([generate(n, seed) for n in range(2, 11) for seed in range(12)], "content_hash") == WHOLE
    pool = TASK.problems(limit=5, seed=3, split="pool", difficulty=[10, 2])
    assert digest(TASK.problems(limit=12, seed=3) + pool) == SPLIT


@given(st.integers(2, 5), st.integers(0, 2**32), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=50)
def test_strict_is_being_one_of_the_solutions(n: int, seed: int, random: Random, shuffled: bool) -> None:
    problem = generate(n, seed)
    trip = read_trip(problem.text)
    order = [(c, d) for c, d in problem.gold]
    if shuffled:
        random.shuffle(order)
    plan = plan_of(order)
    if random.random() < 0.3:
        plan[random.randrange(n)] = Stay(random.choice([*trip.stays]), 1, random.randint(1, 5))
    kept = check(trip, plan)
    assert all(kept.values()) == (plan in solve(problem))
    # The atoms are those of the definition: one for each stay, city, window, flight and join, and the total.
    unasked = sum(name.startswith("unasked") for name in kept)
    assert len(kept) - unasked == 2 * n + len(trip.windows) + 2 * (n - 1) + 1


def test_atoms_fail_one_by_one() -> None:
    trip = read_trip(
        "You plan to visit 3 European cities for 8 days in total. You only take direct flights to commute between "
        "cities. You want to spend 3 days in Rome. You plan to stay in The Hague for 3 days. You would like to visit "
        "Málaga for 4 days. You have to attend a workshop in Málaga between day 6 and day 8.\n\nHere are the cities "
        "that have direct flights:\nfrom Rome to The Hague, Málaga and The Hague.\n\nFind a trip plan."
    )

    def broken(*plan: tuple[str, int, int]) -> set[str]:
        return {name for name, kept in check(trip, [Stay(*stay) for stay in plan]).items() if not kept}

    rome, hague, malaga = ("Rome", 1, 3), ("The Hague", 3, 5), ("Málaga", 5, 8)
    assert not broken(rome, hague, malaga)
    assert broken(("Rome", 1, 2), ("The Hague", 2, 5), malaga) == {"stay Rome", "stay The Hague"}
    assert broken(rome, hague, ("Málaga", 6, 9)) == {"join 1", "total days"}
    assert broken(("The Hague", 1, 3), ("Rome", 3, 5), malaga) == {"flight 0", "flight 1"}
    assert broken(("Málaga", 1, 4), ("The Hague", 4, 6), ("Rome", 6, 8)) == {"window 0 Málaga", "flight 1"}
    assert broken(rome, hague, malaga, ("Oslo", 8, 8)) == {"unasked Oslo", "flight 2"}
    assert broken(rome, hague) == {"stay Málaga", "once Málaga", "window 0 Málaga", "flight 1", "join 1", "total days"}
    assert broken(rome, hague, malaga, ("Rome", 8, 8)) == {"once Rome", "flight 2"}


@pytest.mark.parametrize("difficulty", [["easy"], 11, "345", [], [1], [11], [3.5], {3: 4}])
@pytest.mark.parametrize("source", [None, "none.json"])
def test_difficulty_is_checked(difficulty: Any, source: str | None) -> None:
    with pytest.raises(ConfigError, match="numbers of cities from 2 to 10"):
        TASK.problems(source, limit=1, difficulty=difficulty)


def test_the_question_of_a_few_shot_prompt_ends_with_the_task() -> None:
    text = generate(3, 0).text
    problem = parse_problem(f"TASK: {generate(4, 1).text}\nSOLUTION:\n...\n\nTASK: {text}\nSOLUTION:\n")
    assert read_trip(problem.text) == read_trip(text)
    assert TASK.question(problem).endswith(TASK.question(generate(3, 0)))


@pytest.fixture(scope="module")
def problems() -> dict[str, Problem]:
    return {p.id: p for p in TASK.problems(DATA, split="all")}


@real
def test_official_data(problems: dict[str, Problem]) -> None:
    rows = json.loads(DATA.read_text("utf-8"))
    assert problems.keys() == rows.keys()
    assert sum(grade_official(p, rows[name]["pred_5shot_pro"]) for name, p in problems.items()) == 23
    for name, p in problems.items():
        assert grade_official(p, rows[name]["golden_plan"]) == grade_strict(p, rows[name]["golden_plan"]) == 1
        # Each of the five worked examples is a prompt and its golden plan too.
        *examples, last = rows[name]["prompt_5shot"].split("TASK: ")[1:]
        assert read_trip(last) == read_trip(p.text) and len(examples) == 5
        for text, plan in (e.split("\nSOLUTION:") for e in examples):
            assert grade_strict(parse_problem(text), plan) == 1
    many = {name.rsplit("_")[-1]: n for name, p in problems.items() if (n := len(solve(p))) != 1}
    assert many == {"1511": 2, "1009": 2, "1450": 7, "1487": 9}


@real
def test_recorded_json_answers(problems: dict[str, Problem]) -> None:
    for line in (DATA.parent / "trip_r1_traces.jsonl").read_text("utf-8").splitlines():
        trace = json.loads(line)
        plan = read_plan(trace["answer"], [*read_trip(problems[trace["id"]].text).stays])
        # The recorded lists are JSON: what json reads of one is what was read of it.
        first, _ = json.JSONDecoder().raw_decode(trace["answer"])
        days = [[int(day) for day in re.findall(r"\d+", s["day_range"])] for s in first["itinerary"]]
        listed = [Stay(s["place"], d[0], d[-1]) for s, d in zip(first["itinerary"], days, strict=True)]
        assert plan and (plan == listed or len(listed) != trace["answer"].count("day_range"))


# The `official` grade against NATURAL PLAN's own evaluator, run as a separate process on mutated answers: set
# ANYTIME_NATURAL_PLAN to the folder of a checkout of google-deepmind/natural-plan at commit ca76db3.

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
    if DATA.is_file():
        rows = json.loads(DATA.read_text("utf-8"))
        for p in TASK.problems(DATA, split="all"):
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
