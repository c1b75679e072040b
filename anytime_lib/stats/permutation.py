"""Could chance alone have done it? The test by exchanging the arms of whole problems."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anytime_lib.index import Floats, from_means
from anytime_lib.stats.bootstrap import CurveStatistic

EXACT = 12
"""Up to this many problems all 2^n exchanges of the arms are gone through."""


def exchange_signs(n: int, n_exchanges: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Which problems have their arms exchanged: (F, n) of 1 and -1, all 2^n of them up to `EXACT` problems."""
    if n <= EXACT:
        return (1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)).astype(np.int8)
    return 1 - 2 * rng.integers(2, size=(n_exchanges, n), dtype=np.int8)


def sign_flip_pvalue(curves: Floats, budgets: list[int], statistic: CurveStatistic, signs: NDArray[np.int8]) -> float:
    """Would the difference be as large if the arms of any problem could as well be exchanged? Two-sided; of (2, P, U)
    `problem_curves`, both NaN where either is, by (F, P) `exchange_signs`; NaN where a budget has no pair.

    The sign-flip permutation test of the very statistic, read anew on the exchanged curves. Exact up to `EXACT`
    problems, otherwise by random exchanges, the observed one counted among them (so that it is valid, and never 0).
    The null is that the method changes nothing about a problem, its whole curve included: with `pooled` the maximum
    lifts a flat curve above a rising one of equal true index, which is then seen (see `Comparison.raw`).
    """
    seen = ~np.isnan(curves).any(axis=0)
    count = seen.sum(axis=0)
    if not count.all():
        return np.nan
    centre = np.where(seen, (curves[0] + curves[1]) / 2, 0.0).sum(axis=0) / count
    half = np.where(seen, (curves[1] - curves[0]) / 2, 0.0)

    def difference(swing: Floats) -> Floats:
        ends = [from_means(end, statistic.order, len(budgets)) for end in (centre - swing, centre + swing)]
        return np.asarray(statistic.of(ends[1], budgets) - statistic.of(ends[0], budgets))

    observed = abs(difference(half.sum(axis=0) / count))
    reached = np.abs(difference(signs @ half / count)) >= observed * (1 - 1e-12) - 1e-12
    random = int(curves.shape[1] > EXACT)
    return float((reached.sum() + random) / (len(signs) + random))
