"""The store: nothing lost, nothing doubled, whatever happens to the process, the disk, the file or the neighbours."""

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import Config
from crash_harness import FORK, cell, columns, faults, old_store, survive
from fake_server import FakeServer
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib import Store
from anytime_lib.errors import DataError
from anytime_lib.store import CELL_COLUMNS, SCHEMA
from anytime_lib.sweep.client import stored_trace
from anytime_lib.types import Problem, digest

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a flush takes no time: kills then fall into writing, not into waiting."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_forty_kills_lose_nothing() -> None:
    """The thousand: `python tests/crash_harness.py`."""
    assert survive(40, MEMORY) > 100


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DELETE FROM requests WHERE key = '{}'", "lost"),
        ("UPDATE requests SET status = 'error' WHERE key = '{}'", "lost"),
        ("UPDATE requests SET response = '{{\"sha\": 0}}' WHERE key = '{}'", "half"),
        ("DELETE FROM attempts WHERE key = '{}'", "different keys"),
        ("INSERT INTO attempts SELECT * FROM attempts WHERE key = '{}'", "attempts of"),
        ("DELETE FROM cells WHERE answer_key = '{}' AND sample = 1", "half of a pair"),
        ("DELETE FROM cells WHERE answer_key = '{}'", "lost: cells"),
    ],
)
def test_the_harness_sees_every_kind_of_loss(path: Path, damage: str, fault: str) -> None:
    key = digest("k")
    with Store(path) as store:
        store.put(**columns(key, "ok", 3))
        store.put_cells([cell(key, 0), cell(key, 1)])
    said = [["start", key], ["done", key, "ok"], ["cell", key]]
    assert list(faults(path, said)) == []
    with sqlite3.connect(path) as db:
        db.execute(damage.format(key))
    assert fault in "\n".join(faults(path, said))


def test_every_attempt_stays_on_the_ledger(path: Path) -> None:
    with Store(path) as store:
        store.put(**columns("k", "error", 7))
        store.put(**columns("k", "ok", 7))
        first = store.get("k")
        assert store.put(**columns("k", "ok", 9)) == first  # somebody else was first: theirs counts, this one was paid
        store.put(**columns("k", "error", 5))
        free = columns("r", "ok", 1) | {"prompt_tokens": 0, "completion_tokens": 0}
        store.put(**free)
        store.put(**free)
        assert store.get("k") == first and len(store.requests()) == 2
        attempts = store.attempts()
        assert attempts.key.tolist() == ["k"] * 4 + ["r"]
        assert attempts.status.tolist() == ["error", "ok", "ok", "error", "ok"]
        assert attempts.tokens.tolist() == [8, 8, 10, 6, 0] and set(attempts.model) == {"x"}


def test_a_part_of_a_reply_gives_way_to_more_of_it_alone(path: Path) -> None:
    with Store(path) as store:
        store.put(**columns("k", "partial", 7))
        part = columns("k", "partial", 7)["response"]
        assert store.put(**columns("k", "error", 9)) == part
        assert store.put(**columns("k", "partial", 9) | {"completion_tokens": 0}) == part
        assert store.requests().status.tolist() == ["partial"] and store.get("k") is None
        store.put(**columns("k", "partial", 5) | {"completion_tokens": 2})
        assert store.requests().completion_tokens.tolist() == [2]
        store.put(**columns("k", "ok", 3))
        assert store.get("k") == columns("k", "ok", 3)["response"]
        assert store.attempts().status.tolist() == ["partial", "error", "partial", "partial", "ok"]


def test_a_cancelled_task_s_request_is_stored(path: Path) -> None:
    async def work(store: Store) -> None:
        task = asyncio.ensure_future(store.aput(**columns("k", "ok", 1)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with Store(path) as store:
        asyncio.run(work(store))
    with Store(path) as store:
        assert store.get("k") is not None


def test_a_full_disk_is_one_sentence_and_a_readable_store(path: Path) -> None:
    with Store(path) as store:
        assert store._writer is not None
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
        store._writer.execute(f"PRAGMA max_page_count={pages + 5}")
        with pytest.raises(DataError, match=r"disk is full\): free some space.*what was stored before is kept$"):
            [store.put(**columns(str(n), "ok", 50)) for n in range(1000)]
        stored = store.requests().key.tolist()
        assert stored == [str(n) for n in range(len(stored))] and all(store.get(key) for key in stored)


def test_a_store_that_may_only_be_read(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        store.put(**columns("k", "ok", 1))
        store.put_cells([cell("k", 0)])
    with Store(path, read_only=True) as store:
        assert store.get("k") and len(store.cells()) == 1
        with pytest.raises(DataError, match="open for reading only"):
            store.put(**columns("l", "ok", 1))
    with pytest.raises(DataError, match="no store at"):
        Store(tmp_path / "none.sqlite", read_only=True)
    with pytest.raises(DataError, match=r"cannot use .*'outputs'"):
        Store(path / "not-a-folder.sqlite")


def write_eighty(path: Path, name: str, barrier: Any) -> None:
    barrier.wait()
    with Store(path) as store:
        for n in range(80):
            store.put(**columns(f"shared {n}", "ok", 1 + n % 7))
            store.put(**columns(f"{name} {n}", "ok", 1))
            store.put_cells([cell(f"shared {n}", 0)])


def test_three_processes_write_one_store_from_its_first_moment(path: Path) -> None:
    barrier = FORK.Barrier(3)
    writers = [FORK.Process(target=write_eighty, args=(path, name, barrier)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(100)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with Store(path) as store:
        keys = store.requests().key
        assert len(keys) == len(set(keys)) == 4 * 80 and len(store.cells()) == 80
        assert len(store.attempts()) == 6 * 80  # who asked in vain paid all the same


def test_two_runs_of_one_sweep_at_once_double_nothing(server: FakeServer, config: Config, path: Path) -> None:
    rng = random.Random(0)

    def at_random(body: dict[str, Any], n: int) -> Any:
        time.sleep(0.05)
        return 200, server.completion(body, " ".join(rng.choices(("alpha", "beta", "gamma", "delta"), k=12)))

    server.script = at_random
    params = path.with_name("p.yaml")
    params.write_text(yaml.safe_dump(config().model_dump(exclude_none=True)))
    command = [sys.executable, "-m", "anytime_lib.cli", "sweep", str(params)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "ab"]
    said = [run.communicate(timeout=100)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    with Store(path.parent / "run" / "store.sqlite") as store:
        requests, attempts = (rows.query("kind != 'probe'") for rows in (store.requests(), store.attempts()))
        assert len(store.cells()) == 24 and len(requests) == requests.key.nunique() == 30
        assert len(server.requests) == len(attempts) >= 30  # what was asked twice was billed twice, and is told
        for cell in store.cells().itertuples():  # both runs went on from the reply that was stored first
            asked = store.request(cell.answer_key)
            assert asked is not None
            trace = stored_trace(store, cell.trace_key)
            assert trace.text.startswith(next(m["content"] for m in asked["messages"] if m["role"] == "assistant"))


def test_a_store_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    (key,) = old_store(path, 1)
    with Store(path, read_only=True) as store:  # as it is
        assert store.get(key) and store.attempts().tokens.tolist() == [4] and store.noted("mode", "x") is None
        assert store.cells().prompt_tokens.isna().all()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    with Store(path) as store:
        assert store.cells().grader.isna().all()
        store.put_cells([cell(key, 0) | {"prompt_tokens": 7, "grader": 1}])
        store.note("mode", "x", {"fresh": True})
    with Store(path) as store:
        assert store.cells().prompt_tokens.fillna(0).tolist() == [7, 0] and len(store.attempts()) == 1
        assert store.noted("mode", "x") == {"fresh": True} and store.noted("mode", "y") is None


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_store_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(DataError, match="is no store"):
        Store(path, read_only)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
        db.execute("DROP TABLE mine")
        db.execute(f"PRAGMA user_version={SCHEMA + 1}")
    with pytest.raises(DataError, match=rf"\(schema {SCHEMA + 1}\) is no store"):
        Store(path, read_only)


@pytest.fixture(scope="module")
def one_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(Path(folder) / "s") as store:
        yield store


@given(text=st.text(st.characters(codec=None), max_size=40))
def test_whatever_a_model_writes_comes_back(one_store: Store, text: str) -> None:
    """Half a surrogate pair and NUL included; a cell's detail, which goes into tables, has them replaced."""
    key = digest(json.dumps(text))
    one_store.put(**columns(key, "ok", 1) | {"response": {"text": text}})
    assert one_store.get(key) == {"text": text}
    one_store.put_cells([cell("k", 0) | {"detail": text}])
    assert one_store.cells().detail.tolist() == [text.encode("utf-8", "replace").decode()]


def test_damage_is_told_in_one_sentence(path: Path) -> None:
    with Store(path) as store:
        for i in range(100):
            store.put(**columns(str(i), "ok", 40))
    whole = path.read_bytes()
    zeroed = whole[: len(whole) // 2] + bytes(len(whole) // 2)
    for damaged in (whole[:-10_000], whole[:100], b"text", zeroed):
        path.write_bytes(damaged)
        for read_only in (True, False):
            with pytest.raises(DataError, match=r"damaged.*; restore it"), Store(path, read_only) as store:
                store.requests()
        path.with_name(path.name + "-wal").unlink(missing_ok=True)


def test_cells_keep_their_types_whatever_is_missing(path: Path) -> None:
    nothing = dict.fromkeys(set(CELL_COLUMNS[7:]) - {"detail"}) | {"status": "error"}
    with Store(path) as store:
        assert store.cells().empty and store.cells().columns.tolist() == CELL_COLUMNS
        store.put_cells([cell("b", 0) | nothing, cell("a", 1) | {"correct": True}, cell("a", 0)])
        cells = store.cells()
        assert list(zip(cells.problem_id, cells["sample"], strict=True)) == [("a", 0), ("a", 1), ("b", 0)]
        assert cells.score.dtype == np.float64 and np.isnan(cells.score[2])
        assert cells.correct.dtype == "boolean" and cells.correct[:2].tolist() == [False, True]
        assert cells.correct.isna()[2] and cells.stopped_naturally.dtype == "boolean"
        assert pd.api.types.is_integer_dtype(cells.budget) and cells.trace_key.isna().all()
        assert len(store.cells(run="r", method="m")) == 3 and store.cells(method="other").empty


def test_keys_in_the_environment_are_never_stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", key := 'canary-71"x\\f0e9')
    monkeypatch.setenv("GROK", shaped := "xai-canary71canary71")
    monkeypatch.setenv("COMMON_KEY", "a")
    with Store(path) as store:
        row = columns("k", "error", 1) | {"request": {"text": f"use {key}"}, "response": {"error": f"bad key {key}!"}}
        row["request"]["more"] = shaped
        assert store.put(**row) == {"error": "bad key [key withheld]!"}
        store.put_cells([cell("k", 0) | {"detail": f"bad key {key}"}])
        store.add_problems([Problem("p", "t", f"my {key}", None)])
        store.note("mode", key, {"header": key})
        assert store.request("k") == {"text": "use [key withheld]", "more": "[key withheld]"}
        assert store.noted("mode", key) == {"header": "[key withheld]"}
        files = b"".join(f.read_bytes() for f in path.parent.iterdir())
    assert b"canary" not in files and b"canary" not in path.read_bytes()
