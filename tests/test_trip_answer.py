"""Answers in every layout are read as the plan they state; hostile ones as anything, but without an exception."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.tasks.trip import TASK, generate, grade_official, grade_partial, grade_strict, read_plan
from anytime_lib.tasks.trip_problem import Stay, plan_of, write_plan

CITIES = ["Rome", "Nice", "Split"]
PLAN = "Rome 1-3, Nice 3-5, Split 5-8"


def told(text: str, cities: list[str] = CITIES) -> str | None:
    plan = read_plan(text, cities)
    return plan and ", ".join(f"{s.city} {s.first}-{s.last}" for s in plan)


def listed(days: Callable[[int, int], object], place: str = "place", key: str = "day_range") -> list[dict[str, object]]:
    return [{key: days(a, b), place: city} for city, a, b in (("Rome", 1, 3), ("Nice", 3, 5), ("Split", 5, 8))]


def pairs(text: str) -> list[list[str]]:
    return [pair.split(" ", 1) for pair in text.split("|")]


OFFICIAL = write_plan([Stay("Rome", 1, 3), Stay("Nice", 3, 5), Stay("Split", 5, 8)])
LISTS = {
    "fence": f"Here:\n```json\n{json.dumps(listed(lambda a, b: f'{a}-{b}'), indent=2)}\n```\nOn day 8, Rome!",
    "pairs": json.dumps({"plan": {"stays": listed(lambda a, b: [a, b])}}, indent=4),
    "words": json.dumps(listed(lambda a, b: f"Days {a} to {b}", "city", "days")),
    "quotes": str(listed(lambda a, b: f"Day {a} – Day {b}")),
    "cut": json.dumps(listed(lambda a, b: f"Day {a}-{b}"))[:-1] + ', {"day_range": "Day 8-',
    "comma": json.dumps(listed(lambda a, b: f"Day {a}-{b}"), indent=1).replace("}\n", "},\n"),
    "flights": ", ".join(
        json.dumps({"day_range": f"Day {days}", "place": place})
        for days, place in pairs("1-3 Rome|3 Rome|3 Rome to Nice|3 Nice|3-5 Nice|5-8 Split")
    ),
    "keys": json.dumps({"Day 1-3": "Rome", "Day 3-5": "Nice", "Day 5-8": "Split"}),
    "cities": json.dumps({"Rome": "Day 1-3", "Nice": "Day 3-5", "Split": "Day 5-8"}, indent=1),
}
TABLES = {
    "numbered": "| # | City | Days | Stay |\n|-|-|-|-|\n| 1 | Rome | 1-3 | 3 days |\n| 2 | Nice | 3-5 | 3 days |\n"
    "| 3 | Split | 5-8 | 4 days |",
    "columns": "| City | Start day | End day |\n|---|---|---|\n| Rome | 1 | 3 |\n| Nice | 3 | 5 |\n| Split | 5 | 8 |",
    "days": "| Rome | Day 1 | Day 3 |\n| Nice | Day 3 | Day 5 |\n| Split | Day 5 | Day 8 |",
    "bare": "Days | City\n--- | ---\nDay 1-3 | Rome\nDay 3-5 | Nice\nDay 5-8 | Split",
    "notes": "| Day 1-3 | Rome | wedding on day 2 in Rome |\n| Day 3-5 | Nice | fly from Rome to Nice on Day 3 |\n"
    "| Day 5-8 | Split | |",
    "each day": "| Day | City |\n|---|---|\n| 1 | Rome |\n| 2 | Rome |\n| 3 | Rome |\n| 3 | Nice |\n| 4 | Nice |\n"
    "| 5 | Nice |\n| 5 | Split |\n| 6 | Split |\n| 7 | Split |\n| 8 | Split |",
}
LINES = {
    "official": OFFICIAL,
    "prose": f"Nice must come on day 3, to meet a friend.\n{OFFICIAL}\n\nThe event in Split between day 5 and day 8 "
    "is kept. On day 6 we could be in Nice.",
    "checks": f"{OFFICIAL}\n\n- Days 5-8: workshop in Split, kept\n- Days 3-5: wedding in Nice, kept",
    "lower": "day 1 – 3: rome\nDAY 3—5: nice\nday 5−8 split",
    "words": "Days 1 to 3: Rome\nDay 3 to Day 5: Nice\nDays 5 until 8: Split",
    "numbers": "1. Rome (Day 1-3)\n2) Nice (Day 3-5)\n(3) Split (Day 5-8)",
    "numbers first": "1. **Days 1-3:** Rome\n2. **Days 3-5**: Nice\n3. **Days 5-8**: Split",
    "no word": "1. Rome: 1-3\n2. Nice: 3-5\n3. Split: 5-8",
    "arrows": "Rome (Day 1-3) → Nice (Day 3-5) → Split (Day 5-8)",
    "one line": "Day 1-3: Rome; Day 3: fly to Nice; Day 3-5: Nice; Day 5: fly to Split; Day 5-8: Split",
    "sentence": "I spend day 1 to day 3 in Rome. Then day 3 to day 5 in Nice and day 5 to 8 in Split.",
    "city first": "Visit Rome from day 1 to day 3, then Nice from day 3 to day 5 and Split from day 5 to day 8.",
    "headings": "### Day 1-3:\n- Visit Rome for 3 days\n\n### Day 3-5:\n- Nice\n\n### Day 5-8:\nStay in Split",
    "flown into": "Day 1-3: Rome\nDay 3-5: Fly from Rome to Nice and visit Nice\nDay 5-8: Travel on, stay in Split",
    "each day": "Day 1: Rome\nDay 2: Rome\nDay 3: Fly from Rome to Nice\nDay 4: Nice\nDay 5: Fly to Split\n"
    "Day 6: Split\nDay 7: Split\nDay 8: Split, have a nice trip",
    "other dashes": "Day 1～3: Rome\nDay 3 -> 5: Nice\nDay 5 ⟶ 8: Split",
    "bare arrows": "Rome: 1 -> 3\nNice: 3 → 5\nSplit: 5～8",
    "thought": f"<think>Day 1-2: Rome\nDay 2-5: Split\nDay 5-8: Nice</think>{OFFICIAL}",
    "other digits": "Day １-３: Rome\nDay ٣-٥: Nice\nDay 5-8: Split",
    "draft before": f"Day 1-2: Rome\nDay 2-5: Split\nDay 5-8: Nice\nNo, better:\n{OFFICIAL}",
    "cut after": f"{OFFICIAL}\nOr else:\nDay 1-4: Nice\nDay 4-",
    "list, then lines": json.dumps(listed(lambda a, b: f"Day {a}-{b + 1}")) + "\nAs lines:\n" + OFFICIAL,
    "lines, then list": "Day 1-2: Rome\nDay 2-5: Split\nDay 5-8: Nice\n" + LISTS["fence"],
}


@pytest.mark.parametrize("text", [*LINES.values(), *TABLES.values(), *LISTS.values()], ids=[*LINES, *TABLES, *LISTS])
def test_layouts(text: str) -> None:
    assert told(text) == PLAN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Day 1-3:** Arriving in Rome and visit Rome for 3 days.\n**Day 3:** Fly from Rome to Nice.", "Rome 1-3"),
        ("1. Day 1 to plan\n- Days 2 - Day 4: stay in Split", "Split 2-4"),
        ("Day 4: Rome", "Rome 4-4"),
        ("Day 1-3: Visit Atlantis for 3 days.\nDay 3-5: Rome", "Atlantis 1-3, Rome 3-5"),
        ('[{"day_range": "1-3", "place": "Oz"}, {"day_range": "3-5", "place": "Rome, Italy"}]', "Oz 1-3, Rome 3-5"),
        # Without a complete plan: the one with the most cities, the last of equals.
        ("Day 1-2: Rome\nDay 2-3: Nice\n\nBetter:\nDay 1-3: Nice", "Rome 1-2, Nice 2-3"),
        ("Day 1-2: Rome\n\nBetter:\nDay 1-3: Nice", "Nice 1-3"),
        ("Day 1-2: Rome\nDay 2-3: Nice\nNote that day 1 is no good for Split.", "Rome 1-2, Nice 2-3"),
        ("There is no plan: the event in Rome (day 3 and 5) and Nice (day 4) rule it out.", None),
        (
            "It is impossible:\n* **Rome Wedding:** You must be in Rome between days 1-4.\n* Nice on days 3 and 4",
            "Nice 3-4",
        ),
        # In one list the days may go back; the plan stays one, and its faults are found when it is checked.
        ('[{"day_range": "5-8", "place": "Rome"}, {"day_range": "1-5", "place": "Nice"}]', "Rome 5-8, Nice 1-5"),
        ("Day 1-3: Have a nice stay in Rome", "Rome 1-3"),
        ("Rome: 2-3 days, Nice: 4-5 nights, Split 2024-05-01", None),
        ("I like Rome and Nice for 3 days.", None),
        ("Day 3-1: Rome", None),
        (f"<think>{OFFICIAL}\nbut the flight is missing</think>There is no valid plan.", None),
        ('[{"city": "Rome", "days": 3}, {"city": "Nice", "days": 3}]', None),  # lengths of stay, not days
        ('[{"city": "Rome", "days": 3, "day_range": "1-3"}, {"city": "Nice", "day": 4}]', "Rome 1-3, Nice 4-4"),
        ("Day 12345: Rome", None),
        ("", None),
    ],
)
def test_what_is_stated_counts(text: str, expected: str | None) -> None:
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
