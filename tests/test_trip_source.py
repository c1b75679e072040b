"""Where trip problems come from: files, the official one over a real socket, and data sets."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import datasets
import pytest
from conftest import refused

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import trip_source
from anytime_lib.tasks.trip import TASK, grade_official, grade_strict
from anytime_lib.tasks.trip_problem import read_trip
from anytime_lib.types import Problem

PROBLEMS = TASK.problems(limit=12, seed=1, difficulty=[3, 10])
EXAMPLES = "".join(f"TASK: {p.text}\nSOLUTION:\n{TASK.gold_answer(p)}\n\n" for p in PROBLEMS[:5])


def official_row(problem: Problem) -> dict[str, str]:
    """A problem as NATURAL PLAN's file has it."""
    cities, days = zip(*problem.gold, strict=True)
    told = {"cities": "**".join(cities), "durations": "**".join(map(str, days)), "num_cities": str(len(cities))}
    return told | {"prompt_0shot": problem.text, "prompt_5shot": f"{EXAMPLES}TASK: {problem.text}\nSOLUTION:\n"}


ROWS = {p.id: official_row(p) for p in PROBLEMS}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trips.json"
    path.write_text(json.dumps(ROWS), "utf-8")
    return path


def test_a_file_in_the_official_layout(file: Path) -> None:
    every = TASK.problems(file)
    assert {(p.id, p.content_hash) for p in every} == {(p.id, p.content_hash) for p in PROBLEMS}
    whence = {"source": "trips.json", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:12]}
    assert all(p.metadata.items() >= whence.items() for p in every)
    test, pool = (TASK.problems(str(file), split=split) for split in ("test", "pool"))
    assert test and pool and len(test) + len(pool) == len(every)
    # A five-shot variant of a problem is in the same split, and says so in its id.
    assert [p.id for p in TASK.problems(f"{file}#5shot", split="pool")] == [f"{p.id}_5shot" for p in pool]
    for p, q in zip(every, TASK.problems(f"{file}#5shot"), strict=True):
        assert q.text.count("TASK: ") == 6 and q.gold == p.gold and read_trip(q.text) == read_trip(p.text)
        told = TASK.gold_answer(p)
        assert grade_strict(q, told) == grade_official(q, told) == TASK.grade(q, told).score == 1
    with pytest.raises(DataError, match="no problem of that kind"):
        TASK.problems(file, difficulty=[2])
    with pytest.raises(ConfigError, match="did you mean '5shot'"):
        TASK.problems(f"{file}#5shots")


def test_a_dataset_is_a_source(file: Path) -> None:
    rows = datasets.Dataset.from_list([{"id": name, **row} for name, row in ROWS.items()])
    assert [(p.id, p.gold) for p in TASK.problems(rows)] == [(p.id, p.gold) for p in TASK.problems(file)]
    for wrong in (datasets.DatasetDict({"all": rows}), 3):
        with pytest.raises(ConfigError, match="one split"):
            TASK.problems(wrong)
    for column in ("prompt_0shot", "id"):
        with pytest.raises(DataError, match=f"dataset: .*'{column}'; the layout"):
            TASK.problems(rows.remove_columns(column))


GOOD = next(iter(ROWS.values()))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, "[]", "{}", "3", "\udcff", json.dumps({"a": GOOD})[:-40]]
    + ['{"a": 3}', '{"a": {"prompt": ""}}', '{"a": {"prompt_0shot": "Hello"}}', None]
    + [json.dumps({"a": GOOD | {"cities": "Rome**Nice", "durations": days}}) for days in ("3", "3**x")],
)
def test_bad_files(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "trips.json"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with refused(DataError, r"trips\.json"):
        TASK.problems(str(path))


@pytest.fixture
def site(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a site on 127.0.0.1 gives, in place of the official one."""
    content = file.read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=file.parent)) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(trip_source, "BLOB", hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
        monkeypatch.setattr(trip_source, "OFFICIAL", f"http://127.0.0.1:{server.server_port}/{file.name}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "cache"))
        yield file
        server.shutdown()


def test_the_official_file_is_fetched_once_and_checked(site: Path) -> None:
    found, content = TASK.problems("official", limit=3), site.read_bytes()
    whence = {"source": "official", "sha256": hashlib.sha256(content).hexdigest()[:12]}
    assert all(p.metadata.items() >= whence.items() for p in found)
    site.unlink()  # it is not asked again
    assert TASK.problems("official#5shot", limit=3)[0].id == f"{found[0].id}_5shot"
    kept = trip_source.official_file()
    assert [path.name for path in kept.parent.iterdir()] == ["trip_planning.json"]
    kept.write_bytes(content + b"\n")
    with pytest.raises(DataError, match="delete it to fetch it again"):
        TASK.problems("official")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("missing", "404 File not found.*; set .source: PATH of your copy"),
        ("cut", "cut off, or is another file.*; set .source: PATH of your copy"),
        ("offline", "cannot have .*; set .source: PATH of your copy"),
        ("read only", "Not a directory"),
    ],
)
def test_a_failed_fetch_says_what_to_do(
    site: Path, fault: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "missing":
        site.unlink()
    elif fault == "offline":
        monkeypatch.setattr(trip_source, "OFFICIAL", "http://127.0.0.1:9/trip_planning.json")
    elif fault == "read only":
        monkeypatch.setenv("ANYTIME_CACHE", str(site))  # a file, where the folder should be
    else:
        site.write_bytes(site.read_bytes()[:1000])
    with refused(DataError, says):
        TASK.problems("official")
    assert not list(tmp_path.glob("cache/**/*.json"))  # nothing half is kept
