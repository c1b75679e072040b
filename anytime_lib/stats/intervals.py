"""How far off may a number be? Intervals, one-sided p-values and simultaneous bands, read off resamples.

An interval is value -+ t(n - 1) x standard error of the draws x sqrt(n / (n - 1)), n the problems: unlike the draws'
own percentiles it is wider for few problems. With 30 of them 95 % intervals of the index difference hold the truth in
.943-.962 of experiments by t and .928-.957 by percentiles (`data/error_rates.csv`).
Source: Hesterberg, "What Teachers Should Know About the Bootstrap" (2015), sections 4-5.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats as distributions

from anytime_lib.index import Floats

NEAR = 5.0
"""Fewer problems' worth than this away from an end of the scale is near it."""


class Interval(NamedTuple):
    low: float
    high: float


def interval(draws: Floats, value: ArrayLike, *, n: int, confidence_level: float = 0.95) -> tuple[Floats, Floats]:
    """The two-sided interval of one or many statistics of n problems: (R, ...) draws (NaN are left out) and the (...)
    value on the cells -> (...) lower and upper ends; the value itself, twice, where draws differ by rounding alone."""
    half = distributions.t.isf((1 - confidence_level) / 2, max(n - 1, 1)) * standard_error(draws, n)
    return np.asarray(value) - half, np.asarray(value) + half


def one_sided_pvalue(draws: Floats, value: float, null: float, *, n: int) -> float:
    """The p-value of "the truth is at most `null`": the confidence 1 - p at which the interval's low end meets it. All
    draws equal: 0, 1/2 or 1 as the value lies above, at or below the null."""
    error = float(standard_error(draws, n))
    if error == 0:
        return 0.5 if np.isclose(value, null, rtol=0, atol=1e-12) else float(value < null)
    return float(distributions.t.sf((value - null) / error, max(n - 1, 1)))


def standard_error(draws: Floats, n: int) -> Floats:
    """The standard deviation of (R, ...) draws, with the factor sqrt(n / (n - 1)) that resampling n problems lacks; 0
    where they differ by rounding alone, or have no value."""
    draws = np.where(np.isnan(draws).all(axis=0), 0.0, draws)
    spread = np.asarray(np.nanstd(draws, axis=0, ddof=1)) if len(draws) > 1 else np.zeros(draws.shape[1:])
    scale = np.nanmax(np.abs(draws), axis=0, initial=0.0)
    return np.where(spread <= 1e-12 * np.maximum(scale, 1e-3), 0.0, spread * np.sqrt(n / max(n - 1, 1)))


def simultaneous_interval(
    draws: Floats, value: Floats, *, n: int, confidence_level: float = 0.95
) -> tuple[Floats, Floats]:
    """A band that holds the whole curve at once: (R, T) draws and (T,) values -> two (T,) arrays.

    As wide everywhere as one multiple of the standard error: the quantile, over the draws, of the largest deviation in
    standard errors (sup-t: Montiel Olea & Plagborg-Moller 2019), widened for few problems as t is against the normal.
    """
    error = standard_error(draws, n)
    known = (error > 0) & ~np.isnan(value)
    if not known.any():
        return value, value
    bare = np.where(known, error / np.sqrt(n / max(n - 1, 1)), 1.0)
    largest = np.nanmax(np.where(known, np.abs(draws - value) / bare, 0.0), axis=1)
    tail = (1 - confidence_level) / 2
    factor = distributions.t.isf(tail, max(n - 1, 1)) / distributions.norm.isf(tail)
    half = np.nanquantile(largest, confidence_level) * factor * error
    return value - half, value + half


def widen_near_limits(
    ends: tuple[ArrayLike, ArrayLike], values: Floats, confidence_level: float = 0.95
) -> tuple[float, float, str]:
    """The interval by resamples of the mean of (n,) problems' values, cut off at 0 and 1, and widened by Gaffke's bound
    near them, where resamples are nearly all equal: both ends, and what is to be said of them ("" if nothing).

    Of 30 traces right with chance .98, resamples alone hold the truth in .452 of experiments, this interval in all.
    """
    n, point = len(values), bool(ends[0] == ends[1])
    low, high = (float(np.clip(end, 0.0, 1.0)) for end in ends)
    share = np.clip(values, 0.0, 1.0)
    informative = min(share.sum(), (1 - share).sum())  # problems' worth away from the nearer limit
    if n == 0 or np.isnan(low) or not (point or informative < NEAR):
        return low, high, ""
    level = (1 + confidence_level) / 2
    bounds = [1 - upper_bound(1 - share, level, n_draws=4_000), upper_bound(share, level, n_draws=4_000)]
    below, above = np.clip(bounds, 0.0, 1.0)
    few = "one problem graded: nothing tells how problems differ; " if n == 1 else ""
    why = "no problem differs" if point else f"{informative:.1f} problems' worth from an end of the scale"
    return min(low, float(below)), max(high, float(above)), f"{few}{why}: interval by a bound that needs no spread"


def upper_bound(losses: ArrayLike, confidence_level: float = 0.95, *, n_draws: int = 10_000) -> Floats:
    """An upper confidence bound of the mean of (..., n) values of at most 1, whatever their distribution -> (...).

    Where nothing was lost it is the exact binomial bound, 1 - (1 - confidence)^(1/n). Source: Gaffke, "Three test
    statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable" (2005).
    """
    return np.asarray(np.quantile(possible_means(losses, n_draws=n_draws), confidence_level, axis=-1))


def possible_means(losses: ArrayLike, *, worst: float = 1.0, n_draws: int = 10_000) -> Floats:
    """What the mean loss may be, under uniform Dirichlet weights: (..., n) losses and the worst possible one ->
    (..., n_draws). The share of them at a margin or above is the p-value of "the mean loss is that or more"."""
    values = np.asarray(losses, dtype=float)
    padded = np.concatenate([values, np.full((*values.shape[:-1], 1), worst)], axis=-1)
    return np.asarray(padded @ _dirichlet(n_draws, padded.shape[-1]).T)


@lru_cache(maxsize=4)
def _dirichlet(n_draws: int, n: int) -> Floats:
    weights = np.random.default_rng(0).standard_exponential((n_draws, n))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
