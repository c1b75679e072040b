"""The sweep on the embedded model: real sockets, real tokens, both ways of forcing an answer, nothing asked twice."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.models.embedded import EmbeddedServer
from anytime_lib.models.tokens import cut
from anytime_lib.sweep.costs import ledger_table
from anytime_lib.sweep.traces import stored_trace

pytestmark = pytest.mark.model
METHODS = ["base", "direct", "budget_prompt", "self_consistency", "tree_of_thoughts", "pdp_per_problem", "few_shot",
           "leap", "pdp", "pdp_grader"]  # fmt: skip
"""The last three need something of the pool, which this model may fail to give them."""


def config(server: EmbeddedServer, tmp_path: Path, **settings: Any) -> RunConfig:
    plain = {"outputs": str(tmp_path), "base_url": server.base_url, "model": server.alias, "tasks": ["gpqa"],
             "methods": ["base"], "n_problems": 1, "n_samples": 2, "budgets": [3, 6, 12],
             "answer_tokens": 8}  # fmt: skip
    return RunConfig(**(plain | settings))


def counters(server: EmbeddedServer) -> dict[str, float]:
    """What the server itself has counted."""
    with urllib.request.urlopen(server.base_url.removesuffix("/v1") + "/metrics") as page:
        lines = [line.split() for line in page.read().decode().splitlines() if not line.startswith("#")]
    return {name.removeprefix("llamacpp:"): float(value) for name, value in lines if name.endswith("_total")}


def test_cuts_fall_on_the_models_own_tokens(embedded: EmbeddedServer, tmp_path: Path) -> None:
    cells = run_sweep(config(embedded, tmp_path), progress=False)
    with Store(tmp_path / "run" / "store.sqlite") as store:
        for cell in cells.itertuples():
            trace, row = stored_trace(store, cell.trace_key), store.get(cell.trace_key)
            assert row is not None and trace.token_mode == "stream"
            assert trace.n_tokens <= row["completion_tokens"] <= trace.n_tokens + 1  # the end token has no text
            so_far = cut(trace.text, trace.ends, cell.tokens_used)
            assert trace.text.startswith(so_far) and so_far
            request = json.dumps({"content": so_far}).encode()
            address = embedded.base_url.removesuffix("/v1") + "/tokenize"
            with urllib.request.urlopen(address, request) as reply:
                assert abs(len(json.load(reply)["tokens"]) - cell.tokens_used) <= 1
    assert set(cells.status) <= {"ok", "unparsed", "answer_truncated", "refused"}


def test_the_ledger_is_the_servers_own_count_and_a_second_run_leaves_it_alone(
    embedded: EmbeddedServer, tmp_path: Path
) -> None:
    settings = config(embedded, tmp_path, methods=METHODS, budgets=[3, 16], n_samples=1, pool_problems=2,
                      pool_samples=2, pool_budget=8, principle_tokens=8)  # fmt: skip
    before = counters(embedded)
    cells = run_sweep(settings, progress=False)
    after = counters(embedded)
    assert set(cells.method) >= set(METHODS[:6])
    with Store(tmp_path / "run" / "store.sqlite") as store:
        ledger = ledger_table(store).sum(numeric_only=True)
    assert ledger.completion_tokens == after["tokens_predicted_total"] - before["tokens_predicted_total"]
    read = sum(after[n] - before[n] for n in ("prompt_tokens_total", "prompt_tokens_cached_total"))
    assert ledger.prompt_tokens == read
    assert run_sweep(settings, progress=False).equals(cells)
    assert counters(embedded) == after


def test_prefill(embedded: EmbeddedServer, tmp_path: Path) -> None:
    cells = run_sweep(config(embedded, tmp_path, answer_via="prefill"), progress=False)
    with Store(tmp_path / "run" / "store.sqlite") as store:
        answers = [store.get(k) for k in cells.answer_key]
    assert all(a is not None and "My final answer" not in a["text"] for a in answers), "the server's echo was kept"


@pytest.mark.skipif("ANYTIME_BENCH_DATA" not in os.environ, reason="ANYTIME_BENCH_DATA names no folder of real data")
def test_real_problems(embedded: EmbeddedServer, tmp_path: Path) -> None:
    data = Path(os.environ["ANYTIME_BENCH_DATA"])
    sources = {"natural_plan_trip": str(data / "trip_planning_subset.json"), "aime": str(data / "aime_2024.jsonl")}
    settings = config(embedded, tmp_path, tasks=list(sources), source=sources, difficulty={"natural_plan_trip": [3]},
                      n_problems=2, n_samples=1, answer_tokens=24, pool_problems=1)  # fmt: skip
    cells = run_sweep(settings, progress=False)
    assert len(cells) == 2 * 2 * 3 and "error" not in set(cells.status)
    assert cells[cells.task == "aime"].problem_id.str.startswith("aime_2024-").all()
