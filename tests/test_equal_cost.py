"""Accounts: every token of every method, against what the server itself counted; gains at equal cost."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config
from fake_server import FakeServer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_held_out import HELD, helped
from test_index import cells_of
from test_methods import ALL
from test_synthesis import SMALL

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.errors import DataError
from anytime_lib.methods.leap import Leap
from anytime_lib.stats import estimate
from anytime_lib.studies.equal_cost import AXES, accounts, gains, published
from anytime_lib.studies.held_out import settle
from anytime_lib.sweep.ledger import billed, ledger_table
from anytime_lib.tools.estimate import estimate_run

TINY = SMALL | {"n_problems": 2, "n_samples": 1, "budgets": [8, 40], "pool_budget": 40, "pool_problems": 3,
                "pool_samples": 3, "difficulty": [0, 1]}  # fmt: skip


class Billing:
    """Counts what it bills: prompts by their words, completions by their tokens, also of replies that are no use."""

    def __init__(self, server: FakeServer) -> None:
        self.server, self.lock, self.counted = server, threading.Lock(), Counter[str]()

    def __call__(self, body: dict[str, Any], number: int) -> Any:
        said = helped(body, number)
        reply = said[1] if isinstance(said, tuple) else self.server.completion(body, said)
        completion = reply["usage"]["completion_tokens"]
        prompt = sum(len(m["content"].split()) for m in body["messages"])
        reply["usage"] |= {"prompt_tokens": prompt, "total_tokens": prompt + completion}
        if number % 46 == 45:
            return 500, {"error": {"message": "a moment"}}  # costs nothing
        wasted = number % 46 == 22
        with self.lock:
            self.counted.update(prompt=prompt, completion=completion, wasted=int(wasted))
        return 200, reply | ({"choices": []} if wasted else {})


Ran = tuple[RunConfig, Counter[str], pd.DataFrame]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """All methods, synthesis and a held-out test, on a server of whose replies some fail and some are of no use."""
    with closing(FakeServer()) as server:
        server.script = billing = Billing(server)
        config = RunConfig(
            outputs=str(tmp_path_factory.mktemp("all")), model="fake", base_url=server.base_url, concurrency=8,
            methods=ALL, held_out=HELD | {"n_problems": 2}, **TINY,
        )  # fmt: skip
        cells = run_sweep(config, progress=False)
        assert not np.isnan(settle(config, progress=False).difference)
        yield config, billing.counted, cells


def test_the_ledger_is_the_servers_own_count_to_the_token(ran: Ran) -> None:
    config, counted, cells = ran
    assert set(cells.method) == set(ALL) and not cells.score.isna().any()
    with Store(config.folder / "store.sqlite") as store:
        table = ledger_table(store)
    assert counted["wasted"] > 2 and table[table.kind == "retry"].requests.sum() == counted["wasted"]
    assert table.prompt_tokens.sum() == counted["prompt"]
    assert table.completion_tokens.sum() == counted["completion"]
    before = dict(counted)
    assert run_sweep(config, progress=False).equals(cells)
    settle(config, progress=False)
    assert counted == before
    assert estimate_run(config).table.calls.sum() == 0  # it knows of the held-out test, too


def test_accounts_of_every_method(ran: Ran) -> None:
    config, _, cells = ran
    with Store(config.folder / "store.sqlite") as store:
        table, paid = accounts(cells, store), billed(store)
        usage = store.requests().set_index("key").prompt_tokens
    assert set(table.method) == set(ALL) and not table.isna().any().any()
    once = table.groupby("method").preparation.max()
    pool = paid[paid.method == "synthesis"]
    judging = pool.tokens[pool.kind == "judge"].sum()
    synthesis = pool.tokens.sum() - judging
    assert once["base"] == once["self_consistency"] == 0
    assert once["pdp_grader"] == once["pdp_verifier"] == synthesis > 0
    assert once["pdp"] == once["pdp_shuffled"] == synthesis + judging > synthesis
    assert once["leap"] > synthesis
    assert (table.used <= table.budget).all()
    for n in (1, 100):
        assert np.allclose(n * (table[f"total_{n}"] - table.per_problem), table.preparation)
    last = cells[(cells.method == "base") & (cells.budget == 40)]  # by hand
    own = usage[last.trace_key].to_numpy() + usage[last.answer_key].to_numpy()
    row = table[(table.method == "base") & (table.budget == 40)].iloc[0]
    assert row.per_problem == pytest.approx(np.mean(own + last.tokens_used + last.answer_tokens))
    found = gains(cells, table, n_resamples=100)
    assert set(found.axis) == set(AXES) and set(found.method) == set(ALL) - {"base"}
    assert (found.low.dropna() <= found.points[found.low.notna()] + 1e-9).all()


SEARCHING = ["direct", "self_consistency", "tree_of_thoughts", "pdp_per_problem"]


@pytest.fixture
def small(server: FakeServer, config: Config) -> Config:
    """Two problems of sums, one sample; every prompt is billed 10 tokens."""
    server.script, server.models = helped, ("fake", "other")
    own = TINY | {"methods": SEARCHING, "vote_tokens": 12, "per_problem_tokens": 8, "tree_step": 9}
    return lambda **changed: config(**(own | changed))


def swept(config: RunConfig) -> pd.DataFrame:
    cells = run_sweep(config, progress=False)
    with Store(config.folder / "store.sqlite") as store:
        return accounts(cells, store).set_index(["method", "budget"])


def test_prompts_of_a_search(small: Config) -> None:
    """By hand; and alone, a search pays for all that it asked but the read-outs of earlier budgets."""
    prompt = swept(small(run="hand")).prompt
    assert prompt.direct.tolist() == [10, 10]  # no token is used, and the answer's prompt is paid for
    assert prompt.self_consistency.tolist() == [20, 80]  # a trace and a vote; four of 12, 12, 12 and 4
    assert prompt["tree_of_thoughts", 8] == 20  # within the first thought
    assert prompt["pdp_per_problem", 8] == 20  # the first attempt is over; its answer is not begun
    for method in SEARCHING:
        config = small(run=f"alone {method}", methods=[method])
        assert swept(config).prompt[method, 40] == prompt[method, 40]
        with Store(config.folder / "store.sqlite") as store:
            ledger, cells = billed(store).query("kind != 'probe'").set_index("key"), store.cells()
        early, late = (set(cells[cells.budget == b].answer_key) for b in (8, 40))
        read_outs = ledger.prompt_tokens[[*(early - late)]].sum()
        assert 2 * prompt[method, 40] + read_outs == ledger.prompt_tokens.sum()


def test_prompts_of_a_search_are_its_own(small: Config) -> None:
    """Other budgets, held-out problems, more samples, other models, and who paid first change nothing."""
    plain = swept(small(run="plain"))
    more = swept(small(run="more", budgets=[5, 8, 40]))
    assert more.prompt[plain.index].equals(plain.prompt)
    larger = small(run="plain", n_samples=2, n_problems=3, held_out=HELD | {"treatment": "self_consistency"})
    run_sweep(larger, progress=False)
    settle(larger, progress=False)
    assert swept(small(run="plain")).equals(plain)
    other = swept(small(run="plain", model="other", methods=SEARCHING[::-1]))
    assert other.prompt[plain.index].equals(plain.prompt)
    with Store(small(run="plain").folder / "store.sqlite") as store:
        unknown = store.cells(run="plain", model="fake").assign(prompt_tokens=None)
        with pytest.raises(DataError, match=r"direct on sums cost was not noted.*run the sweep again"):
            accounts(unknown, store)


def test_a_preparation_costs_what_it_costs_alone(small: Config) -> None:
    """Whatever else is in its folder: other settings, another model, and methods that share its requests."""
    own = type("Lessons", (Leap,), {"name": "lessons"})()
    methods, once = {"pdp": "pdp", "pdp_grader": "pdp_grader", "leap": "leap", "lessons": own}, {}
    for name, method in methods.items():
        alone = small(run=f"alone {name}", methods=[method])
        once[name] = swept(alone).preparation.max()
        with Store(alone.folder / "store.sqlite") as store:
            ledger, cells = billed(store).query("kind != 'probe'"), store.cells()
        assert once[name] == ledger[~ledger.key.isin([*cells.trace_key, *cells.answer_key])].tokens.sum() > 0
    for changed in ({"pool_budget": 10, "model": "other"}, {}):
        table = swept(small(run="mixed", methods=["base", *methods.values()], **changed))
    assert table.preparation.xs(40, level="budget").to_dict() == once | {"base": 0}


def gained(curves: dict[str, list[float]], extra: float) -> pd.DataFrame:
    """Gains at the budgets 1, 2, 4, where the method costs `extra` tokens more, by account and budget."""
    cells = pd.concat([cells_of(np.tile(curve, (3, 1, 1)), method) for method, curve in curves.items()])
    costs = cells[["task", "method", "budget"]].drop_duplicates()
    for total in [*AXES][1:]:
        costs[total] = costs.budget + extra * (costs.method != "base")
    return gains(cells, costs, n_resamples=50).set_index(["axis", "budget"])


def test_gains_by_hand() -> None:
    """The method is one budget ahead, and what its prompt costs is taken off."""
    found = gained({"base": [0.0, 0.2, 0.6], "pdp": [0.2, 0.6, 0.6]}, 1)
    even, whole = found.loc["budget"], found.loc["total_1"]
    assert even.points.tolist() == pytest.approx([20, 40, 0]) and even.low.tolist() == even.points.tolist()
    assert whole.points.tolist() == pytest.approx([0, 20, np.nan], nan_ok=True)  # at 2, 3 and 5, past the baseline's 4


@settings(max_examples=40)
@given(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9]), min_size=3, max_size=3), st.integers(0, 50))
def test_a_method_gains_nothing_on_itself(curve: list[float], extra: int) -> None:
    found = gained({"base": curve, "pdp": curve}, extra).loc["total_1"]
    if not extra:
        assert not found[["points", "low", "high"]].to_numpy().any()
    else:
        assert np.isnan(found.points.iloc[-1])  # past all that is known of the baseline


def test_published_figures_are_there_with_their_tasks() -> None:
    final = published().query("measure == 'final'").set_index(["model", "method"])
    trips = final.natural_plan_trip.round(3)
    assert trips["grok-3", "base"] == 0.747 and trips["grok-3-mini", "pdp"] == 0.907
    assert published().query("measure == 'index'").overall.round(3).tolist() == [0.854, 0.887]
    assert (final[["natural_plan_trip", "aime", "gpqa"]].mean(axis=1) - final.overall).abs().max() < 0.001


def test_beside_the_paper_stands_the_mean_of_tasks_of_methods_that_ran_on_all() -> None:
    both = {"base": [0.0, 0.5, 1.0], "pdp": [0.5, 0.5, 1.0]}
    trips, sums = ([cells_of(np.tile(curve, (3, 1, 1)), m).assign(task=t) for m, curve in both.items()] for t in "ab")
    sums[0].score = 0.0
    table = published(estimate(pd.concat([*trips, sums[0]]), n_resamples=50))
    ours = table[: -len(published())].query("measure == 'final'").set_index("method")
    assert ours.overall["base"] == 0.5 and np.isnan(ours.overall["pdp"]) and ours.a["pdp"] == 1
    assert "overall" in table and table.iloc[-1].model == "all seven"
