"""Is from every reply read what it states, an integer or a letter, and nothing from those that state nothing?

The cases stand in integer_cases.yaml and choice_cases.yaml, one a line.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.gpqa import LETTERS
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.math_verify import KINDS, disagreements, second_opinions
from anytime_lib.tasks.said import split_thinking
from anytime_lib.tasks.trip_answer import read_plan

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

    assert seconds(300_000) < 12 * max(seconds(60_000), 0.1)  # linear would be 5 times, quadratic 25


# Math-Verify gives its opinion within its limits, whatever the answer does to it.

BOMBS = [r"\boxed{9^{9^{9^9}}}", r"\boxed{10000000!}"]


@pytest.fixture(scope="module")
def opinions() -> pd.DataFrame:
    """Of all answers, with the bombs among them."""
    return second_opinions([(text, gold) for gold, text, _ in OPINIONS] + [(bomb, 17) for bomb in BOMBS], timeout=1)


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
        futures = [pool.submit(second_opinions, [(BOMBS[0], 17), (r"\boxed{17}", 17)], 1) for _ in range(2)]
        found = [future.result().kind.tolist() for future in futures]
    assert found == [["timed out", "both right"]] * 2
    assert asyncio.run(cell()) == ["both right"]
    assert not multiprocessing.active_children()
