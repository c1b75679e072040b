"""What the readings of curves, indices, costs and differences say of tables whose shape is known."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_index import cells_of

from anytime_lib.readings import read_accounts, read_curves, read_gains, read_index
from anytime_lib.stats import estimate
from anytime_lib.stats.intervals import spoken


def shaped(curve: list[float], method: str = "base", n: int = 40, seed: int = 0, n_samples: int = 2) -> pd.DataFrame:
    """Cells that are right with the chances of a curve."""
    drawn = np.random.default_rng(seed).random((n, n_samples, len(curve))) < np.array(curve)
    return cells_of(drawn.astype(float), method)


RISING, FLAT, FALLING, SOON = [0.1, 0.4, 0.6, 0.9], [0.5] * 4, [0.9, 0.6, 0.3, 0.2], [0.1, 0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("curve", "says"),
    [(RISING, r"base rises, .*half of its final quality is there by 4 tok.*from 4 tokens on it still rises"),
     (FALLING, r"base falls, -0"), (FLAT, "base: whether it rises or falls is undecided, .*no change is shown"),
     (SOON, r"base rises, .*by 2 tokens.*no change is shown"),
     ([1.0] * 4, "whether it rises or falls is undecided")],
)  # fmt: skip
def test_a_curve_of_known_shape(curve: list[float], says: str) -> None:
    cells = shaped(curve)
    told = read_curves(cells, n_resamples=400)
    assert re.search(says, told) and "n = 40 problems, N = 2 samples" in told and "hint" not in told
    assert told == read_curves(cells, n_resamples=400)


def test_too_few_problems_tell_little() -> None:
    for n in (1, 3):
        told = read_curves(shaped([0.0, 0.0, 1.0, 1.0], n=n), n_resamples=200)
        assert "undecided" in told and "rises," not in told and "a hint, no proof" in told
    assert read_curves(shaped([0.5])).endswith("one budget, so there is no curve to read.")
    many = pd.concat([shaped(FLAT, f"m{i}", seed=i) for i in range(20)])
    assert read_curves(many, n_resamples=100).count("undecided") == 20  # of so many one or two would "differ"


def test_cells_that_are_missing_are_said() -> None:
    dead = shaped(RISING, "dead").assign(score=np.nan, status="error")
    late = shaped(RISING, "late").query("budget > 1")
    told = read_curves(pd.concat([shaped(RISING), dead, late]), n_resamples=200)
    assert "base rises" in told and "dead cannot be read" in told and "late cannot" in told and "nan" not in told
    half = shaped(RISING)
    half.loc[half["sample"] == 1, ["score", "status"]] = [np.nan, "error"]
    assert "undecided" in read_curves(half, n_resamples=200)  # they could turn it round
    index = read_index(estimate(pd.concat([half, dead]), n_resamples=200))
    assert "dead lacks graded cells" in index and "nan" not in index and "paired difference" in index


def test_quality_is_set_beside_guessing() -> None:
    cells = pd.concat([shaped(RISING, "up"), shaped([0.25] * 4, "guess"), shaped(FALLING[::-1], "high")])
    told = read_curves(cells, chance=0.25, n_resamples=400)
    assert told.endswith("At the largest budget up and high are above; guess is not told from guessing (0.25).")


def test_digits_follow_the_interval() -> None:
    assert spoken(0.3149, 0.2051, 0.4249) == "+0.31 [+0.21, +0.42]"
    assert spoken(0.5, 0.49, 0.51, sign="") == "0.500 [0.490, 0.510]"
    assert spoken(1234.4, 900.0, 1500.0, sign="") == "1,234 [900, 1,500]"
    assert spoken(-0.2, -0.2, -0.2) == "-0.200 [-0.200, -0.200]"


def accounts(**curves: Any) -> pd.DataFrame:
    rows = [
        {"task": "t", "method": m, "budget": b, "best": q, "total_all": 100 * b + extra, "preparation": extra * 10,
         "n_problems": 10} for m, (quality, extra) in curves.items() for b, q in zip((1, 2, 4), quality, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_costs_and_gains_are_read() -> None:
    told = read_accounts(accounts(base=([0.1, 0.3, 0.5], 0), pdp=([0.5, 0.6, 0.7], 100), leap=([0.1, 0.1, 0.2], 0)))
    assert "base: 400 tokens." in told and "pdp: 500 tokens, 100 of them its share of the 1,000" in told
    assert "reaches the final quality of base with 50% of its tokens" in told and "leap: 400 tokens; never" in told
    gains = pd.DataFrame({"task": "t", "method": ["up", "flat", "open", "dear"], "axis": "total_all", "budget": 4,
                          "tokens": 900.0, "points": [5.0, 2.0, 3.0, np.nan], "low": [1.0, 2.0, -1.0, np.nan],
                          "high": [9.0, 2.0, 7.0, np.nan], "n_problems": 30})  # fmt: skip
    told = read_gains(gains)
    assert "up on t: +5.0 [+1.0, +9.0] points of 100 at 900 tokens (more)" in told and "dear on t: at no cost" in told
    assert told.count("(undecided)") == 1 and "hint" not in told  # where there is no spread nothing is said
