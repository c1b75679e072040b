"""Does a store survive kill -9 at any moment? Kills writing processes and checks what they left behind.

    python tests/crash_harness.py [--kills 1000] [--seed 0] [--folder DIR]

Each round forks a writer on one store, and now and then a reader beside it: the writer puts requests (failures that
succeed later, many waiting at once) and cells, and writes each into a log once it returned. Both are killed after a
random time, from while the file is being made or an old one brought up to date, on. Then: every acknowledged row is
there and whole, none is doubled, attempts, requests and cells agree, and the file is sound.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from anytime_lib.errors import DataError
from anytime_lib.store import Store
from anytime_lib.types import digest

FORK = multiprocessing.get_context("fork")
PER_STORE, EARLY = 12, 5
"""Rounds on one file before a new one, and how many of them are killed while it is made or brought up to date."""


WHO = {"model": "x", "task": "t", "method": "m"}


def columns(key: str, status: str, size: int) -> dict[str, Any]:
    """A request whose parts can be checked against each other."""
    text = f"é{key}" * size
    usage = {"prompt_tokens": size, "cached_tokens": 0, "completion_tokens": 1, "seconds": 0.5}
    parts = {"request": {"key": key, "text": text}, "response": {"status": status, "sha": digest(text)}}
    return {"key": key, "kind": "answer", "endpoint": "e", "status": status, **WHO, **parts, **usage}


def cell(key: str, sample: int) -> dict[str, Any]:
    place = {"run": "r", "problem_id": key, "sample": sample, "budget": 1, "answer_key": key}
    return WHO | place | {"score": 0.5, "correct": False, "status": "ok", "detail": ""}


def old_store(path: Path, n: int) -> list[str]:
    """A store of schema 2, which lacks four columns of the cells, with requests and their cells; returns their keys."""
    keys = [digest(["old", i]) for i in range(n)]
    with Store(path) as store:
        for key in keys:
            store.put(**columns(key, "ok", 3))
            store.put_cells([cell(key, 0), cell(key, 1)])
    with closing(sqlite3.connect(path)) as db:
        newer = (f"ALTER TABLE cells DROP COLUMN {name};" for name in ("effort", "draw", "grader", "prompt_tokens"))
        db.executescript(f"{''.join(newer)} PRAGMA user_version=2")
    return keys


async def write(path: Path, log: Path, seed: int) -> None:
    """Write until killed; every line of the log is a promise: `start KEY`, `done KEY STATUS`, `cell KEY`."""
    rng, store, file = random.Random(seed), Store(path), os.open(log, os.O_WRONLY | os.O_APPEND)

    def say(*words: object) -> None:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())

    async def one(n: int) -> None:
        key, size = digest([seed, n]), rng.randint(1, 60)
        for status in ["error", "ok"] if rng.random() < 0.3 else ["ok"]:
            say("start", key)
            if rng.random() < 0.5:
                await store.aput(**columns(key, status, size))
            else:
                store.put(**columns(key, status, size))
            say("done", key, status)
        store.put_cells([cell(key, 0), cell(key, 1)])
        say("cell", key)

    for n in range(0, 10**6, 6):
        await asyncio.gather(*(one(i) for i in range(n, n + 6)))


def written(path: Path, log: Path, seed: int) -> None:
    asyncio.run(write(path, log, seed))


def watched(path: Path, log: Path, seed: int) -> None:
    """Read until killed, as a notebook beside a run does."""
    while not path.is_file() or not path.stat().st_size:
        time.sleep(0.001)
    with suppress(DataError), Store(path, read_only=True) as store:  # it may come while the file is being made
        while True:
            store.cells()


def killed(path: Path, rng: random.Random, seconds: float) -> list[str]:
    """Start a writer, perhaps with a reader, and kill them in the midst of it; returns the lines it had written."""
    log = path.with_suffix(".log")
    log.write_text("", encoding="utf-8")
    targets = [written, watched][: 1 + (rng.random() < 0.3)]
    workers = [FORK.Process(target=target, args=(path, log, rng.getrandbits(60))) for target in targets]
    for worker in workers:
        worker.start()
    for worker in workers:
        time.sleep(seconds * rng.uniform(0.5, 1) / len(workers))
        worker.kill()
        worker.join()
    if workers[0].exitcode != -signal.SIGKILL:
        raise SystemExit("the writer stopped by itself")
    return log.read_text(encoding="utf-8").splitlines()


def faults(path: Path, said: list[list[str]]) -> Iterator[str]:
    """What is wrong with a store, given all that its writers said."""
    rows: dict[str, str] = {}
    tried: dict[str, list[str]] = defaultdict(list)
    try:
        with Store(path) as store, store.snapshot() as db:
            if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                yield f"damaged: {found}"
            for key, request, response, rows[key] in db.execute("SELECT key, request, response, status FROM requests"):
                if digest(json.loads(request)["text"]) != json.loads(response)["sha"]:
                    yield f"half: {key}"
            for key, status in db.execute("SELECT key, status FROM attempts ORDER BY rowid"):
                tried[key].append(status)
            cells = dict(db.execute("SELECT answer_key, count(*) FROM cells GROUP BY answer_key").fetchall())
    except DataError as error:
        yield f"unreadable: {error}"
        return
    for key, status in {key: rest[0] for what, key, *rest in said if what == "done"}.items():
        if key not in rows or (status == "ok" and rows[key] != "ok"):
            yield f"lost: {key} {status}"
    begun = Counter(key for what, key, *_ in said if what == "start")
    if set(tried) != set(rows):
        yield "attempts and requests name different keys"
    for key, statuses in tried.items():
        if statuses[-1] != rows.get(key) or statuses.count("ok") > 1 or len(statuses) > max(1, begun[key]):
            yield f"attempts of {key}: {statuses}"
    if bad := [key for key, n in cells.items() if rows.get(key) != "ok" or n != 2]:
        yield f"cells without their answer, or half of a pair: {bad}"
    yield from (f"lost: cells of {key}" for what, key, *_ in said if what == "cell" and key not in cells)


def survive(kills: int, folder: str | None = None, seed: int = 0) -> int:
    """Kill a writer so many times; AssertionError says what was lost. Returns how many writes they had acknowledged."""
    rng, said, promises = random.Random(seed), list[list[str]](), 0
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for turn in range(kills):
            n_stores, nth = divmod(turn, PER_STORE)
            path = Path(temporary) / f"{n_stores}.sqlite"
            if nth == 0:
                old = old_store(path, rng.randint(1, 500)) if n_stores % 2 else []
                said = [line for key in old for line in (["start", key], ["done", key, "ok"], ["cell", key])]
            log = killed(path, rng, rng.uniform(0, 0.02) if nth < EARLY else rng.uniform(0.01, 0.2))
            now = [line.split() for line in log]
            promises += sum(line[0] in ("done", "cell") for line in now)
            said += now
            wrong = list(faults(path, said))
            assert not wrong, "\n".join([f"seed {seed}, turn {turn}:", *wrong[:20]])
    return promises


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where the stores are made; a temporary folder by default")
    print(survive(**vars(parser.parse_args())), "acknowledged writes: none lost, none doubled, none half")
