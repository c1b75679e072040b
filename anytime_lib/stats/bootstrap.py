"""How sure is a number? Resampling by problem, and the intervals and bands read off it.

Samples within a problem are not independent, so problems are resampled, then samples inside them, with the same draws
for both arms (the paired, hierarchical bootstrap). Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640);
Davison & Hinkley, "Bootstrap Methods and their Application" (1997), ch. 3.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from anytime_lib.index import Floats, Order, anytime_index, mean_curve, quality_array

Statistic = Callable[[Floats, list[int]], Floats]
"""(..., P, S, T) quality and the budgets -> (...) or (..., T): any statistic of the curves."""


class Interval(NamedTuple):
    """A confidence interval, as scipy names its ends."""

    low: float
    high: float


def index_of(order: Order = "pooled") -> Statistic:
    """The Anytime Index as a statistic, its maximum taken at the level `order` names; NaN where a budget has no
    graded cell at all."""

    def statistic(quality: Floats, budgets: list[int]) -> Floats:
        curve = mean_curve(quality, order)
        unknown = np.asarray(np.isnan(curve).any(axis=-1, keepdims=True))
        index = anytime_index(budgets, np.where(unknown, 0.0, curve), running_max=False)
        return np.where(unknown[..., 0], np.nan, index)

    return statistic


def curve_of(order: Order = "pooled") -> Statistic:
    """The quality curve as a statistic: (..., T)."""
    return lambda quality, _: mean_curve(quality, order)


def resampled(
    quality: Floats, budgets: list[int], statistic: Statistic, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """A statistic on hierarchical bootstrap resamples of one or several arms, with the same draws for all arms.

    Args:
        quality: (A, P, S, T): arms, problems, samples, budgets; NaN where missing.
        budgets: (T,).
        statistic: of a (..., P, S, T) array.
        n_resamples: R.
        rng: where the draws come from.

    Returns:
        (R, A, ...) the statistic of every arm on every resample. Problems are drawn with replacement, then samples
        within each drawn problem; 64 resamples are worked on at once, so that memory stays small.
    """
    _, n_problems, n_samples, _ = quality.shape
    found = []
    for start in range(0, n_resamples, 64):
        size = min(64, n_resamples - start)
        problems = rng.integers(n_problems, size=(size, n_problems))
        samples = rng.integers(n_samples, size=(size, n_problems, n_samples))
        drawn = quality[:, problems[..., None], samples]  # (A, r, P, S, T)
        found.append(np.moveaxis(np.asarray(statistic(drawn, budgets)), 0, 1))
    return np.concatenate(found)


def percentile_interval(draws: Floats, confidence_level: float) -> tuple[Floats, Floats]:
    """The percentile interval of (R, ...) draws: two (...) arrays."""
    tail = (1 - confidence_level) / 2
    if np.isnan(draws).all():  # a budget has no graded cell: there is nothing to resample
        return np.full(draws.shape[1:], np.nan), np.full(draws.shape[1:], np.nan)
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return low, high


def estimate(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 10_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The Anytime Index of every (task, method) in the cells, with its bootstrap interval.

    Returns:
        One row per arm: run, model, task, method, order, index, low, high, final (quality at the largest budget),
        n_problems, n_samples, n_missing.
    """
    rows = []
    for (run, model, task, method), arm in cells.groupby(["run", "model", "task", "method"], sort=False):
        quality, problems, budgets = quality_array(arm)
        draws = resampled(quality[None], budgets, index_of(order), n_resamples, np.random.default_rng(seed))[:, 0]
        low, high = percentile_interval(draws, confidence_level)
        rows.append(
            {
                "run": run, "model": model, "task": task, "method": method, "order": order,
                "index": float(index_of(order)(quality, budgets)), "low": float(low), "high": float(high),
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
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """Pointwise bootstrap intervals of one arm's curve: budget, quality, low, high."""
    quality, _, budgets = quality_array(cells)
    draws = resampled(quality[None], budgets, curve_of(order), n_resamples, np.random.default_rng(seed))[:, 0]
    low, high = percentile_interval(draws, confidence_level)
    return pd.DataFrame({"budget": budgets, "quality": mean_curve(quality, order), "low": low, "high": high})
