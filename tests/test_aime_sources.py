"""Are AIME's problems found wherever they are kept, and are wrong answers found out?"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from fake_hub import FakeHub

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import aime_answers, aime_source
from anytime_lib.tasks.aime import TASK
from anytime_lib.types import Problem

# Two problems of our own, and the table of right answers that a test puts in place of the real one.
WALK = (
    "Let $ABC$ be a triangle with $AB=13$, $BC = 14$. A walker goes from \\(A\\) to \\(C\\) in 15 minutes. Find $m+n$."
)
COIN = "A fair coin is thrown 77 times. Find the number of ways in which heads never come up three times in a row."


@pytest.fixture
def own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [aime_answers.entry("2024-I-3", WALK, 385), aime_answers.entry("2024-I-4", COIN, 25)]
    monkeypatch.setattr(aime_answers, "_by_name", lambda: {e["contest"]: e for e in entries})


def problem(text: str, gold: int, **metadata: object) -> Problem:
    return Problem("p", "aime", text, gold, metadata)


@pytest.mark.parametrize(
    "text",
    [
        WALK,
        WALK.upper(),
        WALK.replace(" ", "\n\n"),
        WALK.replace("$", ""),
        WALK.replace("\\(A\\)", "$\\mathrm{ A }$"),
        WALK + " [asy] draw((0,0)--(99,99)); [/asy]",
        WALK.replace("A walker goes from \\(A\\) to \\(C\\)", "From \\(A\\) to \\(C\\) a walker needs"),
    ],
)
@pytest.mark.usefixtures("own_answers")
def test_another_wording_is_known_and_a_wrong_answer_found_out(text: str) -> None:
    aime_answers.check([problem(text, 385)])
    with pytest.raises(DataError, match=r"p \(AIME 2024-I-3\) has 384.*unchecked"):
        aime_answers.check([problem(text, 384)])


@pytest.mark.usefixtures("own_answers")
def test_a_name_helps_only_where_the_text_agrees(caplog: pytest.LogCaptureFixture) -> None:
    translated = "Sei $ABC$ ein Dreieck mit 13 und 14. Ein Wanderer braucht 15 Minuten."
    aime_answers.check([problem(translated, 384)])  # neither known nor named
    with pytest.raises(DataError, match="2024-I-3"):
        aime_answers.check([problem(translated, 384, year=2024, contest="2024-I-3")])
    assert not caplog.messages
    aime_answers.check([problem("What is 6 times 7?", 42, year=2024, contest="2024-I-3")])
    assert "not compared" in caplog.text
    caplog.clear()
    aime_answers.check([problem("What is 6 times 7?", 42, year=1990)])
    assert not caplog.messages


@pytest.mark.usefixtures("own_answers")
def test_every_wrong_row_of_a_file_is_named(tmp_path: Path) -> None:
    rows = [{"problem": WALK, "answer": "384"}, {"problem": COIN, "answer": "26"}, {"problem": "x?", "answer": "1"}]
    path = tmp_path / "copy.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(DataError, match=r"2 of the answers .*copy-1 \(.*384; copy-2 \(.*26") as error:
        TASK.problems(str(path))
    assert "\n" not in str(error.value)
    assert len(TASK.problems(f"{path}#unchecked", split="all")) == 3
    rows[0]["answer"], rows[1]["answer"] = "385", "025"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert [p.gold for p in aime_source.read(path)] == [385, 25, 1]


def test_the_stored_answers_tell_nothing_in_the_clear() -> None:
    text = files("anytime_lib.tasks").joinpath("data", "aime_answers.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [r["contest"] for r in rows] == [
        f"{y}-{p}-{n}" for y in (2024, 2025) for p in ("I", "II") for n in range(1, 16)
    ]
    assert all(int(value, 16) >= 0 for r in rows for key, value in r.items() if key != "contest")
    assert len({r["answer"] for r in rows}) == 60  # salted with the contest: equal answers look different


@pytest.mark.parametrize("year", [2024, 2025])
def test_real_answers(year: int, tmp_path: Path) -> None:
    folder = os.environ.get("ANYTIME_BENCH_DATA")
    if not folder:
        pytest.skip("ANYTIME_BENCH_DATA is not set: it names a folder with aime_2024.jsonl and aime_2025.jsonl")
    path = Path(folder) / f"aime_{year}.jsonl"
    problems = aime_source.read(path)
    # The file of 2024 is in the order of text: 1, 10, 11, ..., 15, 2, ...
    numbers = sorted(range(1, 16), key=str) if year == 2024 else range(1, 16)
    names = [f"{year}-{part}-{n}" for part in ("I", "II") for n in numbers]
    entries = {n: aime_answers.entry(n, p.text, p.gold) for n, p in zip(names, problems, strict=True)}
    assert entries == {n: row for n, row in aime_answers._by_name().items() if n.startswith(str(year))}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["answer"] = f"{row['answer']:03}"  # leading zeros are no error
    for at, off in ((3, -1), (17, 1)):
        rows[at]["answer"] = str(int(rows[at]["answer"]) + off)
    rows[5]["prompt"] = rows[5]["prompt"].replace("$", " ").replace("the", "The")
    copy = tmp_path / "copy.jsonl"
    copy.write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(DataError, match=r"2 of the answers .*copy-4 \(.*; copy-18 \(") as error:
        aime_source.read(copy)
    assert year == 2025 or "copy-4 (AIME 2024-I-12) has 384" in str(error.value)


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
    path.write_text("problem,answer\nx,080 or 081 (both were accepted)\ny,017\n")
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
    *answers, log = ask(tmp_path, hub.url, "hub#1983-2025", "hub#1984", "hub:MathArena/aime_2025#2025")
    assert sorted(p[0] for p in answers[0]) == [
        "1983-1", "1983-2", "1984-1", "1984-2", "2024-II-1", "2024-II-2", "2025-I-15", "2025-II-1",
    ]  # fmt: skip
    assert {p[3]["revision"] for p in answers[0]} == {known.revision for known in aime_source.HUB}
    assert {p[2] for p in answers[0] if p[0].startswith("19")} == {7}
    assert "gneubig/aime-1983-2024 has 4 of the 975 problems" in log
    assert sorted(p[0] for p in answers[1]) == ["1984-1", "1984-2"]
    assert {(p[0], p[3]["revision"]) for p in answers[2]} == {("15", "c" * 40), ("16", "c" * 40)}  # as resolved
    before = len(hub.asked)
    again, _ = ask(tmp_path, hub.url, "hub#2025", HF_HUB_OFFLINE="1")
    assert [p[0] for p in again] and len(hub.asked) == before


def test_hub_troubles_are_one_sentence_that_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    wanted = {
        "hub:own/gated": "is gated: accept its terms on https://huggingface.co/datasets/own/gated and log in",
        "hub:own/gone": "no data set own/gone that you may read",
        "hub:own/none": "could not be loaded from the hub, so take another",
        "hub:own/two": "has the splits train, test: name one",
        "hub:own/two#split=dev": "no split 'dev'; it has train, test",
        "hub:own/two#config=z": "config",
        "hub:own/two#revision=v9": "no revision 'v9'",
        "hub:not a name": "write hub:OWNER/NAME",
    }
    *said, _ = ask(tmp_path, hub.url, *wanted)
    for (source, part), sentence in zip(wanted.items(), said, strict=True):
        assert isinstance(sentence, str) and part in sentence and "\n" not in sentence, (source, sentence)
    said, _ = ask(tmp_path / "empty", hub.url, "hub#2025", HF_HUB_OFFLINE="1")
    assert "could not be reached for MathArena/aime_2025" in said and "local file" in said
    said, _ = ask(tmp_path, "http://127.0.0.1:9", "hub:own/two")  # nobody listens
    assert "could not be reached for own/two" in said
