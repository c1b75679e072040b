"""How far off may a number be? Intervals, one-sided p-values and simultaneous bands, read off resamples.

Four methods, all from the same draws:

    t           value -+ t(n - 1) x standard error of the draws x sqrt(n / (n - 1)), n the problems
    percentile  the draws' own quantiles
    basic       the same, reflected about the value
    bca         percentile, corrected for bias and for skewness (acceleration by leaving out one problem at a time)

`t` is the default: it alone widens the interval for few problems. Coverage of the index difference by 95 % intervals,
lowest and highest over 1, 4 and 10 samples and three shapes of difficulty (`tests/benchmarks/bench_error_rates.py`,
2,000 experiments each, kept in `data/error_rates.csv`):

    problems  t            percentile   basic        bca
    30        .943-.962    .928-.957    .924-.942    .916-.942
    198       .948-.962    .941-.960    .943-.960    .939-.959

A running maximum is no smooth statistic: where the curve is flat its bias is turned the wrong way by `basic`, and by
the correction of `bca`. And these rates are of arms whose curves have the same shape. Where one is flat and the other
rises, the maximum lifts the flat one above its truth, and no interval that resamples sees it: with ten budgets and
equal true indices the pooled difference's interval holds 0 in about .88 of experiments (30 problems x 4 samples) and
in about .6 (198 x 10), the same without the maximum in about .96. So every comparison carries its companion without
the maximum (`Comparison.raw`).

Sources: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), ch. 12-14; Hesterberg, "What Teachers Should
Know About the Bootstrap" (2015), sections 4-5.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats

Method = Literal["t", "percentile", "basic", "bca"]
METHODS = ("t", "percentile", "basic", "bca")


class Interval(NamedTuple):
    """A confidence interval, as scipy names its ends."""

    low: float
    high: float


def interval(
    draws: Floats,
    value: ArrayLike,
    *,
    n: int,
    jackknife: Floats | None = None,
    method: Method = "t",
    confidence_level: float = 0.95,
) -> tuple[Floats, Floats]:
    """The two-sided confidence interval of one or many statistics.

    Args:
        draws: (R, ...) resamples; NaN draws (a resample in which the statistic has no value) are left out.
        value: (...) the statistic on the cells themselves.
        n: problems.
        jackknife: (n, ...) the statistic with one problem left out; `bca` needs it.
        method: see the module's docstring. Where some draws are infinite (tokens to reach a quality that is not
            always reached) a standard error says nothing, and `t` and `basic` give way to `percentile`.
        confidence_level: between 0 and 1.

    Returns:
        (...) lower and (...) upper ends; the value itself, twice, where draws differ by no more than rounding does; NaN
        only where the value is.
    """
    value = np.asarray(value, float)
    tail = (1 - confidence_level) / 2
    lost = np.isnan(value) | np.isnan(draws).all(axis=0)
    draws = np.where(lost, 0.0, draws)
    endless = np.isinf(draws).any(axis=0) | np.isinf(value)
    still = ~endless & (standard_error(np.where(endless, 0.0, draws), n) == 0)
    with np.errstate(invalid="ignore"):
        if method == "t":
            half = distributions.t.isf(tail, max(n - 1, 1)) * standard_error(draws, n)
            low, high = value - half, value + half
        elif method == "bca":
            if jackknife is None:
                raise DataError("bca needs the statistic with each problem left out: pass jackknife=")
            z = distributions.norm.ppf([tail, 1 - tail])
            bias, acceleration = _bias(draws, value), _acceleration(jackknife)
            low, high = (
                _quantile(draws, distributions.norm.cdf(bias + (bias + q) / (1 - acceleration * (bias + q)))) for q in z
            )
        elif method in ("percentile", "basic"):
            low, high = _quantile(draws, tail), _quantile(draws, 1 - tail)
            if method == "basic":
                low, high = 2 * value - high, 2 * value - low
        else:
            raise DataError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
        if method in ("t", "basic") and endless.any():
            low = np.where(endless, _quantile(draws, tail), low)
            high = np.where(endless, _quantile(draws, 1 - tail), high)
        low, high = np.where(still, value, low), np.where(still, value, high)
    return np.where(lost, np.nan, low), np.where(lost, np.nan, high)


def percentile_interval(draws: Floats, confidence_level: float) -> tuple[Floats, Floats]:
    """The percentile interval of (R, ...) draws: two (...) arrays."""
    return interval(draws, np.nanmean(draws, axis=0) if len(draws) else np.nan, n=2, method="percentile",
                    confidence_level=confidence_level)  # fmt: skip


def one_sided_pvalue(
    draws: Floats,
    value: float,
    null: float,
    *,
    n: int,
    jackknife: Floats | None = None,
    method: Method = "t",
) -> float:
    """The p-value of "the truth is at most `null`": the confidence 1 - p at which the interval's low end meets it.

    The interval excludes `null` at level 1 - alpha exactly when twice the smaller of this and its complement is below
    alpha. All draws equal: 0, 1/2 or 1 as the value lies above, at or below the null.
    """
    draws = draws[~np.isnan(draws)]
    if np.isnan(value) or not len(draws):
        return float("nan")
    spread = float(standard_error(draws, n)) if np.isfinite(draws).all() else np.inf
    if spread == 0:
        return 0.5 if np.isclose(value, null, rtol=0, atol=1e-12) else float(value < null)
    if method == "t" and np.isfinite(spread):
        return float(distributions.t.sf((value - null) / spread, max(n - 1, 1)))
    at = 2 * value - null if method == "basic" else null
    below = (np.mean(draws < at) + np.mean(draws <= at)) / 2
    if method == "basic":
        return float(1 - below)
    if method == "bca" and jackknife is not None:
        bias, a = float(_bias(draws, np.asarray(value))), float(_acceleration(jackknife))
        z = distributions.norm.ppf(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws))) - bias
        return float(distributions.norm.cdf(z / (1 + a * z) - bias))
    return float(below)


def standard_error(draws: Floats, n: int) -> Floats:
    """The standard deviation of (R, ...) draws, with the factor sqrt(n / (n - 1)) that resampling n problems lacks.

    0 where the draws differ by no more than rounding does, or have no value.
    """
    draws = np.where(np.isnan(draws).all(axis=0), 0.0, draws)
    spread = np.asarray(np.nanstd(draws, axis=0, ddof=1)) if len(draws) > 1 else np.zeros(draws.shape[1:])
    scale = np.nanmax(np.abs(draws), axis=0, initial=0.0)
    return np.where(spread <= 1e-12 * np.maximum(scale, 1e-3), 0.0, spread * np.sqrt(n / max(n - 1, 1)))


def simultaneous_interval(
    draws: Floats, value: Floats, *, n: int, confidence_level: float = 0.95
) -> tuple[Floats, Floats]:
    """A band that holds the whole curve at once: (R, T) draws and (T,) values -> two (T,) arrays.

    As wide at every point as the same multiple of its standard error: the quantile, over the draws, of the largest
    deviation anywhere in standard errors (Montiel Olea & Plagborg-Moller 2019, the sup-t band), widened for few
    problems as t is against the normal.
    """
    error = standard_error(draws, n)
    known = (error > 0) & ~np.isnan(value)
    if not known.any():
        return value.copy(), value.copy()
    bare = np.where(known, error / np.sqrt(n / max(n - 1, 1)), 1.0)
    largest = np.nanmax(np.where(known, np.abs(draws - value) / bare, 0.0), axis=1)
    tail = (1 - confidence_level) / 2
    factor = distributions.t.isf(tail, max(n - 1, 1)) / distributions.norm.isf(tail)
    half = np.nanquantile(largest, confidence_level) * factor * error
    return value - half, value + half


def _quantile(draws: Floats, q: ArrayLike) -> Floats:
    """Quantiles of (R, ...) draws at one q, or one for each of (...); of infinite draws without interpolation."""
    q = np.asarray(q, float)
    method: Literal["inverted_cdf", "linear"] = "inverted_cdf" if np.isinf(draws).any() else "linear"
    if q.ndim == 0:
        return np.asarray(np.nanquantile(draws, q, axis=0, method=method))
    columns = draws.reshape(len(draws), -1).T
    found = [np.nanquantile(c, at, method=method) for c, at in zip(columns, q.ravel(), strict=True)]
    return np.asarray(found).reshape(q.shape)


def _bias(draws: Floats, value: Floats) -> Floats:
    """BCa's bias correction: how far the value lies from the draws' median, ties counted half, in normal terms."""
    count = np.maximum((~np.isnan(draws)).sum(axis=0), 1)
    share = ((draws < value).sum(axis=0) + (draws <= value).sum(axis=0)) / (2 * count)
    return np.asarray(distributions.norm.ppf(np.clip(share, 0.5 / count, 1 - 0.5 / count)))


def _acceleration(jackknife: Floats) -> Floats:
    """BCa's acceleration: the skewness of the influence of problems that can be left out; 0 where none has any."""
    known = ~np.isnan(jackknife)
    mean = np.where(known, jackknife, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    pull = np.where(known, mean - jackknife, 0.0)
    square = np.sum(pull**2, axis=0)
    skew = np.divide(np.sum(pull**3, axis=0), 6 * square**1.5, out=np.zeros_like(square), where=square > 1e-24)
    return np.asarray(skew)
