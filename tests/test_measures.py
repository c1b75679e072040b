"""Measures of single traces, and the least budget that is enough: hand-made cells, properties, error rates."""

import itertools

import numpy as np
import pandas as pd
import pytest
from test_index import cells_of

from anytime_lib import anytime_index
from anytime_lib.stats import least_sufficient_budget, measures
from anytime_lib.stats.intervals import upper_bound
from anytime_lib.stats.measures import MEASURES, trace_measures

NAN = float("nan")


def traces(cells: pd.DataFrame) -> pd.DataFrame:
    """The measures of every trace of one arm, a row each."""
    return pd.DataFrame(trace_measures(cells).reshape(-1, len(MEASURES)), columns=MEASURES)


def test_hand_made_traces() -> None:
    """Budgets 1, 2, 4, 8. In words: right from 4 on; right at 2, then lost; never right; right at once."""
    quality = np.array([[[0, 0.5, 1, 1], [0, 1, 1, 0.4]], [[0, 0, 0.2, 0.9], [1, 1, 1, 1]]])
    found = traces(cells_of(quality))
    never = (1 * 1 + 0.9 * 2 + 0.45 * 4) / 7  # trapezoids of what it lacks of 1 everywhere: (1, 1, .8, .1)
    starved = [(0.75 * 1 + 0.25 * 2) / 7, 0.5 / 7, never, 0]  # of (1, .5, 0, 0), (1, 0, 0, 0), and none
    expected = {"solved": [1, 1, 0, 1], "b_star": [4, 2, NAN, 1], "overthinking_tax": [4, 6, NAN, 7],
                "starvation_loss": starved, "overthought": [0, 1, 0, 0]}  # fmt: skip
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx(values, nan_ok=True), name
    table = measures(cells_of(quality), n_resamples=300).set_index("measure")
    assert list(table.index) == list(MEASURES)
    assert table.value["solved"] == 0.75 and table.value["overthought"] == 0.25
    assert table.value["b_star"] == pytest.approx((3 + 1) / 2)  # problems weigh the same, unsolved traces nothing
    assert table.n_traces["b_star"] == 3 and table.n_traces["solved"] == 4
    assert np.all((table.low <= table.value) & (table.value <= table.high))


def test_what_is_missing_is_not_known() -> None:
    quality = np.array([[[0, NAN, 1.0]], [[0, 0, 1.0]]])
    assert traces(cells_of(quality)).isna().all(axis=1).tolist() == [True, False]
    table = measures(cells_of(quality), n_resamples=200).set_index("measure")
    assert table.value["b_star"] == 4 and (table.n_missing == 1).all()
    assert measures(cells_of(quality)[:0]).empty


def test_nothing_solved_gives_no_budget_and_no_alarm() -> None:
    table = measures(cells_of(np.zeros((3, 2, 4))), n_resamples=200).set_index("measure")
    assert np.isnan(table.value["b_star"]) and table.n_traces["b_star"] == 0
    assert table.value["solved"] == table.low["solved"] == 0 and table.value["starvation_loss"] == 1  # it loses most
    assert table.high["solved"] == pytest.approx(1 - 0.025 ** (1 / 3))  # the exact binomial bound, and said
    assert table.note["solved"].startswith("no problem differs") and table.note["b_star"] == ""


def test_the_starved_area_is_what_the_best_so_far_lacks() -> None:
    """In all traces that there are of right and wrong answers at four budgets."""
    quality = np.array(list(itertools.product([0.0, 1.0], repeat=4))).reshape(8, 2, 4)
    found = traces(cells_of(quality))
    best = np.asarray(anytime_index([1, 2, 4, 8], quality)).ravel()
    assert found.starvation_loss.to_numpy() == pytest.approx(1 - best)
    assert not (found.overthought == 1)[found.b_star == 8].any()
    assert (found.overthinking_tax.dropna() == 8 - found.b_star.dropna()).all()


# how small a budget is enough


def flat(loss: list[float], n: int = 300, k: int = 4, seed: int = 0) -> pd.DataFrame:
    """One arm of n problems whose true quality at each budget is .8 less the loss."""
    rng = np.random.default_rng(seed)
    return cells_of((rng.random((n, k, len(loss))) < 0.8 - np.array(loss)).astype(float))


def test_the_least_budget_and_what_it_saves() -> None:
    cells = flat([0.3, 0.1, 0, 0, 0])
    found = least_sufficient_budget(cells, margin=0.05).iloc[0]
    assert (found.budget, found.tokens_saved, found.share_saved) == (4, 12, 0.75)
    assert "4 tokens are enough" in found.says and ", 75%" in found.says and "(Gaffke's bound)" in found.says


def test_where_no_budget_is_shown_to_be_enough() -> None:
    steep = least_sufficient_budget(flat([0.6, 0.4, 0.2])).iloc[0]
    assert steep.budget == 4 and steep.tokens_saved == 0 and "no budget below 4" in steep.says
    few, many = (least_sufficient_budget(cells_of(np.ones((n, 2, 3)))).iloc[0] for n in (20, 200))
    assert few.budget == 4 and "only a margin of 0.139 or more" in few.says  # 1 - .05^(1/20)
    assert many.budget == 1
    none = least_sufficient_budget(cells_of(np.array([[[1.0, NAN]]]))).iloc[0]
    assert none.budget == 2 and "no trace is graded at both" in none.says and none.n_problems == 0


def test_what_was_not_reasoned_saves_nothing_and_what_was_not_graded_is_not_enough() -> None:
    quality = np.ones((200, 1, 4))
    found = least_sufficient_budget(cells_of(quality).assign(tokens_used=0)).iloc[0]
    assert found.share_saved == 0 and ", 0% (" in found.says
    quality[:, :, 1] = NAN
    found = least_sufficient_budget(cells_of(quality)).iloc[0]
    assert found.budget == 4 and found.n_missing == 200


@pytest.mark.parametrize("shape", ["rare", "spread", "skewed"])
def test_too_small_a_budget_is_called_enough_in_at_most_five_of_a_hundred(shape: str) -> None:
    """At a loss of exactly the margin (.05), 60 problems, 1,500 studies: the standard error of the rate is .006."""
    rng, margin, size = np.random.default_rng(1), 0.05, (1_500, 60)
    losses = {"rare": lambda: (rng.random(size) < margin).astype(float),
              "spread": lambda: rng.choice([-0.25, 0, 0.25], size=size, p=[0.2, 0.4, 0.4]),
              "skewed": lambda: rng.beta(0.05, 0.95, size)}[shape]()  # fmt: skip
    assert losses.mean() == pytest.approx(margin, abs=0.005)
    assert np.mean([upper_bound(lost) < margin for lost in losses[:400]]) <= 0.05 + 3 * 0.011


def test_testing_many_budgets_costs_nothing() -> None:
    """Seven budgets that each lose the margin: stepping down, any is called enough as rarely as one."""
    wrong, cells = 0, flat([0.1] * 7 + [0.0], n=60, k=2)
    for rng in np.random.default_rng(0).spawn(60):
        drawn = cells.assign(score=(rng.random(len(cells)) < np.where(cells.budget < 128, 0.7, 0.8)).astype(float))
        wrong += int(least_sufficient_budget(drawn, margin=0.1, n_resamples=200).budget.item() < 128)
    assert wrong <= 60 * 0.05 + 3 * np.sqrt(60 * 0.05 * 0.95)
