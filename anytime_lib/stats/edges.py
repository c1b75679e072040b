"""How far off may a number be, if hardly any problem in the sample tells? Intervals near the ends of a scale.

Where all problems came out alike, or all but a few at the same end, their spread says nothing of those that were not
drawn: resamples are all equal, or nearly, and an interval by them holds the truth far too seldom. There the bound of
Gaffke (`sufficient.upper_bound`), which supposes only that values are bounded, is taken from both sides, and the
interval is the wider of the two. Coverage of the 95 % interval of one arm whose traces are right with chance p at all
budgets or at none (1,000 experiments each), and its mean width:

    problems x samples, p   198 x 1, .993   198 x 4, .993   30 x 4, .98    30 x 1, .98
    by resamples alone      .765 (.017)     .913 (.011)     .907 (.044)    .452 (.054)
    as here                 .999 (.030)     .996 (.025)     .996 (.137)    1.00 (.149)

So it is on the safe side: what it does not know of those that were not drawn it does not guess.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anytime_lib.index import Floats
from anytime_lib.stats.bootstrap import OfCurve, jackknifed
from anytime_lib.stats.sufficient import upper_bound

NEAR = 5.0
"""Fewer problems' worth than this away from an end of the scale is near it."""


class Ends(NamedTuple):
    """An interval, and what has to be said of it ("" if nothing)."""

    low: float
    high: float
    note: str


def bounded(
    low: float, high: float, parts: Floats, limits: tuple[float, float] = (0.0, 1.0), confidence_level: float = 0.95
) -> Ends:
    """An interval of a mean of bounded values, made safe where it is a point or lies near an end of its scale.

    Args:
        low, high: the interval by resamples; returned cut off at the limits where nothing is wrong with it.
        parts: (n,) the values of the n problems graded.
        limits: of the values; with an infinite one no bound is known, and a point stays a point and is noted.
    """
    n, point = len(parts), bool(low == high)
    low, high = float(np.clip(low, *limits)), float(np.clip(high, *limits))
    low, high = (float(np.clip(end, *limits)) for end in (low, high))
    if n == 0 or np.isnan(low):
        return Ends(low, high, "")
    few = "one problem graded: nothing tells how problems differ; " if n == 1 else ""
    if not np.isfinite(limits).all():
        return Ends(low, high, few + "all resamples are equal: a point" if point else "")
    scaled = np.clip((parts - limits[0]) / (limits[1] - limits[0]), 0.0, 1.0)
    away = min(float(scaled.sum()), float((1 - scaled).sum()))
    if not point and away >= NEAR:
        return Ends(low, high, "")
    level = (1 + confidence_level) / 2
    ends = 1 - float(upper_bound(1 - scaled, level, n_draws=4_000)), float(upper_bound(scaled, level, n_draws=4_000))
    below, above = (float(np.clip(limits[0] + (limits[1] - limits[0]) * end, *limits)) for end in ends)
    why = "no problem differs" if point else f"{away:.1f} problems' worth from an end of the scale"
    return Ends(min(low, below), max(high, above), f"{few}{why}: interval by a bound that needs no spread")


def graded(quality: Floats) -> Floats:
    """(P, S, T) -> (P, T): whether a problem has a graded cell at each budget."""
    return np.asarray((~np.isnan(quality)).any(axis=1))


def parts_of(quality: Floats, budgets: list[int], statistic: OfCurve) -> Floats:
    """What each problem adds to a statistic of one arm: (P, S, T) -> (n, ...), whose mean is the statistic where that
    is a mean over problems, and nearly so otherwise.

    By leaving the problem out (jackknife pseudo-values), for the n problems graded at the budget that fewest were
    graded at.
    """
    held = graded(quality)
    scarce = held[:, held.sum(axis=0).argmin()]
    value, n = np.asarray(statistic(quality, budgets)), int(scarce.sum())
    if n < 2:
        return np.repeat(value[None], n, axis=0)
    left_out = jackknifed(quality[None], budgets, statistic)[:, 0][scarce]
    return np.asarray(value + (n - 1) * (value - left_out))
