"""Is from every reply read what it settles on, and nothing from those that settle on nothing?

The cases stand in choice_cases.yaml, one a line, each with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.tasks.gpqa import LETTERS, extract_choice

GROUPS = yaml.safe_load(Path(__file__).with_name("choice_cases.yaml").read_text(encoding="utf-8"))
FISH = ["one fish", "two fish", "red fish", "blue fish"]
OPTIONS = {name: rows[0]["options"] for name, rows in GROUPS.items() if isinstance(rows[0], dict)}
CASES = [
    pytest.param(letter, reply, OPTIONS.get(name), id=f"{name}: {why} [{letter}]")
    for name, rows in GROUPS.items()
    for letter, reply, why in rows[name in OPTIONS :]
]


@pytest.mark.parametrize(("letter", "reply", "options"), CASES)
def test_case(letter: str, reply: str, options: Sequence[str] | None) -> None:
    assert (extract_choice(reply, options) or "-") == letter
    if options is None and letter != "-":  # options that nobody names change nothing
        assert extract_choice(reply, FISH) == letter


def test_every_letter_and_every_option_is_read_alike() -> None:
    for letter, option in zip(LETTERS, FISH, strict=True):
        for form in ("{}", "Answer: {}", "The answer is **{}**.", "\\boxed{{{}}}", "<answer>{}</answer>"):
            assert extract_choice(form.format(letter)) == letter
            assert extract_choice(form.format(option), FISH) == letter
            assert extract_choice(form.format(f"{letter}) {option}"), FISH) == letter


PIECES = ["A", "b", "answer", ":", " is ", "(", ")", "*", "\\boxed{", "}", "or ", "not ", "\n", ".", "<think>", "24 m"]


@given(
    st.text() | st.lists(st.sampled_from(PIECES)).map("".join),
    st.none() | st.lists(st.text(max_size=9), min_size=4, max_size=4),
)
def test_any_text_gives_a_letter_or_nothing(text: str, options: list[str] | None) -> None:
    assert extract_choice(text, options) in {*LETTERS, None}


@pytest.mark.parametrize(
    "unit",
    ["(", "*", " ", "\n", "a", "answer:", "answer ", "answer is the ", "\\boxed{", "(A) is ", "A or ", "A) ", "_ ",
     "Answer: A, ", "the answer to ", "if the ", "Option C is correct ", "if if that ", "e\u0301\u0323", "<think>",
     "Option A is wrong. ", "Answer: not A. ", "Answer: A wait\n", "answer\n", "... wait", "<b ", "answer: 24 m x "],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    options = ["24 m", "25 m", "one fish", "a long option " * 9]

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        start = time.process_time()
        extract_choice("Answer: " + text, options)
        extract_choice(text + "Answer: C", options)
        return time.process_time() - start

    assert seconds(300_000) < 12 * max(seconds(60_000), 0.1)  # linear would be 5 times, quadratic 25
