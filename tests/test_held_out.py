"""The settling test: held-out problems, a criterion that is written before, and a verdict by the interval alone."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config
from fake_server import FakeServer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_index import cells_of
from test_synthesis import SMALL, solver

from anytime_lib import Store, make_task, register_task, run_sweep
from anytime_lib.config.groups import HeldOutConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.studies.held_out import held_out_arms, judge, settle
from anytime_lib.sweep.run import note_criterion
from anytime_lib.tools.estimate import estimate_run

HELD = {"treatment": "pdp_grader", "task": "sums", "seed": 11, "n_problems": 6, "difficulty": [2], "margin": 5.0,
        "statistic": "quality"}  # fmt: skip
SEEN = {"first_seen": "2026-01-01", "after_results": 0, "after_run": 0}


def helped(body: dict[str, Any], number: int) -> Any:
    """Answers right if it was shown pairs, and in about half of the cases if not."""
    asked = " ".join(m["content"] for m in body["messages"])
    if "BETTER ATTEMPT" not in asked or body.get("logprobs"):
        return solver(body, number)
    return f"Sum: {int(re.findall(r'is ([0-9]+)', asked)[-1]) + 1}"


@pytest.fixture
def run(server: FakeServer, config: Config) -> Config:
    server.script = helped
    own = SMALL | {"methods": ["base", "pdp_grader"], "pool_problems": 3, "pool_samples": 3, "budgets": [2, 5],
                   "difficulty": [0, 1], "settle": HELD}  # fmt: skip
    return lambda **settings: config(**(own | settings))


def test_supported_on_problems_the_run_has_not_seen(server: FakeServer, run: Config) -> None:
    config = run(settle=HELD | {"n_problems": 10})
    cells = run_sweep(config, progress=False)
    found = settle(config, progress=False)
    arms = held_out_arms(config)
    held = {p.text for p in arms[0].problems.test}
    assert len(held) == 10 and not held & {p.text for p in [*arms[0].problems.pool, *arms[0].problems.shots]}
    assert 5 < found.low < found.difference < found.high
    said = "supported: that pdp_grader beats base on held-out sums by more than 5 points in mean quality over the bud"
    assert found.summary.startswith(said) and "problems: 10, samples of each: 2" in found.summary
    assert "before any result" in found.summary
    before = len(server.requests)
    assert settle(config, progress=False) == found
    assert run_sweep(config, progress=False).equals(cells)  # the held-out cells are no part of the run
    assert len(server.requests) == before
    shown = [r["messages"][-1]["content"] for r in server.requests if "ATTEMPT" in r["messages"][-1]["content"]]
    pairs = [text.split("Now the new problem.")[0] for text in shown]
    assert pairs and not any(text in p for p in pairs for text in held)


def test_a_criterion_that_is_changed_after_results_says_so(run: Config) -> None:
    noted = run(run="noted")
    run_sweep(noted, progress=False)
    with Store(noted.folder / "store.sqlite") as store:
        note = note_criterion(noted, store, "fake")
    assert note is not None and note["after_run"] == 0  # made when the run begins
    later = settle(run(run="noted", settle=HELD | {"margin": 2.0}), progress=False)
    assert "of the run itself, before any held-out one" in later.summary
    first, later = settle(run(), progress=False), settle(run(settle=HELD | {"margin": 1.0}), progress=False)
    assert "before any result" in first.summary and "AFTER 48 held-out answers were there" in later.summary
    assert settle(run(), progress=False) == first  # the first one keeps its time
    same = settle(run(concurrency=2, n_resamples=10_000, methods=["base", "pdp", "direct"]), progress=False)
    assert "before any result" in same.summary
    with Store(run().folder / "store.sqlite") as store:
        for design in ({"n_samples": 3}, {"per_problem_tokens": 4}, {"answer_via": "prefill"}, {"vote_tokens": 3}):
            assert note_criterion(run(**design), store, "fake")["after_results"] > 0  # type: ignore[index]


def test_prepared_on_one_task_and_judged_on_another(server: FakeServer, run: Config) -> None:
    """Pairs come from the run's task; the held-out task is one that the run does not touch."""

    def row(rng: np.random.Generator) -> dict[str, Any]:
        return {"text": f"What is {rng.integers(2, 99)} * 3?", "gold": 1, "difficulty": int(rng.integers(3))}

    register_task(make_task("products", row, lambda problem, text: "Sum" in text))
    held = HELD | {"task": "products", "prepared_on": "sums"}
    found = settle(run(settle=held), progress=False)
    assert "every problem differs alike" in found.summary and found.outcome == "undecided"
    shown = [t for r in server.requests if "BETTER" in (t := r["messages"][-1]["content"]) and "* 3" in t]
    assert shown and not any("* 3" in text.split("Now the new problem.")[0] for text in shown)
    assert "as long as stored traces of products" in estimate_run(run(settle=held, n_samples=9)).summary


@pytest.mark.parametrize(
    ("criterion", "says"),
    [(None, "no criterion to settle by"), (HELD | {"task": "aime"}, "'aime' is not among the tasks"),
     (HELD | {"prepared_on": "aime"}, "'aime' is not among the tasks"), (HELD | {"margn": 1.0}, "held_out"),
     (HELD | {"task": "sum"}, "unknown task 'sum'; did you mean 'sums'"),
     (HELD | {"seed": 0, "difficulty": [0, 1]}, "held-out problems are also in the run")],
)  # fmt: skip
def test_criteria_that_cannot_be(server: FakeServer, run: Config, criterion: dict[str, Any] | None, says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says):
        settle(run(settle=criterion), progress=False)
    assert not server.requests


def test_without_pairs_it_is_undecided_and_says_why(server: FakeServer, run: Config) -> None:
    server.script = lambda body, n: "Sum: 1"
    found = settle(run(settle=HELD | {"treatment": "pdp"}), progress=False)
    assert found.outcome == "undecided" and "no cells of method 'pdp'" in found.summary


@hypothesis_settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(["index", "raw", "quality"]), st.floats(0, 60), st.integers(2, 12))
def test_the_verdict_is_where_the_interval_lies(seed: int, statistic: str, margin: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    chances = {"base": 0.3, "pdp": 0.3 + 0.6 * rng.random()}
    arms = [cells_of((rng.random((n, 2, 2)) < chance).astype(float), m) for m, chance in chances.items()]
    wanted = HeldOutConfig(task="aime", seed=0, n_problems=n, margin=margin, statistic=statistic)
    found = judge(pd.concat(arms).assign(task="aime"), wanted, SEEN, n_resamples=200)
    expected = "supported" if found.low > margin else "refuted" if found.high < margin else "undecided"
    assert found.outcome == expected and found.low <= found.difference <= found.high
