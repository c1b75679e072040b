"""Where do methods differ: on the hard problems, on the easy ones, or everywhere? Performance profiles.

For every threshold, the share of a method's traces (over all problems) that score above it; a method whose profile
lies above another's everywhere is better whatever is counted as good. Source: Agarwal et al., "Deep Reinforcement
Learning at the Edge of the Statistical Precipice" (arXiv 2108.13264), section 4.2.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from anytime_lib.index import Floats, Order, anytime_index, best_so_far, quality_array
from anytime_lib.stats.bootstrap import OfCurve, Seed, resampled
from anytime_lib.stats.intervals import interval


def trace_indices(quality: Floats, budgets: ArrayLike, order: Order = "raw") -> Floats:
    """The index of every single trace: (..., S, T) -> (..., S); NaN where a trace lacks a budget.

    With `trace` its running maximum is taken first; any other order reads the trace as it is.
    """
    curve = best_so_far(quality) if order == "trace" else quality
    unknown = np.asarray(np.isnan(curve).any(axis=-1))
    index = np.asarray(anytime_index(budgets, np.where(unknown[..., None], 0.0, curve), running_max=False))
    return np.where(unknown, np.nan, index)


def performance_profile(
    cells: pd.DataFrame,
    taus: ArrayLike | None = None,
    *,
    order: Order = "raw",
    by: str = "trace",
    n_resamples: int = 2_000,
    seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """The performance profile of every arm in the cells, with pointwise intervals over problems.

    Args:
        cells: the tidy table.
        taus: thresholds of the index; 101 from 0 to 1 by default.
        order: `raw` or `trace`, how a trace's index is read.
        by: `trace` counts traces, `problem` counts problems' mean indices (rliable's run and average scores).

    Returns:
        One row per arm and threshold: run, model, task, method, tau, share, low, high. The intervals resample
        problems; rliable resamples runs within tasks, since its tasks are fixed and few.
    """
    thresholds = np.linspace(0, 1, 101) if taus is None else np.asarray(taus, float)
    statistic = OfCurve(lambda curve, _: curve, "raw", "share above")
    drawing, rows = np.random.default_rng(seed), []
    for arm_of, arm in cells.groupby(["run", "model", "task", "method"], sort=False):
        quality, _, budgets = quality_array(arm)
        scores = trace_indices(quality, budgets, order)
        if by == "problem":
            known = ~np.isnan(scores)
            total, count = np.where(known, scores, 0).sum(axis=1, keepdims=True), known.sum(axis=1, keepdims=True)
            scores = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        above = np.where(np.isnan(scores)[..., None], np.nan, scores[..., None] > thresholds)  # (P, S, U)
        share = statistic(above, [])
        draws = resampled(above[None], [], statistic, n_resamples, deepcopy(drawing))[:, 0]
        graded = int((~np.isnan(scores)).any(axis=1).sum())
        low, high = interval(draws, share, n=graded, confidence_level=confidence_level)
        rows.append(
            pd.DataFrame(
                dict(zip(("run", "model", "task", "method"), arm_of, strict=True))
                | {"tau": thresholds, "share": share, "low": np.clip(low, 0, 1), "high": np.clip(high, 0, 1)}
            )
        )
    return pd.concat(rows, ignore_index=True)
