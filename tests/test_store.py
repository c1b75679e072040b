"""The store: nothing lost, nothing doubled, whatever happens to the process, the disk, the file or the neighbours."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config, refused
from crash_harness import FORK, cell, columns, faults, old_store, survive
from fake_server import FakeServer
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib import Store, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import DataError
from anytime_lib.store import CELL_COLUMNS, CHECKPOINT, SCHEMA
from anytime_lib.types import Problem, digest

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a flush takes no time: kills then fall into writing, not into waiting."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_forty_kills_lose_nothing() -> None:
    """The thousand: `python tests/crash_harness.py`. On a slow machine few writes come before a kill."""
    assert survive(40, MEMORY) > 20


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


def held(path: Path, there: Any, go_on: Any) -> None:
    """Another process writes, and dies without a word."""
    store = Store(path)
    store.put(**columns("theirs", "ok", 1))
    there.set()
    go_on.wait(600)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_writer_is_refused_by_name_until_the_first_is_gone(path: Path) -> None:
    there, go_on = FORK.Event(), FORK.Event()
    other = FORK.Process(target=held, args=(path, there, go_on), daemon=True)
    other.start()
    assert there.wait(600)
    with refused(DataError, f"^process {other.pid} on .* open for writing"):
        Store(path)
    with Store(path, read_only=True) as store:  # whoever reads is never in the way, nor refused
        assert store.get("theirs")
        go_on.set()
        other.join()
        with Store(path) as ours:
            with refused(DataError, f"^process {os.getpid()} on "):
                Store(path)
            ours.put(**columns("ours", "ok", 1))
        assert store.requests().key.tolist() == ["theirs", "ours"]
    Store(path).close()  # a writer that was refused, or closed, leaves nothing held


def test_a_second_sweep_is_refused_and_asks_nothing(server: FakeServer, config: Config, path: Path) -> None:
    with Store(config().folder / "store.sqlite"), refused(DataError, "open for writing"):
        run_sweep(config(), progress=False)
    assert server.requests == []


@pytest.mark.parametrize("vfs", ["unix", "unix-none"])
def test_without_a_write_ahead_log_another_journal_is_kept_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, vfs: str
) -> None:
    """Network file systems refuse to share memory, as this folder does in its file's place, or silently never do."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda at, **options: connect(f"{at}&vfs={vfs}", **options))
    path.with_name(f"{path.name}-shm").mkdir()
    with Store(path) as store:
        for n in range(2 * CHECKPOINT):
            store.put(**columns(str(n), "ok", 1))
        with store.snapshot() as db:
            assert db.execute("SELECT count(*) FROM requests").fetchone() == (2 * CHECKPOINT,)
        assert not path.with_name(f"{path.name}-wal").exists()
    assert len([r for r in caplog.records if "no write-ahead log" in r.message]) == 1
    with Store(path, read_only=True) as store:
        assert len(store.requests()) == 2 * CHECKPOINT


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


@pytest.fixture
def whole(path: Path) -> bytes:
    """A store's file with a hundred requests and cells."""
    with Store(path) as store:
        for i in range(100):
            store.put(**columns(str(i), "ok", 40))
        store.put_cells([cell(str(i), 0) for i in range(100)])
        store.put_cells([cell("lost", 0) | {"method": "base", "trace_key": "t"}])  # as if its requests were cut off
        store.put(**columns("long", "ok", 2000))
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["text", "100 bytes", "zeroed", "one page", "a text"])
def test_damage_is_told_in_one_sentence(path: Path, whole: bytes, damage: str) -> None:
    at = whole.rindex(rb"long\u00e9" * 50) // 4096 * 4096  # a page that holds the end of a long text alone
    damaged = {
        "text": b"a text of several pages " * 500,
        "100 bytes": whole[:100],
        "zeroed": whole[: len(whole) // 2] + bytes(len(whole) // 2),
        "one page": whole[:8192] + bytes(4096) + whole[12288:],
        "a text": whole[:at] + bytes(4096) + whole[at + 4096 :],
    }[damage]
    path.write_bytes(damaged)
    why = "it is no store" if damage == "text" else r"damaged|cut short|no such table"
    for read_only in (True, False):
        with refused(DataError, why), Store(path, read_only) as store:
            store.requests(), store.problems(), store.request("long")


@pytest.mark.parametrize("cut", [1, 372, 4096, 10_000])
def test_of_a_file_cut_short_what_is_whole_is_read(
    path: Path, whole: bytes, cut: int, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_bytes(whole[:-cut])
    with refused(DataError, "was cut short, to .* restore it"):
        Store(path)
    with Store(path, read_only=True) as store:
        assert store.damaged and "was cut short" in caplog.text
        assert 0 < len(store.cells()) <= 101 and store.get("3") == columns("3", "ok", 40)["response"]
    assert main(["ledger", str(path)]) == 2 and "damaged, as was said, " in capsys.readouterr().err


def test_a_store_that_lost_its_write_ahead_log_is_known(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ahead, copy = path.with_name(f"{path.name}-wal"), path.with_name("copy")
    with Store(path) as store:
        for n in range(CHECKPOINT + 5):
            shutil.copy(path, copy)  # as a backup of the one file does
            with Store(copy, read_only=True) as lost:
                assert lost.damaged
            with refused(DataError, f"lacks its newest rows: put {copy.name}-wal back"):
                Store(copy)
            store.put(**columns(str(n), "ok", 1))
        shutil.copy(path, copy)
        shutil.copy(ahead, copy.with_name(f"{copy.name}-wal"))
    with closing(sqlite3.connect(copy)) as db:  # a program that is no Store may bring it into the file
        assert db.execute("SELECT count(*) FROM requests").fetchone() == (CHECKPOINT + 5,)
    Store(copy).close()
    path.write_bytes(b"SQLite format 3\0".ljust(4096, b"\0"))
    assert main(["ledger", str(path)]) == 2


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
