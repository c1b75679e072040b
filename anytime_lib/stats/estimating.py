"""How good is each arm, and how sure is that? Tables of indices, curves with bands, and what the choices change."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd

from anytime_lib.index import ORDERS, Axis, Order, mean_curve, permutation_null, quality_array
from anytime_lib.stats.bootstrap import Levels, OfCurve, Seed, curve_of, index_of, jackknifed, resampled
from anytime_lib.stats.intervals import Method, interval, simultaneous_interval

ARM = ["run", "model", "task", "method"]


def estimate(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 10_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
    method: Method = "t",
    levels: Levels = "problems",
    statistic: OfCurve | None = None,
) -> pd.DataFrame:
    """The Anytime Index of every (task, method) in the cells, with its bootstrap interval.

    Args:
        cells: the tidy table.
        order: the level of the running maximum.
        n_resamples: R.
        seed: of the draws; the same for every arm, so that arms with as many problems share them.
        method: of the interval (see `intervals`); cut off at 0 and 1.
        levels: how deep is resampled (see `bootstrap`).
        statistic: another statistic of the curve in place of the index (`quality_at`, `tokens_to_reach`, ...); it
            brings its own order.

    Returns:
        One row per arm: run, model, task, method, order, index (the statistic), low, high, final (quality at the
        largest budget), n_problems, n_samples, n_missing.
    """
    chosen = statistic or index_of(order)
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        value = float(chosen(quality, budgets))
        rng = np.random.default_rng(seed) if isinstance(seed, int) else seed
        low, high = interval(
            resampled(quality[None], budgets, chosen, n_resamples, rng, levels)[:, 0], value, n=len(problems),
            jackknife=jackknifed(quality[None], budgets, chosen)[:, 0] if method == "bca" else None, method=method,
            confidence_level=confidence_level,
        )  # fmt: skip
        rows.append(
            {
                **dict(zip(ARM, arm_of, strict=True)), "order": chosen.order, "index": value,
                "low": float(np.clip(low, *chosen.limits)), "high": float(np.clip(high, *chosen.limits)),
                "final": float(mean_curve(quality, "raw")[-1]), "n_problems": len(problems),
                "n_samples": quality.shape[1], "n_missing": int(np.isnan(quality).sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def band(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 2_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
    levels: Levels = "problems",
) -> pd.DataFrame:
    """Bootstrap bands of one arm's curve, pointwise and simultaneous.

    Returns:
        One row per budget: budget, quality, low, high (each budget by itself), low_all, high_all (the whole curve at
        once). Cut off at 0 and 1.
    """
    quality, problems, budgets = quality_array(cells)
    statistic, curve = curve_of(order), mean_curve(quality, order)
    rng = np.random.default_rng(seed)
    draws = resampled(quality[None], budgets, statistic, n_resamples, rng, levels)[:, 0]
    low, high = interval(draws, curve, n=len(problems), confidence_level=confidence_level)
    low_all, high_all = simultaneous_interval(draws, curve, n=len(problems), confidence_level=confidence_level)
    ends = {"low": low, "high": high, "low_all": low_all, "high_all": high_all}
    return pd.DataFrame({"budget": budgets, "quality": curve} | {k: np.clip(v, 0, 1) for k, v in ends.items()})


def sensitivity(
    cells: pd.DataFrame,
    *,
    orders: Sequence[Order] = ORDERS,
    axes: Sequence[Axis] = ("linear", "log"),
    q_max: Sequence[float | Literal["observed"]] = (1.0, "observed"),
    n_resamples: int = 2_000,
    n_permutations: int = 100,
    seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Every variant of the index for every arm, each beside what it would read if budgets made no difference.

    Returns:
        One row per arm, order, axis and q_max: index, low, high, null (mean of the permutation null), null_low and
        null_high (its central 95 %). Where null exceeds `raw`'s, the difference is made by the maximum alone.
        `crossfit` is left out for arms with a single sample.
    """
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        bootstrap, permuting = np.random.default_rng(seed).spawn(2)
        for order in orders:
            if order == "crossfit" and quality.shape[1] < 2:
                continue
            curve = mean_curve(quality, order)
            drawn = resampled(quality[None], budgets, curve_of(order), n_resamples, deepcopy(bootstrap))[:, 0]
            flat = permutation_null(quality, order, n_permutations=n_permutations, rng=permuting)
            for axis, top in product(axes, q_max):
                read = index_of(order, q_max=top, axis=axis).of
                low, high = interval(read(drawn, budgets), read(curve, budgets), n=len(problems),
                                     confidence_level=confidence_level)  # fmt: skip
                null = read(flat, budgets)
                ends = np.nanquantile(null, [0.025, 0.975])
                rows.append(
                    {
                        **dict(zip(ARM, arm_of, strict=True)), "order": order, "axis": axis, "q_max": top,
                        "index": float(read(curve, budgets)), "low": float(np.clip(low, 0, 1)),
                        "high": float(np.clip(high, 0, 1)), "null": float(np.nanmean(null)),
                        "null_low": float(ends[0]), "null_high": float(ends[1]),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)
