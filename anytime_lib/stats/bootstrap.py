"""What else might a statistic have been? Resampling by problem, with the same draws for every arm.

Samples within a problem are not independent, so whole problems are drawn with replacement, their samples with them.
(Drawing samples anew as well would count the noise between them twice.) A resample is a row of weights, how often each
problem was drawn, so that all resamples are one matrix product. Notebook 08 shows how often intervals hold the truth.
Sources: Davison & Hinkley, "Bootstrap Methods and their Application" (1997), ch. 3.8; Miller, "Adding Error Bars to
Evals" (arXiv 2411.00640).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anytime_lib.index import Axis, Floats, Order, anytime_index, from_means, mean_curve, problem_curves

Seed = int | np.random.Generator


def generator(seed: Seed) -> np.random.Generator:
    """A generator for a seed; of a generator a copy, so that two uses of it draw the same."""
    return deepcopy(np.random.default_rng(seed))


@dataclass(frozen=True)
class CurveStatistic:
    """A statistic `of` (..., T) mean quality curves and the budgets -> (...) or (..., T), with the running maximum at
    the level `order` names; called, it reads (..., P, S, T) cells."""

    of: Callable[[Floats, list[int]], Floats]
    order: Order

    def __call__(self, quality: Floats, budgets: list[int]) -> Floats:
        return self.of(mean_curve(quality, self.order), budgets)


def index_of(
    order: Order = "pooled", *, q_max: float | Literal["observed"] = 1.0, axis: Axis = "linear"
) -> CurveStatistic:
    """The Anytime Index, its maximum taken at the level `order` names; NaN where a budget has no graded cell."""

    def of(curve: Floats, budgets: list[int]) -> Floats:
        unknown = np.asarray(np.isnan(curve).any(axis=-1, keepdims=True))
        index = anytime_index(budgets, np.where(unknown, 0.0, curve), q_max=q_max, running_max=False, axis=axis)
        return np.where(unknown[..., 0], np.nan, index)

    return CurveStatistic(of, order)


def curve_of(order: Order = "pooled") -> CurveStatistic:
    """The quality curve itself: (..., T)."""
    return CurveStatistic(lambda curve, _: curve, order)


def draw_weights(n_problems: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each problem is drawn in each resample: (R, P)."""
    drawn = rng.integers(n_problems, size=(n_resamples, n_problems)) + n_problems * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)


def reweighted(quality: Floats, budgets: list[int], statistic: CurveStatistic, weights: Floats) -> Floats:
    """A statistic of every arm under each row of weights: (A, P, S, T) cells and (R, P) weights -> (R, A, ...)."""
    curves = problem_curves(quality, statistic.order)  # (A, P, U)
    means = weighted_mean(weights, np.moveaxis(curves, 1, 0).reshape(curves.shape[1], -1))
    means = means.reshape(len(weights), len(curves), curves.shape[2])
    return np.asarray(statistic.of(from_means(means, statistic.order, quality.shape[-1]), budgets))


def resampled(
    quality: Floats, budgets: list[int], statistic: CurveStatistic, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """A statistic on R bootstrap resamples, with the same draws for all arms: (A, P, S, T), NaN where missing ->
    (R, A, ...)."""
    return reweighted(quality, budgets, statistic, draw_weights(quality.shape[1], n_resamples, rng))


def jackknifed(quality: Floats, budgets: list[int], statistic: CurveStatistic) -> Floats:
    """The statistic of every arm with one problem left out: (A, P, S, T) -> (P, A, ...); of a single problem, itself.
    NaN where a problem alone holds some budget."""
    n = quality.shape[1]
    return reweighted(quality, budgets, statistic, 1 - np.eye(n) if n > 1 else np.ones((1, 1)))


def weighted_mean(weights: Floats, values: Floats) -> Floats:
    """The mean over problems by each row of weights, the missing left out: (R, P), (P, U) -> (R, U)."""
    seen = ~np.isnan(values)
    total = weights @ np.where(seen, values, 0.0)
    if seen.all():
        return np.asarray(total / weights.sum(axis=1, keepdims=True))
    count = weights @ seen
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
