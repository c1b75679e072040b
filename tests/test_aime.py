"""Does the task `aime` ask what it says, know the right answer, and read only what a reply states?"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import isqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.aime import TASK, extract_integer
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate
from anytime_lib.types import Problem

READ = [
    # boxes
    (r"\boxed{17}", 17),
    (r"So $\boxed{017}$.", 17),
    (r"\fbox{ 17 }", 17),
    (r"\boxed{000}", 0),
    (r"\boxed{$17$}", 17),
    (r"\boxed{17\text{ cm}}", 17),
    (r"\boxed{17\,\text{cm}^2}", 17),
    (r"\boxed{\text{17 apples}}", 17),
    (r"\boxed{\mathbf{17}}", 17),
    (r"\boxed{336^\circ}", 336),
    (r"\boxed{m+n=17}", 17),
    (r"\boxed{\boxed{17}}", 17),
    (r"\\boxed{17}", 17),
    (r"first \boxed{3}, then \boxed{17}", 17),
    (r"\boxed{17} and then \boxed{9", 17),
    (r"\boxed{17}. This answer is in lowest terms.", 17),
    ("\\boxed{１７}", 17),
    ("\\boxed{١٧}", 17),
    (r"\boxed{1{,}234}", None),
    (r"\boxed{1,234}", None),
    (r"\boxed{1\,234}", None),
    (r"\boxed{1000}", None),
    (r"\boxed{-17}", None),
    (r"\boxed{17.5}", None),
    (r"\boxed{\frac{3}{4}}", None),
    (r"\boxed{3/4}", None),
    (r"\boxed{17\pi}", None),
    (r"\boxed{17\sqrt{2}}", None),
    (r"\boxed{5!}", None),
    (r"\boxed{17x}", None),
    (r"\boxed{10^2}", None),
    (r"\boxed{80 \text{ or } 81}", None),
    (r"\boxed{80, 81}", None),
    (r"\boxed{N}", None),
    (r"\boxed{}", None),
    (r"\boxed{1", None),
    (r"The final answer is \boxed{1", None),
    (r"\boxed{17} no, \boxed{x+1}", None),
    # lines
    ("The final answer is $17$.", 17),
    ("answer: 017", 17),
    ("**Answer:** 17", 17),
    ("**Answer**: 17", 17),
    ("**Final Answer: 17**", 17),
    ("## Final Answer\n\n17", 17),
    ("### Answer\n**17**\n", 17),
    ("Final answer:\n17", 17),
    ("Answer：17。", 17),
    ("ANSWER = 17", 17),
    ("Answer: 17 degrees", 17),
    ("Answer: 60 km/h", 60),
    ("Answer: (17)", 17),
    ("Answer: €92", 92),
    ("Final answer: 17 (seventeen)", 17),
    (r"Answer: \(17\)", 17),
    ("the answer is 17, since 4*4+1 = 17", 17),
    ("The answer is 17. We have 3 + 14 = 17.", 17),
    ("The answer to the problem is therefore 17!", 17),
    ("So the answer is 40 + 52 = 92 loaves.", 92),
    (r"The answer is $40 \times 2 = 80$.", 80),
    ("Answer: 12\nWait, no.\nAnswer: 18", 18),
    (r"\boxed{12}, so the answer is 18.", 18),
    (r"The answer is 18, so \boxed{12}", 12),
    ("The answer is 80 or 81", None),
    ("The answer is 80 or", None),
    ("The answer is 80 but will check 81 and 82", None),
    ("the answer is not 17", None),
    (r"\boxed{17}. But the answer is 80 or 81.", None),
    (r"The answer is not \boxed{17}", None),
    ("the answer is 17?", None),
    ("the answer is about 17", None),
    ("the answer is between 17 and 18", None),
    ("if the answer is 17 then", None),
    ("the answer is 17, which is wrong", None),
    ("Answer: 3/4", None),
    ("Answer: 17.5", None),
    ("Answer: 17,5", None),
    ("Answer: 1,024", None),
    ("Answer: -17", None),
    ("Answer: 17th", None),
    ("Answer: 17²", None),
    ("Answer: 3**2", None),
    ("Answer: 17...", None),
    ("Answer: 1234", None),
    ("Answer: 2 * 17", None),
    ("Answer: 1) First add 3.", None),
    ("Final answer:\n1. First add 3 and 4.", None),
    ("Answer: unknown", None),
    ("the answers are 17", None),
    ("**Final Answer**\n\n$\\boxed{73}$", 73),
    ("ANSWER: 17", 17),
    ("> **Answer:** 17", 17),
    ("- Answer: 17", 17),
    (r"\textbf{Answer:} 17", 17),
    (r"\boxed{\$17}", 17),
    (r"\boxed{\text{017}}", 17),
    ('{"answer": "017"}', 17),
    ("Answer: １７", 17),
    ("Answer: ١٧", 17),
    ("Answer: १७", 17),
    ("Answer: 𝟏𝟕", 17),
    ("Answer: ①", None),
    ("Answer: 1'024", None),
    ("Answer: 1\u202f024", None),
    ("The answer is 17. Wait, no, that's not right.", None),
    (r"\boxed{17}. That is incorrect.", None),
    # other languages, with a colon
    ("答案：17", 17),
    ("最终答案: 17。", 17),
    ("答え：17", 17),
    ("정답: 17", 17),
    ("**Réponse finale :** 17", 17),
    ("Antwort: 17", 17),
    ("Respuesta: $17$", 17),
    ("Risposta = 17", 17),
    ("Ответ: 17", 17),
    ("Antwort: 80 oder", None),
    ("如果答案是17", None),
    ("si la réponse est 17", None),
    # tags
    ("<answer>17</answer>", 17),
    ("<answer>\n017\n</answer> Done in 5 steps.", 17),
    (r"<answer>\boxed{17}</answer>", 17),
    ("<Final_Answer>The answer is 17.</Final_Answer>", 17),
    ("İ<|begin_of_box|>17<|end_of_box|>", 17),
    (r"\boxed{3} <answer>17</answer>", 17),
    (r"<answer>3</answer> \boxed{17}", 17),
    ("<answer>3</answer> Answer: 17", 17),
    ("<answer>17</answer> <answer>18", 17),
    ("<answer>17 or 18</answer>", None),
    ("<answer>1,024</answer>", None),
    ("<answer>17", None),
    ("17</answer>", None),
    # nothing but the integer
    ("17", 17),
    (" 017\n", 17),
    ("$17$", 17),
    ("**17**", 17),
    ("17.", 17),
    (r"\(17\)", 17),
    ("<think>The answer is 12? Or 5.</think>\n17", 17),
    ("17.5", None),
    ("-17", None),
    ("1000", None),
    ("4 + 13", None),
    ("80 but will check 81 and 82", None),
    ("we get 17", None),
    ("", None),
    ("no number", None),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_reads_what_is_stated(text: str, value: int | None) -> None:
    assert extract_integer(text) == value


BITS = st.sampled_from(
    [
        "\\boxed{",
        "}",
        "{",
        "$",
        "answer",
        " is ",
        ":",
        "final ",
        "17",
        "٣",
        ".",
        "\n",
        "-",
        "\\",
        "²",
        "\\text{",
        "=",
        "<answer>",
        "</answer>",
        "答案:",
        "wait ",
        "that's wrong",
    ]
)


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
    [
        "\\boxed{",
        "{",
        "\\",
        "\\boxed ",
        "answer is ",
        "answer ",
        "answer:",
        "final ",
        " ",
        "1",
        "=",
        "answer is 1 ",
        "<answer>",
        "</answer>",
        "答案",
        "réponse finale ",
    ],
)
def test_hostile_text_takes_linear_time(bit: str) -> None:
    start = time.perf_counter()
    extract_integer(bit * (100_000 // len(bit)) + "x")
    assert time.perf_counter() - start < 3


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


# The ladder. Each count below takes the numbers from the text, in their order, and counts what the text asks.


def factors(n: int, p: int) -> int:
    return next(k for k in range(n) if n % p ** (k + 1))


def divisors(a: int, b: int, c: int) -> list[int]:
    return [2**i * 3**j * 5**k for i, j, k in product(range(a + 1), range(b + 1), range(c + 1))]


def hit(last: int, *by: int) -> list[int]:
    return [sum(n % d == 0 for d in by) for n in range(1, last + 1)]


def paths(a: int, b: int, k: int) -> int:
    @cache
    def to(x: int, y: int) -> int:
        if min(x, y) < 0 or y > x + k:
            return 0
        return 1 if x == y == 0 else to(x - 1, y) + to(x, y - 1)

    return to(a, b)


def draws(red: int, blue: int, wanted: int) -> Fraction:
    @cache
    def more(r: int, b: int, k: int) -> Fraction:
        if k == 0:
            return Fraction(0)
        after = r * more(r - 1, b, k - 1) + (b * more(r, b - 1, k) if b else 0)
        return 1 + after / (r + b)

    return more(red, blue, wanted)


def walk(x: int, y: int, p: int, q: int, n: int) -> int:
    for _ in range(n):
        x, y = y, (p * y + q * x) % 1000
    return x % 1000


def climb(a: int, b: int, c: int, m: int) -> int:
    for _ in range(c):
        a = a**b % m
    return a


def first(*pairs: tuple[int, int]) -> int:
    """The least positive integer with each (modulus, remainder)."""
    return next(n for n in range(1, 10**6) if all(n % m == r for m, r in pairs))


COUNTS: dict[str, Callable[..., int | Fraction]] = {
    "loaves": lambda a, b: len(range(a)) + len(range(b)),
    "barrel": lambda a, b: len(range(b, a)),
    "seats": lambda a, b: sum(b for _ in range(a)),
    "crates": lambda a, b: next(q for q in range(a) if q * b == a),
    "museum": lambda p, q, n, m: sum([p] * n + [q] * m),
    "tap": lambda v, r, t, u: sum([v, *[r] * t, -u]),
    "eggs": lambda a, b, k: len(range(k, a + b + 1, k)),
    "fence": lambda a, b, g: a + b + a + b - g,
    "bicycle": lambda p, x, d: p * Fraction(100 - x, 100) + d,
    "trees": lambda d, t, k: next(a for a in range(d + 1, 999) if a + t == k * (a - d + t)),
    "cyclists": lambda d, v, w: next(x for x in range(d) if Fraction(x, v) == Fraction(d - x, w)),
    "rabbits": lambda h, legs: next(x for x in range(h) if 4 * x + 2 * (h - x) == legs),
    "hall": lambda a, d, n: sum(range(a, a + d * n, d)),
    "lamps": lambda a, b, c: next(n for n in range(1, 10**5) if n % a == n % b == n % c == 0),
    "multiples": lambda _, n, a, b: sum(h > 0 for h in hit(n, a, b)),
    "committee": lambda w, m, k, j: sum(sum(i < w for i in who) == j for who in combinations(range(w + m), k)),
    "square_divisors": lambda _, a, __, b, ___, c: sum(isqrt(d) ** 2 == d for d in divisors(a, b, c)),
    "boxes": lambda n, k: sum(0 <= n - a - b <= k for a, b in product(range(k + 1), repeat=2)),
    "remainders": lambda r, m, s, q: first((m, r), (q, s)),
    "factorial_power": lambda p, n: sum(factors(i, p) for i in range(1, n + 1)),
    "tower": climb,
    "lattice": lambda _, __, a, b, k, ___: paths(a, b, k) % 1000,
    "divisor_sum": lambda _, a, __, b, ___, c, mod: sum(d for d in divisors(a, b, c) if isqrt(d) ** 2 != d) % mod,
    "three_remainders": lambda r, s, t, p, q, u, mod: first((p, r), (q, s), (u, t)) % mod,
    "exactly_one": lambda _, n, a, b, c: sum(h == 1 for h in hit(n, a, b, c)),
    "recurrence": lambda _, a, __, b, ___, p, ____, q, _____, n, ______: walk(a, b, p, q, n),
    "marbles": lambda r, b, k: sum(draws(r, b, k).as_integer_ratio()),
}


@pytest.mark.parametrize(("level", "name"), [(level, name) for level in LEVELS for name in TEMPLATES[level]])
def test_ladder_answers_are_what_counting_gives(level: int, name: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(4 if name == "committee" else 25):
        text, answer, template = generate(level, rng, name)
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        assert answer == COUNTS[name](*numbers), text
        assert template == name and 0 <= answer <= 999


def test_ladder_problems_are_the_same_for_any_limit() -> None:
    many = TASK.problems(limit=90, seed=3)
    assert many[:31] == TASK.problems(limit=31, seed=3)
    assert many != TASK.problems(limit=90, seed=4)
    assert TASK.problems() == TASK.problems(limit=30, split="test") + TASK.problems(limit=30, split="pool")
    assert [p.metadata["difficulty"] for p in many[:7]] == [1, 2, 3, 4, 5, 6, 1]
    assert all(re.fullmatch(rf"ladder-L{p.metadata['difficulty']}-[0-9a-f]{{8}}", p.id) for p in many)
    only = TASK.problems(limit=4, seed=3, difficulty=[2, 5])
    assert [p.id for p in only] == [many[i].id for i in (1, 4, 7, 10)]


@pytest.mark.parametrize("level", LEVELS)
def test_ladder_splits_share_nothing(level: int) -> None:
    test, pool = (TASK.problems(limit=300, seed=1, split=s, difficulty=[level]) for s in ("test", "pool"))
    for key in ("id", "content_hash", "text"):
        assert len({getattr(p, key) for p in test + pool}) == 600


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
@pytest.mark.parametrize("text", ["prompt", "problem", "Problem", "question", "Question"])
@pytest.mark.parametrize(
    ("answer", "ids"),
    [("answer", None), ("Answer", "ID"), ("expected_answer", "id"), ("solution_answer", "problem_id")],
)
def test_file_layouts(tmp_path: Path, suffix: str, text: str, answer: str, ids: str | None) -> None:
    rows = [{text: f'What, "now",\nis ${i}$?{INSTRUCTION}', answer: f"{i:03}"} for i in range(24, 27)]
    if ids:
        rows = [row | {ids: f"2024-I-{i}"} for i, row in enumerate(rows)]
    problems = load(write(tmp_path / f"some{suffix}", rows))
    assert [(p.text, p.gold) for p in problems] == [(f'What, "now",\nis ${i}$?', i) for i in range(24, 27)]
    assert [p.id for p in problems] == [f"2024-I-{i}" if ids else f"some-{i + 1}" for i in range(3)]


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
