"""Answers in every layout are read as the plan they state; hostile ones as anything, but without an exception."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.tasks.trip import TASK, generate, grade_official, grade_partial, grade_strict, read_plan
from anytime_lib.tasks.trip_problem import Stay, plan_of, write_plan

CASES = yaml.safe_load(Path(__file__).with_name("trip_cases.yaml").read_text(encoding="utf-8"))
LAYOUTS = CASES["layouts"]
CITIES, PLAN = ["Rome", "Nice", "Split"], "Rome 1-3, Nice 3-5, Split 5-8"


def told(text: str, cities: list[str] = CITIES) -> str | None:
    plan = read_plan(text, cities)
    return plan and ", ".join(f"{s.city} {s.first}-{s.last}" for s in plan)


@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout, cases in LAYOUTS.items() for name in cases])
def test_layouts(layout: str, name: str) -> None:
    assert told(LAYOUTS[layout][name]) == PLAN


@pytest.mark.parametrize(("expected", "text"), CASES["stated"])
def test_what_is_stated_counts(expected: str | None, text: str) -> None:
    assert told(text) == expected


def test_names_with_several_words_or_accents() -> None:
    cities = ["Kraków", "Málaga", "The Hague", "St. Gallen"]
    text = "Day 1-5: Krakow\nday 5-7: ma\u0301laga\nDay 7-9: The Hague\n9-11: St. Gallen"
    assert told(text, cities) == "Kraków 1-5, Málaga 5-7, The Hague 7-9, St. Gallen 9-11"


PIECES = ["Day ", "day", "1", "3", "-", "–", " to ", ":", " Rome", "Nice", "fly", "from ", "\n", "|", "**", "1. ", "٣"]
PIECES += ["{", "}", "[", "]", '"day_range": ', '"place": ', '"Day 1-3"', '"', "'", ",", "9" * 5000, "\u0301", "\ud800"]
PIECES += [" ", "European cities for ", "Day 2 from Rome to Nice", "\r", "\x1c", "\u2028", "-" * 300, " " * 300, "ﷺ"]


@given(st.text(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(deadline=None, max_examples=150)
def test_any_text_gets_a_grade(text: str) -> None:
    problem = generate(3, 1)
    for wanted in (problem, generate(2, 5)):
        grade = TASK.grade(wanted, text)
        assert 0 <= grade.score <= 1 and grade.correct == (grade.score == 1)
        assert (grade.score, float(grade.correct)) == (grade_partial(wanted, text), grade_strict(wanted, text))
        assert grade_official(wanted, text) in (0.0, 1.0)
    read_plan(text, CITIES)


WRITERS: list[Callable[[list[Stay]], str]] = [
    write_plan,
    lambda plan: "\n".join(f"day {s.first}–{s.last}: {s.city.lower()}" for s in plan),
    lambda plan: "\n".join(f"| {i} | {s.city} | {s.first} - {s.last} | {s.days} days |" for i, s in enumerate(plan, 1)),
    lambda plan: "\n".join(f"{i}. **{s.city}** (Days {s.first} to {s.last})" for i, s in enumerate(plan, 1)),
    lambda plan: json.dumps([{"day_range": [s.first, s.last], "place": s.city} for s in plan]),
    lambda plan: json.dumps({"x": [{"place": s.city, "day_range": f"Day {s.first}-{s.last}"} for s in plan]}, indent=2),
    lambda plan: ", ".join(f"{s.city} (Day {s.first}-{s.last})" for s in plan),
]


@given(st.integers(2, 10), st.integers(0, 2**32), st.sampled_from(WRITERS), st.sampled_from(WRITERS))
@settings(max_examples=60, deadline=None)
def test_a_plan_written_is_read_back(
    n: int, seed: int, write: Callable[[list[Stay]], str], other: Callable[[list[Stay]], str]
) -> None:
    golden = [(city, days) for city, days in generate(n, seed).gold]
    plan, draft = plan_of(golden), plan_of(golden[::-1])
    cities = sorted(city for city, _ in golden)
    assert read_plan(f"So:\n\n{write(plan)}\n\nHave a nice trip in these 3 days!", cities) == plan
    assert read_plan(f"{other(draft)}\n\nNo.\n\n{write(plan)}\n\nOr:\n\n{other(draft[:-1])}", cities) == plan
