"""Is from every reply read what it states, an integer, a letter or a plan, and nothing from those that state nothing?

The cases stand in integer_cases.yaml, choice_cases.yaml and trip_cases.yaml, one a line.
"""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.gpqa import LETTERS
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.math_verify import KINDS, disagreements, second_opinions
from anytime_lib.tasks.said import split_thinking
from anytime_lib.tasks.trip import TASK, generate, grade_official, grade_partial, grade_strict, read_plan
from anytime_lib.tasks.trip_problem import Stay, plan_of, write_plan

INTEGERS, CHOICES = (
    yaml.safe_load(Path(__file__).with_name(f"{kind}_cases.yaml").read_text(encoding="utf-8"))
    for kind in ("integer", "choice")
)
FISH = ["one fish", "two fish", "red fish", "blue fish"]
OPINIONS = INTEGERS.pop("second opinions")
TAGS = INTEGERS.pop("thinking and said")
OPTIONS = {name: rows[0]["options"] for name, rows in CHOICES.items() if isinstance(rows[0], dict)}


@pytest.mark.parametrize(
    ("value", "text"), [pytest.param(*row, id=f"{group}: {row[1]}") for group, rows in INTEGERS.items() for row in rows]
)
def test_integers(value: int | None, text: str) -> None:
    assert extract_integer(text) == value


@pytest.mark.parametrize(
    ("letter", "reply", "options"),
    [
        pytest.param(letter, reply, OPTIONS.get(name), id=f"{name}: {why} [{letter}]")
        for name, rows in CHOICES.items()
        for letter, reply, why in rows[name in OPTIONS :]
    ],
)
def test_choices(letter: str, reply: str, options: Sequence[str] | None) -> None:
    assert (extract_choice(reply, options) or "-") == letter
    if options is None and letter != "-":  # options that nobody names change nothing
        assert extract_choice(reply, FISH) == letter


@pytest.mark.parametrize(("thought", "spoken", "text"), TAGS)
def test_what_is_thought_is_not_said(thought: str, spoken: str, text: str) -> None:
    assert split_thinking(text) == (thought, spoken)


def test_every_letter_and_every_option_is_read_alike() -> None:
    for letter, option in zip(LETTERS, FISH, strict=True):
        for form in ("{}", "Answer: {}", "The answer is **{}**.", "\\boxed{{{}}}", "<answer>{}</answer>"):
            assert extract_choice(form.format(letter)) == letter
            assert extract_choice(form.format(option), FISH) == letter
            assert extract_choice(form.format(f"{letter}) {option}"), FISH) == letter


BITS = ["\\boxed{", "}", "{", "$", "answer", " is ", ":", "final ", "17", "٣", ".", "\n", "-", "\\", "²", "\\text{",
        "=", "<answer>", "</answer>", "答案:", "wait ", "that's wrong", "<think>", "</think>", "A", "b", "(", ")", "*",
        "or ", "not ", "24 m"]  # fmt: skip


four = st.lists(st.text(max_size=9), min_size=4, max_size=4)


@given(st.text() | st.lists(st.sampled_from(BITS)).map("".join), st.none() | four)
def test_any_text_gives_an_answer_or_none(text: str, options: list[str] | None) -> None:
    assert extract_choice(text, options) in {*LETTERS, None}
    assert extract_integer(text) in {*range(1000), None}


@pytest.mark.parametrize(
    "unit",
    ["(", "*", " ", "\n", "a", "1", "=", "\\", "{", "_ ", "answer:", "answer ", "answer is the ", "answer is 1 ",
     "final ", "\\boxed{", "\\boxed ", "(A) is ", "A or ", "A) ", "Answer: A, ", "the answer to ", "if if that ",
     "Option C is correct ", "e\u0301\u0323", "<think>", "Option A is wrong. ", "Answer: not A. ", "Answer: A wait\n",
     "{\"city\": \"Rome\", \"days\": 1", "Day 1, 2, ", "Rome → ", "Day 3: Rome to Nice\n", "arrive Rome on ", "[1, ",
     "</think>", "[THINK]", "<think ", "<|channel|>analysis", "I do not think that ", "\\boxed 4 ", "选", "\"choice\":",
     "answer\n", "... wait", "<b ", "answer: 24 m x ", "<answer>", "答案", "réponse finale ", "answer is not 1 "],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    options = ["24 m", "25 m", "one fish", "a long option " * 9]

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.process_time()
        for reply in ("Answer: " + text, text + "Answer: C"):
            extract_choice(reply, options)
            extract_integer(reply)
            read_plan(reply, ["Rome", "Nice"])
        return time.process_time() - start

    assert seconds(150_000) < 12 * max(seconds(30_000), 0.05)  # linear would be 5 times, quadratic 25


# Math-Verify gives its opinion within its limits, whatever the answer does to it.

BOMBS = [r"\boxed{9^{9^{9^9}}}", r"\boxed{10000000!}"]


@pytest.fixture(scope="module")
def opinions() -> pd.DataFrame:
    """Of all answers, with the bombs among them."""
    return second_opinions([(text, gold) for gold, text, _ in OPINIONS] + [(bomb, 17) for bomb in BOMBS], timeout=2)


def test_kinds(opinions: pd.DataFrame) -> None:
    assert opinions.kind.tolist() == [kind for *_, kind in OPINIONS] + ["timed out"] * 2
    assert opinions.ours.isna()[5] and opinions.theirs[5] == "82"  # the example of the literature
    assert opinions.kind.value_counts(sort=False).index.tolist() == [*KINDS]  # those that nobody has too


def test_the_table_shows_no_more_than_the_end_of_an_answer(opinions: pd.DataFrame) -> None:
    table = disagreements(opinions)
    assert list(table.index) == [5, 6, 7, 10, 13, 14, 15] and table["excerpt"].str.len().max() <= 60
    assert table["theirs"].isna().sum() == 2 and disagreements(second_opinions([])).empty


def test_works_from_threads_and_inside_an_event_loop_and_leaves_no_process_behind() -> None:
    async def cell() -> list[str]:
        return second_opinions([(r"\boxed{17}", 17)]).kind.tolist()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(second_opinions, [(BOMBS[0], 17), (r"\boxed{17}", 17)], 2) for _ in range(2)]
        found = [future.result().kind.tolist() for future in futures]
    assert found == [["timed out", "both right"]] * 2
    assert asyncio.run(cell()) == ["both right"]
    assert not multiprocessing.active_children()


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
@settings(max_examples=150)
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
@settings(max_examples=60)
def test_a_plan_written_is_read_back(
    n: int, seed: int, write: Callable[[list[Stay]], str], other: Callable[[list[Stay]], str]
) -> None:
    golden = [(city, days) for city, days in generate(n, seed).gold]
    plan, draft = plan_of(golden), plan_of(golden[::-1])
    cities = sorted(city for city, _ in golden)
    assert read_plan(f"So:\n\n{write(plan)}\n\nHave a nice trip in these 3 days!", cities) == plan
    assert read_plan(f"{other(draft)}\n\nNo.\n\n{write(plan)}\n\nOr:\n\n{other(draft[:-1])}", cities) == plan
