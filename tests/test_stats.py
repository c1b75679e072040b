"""Intervals and comparisons: against scipy, against known truth, and where they must refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test
from test_index import cells_of

from anytime_lib import anytime_curve
from anytime_lib.errors import DataError
from anytime_lib.stats import band, compare, estimate, sign_flip_pvalue

RNG = np.random.default_rng(1)
EASE = RNG.random((20, 1, 1))


def noisy(lift: float, n_samples: int = 4) -> np.ndarray:
    return (RNG.random((20, n_samples, 3)) < np.clip(EASE + lift, 0, 1)).astype(float)


def both(lift: float) -> pd.DataFrame:
    return pd.concat([cells_of(noisy(0)), cells_of(noisy(lift), "better")], ignore_index=True)


def test_a_large_difference_is_seen_and_none_is_not() -> None:
    seen = compare(both(0.4), baseline="base", treatment="better", n_resamples=500, seed=0)
    low, high = seen.confidence_interval()
    assert 0 < low < seen.statistic < high
    assert seen.pvalue < 0.01
    assert "better is better than base" in seen.summary()
    same = cells_of(noisy(0))
    none = compare(pd.concat([same, same.assign(method="twin")]), baseline="base", treatment="twin", n_resamples=200)
    assert none.statistic == 0 and none.confidence_interval() == (0, 0) and none.pvalue == 1
    assert "not distinguishable" in none.summary()
    assert none.to_frame().shape == (1, 16)


def test_the_same_seed_gives_the_same_interval() -> None:
    cells = both(0.1)
    first, second = (compare(cells, baseline="base", treatment="better", n_resamples=300, seed=3) for _ in range(2))
    assert np.array_equal(first.draws, second.draws)
    other = compare(cells, baseline="base", treatment="better", n_resamples=300, seed=4)
    assert not np.array_equal(first.draws, other.draws)


def test_pairing_uses_shared_cells_only_and_counts_the_rest() -> None:
    cells = both(0.2)
    cells.loc[[0, 1], ["score", "status"]] = [np.nan, "error"]
    found = compare(cells, baseline="base", treatment="better", n_resamples=200)
    assert found.n_missing == 4  # two missing cells and their two partners


@pytest.mark.parametrize(("baseline", "treatment"), [("base", "nobody"), ("nobody", "better")])
def test_unknown_method(baseline: str, treatment: str) -> None:
    with pytest.raises(DataError, match="nobody"):
        compare(both(0.1), baseline=baseline, treatment=treatment)


def test_other_budgets_cannot_be_compared() -> None:
    cells = both(0.1)
    with pytest.raises(DataError, match="different budgets"):
        compare(cells[(cells.method == "base") | (cells.budget < 4)], baseline="base", treatment="better")


def test_sign_flips_agree_with_scipy() -> None:
    for n in (6, 10):
        d = RNG.normal(0.4, 1, n)
        exact = permutation_test((d, np.zeros(n)), lambda x, y, axis: np.mean(x - y, axis=axis),
                                 permutation_type="samples", n_resamples=np.inf, vectorized=True)  # fmt: skip
        assert sign_flip_pvalue(d, np.random.default_rng(0)) == pytest.approx(exact.pvalue)
    many = RNG.normal(0.2, 1, 40)
    exact = permutation_test((many, np.zeros(40)), lambda x, y, axis: np.mean(x - y, axis=axis),
                             permutation_type="samples", n_resamples=20_000, vectorized=True, rng=0)  # fmt: skip
    assert sign_flip_pvalue(many, np.random.default_rng(0)) == pytest.approx(exact.pvalue, abs=0.02)


def test_interval_covers_the_truth_of_clustered_data() -> None:
    """A fast guard: the 95 % interval of the paired difference holds the truth in about 95 % of experiments."""
    rng, hits, runs = np.random.default_rng(5), 0, 150
    for i in range(runs):
        ease = rng.beta(1, 1, (30, 1, 1))
        arms = [(rng.random((30, 4, 3)) < ease).astype(float) for _ in range(2)]
        cells = pd.concat([cells_of(arms[0]), cells_of(arms[1], "twin")], ignore_index=True)
        low, high = compare(
            cells, baseline="base", treatment="twin", n_resamples=200, seed=i, order="raw"
        ).confidence_interval()
        hits += low <= 0 <= high
    assert 0.89 <= hits / runs <= 1.0


def test_estimate_and_band() -> None:
    cells = both(0.2)
    table = estimate(cells, n_resamples=200)
    assert list(table.method) == ["base", "better"]
    assert np.all((table.low <= table["index"]) & (table["index"] <= table.high))
    curve = band(cells[cells.method == "base"], n_resamples=200)
    assert list(curve.budget) == [1, 2, 4]
    assert np.all(curve.low <= curve.high)


def test_a_budget_without_any_graded_cell_gives_no_number() -> None:
    quality = noisy(0)
    quality[..., 0] = np.nan
    quality[0, 0, 2] = np.nan
    table = estimate(cells_of(quality), n_resamples=100)
    assert table["index"].isna().all() and table.n_missing.item() == 20 * 4 + 1


def test_a_missing_budget_is_missing_in_curve_and_comparison() -> None:
    """Nobody's earlier quality stands in for a budget whose requests all failed, and no budget is dropped unsaid."""
    cells = both(0.2)
    cells.loc[(cells.method == "better") & (cells.budget == 2), ["score", "status"]] = [np.nan, "error"]
    curve = anytime_curve(cells[cells.method == "better"])
    assert curve.quality.isna().tolist() == [False, True, False] and curve.n_cells.tolist() == [80, 0, 80]
    found = compare(cells, baseline="base", treatment="better", n_resamples=100)
    assert np.isnan(found.statistic) and np.isnan(found.confidence_interval()).all()
    assert "cannot be compared" in found.summary() and "nan" not in found.summary()


def test_arms_with_other_samples_are_paired_on_what_they_share() -> None:
    fewer = pd.concat([cells_of(noisy(0, 4)), cells_of(noisy(0.2, 3), "better")], ignore_index=True)
    found = compare(fewer, baseline="base", treatment="better", n_resamples=100)
    assert found.n_samples == 3 and found.n_missing == 20 * 3
