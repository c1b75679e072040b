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
from anytime_lib.stats.edges import bounded, graded, parts_of
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
        seed: of the draws, or a generator that is left as it is; the same for every arm, so that arms with as many
            problems share them.
        method: of the interval (see `intervals`); cut off at 0 and 1. Where it is a point, or the arm lies near 0 or 1,
            it is widened by a bound that needs no spread, and noted (see `edges`).
        levels: how deep is resampled (see `bootstrap`).
        statistic: another statistic of the curve in place of the index (`quality_at`, `tokens_to_reach`, ...); it
            brings its own order.

    Returns:
        One row per arm: run, model, task, method, order, index (the statistic), low, high, final (quality at the
        largest budget), n_problems, n_samples, n_missing, note (what to beware of in the interval, "" if nothing). Its
        degrees of freedom are those of the budget at which fewest problems were graded.
    """
    chosen, drawing = statistic or index_of(order), np.random.default_rng(seed)
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        value = float(chosen(quality, budgets))
        parts = parts_of(quality, budgets, chosen)
        low, high = interval(
            resampled(quality[None], budgets, chosen, n_resamples, deepcopy(drawing), levels)[:, 0], value,
            n=len(parts), method=method, confidence_level=confidence_level,
            jackknife=jackknifed(quality[None], budgets, chosen)[:, 0] if method == "bca" else None,
        )  # fmt: skip
        ends = bounded(float(low), float(high), parts, chosen.limits, confidence_level)
        rows.append(
            {
                **dict(zip(ARM, arm_of, strict=True)), "order": chosen.order, "index": value,
                "low": ends.low, "high": ends.high,
                "final": float(mean_curve(quality, "raw")[-1]), "n_problems": len(problems),
                "n_samples": quality.shape[1], "n_missing": int(np.isnan(quality).sum()), "note": ends.note,
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
        once), n_problems (graded at the budget; with a running maximum, at the least so far), note. Degrees of freedom
        are of those problems, in the band of the whole curve of the fewest at any budget of two or more. Cut off at 0
        and 1, and widened near them as in `estimate`.
    """
    quality, _, budgets = quality_array(cells)
    statistic, curve = curve_of(order), mean_curve(quality, order)
    draws = resampled(quality[None], budgets, statistic, n_resamples, deepcopy(np.random.default_rng(seed)), levels)
    counts = graded(quality).sum(axis=0)
    counts = counts if order == "raw" else np.minimum.accumulate(np.where(counts, counts, len(quality)))
    judged = counts > 1
    low_all, high_all = simultaneous_interval(
        draws[:, 0], np.where(judged, curve, np.nan), n=int(counts[judged].min(initial=len(quality))),
        confidence_level=confidence_level,
    )  # fmt: skip
    rows = []
    for t, n in enumerate(counts):
        at = OfCurve(lambda curve, _, t=t: curve[..., t], order, "quality")  # type: ignore[misc]
        low, high = interval(draws[:, 0, t], curve[t], n=int(n), confidence_level=confidence_level)
        ends = bounded(float(low), float(high), parts_of(quality[..., : t + 1], budgets, at), (0, 1), confidence_level)
        every = [float(np.clip(end, 0, 1)) for end in (low_all[t], high_all[t])]
        if ends.note:  # what is too narrow by itself is so among the others
            every = [min(ends.low, every[0]), max(ends.high, every[1])]
        rows.append({"budget": budgets[t], "quality": curve[t], "low": ends.low, "high": ends.high, "low_all": every[0],
                     "high_all": every[1], "n_problems": int(n), "note": ends.note})  # fmt: skip
    return pd.DataFrame(rows)


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
        `crossfit` is left out for arms with a single sample. Every order has the same draws and permutations.
    """
    bootstrap, permuting = deepcopy(np.random.default_rng(seed)).spawn(2)
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, _, budgets = quality_array(arm)
        fewest = int(graded(quality).sum(axis=0).min())
        for order in orders:
            if order == "crossfit" and quality.shape[1] < 2:
                continue
            curve = mean_curve(quality, order)
            drawn = resampled(quality[None], budgets, curve_of(order), n_resamples, deepcopy(bootstrap))[:, 0]
            flat = permutation_null(quality, order, n_permutations=n_permutations, rng=deepcopy(permuting))
            for axis, top in product(axes, q_max):
                read = index_of(order, q_max=top, axis=axis).of
                low, high = interval(read(drawn, budgets), read(curve, budgets), n=fewest,
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
