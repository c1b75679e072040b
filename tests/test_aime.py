"""Does the task `aime` ask what it says, find its problems wherever they are kept, and find wrong answers out? Are the
ladder's answers what counting gives?
"""

import io
import json
import os
import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import isqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_hub import FakeHub, use_hub
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import aime_source
from anytime_lib.tasks.aime import TASK
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate
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
    assert turn.endswith("an integer from 0 to 999.") and "18" not in turn
    assert not re.search(r"\d|\bN\b|Answer:", TASK.answer_prompt(PROBLEM))  # nothing to be copied for an answer
    assert extract_integer(TASK.answer_prompt(PROBLEM)) is None  # an echo of the prompt is no answer


WRONG = (
    *({"difficulty": levels} for levels in ([7], ["1"], [], "12")),
    {"source": "x.jsonl", "difficulty": [1]},
    *({"source": source} for source in ("aime", "hub", "hub#split=test", "hub#2026", "x.jsonl#confg=a", "x.txt", 5)),
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_settings_are_config_errors(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        TASK.problems(**wrong)


# Answers of our own, which a test puts in place of the right ones of 2024.
YEAR = [f"2024-{part}-{n}" for part in ("I", "II") for n in range(1, 16)]
RIGHT = dict(zip(YEAR, range(100, 130), strict=True))
INSTRUCTION = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def own_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = {name: aime_source.answer_hash(name, answer) for name, answer in RIGHT.items()}
    table["2024"] = aime_source.answer_hash("2024", sorted(RIGHT.values()))
    path = tmp_path / "answers.csv"
    pd.DataFrame(table.items(), columns=["contest", "answer"]).to_csv(path, index=False)
    monkeypatch.setattr(aime_source, "ANSWERS_FILE", path)


# Files.


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("ids", [None, "id"])
def test_files(tmp_path: Path, suffix: str, ids: str | None) -> None:
    rows = [{"prompt": f'What, "now",\nis ${i}$?{INSTRUCTION}', "answer": f"{i:03}"} for i in range(24, 27)]
    if ids:
        rows = [row | {ids: f"1999-{i}"} for i, row in enumerate(rows)]
    problems = aime_source.read(write(tmp_path / f"some{suffix}", rows))
    assert [(p.text, p.gold) for p in problems] == [(f'What, "now",\nis ${i}$?', i) for i in range(24, 27)]
    assert [p.id for p in problems] == [f"1999-{i}" if ids else f"some-{i + 1}" for i in range(3)]


def test_a_row_that_is_repeated_counts_once(tmp_path: Path) -> None:
    rows = [{"problem": "x", "answer": 5}, {"problem": "x", "answer": 5}, {"problem": "y", "answer": 5}]
    assert [p.id for p in aime_source.read(write(tmp_path / "a.jsonl", rows))] == ["a-1", "a-3"]


def test_file_order_and_splits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"problem": f"What is {i}?", "answer": i} for i in range(200)])
    test, pool = (TASK.problems(str(path), split=s) for s in ("test", "pool"))
    assert len(test) + len(pool) == 200 and 20 < len(pool) < 60
    assert not {p.content_hash for p in test} & {p.content_hash for p in pool}
    assert TASK.problems(str(path), limit=9, split="test") == test[:9]
    assert TASK.problems(str(path), limit=9, seed=1, split="test") != test[:9]
    few = write(path, [{"problem": "What is 1?", "answer": 1}])
    empty = "test" if TASK.problems(few)[0] in pool else "pool"
    with pytest.raises(DataError, match="no problem of that kind in that split"):
        TASK.problems(few, split=empty)


X, Y = {"problem": "x", "answer": 5}, {"problem": "y", "answer": 5}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        *(([X, Y | {"answer": wrong}], f"row 2 .*{wrong}") for wrong in ("1,024", 1000, -5, 2.5, "five", None)),
        ([X, X | {"problem": " "}], "row 2 .*no text"),
        ([X, X | {"answer": 6}], "row 2 .*row 1 .*differ"),
        ([X | {"id": 1}, Y | {"id": 1}], "share the id '1'"),
        ([{"text": "x", "answer": 5}], "needs a column"),
        ([{"problem": "x", "gold": 5}], "needs a column"),
    ],
)
def test_bad_rows_are_data_errors(tmp_path: Path, rows: list[dict], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TASK.problems(str(write(tmp_path / "a.jsonl", rows)))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", ""), ("a.jsonl", "{broken"), ("a.csv", "problem,answer"), ("a.parquet", "no"), ("none.jsonl", None)],
)
def test_bad_files_are_data_errors(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    assert name in told(str(tmp_path / name))


# Answers.


@pytest.mark.usefixtures("own_answers")
def test_every_wrong_row_that_names_its_contest_is_named(tmp_path: Path) -> None:
    rows = [{"id": name, "problem": f"What is {name}?", "answer": f"{RIGHT[name]:03}"} for name in YEAR[:4]]
    path = write(tmp_path / "copy.jsonl", rows)  # in any order and number, leading zeros and all
    assert [p.gold for p in aime_source.read(path)] == [100, 101, 102, 103]
    rows[1]["answer"], rows[3]["answer"] = "384", 26
    write(path, [*rows, {"id": "1990-7", "problem": "x?", "answer": 1}])
    assert "AIME 2024-I-2 (384), 2024-I-4 (26) are not the right ones: correct them" in told(str(path))


@pytest.mark.usefixtures("own_answers")
def test_a_whole_year_is_compared_where_no_row_names_its_contest(tmp_path: Path) -> None:
    rows = [{"problem": f"What is {name}?", "answer": answer} for name, answer in reversed(RIGHT.items())]
    path = write(tmp_path / "aime_2024.jsonl", rows)
    assert len(aime_source.read(path)) == 30 and len(aime_source.read(f"{path}#2024")) == 30
    assert aime_source.read(f"{path}#2023,2025") == []
    rows[5]["answer"] += 1
    assert "AIME one or more of 2024 are not the right ones" in told(str(write(path, rows)))
    assert len(aime_source.read(write(path, rows[:29]))) == 29  # it could not be compared


def test_the_stored_answers_tell_nothing_in_the_clear() -> None:
    table = pd.read_csv(aime_source.ANSWERS_FILE)
    assert table.contest.tolist() == [*YEAR, *(name.replace("2024", "2025") for name in YEAR), "2024", "2025"]
    assert table.answer.str.fullmatch("[0-9a-f]{64}").all()
    assert table.answer.is_unique  # salted with the contest: equal answers look different


@pytest.mark.parametrize("year", [2024, 2025])
def test_real_answers(year: int, tmp_path: Path) -> None:
    folder = os.environ.get("ANYTIME_BENCH_DATA")
    if not folder:
        pytest.skip("ANYTIME_BENCH_DATA is not set: it names a folder with aime_2024.jsonl and aime_2025.jsonl")
    problems = aime_source.read(Path(folder) / f"aime_{year}.jsonl")
    assert not any("step by step" in p.text or p.text != p.text.strip() for p in problems)
    # The file of 2024 is in the order of text: 1, 10, 11, ..., 15, 2, ...
    numbers = sorted(range(1, 16), key=str) if year == 2024 else range(1, 16)
    names = [f"{year}-{part}-{n}" for part in ("I", "II") for n in numbers]
    rows = [{"id": n, "problem": p.text, "answer": p.gold} for n, p in zip(names, problems, strict=True)]
    assert len(aime_source.read(write(tmp_path / "named.jsonl", rows))) == 30
    rows[3]["answer"] -= 1
    with pytest.raises(DataError, match=names[3]) as error:
        aime_source.read(write(tmp_path / "named.jsonl", rows))
    assert year == 2025 or "2024-I-12 (384)" in str(error.value)


WIKI = "https://artofproblemsolving.com/wiki/index.php/"


@pytest.mark.parametrize(
    ("row", "gold", "contest"),
    [
        ({"ID": "2007-II-7", "Problem": "q", "Solution": "s", "Answer": 25}, 25, "2007-II-7"),
        ({"id": 60, "problem": "q", "solution": "long", "answer": "025", "year": "2007",
          "url": f"{WIKI}2007_AIME_I_Problems/Problem_12"}, 25, "2007-I-12"),
        ({"id": 60, "problem": "q", "solution": "\\boxed{25}", "url": "x/1990_AIME_Problems/Problem_2"}, 25, "1990-2"),
        ({"question": "q", "expected_answer": "336^\\circ"}, 336, None),
        ({"prompt": [{"role": "user", "content": "q"}], "PROBLEM": "q", "ground_truth": "7"}, 7, None),
        ({"Question": "q", "solution_answer": "25.0", "problem_id": 3}, 25, None),
    ],
)  # fmt: skip
def test_common_layouts(row: dict, gold: int, contest: str | None) -> None:
    datasets = pytest.importorskip("datasets")
    [found] = TASK.problems(datasets.Dataset.from_list([row]))
    assert (found.text, found.gold, found.metadata.get("contest")) == ("q", gold, contest)
    assert found.metadata.get("year") == (int(contest[:4]) if contest else None)


def test_a_problem_with_two_accepted_answers_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_text("problem,answer\nx,080 or 081 (both were accepted)\ny,017\n", encoding="utf-8")
    assert [p.text for p in TASK.problems(path, split="all")] == ["y"]
    assert "row 1" in caplog.text and "two answers" in caplog.text


# The hub: a small one on 127.0.0.1.

OLD = [
    {"ID": f"{y}-{n}", "Year": y, "Problem Number": n, "Question": f"{y}, {n}?", "Answer": "007", "Part": None}
    for y in (1983, 1984, 2024)
    for n in (1, 2)
]
NEW = [
    {"id": 60 + n, "problem": f"2024, {n}?", "answer": 114 + n, "url": f"{WIKI}2024_AIME_II_Problems/Problem_{n}"}
    for n in (1, 2)
]
LINES = [json.dumps({"problem_idx": n, "problem": f"2025, {n}?", "answer": n}) for n in (15, 16)]
INDEXED = "\n".join(LINES).encode()
PARQUET = io.BytesIO()
pd.DataFrame(NEW).to_parquet(PARQUET)
SETS = {
    "gneubig/aime-1983-2024": {"AIME.csv": pd.DataFrame(OLD).to_csv(index=False).encode()},
    "HuggingFaceH4/aime_2024": {"README.md": b"# AIME", "train-00000-of-00001.parquet": PARQUET.getvalue()},
    "MathArena/aime_2025": {"train.jsonl": INDEXED},
    "own/two": {"train.jsonl": INDEXED, "test.jsonl": INDEXED},
    "own/gated": {"train.jsonl": INDEXED},
    "own/none": {"README.md": b"# nothing here"},
}

TROUBLES = ("own/gated", "own/gone", "own/none", "no name", *(f"own/two#{x}" for x in ("split=dev", "config=z")))
TROUBLES += ("own/two#revision=v9",)


@pytest.mark.usefixtures("own_answers")
def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Years come from pinned sets and then from the cache; troubles are one sentence that says what to do."""
    hub = FakeHub(SETS, gated=("own/gated",))
    use_hub(monkeypatch, hub.url, tmp_path)
    pinned = TASK.problems("hub#1983-2025")
    assert sorted(p.id for p in pinned) == [
        "1983-1", "1983-2", "1984-1", "1984-2", "2024-II-1", "2024-II-2", "2025-I-15", "2025-II-1",
    ]  # fmt: skip
    assert {p.metadata["revision"] for p in pinned} == {revision for _, revision, _ in aime_source.HUB}
    assert sorted(p.id for p in TASK.problems("hub#1984")) == ["1984-1", "1984-2"]
    found = TASK.problems("hub:own/two#split=test")
    assert {(p.id, p.metadata["revision"]) for p in found} == {("15", "c" * 40), ("16", "c" * 40)}
    for source in TROUBLES:
        name = source.partition("#")[0]
        assert f"{name} could not be had from the hub (" in told(f"hub:{source}")
        assert f"look at https://huggingface.co/datasets/{name}, accept its terms" in told(f"hub:{source}")
    hub.asked.clear()
    use_hub(monkeypatch, hub.url, tmp_path, offline=True)
    assert len(TASK.problems("hub#2025")) == 2 and hub.asked == []
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path)  # where nobody listens
    assert "own/down could not be had from the hub" in told("hub:own/down")
    hub.close()


def told(source: str) -> str:
    """The one sentence of the error that a source ends in."""
    with pytest.raises(DataError) as error:
        TASK.problems(source)
    assert "\n" not in str(error.value)
    return str(error.value)


# Each count below takes the numbers from the text, in their order, and counts what the text asks.


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
        x, y = y, p * y + q * x
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


@pytest.mark.parametrize("name", TEMPLATES)
def test_ladder_answers_are_what_counting_gives(name: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(4 if name == "committee" else 25):
        text, answer = generate(rng, name)
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        assert answer == COUNTS[name](*numbers), text
        assert 0 <= answer <= 999


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
