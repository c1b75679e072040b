"""The Anytime Index and the curve: hand-computed cases and the properties the formula promises."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anytime_lib import anytime_curve, anytime_index
from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS, cells_array, mean_curve, quality_array
from anytime_lib.stats.estimate import index_variants
from anytime_lib.store import CELL_COLUMNS, tidy

budgets = st.lists(st.integers(1, 100_000), min_size=2, max_size=8, unique=True).map(sorted)
unit = st.floats(0, 1, allow_subnormal=False)


@st.composite
def curves(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    b = draw(budgets)
    return b, draw(arrays(float, (draw(st.integers(1, 4)), len(b)), elements=unit))


def test_hand_computed() -> None:
    # best so far .2 .5 .5 .9 at 100 200 400 800: (.35*100 + .5*200 + .7*400) / 700
    b, q = [100, 200, 400, 800], [0.2, 0.5, 0.3, 0.9]
    assert anytime_index(b, q) == pytest.approx(415 / 700)
    assert anytime_index(b, q, running_max=False) == pytest.approx((0.35 * 100 + 0.4 * 200 + 0.6 * 400) / 700)
    assert anytime_index(b, q, axis="log") == pytest.approx(anytime_index([1, 2, 3, 4], q))
    assert anytime_index([1, 3], [0.5, 0.5]) == 0.5
    assert anytime_index([1, 2, 3], [0.2, 0.4, 0.4], q_max="observed") == pytest.approx((0.3 + 0.4) / 2 / 0.4)
    assert anytime_index([1, 2], [1, 3], q_max=4) == pytest.approx(0.5)
    assert anytime_index([1, 2], [0, 0], q_max="observed") == 0


@given(curves(), st.floats(0, 1), st.integers(1, 1000))
def test_bounded_monotone_and_scale_free(given_: tuple[list[int], np.ndarray], lift: float, scale: int) -> None:
    b, q = given_
    index, rising = np.asarray(anytime_index(b, q)), np.sort(q, axis=-1)
    assert index.shape == q.shape[:-1] and np.all((index >= 0) & (index <= 1))
    assert [anytime_index(b, row) for row in q] == pytest.approx(index)
    assert np.all(np.asarray(anytime_index(b, q + lift * (1 - q))) >= index - 1e-12)
    assert anytime_index([x * scale for x in b], q) == pytest.approx(index)
    own = np.asarray(anytime_index(b, rising, running_max=False))  # a rising curve is its own maximum
    assert anytime_index(b, rising) == pytest.approx(own)
    assert np.all(np.asarray(anytime_index(b, q, running_max=False)) <= index + 1e-12)


@pytest.mark.parametrize(
    ("b", "q", "axis", "says"),
    [([5], [0.5], "linear", "at least two budgets"), ([2, 2], [0.1, 0.2], "linear", "strictly increasing"),
     ([1, np.nan], [0.1, 0.2], "linear", "finite"), ([1, 2], [0.1, np.nan], "linear", "NaN"),
     ([1, 2], [0.1, 1.2], "linear", r"\[0, 1.0\]"), ([1, 2], [-0.1, 0.2], "linear", r"\[0, 1.0\]"),
     ([1, 2, 3], [0.1, 0.2], "linear", "one value per budget"), ([0, 1], [0.1, 0.2], "log", "above 0"),
     ([1, 2], [0.1, 0.2], "Log", "axis must be linear.* not 'Log'")],
)  # fmt: skip
def test_nonsense_is_an_error_that_says_so(b: list[float], q: list[float], axis: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        anytime_index(b, q, axis=axis)


def cells_of(quality: np.ndarray, method: str = "base") -> pd.DataFrame:
    """A tidy table from a (P, S, T) array."""
    rows = [
        {"run": "r", "model": "m", "task": "t", "problem_id": f"p{p}", "method": method, "sample": s,
         "budget": 2**t, "tokens_used": 2**t, "score": q if q == q else None, "correct": q == 1,
         "status": "ok" if q == q else "error"}
        for (p, s, t), q in np.ndenumerate(quality)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows, columns=CELL_COLUMNS))


@given(arrays(float, (3, 4, 5), elements=unit))
def test_levels_of_the_maximum_are_ordered(quality: np.ndarray) -> None:
    raw, pooled, problem, trace = (mean_curve(quality, o) for o in ("raw", "pooled", "problem", "trace"))
    for lower, higher in ((raw, pooled), (pooled, problem), (problem, trace)):
        assert np.all(lower <= higher + 1e-12) and np.all(np.diff(higher) >= -1e-12)
    for order in ORDERS:
        one, many = mean_curve(quality, order), mean_curve(np.stack([quality, quality]), order)
        assert many == pytest.approx(np.stack([one, one]))


def test_bias_of_each_level_is_the_documented_one() -> None:
    """True quality flat at .5, ten budgets, eight samples: only the maximum makes the index larger."""
    quality = (np.random.default_rng(0).random((400, 8, 10)) < 0.5).astype(float)
    found = {o: anytime_index(range(1, 11), mean_curve(quality, o), running_max=False) for o in ORDERS}
    expected = {"raw": 0.50, "crossfit": 0.50, "pooled": 0.51, "problem": 0.69, "trace": 0.92}
    assert found == pytest.approx(expected, abs=0.006)


def test_curve_of_cells_leaves_out_what_is_missing() -> None:
    quality = np.array([[[0.0, 1.0], [1.0, np.nan]], [[0.5, 0.5], [np.nan, 0.0]]])
    curve = anytime_curve(cells_of(quality), order="raw")
    assert curve.quality.tolist() == [0.5, 0.625]  # means over problems of means over what each has
    assert curve.n_cells.tolist() == [3, 3] and curve.n_missing.tolist() == [1, 1]
    back, problems, columns = quality_array(cells_of(quality).sample(frac=1, random_state=0))  # rows in any order
    assert problems == ["p0", "p1"] and columns == [1, 2]
    assert np.array_equal(back, quality, equal_nan=True)


def test_cells_that_make_no_array() -> None:
    cells = cells_of(np.zeros((3, 2, 2)))
    both = pd.concat([cells, cells[:5].assign(method="pdp")])
    assert cells_array(both)[1:] == (["base", "pdp"], ["p0", "p1", "p2"], [1, 2])
    wrong = {
        "7 cells are there more than once.*method, problem_id, sample, budget": pd.concat([cells, cells[:7]]),
        "have no 'sample'": cells.assign(sample=cells["sample"].astype(float).where(cells["sample"] > 0)),
        "hold several": pd.concat([cells, cells.assign(task="u")]),
        "has no column 'score'": cells.drop(columns="score"),
        "must be numbers": cells.assign(score="right"),
        r"lie in \[0, 1\], not \[0, 1.5\]": cells.assign(score=[1.5] + [0.0] * 11),
    }
    for says, broken in wrong.items():
        with pytest.raises(DataError, match=says):
            cells_array(broken)
    with pytest.raises(DataError, match="the cells hold 2"):
        quality_array(both)


@pytest.mark.parametrize("n_samples", [2, 3, 4])
@pytest.mark.parametrize(
    ("low", "high", "turn", "least"),
    [(0.5, 0.5, 1.0, -0.006), (0.2, 0.8, 1.0, -0.012), (0.3, 0.6, 0.6, -0.02), (0.55, 0.35, 1.0, -0.03)],
    ids=["flat", "rising", "overthinking", "falling"],
)
def test_crossfit_is_neither_optimistic_nor_far_below(
    n_samples: int, low: float, high: float, turn: float, least: float
) -> None:
    """Against the index of the true curve's maximum, with problems that differ: never above it, and near it."""
    rng, x = np.random.default_rng(1), np.linspace(0, 1, 10)
    true = low + (high - low) * np.minimum(x / turn, 1 - 0.7 * (x - turn))
    chance = 2 * rng.beta(2, 2, (100, 1, 1)) * true
    quality = (rng.random((300, 100, n_samples, 10)) < chance).astype(float)
    read = {o: anytime_index(range(10), mean_curve(quality, o), running_max=False) for o in ("crossfit", "pooled")}
    bias = {o: float(np.mean(v)) - anytime_index(range(10), np.clip(chance, 0, 1).mean(axis=(0, 1)))
            for o, v in read.items()}  # fmt: skip
    error = np.std(read["crossfit"]) / np.sqrt(300)
    assert least < bias["crossfit"] < 3 * error
    if low == high:
        assert bias["pooled"] > 0.01 > abs(bias["crossfit"])


def test_crossfit_by_hand() -> None:
    """Two samples, one halving: each picks its best budget so far (the latest of ties) and reads it in the other."""
    quality = np.array([[[1.0, 0.0, 1.0], [0.0, 0.5, 0.2]], [[1.0, 0.5, 0.2], [0.4, 0.6, 0.0]]])
    # means of the halves: 1, .25, .6 and .2, .55, .1: picked 0, 0, 0 and 0, 1, 1
    assert mean_curve(quality, "crossfit") == pytest.approx([(0.2 + 1) / 2, (0.2 + 0.25) / 2, (0.2 + 0.25) / 2])
    quality[:, 1, 2] = np.nan  # a budget that one half lacks is read the one way that is left
    assert np.isnan(mean_curve(quality[:, 1:2], "raw")[2]) and mean_curve(quality, "crossfit")[2] == pytest.approx(0.2)


def test_permutation_null_is_the_maximum_alone() -> None:
    quality = (np.random.default_rng(0).random((200, 4, 8)) < np.linspace(0.2, 0.8, 8)).astype(float)
    found = index_variants(cells_of(quality)).query("axis == 'log' and q_max == 1")
    null = found.set_index("order").null
    assert null["raw"] == pytest.approx(quality.mean(), abs=0.02) and null["crossfit"] == pytest.approx(0.5, abs=0.03)
    assert null["raw"] < null["pooled"] < null["problem"] < null["trace"]
