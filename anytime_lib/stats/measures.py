"""When was a trace right, and what did it lose before and after? Where did a method change the answer for good?

A guess that happens to be right counts as right: where guessing pays (four options), the least budget is too small and
the overthinking rate too large by what the same measures read on guesses alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats, anytime_index, average, cells_array
from anytime_lib.stats.bootstrap import curve_of, resampled
from anytime_lib.stats.intervals import interval, widen_near_limits

MEASURES = ("solved", "b_star", "overthinking_tax", "starvation_loss", "overthought")


def trace_measures(arm: pd.DataFrame) -> Floats:
    """The `MEASURES` of every trace of one arm, whose earliest right answer (`correct`) is at budget b*: (P, S, 5), NaN
    for a trace that lacks a cell.

    - `solved`: whether there is a right one.
    - `b_star`: b* in tokens; NaN where nothing was solved.
    - `overthinking_tax`: tokens_used at the largest budget less tokens_used at b*; NaN where nothing was solved.
    - `starvation_loss`: the score at b* less the score at b, for b < b* (0 from b* on, and where nothing was solved),
      as an area over the budgets in the manner of the Anytime Index.
    - `overthought`: right at some budget and wrong at the largest.
    """
    right, score, used = (cells_array(arm, column).values[0] for column in ("correct", "score", "tokens_used"))
    budgets = np.sort(arm.budget.unique())
    known, hit = ~np.isnan(right + score).any(axis=-1), right == 1
    solved, first = hit.any(axis=-1), hit.argmax(axis=-1)[..., None]
    score_then, used_then = (np.take_along_axis(values, first, axis=-1) for values in (score, used))
    before = (np.arange(len(budgets)) < first) & solved[..., None] & known[..., None]
    lost = np.where(before, score_then - score, 0.0).clip(min=0)
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

    Returns:
        One row per arm and measure: run, model, task, method, measure, value, low, high, n_problems and n_traces (for
        which it is defined), n_missing (traces that could not be measured), note (see `widen_near_limits`).
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


def flips(cells: pd.DataFrame, *, baseline: str, treatment: str) -> pd.DataFrame:
    """Samples on which a method corrected the baseline, or made it worse, from some budget on: there the baseline is
    wrong, and the treatment right there and at every larger budget (or the other way round).

    Returns:
        One row per sample that turned (of cells of one run, model and task): problem_id, sample, kind (`correction` or
        `error`), budget (the smallest such), n_budgets (at which it held), baseline_key and treatment_key (of the
        answers at that budget), sorted by kind, budget, problem and sample.
    """
    if missing := {baseline, treatment} - set(cells.method):
        raise DataError(f"no cells of {' and '.join(sorted(missing))}, so nothing can have turned")
    sample, known = ["problem_id", "sample"], cells[cells.status != "error"].astype({"correct": bool})
    first, second = (known.loc[known.method == m, [*sample, "budget", "correct", "answer_key"]]
                     for m in (baseline, treatment))  # fmt: skip
    both = first.merge(second, on=[*sample, "budget"], suffixes=("_baseline", "_treatment"))
    both = both.sort_values([*sample, "budget"], ascending=False)  # so that all that follow come first
    both["n_budgets"] = both.groupby(sample).cumcount() + 1
    found = []
    for kind, right in (("correction", True), ("error", False)):
        stays = (both.correct_treatment == right).astype(int).groupby([both.problem_id, both["sample"]]).cummin() == 1
        turned = both[stays & (both.correct_baseline != right)]
        found.append(turned.drop_duplicates(sample, keep="last").assign(kind=kind))
    table = pd.concat(found).rename(columns={f"answer_key_{arm}": f"{arm}_key" for arm in ("baseline", "treatment")})
    columns = ["problem_id", "sample", "kind", "budget", "n_budgets", "baseline_key", "treatment_key"]
    return table[columns].sort_values(["kind", "budget", *sample], ignore_index=True)
