"""Readings of the studies say what their tables hold, and nothing more."""

import numpy as np
import pandas as pd
import pytest
from test_design import coins
from test_index import cells_of

from anytime_lib.readings import (
    read_bias,
    read_bounds,
    read_designs,
    read_measures,
    read_null,
    read_power,
    read_rates,
    read_rules,
    read_variance,
    read_variants,
)
from anytime_lib.stats import bounds, index_variants, measures
from anytime_lib.studies.calibration import error_rate_table, maximum_bias, null_respondent
from anytime_lib.studies.planning import power_table, variance_split


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
    assert "above its null: pooled, raw and crossfit;" in read_null(index_variants(rising, n_resamples=100))
    assert "above" not in read_null(index_variants(coins(), n_resamples=100))


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


@pytest.mark.parametrize(
    ("judged", "kept"), [("crossfit", "kept in 18 of 18 settings."), ("pooled", "broken in the worlds flat")]
)
def test_promises_are_counted(judged: str, kept: str) -> None:
    rates = error_rate_table().query("study == 'no effect' and world in ['flat', 'overthinking'] and judged == @judged")
    assert kept in read_rates(rates, {"too high": (0, 0.025)})
