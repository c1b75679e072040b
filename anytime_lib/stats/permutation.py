"""Could chance alone have done it? Results in scipy's manner, and the test by exchanging the arms of whole problems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anytime_lib.index import Floats, from_means
from anytime_lib.stats.bootstrap import OfCurve, integers, product

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

    def summary(self) -> str:
        """One line in words."""
        if np.isnan(self.pvalue):
            return f"{self.name}: not to be had; {self.note}"
        return f"{self.name}: p = {self.pvalue:.3g}" + (f" ({self.note})" if self.note else "")

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame(
            [{"test": self.name, "statistic": self.statistic, "pvalue": self.pvalue, "note": self.note}]
        )


@dataclass(frozen=True)
class MarginResult(TestResult):
    """A test against a margin: small p-values speak for the claim.

    Attributes:
        margin: in units of the statistic.
        alpha: at which `holds` is judged: one-sided, so that it agrees with an interval of level 1 - 2 alpha.
    """

    margin: float = 0.0
    alpha: float = 0.05
    claim: str = ""

    @property
    def holds(self) -> bool:
        return bool(self.pvalue < self.alpha)

    def summary(self) -> str:
        if np.isnan(self.pvalue):
            return f"{self.claim}: not to be told" + (f"; {self.note}" if self.note else "")
        word = "shown" if self.holds else "not shown"
        note = f"; {self.note}" if self.note else ""
        return f"{self.claim}: {word} at alpha = {self.alpha:g} (p = {self.pvalue:.3g}{note})"

    def to_frame(self) -> pd.DataFrame:
        return super().to_frame().assign(margin=self.margin, alpha=self.alpha, holds=self.holds)


def exchange_signs(n: int, n_exchanges: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Which problems have their arms exchanged: (F, n) of 1 and -1, all 2^n of them up to `EXACT` problems. A byte
    each, for there are n_exchanges x n of them."""
    every = np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) & 1) if n <= EXACT else None
    swapped = integers(rng, 2, (n_exchanges, n)) if every is None else every
    return np.asarray(np.int8(1) - np.int8(2) * swapped.astype(np.int8))


def sign_flip_test(curves: Floats, budgets: list[int], statistic: OfCurve, signs: NDArray[np.int8]) -> TestResult:
    """Would the difference be as large if the arms of any problem could as well be exchanged?

    The sign-flip permutation test of the very statistic: with an index that is a mean over problems, exchanging the
    arms of a problem flips the sign of its difference; with the maximum of the pooled curve it is read anew on the
    exchanged curves. Exact up to `EXACT` problems, otherwise by random exchanges, the observed one counted among
    them (so that it is valid, and never 0).

    The null it tests is that the arms are exchangeable: that the method changes nothing about a problem, its whole
    curve included. It is not that two methods that differ have the same index. With `pooled` a flat curve and a rising
    one of equal true index are told apart, by the maximum, which lifts the flat one; small p-values then do not say
    that the index differs (see `Comparison.raw`).

    Args:
        curves: (2, P, U), the `problem_curves` of both arms, both NaN where either is.
        budgets: (T,).
        signs: (F, P) of `exchange_signs`.
    """
    name, n = "exchange of arms", curves.shape[1]
    exact = n <= EXACT
    seen = ~np.isnan(curves).any(axis=0)
    middle, half = (np.where(seen, x, 0.0) for x in ((curves[0] + curves[1]) / 2, (curves[1] - curves[0]) / 2))
    count = seen.sum(axis=0)
    if not count.all():
        return TestResult(name, np.nan, np.nan, "at some budget the arms share no graded cell")
    centre = middle.sum(axis=0) / count

    def difference(swing: Floats) -> Floats:
        ends = [from_means(end, statistic.order, len(budgets)) for end in (centre - swing, centre + swing)]
        with np.errstate(invalid="ignore"):
            return np.asarray(statistic.of(ends[1], budgets) - statistic.of(ends[0], budgets))

    observed = float(difference(half.sum(axis=0) / count))
    if np.isnan(observed):
        return TestResult(name, np.nan, np.nan, "the difference has no value")
    reached = np.abs(difference(product(signs, half) / count)) >= abs(observed) * (1 - 1e-12) - 1e-12
    extra = 0 if exact else 1
    pvalue = float((reached.sum() + extra) / (len(signs) + extra))
    return TestResult(name, observed, pvalue, f"{'all' if exact else 'random'} {len(signs):,} ways")


def sign_flip_pvalue(differences: NDArray[np.float64], rng: np.random.Generator, n_flips: int = 9_999) -> float:
    """Two-sided p-value that paired differences are symmetric about 0; exact for up to 12 of them."""
    n = len(differences)
    signs = exchange_signs(n, n_flips, rng)
    extra = int(n > EXACT)
    observed = abs(differences.sum())
    reached = np.sum(np.abs(product(signs, differences[:, None])[:, 0]) >= observed * (1 - 1e-12) - 1e-12)
    return float((reached + extra) / (len(signs) + extra))
