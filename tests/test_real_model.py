"""The sweep on the embedded model: real sockets, real tokens, both ways of forcing an answer, nothing asked twice."""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from anytime_lib import RunConfig, Store, make_task, run_sweep
from anytime_lib.models.embedded import EmbeddedServer
from anytime_lib.models.tokens import cut
from anytime_lib.sweep.ledger import ledger_table
from anytime_lib.tools.transcripts import stored_trace

pytestmark = pytest.mark.model
ALWAYS = ["base", "direct", "budget_prompt", "self_consistency", "tree_of_thoughts", "pdp_per_problem"]
PREPARED = ["few_shot", "leap", "pdp", "pdp_grader"]
"""These need something of the pool, which this model may fail to give them."""
SUMS = make_task("sums", [{"text": f"{i} + 4 = ?", "gold": i + 4} for i in range(20)], lambda p, t: str(p.gold) in t)


def config(server: EmbeddedServer, folder: Path, **settings: Any) -> RunConfig:
    """Few tokens about short questions: what is proved is the machinery, at a real server."""
    plain = {"outputs": str(folder), "base_url": server.base_url, "model": server.alias, "tasks": [SUMS],
             "methods": ["base"], "n_problems": 1, "n_samples": 1, "budgets": [3, 8], "answer_tokens": 4}  # fmt: skip
    return RunConfig(**(plain | settings))


def counters(server: EmbeddedServer) -> dict[str, float]:
    """What the server itself has counted."""
    with urllib.request.urlopen(server.base_url.removesuffix("/v1") + "/metrics") as page:
        lines = [line.split() for line in page.read().decode().splitlines() if not line.startswith("#")]
    return {name.removeprefix("llamacpp:"): float(value) for name, value in lines if name.endswith("_total")}


def test_a_sweep(embedded: EmbeddedServer, tmp_path: Path) -> None:
    """Cuts fall on the model's own tokens, the ledger is the server's own count, and a second run leaves it alone."""
    settings = config(embedded, tmp_path, methods=[*ALWAYS, *PREPARED], pool_problems=2, pool_samples=2, pool_budget=4,
                      principle_tokens=4)  # fmt: skip
    before = counters(embedded)
    swept = run_sweep(settings, progress=False)
    after = counters(embedded)
    counted = {name: after[name] - before[name] for name in after}
    assert set(swept.method) >= set(ALWAYS)
    cells = swept[swept.method.isin(["base", "direct", "budget_prompt"])]
    with Store(settings.folder / "store.sqlite") as store:
        ledger = ledger_table(store).sum(numeric_only=True)
        for cell in cells[cells.tokens_used > 0].itertuples():
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
    assert ledger.completion_tokens == counted["tokens_predicted_total"] > 0
    assert ledger.prompt_tokens == counted["prompt_tokens_total"] + counted["prompt_tokens_cached_total"]
    before = counters(embedded)
    assert run_sweep(settings, progress=False).equals(swept)
    assert counters(embedded) == before


def test_what_the_server_keeps_of_a_trace_serves_all_its_answers(embedded: EmbeddedServer, tmp_path: Path) -> None:
    """Of a forced answer's prompt it reads only the turn that asks for it."""
    run_sweep(settings := config(embedded, tmp_path, budgets=[8, 40, 72]), progress=False)
    with Store(settings.folder / "store.sqlite") as store:
        answers = store.requests().query("kind == 'answer'")
    assert answers.prompt_tokens.max() > 72 and (answers.prompt_tokens - answers.cached_tokens).max() < 32


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
                      pool_problems=1)  # fmt: skip
    cells = run_sweep(settings, progress=False)
    assert len(cells) == 2 * 2 and "error" not in set(cells.status)
    assert cells[cells.task == "aime"].problem_id.str.startswith("aime_2024-").all()
