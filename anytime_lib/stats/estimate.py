"""How good is each arm, and how sure is that? Tables of indices, curves with bands, and what the choices change."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.index import ARM, ORDERS, Floats, Order, mean_curve, quality_array
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, curve_of, generator, index_of, jackknifed, resampled
from anytime_lib.stats.intervals import interval, simultaneous_interval, widen_near_limits


def estimate(
    cells: pd.DataFrame, *, order: Order = "pooled", n_resamples: int = 10_000, seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """The Anytime Index of every arm in the cells, with its t interval, cut off at 0 and 1 and widened near them.

    Returns:
        One row per arm: run, model, task, method, order, index, low, high, final (quality at the largest budget),
        n_problems, n_samples, n_missing, note (what to beware of in the interval, "" if nothing).
    """
    of, rows = index_of(order), []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        value, values = float(of(quality, budgets)), problem_values(quality, budgets, of)
        draws = resampled(quality[None], budgets, of, n_resamples, seed)[:, 0]
        ends = interval(draws, value, n=len(values), confidence_level=confidence_level)
        low, high, note = widen_near_limits(ends, values, confidence_level)
        final, missing = float(mean_curve(quality, "raw")[-1]), int(np.isnan(quality).sum())
        rows.append((*arm_of, order, value, low, high, final, len(problems), quality.shape[1], missing, note))
    names = ["order", "index", "low", "high", "final", "n_problems", "n_samples", "n_missing", "note"]
    return pd.DataFrame(rows, columns=[*ARM, *names])


def problem_values(quality: Floats, budgets: list[int], statistic: CurveStatistic) -> Floats:
    """What each problem adds to a statistic of one arm (jackknife pseudo-values): (P, S, T) -> (n,), for the n problems
    graded at the budget that fewest were graded at. Their mean is the statistic, or nearly so."""
    held = graded(quality)
    scarce = held[:, held.sum(axis=0).argmin()]
    value, n = np.asarray(statistic(quality, budgets)), int(scarce.sum())
    if n < 2:
        return np.repeat(value[None], n, axis=0)
    return np.asarray(value + (n - 1) * (value - jackknifed(quality[None], budgets, statistic)[:, 0][scarce]))


def graded(quality: Floats) -> Floats:
    """(P, S, T) -> (P, T): whether a problem has a graded cell at each budget."""
    return np.asarray((~np.isnan(quality)).any(axis=1))


def band(
    cells: pd.DataFrame, *, order: Order = "pooled", n_resamples: int = 2_000, seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """Bootstrap bands of one arm's curve, pointwise and simultaneous, cut off and widened as in `estimate`.

    Returns:
        One row per budget: budget, quality, low, high (each budget by itself), low_all, high_all (the whole curve at
        once, judged by the fewest problems of any budget with two or more), n_problems (graded at the budget; with a
        running maximum, at the least so far), note.
    """
    quality, _, budgets = quality_array(cells)
    curve, last = mean_curve(quality, order), CurveStatistic(lambda curve, _: curve[..., -1], order)
    draws = resampled(quality[None], budgets, curve_of(order), n_resamples, seed)[:, 0]
    counts = graded(quality).sum(axis=0)
    counts = counts if order == "raw" else np.minimum.accumulate(np.where(counts, counts, len(quality)))
    judged = counts > 1
    fewest = int(counts[judged].min(initial=len(quality)))
    shown = np.where(judged, curve, np.nan)
    whole = np.clip(simultaneous_interval(draws, shown, n=fewest, confidence_level=confidence_level), 0, 1)
    rows = []
    for t, n in enumerate(counts):
        ends = interval(draws[:, t], curve[t], n=int(n), confidence_level=confidence_level)
        values = problem_values(quality[..., : t + 1], budgets, last)
        low, high, note = widen_near_limits(ends, values, confidence_level)
        low_all, high_all = whole[:, t]
        if note:  # what is too narrow by itself is so among the others
            low_all, high_all = min(low, low_all), max(high, high_all)
        rows.append((budgets[t], curve[t], low, high, low_all, high_all, int(n), note))
    names = ["budget", "quality", "low", "high", "low_all", "high_all", "n_problems", "note"]
    return pd.DataFrame(rows, columns=names)


def index_variants(
    cells: pd.DataFrame, *, n_resamples: int = 2_000, n_permutations: int = 100, seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """Every variant of the index for every arm, each beside what it would read if budgets made no difference.

    Returns:
        One row per arm, order, axis and q_max, all by the same draws: index, low, high, null (mean of the
        `permutation_null`), null_low and null_high (its central 95 %). No `crossfit` for arms with a single sample.
    """
    scales: list[tuple[Any, Any]] = list(product(("linear", "log"), (1.0, "observed")))
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, _, budgets = quality_array(arm)
        fewest = int(graded(quality).sum(axis=0).min())
        for order in ORDERS if quality.shape[1] > 1 else ORDERS[:-1]:
            resampling, permuting = generator(seed).spawn(2)
            curve = mean_curve(quality, order)
            drawn = resampled(quality[None], budgets, curve_of(order), n_resamples, resampling)[:, 0]
            flat = permutation_null(quality, order, n_permutations=n_permutations, rng=permuting)
            for axis, top in scales:
                read = index_of(order, q_max=top, axis=axis).of
                value, null = read(curve, budgets), read(flat, budgets)
                ends = interval(read(drawn, budgets), value, n=fewest, confidence_level=confidence_level)
                null_ends = np.nanquantile(null, [0.025, 0.975])
                rows.append((*arm_of, order, axis, top, value, *np.clip(ends, 0, 1), np.nanmean(null), *null_ends))
    names = [*ARM, "order", "axis", "q_max", "index", "low", "high", "null", "null_low", "null_high"]
    return pd.DataFrame(rows, columns=names).astype({"index": float})


def permutation_null(quality: Floats, order: Order, *, n_permutations: int, rng: np.random.Generator) -> Floats:
    """Curves as they would look if the budget made no difference, (P, S, T) of one arm -> (n_permutations, T): each
    trace's scores are dealt to its budgets at random. What the index of such curves reads above that of `raw` is made
    by the maximum alone."""
    return np.array([mean_curve(rng.permuted(quality, axis=-1), order) for _ in range(n_permutations)])
