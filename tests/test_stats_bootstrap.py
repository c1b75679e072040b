"""Resamples and intervals: against scipy and arch on the same draws, against known truth, and where nothing varies."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2, ttest_1samp
from test_index import cells_of

from anytime_lib import anytime_curve
from anytime_lib.index import ORDERS, Order
from anytime_lib.stats import band, equivalent, estimate
from anytime_lib.stats.bootstrap import draw_weights, exchange_signs, index_of, jackknifed, resampled
from anytime_lib.stats.compare import Comparison, compare_arrays
from anytime_lib.stats.estimate import index_variants, problem_values, widen_near_limits
from anytime_lib.stats.intervals import interval, one_sided_pvalue

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
BUDGETS = [1, 2, 4, 8]


def scores(n: int = 12, k: int = 4, arms: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((arms, n, k, 4)) < rng.random((1, n, 1, 1)) * [0.3, 0.6, 0.9, 0.8]).astype(float)


def compared(quality: np.ndarray, n_resamples: int = 200, order: Order = "pooled") -> Comparison:
    return compare_arrays(quality, BUDGETS, index_of(order), n_resamples=n_resamples)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("holes", [False, True])
def test_weights_give_what_gathering_the_cells_gives(order: Order, holes: bool) -> None:
    quality, of, rng = scores(), index_of(order), np.random.default_rng(1)
    if holes:
        quality[0, 3, 1, 2] = quality[1, 5, :, 0] = quality[:, 7, 0] = np.nan
    weights = draw_weights(12, 70, np.random.default_rng(1))
    gathered = [of(quality[:, np.repeat(np.arange(12), w.astype(int))], BUDGETS) for w in weights]
    assert resampled(quality, BUDGETS, of, 70, rng) == pytest.approx(np.array(gathered), abs=1e-12)
    left_out = [of(np.delete(quality, i, axis=1), BUDGETS) for i in range(12)]
    assert jackknifed(quality, BUDGETS, of) == pytest.approx(np.array(left_out), abs=1e-12)


@pytest.mark.parametrize("n", [1, 3, 200])
def test_every_problem_is_drawn_as_often(n: int) -> None:
    weights = draw_weights(n, 200, np.random.default_rng(0))
    assert weights.shape == (200, n) and (weights.sum(axis=1) == n).all()
    assert np.sum((weights.sum(axis=0) - 200) ** 2 / 200) <= chi2.isf(1e-4, max(n - 1, 1))


def test_the_t_test_and_interval_are_students() -> None:
    """scipy's interval uses the sample's own standard error; ours that of 10,000 draws, known to about 1 %."""
    quality = scores(40)
    found = compared(quality, n_resamples=10_000, order="raw")
    each = index_of("raw").of(quality.mean(axis=2), BUDGETS)
    expected = ttest_1samp(each[1] - each[0], 0)
    ours, theirs = found.confidence_interval(), expected.confidence_interval()
    assert ours == pytest.approx(tuple(theirs), abs=0.03 * (theirs.high - theirs.low))


@given(seed=st.integers(0, 10_000), level=st.floats(0.6, 0.99))
@settings(max_examples=20)
def test_pvalue_and_interval_agree(seed: int, level: float) -> None:
    """The one-sided p-value at the ends of the interval is what the level leaves on either side; NaN draws are none."""
    draws = np.append(np.random.default_rng(seed).gamma(4, 0.05, 4_000) - 0.1, np.full(500, np.nan))
    low, high = interval(draws, 0.1, n=20, confidence_level=level)
    bare = interval(draws[:4_000], 0.1, n=20, confidence_level=level)
    assert (float(low), float(high)) == pytest.approx((float(bare[0]), float(bare[1])), rel=1e-9)
    for end, expected in ((low, (1 - level) / 2), (high, (1 + level) / 2)):
        assert one_sided_pvalue(draws, 0.1, float(end), n=20) == pytest.approx(expected, abs=2e-3)


def test_nothing_varies_and_the_interval_is_no_point() -> None:
    found = compared(np.tile(scores(1, 4), (1, 9, 1, 1)))
    assert found.confidence_interval().low < found.statistic < found.confidence_interval().high
    assert "by Gaffke's bound" in found.summary()
    perfect = estimate(cells_of(np.ones((6, 3, 3))), n_resamples=200).iloc[0]
    assert perfect["index"] == perfect.high == 1 and perfect.low == pytest.approx(0.025 ** (1 / 6), abs=1e-9)
    assert perfect.note.startswith("no problem differs")  # the exact binomial bound: six of six say no more
    curve = band(cells_of(np.zeros((6, 3, 3))), n_resamples=100)
    assert not curve.isna().any().any() and curve.note.all()


def test_an_arm_near_the_ceiling_holds_its_truth() -> None:
    """198 problems with one sample, right with chance .993 at all budgets or none: by resamples alone .76."""
    rng, hits, before = np.random.default_rng(5), [], []
    for _ in range(40):
        quality = (rng.random((198, 1, 1)) < 0.993).astype(float).repeat(2, axis=2)
        values = problem_values(quality, [1, 2], index_of())
        ends = interval(resampled(quality[None], [1, 2], index_of(), 200, rng)[:, 0], values.mean(), n=198)
        low, high, note = widen_near_limits(ends, values)
        hits.append(low <= 0.993 <= high <= 1)
        before.append(ends[0] - 1e-9 <= 0.993 <= ends[1] + 1e-9)
        assert bool(note) == (quality[..., 0].sum() > 193) and values.mean() == pytest.approx(quality.mean())
    assert np.mean(before) < 0.9 and np.mean(hits) > 0.94
    assert estimate(cells_of(scores(30)[0]), n_resamples=100).note.item() == ""


def test_a_budget_graded_on_few_problems_has_few_degrees_of_freedom() -> None:
    quality = (np.random.default_rng(0).random((30, 4, 3)) < 0.5).astype(float)
    whole = band(cells_of(quality), order="raw", n_resamples=200)
    quality[3:, :, 2] = np.nan
    few = band(cells_of(quality), order="raw", n_resamples=200)
    assert few.n_problems.tolist() == [30, 30, 3] and few[["low", "high"]].iloc[:2].equals(whole[["low", "high"]][:2])
    error = quality[:3, :, 2].mean(axis=1).std(ddof=1) / np.sqrt(3)
    assert error > 0 and few.high[2] - few.low[2] >= min(1.0, 2 * 3 * error)  # t(2) is 4.3, not 2
    index = estimate(cells_of(quality), order="raw", n_resamples=200).iloc[0]
    assert index.high - index.low > 1.5 * float((whole.high - whole.low).mean())
    quality[1:, :, 2] = np.nan
    one = band(cells_of(quality), order="raw", n_resamples=200)
    assert one.note[2].startswith("one problem graded") and one.high[2] - one.low[2] > 0.4


def test_one_seed_or_generator_means_the_same_for_every_arm() -> None:
    base = cells_of(scores(8)[0])
    twins = pd.concat([base, base.assign(method="twin")], ignore_index=True)
    for seed in (np.random.default_rng(1), np.int64(3), 3):
        for table in (
            estimate(twins, seed=seed, n_resamples=50),  # type: ignore[arg-type]
            index_variants(twins, seed=seed),  # type: ignore[arg-type]
        ):
            first, second = (table[table.method == m].drop(columns="method") for m in ("base", "twin"))
            pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    plain = index_variants(base)
    assert len(plain) == len(ORDERS) * 2 * 2 and not plain.isna().any().any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_problems_prove_nothing(n: int) -> None:
    found = compared(np.stack([np.zeros((n, 3, 4)), np.ones((n, 3, 4)) * np.c_[0.5 : 1 : n * 1j][..., None]]))
    assert not np.isnan(found.confidence_interval()).any() and found.pvalue == 2 / 2**n
    assert "nothing is proved" in found.summary() and ("is undecided" in found.summary() or n > 1)


@pytest.mark.filterwarnings("error")
def test_a_budget_nobody_was_graded_at_is_no_number_and_no_warning() -> None:
    quality = scores(6)
    quality[..., 1] = np.nan
    cells = cells_of(quality[0])
    assert index_variants(cells)["index"].isna().all()
    index = estimate(cells, n_resamples=50)
    assert index["index"].isna().all() and index.n_missing.item() == 24
    assert band(cells, n_resamples=50).isna().any(axis=1).tolist() == [False, True, False, False]
    curve = anytime_curve(cells)  # no earlier quality stands in for a budget whose requests all failed
    assert curve.quality.isna().tolist() == [False, True, False, False] and curve.n_cells.tolist() == [24, 0, 24, 24]
    found = compared(quality)
    assert np.isnan([found.statistic, found.pvalue, *found.confidence_interval()]).all()
    assert not equivalent(found, 0.1).holds and "cannot be compared" in found.summary() and "nan" not in found.summary()


def test_generators_are_taken_and_never_shared() -> None:
    seed, quality = np.random.default_rng(3), scores()
    first, again = (compare_arrays(quality, BUDGETS, index_of(), n_resamples=50, seed=seed) for _ in range(2))
    np.random.seed(0)  # noqa: NPY002 (what is tested: the global state neither matters nor moves)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    third = compare_arrays(quality, BUDGETS, index_of(), n_resamples=50, seed=3)
    assert all(np.array_equal(first.draws, c.draws) and first.pvalue == c.pvalue for c in (again, third))
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
    assert exchange_signs(3_000, 50, seed).nbytes == 3_000 * 50  # a byte for every exchange


def test_the_study_found_what_is_promised() -> None:
    """The saved figures of tests/benchmarks/bench_error_rates.py; limits are binomial about what is promised."""
    found = pd.read_csv(Path(__file__).parents[1] / "anytime_lib" / "data" / "error_rates.csv")
    assert found.groupby("judged").size().index.tolist() == ["before", "now"] and found.repetitions.min() >= 150
    now = found[found.judged == "now"].set_index("measure")

    def share(measure: str, study: str, *worlds: str) -> pd.DataFrame:
        return now.loc[[measure]].query("study == @study and world in @worlds")

    even = share("covers", "no effect", "alike", "floor", "ceiling", "flat", "overthinking", "missing")
    assert len(even) == 47 and even.share.min() >= binom.ppf(0.0005, 300, 0.95) / 300
    wrong = share("said", "no effect", "alike", "floor", "ceiling", "flat", "overthinking", "missing", "wrong lost")
    assert wrong.share.max() <= binom.ppf(0.9995, 300, 0.05) / 300
    before = found[(found.judged == "before") & (found.study == "no effect")]
    assert before[(before.world == "flat") & (before.measure == "too high")].share.max() > 0.07
    assert before[(before.world == "wrong lost") & (before.measure == "said")].share.max() > 0.5


def test_error_rates_stay_what_the_study_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study of tests/benchmarks in small and seeded: limits are binomial about what is promised."""
    import bench_error_rates as bench

    runs = 100
    monkeypatch.setattr(bench, "N_RESAMPLES", 150)
    most, least = binom.ppf(0.999, runs, 0.05) / runs, binom.ppf(0.001, runs, 0.95) / runs
    for world in ("alike", "flat"):
        found = bench.rates(bench.no_effect, world, 30, 4, runs).set_index("measure").share
        assert found["covers"] >= least and max(found["said"], found["p < .05"]) <= most
    lost = bench.rates(bench.no_effect, "wrong lost", 30, 4, runs).set_index("measure").share
    assert lost["said"] <= most < lost["too high"]
    coins = bench.rates(bench.judge, "coins", 12, 4, 40).share.item()
    assert coins <= binom.ppf(0.999, 40, 0.05) / 40
    found = bench.rates(bench.effect, "alike", 30, 4, runs).set_index("measure").share
    assert found["found"] >= 0.65 and found["covers"] >= least
