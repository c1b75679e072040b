"""What the readings say of tables whose shape is known: what they hold, and nothing more."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_design import coins
from test_index import cells_of

from anytime_lib.readings import (
    read_accounts,
    read_bias,
    read_bounds,
    read_curves,
    read_designs,
    read_gains,
    read_index,
    read_measures,
    read_null,
    read_power,
    read_rates,
    read_rules,
    read_variance,
    read_variants,
)
from anytime_lib.stats import bounds, estimate, index_variants, measures
from anytime_lib.stats.intervals import spoken
from anytime_lib.studies.calibration import error_rate_table, maximum_bias, null_respondent
from anytime_lib.studies.planning import power_table, variance_split


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
    assert re.search(says, told) and "n = 40 problems, N = 2 samples" in told and "proved" not in told
    assert told == read_curves(cells, n_resamples=400)


def test_too_few_problems_tell_little() -> None:
    for n in (1, 3):
        told = read_curves(shaped([0.0, 0.0, 1.0, 1.0], n=n), n_resamples=200)
        assert "undecided" in told and "rises," not in told and "nothing is proved" in told
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
    told = read_curves(half, n_resamples=200)
    assert "undecided, +0" in told and "(the missing cells could turn that round, so no direction is claimed)" in told
    told = read_curves(shaped([0.3, 0.45, 0.5, 0.55], n=12, seed=11, n_samples=1), n_resamples=200)
    assert "+0.50 [+0.12, +0.88] (its p of exchange, 0.031, is not below 0.025, so no direction is claimed)" in told
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
                          "high": [9.0, 2.0, 7.0, np.nan], "n_problems": 30,
                          "outside": ["", "", "", "beyond"]})  # fmt: skip
    told = read_gains(gains)
    assert "up on t: +5.0 [+1.0, +9.0] points of 100 at 900 tokens (more)" in told
    assert "dear on t: their costs never overlap: even its smallest budget costs more than base's largest." in told
    assert told.count("(undecided)") == 1 and "proved" not in told  # where there is no spread nothing is said


def test_other_readings_of_a_difference_are_counted() -> None:
    rows = [("judged", "crossfit", "above"), ("axis", "log", "above"), ("grid", "every second budget", "around")]
    table = pd.DataFrame(rows, columns=["choice", "variant", "says"])
    text = read_variants({"pdp - base": table})
    assert "pdp - base: by itself the judged interval lies above zero, and so do 1 of 2 other readings" in text
    assert "around zero (undecided) lies grid: every second budget" in text
    assert "around zero (undecided), and so do 0 of 2" in read_variants({"x": table[::-1].reset_index(drop=True)})


def test_a_rule_that_changes_a_decision_is_named() -> None:
    counted = pd.DataFrame({"rule": ["errors", "refused", "solved_by_all"], "cells": [0, 3, 8]})
    rows = [("nothing", 0.01, True, 9, 0.2), ("refused", 0.2, False, 8, -0.1)]
    found = pd.DataFrame(rows, columns=["excluded", "pvalue", "significant", "n_problems", "difference"])
    text = read_rules(counted, found.assign(task="aime", baseline="base", treatment="pdp"))
    assert "Without what refused takes, pdp less base on aime no longer stands (n = 8); pdp" in text
    assert "changes its sign, from +0.2 to -0.1." in text
    assert "Without what solved_by_all takes, nothing can be compared." in text and "errors" not in text
    assert read_rules(counted[:1], found[:0]) == "No rule takes a cell, so none changes a finding."


def test_missing_answers_and_single_traces() -> None:
    cells = cells_of(np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, np.nan], [0.0, 1.0]]]))
    assert "whatever the 1 missing answer would have been" in read_bounds(bounds(cells))
    assert "No answer is missing" in read_bounds(bounds(coins()))
    text = read_measures(measures(coins(), n_resamples=100))
    assert "of the traces are right at some budget, first at" in text and "nan" not in text
    assert "nan" not in read_measures(measures(cells_of(np.zeros((3, 2, 2))), n_resamples=100))


def test_a_flat_index_is_not_told_from_its_null_and_a_rising_one_is() -> None:
    rising = cells_of((np.arange(4) / 3 > np.random.default_rng(0).random((40, 4, 4))).astype(float))
    assert "above its null: pooled, raw and crossfit;" in read_null(index_variants(rising))
    assert "above" not in read_null(index_variants(coins()))


def test_designs_are_told_by_their_power() -> None:
    sizes = {"n_problems": [10, 400], "n_samples": [1, 4]}
    text = read_power(power_table(coins(), effect=0.08, **sizes, n_simulations=500))
    assert "N = 1: from n = 400 problems on" in text and "N = 4: from n = 400 problems on" in text
    assert "by none of these (at most 0." in read_power(power_table(coins(), effect=0.001, **sizes, n_simulations=500))
    rows = [(10, 1, 0.3, 0.5, 100.0), (40, 1, 0.08, 0.12, 400.0), (40, 4, 0.04, 0.09, 1_600.0)]
    table = pd.DataFrame(rows, columns=["n_problems", "n_samples", "detectable", "at_most", "tokens"])
    text = read_designs(table.assign(dollars=np.nan), 0.1)
    assert "variances, the cheapest design that finds it has n = 40 problems, N = 1 sample (400 output" in text
    assert "allows, the cheapest design that finds it has n = 40 problems, N = 4 samples" in text
    assert read_designs(table.assign(dollars=np.nan), 0.01).count("none of these designs finds it") == 2


def test_where_the_variance_lies_is_said_only_where_it_can_be_told() -> None:
    rng = np.random.default_rng(0)
    ease = np.repeat(rng.random((60, 1, 1)) > 0.5, 4, axis=1) * np.ones((1, 1, 3))
    assert "more problems help" in read_variance(
        [variance_split(cells_of(0.8 * ease + 0.1 * rng.random(ease.shape)), "base")]
    )
    alike = cells_of(rng.random((200, 4, 3)).round())
    assert "more samples help as much" in read_variance([variance_split(alike, "base")])
    few = cells_of(rng.random((4, 2, 3)).round())
    assert "cannot be told from this pilot" in read_variance([variance_split(few, "base")])


def test_bias_is_said_only_where_it_is_shown() -> None:
    table = maximum_bias(null_respondent(0.5), [1, 2, 3, 4], n_samples=4, n_repetitions=60)
    text = read_bias({"coin": table}, "n_samples")
    for order in ("pooled", "problem", "trace"):
        assert f"{order}, too high (" in text
    assert "raw, no bias is shown (" in text and "crossfit, no bias is shown (" in text and "all 5 of them" in text


@pytest.mark.parametrize(("judged", "kept"), [("now", "kept in 18 of 18 settings."), ("before", "broken in: flat")])
def test_promises_are_counted(judged: str, kept: str) -> None:
    rates = error_rate_table().query("study == 'no effect' and world in ['flat', 'overthinking'] and judged == @judged")
    assert kept in read_rates(rates, {"too high": (0, 0.025)})
