"""What else might a statistic have been? Whole problems are resampled, their samples with them, alike for every arm.

A resample is a row of weights, how often each problem was drawn, so that all resamples are one matrix product.
Sources: Davison & Hinkley, "Bootstrap Methods and their Application" (1997), ch. 3.8; Miller, "Adding Error Bars to
Evals" (arXiv 2411.00640).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anytime_lib.errors import DataError
from anytime_lib.index import Axis, Floats, Order, Top, anytime_index, from_means, mean_curve, problem_curves, reading
from anytime_lib.stats.intervals import mean_squares, over_both, standard_error

Seed = int | np.random.Generator


def generator(seed: Seed) -> np.random.Generator:
    """A generator for a seed; of a generator a copy, so that two uses of it draw the same."""
    return deepcopy(np.random.default_rng(seed))


@dataclass(frozen=True)
class CurveStatistic:
    """A statistic `of` (..., T) curves and budgets -> (...) or (..., T), with the running maximum at the level `order`
    names; called, it reads (..., P, S, T) cells. `name` is what sentences call it; of tokens and the like, fewer are
    better (`lower_is_better`)."""

    of: Callable[[Floats, list[int]], Floats]
    order: Order
    name: str = "the statistic"
    lower_is_better: bool = False

    def __call__(self, quality: Floats, budgets: list[int]) -> Floats:
        return self.of(mean_curve(quality, self.order), budgets)


def index_of(order: Order = "pooled", *, q_max: Top = 1.0, axis: Axis = "linear") -> CurveStatistic:
    """The Anytime Index, its maximum taken at the level `order` names; NaN where a budget has no graded cell."""

    def of(curve: Floats, budgets: list[int]) -> Floats:
        unknown = np.asarray(np.isnan(curve).any(axis=-1, keepdims=True))
        index = anytime_index(budgets, np.where(unknown, 0.0, curve), q_max=q_max, running_max=False, axis=axis)
        return np.where(unknown[..., 0], np.nan, index)

    return CurveStatistic(of, order, f"the Anytime Index ({order})")


def quality_at(place: int = -1, order: Order = "raw") -> CurveStatistic:
    """Quality at one budget, by its place; the last by default."""
    return CurveStatistic(lambda curve, _: curve[..., place], order, "quality")


def draw_weights(n_problems: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each problem is drawn in each resample: (R, P)."""
    if n_resamples < 1:
        raise DataError(f"n_resamples must be 1 or more, not {n_resamples}")
    drawn = rng.integers(n_problems, size=(n_resamples, n_problems))
    drawn += n_problems * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)


def reweighted(quality: Floats, budgets: list[int], statistic: CurveStatistic, weights: Floats) -> Floats:
    """A statistic of every arm under each row of weights, the missing left out: (A, P, S, T) cells and (R, P) weights
    -> (R, A, ...)."""
    curves = np.moveaxis(problem_curves(quality, statistic.order), 1, 0)  # (P, A, U)
    values = curves.reshape(len(curves), -1)
    seen = ~np.isnan(values)
    total = weights @ np.where(seen, values, 0.0)
    count = weights.sum(axis=1, keepdims=True) if seen.all() else weights @ seen
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    means = means.reshape(len(weights), *curves.shape[1:])
    return np.asarray(statistic.of(from_means(means, statistic.order, quality.shape[-1]), budgets))


def resampled(quality: Floats, budgets: list[int], statistic: CurveStatistic, n_resamples: int, seed: Seed) -> Floats:
    """A statistic on R bootstrap resamples, the same for all arms: (A, P, S, T), NaN where missing -> (R, A, ...)."""
    return reweighted(quality, budgets, statistic, draw_weights(quality.shape[1], n_resamples, generator(seed)))


def jackknifed(quality: Floats, budgets: list[int], statistic: CurveStatistic) -> Floats:
    """The statistic of every arm with each problem left out: (A, P, S, T) -> (P, A, ...); of a single one, itself."""
    n = quality.shape[1]
    return reweighted(quality, budgets, statistic, 1 - np.eye(n) if n > 1 else np.ones((1, 1)))


def draw_values(arm: Floats, budgets: list[int], statistic: CurveStatistic, draw: Floats) -> Floats:
    """What each problem, answered after each draw of exemplars, adds to a statistic of an arm, its choice of budgets
    taken as it is: (P, S, T) cells and (S,) draws -> (P, R), NaN where a budget has no cell."""
    ones = np.unique(draw[~np.isnan(draw)])
    if not len(ones):
        return np.empty((len(arm), 0))
    means = np.stack([problem_curves(arm[:, draw == one], "raw") for one in ones], axis=1)  # (P, R, T)
    return statistic.of((means @ reading(arm, statistic.order)).clip(0.0, 1.0), budgets)


def over_draws(resamples: Floats, values: Floats, rng: np.random.Generator) -> tuple[Floats, float | None]:
    """Resamples of n problems with the variance that draws of exemplars add, as a normal deviate for each, and the
    degrees of freedom of both together, by the (n, R) `draw_values`. With one draw, or too few problems that have all,
    the resamples as they are, and None."""
    squares, (n, n_draws) = mean_squares(values), values.shape
    if np.isnan(squares.rest):
        return resamples, None
    added, df = over_both(squares._replace(problems=float(standard_error(resamples, n)) ** 2), n, n_draws)
    return resamples + rng.normal(0, np.sqrt(added * (n - 1) / n), len(resamples)), float(df)  # see `standard_error`


EXACT = 12
"""Up to this many problems all 2^n exchanges of the arms are gone through."""


def exchange_signs(n: int, n_exchanges: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Which problems have their arms exchanged: (F, n) of 1 and -1, all 2^n of them up to `EXACT` problems."""
    if n <= EXACT:
        return (1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)).astype(np.int8)
    return 1 - 2 * rng.integers(2, size=(n_exchanges, n), dtype=np.int8)


def sign_flip_pvalue(curves: Floats, budgets: list[int], statistic: CurveStatistic, signs: NDArray[np.int8]) -> float:
    """The sign-flip permutation test: would the difference be as large were the arms of any problem exchanged?

    Two-sided, of (2, P, U) `problem_curves`, both NaN where either is, by (F, P) `exchange_signs`; NaN where a budget
    has no pair. Random exchanges count the observed one among them, so that it is never 0.
    """
    seen = ~np.isnan(curves).any(axis=0)
    count = seen.sum(axis=0)
    if not count.all():
        return np.nan
    centre = np.where(seen, (curves[0] + curves[1]) / 2, 0.0).sum(axis=0) / count
    half = np.where(seen, (curves[1] - curves[0]) / 2, 0.0)

    def difference(swing: Floats) -> Floats:
        ends = from_means(np.stack([centre - swing, centre + swing]), statistic.order, len(budgets))
        return np.asarray(np.diff(statistic.of(ends, budgets), axis=0)[0])

    observed = abs(difference(half.sum(axis=0) / count))
    reached = np.abs(difference(signs @ half / count)) >= observed * (1 - 1e-12) - 1e-12
    random = int(curves.shape[1] > EXACT)
    return float((reached.sum() + random) / (len(signs) + random))
