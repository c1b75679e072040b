"""Are AIME's problems found wherever they are kept, and are wrong answers found out?"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fake_hub import FakeHub

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import aime_source
from anytime_lib.tasks.aime import TASK

# Answers of our own, which a test puts in place of the right ones of 2024.
YEAR = [f"2024-{part}-{n}" for part in ("I", "II") for n in range(1, 16)]
RIGHT = dict(zip(YEAR, range(100, 130), strict=True))


@pytest.fixture
def own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {name: aime_source._hash(name, answer) for name, answer in RIGHT.items()}
    table["2024"] = aime_source._hash("2024", sorted(RIGHT.values()))
    monkeypatch.setattr(aime_source, "_answers", lambda: table)


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.usefixtures("own_answers")
def test_every_wrong_row_that_names_its_contest_is_named(tmp_path: Path) -> None:
    rows = [{"id": name, "problem": f"What is {name}?", "answer": f"{RIGHT[name]:03}"} for name in YEAR[:4]]
    path = write(tmp_path / "copy.jsonl", rows)  # in any order and number, leading zeros and all
    assert [p.gold for p in aime_source.read(path)] == [100, 101, 102, 103]
    rows[1]["answer"], rows[3]["answer"] = "384", 26
    write(path, [*rows, {"id": "1990-7", "problem": "x?", "answer": 1}])
    with pytest.raises(DataError, match=r"2024-I-2 .* has 384; 2024-I-4 .* has 26: .*unchecked") as error:
        TASK.problems(str(path))
    assert "\n" not in str(error.value)
    assert len(TASK.problems(f"{path}#unchecked", split="all")) == 5


@pytest.mark.usefixtures("own_answers")
def test_a_whole_year_is_compared_where_no_row_names_its_contest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"problem": f"What is {name}?", "answer": answer} for name, answer in reversed(RIGHT.items())]
    path = write(tmp_path / "aime_2024.jsonl", rows)
    assert len(aime_source.read(path)) == 30 and not caplog.messages
    rows[5]["answer"] += 1
    with pytest.raises(DataError, match="at least one of the 30 of AIME 2024"):
        aime_source.read(write(path, rows))
    assert len(aime_source.read(write(path, rows[:29]))) == 29
    assert "29 answers of AIME 2024 are not compared" in caplog.text


def test_the_stored_answers_tell_nothing_in_the_clear() -> None:
    table = aime_source._answers()
    assert list(table) == [*YEAR, *(name.replace("2024", "2025") for name in YEAR), "2024", "2025"]
    assert all(len(value) == 64 and int(value, 16) >= 0 for value in table.values())
    assert len(set(table.values())) == 62  # salted with the contest: equal answers look different


@pytest.mark.parametrize("year", [2024, 2025])
def test_real_answers(year: int, tmp_path: Path) -> None:
    folder = os.environ.get("ANYTIME_BENCH_DATA")
    if not folder:
        pytest.skip("ANYTIME_BENCH_DATA is not set: it names a folder with aime_2024.jsonl and aime_2025.jsonl")
    problems = aime_source.read(Path(folder) / f"aime_{year}.jsonl")
    # The file of 2024 is in the order of text: 1, 10, 11, ..., 15, 2, ...
    numbers = sorted(range(1, 16), key=str) if year == 2024 else range(1, 16)
    names = [f"{year}-{part}-{n}" for part in ("I", "II") for n in numbers]
    rows = [{"id": n, "problem": p.text, "answer": p.gold} for n, p in zip(names, problems, strict=True)]
    assert len(aime_source.read(write(tmp_path / "named.jsonl", rows))) == 30
    rows[3]["answer"] -= 1
    with pytest.raises(DataError, match=f"{names[3]} ") as error:
        aime_source.read(write(tmp_path / "named.jsonl", rows))
    assert year == 2025 or "(AIME 2024-I-12) has 384" in str(error.value)


@pytest.mark.parametrize(
    ("row", "gold", "metadata"),
    [
        ({"Year": 1999, "Problem Number": 7, "Question": "q", "Answer": "25", "Part": None}, 25, "1999-7"),
        ({"Year": 2007, "Problem Number": 7, "Question": "q", "Answer": "025", "Part": "II"}, 25, "2007-II-7"),
        ({"ID": "2007-II-7", "Problem": "q", "Solution": "s", "Answer": 25}, 25, "2007-II-7"),
        (
            {"id": 60, "problem": "q", "solution": "long", "answer": "025", "year": "2007",
             "url": "https://artofproblemsolving.com/wiki/index.php/2007_AIME_I_Problems/Problem_12"},
            25,
            "2007-I-12",
        ),
        ({"id": 60, "problem": "q", "solution": "\\boxed{25}", "url": "x/1990_AIME_Problems/Problem_2"}, 25, "1990-2"),
        ({"question": "q", "answer": "336^\\circ"}, 336, None),
        ({"question": "q", "answer": "25.0"}, 25, None),
    ],
)  # fmt: skip
def test_common_layouts(row: dict, gold: int, metadata: str | None) -> None:
    datasets = pytest.importorskip("datasets")
    [found] = TASK.problems(datasets.Dataset.from_list([row]), split="all")
    assert (found.text, found.gold, found.metadata.get("contest")) == ("q", gold, metadata)
    assert found.metadata.get("year") == (int(metadata[:4]) if metadata else None)


def test_a_problem_with_two_accepted_answers_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_text("problem,answer\nx,080 or 081 (both were accepted)\ny,017\n", encoding="utf-8")
    assert [p.text for p in TASK.problems(path, split="all")] == ["y"]
    assert "row 1" in caplog.text and "two answers" in caplog.text


def test_years_of_a_file(tmp_path: Path) -> None:
    rows = [{"problem": f"q{y}", "answer": 1, "year": y} for y in range(1990, 2000)]
    path = tmp_path / "all.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    assert sorted(p.metadata["year"] for p in TASK.problems(f"{path}#1991-1993", split="all")) == [1991, 1992, 1993]
    assert len(TASK.problems(f"{path}#1991,1999", split="all")) == 2
    with pytest.raises(DataError, match=r"no problem of the years asked for; it has \[1990"):
        TASK.problems(f"{path}#2020")


@pytest.mark.parametrize(
    "source", ["hub", "hub#split=test", "hub#2026", "hub#2024,split=train", "x.jsonl#config=a", "x.txt", 5]
)
def test_wrong_sources_are_config_errors(source: object) -> None:
    with pytest.raises(ConfigError):
        TASK.problems(source)  # type: ignore[arg-type]


# The hub: a small one on 127.0.0.1, and the real client in a process that takes it for the only one.

CLIENT = """
import json, sys
from anytime_lib.errors import DataError
from anytime_lib.tasks.aime import TASK
for source in sys.argv[1:]:
    try:
        print(json.dumps([[p.id, p.text, p.gold, p.metadata] for p in TASK.problems(source, split="all")]))
    except DataError as error:
        print(json.dumps(str(error)))
"""


def table(rows: list[dict], kind: str) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer) if kind == "parquet" else pd.DataFrame(rows).to_csv(buffer, index=False)
    return buffer.getvalue()


OLD = [
    {"ID": f"{y}-{n}", "Year": y, "Problem Number": n, "Question": f"{y}, {n}?", "Answer": "007", "Part": None}
    for y in (1983, 1984, 2024)
    for n in (1, 2)
]
WIKI = "https://artofproblemsolving.com/wiki/index.php/2024_AIME_II_Problems/Problem_"
NEW = [{"id": 60 + n, "problem": f"2024, {n}?", "answer": f"{n:03}", "url": f"{WIKI}{n}"} for n in range(1, 3)]
INDEXED = "".join(
    json.dumps({"problem_idx": n, "problem": f"2025, {n}?", "answer": n}) + "\n" for n in (15, 16)
).encode()


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    server = FakeHub(
        {
            "gneubig/aime-1983-2024": {"AIME.csv": table(OLD, "csv")},
            "HuggingFaceH4/aime_2024": {
                "README.md": b"# AIME",
                "data/train-00000-of-00001.parquet": table(NEW, "parquet"),
            },
            "MathArena/aime_2025": {"data/train.jsonl": INDEXED},
            "own/two": {"train.jsonl": INDEXED, "test.jsonl": INDEXED},
            "own/gated": {"train.jsonl": INDEXED},
            "own/none": {"README.md": b"# nothing here"},
        },
        gated=("own/gated",),
    )
    yield server
    server.close()


def ask(home: Path, url: str, *sources: str, **settings: str) -> list:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    env |= {"HF_ENDPOINT": url, "HF_HOME": str(home), "PYTHONPATH": str(Path.cwd())} | settings
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *sources], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] + [done.stderr]


def test_hub_years_come_from_pinned_sets_and_then_from_the_cache(hub: FakeHub, tmp_path: Path) -> None:
    *answers, log = ask(
        tmp_path, hub.url, "hub#1983-2025,unchecked", "hub#1984", "hub:MathArena/aime_2025#2025,unchecked"
    )
    assert sorted(p[0] for p in answers[0]) == [
        "1983-1", "1983-2", "1984-1", "1984-2", "2024-II-1", "2024-II-2", "2025-I-15", "2025-II-1",
    ]  # fmt: skip
    assert {p[3]["revision"] for p in answers[0]} == {revision for _, revision, _ in aime_source.HUB}
    assert {p[2] for p in answers[0] if p[0].startswith("19")} == {7}
    assert "gneubig/aime-1983-2024 has 4 of the 975 problems" in log
    assert sorted(p[0] for p in answers[1]) == ["1984-1", "1984-2"]
    assert {(p[0], p[3]["revision"]) for p in answers[2]} == {("15", "c" * 40), ("16", "c" * 40)}  # as resolved
    before = len(hub.asked)
    again, _ = ask(tmp_path, hub.url, "hub#2025", HF_HUB_OFFLINE="1")
    assert "15 (AIME 2025-I-15) has 15" in again and len(hub.asked) == before


def test_hub_troubles_are_one_sentence_that_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    wanted = {
        "hub:own/gated": "accept its terms on https://huggingface.co/datasets/own/gated with the account",
        "hub:own/gone": "check https://huggingface.co/datasets/own/gone",
        "hub:own/none": "own/none could not be had from the hub: take another or a local file (",
        "hub:own/two": "has several splits: name one of train, test, as in hub:own/two#split=train",
        "hub:own/two#split=dev": "no split 'dev': name one of train, test",
        "hub:own/two#config=z": "name one, hub:own/two#config=",
        "hub:own/two#revision=v9": "see https://huggingface.co/datasets/own/two/commits/main",
        "hub:not a name": "write hub:OWNER/NAME",
    }
    *said, _ = ask(tmp_path, hub.url, *wanted)
    for (source, part), sentence in zip(wanted.items(), said, strict=True):
        assert isinstance(sentence, str) and part in sentence and "\n" not in sentence, (source, sentence)
    said, _ = ask(tmp_path / "empty", hub.url, "hub#2025", HF_HUB_OFFLINE="1")
    assert "MathArena/aime_2025 could not be had" in said and "go online, or download it" in said
    said, _ = ask(tmp_path, "http://127.0.0.1:9", "hub:own/two")  # nobody listens
    assert "own/two could not be had" in said and "go online" in said
