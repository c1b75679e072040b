"""How good is each arm, and how sure is that? Tables of indices, curves with bands, variants, and worst cases."""

from html import escape
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib import index as curves
from anytime_lib.index import ARM, ORDERS, Floats, Order, average, cells_array, mean_curve, quality_array, sample_draws
from anytime_lib.stats import bootstrap
from anytime_lib.stats.bootstrap import CurveStatistic, Seed, generator, index_of, jackknifed, quality_at, resampled
from anytime_lib.stats.intervals import NEAR, interval, upper_bound


def curve_of(order: Order) -> CurveStatistic:
    """The quality curve itself: (..., T)."""
    return CurveStatistic(lambda curve, _: curve, order)


def estimate(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 10_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The Anytime Index of every arm in the cells, with its t interval, cut off at 0 and 1 and widened near them; over
    draws of exemplars as well as problems where an arm has several (by `pooled`, `raw` and `crossfit`). The pooled
    maximum reads flat curves too high, so its interval reaches down to where that of `crossfit` (of a single
    sample: `raw`) does, which has no such bias. Of levels of effort the index is that of `index_by_tokens`.

    One row per arm: run, model, task, method, order, index, low, high, final (quality at the largest budget), average
    (over the budgets), n_problems, n_samples, n_missing, note (what to beware of in the interval).
    """
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, problems, budgets = quality_array(arm)
        index, asked = (index_by_tokens, with_tokens(arm)) if by_effort(arm) else (index_of, quality)
        value, values = float(index(order)(asked, budgets)), problem_values(asked, budgets, index(order))
        of_draw = sample_draws(arm) if order not in ("problem", "trace") else np.full(quality.shape[1], np.nan)
        fair: Order = "crossfit" if quality.shape[1] > 1 else "raw"
        ends = []
        for read in [order, fair][: 1 + (order == "pooled")]:
            draws = resampled(_arms(asked), budgets, index(read), n_resamples, seed).reshape(n_resamples)
            by_draw = bootstrap.draw_values(quality, budgets, index_of(read), of_draw)
            draws, df = bootstrap.over_draws(draws, by_draw, generator(seed).spawn(1)[0])
            how: dict[str, Any] = {"n": len(values), "confidence_level": confidence_level, "df": df}
            ends.append(interval(draws, index(read)(asked, budgets), **how))
        least = np.fmin.reduce([low for low, _ in ends])
        low, high, note = widen_near_limits((least, ends[0][1]), values, confidence_level)
        raw, missing = mean_curve(quality, "raw"), int(np.isnan(quality).sum())
        found = value, low, high, float(raw[-1]), float(raw.mean())
        rows.append((*arm_of, order, *found, len(problems), quality.shape[1], missing, note))
    names = ["order", "index", "low", "high", "final", "average", "n_problems", "n_samples", "n_missing", "note"]
    return pd.DataFrame(rows, columns=[*ARM, *names])


def problem_values(quality: Floats, budgets: list[int], statistic: CurveStatistic) -> Floats:
    """What each problem adds to a statistic of one arm (jackknife pseudo-values): (P, S, T), or as `with_tokens`, ->
    (n,), for the n problems graded at the budget that fewest were graded at. Their mean is the statistic, or nearly
    so."""
    graded = ~np.isnan(average(_arms(quality)[0]))
    scarce = graded[:, graded.sum(axis=0).argmin()]
    value, n = np.asarray(statistic(quality, budgets)), int(scarce.sum())
    if n < 2:
        return np.repeat(value[None], n, axis=0)
    others = jackknifed(_arms(quality), budgets, statistic).reshape(len(scarce), *value.shape)
    return np.asarray(value + (n - 1) * (value - others[scarce]))


def _arms(values: Floats) -> Floats:
    return values[None] if values.ndim == 3 else values


def by_effort(cells: pd.DataFrame) -> bool:
    """Whether the budgets of cells are levels of effort."""
    return "effort" in cells and bool(cells.effort.notna().any())


def with_tokens(arm: pd.DataFrame) -> Floats:
    """The cells of one arm with what they took: (2, P, S, T), quality and tokens."""
    return np.stack([quality_array(arm)[0], quality_array(arm, "tokens_used")[0]])


def index_by_tokens(order: Order = "pooled") -> CurveStatistic:
    """The Anytime Index of cells as `with_tokens`: the area over the mean tokens that the levels took. These are
    measured as quality is, so in a resample both are those of its problems. A level that took no more than the one
    before adds no width; NaN where a level has no cell, or none took more than the first."""

    def of(both: Floats, _: list[int]) -> Floats:
        curve, tokens = both[..., 0, :], np.maximum.accumulate(both[..., 1, :], axis=-1)
        area, width = np.trapezoid(curve, tokens, axis=-1), tokens[..., -1] - tokens[..., 0]
        return np.asarray(area / np.where(width > 0, width, np.nan))

    return CurveStatistic(of, order, f"the Anytime Index ({order}) on measured tokens")


def efforts(
    cells: pd.DataFrame, *, n_resamples: int = 2_000, seed: Seed = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """What each level of effort took, and how good its answers are, of every arm; each level by itself.

    One row per arm and level: run, model, task, method, effort, tokens (mean), tokens_low, tokens_high, ended (share of
    the runs that the model ended), and of `band` without a maximum budget, quality, low, high, n_problems, note.
    """
    tables, how = list[pd.DataFrame](), dict[str, Any](n_resamples=n_resamples, seed=seed)
    for arm_of, arm in cells.groupby(ARM, sort=False):
        tokens, problems, budgets = quality_array(arm, "tokens_used")
        mean = mean_curve(tokens, "raw")
        draws = resampled(tokens[None], budgets, curve_of("raw"), **how)[:, 0]
        low, high = interval(draws, mean, n=len(problems), confidence_level=confidence_level)
        level = arm.groupby("budget").agg(effort=("effort", "first"), ended=("stopped_naturally", "mean")).reset_index()
        level = level.assign(tokens=mean, tokens_low=low, tokens_high=high)
        table = level.merge(band(arm, order="raw", confidence_level=confidence_level, **how), on="budget")
        tables.append(table.assign(**dict(zip(ARM, map(str, arm_of), strict=True))))
    return pd.concat(tables, ignore_index=True)


def band(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 2_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The bootstrap band of one arm's curve, each budget by itself, cut off at 0 and 1 and widened near them.

    One row per budget: budget, quality, low, high, n_problems (graded at the budget; with a running maximum, at the
    least so far), note.
    """
    quality, _, budgets = quality_array(cells)
    curve, last = mean_curve(quality, order), quality_at(order=order)
    draws = resampled(quality[None], budgets, curve_of(order), n_resamples, seed)[:, 0]
    counts = (~np.isnan(average(quality))).sum(axis=0)
    counts = counts if order == "raw" else np.minimum.accumulate(np.where(counts, counts, len(quality)))
    rows = []
    for t, n in enumerate(counts):
        ends = interval(draws[:, t], curve[t], n=int(n), confidence_level=confidence_level)
        values = problem_values(quality[..., : t + 1], budgets, last)
        low, high, note = widen_near_limits(ends, values, confidence_level)
        rows.append((budgets[t], curve[t], low, high, int(n), note))
    names = ["budget", "quality", "low", "high", "n_problems", "note"]
    return pd.DataFrame(rows, columns=names)


class Curves(pd.DataFrame):
    """Curves as a table. What is shown of it fits a page: the columns that tell one row from another."""

    def __repr__(self) -> str:
        told = ["method", "budget", "quality", "low", "high", "tokens_used", "n_problems"]
        told += [name for name in ("n_missing", *ARM[:3]) if name in self and self[name].nunique() > 1]
        text = self[self.columns.intersection(told, sort=False)].round({"tokens_used": 0}).round(3)
        level = f"level of the maximum: {', '.join(self['order'].unique())}; " if "order" in self else ""
        return f"{text.to_string(index=False)}\n{level}low, high: interval over problems, each budget by itself"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def anytime_curve(cells: pd.DataFrame, order: Order = "pooled", **settings: Any) -> pd.DataFrame:
    """Quality at each budget for every (run, model, task, method) in the cells, with its interval: the columns of
    `curve_table`, and low and high of `band`, whose `settings` may be given."""
    table = curves.curve_table(cells, order)
    ends = [band(arm, order=order, **settings)[["low", "high"]] for _, arm in cells.groupby(ARM, sort=False)]
    if ends:
        table = pd.concat([table.iloc[:, :3], pd.concat(ends, ignore_index=True), table.iloc[:, 3:]], axis=1)
    return Curves(table)


def index_variants(cells: pd.DataFrame, *, seed: Seed = 0) -> pd.DataFrame:
    """Every variant of the index for every arm, each beside what it would read if budgets made no difference: each
    trace's scores dealt to its budgets at random. What that reads above `raw` is an upper estimate of what the maximum
    adds: it is that of flat curves; of one that rises the maximum adds less (.005 where the null says .083).

    One row per arm, order, axis and q_max: index, null (mean over 100 such deals, the same for all), null_low and
    null_high (their central 95 %). No `crossfit` for arms with a single sample.
    """
    scales: list[tuple[Any, Any]] = list(product(("linear", "log"), (1.0, "observed")))
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        (quality, _, budgets), rng = quality_array(arm), generator(seed).spawn(2)[1]
        dealt = [rng.permuted(quality, axis=-1) for _ in range(100)]
        for order in ORDERS if quality.shape[1] > 1 else ORDERS[:-1]:
            curve, flat = mean_curve(quality, order), np.array([mean_curve(one, order) for one in dealt])
            for axis, top in scales:
                read = index_of(order, q_max=top, axis=axis).of
                value, null = read(curve, budgets), read(flat, budgets)
                rows.append((*arm_of, order, axis, top, value, np.nanmean(null), *np.nanquantile(null, [0.025, 0.975])))
    names = [*ARM, "order", "axis", "q_max", "index", "null", "null_low", "null_high"]
    return pd.DataFrame(rows, columns=names).astype({"index": float})


def bounds(cells: pd.DataFrame) -> pd.DataFrame:
    """Worst- and best-case Anytime Index of every arm, whatever the answers that never came would have been: each is
    scored 0 or 1 (Manski's bounds; those of a difference are in its `Comparison`).

    One row per arm: run, model, task, method, n_missing (without a score, or not there while other arms have the
    budget, sample or problem), share_missing, worst, index (of the cells there are), best.
    """
    rows: list[tuple[Any, ...]] = []
    for where, part in cells.groupby(ARM[:3], sort=False):
        values, methods, _, budgets = cells_array(part)
        for method in map(str, part.method.unique()):
            quality = values[methods.index(method)]
            lost = np.isnan(quality)
            ends = index_of()(np.stack([np.where(lost, score, quality) for score in (0.0, np.nan, 1.0)]), budgets)
            rows.append((*where, method, lost.sum(), lost.mean(), *ends))
    return pd.DataFrame(rows, columns=[*ARM, "n_missing", "share_missing", "worst", "index", "best"])


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
    below, above = np.clip([1 - upper_bound(1 - share, level), upper_bound(share, level)], 0.0, 1.0)
    few = "one problem graded: nothing tells how problems differ; " if n == 1 else ""
    why = "no problem differs" if point else f"{informative:.1f} problems' worth from an end of the scale"
    return min(low, float(below)), max(high, float(above)), f"{few}{why}: interval by Gaffke's bound"
