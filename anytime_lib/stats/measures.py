"""When was a trace right, what did it lose before and after, and how small a budget would have been enough?

A guess that happens to be right counts as right, so where guessing pays (four options) overthinking reads too large.
"""

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.index import ARM, Floats, anytime_index, average, quality_array
from anytime_lib.stats.bootstrap import quality_at, resampled
from anytime_lib.stats.compare import Comparison, compare_arrays
from anytime_lib.stats.estimate import curve_of, widen_near_limits
from anytime_lib.stats.family import noninferior
from anytime_lib.stats.intervals import interval

MEASURES = ("solved", "b_star", "overthinking_tax", "starvation_loss", "overthought")


def trace_measures(arm: pd.DataFrame) -> Floats:
    """The `MEASURES` of every trace of one arm, whose earliest right answer (`correct`) is at budget b*: (P, S, 5), NaN
    for a trace that lacks a cell.

    - `solved`: whether there is a right one.
    - `b_star`: b* in tokens; NaN where nothing was solved.
    - `overthinking_tax`: tokens_used at the largest budget less tokens_used at b*; NaN where nothing was solved.
    - `starvation_loss`: the score at b* less the score at b, for b < b* (0 from b* on), as an area over the budgets in
      the manner of the Anytime Index; where nothing was solved, 1 less the score at every budget.
    - `overthought`: right at some budget and wrong at the largest.
    """
    right, score, used = (quality_array(arm, column)[0] for column in ("correct", "score", "tokens_used"))
    budgets = np.sort(arm.budget.unique())
    known, hit = np.asarray(~np.isnan(right + score).any(axis=-1)), right == 1
    solved, first = np.asarray(hit.any(axis=-1)), hit.argmax(axis=-1)[..., None]
    score_then, used_then = (np.take_along_axis(values, first, axis=-1) for values in (score, used))
    before = ((np.arange(len(budgets)) < first) | ~solved[..., None]) & known[..., None]
    lost = np.where(before, np.where(solved[..., None], score_then, 1.0) - score, 0.0).clip(min=0)
    starved = np.asarray(anytime_index(budgets, lost, running_max=False))
    b_star = np.where(solved, budgets[first[..., 0]], np.nan)
    tax = np.where(solved, used[..., -1] - used_then[..., 0], np.nan)
    values = np.stack([solved, b_star, tax, starved, solved & ~hit[..., -1]], axis=-1).astype(float)
    return np.where(known[..., None], values, np.nan)


def measures(
    cells: pd.DataFrame, *, n_resamples: int = 2_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """The measures of every arm (see `trace_measures`): means over problems of means over the traces for which one is
    defined, with bootstrap intervals over problems.

    One row per arm and measure: run, model, task, method, measure, value, low, high, n_problems and n_traces (for which
    it is defined), n_missing (traces that could not be measured), note (see `widen_near_limits`).
    """
    rows, mean = [], curve_of("raw")  # the mean over problems of means over samples, whatever the last axis holds
    for arm_of, arm in cells.groupby(ARM, sort=False):
        values = trace_measures(arm)
        draws = resampled(values[None], [], mean, n_resamples, seed)[:, 0]
        by_problem, value, n_missing = average(values), mean(values, []), int(np.isnan(values[..., 0]).sum())
        for i, name in enumerate(MEASURES):
            means = by_problem[~np.isnan(by_problem[:, i]), i]
            ends = interval(draws[:, i], value[i], n=len(means), confidence_level=confidence_level)
            if name in ("b_star", "overthinking_tax"):  # which have no upper limit
                low, high, note = max(float(ends[0]), 0.0), float(ends[1]), ""
            else:
                low, high, note = widen_near_limits(ends, means, confidence_level)
            n_traces = int((~np.isnan(values[..., i])).sum())
            rows.append((*arm_of, name, value[i], low, high, len(means), n_traces, n_missing, note))
    names = ["measure", "value", "low", "high", "n_problems", "n_traces", "n_missing", "note"]
    return pd.DataFrame(rows, columns=[*ARM, *names])


def change(arm: pd.DataFrame, first: int, last: int, **settings: Any) -> Comparison:
    """How much the mean quality of one arm changes from one budget to another, before any maximum, on the same traces;
    `settings` are those of `compare`."""
    quality, _, budgets = quality_array(arm)
    names: dict[str, Any] = {"baseline": f"a budget of {first:,} tokens", "treatment": f"a budget of {last:,} tokens"}
    if not {first, last} <= {*budgets}:
        return Comparison(**names, reason="one of them was not run")
    ends = np.stack([quality[..., budgets.index(budget)] for budget in (first, last)])
    if np.isnan(ends).any(axis=0).all():
        return Comparison(**names, reason="no trace is graded at both")
    return compare_values(ends, **names, **settings)


def compare_values(values: Floats, **settings: Any) -> Comparison:
    """As `compare_arrays`, of one value a sample, such as its quality at one budget: (2, P, S), baseline first."""
    return compare_arrays(np.repeat(values[..., None], 2, axis=-1), [0, 1], quality_at(), **settings)  # two flat curves


def least_sufficient_budget(
    cells: pd.DataFrame, *, margin: float = 0.02, n_resamples: int = 2_000, seed: int = 0
) -> pd.DataFrame:
    """The least budget of every arm shown to lose less than `margin` of the largest one's mean quality (see
    `stats.noninferior`), and what it saves. The margin is stated before looking.

    Budgets are tested from the largest down, and the first that fails ends it, so that the chance that the budget found
    loses more than the margin stays at .05, however many there are (fixed-sequence testing: Maurer, Hothorn & Lehmacher
    1995; Westfall & Krishen 2001).

    One row per arm: run, model, task, method, budget, tokens_saved (of a trace, on average), share_saved (of what it
    spends at the largest budget), n_problems, n_samples, n_missing, says (a sentence).
    """
    rows = []
    for arm_of, arm in cells.groupby(ARM, sort=False):
        quality, _, budgets = quality_array(arm)
        least = largest = budgets[-1]
        says = "there is no other"
        for budget in budgets[-2::-1]:
            shown = noninferior(change(arm, largest, budget, n_resamples=n_resamples, seed=seed), margin)
            if shown.holds:
                least, says = budget, shown.says
                continue
            says = says if least < largest else shown.says
            break
        used = arm.groupby("budget").tokens_used.mean()
        saved = float(used[largest] - used[least])
        share = saved / used[largest] if used[largest] else 0.0
        n, n_samples = int((~np.isnan(quality[..., -1])).any(axis=1).sum()), quality.shape[1]
        head, tail = f"no budget below {largest:,} was shown to be enough", ""
        if least < largest:
            head, tail = f"{least:,} tokens are enough", f"; they save {saved:,.0f} tokens a trace, {share:.0%}"
        says = f"{arm_of[2]}, {arm_of[3]}: {head} ({says}){tail} (problems: {n}, samples of each: {n_samples})."
        rows.append((*arm_of, least, saved, share, n, n_samples, int(np.isnan(quality).sum()), says))
    names = ["budget", "tokens_saved", "share_saved", "n_problems", "n_samples", "n_missing", "says"]
    return pd.DataFrame(rows, columns=[*ARM, *names])
