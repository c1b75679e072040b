"""Where trip problems come from: files, the official one over a real socket, and data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import datasets
import pytest

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import trip_source
from anytime_lib.tasks.trip import TASK, grade_official, grade_strict
from anytime_lib.tasks.trip_problem import read_trip

PROBLEMS = TASK.problems(limit=12, seed=1, difficulty=[3, 10])
EXAMPLES = "".join(f"TASK: {p.text}\nSOLUTION:\n{TASK.gold_answer(p)}\n\n" for p in PROBLEMS[:5])
ROWS = {
    p.id: {
        "num_cities": str(len(p.gold)),
        "cities": "**".join(city for city, _ in p.gold),
        "durations": "**".join(str(days) for _, days in p.gold),
        "prompt_0shot": p.text,
        "prompt_5shot": f"{EXAMPLES}TASK: {p.text}\nSOLUTION:\n",
    }
    for p in PROBLEMS
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYTIME_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trips.json"
    path.write_text(json.dumps(ROWS))
    return path


def test_a_file_in_the_official_layout(file: Path) -> None:
    every = TASK.problems(file)
    assert {(p.id, p.content_hash) for p in every} == {(p.id, p.content_hash) for p in PROBLEMS}
    whence = {"source": "trips.json", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:12]}
    assert all(p.metadata.items() >= whence.items() for p in every)
    test, pool = (TASK.problems(str(file), split=split) for split in ("test", "pool"))
    assert test and pool and len(test) + len(pool) == len(every)
    assert {p.id for p in test} | {p.id for p in pool} == ROWS.keys()
    # A variant of a problem is in the same split, and says so in its id.
    five = TASK.problems(f"{file}#5shot", split="pool")
    assert [p.id for p in five] == [f"{p.id}_5shot" for p in pool]
    with pytest.raises(DataError, match=r"no problem with 2 cities"):
        TASK.problems(file, difficulty=[2])
    with pytest.raises(ConfigError, match="did you mean '5shot'"):
        TASK.problems(f"{file}#5shots")


def test_five_shot_prompts(file: Path) -> None:
    for p, q in zip(TASK.problems(file), TASK.problems(f"{file}#5shot"), strict=True):
        assert q.text.count("TASK: ") == 6 and q.text != p.text and q.gold == p.gold
        assert read_trip(q.text) == read_trip(p.text)
        told = TASK.gold_answer(p)
        assert grade_strict(q, told) == grade_official(q, told) == TASK.grade(q, told).score == 1


def test_a_dataset_is_a_source(file: Path) -> None:
    rows = datasets.Dataset.from_list([{"id": name, **row} for name, row in ROWS.items()])
    assert [(p.id, p.gold) for p in TASK.problems(rows)] == [(p.id, p.gold) for p in TASK.problems(file)]
    listed = rows.map(lambda row: {"cities": row["cities"].split("**"), "shots": 5})
    large = listed.filter(lambda row: row["num_cities"] == "10")
    wanted = TASK.problems(f"{file}#5shot", difficulty=[10])
    assert [(p.id, p.text, p.gold) for p in TASK.problems(large)] == [(p.id, p.text, p.gold) for p in wanted]
    with pytest.raises(DataError, match="need an id each"):
        TASK.problems(datasets.concatenate_datasets([rows, rows]))
    with pytest.raises(DataError, match=r"the dataset: .* has no prompt_5shot"):
        TASK.problems(listed.remove_columns("prompt_5shot"))
    for wrong in (datasets.DatasetDict({"all": rows}), 3):
        with pytest.raises(ConfigError, match="one split"):
            TASK.problems(wrong)


GOOD = {"prompt_0shot": PROBLEMS[0].text}


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
    with pytest.raises(DataError, match=r"trips\.json") as caught:
        TASK.problems(str(path))
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
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


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
    assert [path.name for path in kept.parent.iterdir()] == ["trip_planning.json"]
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


def test_settings_that_make_no_sense(file: Path) -> None:
    wrong: list[dict[str, Any]] = [{"limit": 0}, {"seed": -1}, {"difficulty": [11]}, {"split": "trian"}]
    for bad in wrong:
        for source in (None, file) if "seed" not in bad else (None,):
            with pytest.raises(ConfigError):
                TASK.problems(source, **bad)
