"""Request keys are frozen: a store that an older version wrote is never paid for again.

The literal keys were computed by the code of commit dbd8435; the store of tests/data was written by it, in a run of
twelve methods on three tasks against a fake endpoint on a port where nothing listens now. Of these, the pairs that were
`pdp` then are `pdp_answers` now, and four methods ask otherwise.
"""

import asyncio
import json
import lzma
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from anytime_lib import RunConfig, Store, make_task, run_sweep
from anytime_lib.methods.base import Sample
from anytime_lib.methods.judge import Attempt, judged
from anytime_lib.studies.equal_cost import accounts
from anytime_lib.sweep.client import CachedClient, Request, recorded_key, tokens_request
from anytime_lib.types import Problem, Trace, digest

DATA = Path(__file__).parent / "data"


class Replies:
    """A backend without a server."""

    model = SimpleNamespace(name="a model", endpoint_id="http://127.0.0.1:1/v1")

    def get(self, key: str) -> None: ...

    async def hides_reasoning(self) -> bool:
        return False

    async def complete(self, request: Request) -> dict[str, Any]:
        return {"text": "x", "reasoning": "", "reasoning_tokens": 0, "completion_tokens": 1, "ends": [1], "first": {},
                "finish_reason": "stop"}  # fmt: skip


PROBLEM, TASK = Problem("p", "sums", "What is 1 + 1? Grüße", 2), make_task("sums", [], lambda problem, text: True)
ASKED = [{"role": "user", "content": "What is 1 + 1? Grüße"}]
TRACE = Trace("k", ASKED, "so 1 and 1", [2, 4, 8, 10], "stream", True)
NOTHING = Trace("", ASKED, "", [], "usage", False)
A, B = (Attempt(reasoning, answer, "t", "a") for reasoning, answer in (("one", "1"), ("two", "2")))
STILL = ["base", "direct", "budget_prompt", "few_shot", "self_consistency", "tree_of_thoughts", "leap", "pdp_answers"]
EFFORT = {"model": "m", "mode": "effort", "efforts": ["low", "high"]}
COLD, PREFILL = {"temperature": 0.2, "top_p": 1.0}, {"answer_via": "prefill"}


def answer(trace: Trace, budget: int) -> Callable[[CachedClient], Awaitable[Any]]:
    return lambda client: client.answer(Sample(TASK, "base", PROBLEM, 1), trace, budget, 16)


def trace(client: CachedClient) -> Awaitable[Any]:
    return client.trace(Sample(TASK, "base", PROBLEM, 1), ASKED, 64)


@pytest.mark.parametrize(
    ("settings", "work", "key"),
    [
        ({}, trace, "fe5f3c80ca6f2c91f8f6cf457f4204c0622c14615e98de0a1e9becdebbff3ee9"),
        (COLD, trace, "9cda3e5d6a0420405b32f6b6cd7b1537cd6a08516de0147e1bd662feb49b45a6"),
        (
            EFFORT,
            lambda client: client.fresh(Sample(TASK, "base", PROBLEM, 1), ASKED, 64, "low"),
            "28576309af65ea373c4d28da9ec519d922dbeddcf2c72ff36b662bea9fdc5d98",
        ),
        ({}, answer(TRACE, 2), "08681a1d8266563944b3d5d12dd13a1120a1ed1baa2f30563592383c7fc8c43e"),
        ({}, answer(TRACE, 99), "a178c14168e8ef60a0ce28211357e4493a99ba9adf3232b0972b1b61f7f4a6ff"),
        ({}, answer(NOTHING, 8), "cd3df5169113fc462b9c45361f0e7dfd3d77a56224946952c981aad25fa6ea58"),
        (PREFILL, answer(TRACE, 2), "c7513d05576ba79b2ef33f93a59717c9f2af750438b10c1c0a29ab3c7f47a865"),
        (PREFILL, answer(NOTHING, 8), "d9999674c434764838619eae1a23ae306848bf5f4508c75fe9895fdd31bf9249"),
        (
            {},
            lambda client: judged(client, TASK, PROBLEM, A, B, 4),
            "c873300cf6644a485fbdd9bcd7173376e89991da78f7317f098d81297ae94b29",
        ),
        (
            {},
            lambda client: client.say(Sample(TASK, "mine", PROBLEM, 2), "doubt", ASKED, 8),
            "48debfe387b7ffd84379309826602a06efdb498b4857cf4d7e5428c69c538f81",
        ),
        (
            {},
            lambda client: client.say(Sample(TASK, "tree_of_thoughts", PROBLEM, 2), "value", ASKED, 4, 20, 0.5),
            "1de4b96b38d5f9afba5c1113e4348b59fdbb76b00720cf31fd327d0c7ea7c846",
        ),
    ],
)
def test_keys_as_they_always_were(settings: dict[str, Any], work: Any, key: str) -> None:
    backend: Any = Replies()
    config = RunConfig(tasks=["gpqa"], seed=3, **settings)
    client = CachedClient(backend, config.sampling, config.seed)
    client.keys = set()
    asyncio.run(work(client))
    assert key in client.keys


def test_keys_of_what_is_not_asked_of_the_model() -> None:
    tokens = digest(tokens_request("k"))
    assert tokens == "cc39882703b7dc065b8eed7a95ec9f7574738420d2f6a0c6d2c7936a82634046"
    assert recorded_key(PROBLEM, 1) == "2340ebcdaa7fe24859291ed24b8952e8334b5d143fe6371abf3fdeaa1f2b1813"


@pytest.fixture
def old(tmp_path: Path, old_wordings: None) -> RunConfig:
    """A run whose store an older version wrote, in its words."""
    folder = tmp_path / "fixture"
    folder.mkdir()
    (folder / "store.sqlite").write_bytes(lzma.decompress((DATA / "fixture_store.sqlite.xz").read_bytes()))
    return RunConfig.from_yaml(DATA / "params_old" / "fixture.yaml", outputs=str(tmp_path), methods=STILL)


def still(table: pd.DataFrame) -> pd.DataFrame:
    """What an old table tells of methods that ask as they did."""
    table = table.assign(method=table.method.replace("pdp", "pdp_answers"))
    return table[table.method.isin(STILL)].reset_index(drop=True)


@pytest.mark.parametrize("cells_are_lost", [False, True])
def test_an_old_store_calls_nothing_and_gives_the_same_cells(old: RunConfig, cells_are_lost: bool) -> None:
    path = old.folder / "store.sqlite"
    with sqlite3.connect(path) as db:
        before = db.execute("SELECT * FROM attempts ORDER BY key").fetchall()
        if cells_are_lost:  # then every key is looked up to make them anew
            db.execute("DELETE FROM cells")
    cells = run_sweep(old, progress=False)  # nothing listens on its port
    golden = still(pd.read_parquet(DATA / "fixture_cells.parquet").drop(columns="detail"))
    pd.testing.assert_frame_equal(cells[golden.columns], golden.astype(cells[golden.columns].dtypes.to_dict()))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT * FROM attempts ORDER BY key").fetchall() == before
    with Store(path) as store:  # what it all cost is noted by now
        found = accounts(cells, store)
    expected = still(pd.DataFrame(json.loads((DATA / "fixture_accounts.json").read_text("utf-8"))))
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
