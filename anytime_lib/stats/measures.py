"""When was a trace right, and what did it lose before and after?

Measures that come free from the cells of a sweep: they need the answers forced at the budgets and nothing else. A
guess that happens to be right counts as right, so where guessing pays (four options), the least budget is too small
and the overthinking rate too large by what the same measures read on guesses alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.index import Floats, anytime_index, average, quality_array
from anytime_lib.stats.bootstrap import curve_of, resampled
from anytime_lib.stats.edges import bounded
from anytime_lib.stats.intervals import interval

MEASURES = ("solved", "b_star", "overthinking_tax", "starvation_loss", "overthought")
_ARM = ["run", "model", "task", "method"]


def trace_measures(cells: pd.DataFrame) -> pd.DataFrame:
    """The measures of every trace.

    Definitions, for a trace with answers at budgets b_1 < ... < b_T, of which the earliest right one (`correct`) is
    at b*:

    - `solved`: whether there is a right one.
    - `b_star`: b*, the least budget that solves, in tokens; NaN where none does.
    - `overthinking_tax`: tokens that the trace went on to spend after it could have answered rightly, tokens_used at
      b_T less tokens_used at b*; NaN where nothing was solved.
    - `starvation_loss`: quality lost because the budget was below b*: the score at b* less the score at b, for b < b*
      (0 from b* on, and where nothing was solved), as an area over the budgets in the manner of the Anytime Index.
    - `overthought`: right at some budget and wrong at the largest.

    Returns:
        One row per trace: run, model, task, method, problem_id, sample, the five measures (as floats), n_missing. A
        trace with a missing cell (an error, or one left out) has NaN for all five: what it would have been is not
        known.
    """
    found = []
    for arm, part in cells.groupby(_ARM, sort=False):
        right, problems, budgets = quality_array(part, "correct")
        score, used = (quality_array(part, value)[0] for value in ("score", "tokens_used"))
        values = _measured(right, score, used, np.asarray(budgets, float))
        n_samples = right.shape[1]
        frame = pd.DataFrame({name: values[..., i].ravel() for i, name in enumerate(MEASURES)})
        frame["n_missing"] = np.isnan(score).sum(axis=-1).ravel()
        frame.insert(0, "sample", np.tile(sorted(part["sample"].unique()), len(problems)))
        frame.insert(0, "problem_id", np.repeat(problems, n_samples))
        found.append(frame.assign(**dict(zip(_ARM, map(str, arm), strict=True))))
    names = [*_ARM, "problem_id", "sample", *MEASURES, "n_missing"]
    return pd.concat(found, ignore_index=True)[names] if found else pd.DataFrame(columns=names)


def _measured(right: Floats, score: Floats, used: Floats, budgets: Floats) -> Floats:
    """(..., T) of each -> (..., 5) measures in the order of MEASURES."""
    known = np.asarray(~np.isnan(right + score).any(axis=-1))
    hit = right == 1
    solved = np.asarray(hit.any(axis=-1))
    first = hit.argmax(axis=-1)[..., None]

    def at_first(values: Floats) -> Floats:
        return np.asarray(np.take_along_axis(values, first, axis=-1))

    before = (np.arange(len(budgets)) < first) & solved[..., None]
    loss = np.where(before & known[..., None], at_first(score) - score, 0.0)
    starved = np.asarray(anytime_index(budgets, np.clip(loss, 0, None), running_max=False))
    b_star = np.where(solved, budgets[first[..., 0]], np.nan)
    tax = np.where(solved, used[..., -1] - at_first(used)[..., 0], np.nan)
    values = np.stack([solved, b_star, tax, starved, solved & ~hit[..., -1]], axis=-1).astype(float)
    return np.where(known[..., None], values, np.nan)


def measures(
    cells: pd.DataFrame, *, n_resamples: int = 2_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """The measures of every arm (see `trace_measures`), with bootstrap intervals over problems (see `intervals`).

    Each is the mean over problems of the mean over their traces for which it is defined; `b_star` and
    `overthinking_tax` are so of solved traces alone, to be read beside `solved`.

    Returns:
        One row per arm and measure: run, model, task, method, measure, value, low, high, n_problems and n_traces (for
        which it is defined), n_missing (traces that could not be measured), note (where the interval is a point or the
        value near an end of its scale; see `edges`).
    """
    rows = []
    for arm, part in trace_measures(cells).groupby(_ARM, sort=False):
        table = part.melt(["problem_id", "sample"], list(MEASURES), "measure")
        full = table.pivot(index=["problem_id", "sample"], columns="measure", values="value")[list(MEASURES)]
        values = full.to_numpy().reshape(part.problem_id.nunique(), -1, len(MEASURES))
        mean = curve_of("raw")  # the mean over problems of means over samples, whatever the last axis holds
        draws = resampled(values[None], list(range(len(MEASURES))), mean, n_resamples, np.random.default_rng(seed))
        estimates = mean(values, [])
        for i, name in enumerate(MEASURES):
            defined = ~np.isnan(values[..., i])
            n = int(defined.any(axis=1).sum())
            low, high = interval(draws[:, 0, i], estimates[i], n=n, confidence_level=confidence_level)
            means = average(np.swapaxes(values[None, ..., i], 1, 2))[0]
            most = np.inf if name in ("b_star", "overthinking_tax") else 1.0
            ends = bounded(float(low), float(high), means[~np.isnan(means)], (0.0, most), confidence_level)
            rows.append(
                dict(zip(_ARM, arm, strict=True))
                | {"measure": name, "value": float(estimates[i]), "low": ends.low, "high": ends.high,
                   "n_problems": n, "n_traces": int(defined.sum()), "n_missing": int((part.n_missing > 0).sum()),
                   "note": ends.note}
            )  # fmt: skip
    return pd.DataFrame(rows)
