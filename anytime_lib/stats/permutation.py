"""Could chance alone have done it? Results in scipy's manner, and the test by exchanging the arms of whole problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from anytime_lib.index import Floats, from_means
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, draw_weights, generator

SharedDraws = Callable[[int], tuple[Floats, NDArray[np.int8]]]
"""Number of problems -> (R, P) weights of the resamples, and (F, P) exchanges of the arms."""

EXACT = 12
"""Up to this many problems all 2^n exchanges of the arms are gone through."""


@dataclass(frozen=True)
class TestResult:
    """A test in scipy's manner: `.statistic`, `.pvalue`, and what a reader should know of how it was done."""

    __test__ = False  # no test case of pytest's

    name: str
    statistic: float
    pvalue: float
    note: str = ""


@dataclass(frozen=True)
class MarginResult(TestResult):
    """A test against a margin, in units of the statistic: small p-values speak for the claim. `alpha` is one-sided, so
    that `holds` agrees with an interval of level 1 - 2 alpha."""

    margin: float = 0.0
    alpha: float = 0.05
    claim: str = ""

    @property
    def holds(self) -> bool:
        return bool(self.pvalue < self.alpha)

    def summary(self) -> str:
        """One line in words."""
        note = f"; {self.note}" if self.note else ""
        if np.isnan(self.pvalue):
            return f"{self.claim}: not to be told{note}"
        word = "shown" if self.holds else "not shown"
        return f"{self.claim}: {word} at alpha = {self.alpha:g} (p = {self.pvalue:.3g}{note})"


def exchange_signs(n: int, n_exchanges: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Which problems have their arms exchanged: (F, n) of 1 and -1, all 2^n of them up to `EXACT` problems."""
    if n <= EXACT:
        return (1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)).astype(np.int8)
    return 1 - 2 * rng.integers(2, size=(n_exchanges, n), dtype=np.int8)


def shared_draws(n_resamples: int, seed: Seed) -> SharedDraws:
    """Resamples and exchanges, the same for all comparisons of as many problems."""

    @cache
    def draws(n_problems: int) -> tuple[Floats, NDArray[np.int8]]:
        resampling, exchanging = generator(seed).spawn(2)
        weights = draw_weights(n_problems, n_resamples, resampling)
        return weights, exchange_signs(n_problems, n_resamples - 1, exchanging)

    return draws


def sign_flip_test(
    curves: Floats, budgets: list[int], statistic: CurveStatistic, signs: NDArray[np.int8]
) -> TestResult:
    """Would the difference be as large if the arms of any problem could as well be exchanged? Of (2, P, U)
    `problem_curves`, both NaN where either is, by (F, P) `exchange_signs`.

    The sign-flip permutation test of the very statistic, read anew on the exchanged curves. Exact up to `EXACT`
    problems, otherwise by random exchanges, the observed one counted among them (so that it is valid, and never 0).
    The null is that the method changes nothing about a problem, its whole curve included: with `pooled` the maximum
    lifts a flat curve above a rising one of equal true index, which is then seen (see `Comparison.raw`).
    """
    name, n = "exchange of arms", curves.shape[1]
    seen = ~np.isnan(curves).any(axis=0)
    count = seen.sum(axis=0)
    if not count.all():
        return TestResult(name, np.nan, np.nan, "at some budget the arms share no graded cell")
    centre = np.where(seen, (curves[0] + curves[1]) / 2, 0.0).sum(axis=0) / count
    half = np.where(seen, (curves[1] - curves[0]) / 2, 0.0)

    def difference(swing: Floats) -> Floats:
        ends = [from_means(end, statistic.order, len(budgets)) for end in (centre - swing, centre + swing)]
        return np.asarray(statistic.of(ends[1], budgets) - statistic.of(ends[0], budgets))

    observed = float(difference(half.sum(axis=0) / count))
    reached = np.abs(difference(signs @ half / count)) >= abs(observed) * (1 - 1e-12) - 1e-12
    extra, how = (0, "all") if n <= EXACT else (1, "random")
    pvalue = float((reached.sum() + extra) / (len(signs) + extra))
    return TestResult(name, observed, pvalue, f"{how} {len(signs):,} ways")
