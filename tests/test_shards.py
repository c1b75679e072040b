"""A run in parts: shards, what they begin with, and how their stores become one."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import Config, refused
from crash_harness import cell, columns
from fake_server import FakeServer, say_something
from test_running import hides

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError, DataError, EndpointError
from anytime_lib.sweep.costs import SpendCapReached
from anytime_lib.sweep.ledger import ledger_table
from anytime_lib.sweep.plan import plan
from anytime_lib.tools.merge import take
from anytime_lib.tools.on_ray import served
from anytime_lib.tools.shards import merge, prepare, sweep_shard


def assert_same(one: RunConfig, other: RunConfig) -> None:
    """Their cells, attempts and ledgers, but for the run's name, the times, and the order."""
    for table in ("cells", "attempts", "ledger"):
        found = []
        for config in (one, other):
            with Store(config.folder / "store.sqlite", read_only=True) as store:
                frame = ledger_table(store) if table == "ledger" else getattr(store, table)()
            frame = frame.drop(columns=["run", "seconds", "created"], errors="ignore")
            if table == "attempts":
                frame.key = frame.key.mask(frame.kind == "probe")  # which holds when it was
            found.append(frame.sort_values(list(frame.columns[:6])).reset_index(drop=True))
        pd.testing.assert_frame_equal(*found)


def test_merged_shards_are_what_one_machine_makes_and_pay_once(server: FakeServer, config: Config) -> None:
    """Even where an attempt at the pool failed that would succeed now: no shard has other exemplars than the others."""
    settings = {"methods": ["base", "pdp", "leap", "self_consistency"], "n_problems": 5, "pool_problems": 2}
    one, many = (config(run=run, **settings) for run in ("one", "many"))
    failing = [plan(many, None)[0].problems.pool[0].text]

    def script(body: dict[str, Any], n: int) -> Any:
        said = body["messages"][-1]["content"]
        fails = body.get("logprobs") and any(text in said for text in failing)
        return (400, {"error": {"message": "no"}}) if fails else say_something(body, n)

    server.script = script
    run_sweep(one, progress=False)
    single = len(server.requests), len(server.probes)
    prepare(many, progress=False)
    assert single[0] < len(server.requests) < 2 * single[0]
    failing.clear()
    tested = [{*sweep_shard(many, f"{i}/3", progress=False)[0].problem_id} for i in range(3)]
    assert sum(map(len, tested)) == len(set.union(*tested)) == 5
    assert (len(server.requests), len(server.probes)) == (2 * single[0], 2 * single[1])
    for _ in range(2):  # again changes nothing
        assert "3 stores merged" in merge(many)
        assert_same(one, many)
    shutil.rmtree(many.folder / "shards")  # a shard that begins anew knows what the run's store knows, and no more
    sweep_shard(many, "1/3", progress=False)
    assert len(server.requests) == 2 * single[0]
    with Store(many.folder / "shards" / "1_of_3" / "store.sqlite") as own, Store(many.folder / "store.sqlite") as run:
        assert {*own.cells().problem_id} == tested[1]
        keys, cells = {*own.requests().key}, run.cells()
        others = cells[~cells.problem_id.isin(tested[1])]
        assert not keys & {*others.trace_key.dropna(), *others.answer_key.dropna()}


def test_shards_begin_with_what_is_prepared(server: FakeServer, config: Config) -> None:
    settings = config(methods=["base", "pdp"], pool_problems=2)
    for wrong in ("3/3", "1", "-1/3", "0/0"):
        with refused(ConfigError, "--shard is i/n, with i from 0 to n - 1"):
            sweep_shard(settings, wrong)
    with refused(DataError, r"sweep PARAMS --prepare` first"):
        sweep_shard(settings, "0/2", progress=False)
    (settings.folder / "shards").mkdir(parents=True)  # of shards whose stores are gone
    prepare(settings, progress=False)
    before = len(server.requests)
    with refused(DataError, r"again where settings have changed"):
        sweep_shard(settings.but(pool_samples=4), "0/2", progress=False)
    assert not [r for r in server.requests[before:] if "ATTEMPT A" in r["messages"][-1]["content"]]


def test_shards_of_a_model_that_hides_its_reasoning(server: FakeServer, config: Config) -> None:
    server.script = lambda body, n: (200, hides(body))
    one, many = (config(run=run, methods=["base", "pdp"], pool_problems=2) for run in ("one", "many"))
    run_sweep(one, progress=False)
    prepare(many, progress=False)
    sweep_shard(many, "0/1", progress=False)
    merge(many)
    assert_same(one, many)


def test_shards_keep_to_one_cap_together(server: FakeServer, config: Config) -> None:
    settings = config(n_problems=8, spend_cap_tokens=2_000)
    prepare(settings, progress=False)
    for shard in ("0/2", "1/2", "0/2"):
        with pytest.raises(SpendCapReached):
            sweep_shard(settings, shard, progress=False)
    merge(settings)
    with Store(settings.folder / "store.sqlite") as store:
        assert 1_000 < store.attempts().tokens.sum() <= 2_000


def test_a_conflict_shows_both_and_merges_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as a, Store(tmp_path / "b.sqlite") as b:
        for store, said in ((a, "mine"), (b, "yours")):
            store.put(**columns(f"key-{said}", "ok", 1))
            store.put(**columns("twice", "ok", 1) | {"response": {"text": f"secret {said}", "finish_reason": "stop"}})
        with refused(DataError, r"request twice .* not the same: .*a.sqlite holds 1 .*b.sqlite holds((?!secret).)*$"):
            take(b, a)
        assert {*a.requests().key} == {"key-mine", "twice"}


def test_what_failed_gives_way_and_the_answer_asked_for_later_counts(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as a, Store(tmp_path / "b.sqlite") as b:
        for store, status, when in ((a, "error", 1.0), (b, "ok", 2.0)):
            store.put(**columns("k", status, 1), created=when)
            store.put(**columns(f"of {status}", "ok", 1), created=when)
        failed = {"answer_key": None, "status": "error", "score": None}
        a.put_cells([cell("p", 0) | failed, cell("q", 0) | {"answer_key": "of error"}])
        b.put_cells([cell("p", 0) | {"answer_key": "k"}, cell("q", 0) | {"answer_key": "of ok"}, cell("r", 0) | failed])
        for source, into in ((b, a), (a, b)):  # in either order
            take(source, into)
            assert into.cells().answer_key.fillna("none").tolist() == ["k", "of ok", "none"]
            assert into.requests().set_index("key").status["k"] == "ok" and len(into.attempts()) == 4


def test_the_slurm_array(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its command lines, of two parts instead of ten."""
    settings = {"run": str(tmp_path / "run"), "model": "simulated", "tasks": ["aime"], "methods": ["base", "pdp"]}
    settings |= {"n_problems": 4, "n_samples": 1, "budgets": [8, 16], "pool": {"problems": 2, "samples": 2}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    script = (Path(__file__).parent.parent / "docs" / "slurm.sh").read_text("utf-8")
    assert "--array=0-9\n" in script and '/10"\n' in script
    (tmp_path / "slurm.sh").write_text(script.replace('/10"', '/2"'), "utf-8")
    (anytime := tmp_path / ".venv" / "bin" / "anytime").parent.mkdir(parents=True)
    anytime.write_text(f'#!/bin/sh\n{sys.executable} -m anytime_lib.cli "$@"')
    anytime.chmod(0o755)
    assert main(["sweep", str(tmp_path / "p.yaml"), "--prepare"]) == 0
    for i in "01":
        there = os.environ | {"SLURM_ARRAY_TASK_ID": i, "PYTHONPATH": str(Path.cwd())}
        subprocess.run(["bash", "slurm.sh", "p.yaml"], check=True, cwd=tmp_path, env=there)
    assert main(["merge", str(tmp_path / "run")]) == 0
    told = capfd.readouterr().out
    assert "when all shards are swept: anytime merge p.yaml" in told and "2 stores merged" in told
    one = RunConfig(**settings | {"run": str(tmp_path / "one")})
    run_sweep(one, progress=False)
    assert_same(one, RunConfig(**settings))


def test_a_worker_s_server_is_there_while_it_works() -> None:
    """Which needs no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        where, url = free.getsockname(), f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with served(f"{sys.executable} -m http.server {where[1]} --bind 127.0.0.1", url):
        socket.create_connection(where).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)
    with refused(EndpointError, "'exit 3' ended before it answered at"), served("exit 3", url):
        pass
