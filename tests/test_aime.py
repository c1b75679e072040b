"""Does the task `aime` ask what it says, know the right answer, and read only what a reply states?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.aime import TASK, extract_integer
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem

PROBLEM = Problem("p", "aime", "What is ${x}$ if $a+b$?", 18)


@given(st.integers(0, 999))
def test_gold_answers_are_graded_right(n: int) -> None:
    problem = Problem("p", "aime", "?", n)
    assert TASK.grade(problem, TASK.gold_answer(problem)).correct


def test_grades() -> None:
    for text, *expected in (
        ("Answer: 18", 1.0, True, "ok", "18"),
        ("Answer: 17", 0.0, False, "ok", "17"),
        (" \n", 0.0, False, "empty", "nothing was said"),
        ("we get 18", 0.0, False, "unparsed", "no integer from 0 to 999 is stated as the answer"),
    ):
        found = TASK.grade(PROBLEM, text)
        assert [found.score, found.correct, found.status, found.detail] == expected
        assert TASK.extract_answer(PROBLEM, text) == (found.detail if found.status == "ok" else None)


def test_turns() -> None:
    turn = TASK.question(PROBLEM)
    assert isinstance(TASK, Task)
    assert turn.startswith("What is ${x}$ if $a+b$?")
    assert turn.endswith(r"Final answer: \boxed{N}") and "18" not in turn
    assert TASK.answer_prompt(PROBLEM).endswith(r"\boxed{N}")
    assert extract_integer(TASK.answer_prompt(PROBLEM)) is None  # an echo of the prompt is no answer


WRONG = (
    *({"difficulty": levels} for levels in ([7], ["1"], [], "12")),
    {"split": "train"}, {"limit": 0}, {"seed": -1}, {"source": "x.jsonl", "difficulty": [1]},
    *({"source": source} for source in ("aime", "hub", "hub#split=test", "hub#2026", "hub#2024,split=train",
                                        "x.jsonl#config=a", "x.txt", 5)),
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_settings_are_config_errors(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        TASK.problems(**wrong)
