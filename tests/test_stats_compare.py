"""Tests, margins, families, bounds and profiles: against scipy and rliable, and through the traps others fell into."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats
from test_index import cells_of

from anytime_lib import anytime_index
from anytime_lib.errors import DataError
from anytime_lib.index import Order
from anytime_lib.stats import Comparison, bounds, compare, compare_family, conclude, equivalent, noninferior
from anytime_lib.stats.bootstrap import exchange_signs, index_of, sign_flip_pvalue
from anytime_lib.stats.compare import compare_arrays, probability_of_improvement
from anytime_lib.stats.estimate import performance_profile
from anytime_lib.stats.family import holm
from anytime_lib.stats.intervals import possible_means, upper_bound

BUDGETS = [1, 2, 4]


def scores(n: int, lift: float = 0.0, k: int = 4, arms: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ease = rng.random((1, n, 1, 1)) + np.array([0.0] + [lift] * (arms - 1))[:, None, None, None]
    return (rng.random((arms, n, k, 3)) < ease * [0.5, 0.8, 1.0]).astype(float)


def of(quality: np.ndarray, *, order: Order = "pooled", budgets: list[int] = BUDGETS, **settings: Any) -> Comparison:
    return compare_arrays(quality, budgets, index_of(order), **({"n_resamples": 500} | settings))


def table(quality: np.ndarray, names: tuple[str, ...] = ("base", "better", "third"), task: str = "t") -> pd.DataFrame:
    arms = [cells_of(q, name) for q, name in zip(quality, names, strict=False)]
    return pd.concat(arms, ignore_index=True).assign(task=task)


@pytest.mark.parametrize("n", [7, 12, 25])
def test_exchange_is_scipys_permutation_test_of_the_pooled_index(n: int) -> None:
    """Up to 12 problems both go through all 2^n ways; beyond, both draw 9,999 and agree to Monte Carlo error."""
    curves = scores(n, 0.3, seed=n).mean(axis=2)

    each = np.concatenate([curves[1], curves[0]])  # by problem and arm, so that scipy exchanges whole curves

    def pooled(who: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(anytime_index(BUDGETS, each[who].mean(axis=axis - 1)))

    ours = sign_flip_pvalue(curves, BUDGETS, index_of(), exchange_signs(n, 9_999, np.random.default_rng(0)))
    theirs = scipy_stats.permutation_test(
        (np.arange(n), n + np.arange(n)), lambda a, b, axis: pooled(a, axis) - pooled(b, axis),
        permutation_type="samples", n_resamples=9_999 if n > 12 else np.inf, vectorized=True, rng=0,
    )  # fmt: skip
    assert ours == pytest.approx(theirs.pvalue, abs=1e-12 if n <= 12 else 0.02)


@pytest.mark.parametrize("n", [10, 3])
def test_a_constant_difference_is_no_proof_beyond_doubt(n: int) -> None:
    """Every problem differs by .1, to rounding: a point, where the formula of t gives p = 0."""
    base = np.random.default_rng(n).random((1, n, 3, 3)) * 0.5
    found = of(np.concatenate([base, base + 0.1]), order="raw")
    assert np.isnan(found.ttest_pvalue())
    assert found.pvalue == pytest.approx(2 / 2**n) and found.effect_size == np.inf
    assert found.confidence_interval() == (found.statistic,) * 2 and found.statistic == pytest.approx(0.1)
    assert ("not distinguishable" in found.summary()) == (n == 3) and "so the interval is a point" in found.summary()


def test_no_difference_at_all() -> None:
    found = of(scores(25)[[0, 0]])
    assert found.pvalue == found.ttest_pvalue() == 1 and found.effect_size == 0
    for margin in (0.01, 0.11, 0.12):  # what 25 problems show if none differs: a margin above 1 - .05^(1/25) = .1129
        assert noninferior(found, margin).pvalue == pytest.approx((1 - margin) ** 25, abs=0.02)
        assert noninferior(found, margin).holds == equivalent(found, margin).holds == (margin == 0.12)
    assert "every problem differs alike" in found.summary()


@pytest.mark.parametrize(("n", "margin"), [(30, 0.05), (198, 0.02)])
def test_rare_losses_are_not_called_none(n: int, margin: float) -> None:
    """At the boundary: one sample a problem, whole problems lost with a chance of exactly the margin. By the draws
    alone it is called non-inferior in 9 to 20 % of studies; by the bound as scipy's exact binomial test would."""
    wrong = by_draws = 0.0
    for lost in range(12):
        quality = np.ones((2, n, 1, 3))
        quality[1, :lost] = 0
        found, chance = of(quality), scipy_stats.binom.pmf(lost, n, margin)
        wrong += chance * noninferior(found, margin).holds
        by_draws += chance * (replace(found, confidence_level=0.9).confidence_interval().low > -margin)
        exact = scipy_stats.binomtest(lost, n, margin, alternative="less").pvalue
        assert np.mean(possible_means(np.arange(n) < lost) >= margin) == pytest.approx(exact, abs=0.02)
        assert noninferior(found, margin).pvalue >= exact - 0.02
    assert wrong <= 0.06 and by_draws > 0.09


def test_margins_agree_with_the_interval() -> None:
    """Equivalence at alpha holds just when the 1 - 2 alpha interval lies inside the margins, and Gaffke's bounds do."""
    found = of(scores(60, 0.02), n_resamples=4_000)
    low, high = replace(found, confidence_level=0.9).confidence_interval()
    low, high = min(low, -upper_bound(-found.contributions)), max(high, upper_bound(found.contributions))
    for margin in np.linspace(0.005, 0.2, 60):
        if min(abs(-margin - low), abs(margin - high)) > 1e-3:
            assert noninferior(found, margin).holds == (low > -margin)
            assert equivalent(found, margin).holds == (low > -margin and high < margin)
    assert "shown" in equivalent(found, 0.3).says and equivalent(found, 0.3).holds
    with pytest.raises(DataError, match="above 0"):
        noninferior(found, 0)


def shapes(rng: np.random.Generator, n: int = 198, k: int = 10) -> np.ndarray:
    """A flat arm and a rising one of equal true index, over ten budgets that double."""
    ease = rng.beta(2, 2, (n, 1, 1)) * 2
    weights = np.asarray([anytime_index(DOUBLING, row, running_max=False) for row in np.eye(10)])
    rising = np.linspace(0.3, 0.5, 10)
    curves = np.stack([np.full(10, weights @ rising), rising])  # at most .5, so that nothing is cut off at 1
    return (rng.random((2, n, k, 10)) < ease * curves[:, None, None]).astype(float)


DOUBLING = [2**i for i in range(10)]


def test_the_maximum_favours_a_flat_curve_and_the_companion_does_not() -> None:
    """Whose intervals hold the truth, 0, in what share of 60 experiments; and what the readings say of it."""
    held, said = np.zeros(2), 0
    for rng in np.random.default_rng(0).spawn(60):
        found = of(shapes(rng), budgets=DOUBLING, n_resamples=200, seed=rng)
        assert found.raw is not None and found.raw.raw is None
        held += [c.confidence_interval().low <= 0 <= c.confidence_interval().high for c in (found, found.raw)]
        said += "the two disagree: the maximum favours flat" in found.summary()
        assert found.disagrees == ("trust the raw one" in found.summary())
    family = compare_family(table(shapes(np.random.default_rng(0))), n_resamples=300)
    found = next(iter(family.comparisons.values()))
    assert found.disagrees and "but not without the maximum" in family.summary()
    assert "without the maximum it is not" in conclude(family, 0.05).reading.item()
    assert held[0] / 60 < 0.85 and held[1] / 60 >= 0.9 and said >= 60 * 0.1


@pytest.mark.parametrize("order", ["pooled", "problem", "trace"])
def test_the_companion_is_the_raw_comparison_by_the_same_draws(order: Order) -> None:
    found, alone = (of(scores(18, 0.2), order=o, seed=3, n_resamples=150) for o in (order, "raw"))  # type: ignore[arg-type]
    assert found.raw is not None and found.raw.to_frame().equals(alone.to_frame()) and alone.raw is None
    assert np.array_equal(found.raw.draws, alone.draws)
    assert np.isfinite(found.to_frame().iloc[0, 2:-1].astype(float)).all()
    assert f"without the maximum {alone.statistic:+.3f} [" in found.summary()
    assert "without the maximum" not in alone.summary()
    assert found.to_frame().filter(like="raw_").equals(alone.to_frame().filter(like="raw_"))


def test_what_is_compared_is_what_both_have_in_any_order() -> None:
    cells = table(scores(20, 0.2))
    names: Any = {"baseline": "base", "treatment": "better", "n_resamples": 100}
    one, other = (compare(c, **names) for c in (cells, cells.sample(frac=1, random_state=0)))
    assert np.array_equal(one.draws, other.draws) and one.pvalue == other.pvalue
    again = compare(cells, **names, seed=4)
    assert not np.array_equal(one.draws, again.draws) and again.statistic == one.statistic
    lost = cells.copy()
    lost.loc[[0, 1], ["score", "status"]] = [np.nan, "error"]
    assert compare(lost, **names).n_missing == 4  # two missing cells and their two partners
    fewer = compare(cells[(cells.method == "base") | (cells["sample"] < 3)], **names)
    assert fewer.n_samples == 3 and fewer.n_missing == 20 * 3
    for broken, says in (
        (cells[cells.method == "base"], "no cells of method 'better'; the table holds base"),
        (cells[cells.method == "better"], "no cells of method 'base'"),
        (cells[(cells.method == "base") | (cells.budget < 4)], "different budgets"),
        (cells.assign(score=cells.score.where(cells.method == "base")), "share no graded cell"),
    ):
        with pytest.raises(DataError, match=says):
            compare(broken, **names)


@given(arrays(float, st.integers(1, 9), elements=st.floats(0, 1)))
def test_holm(pvalues: np.ndarray) -> None:
    found = holm(pvalues)
    assert np.all(found >= pvalues) and np.all(found <= 1)
    order = np.argsort(pvalues, kind="stable")
    assert np.all(np.diff(found[order]) >= 0)
    rejected, alpha = set(), 0.05  # the procedure as Holm wrote it: step down until the first that fails
    for i, at in enumerate(order):
        if pvalues[at] > alpha / (len(pvalues) - i):
            break
        rejected.add(int(at))
    assert rejected == set(np.flatnonzero(found <= alpha + 1e-12)) or np.any(np.isclose(found, alpha))
    dead = holm(np.append(pvalues, np.nan))  # what could not be tested is a member that is not rejected
    assert np.isnan(dead[-1]) and np.all(dead[:-1] >= found)
    assert dead[:-1] == pytest.approx(holm(np.append(pvalues, 1.0))[:-1])


def test_a_family_is_what_compare_finds_for_each() -> None:
    cells = pd.concat([table(scores(20, 0.4, arms=3), task="a"), table(scores(22, 0.0, arms=3, seed=5), task="b")],
                      ignore_index=True)  # fmt: skip
    family = compare_family(cells, n_resamples=300, seed=4)
    assert [(m.task, m.treatment) for m in family.comparisons] == [(t, m) for t in "ab" for m in ("better", "third")]
    frame = family.to_frame()
    assert np.all(frame.pvalue_holm >= frame.pvalue) and frame.significant.tolist() == [True, True, False, False]
    assert "2 at a family-wise error of 5%" in family.summary() and "on a" in family.summary()
    cells.loc[cells.index[:3], "score"] = np.nan  # now pair by pair, with other cells in each
    again = compare_family(cells, [["base", "third"]], n_resamples=300, seed=4)
    assert [c.n_missing for c in again.comparisons.values()] == [6, 0]
    for member, found in again.comparisons.items():
        alone = compare(cells[cells.task == member.task], baseline="base", treatment="third", n_resamples=300, seed=4)
        assert np.array_equal(found.draws, alone.draws) and found.to_frame().equals(alone.to_frame())


@given(st.integers(0, 2**24 - 1), arrays(float, (2, 2, 2, 3), elements=st.sampled_from([0.0, 0.5, 1.0])))
@settings(max_examples=12, deadline=None)
def test_bounds_hold_whatever_the_missing_answers_were(lost: int, truth: np.ndarray) -> None:
    gone = ((lost >> np.arange(24)) & 1).astype(bool).reshape(2, 2, 2, 3)
    seen, full = table(np.where(gone, np.nan, truth)), table(truth)
    arms, difference = bounds(seen), bounds(seen, baseline="base", treatment="better").iloc[0]
    value = {m: float(index_of()(q, BUDGETS)) for m, q in zip(("base", "better"), truth, strict=True)}
    for row in arms.itertuples():
        assert row.worst - 1e-12 <= value[row.method] <= row.best + 1e-12
    assert difference.worst - 1e-12 <= value["better"] - value["base"] <= difference.best + 1e-12
    assert difference.n_missing == gone.sum()
    whole = bounds(full, baseline="base", treatment="better").iloc[0]
    assert whole.worst == whole.best == pytest.approx(value["better"] - value["base"])


def test_bounds_count_what_was_never_asked() -> None:
    cells = table(scores(4))
    short = cells[(cells.method == "base") | (cells.problem_id != "p3")]
    assert bounds(short).n_missing.tolist() == [0, 12]


def test_probability_of_improvement_and_profiles_are_rliables() -> None:
    """What rliable 1.2.0 said of these (runs x tasks): `metrics.probability_of_improvement(better, base)`, and
    `library.score_distributions(scores, taus)` of each. (Its intervals resample runs, ours problems.)"""
    base = np.array([[0.3, 0.5, 0.8, 0.1], [0.6, 0.5, 0.2, 0.9], [0.4, 1.0, 0.0, 0.7]])
    better = np.array([[0.7, 0.5, 0.9, 0.1], [0.6, 0.8, 0.3, 1.0], [0.2, 1.0, 0.4, 0.7]])
    said = {"base": [0.91666667, 0.75, 0.58333333, 0.33333333, 0.16666667],
            "better": [1, 0.83333333, 0.66666667, 0.5, 0.25]}  # fmt: skip
    # A trace as good at every budget as a run was at a task has its score for an index.
    cells = table(np.stack([base.T, better.T])[..., None].repeat(3, axis=-1))
    found = compare(cells, baseline="base", treatment="better", order="raw", n_resamples=50)
    assert probability_of_improvement(found).probability.item() == pytest.approx(0.6388888888888888, abs=1e-12)
    profile = performance_profile(cells, n_resamples=50)
    profile = profile[profile.tau.round(2).isin([0.05, 0.25, 0.45, 0.65, 0.85])]
    for name, kept in said.items():
        assert profile[profile.method == name].share.to_numpy() == pytest.approx(kept, abs=1e-8)
    assert np.all((profile.low <= profile.share) & (profile.share <= profile.high))


def test_probability_of_improvement_is_scipys_mann_whitney() -> None:
    """Problem by problem, of the traces' indices: U over the number of pairs."""
    quality = np.random.default_rng(3).integers(0, 3, (2, 9, 5, 3)) / 2
    base, better = (index_of("raw").of(q, BUDGETS).round(12) for q in quality)
    each = [scipy_stats.mannwhitneyu(b, a).statistic / 25 for a, b in zip(base, better, strict=True)]
    found = probability_of_improvement(of(quality)).iloc[0]
    assert found.probability == pytest.approx(np.mean(each), abs=1e-12) and found.n_problems == 9
    theirs = scipy_stats.ttest_1samp(each, 0.5).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=1e-12)


def test_probability_of_improvement_of_whole_traces_weighed_as_the_index_is() -> None:
    quality = np.tile(np.linspace(0, 0.8, 5), (2, 40, 4, 1))
    quality[1] += 0.1
    quality[:, :, :2, 3:] = np.nan  # the larger half of some traces is missing: they are in no pair
    found = probability_of_improvement(of(quality, budgets=[1, 2, 3, 4, 5])).iloc[0]
    assert (found.probability, found.low, found.high) == (1, 1, 1)
    quality = np.zeros((2, 20, 4, 6))
    quality[1][..., :4] = quality[0][..., 4:] = 1  # right at four small budgets, against two large ones
    late = of(quality, budgets=[1, 2, 4, 8, 512, 1024], order="raw")
    assert late.statistic < 0 and probability_of_improvement(late).probability.item() == 0
    one = probability_of_improvement(of(scores(1, 0.3))).iloc[0]
    assert np.isnan([one.low, one.high]).all()
    quality = scores(5)
    quality[..., 0] = np.nan
    none = probability_of_improvement(of(quality)).iloc[0]
    assert np.isnan(none.probability) and none.n_problems == 0
