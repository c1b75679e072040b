"""Tests, margins, families and bounds: against scipy, and through the traps others fell into."""

import re
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
from anytime_lib.stats import Comparison, bounds, compare, compare_family, conclude, equivalent, noninferior
from anytime_lib.stats.bootstrap import CurveStatistic, exchange_signs, index_of, sign_flip_pvalue
from anytime_lib.stats.compare import compare_arrays
from anytime_lib.stats.family import Family, Member, bound_pvalue, holm
from anytime_lib.stats.intervals import Interval, one_sided_pvalue, upper_bound

BUDGETS = [1, 2, 4]


def scores(n: int, lift: float = 0.0, k: int = 4, arms: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ease = rng.random((1, n, 1, 1)) + np.array([0.0] + [lift] * (arms - 1))[:, None, None, None]
    return (rng.random((arms, n, k, 3)) < ease * [0.5, 0.8, 1.0]).astype(float)


def of(quality: np.ndarray, estimand: Any = "crossfit", *, budgets: list[int] = BUDGETS, **settings: Any) -> Comparison:
    return compare_arrays(quality, budgets, estimand, **({"n_resamples": 500} | settings))


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


@pytest.mark.parametrize(
    ("n", "gain", "better"), [(10, 0.1, False), (3, 0.9, False), (10, 1.0, True), (300, 0.1, True)]
)
def test_a_constant_difference_has_an_interval_that_allows_for_rare_losses(n: int, gain: float, better: bool) -> None:
    """Every problem differs alike, to rounding, where the formula of t gives p = 0 and a point."""
    base = np.random.default_rng(n).random((1, n, 3, 3)) * (1 - gain)
    found = of(np.concatenate([base, base + gain]), "raw")
    low, high = found.confidence_interval()
    assert found.statistic == pytest.approx(gain) and low < gain <= high
    assert low == pytest.approx(1 - (1 + gain) * (1 - 0.025 ** (1 / n)) - (1 - gain), abs=1e-6)
    assert ("is better" in found.summary()) == better and "every problem differs alike" in found.summary()


def test_no_difference_at_all() -> None:
    found = of(scores(25)[[0, 0]])
    assert found.pvalue == 1 and found.confidence_interval() == pytest.approx(
        [0.025 ** (1 / 25) - 1, 1 - 0.025 ** (1 / 25)]
    )
    for margin in (0.01, 0.11, 0.12):  # what 25 problems show if none differs: a margin above 1 - .05^(1/25) = .1129
        assert noninferior(found, margin).pvalue == pytest.approx((1 - margin) ** 25)
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
        by_draws += chance * (one_sided_pvalue(found.draws, found.statistic, -margin, n=n) < 0.05)
        exact = scipy_stats.binomtest(lost, n, margin, alternative="less").pvalue
        assert bound_pvalue((np.arange(n) < lost).astype(float), margin) == pytest.approx(exact)
        assert noninferior(found, margin).pvalue >= exact - 1e-9 or lost >= 6
    assert wrong <= 0.06 and by_draws > 0.09


def test_margins_agree_with_the_interval_and_name_what_they_assume() -> None:
    """Equivalence at alpha holds just when the 1 - 2 alpha interval lies inside the margins."""
    found = of(scores(60, 0.02), n_resamples=4_000)
    low, high = replace(found, confidence_level=0.9).confidence_interval()
    for margin in np.linspace(0.005, 0.2, 60):
        if min(abs(-margin - low), abs(margin - high)) > 1e-3:
            assert noninferior(found, margin).holds == (low > -margin)
            assert equivalent(found, margin).holds == (low > -margin and high < margin)
    rare = max(upper_bound(-found.contributions), upper_bound(found.contributions))
    says = equivalent(found, 0.3).says
    assert "shown at alpha = 0.05 by t" in says and f"rare and large, only a margin of {rare:.3f} or more" in says
    with pytest.raises(DataError, match="above 0"):
        noninferior(found, 0)


def test_thirty_problems_show_a_margin_of_five_points() -> None:
    """By the bound alone 59 would be needed; ten samples each, no true difference."""
    rng, shown = np.random.default_rng(2), 0
    for _ in range(40):
        ease = rng.random((1, 30, 1, 1)) * [0.5, 0.8, 1.0]
        shown += noninferior(
            of((rng.random((2, 30, 10, 3)) < ease).astype(float), n_resamples=200, seed=rng), 0.05
        ).holds
    assert 8 <= shown <= 36


def test_of_tokens_fewer_are_better() -> None:
    """A treatment that takes 254 tokens more: worse, by more than 50, in every sentence."""
    tokens = CurveStatistic(lambda curve, _: 1_000 * np.asarray(curve.mean(axis=-1)), "raw", "tokens to reach .3", True)
    quality = np.clip(0.3 + 0.02 * np.random.default_rng(0).standard_normal((2, 40, 2, 3)), 0, 1)
    quality[1] += 0.254
    slower, faster = of(quality, tokens), of(quality[::-1], tokens)
    assert slower.direction == -1 and "is worse than baseline: difference +25" in slower.summary()
    assert "in tokens to reach .3" in slower.summary()
    assert not noninferior(slower, 50).holds and noninferior(slower, 400).holds and noninferior(faster, 50).holds
    family = Family({Member("r", "m", "t", "base", name): c for name, c in (("a", slower), ("b", faster))}, 0.05)
    assert conclude(family, 50).verdict.tolist() == ["worse", "better"]


def shapes(rng: np.random.Generator, n: int = 198, k: int = 10) -> np.ndarray:
    """A flat arm and a rising one of equal true index, over ten budgets that double."""
    ease = rng.beta(2, 2, (n, 1, 1)) * 2
    weights = np.asarray([anytime_index(DOUBLING, row, running_max=False) for row in np.eye(10)])
    rising = np.linspace(0.3, 0.5, 10)
    curves = np.stack([np.full(10, weights @ rising), rising])  # at most .5, so that nothing is cut off at 1
    return (rng.random((2, n, k, 10)) < ease * curves[:, None, None]).astype(float)


DOUBLING = [2**i for i in range(10)]


def test_what_is_judged_is_not_biased_by_the_shape_of_a_curve() -> None:
    """Whose intervals hold the truth, 0, in what share of 60 experiments: judged, and by the pooled maximum."""
    held = np.zeros(2)
    for rng in np.random.default_rng(0).spawn(60):
        quality = shapes(rng)
        found = [of(quality, e, budgets=DOUBLING, n_resamples=200, seed=rng) for e in ("crossfit", index_of("pooled"))]
        held += [c.confidence_interval().low <= 0 <= c.confidence_interval().high for c in found]
        assert found[0].beside["pooled"] == found[1].statistic and "trust" not in found[0].summary()
    assert held[0] / 60 >= 0.9 and held[1] / 60 < 0.85


@pytest.mark.parametrize(
    ("k", "declared", "judged", "beside"),
    [(2, "crossfit", "crossfit", ["pooled", "raw", "final"]), (1, "crossfit", "raw", ["pooled", "final"]),
     (2, "raw", "raw", ["pooled", "crossfit", "final"])],
)  # fmt: skip
def test_the_estimand_is_declared_and_named_wherever_it_stands(
    k: int, declared: Any, judged: str, beside: list[str]
) -> None:
    cells = table(scores(18, 0.2, k=k))
    family = compare_family(cells, n_resamples=150, estimand=declared)
    found = next(iter(family.comparisons.values()))
    quality = scores(18, 0.2, k=k)
    assert found.statistic == pytest.approx(np.diff(index_of(judged)(quality, BUDGETS))[0])  # type: ignore[arg-type]
    assert list(found.beside) == beside and found.beside["pooled"] == np.diff(index_of()(quality, BUDGETS))[0]
    for text in (found.summary(), family.summary(), conclude(family, 0.05).reading[0], found.to_frame().estimand[0]):
        assert f"the Anytime Index ({judged})" in text
    assert found.to_frame()[beside].notna().all(axis=None)
    with pytest.raises(DataError, match="'pooled' is described and not judged"):
        compare(cells, baseline="base", treatment="better", estimand="pooled")  # type: ignore[arg-type]


def test_missing_cells_are_named_and_withhold_what_they_could_turn_round() -> None:
    rng = np.random.default_rng(0)
    quality = (rng.random((1, 100, 4, 3)) < 0.5).astype(float)
    quality = np.concatenate([quality, quality[:, :, ::-1]])  # no difference
    assert not of(quality).n_missing and "without a score" not in of(quality).summary()
    lost = quality.copy()
    lost[1, ..., 1:][(rng.random((100, 4, 2)) < 0.3) & (quality[1, ..., 1:] == 0)] = np.nan  # only wrong answers
    found, n = of(lost), int(np.isnan(lost).sum())
    least, most = found.missing_interval()
    assert (
        found.confidence_interval().low > 0
        and least < 0 < most
        and least <= found.bounds.low <= found.statistic <= found.bounds.high <= most
    )
    assert found.withheld and not found.direction and f"without a score: {n} ({n / 2400:.1%})" in found.summary()
    family = Family({Member("r", "m", "t", "base", "pdp"): found}, 0.05)
    assert conclude(family, 0.05).verdict.item() == "withheld" and "withheld" in found.summary()
    few = quality.copy()
    few[1] = np.maximum(quality[1], rng.random((100, 4, 3)) < 0.8)
    few[1, 0, 0, 0] = np.nan
    assert of(few).direction == 1 and not noninferior(replace(found, bounds=Interval(-0.2, 0.2)), 0.05).holds


def test_near_an_end_of_the_scale_it_is_said() -> None:
    rare = (np.random.default_rng(0).random((2, 30, 4, 3)) < 0.05).astype(float)
    assert "near an end of the scale" in of(rare).summary() and "near an end" not in of(scores(30)).summary()


def test_claims_of_equivalence_are_adjusted_for_their_number() -> None:
    """Twenty methods that each pass the margin by a little: alone each is equivalent, together none."""
    rng = np.random.default_rng(1)
    alike = of(np.clip(0.5 + 0.1 * rng.standard_normal((2, 60, 2, 3)), 0, 1), n_resamples=400)
    margin = next(m for m in np.linspace(0.001, 0.1, 400) if equivalent(alike, m).pvalue < 0.02)
    members = {Member("r", "m", "t", "base", f"m{i}"): alike for i in range(20)}
    verdicts = [set(conclude(Family(dict(list(members.items())[:n]), 0.05), margin).verdict) for n in (1, 20)]
    assert verdicts == [{"equivalent"}, {"undecided"}]


def test_what_is_compared_is_what_both_have_in_any_order() -> None:
    cells = table(scores(20, 0.2))
    names: Any = {"baseline": "base", "treatment": "better", "n_resamples": 100}
    one, other = (compare(c, **names) for c in (cells, cells.sample(frac=1, random_state=0)))
    assert np.array_equal(one.draws, other.draws) and one.pvalue == other.pvalue
    again = compare(cells, **names, seed=4)
    assert not np.array_equal(one.draws, again.draws) and again.statistic == one.statistic
    lost = cells.copy()
    lost.loc[[0, 1], ["score", "status"]] = [np.nan, "error"]
    found = compare(lost, **names)
    assert (found.n_missing, found.n_left_out) == (2, 4)  # two missing cells, and their two partners
    fewer = compare(cells[(cells.method == "base") | (cells["sample"] < 3)], **names)
    assert fewer.n_samples == 3 and (fewer.n_missing, fewer.n_left_out) == (0, 20 * 3)
    for broken, says in (
        (cells[cells.method == "base"], "no cells of method 'better'; the table holds base"),
        (cells[cells.method == "better"], "no cells of method 'base'"),
        (cells[(cells.method == "base") | (cells.budget < 4)], "different budgets"),
        (cells.assign(score=cells.score.where(cells.method == "base")), "base and better share no graded cell"),
        (cells[cells.budget == 1], "at least two budgets"),
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
    assert ", 2 stand at a family-wise error of 5% (Holm): better better than base on a; third" in family.summary()
    assert "; 2 are undecided. Here crossfit: the best budget so far chosen by half of the" in family.summary()
    cells.loc[cells.index[:3], "score"] = np.nan  # now pair by pair, with other cells in each
    again = compare_family(cells, [["base", "third"]], n_resamples=300, seed=4)
    assert [c.n_missing for c in again.comparisons.values()] == [3, 0]
    for member, found in again.comparisons.items():
        alone = compare(cells[cells.task == member.task], baseline="base", treatment="third", n_resamples=300, seed=4)
        assert np.array_equal(found.draws, alone.draws) and found.to_frame().equals(alone.to_frame())


@given(st.integers(0, 2**24 - 1), arrays(float, (2, 2, 2, 3), elements=st.sampled_from([0.0, 0.5, 1.0])))
@settings(max_examples=12)
def test_bounds_hold_whatever_the_missing_answers_were(lost: int, truth: np.ndarray) -> None:
    gone = ((lost >> np.arange(24)) & 1).astype(bool).reshape(2, 2, 2, 3)
    seen, full = table(np.where(gone, np.nan, truth)), table(truth)
    arms = bounds(seen)
    value = {m: float(index_of()(q, BUDGETS)) for m, q in zip(("base", "better"), truth, strict=True)}
    for row in arms.itertuples():
        assert row.worst - 1e-12 <= value[row.method] <= row.best + 1e-12
    assert arms.n_missing.sum() == gone.sum()
    whole = bounds(full).set_index("method")
    assert whole.worst.tolist() == whole.best.tolist() == pytest.approx([value[m] for m in whole.index])


def test_bounds_count_what_was_never_asked() -> None:
    cells = table(scores(4))
    short = cells[(cells.method == "base") | (cells.problem_id != "p3")]
    assert bounds(short).n_missing.tolist() == [0, 12]
    third = pd.concat([cells, table(scores(9, k=4), ("third",))])
    assert bounds(third).n_missing.tolist() == [60, 60, 0]


@st.composite
def families(draw: st.DrawFn) -> Family:
    """Comparisons in which interval, p and missing cells agree or do not."""
    found, of = {}, lambda *values: draw(st.sampled_from(values))
    for i in range(of(1, 2, 4)):
        n, rng, lost = of(1, 4, 30), np.random.default_rng(of(*range(50))), of(0.0, 0.2)
        parts = of(-0.3, -0.05, 0.0, 0.05, 0.3) + of(0.0, 0.1) * rng.normal(size=n)
        value, p = float(parts.mean()), of(1e-9, 0.004, 0.0166, 0.049999, 0.05, 0.0500001, 0.3, 1.0)
        facts: dict[str, Any] = {"statistic": value, "pvalue": p, "n_problems": n, "contributions": parts}
        facts |= {"draws": parts[rng.integers(n, size=(200, n))].mean(axis=1), "lower_is_better": of(False, True)}
        one = Comparison("base", "pdp", estimand="it", bounds=Interval(value - lost, value + lost), **facts)
        found[Member("r", "m", f"t{i}", "base", "pdp")] = one
    return Family(found, 0.05)


@given(families())
@settings(max_examples=60)
def test_words_interval_p_and_holm_never_disagree(family: Family) -> None:
    verdicts, stand = conclude(family, 0.1).itertuples(), 0
    every = zip(family.comparisons.values(), family.sentences(), verdicts, family.to_frame().significant, strict=True)
    for c, text, found, significant in every:
        (ends,) = re.findall(r"difference (\S+), 95% interval over problems \[(\S+), (\S+)\]", text)
        value, low, high = map(float, ends)
        small = [float(p) < 0.05 for p in re.findall(r"(?:p =|and) ([\de.-]+)", text)]
        (said,) = re.findall("is (better|worse|undecided)", text)
        assert len(small) == 1 + (len(family.comparisons) > 1) and "not adjusted" in c.summary()
        assert text in found.reading and significant == (said != "undecided")
        excludes = low > 0 or high < 0
        if significant:
            stand += 1
            assert excludes and all(small) and (value > 0) == ((said == "better") != c.lower_is_better)
            assert found.verdict == said and f"pdp {said} than base on" in family.summary()
        else:
            why = {"withheld": "withheld", "hint": "among so many"}.get(found.verdict, "do not agree")
            assert (why in text) == (excludes or small[0]) and found.verdict not in ("better", "worse")
    assert f", {stand or 'none'} stand" in family.summary()
