"""Where do methods differ: on the hard problems, on the easy ones, or everywhere? Performance profiles.

Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (arXiv 2108.13264).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as distributions

from anytime_lib.index import ARM, Floats, average, quality_array
from anytime_lib.stats.bootstrap import Seed, curve_of, index_of, resampled
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.intervals import interval


def performance_profile(
    cells: pd.DataFrame, taus: ArrayLike | None = None, *, n_resamples: int = 2_000, seed: Seed = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """The performance profile of every arm: the share of its traces (over all problems) whose index lies above each
    threshold (101 from 0 to 1 by default).

    Returns:
        One row per arm and threshold: run, model, task, method, tau, share, low, high (pointwise, problems resampled).
    """
    thresholds = np.linspace(0, 1, 101) if taus is None else np.asarray(taus, float)
    tables, mean, index = [], curve_of("raw"), index_of("raw").of
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, _, budgets = quality_array(arm)
        scores = index(quality, budgets)  # of every trace by itself
        above = np.where(np.isnan(scores)[..., None], np.nan, scores[..., None] > thresholds)  # (P, S, U)
        draws = resampled(above[None], [], mean, n_resamples, seed)[:, 0]
        share, graded = mean(above, []), int((~np.isnan(scores)).any(axis=1).sum())
        low, high = np.clip(interval(draws, share, n=graded, confidence_level=confidence_level), 0, 1)
        columns = {"tau": thresholds, "share": share, "low": low, "high": high}
        tables.append(pd.DataFrame(dict(zip(ARM, arm_of, strict=True)) | columns))
    return pd.concat(tables, ignore_index=True)


def probability_of_improvement(comparison: Comparison) -> pd.DataFrame:
    """How likely a trace of the treatment beats one of the baseline on the same problem, ties counting half.

    The Mann-Whitney statistic of the traces' raw indices per problem, averaged over problems, with the t interval over
    problems. A trace that lacks a budget is in no pair. It says nothing of by how much the treatment is better.

    Returns:
        One row: probability, low, high (NaN without two problems), n_problems (that have a pair of whole traces), note.
    """
    first, second = np.round(index_of("raw").of(comparison.quality, comparison.budgets), 12)  # so that equal traces tie
    each = win_shares(second, first)
    n, value, half = len(each), float(each.mean()) if len(each) else np.nan, np.nan
    note = "one problem has no spread to judge by" if n else "no problem has a whole trace in both arms"
    if n > 1:
        half = float(distributions.t.isf((1 - comparison.confidence_level) / 2, n - 1) * distributions.sem(each))
        note = "" if half else "the same on every problem, so the interval is a point"
    low, high = np.clip([value - half, value + half], 0.0, 1.0)
    return pd.DataFrame([{"probability": value, "low": low, "high": high, "n_problems": n, "note": note}])


def win_shares(treatment: Floats, baseline: Floats) -> Floats:
    """The share of pairs of traces in which the treatment's is better, ties counting half, of the problems that have
    any: (P, S) twice -> (n,)."""
    better = np.sign(treatment[:, :, None] - baseline[:, None, :])  # NaN where either is missing
    shares = average((better.reshape(len(better), -1, 1) + 1) / 2)[:, 0]
    return shares[~np.isnan(shares)]
