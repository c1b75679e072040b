"""Does the task `aime` ask what it says, know the right answer, and read only what a reply states?"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.aime import TASK, extract_integer
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem

READ = yaml.safe_load(Path(__file__).with_name("integer_cases.yaml").read_text(encoding="utf-8"))
CASES = [pytest.param(text, value, id=f"{group}: {text}") for group, rows in READ.items() for value, text in rows]


@pytest.mark.parametrize(("text", "value"), CASES)
def test_reads_what_is_stated(text: str, value: int | None) -> None:
    assert extract_integer(text) == value


BITS = st.sampled_from(
    ["\\boxed{", "}", "{", "$", "answer", " is ", ":", "final ", "17", "٣", ".", "\n", "-", "\\", "²", "\\text{", "=",
     "<answer>", "</answer>", "答案:", "wait ", "that's wrong", "<think>", "</think>"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(BITS).map("".join)))
def test_any_text_gives_an_answer_in_range_or_none(text: str) -> None:
    value = extract_integer(text)
    assert value is None or 0 <= value <= 999


@given(st.integers(0, 999))
def test_gold_answers_are_graded_right(n: int) -> None:
    problem = Problem("p", "aime", "?", n)
    assert TASK.grade(problem, TASK.gold_answer(problem)).correct


@pytest.mark.parametrize(
    "bit",
    ["\\boxed{", "{", "\\", "\\boxed ", "answer is ", "answer ", "answer:", "final ", " ", "1", "=", "answer is 1 ",
     "<answer>", "</answer>", "答案", "réponse finale ", "<think>", "answer is not 1 "],
)  # fmt: skip
def test_hostile_text_takes_little_time(bit: str) -> None:
    start = time.process_time()
    extract_integer(bit * (1_000_000 // len(bit)) + "x")
    assert time.process_time() - start < 3


def test_grades() -> None:
    problem = Problem("p", "aime", "?", 17)
    right, wrong = TASK.grade(problem, "Answer: 17"), TASK.grade(problem, "Answer: 18")
    assert (right.score, right.correct, right.status, right.detail) == (1.0, True, "ok", "17")
    assert (wrong.score, wrong.correct, wrong.status, wrong.detail) == (0.0, False, "ok", "18")
    assert TASK.grade(problem, " \n").status == "empty"
    assert TASK.grade(problem, "we get 17").status == "unparsed"


def test_turns() -> None:
    problem = Problem("p", "aime", "What is ${x}$ if $a+b$?", 18)
    turn = TASK.question(problem)
    assert isinstance(TASK, Task)
    assert turn.startswith("What is ${x}$ if $a+b$?")
    assert turn.endswith(r"Final answer: \boxed{N}") and "18" not in turn
    assert TASK.answer_prompt(problem).endswith(r"\boxed{N}")
    assert extract_integer(TASK.answer_prompt(problem)) is None  # an echo of the prompt is no answer
    assert TASK.grade(problem, TASK.gold_answer(problem)).correct


@pytest.mark.parametrize(
    "wrong",
    [
        {"difficulty": [7]},
        {"difficulty": ["1"]},
        {"difficulty": []},
        {"difficulty": "12"},
        {"split": "train"},
        {"limit": 0},
        {"seed": -1},
        {"source": "aime"},
        {"source": "x.jsonl", "difficulty": [1]},
    ],
)
def test_wrong_settings_are_config_errors(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        TASK.problems(**wrong)


# Files.

INSTRUCTION = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def load(path: Path, **kwargs: object) -> list[Problem]:
    """Both splits of a file, as one list in the order of its rows."""
    both: list[Problem] = []
    for split in ("test", "pool"):
        try:
            both += TASK.problems(str(path), split=split, **kwargs)
        except DataError as error:
            assert "too small" in str(error)  # noqa: PT017
    return sorted(both, key=lambda p: p.metadata["row"])


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("text", "answer", "ids"),
    [
        ("prompt", "answer", None),
        ("problem", "answer", "id"),
        ("Problem", "Answer", "ID"),
        ("question", "expected_answer", "id"),
        ("Question", "solution_answer", "problem_id"),
    ],
)
def test_file_layouts(tmp_path: Path, suffix: str, text: str, answer: str, ids: str | None) -> None:
    rows = [{text: f'What, "now",\nis ${i}$?{INSTRUCTION}', answer: f"{i:03}"} for i in range(24, 27)]
    if ids:
        rows = [row | {ids: f"1999-{i}"} for i, row in enumerate(rows)]
    problems = load(write(tmp_path / f"some{suffix}", rows))
    assert [(p.text, p.gold) for p in problems] == [(f'What, "now",\nis ${i}$?', i) for i in range(24, 27)]
    assert [p.id for p in problems] == [f"1999-{i}" if ids else f"some-{i + 1}" for i in range(3)]


def test_files_are_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args) or [])
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    assert len(load(write(tmp_path / "a.jsonl", [{"problem": "x", "answer": 5}]))) == 1
    assert asked == []


def test_file_order_and_splits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"problem": f"What is {i}?", "answer": i} for i in range(200)])
    test, pool = (TASK.problems(str(path), split=s) for s in ("test", "pool"))
    assert len(test) + len(pool) == 200 and 20 < len(pool) < 60
    assert not {p.content_hash for p in test} & {p.content_hash for p in pool}
    assert TASK.problems(str(path), limit=9, split="test") == test[:9]
    assert TASK.problems(str(path), limit=9, seed=1, split="test") != test[:9]


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    rows = [{"problem": "x", "answer": 5}, {"problem": "x", "answer": 5}, {"problem": "y", "answer": 5}]
    assert [p.id for p in load(write(tmp_path / "a.jsonl", rows))] == ["a-1", "a-3"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem": "x", "answer": "1,024"}], "row 1 .*1,024"),
        ([{"problem": "x", "answer": 5}, {"problem": "y", "answer": 1000}], "row 2 .*1000"),
        ([{"problem": "x", "answer": -5}], "row 1 "),
        ([{"problem": "x", "answer": 2.5}], "row 1 "),
        ([{"problem": "x", "answer": "five"}], "row 1 .*five"),
        ([{"problem": "x", "answer": 5}, {"problem": "y", "answer": None}], "row 2 .*None"),
        ([{"problem": "x", "answer": 5}, {"problem": " ", "answer": 5}], "row 2 .*no problem text"),
        ([{"problem": "x", "answer": 5}, {"problem": "x", "answer": 6}], "row 2 .*row 1 .*differ"),
        ([{"problem": "x", "answer": 5, "id": 1}, {"problem": "y", "answer": 5, "id": 1}], "row 2 .*id '1'"),
        ([{"text": "x", "answer": 5}], "no column with the problem text"),
        ([{"problem": "x", "gold": 5}], "no column with the answer"),
    ],
)
def test_bad_rows_are_data_errors(tmp_path: Path, rows: list[dict], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TASK.problems(str(write(tmp_path / "a.jsonl", rows)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", ""),
        ("a.jsonl", "{broken\n"),
        ("a.csv", "problem,answer\n"),
        ("a.csv", ""),
        ("a.parquet", "no"),
    ],
)
def test_bad_files_are_data_errors(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(name)):
        TASK.problems(str(tmp_path / name))


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        TASK.problems(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("year", [2024, 2025])
def test_real_aime(year: int) -> None:
    folder = os.environ.get("ANYTIME_BENCH_DATA")
    if not folder:
        pytest.skip("ANYTIME_BENCH_DATA is not set: it names a folder with aime_2024.jsonl and aime_2025.jsonl")
    problems = load(Path(folder) / f"aime_{year}.jsonl")
    assert len(problems) == 30
    assert all(isinstance(p.gold, int) and 0 <= p.gold <= 999 for p in problems)
    assert not any("step by step" in p.text or p.text != p.text.strip() for p in problems)
