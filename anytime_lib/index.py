"""How good is an answer at every budget, and what single number says so?

The Anytime Index of a quality curve Q at budgets b_1 < ... < b_T:

    Q*_t = max over i <= t of Q_i
    AI   = sum over t < T of  (Q*_t + Q*_{t+1}) / 2 * (b_{t+1} - b_t)  /  ((b_T - b_1) * Q_max)

the area under the best-so-far curve, by trapezoids, as a share of the largest possible. At which level the maximum is
taken the source does not say, and it matters (see `mean_curve`).
Source: Zhang et al., "Budget-Aware Anytime Reasoning with LLM-Synthesized Preference Data" (arXiv 2601.11038).
"""

from functools import cache
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from anytime_lib.errors import DataError

Order = Literal["pooled", "problem", "trace", "raw", "crossfit"]
ORDERS: tuple[Order, ...] = ("pooled", "problem", "trace", "raw", "crossfit")
Axis = Literal["linear", "log"]
Top = float | Literal["observed"]
ARM = ["run", "model", "task", "method"]
"""What names an arm: the columns of the cells that tell one curve from another."""
Floats = NDArray[np.float64]


def anytime_index(
    budgets: ArrayLike, quality: ArrayLike, *, q_max: Top = 1.0, running_max: bool = True, axis: Axis = "linear"
) -> Floats | float:
    """The Anytime Index of one or many quality curves: (...) in [0, 1]; a float for a single curve.

    Args:
        budgets: (T,) token budgets, strictly increasing, T >= 2.
        quality: (..., T) quality at each budget, in [0, q_max], no NaN.
        q_max: the quality that counts as perfect; `"observed"` divides each curve by its own largest value, which
            leaves its shape alone (a curve of zeros gives 0).
        running_max: take the best so far (Q*); without it, the plain area.
        axis: `linear` weighs every token alike, so that the gap between the two largest budgets counts most; `log`
            weighs every doubling alike.
    """
    b, q = np.asarray(budgets, dtype=float), np.asarray(quality, dtype=float)
    if b.ndim != 1 or b.size < 2 or not np.all(np.isfinite(b)) or np.any(np.diff(b) <= 0):
        raise DataError(f"give at least two budgets, finite and strictly increasing, not {b.tolist()}")
    if axis not in ("linear", "log") or (axis == "log" and b[0] <= 0):
        raise DataError(f"axis must be linear, or log of budgets above 0, not {axis!r} of {b.tolist()}")
    if q.shape[-1:] != b.shape:
        raise DataError(f"quality needs one value per budget along its last axis: {q.shape} against {b.size} budgets")
    if np.any(np.isnan(q)):
        raise DataError("quality holds NaN: leave out or bound missing cells before taking the index")
    top: Floats | float = q.max(axis=-1) if q_max == "observed" else float(q_max)
    if np.any(q < 0) or np.any(q > np.asarray(top)[..., None] * (1 + 1e-12)):
        raise DataError(f"quality must lie in [0, {q_max}], not [{q.min()}, {q.max()}]")
    x = np.log(b) if axis == "log" else b
    area = np.trapezoid(np.maximum.accumulate(q, axis=-1) if running_max else q, x, axis=-1) / (x[-1] - x[0])
    index = np.clip(area / np.where(np.asarray(top) > 0, top, 1.0), 0.0, 1.0)
    return float(index) if index.ndim == 0 else index


def cells_array(cells: pd.DataFrame, value: str = "score") -> tuple[Floats, list[str], list[str], list[int]]:
    """A column of the cells of one run, model and task as an array: (M, P, S, T) values, NaN where missing or an error,
    and the sorted names of M methods, P problems and T budgets."""
    if lacking := [name for name in [*ARM, "problem_id", "sample", "budget", value] if name not in cells]:
        raise DataError(f"the table of cells has no column {', '.join(map(repr, lacking))}")
    if any(cells[name].nunique() > 1 for name in ARM[:3]):
        raise DataError("one run, model and task expected, the cells hold several: filter them first")
    axes = ["method", "problem_id", "sample", "budget"]
    if lacking := [axis for axis in axes if cells[axis].isna().any()]:
        raise DataError(f"some cells have no {', '.join(map(repr, lacking))}: fill it in, or leave them out")
    if twice := int(cells.duplicated(axes).sum()):
        raise DataError(f"{twice} cells are there more than once, with the same {', '.join(axes)}: keep one of each")
    codes, names = zip(*(pd.factorize(cells[axis], sort=True) for axis in axes), strict=True)
    values = np.full([len(n) for n in names], np.nan)
    try:
        values[codes] = cells[value].astype(float).to_numpy()
        budgets = list(map(int, names[3]))
    except (TypeError, ValueError) as error:
        raise DataError(f"budgets and {value!r} must be numbers: {error}") from None
    if value == "score" and ((values < 0) | (values > 1)).any():
        raise DataError(f"scores must lie in [0, 1], not [{np.nanmin(values):g}, {np.nanmax(values):g}]")
    return values, list(map(str, names[0])), list(names[1]), budgets


def of_methods(cells: pd.DataFrame, *methods: str) -> pd.DataFrame:
    """The cells of these methods; DataError where there are none of one."""
    held = list(cells.method.unique())
    if missing := [method for method in methods if method not in held]:
        raise DataError(f"no cells of method {missing[0]!r}; the table holds {', '.join(held)}")
    return cells[cells.method.isin(methods)]


def quality_array(cells: pd.DataFrame, value: str = "score") -> tuple[Floats, list[str], list[int]]:
    """The cells of one arm as an array: (P, S, T) values (NaN where missing or an error), P problem ids, T budgets."""
    if (n := len(cells[ARM].drop_duplicates())) != 1:
        raise DataError(f"one (run, model, task, method) expected, the cells hold {n}: filter them first")
    values, _, problems, budgets = cells_array(cells, value)
    return values[0], problems, budgets


def both_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int, Floats]:
    """The cells of two methods, of one run, model and task, where both were asked.

    Returns (2, P, S, T) quality, NaN where a cell has no score, of the problems and samples of which both have cells;
    the T budgets; how many cells of the two are of others; and (S,) of which draw of exemplars each sample is, NaN
    where neither method shows any.
    """
    if baseline == treatment:
        raise DataError(f"{baseline} is compared with itself: name two methods")
    asked = of_methods(cells, baseline, treatment)
    values, methods, _, budgets = cells_array(asked)
    if asked.groupby("method").budget.nunique().min() < len(budgets):
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    there = ~np.isnan(cells_array(asked.assign(asked=1), "asked")[0]).all(axis=-1)  # (2, P, S)
    shared = np.asarray(there.all(axis=0))
    quality = values[[methods.index(baseline), methods.index(treatment)]]
    seen = np.where(shared[..., None], quality, np.nan)[:, shared.any(axis=1)][:, :, shared.any(axis=0)]
    if np.isnan(seen).any(axis=0).all():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    draw = sample_draws(asked)[shared.any(axis=0)]
    return seen, budgets, len(asked) - 2 * int(shared.sum()) * len(budgets), draw


def paired(quality: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Cells of two arms (2, P, S, T) -> the same, NaN where either lacks one, without problems and samples that have no
    pair; and (S,) which samples have one."""
    shared = np.asarray(~np.isnan(quality).any(axis=0))  # (P, S, T)
    samples = np.asarray(shared.any(axis=(0, 2)))
    return np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, samples], samples


def sample_draws(cells: pd.DataFrame) -> Floats:
    """Of which draw of exemplars each sample in the cells is, by the samples in order: (S,), NaN where it shows none.
    DataError where methods were prepared on different draws."""
    draw = cells.get("draw", pd.Series(np.nan, cells.index)).astype(float).groupby(cells["sample"])
    if draw.nunique().max() > 1:
        raise DataError(f"{', '.join(cells.method.unique())} were not prepared on the same draws; run them again")
    return np.asarray(draw.max())


def mean_curve(quality: Floats, order: Order = "pooled") -> Floats:
    """The quality curve of an arm, its running maximum taken at the level `order` names: (..., P, S, T) -> (..., T).

    `pooled` takes the maximum of the mean over problems and samples; `problem` of each problem's mean over samples;
    `trace` of each trace; `raw` takes none; `crossfit` estimates what `pooled` does without its optimism (see
    `from_means`). Missing cells, NaN, are left out of means and maxima; a budget without any cell is NaN.
    """
    return from_means(average(problem_curves(quality, order)), order, quality.shape[-1])


def problem_curves(quality: Floats, order: Order) -> Floats:
    """Each problem's part in the curve, (..., P, S, T) -> (..., P, U), whose mean `from_means` makes the curve of. U is
    T; with `crossfit`, means over either half of the samples, one way to halve them after another, 2 T x the ways."""
    if order in ("pooled", "raw"):
        return average(quality)
    if order == "problem":
        return best_so_far(average(quality))
    if order == "trace":
        return average(best_so_far(quality))
    if order == "crossfit":
        if quality.shape[-2] < 2:
            raise DataError("crossfit splits the samples in two: at least two samples are needed")
        halves = [half for mask in halvings(quality.shape[-2]) for half in (mask, ~mask)]
        return np.concatenate([average(quality[..., half, :]) for half in halves], axis=-1)
    raise DataError(f"unknown order {order!r}; known: {', '.join(ORDERS)}")


def from_means(means: Floats, order: Order, n_budgets: int) -> Floats:
    """The curve, of the mean over problems of their `problem_curves`: (..., U) -> (..., T).

    `crossfit` picks the best budget so far by one half of the samples (over all problems), reads that budget's quality
    in the other half, both ways, and averages over the halvings. Where quality is flat its index has no bias; elsewhere
    it lies at or a little below the true pooled one (measured in notebook 08).
    """
    if order == "pooled":
        return best_so_far(means)
    if order != "crossfit":
        return means
    halves = means.reshape(*means.shape[:-1], -1, 2, n_budgets)
    return average(_read_at_best(halves, halves[..., ::-1, :]).reshape(*means.shape[:-1], -1, n_budgets))


def reading(quality: Floats, order: Order) -> Floats:
    """At which budgets the curve of one arm is read: (P, S, T) -> (T, T) shares of the budgets in each of its values.
    (..., T) scores times these are what traces add to the arm's curve, the choice of budgets taken as it is."""
    every = np.eye(quality.shape[-1])
    if order == "raw":
        return every
    picks = average(problem_curves(quality, order)).reshape(-1, 1, len(every))
    return average(_read_at_best(picks, every[None]).reshape(len(picks), -1)).reshape(every.shape)


def _read_at_best(pick: Floats, read: Floats) -> Floats:
    """For each prefix, the value of `read` where `pick` is largest; of ties the latest (the earliest reads too low)."""
    filled = np.where(np.isnan(pick), -np.inf, pick)
    best = np.maximum.accumulate(filled, axis=-1)
    where = np.maximum.accumulate(np.where(filled >= best, np.arange(pick.shape[-1]), 0), axis=-1)
    return np.where(np.isnan(pick), np.nan, np.take_along_axis(read, where, axis=-1))


@cache
def halvings(n: int) -> list[NDArray[np.bool_]]:
    """Ways to split n samples in two halves, as masks: all of them if 20 or fewer, else 16 drawn once and for all."""
    if comb(n, n // 2) <= 20:
        masks = np.array([np.isin(np.arange(n), chosen) for chosen in combinations(range(n), n // 2)])
        return list(masks[: len(masks) // 2] if n % 2 == 0 else masks)  # of an even number each comes twice
    rng = np.random.default_rng(n)
    return [rng.permutation(n) < n // 2 for _ in range(16)]


def average(values: Floats) -> Floats:
    """Mean over the second last axis (samples, or problems) without the missing."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=-2)
    total = np.where(seen, values, 0.0).sum(axis=-2)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def best_so_far(values: Floats) -> Floats:
    """Running maximum along the last axis over what is known; what is missing stays missing."""
    return np.where(np.isnan(values), np.nan, np.fmax.accumulate(values, axis=-1))


def curve_table(cells: pd.DataFrame, order: Order = "pooled") -> pd.DataFrame:
    """Quality at each budget for every (run, model, task, method) in the cells, averages weighing problems equally.

    A maximum over noisy values is too high: with right-or-wrong answers of true quality .50 at each of ten budgets (400
    problems, 8 samples) the index reads .51 when the maximum is taken of the pooled curve, .69 of each problem's mean,
    .92 of each trace; .50 without any. So its level, `order` (see `mean_curve`), is always named.

    One row per arm and budget: method, budget, quality, tokens_used (mean), n_problems, n_cells (graded), n_missing
    (errors), order, task, model, run.
    """
    tables = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        graded = (~np.isnan(quality)).sum(axis=(0, 1))
        used = arm.groupby("budget").tokens_used.mean().to_numpy(float)
        run, model, task, method = arm_of
        curve = {"method": method, "budget": budgets, "quality": mean_curve(quality, order), "tokens_used": used}
        counts = {"n_problems": len(problems), "n_cells": graded, "n_missing": quality[..., 0].size - graded}
        about = {"order": order, "task": task, "model": model, "run": run}
        tables.append(pd.DataFrame(curve | counts | about))  # a narrow page shows the first and the last columns
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
