"""Planning from a pilot: stored cells first, else the simulated respondent, and it is said which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_server import FakeServer
from test_index import cells_of

from anytime_lib import RunConfig, make_task, run_sweep
from anytime_lib.errors import DataError
from anytime_lib.plots import plot_detectable, plot_power, plot_variance
from anytime_lib.studies.power import cost_of_a_sample, design_table, pilot_cells, power_table
from anytime_lib.studies.variance import variance_split
from anytime_lib.sweep.costs import Price

Config = Callable[..., RunConfig]


def test_stored_cells_are_the_pilot_and_nobody_is_asked(config: Config, server: FakeServer) -> None:
    run = config(n_problems=8, n_samples=3)
    cells = run_sweep(run, progress=False)
    before = len(server.requests)
    pilot, told = pilot_cells(run)
    assert len(server.requests) == before
    assert len(pilot) == len(cells) and set(pilot.model) == {"fake"}
    assert "96 stored cells of fake" in told
    two, told = pilot_cells(run.but(tasks=["gpqa", "aime"]))
    assert set(two.task) == {"gpqa"} and "aime left out" in told


@pytest.mark.parametrize("stored", [False, True])
def test_else_the_simulated_respondent_is_and_says_so(config: Config, server: FakeServer, stored: bool) -> None:
    run = config(tasks=["aime"])
    if stored:  # but nothing that varies
        server.script = lambda body, n: "I do not know."
        run_sweep(run, progress=False)
    before = len(server.requests)
    pilot, told = pilot_cells(run)
    assert len(server.requests) == before
    assert pilot.model.str.startswith("simulated").all() and set(pilot.method) == {"base", "pdp"}
    assert "not those of any model" in told
    assert ("stored nothing yet" in told) != stored
    assert sorted(pilot.budget.unique()) == run.task("aime").budgets
    assert (run.folder.parent / "run-simulated" / "store.sqlite").is_file()


def test_a_small_task_of_the_users_own_is_enough(config: Config) -> None:
    rows = [{"text": f"What is {i} + {i}?", "gold": 2 * i} for i in range(9)]
    own = make_task("doubles", rows, lambda problem, text: str(problem.gold) in text)
    pilot, told = pilot_cells(config(tasks=[own]))
    assert "simulated" in told and set(pilot.task) == {"doubles"} and 2 <= pilot.problem_id.nunique() < 9


def table_of(**settings: Any) -> Any:
    split = variance_split(cells_of((np.random.default_rng(0).random((30, 4, 3)) < 0.5).astype(float)))
    return design_table(split, n_problems=[10, 40], n_samples=[1, 4], tokens_per_sample=100, **settings)


def test_what_designs_cost_and_find() -> None:
    cells = cells_of(np.ones((2, 2, 3))).assign(answer_tokens=5)
    assert cost_of_a_sample(cells, ["base"]) == 4 + 3 * 5  # the trace to its largest budget, an answer at each
    assert cost_of_a_sample(cells, ["base", "pdp"]) == 2 * 19  # an arm that the pilot lacks costs what the other does
    keys = [f"{c.problem_id} {c.sample} {min(c.budget, 2)}" for c in cells.itertuples()]  # had ended by budget 2
    assert cost_of_a_sample(cells.assign(answer_key=keys), ["base"]) == 4 + 2 * 5
    with pytest.raises(DataError, match="no cells of nobody"):
        cost_of_a_sample(cells, ["nobody"])
    table = table_of(price=Price("m", "", 1, 20, 1, "", "")).set_index(["n_problems", "n_samples"])
    assert table.tokens[40, 4] == 16_000 and table.dollars[40, 4] == pytest.approx(0.32)
    assert table.detectable[40, 4] < table.detectable[40, 1] < table.detectable[10, 1]
    assert table_of().dollars.isna().all()


def test_figures_say_what_they_show() -> None:
    rng = np.random.default_rng(0)
    cells = cells_of((rng.random((30, 4, 3)) < rng.random((30, 1, 1))).astype(float))
    power_ = power_table(cells, effect=0.1, n_problems=[10, 40], n_samples=[1, 4], n_simulations=100)
    split = variance_split(cells)
    drawn = {
        "how often a difference of 0.1": plot_power(power_, title="a title"),
        "smallest true difference": plot_detectable(table_of(), title="a title"),
        "a title": plot_variance([("aime", split.to_frame()), ("t", split.to_frame())], title="a title"),
    }
    for words, figure in drawn.items():
        assert words in figure.get_suptitle() and "a title" in figure.get_suptitle() and figure.axes[0].get_xlabel()
        assert len(figure.legends[0].get_texts()) == 2
    priced = plot_detectable(table_of(price=Price("m", "", 1, 20, 1, "", "")), title="a title")
    assert priced.axes[0].get_xlabel().startswith("dollars")
