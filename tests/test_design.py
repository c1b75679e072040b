"""Where the variance lies, what a study would find and cost, from which cells."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeServer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_index import cells_of

from anytime_lib import RunConfig, make_task, run_sweep
from anytime_lib.errors import DataError
from anytime_lib.stats import min_detectable_effect
from anytime_lib.studies import planning
from anytime_lib.studies.pilot import pilot_of
from anytime_lib.studies.planning import power_table, variance_split
from anytime_lib.sweep.costs import Price


def nested(n: int, k: int, seed: int, between: float = 0.02) -> np.ndarray:
    """(P, S) normal values with a variance between problems, and .01 between samples."""
    rng = np.random.default_rng(seed)
    return 0.5 + np.sqrt(between) * rng.standard_normal((n, 1)) + 0.1 * rng.standard_normal((n, k))


def flat(values: np.ndarray, method: str = "base") -> pd.DataFrame:
    """Cells of a flat curve through each of (P, S) values."""
    return cells_of(np.clip(np.repeat(values[..., None], 2, axis=2), 0, 1), method)


def coins() -> pd.DataFrame:
    """Cells that are right or wrong by chance."""
    return cells_of((np.random.default_rng(0).random((30, 4, 3)) < 0.5).astype(float))


def power(cells: pd.DataFrame, n_problems: int, n_samples: int, **settings: Any) -> Any:
    """The row of one design."""
    return power_table(cells, n_problems=[n_problems], n_samples=[n_samples], **settings).iloc[0]


def test_it_agrees_with_the_analysis_of_variance() -> None:
    """Balanced and complete: the components solve the mean squares of the nested layout by hand."""
    y = np.clip(nested(12, 3, seed=3), 0, 1)
    found = variance_split(flat(y), "base")
    p, s = y.shape
    ms_problem = s * ((y.mean(axis=1) - y.mean()) ** 2).sum() / (p - 1)
    ms_sample = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (p * (s - 1))
    assert found.samples == pytest.approx(ms_sample)
    assert found.between == pytest.approx((ms_problem - ms_sample) / s)
    assert "between problems" in found.summary()


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10_000))
def test_components_are_never_negative_and_notes_say_so(n: int, k: int, seed: int) -> None:
    found = variance_split(cells_of(np.random.default_rng(seed).random((n, k, 3)).round()), "base")
    assert k == 1 or (found.between >= 0 and found.samples >= 0)
    assert (k == 1) == np.isnan(found.samples) == any("one sample" in note for note in found.notes)
    assert found.summary()
    unknown = not found.samples > 0
    assert np.isnan(found.detectable(30, 4)) == unknown and np.isnan(found.detectable(30, 4, at_most=True)) == unknown


def test_a_difference_takes_out_what_both_arms_share() -> None:
    rng = np.random.default_rng(5)
    easy = nested(60, 4, seed=6, between=0.03) * 0.4 + 0.2  # shrunken, so that nothing is clipped
    shift = 0.05 + 0.02 * rng.standard_normal((60, 1))
    other = easy.mean(axis=1, keepdims=True) + shift + 0.04 * rng.standard_normal((60, 4))
    cells = pd.concat([flat(easy), flat(other, "better")], ignore_index=True)
    one, both = variance_split(cells, "base"), variance_split(cells, "base", "better")
    assert both.between < one.between / 3 and both.what == "better - base"
    with pytest.raises(DataError, match="nobody"):
        variance_split(cells, "base", "nobody")
    with pytest.raises(DataError, match="fewer than two problems"):
        variance_split(cells_of(np.ones((1, 2, 2))), "base")


@pytest.mark.parametrize(("n", "k"), [(20, 2), (60, 4), (150, 1)])
def test_power_by_simulation_is_that_of_the_formula(n: int, k: int) -> None:
    """The effect that the formula finds with power .8, put into studies drawn from a pilot of known variances."""
    rng = np.random.default_rng(n)
    base = 0.5 + 0.1 * rng.standard_normal((80, 1)) + 0.08 * rng.standard_normal((80, 8))
    cells = flat(base)
    effect = variance_split(cells, "base").detectable(n, k)
    found = power(cells, effect=effect, n_problems=n, n_samples=k, n_simulations=4_000)
    assert found.power == pytest.approx(0.8, abs=0.03)
    null = power(cells, effect=0.0, n_problems=n, n_samples=k, n_simulations=4_000)
    assert null.power == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4_000))


def test_power_from_two_arms_keeps_how_unevenly_the_method_helps() -> None:
    rng = np.random.default_rng(1)
    base = 0.4 + 0.05 * rng.standard_normal((60, 6))
    even = base + 0.1 + 0.05 * rng.standard_normal((60, 6))
    uneven = even + 0.1 * rng.standard_normal((60, 1))
    pilots = [pd.concat([flat(base), flat(arm, "better")]) for arm in (even, uneven)]
    found = [power(pilot, treatment="better", effect=0.03, n_problems=30, n_samples=4) for pilot in pilots]
    assert found[0].power > found[1].power + 0.2


def test_a_pilot_that_cannot_tell_is_refused() -> None:
    cells, steady = cells_of(np.ones((5, 1, 3))), cells_of(np.ones((5, 2, 3)))
    for treatment, says in ((None, "two samples"), ("nobody", "'nobody'")):
        with pytest.raises(DataError, match=says):
            power(cells, effect=0.1, n_problems=10, n_samples=2, treatment=treatment)
    for effect in (0.001, 0.1):  # studies without spread are not found: a t test has nothing to go by
        assert power(steady, effect=effect, n_problems=5, n_samples=2).power == 0


def test_components_have_intervals_that_hold_them() -> None:
    """Pilots of 6 x 2 normal values: between problems .02 or nothing, between samples .01."""
    held, none = [], []
    for seed in range(150):
        (low, high), (least, most) = variance_split(flat(nested(6, 2, seed) * 0.4 + 0.3), "base").ends
        held.append((low <= 0.02 * 0.16 <= high, least <= 0.01 * 0.16 <= most))
        alike = variance_split(flat(nested(6, 2, seed, between=0.0) * 0.4 + 0.3), "base")
        none.append(alike.ends[0][0] == 0 and "between problems at most" in alike.summary())
    assert np.all(np.mean(held, axis=0) >= 0.91) and np.mean(none) >= 0.93


def test_what_is_planned_for_is_what_is_judged() -> None:
    """Where quality rises, crossfit and raw are read alike; where it falls again, at the best budget."""
    rng, problems = np.random.default_rng(0), np.random.default_rng(1).random((40, 1, 1))
    rises, falls = np.array([0.2, 0.5, 0.9]), np.array([0.2, 0.9, 0.5])
    for curve, alike in ((rises, True), (falls, False)):
        cells = cells_of((rng.random((40, 4, 3)) < problems * curve).astype(float))
        crossfit, raw = (planning.trace_scores(cells, "base", e) for e in ("crossfit", "raw"))  # type: ignore[arg-type]
        assert crossfit.equals(raw) == alike and (crossfit.mean(axis=None) > raw.mean(axis=None)) != alike
        split = variance_split(cells, "base")
        assert split.estimand.startswith("the Anytime Index (crossfit") and "crossfit" in split.summary()
        assert variance_split(cells, "base", estimand="raw").samples == pytest.approx(raw.var(axis=1).mean())


def test_near_an_end_the_smallest_difference_is_that_of_the_true_pair() -> None:
    """A pilot at .05: the better arm's answers vary more, so that less is found than two arms like it would show."""
    cells = cells_of((np.random.default_rng(0).random((400, 4, 3)) < 0.05).astype(float))
    split = variance_split(cells, "base")
    alike = min_detectable_effect(30, 4, sd_between=0.0, sd_within=split.samples**0.5)
    least = split.detectable(30, 4)
    assert 1.1 * alike < least < 2.5 * alike and planning.spread_at(0.5, 0.1) == 1
    found = power(cells, effect=least, n_problems=30, n_samples=4, n_simulations=2_000)
    assert found.power == pytest.approx(0.8, abs=0.05)
    assert variance_split(coins(), "base").detectable(30, 4) < split.detectable(30, 4, at_most=True) * 10


def test_the_effect_shrinks_with_problems_and_samples_and_needs_two() -> None:
    assert min_detectable_effect(30, 10) == pytest.approx(0.10, abs=0.01)  # as simulated
    grid = np.array([[min_detectable_effect(n, s) for s in (1, 4, 16)] for n in (2, 5, 30, 500)])
    assert (np.diff(grid, axis=0) < 0).all() and (np.diff(grid, axis=1) < 0).all()
    assert np.isnan(min_detectable_effect(1, 10))


def test_stored_cells_are_the_pilot_and_nobody_is_asked(config: Callable[..., RunConfig], server: FakeServer) -> None:
    run = config(n_problems=8, n_samples=3)
    cells = run_sweep(run, progress=False)
    asked = len(server.requests)
    found = pilot_of(run.but(tasks=["gpqa", "aime"]))
    pilot, told = found.cells, found.says
    assert len(server.requests) == asked and len(pilot) == len(cells) and set(pilot.model) == {"fake"}
    assert "96 stored cells of fake" in told and set(pilot.task) == {"gpqa"} and "aime left out" in told


def test_else_the_simulated_respondent_is_and_says_so(config: Callable[..., RunConfig], server: FakeServer) -> None:
    rows = [{"text": f"What is {i} + {i}?", "gold": 2 * i} for i in range(9)]
    own = make_task("doubles", rows, lambda problem, text: str(problem.gold) in text)
    run = config(tasks=["aime", own])
    server.script = lambda body, n: "I do not know."  # nothing that varies
    run_sweep(run, progress=False)
    before = len(server.requests)
    found = pilot_of(run)
    pilot, told = found.cells, found.says
    assert list(found.splits) == list(found.tasks) == ["aime", "doubles"] and "pilot of simulated" in found.title(
        "aime"
    )
    own = found.designs().set_index("task")
    assert own.n_problems.tolist() == [3, 3] and own.detectable.notna().all()
    assert len(server.requests) == before
    assert pilot.model.str.startswith("simulated").all() and set(pilot.method) == {"base", "pdp"}
    assert "has stored nothing that varies" in told and "not those of any model" in told
    assert sorted(pilot.budget.unique()) == run.task("aime").budgets
    assert 2 <= pilot[pilot.task == "doubles"].problem_id.nunique() < 9  # of a small task, what it has
    assert (run.folder.parent / "run-simulated" / "store.sqlite").is_file()
    assert "simulated" in pilot_of(config(run="nothing yet")).says


def test_what_designs_cost_and_find() -> None:
    cells = cells_of(np.ones((2, 2, 3))).assign(answer_tokens=5)
    assert planning.cost_of_a_sample(cells, ["base"]) == 4 + 3 * 5  # the trace to its end, an answer at each budget
    assert planning.cost_of_a_sample(cells, ["base", "pdp"]) == 2 * 19  # an arm that it lacks costs what the other does
    keys = [f"{c.problem_id} {c.sample} {min(c.budget, 2)}" for c in cells.itertuples()]  # had ended by budget 2
    assert planning.cost_of_a_sample(cells.assign(answer_key=keys), ["base"]) == 4 + 2 * 5
    split, sizes = variance_split(coins(), "base"), {"n_problems": [10, 40], "n_samples": [1, 4]}
    priced = planning.design_table(split, **sizes, tokens_per_sample=100, price=Price("m", 1, 20))
    table = priced.set_index(["n_problems", "n_samples"])
    assert table.tokens[40, 4] == 16_000 and table.dollars[40, 4] == pytest.approx(0.32)
    assert table.detectable[40, 4] < table.detectable[10, 4] and table.detectable[40, 1] < table.detectable[10, 1]
    assert (table.detectable < table.at_most).all()
    assert planning.design_table(split, **sizes, tokens_per_sample=100).dollars.isna().all()
