"""Trips: prompts read and written, solved, graded; against real data where it is given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import Task
from anytime_lib.tasks.itinerary import check, plan_of, read_trip
from anytime_lib.tasks.trip import TASK, generate, grade_official, parse_problem, read_plan, solve

DATA = Path(os.environ.get("ANYTIME_BENCH_DATA", "")) / "trip_planning_subset.json"
real = pytest.mark.skipif(
    "ANYTIME_BENCH_DATA" not in os.environ, reason="ANYTIME_BENCH_DATA names no folder with trip_planning_subset.json"
)


@given(st.integers(2, 10), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_generated_problems_are_solvable_and_graded(n: int, seed: int) -> None:
    problem = generate(n, seed)
    assert problem == generate(n, seed)
    golden = plan_of([(c, d) for c, d in problem.gold])
    assert golden in solve(problem)
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
    assert isinstance(TASK, Task)
    for bad in ({"split": "trian"}, {"split": "all"}, {"difficulty": [1]}, {"difficulty": [11]}):
        with pytest.raises(ConfigError):
            TASK.problems(limit=1, **bad)  # type: ignore[arg-type]


def test_a_sentence_that_cannot_be_read_is_shown() -> None:
    text = generate(3, 0).text
    with pytest.raises(DataError, match="You must see Paris"):
        parse_problem(text.replace("You only take", "You must see Paris at dawn. You only take"))
    with pytest.raises(DataError, match=r"flight.*Atlantis"):
        parse_problem(text.replace("direct flights:\n", "direct flights:\nAtlantis and Nowhere, "))
    with pytest.raises(DataError, match="not a trip-planning prompt"):
        parse_problem("Hello")


CITIES = ["Rome", "Nice", "Split"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Day 1-3:** Arriving in Rome and visit Rome for 3 days.\n**Day 3:** Fly from Rome to Nice.", "Rome 1-3"),
        ("day 1 – 3: rome\nDAY 3–5: Nice", "Rome 1-3, Nice 3-5"),
        ("1. Day 1 to plan\n- Days 2 - Day 4: stay in Split", "Split 2-4"),
        ("Day 4: Rome", "Rome 4-4"),
        ("Rome: days 1-3", "Rome 1-3"),
        ("Day 1-3: Visit Atlantis for 3 days.\nDay 3-5: Rome", "Atlantis 1-3, Rome 3-5"),
        ("Day 1-2: Rome\nDay 2-3: Nice\n\nBetter:\nDay 1-3: Nice", "Nice 1-3"),
        ("Day 1-2: Rome\nDay 2-3: Nice\nDay 3-4: Split\nOr\nDay 1-3: Nice", "Rome 1-2, Nice 2-3, Split 3-4"),
        ("I like Rome and Nice.", None),
        ("Day 3-1: Rome", None),
        ("", None),
    ],
)
def test_plans_are_read(text: str, expected: str | None) -> None:
    plan = read_plan(text, CITIES)
    assert (plan and ", ".join(f"{s.city} {s.first}-{s.last}" for s in plan)) == expected


@given(
    st.text(max_size=300) | st.lists(st.sampled_from(["Day ", "1", "-", "3:", " Rome", "\n", "9" * 5000])).map("".join)
)
@settings(deadline=None)
def test_any_text_gets_a_grade(text: str) -> None:
    problem = generate(3, 1)
    grade = TASK.grade(problem, text)
    assert 0 <= grade.score <= 1 and grade.correct == (grade.score == 1)
    assert grade_official(problem, text) in (0.0, 1.0)


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "trips.json"
    for text in ("{", "[]", '{"a": {"prompt": ""}}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"trips\.json"):
            TASK.problems(str(path))
    with pytest.raises(DataError, match="none"):
        TASK.problems(str(tmp_path / "none.json"))


@pytest.fixture(scope="module")
def rows() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DATA.read_text())
    return loaded


@real
def test_official_data(rows: dict[str, Any]) -> None:
    problems = TASK.problems(str(DATA), split="all")
    assert {p.id for p in problems} == rows.keys()
    assert all(TASK.grade(p, rows[p.id]["golden_plan"]).correct for p in problems)
    assert sum(grade_official(p, rows[p.id]["pred_5shot_pro"]) for p in problems) == 23
    many = {p.id.rsplit("_")[-1]: n for p in problems if (n := len(solve(p))) != 1}
    assert many == {"1511": 2, "1009": 2, "1450": 7, "1487": 9}
    for p in problems:
        assert parse_problem(rows[p.id]["prompt_5shot"], id=p.id).metadata == {
            k: v for k, v in p.metadata.items() if k != "source"
        }
    test, pool = (TASK.problems(str(DATA), split=s) for s in ("test", "pool"))
    assert {p.id for p in test} ^ {p.id for p in pool} == rows.keys()
