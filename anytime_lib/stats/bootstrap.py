"""What else might a statistic have been? Resampling by problem, with the same draws for every arm.

Samples within a problem are not independent, so whole problems are drawn with replacement, their samples with them
(`levels="problems"`). Drawing samples anew inside each drawn problem as well, the two-stage bootstrap, counts the
noise between samples twice: a problem's mean already holds it, and its variance comes out too large by up to
(K - 1) / K of the noise of K samples. Measured with 4 and 10 samples, its 95 % interval of the index difference holds
the truth in 98 to 99 % of experiments, that of whole problems in 94 to 96 % (`tests/benchmarks/bench_error_rates.py`).
That is for arms whose curves have like shapes. With the maximum of the pooled curve (the default order) a flat curve
collects more luck than a rising one: where the true indices are equal, the interval of their difference holds 0 in 87
to 96 % of experiments, that of `raw` in 94 to 96 % and of `crossfit` in 96 to 98 % (the rows `adverse` of
`data/error_rates.csv`). Two stages (`levels="samples"`) and a third for answers asked again (`levels="answers"`) are
there to be compared with; they are not the default.
Sources: Davison & Hinkley, "Bootstrap Methods and their Application" (1997), ch. 3.8; Miller, "Adding Error Bars to
Evals" (arXiv 2411.00640).

A statistic of the mean curve is resampled by weights: how often each problem (or sample) was drawn, times its curve,
is one matrix product, and no array of drawn cells is ever built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anytime_lib.errors import DataError
from anytime_lib.index import (
    Axis,
    Floats,
    Order,
    anytime_index,
    average,
    best_so_far,
    from_means,
    mean_curve,
    problem_curves,
)

Statistic = Callable[[Floats, list[int]], Floats]
"""(..., P, S, T) quality and the budgets -> (...) or (..., T): any statistic of the cells of an arm."""

Levels = Literal["problems", "samples", "answers"]
"""How deep is drawn: whole problems; samples within each; answers asked again within each sample."""

LEVELS = ("problems", "samples", "answers")
Seed = int | np.random.Generator


@dataclass(frozen=True)
class OfCurve:
    """A statistic of the mean quality curve, and so one that can be resampled by weights.

    Attributes:
        of: (..., T) curves and the budgets -> (...) or (..., T).
        order: the level at which the curve's running maximum is taken (see `mean_curve`).
        name: in words, for readings and axes.
        limits: what values it can take at most, for an interval of one arm.
    """

    of: Statistic
    order: Order
    name: str
    limits: tuple[float, float] = (-np.inf, np.inf)

    def __call__(self, quality: Floats, budgets: list[int]) -> Floats:
        return self.of(mean_curve(quality, self.order), budgets)


def index_of(order: Order = "pooled", *, q_max: float | Literal["observed"] = 1.0, axis: Axis = "linear") -> OfCurve:
    """The Anytime Index, its maximum taken at the level `order` names; NaN where a budget has no graded cell."""

    def of(curve: Floats, budgets: list[int]) -> Floats:
        unknown = np.asarray(np.isnan(curve).any(axis=-1, keepdims=True))
        index = anytime_index(budgets, np.where(unknown, 0.0, curve), q_max=q_max, running_max=False, axis=axis)
        return np.where(unknown[..., 0], np.nan, index)

    return OfCurve(of, order, "Anytime Index", (0.0, 1.0))


def curve_of(order: Order = "pooled") -> OfCurve:
    """The quality curve itself: (..., T)."""
    return OfCurve(lambda curve, _: curve, order, "quality", (0.0, 1.0))


def quality_at(budget: float, order: Order = "pooled") -> OfCurve:
    """Quality at a budget, read off the curve by straight lines between budgets."""

    def of(curve: Floats, budgets: list[int]) -> Floats:
        if not budgets[0] <= budget <= budgets[-1]:
            raise DataError(f"budget {budget} lies outside those that were run, {budgets[0]} to {budgets[-1]}")
        right = int(np.clip(np.searchsorted(budgets, budget), 1, len(budgets) - 1))
        share = (budget - budgets[right - 1]) / (budgets[right] - budgets[right - 1])
        if share in (0, 1):  # no NaN from a neighbour that does not count
            return curve[..., right - 1 + int(share)]
        return (1 - share) * curve[..., right - 1] + share * curve[..., right]

    return OfCurve(of, order, f"quality at {budget:,} tokens", (0.0, 1.0))


def final_quality(order: Order = "raw") -> OfCurve:
    """Quality at the largest budget."""
    return OfCurve(lambda curve, _: curve[..., -1], order, "quality at the largest budget", (0.0, 1.0))


def area_between(low: float, high: float, order: Order = "pooled") -> OfCurve:
    """Mean quality over the budgets from `low` to `high`: the index of a part of the curve."""

    def of(curve: Floats, budgets: list[int]) -> Floats:
        points = [low, *(b for b in budgets if low < b < high), high]
        ends = [quality_at(b, order).of(curve, budgets) for b in points]
        return np.sum([(a + b) / 2 * d for a, b, d in zip(ends, ends[1:], np.diff(points), strict=False)], axis=0) / (
            high - low
        )

    return OfCurve(of, order, f"mean quality from {low:,} to {high:,} tokens", (0.0, 1.0))


def tokens_to_reach(quality: float, order: Order = "pooled") -> OfCurve:
    """The budget at which the best-so-far curve first reaches a quality, by straight lines between budgets.

    The smallest budget if it is reached there already; infinite if it is not reached at all.
    """

    def of(curve: Floats, budgets: list[int]) -> Floats:
        best, b = best_so_far(curve), np.asarray(budgets, float)
        reached = best >= quality - 1e-12
        at = np.argmax(reached, axis=-1)[..., None]
        before = np.maximum(at - 1, 0)
        y1, y0 = (np.take_along_axis(best, i, axis=-1)[..., 0] for i in (at, before))
        x1, x0 = b[at[..., 0]], b[before[..., 0]]
        share = np.divide(quality - y0, y1 - y0, out=np.ones_like(y1), where=y1 > y0)
        tokens = np.where(at[..., 0] == 0, b[0], x0 + np.clip(share, 0, 1) * (x1 - x0))
        found = np.where(reached.any(axis=-1), tokens, np.inf)
        return np.where(np.isnan(curve).any(axis=-1), np.nan, found)

    return OfCurve(of, order, f"tokens to reach quality {quality:g}")


def resampled(
    quality: Floats,
    budgets: list[int],
    statistic: Statistic,
    n_resamples: int,
    rng: np.random.Generator,
    levels: Levels = "problems",
) -> Floats:
    """A statistic on bootstrap resamples of one or several arms, with the same draws for all arms.

    Args:
        quality: (A, P, S, T): arms, problems, samples, budgets; NaN where missing. With `levels="answers"`
            (A, P, S, Q, T), where Q counts the times each answer was asked for.
        budgets: (T,).
        statistic: an `OfCurve`, or any function of a (..., P, S, T) array (slower: the cells drawn are gathered).
        n_resamples: R.
        rng: where the draws come from.
        levels: how deep is drawn (see the module's docstring).

    Returns:
        (R, A, ...) the statistic of every arm on every resample.

    Raises:
        DataError: crossfit below the level of problems, where a sample drawn twice would sit in both halves.
    """
    shape = quality.shape[1:-1]
    depth = LEVELS.index(levels) + 1
    if levels == "answers" and quality.ndim != 5:
        raise DataError("answers asked again are resampled from an array of arms, problems, samples, answers, budgets")
    if levels != "answers" and quality.ndim == 5:
        quality = average(quality)
    order = statistic.order if isinstance(statistic, OfCurve) else None
    if depth > 1 and order == "crossfit":
        raise DataError("crossfit needs whole problems to be drawn: a sample drawn twice would sit in both halves")
    table = None
    if order is not None and depth == 1:
        table = _Table(problem_curves(quality, order))
    elif order in ("raw", "pooled") and not np.isnan(quality).any():
        table = _Table(quality.reshape(quality.shape[0], -1, quality.shape[-1]))
    found = []
    # So many at once that weights stay in the processor's cache, and gathered cells in memory.
    size = max(1, min(50_000 // int(np.prod(shape[:depth])), 8_000_000 // quality[0].size))
    for start in range(0, n_resamples, size):
        drawn = _draw(rng, min(size, n_resamples - start), shape[:depth])
        if table is not None:
            means = table.averaged(_counts(drawn, shape[:depth]))
            found.append(from_means(means, order or "raw", quality.shape[-1]))
        else:
            cells = _gathered(quality, drawn)
            values = statistic(average(cells) if levels == "answers" else cells, budgets)
            found.append(np.moveaxis(np.asarray(values), 0, 1))
    every = np.concatenate(found)
    return np.asarray(statistic.of(every, budgets)) if table is not None and isinstance(statistic, OfCurve) else every


def jackknifed(quality: Floats, budgets: list[int], statistic: Statistic) -> Floats:
    """The statistic of every arm with one problem left out: (A, P, S, T) -> (P, A, ...).

    A single problem cannot be left out: the statistic itself. NaN where a problem alone holds some budget.
    """
    quality = average(quality) if quality.ndim == 5 else quality
    n = quality.shape[1]
    if n == 1:
        return np.asarray(statistic(quality, budgets))[None]
    if isinstance(statistic, OfCurve):
        means = _Table(problem_curves(quality, statistic.order)).without_each()
        return np.asarray(statistic.of(from_means(means, statistic.order, quality.shape[-1]), budgets))
    return np.stack([np.asarray(statistic(np.delete(quality, i, axis=1), budgets)) for i in range(n)])


def _gathered(quality: Floats, drawn: list[NDArray[np.integer]]) -> Floats:
    """The cells drawn: (A, size, P, S, ...)."""
    if len(drawn) == 1:
        return quality[:, drawn[0]]
    if len(drawn) == 2:
        return quality[:, drawn[0][..., None], drawn[1]]
    return quality[:, drawn[0][..., None, None], drawn[1][..., None], drawn[2]]


def _draw(rng: np.random.Generator, size: int, shape: tuple[int, ...]) -> list[NDArray[np.integer]]:
    """Indices drawn with replacement: (size, P) problems, (size, P, S) samples, (size, P, S, Q) answers."""
    return [integers(rng, n, (size, *shape[: depth + 1])) for depth, n in enumerate(shape)]


def integers(rng: np.random.Generator, n: int, size: tuple[int, ...]) -> NDArray[np.integer]:
    """Whole numbers below n, each as likely: a byte each where that will do, which is several times faster."""
    if 256 % n == 0:
        return np.asarray(rng.integers(256, size=size, dtype=np.uint8) & np.uint8(n - 1))
    return rng.integers(n, size=size, dtype=np.uint8 if n < 256 else np.int64)


def _counts(drawn: list[NDArray[np.integer]], shape: tuple[int, ...]) -> Floats:
    """How often each unit of the deepest level was drawn: (size, product of shape)."""
    size, units = len(drawn[0]), int(np.prod(shape))
    flat = np.arange(size)[:, None] * shape[0] + drawn[0]
    for n, deeper in zip(shape[1:], drawn[1:], strict=True):
        flat = flat[..., None] * n + deeper
    return np.bincount(flat.ravel(), minlength=size * units).reshape(size, units).astype(float)


class _Table:
    """Curves of (A, P, T) as a matrix, to be averaged by many weights at once."""

    def __init__(self, curves: Floats) -> None:
        self.shape = curves.shape[0], curves.shape[2]
        table = curves.transpose(1, 0, 2).reshape(curves.shape[1], -1)
        seen = ~np.isnan(table)
        self.values = np.where(seen, table, 0.0)
        self.seen = None if seen.all() else seen.astype(float)

    def averaged(self, weights: Floats) -> Floats:
        """The curves averaged over problems by each of (R, P) weights: (R, A, T); NaN where all that weigh lack it."""
        total = product(weights, self.values)
        if self.seen is None:
            return (total / weights.sum(axis=1, keepdims=True)).reshape(-1, *self.shape)
        count = product(weights, self.seen)
        mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return mean.reshape(-1, *self.shape)

    def without_each(self) -> Floats:
        """The curves averaged over all problems but one: (P, A, T); NaN where no other has it."""
        seen = np.ones_like(self.values) if self.seen is None else self.seen
        total, count = self.values.sum(axis=0) - self.values, seen.sum(axis=0) - seen
        mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return mean.reshape(-1, *self.shape)


def product(weights: Floats | NDArray[np.int8], values: Floats) -> Floats:
    """The matrix product in blocks too small for BLAS to start threads: on a busy machine they wait for each other."""
    found = np.empty((len(weights), values.shape[1]))
    block = max(1, 250_000 // values.size)
    for i in range(0, len(weights), block):
        np.matmul(weights[i : i + block], values, out=found[i : i + block])
    return found
