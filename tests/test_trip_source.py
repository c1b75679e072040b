"""Where trip problems come from: files, the official one over a real socket, data sets, and back into files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import datasets
import pytest

from anytime_lib.errors import AnytimeError, ConfigError, DataError
from anytime_lib.tasks import trip_source
from anytime_lib.tasks.trip import TASK, dataset, grade_official, grade_strict, write_official
from anytime_lib.tasks.trip_problem import read_trip


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_official(dataset(limit=12, seed=1, difficulty=[3, 10])["all"], tmp_path / "trips.json")


def without_origin(rows: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("source", "sha256")} for row in rows]


def test_generated_rows_are_written_and_read_back_equal(file: Path) -> None:
    made, read = dataset(limit=12, seed=1, difficulty=[3, 10]), dataset(file)
    assert made["all"].features == read["all"].features
    for split in ("all", "test", "pool"):
        assert without_origin(made[split]) == without_origin(read[split])
    # They are the problems that the task generates, and the file's problems are they too.
    plain = TASK.problems(limit=12, seed=1, difficulty=[3, 10])
    assert [(p.id, p.text, p.gold) for p in plain] == [
        (r["id"], r["prompt_0shot"], [list(s) for s in zip(r["cities"], r["durations"], strict=True)])
        for r in read["all"]
    ]
    assert {p.content_hash for p in TASK.problems(file, split="all")} == {p.content_hash for p in plain}
    whole = json.loads(file.read_text())
    assert whole[plain[1].id]["num_cities"] == "10" and len(whole[plain[1].id]["cities"].split("**")) == 10


def test_splits_are_those_of_the_task(file: Path) -> None:
    rows = dataset(file)
    for split in ("all", "test", "pool"):
        assert set(rows[split]["id"]) == {p.id for p in TASK.problems(file, split=split)}
    assert not set(rows["test"]["id"]) & set(rows["pool"]["id"])
    assert set(rows["test"]["id"]) | set(rows["pool"]["id"]) == set(rows["all"]["id"])
    # A variant of a problem is in the same split.
    five = TASK.problems(f"{file}#5shot", split="pool")
    assert [p.id for p in five] == [f"{p.id}_5shot" for p in TASK.problems(file, split="pool")]


def test_five_shot_prompts(file: Path) -> None:
    plain, five = TASK.problems(file, split="all"), TASK.problems(f"{file}#5shot", split="all")
    for p, q in zip(plain, five, strict=True):
        assert q.text.count("TASK: ") == 6 and q.text != p.text and q.gold == p.gold
        assert read_trip(q.text) == read_trip(p.text)
        told = TASK.gold_answer(p)
        assert grade_strict(q, told) == grade_official(q, told) == TASK.grade(q, told).score == 1
    with pytest.raises(ConfigError, match="did you mean '5shot'"):
        TASK.problems(f"{file}#5shots")


def test_a_filtered_dataset_is_a_source(file: Path) -> None:
    rows = dataset(f"{file}#5shot")["all"]
    large = rows.filter(lambda row: row["num_cities"] == 10)
    assert TASK.problems(large, split="all") == TASK.problems(f"{file}#5shot", split="all", difficulty=[10])
    raw = json.loads(file.read_text())
    own = datasets.Dataset.from_list([{"id": name, **row} for name, row in raw.items()])  # as the official file has it
    assert [(p.id, p.gold) for p in TASK.problems(own)] == [(p.id, p.gold) for p in TASK.problems(file)]
    for bad in (datasets.concatenate_datasets([rows, rows]), rows.remove_columns("prompt_5shot")):
        with pytest.raises(DataError):
            TASK.problems(bad)
    for wrong in (dataset(file), 3):
        with pytest.raises(ConfigError, match="one split"):
            TASK.problems(wrong)
    with pytest.raises(DataError, match=r"no problem with 2 cities"):
        TASK.problems(file, difficulty=[2])


def test_rows_are_cached_until_the_file_changes(file: Path) -> None:
    first, again = dataset(file)["all"], dataset(file)["all"]
    assert first.cache_files == again.cache_files and first.cache_files
    rows = json.loads(file.read_text())
    del rows[next(iter(rows))]
    file.write_text(json.dumps(rows))
    assert len(dataset(file)["all"]) == len(first) - 1
    assert TASK.problems(file)[0].metadata["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()[:12]


GOOD = {"prompt_0shot": TASK.problems(limit=1)[0].text}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        "3",
        '{"a": 3}',
        '{"a": {"prompt": ""}}',
        '{"a": {"prompt_0shot": "Hello"}}',
        json.dumps({"a": GOOD | {"cities": "Rome**Nice", "durations": "3"}}),
        json.dumps({"a": GOOD | {"cities": "Rome**Nice", "durations": "3**x"}}),
        json.dumps({"a": GOOD})[:-40],
        "\udcff",
    ],
)
def test_bad_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trips.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    for ask in (TASK.problems, dataset):
        with pytest.raises(DataError, match=r"trips\.json") as caught:
            ask(str(path))
        assert "\n" not in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    for source in (tmp_path / "none.json", str(tmp_path), ""):
        with pytest.raises(DataError, match="cannot read the trip-planning file"):
            TASK.problems(source)


class Site:
    """A small site on 127.0.0.1 that gives one file, its first `sent` bytes if less than all, or an HTTP error."""

    def __init__(self) -> None:
        self.content, self.status, self.sent, self.asked = b"", 200, None, 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content[: site.sent])

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def site(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site()
    site.content = file.read_bytes()
    blob = b"blob %d\0" % len(site.content) + site.content
    monkeypatch.setattr(trip_source, "BLOB", hashlib.sha1(blob).hexdigest())
    monkeypatch.setattr(trip_source, "OFFICIAL", f"http://127.0.0.1:{site.server.server_port}/trip_planning.json")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield site
    site.server.shutdown()
    site.server.server_close()


def test_the_official_file_is_fetched_once_and_checked(site: Site) -> None:
    found = TASK.problems("official", limit=3)
    whole = hashlib.sha256(site.content).hexdigest()
    assert [(p.metadata["source"], p.metadata["sha256"]) for p in found] == [("official", whole[:12])] * 3
    assert TASK.problems("official#5shot", limit=3)[0].id == f"{found[0].id}_5shot"
    assert site.asked == 1
    kept = trip_source.official_file()
    assert kept.with_name("trip_planning.json.sha256").read_text().split() == [whole, "trip_planning.json"]
    kept.write_bytes(site.content + b"\n")
    with pytest.raises(DataError, match="delete it to fetch it again"):
        TASK.problems("official")
    kept.unlink()
    assert len(TASK.problems("official", limit=3)) == 3 and site.asked == 2


@pytest.mark.parametrize("fault", ["missing", "cut", "other", "offline", "read only"])
def test_a_failed_fetch_says_what_to_do(
    site: Site, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "missing":
        site.status = 404
    elif fault == "cut":
        site.sent = 1000
    elif fault == "other":
        site.content += b" "
    elif fault == "offline":
        monkeypatch.setattr(trip_source, "OFFICIAL", "http://127.0.0.1:9/trip_planning.json")
    else:
        (tmp_path / "taken").write_text("a file, where the folder should be")
        monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "taken"))
    with pytest.raises(DataError, match=r"give the path of a copy|writable folder") as caught:
        TASK.problems("official")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("cache/**/*.json"))  # nothing half is kept


@pytest.mark.skipif("ANYTIME_BENCH_DATA" not in os.environ, reason="ANYTIME_BENCH_DATA names no folder")
def test_the_official_layout_survives(tmp_path: Path) -> None:
    path = Path(os.environ["ANYTIME_BENCH_DATA"]) / "trip_planning_subset.json"
    rows = dataset(path)
    assert len(rows["all"]) == 58 == len(rows["test"]) + len(rows["pool"])
    assert json.loads(write_official(rows["all"], tmp_path / "copy.json").read_text()) == json.loads(path.read_text())


def test_errors_are_the_package_s_own(file: Path) -> None:
    for bad in ({"limit": 0}, {"seed": -1}, {"difficulty": [11]}, {"difficulty": "3"}):
        with pytest.raises(AnytimeError):
            dataset(**bad)
