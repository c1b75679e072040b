"""When was a trace right, and what did it lose before and after? Where did a method change the answer for good?

A guess that happens to be right counts as right: where guessing pays (four options), the least budget is too small and
the overthinking rate too large by what the same measures read on guesses alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats, anytime_index, average, cells_array
from anytime_lib.stats.bootstrap import curve_of, generator, resampled
from anytime_lib.stats.intervals import interval, widen_near_limits

MEASURES = ("solved", "b_star", "overthinking_tax", "starvation_loss", "overthought")


def trace_measures(cells: pd.DataFrame) -> pd.DataFrame:
    """The measures of every trace, whose earliest right answer (`correct`) is at budget b*:

    - `solved`: whether there is a right one.
    - `b_star`: b* in tokens; NaN where nothing was solved.
    - `overthinking_tax`: tokens_used at the largest budget less tokens_used at b*; NaN where nothing was solved.
    - `starvation_loss`: the score at b* less the score at b, for b < b* (0 from b* on, and where nothing was solved),
      as an area over the budgets in the manner of the Anytime Index.
    - `overthought`: right at some budget and wrong at the largest.

    Returns:
        One row per trace: run, model, task, method, problem_id, sample, the five measures (as floats, NaN for a trace
        with a missing cell), n_missing.
    """
    names, found = [*ARM, "problem_id", "sample", *MEASURES, "n_missing"], []
    for arm_of, part in cells.groupby(ARM, sort=False):
        arms = cells_array(part, "correct")
        score, used = (cells_array(part, value).values[0] for value in ("score", "tokens_used"))
        values = _measured(arms.values[0], score, used, np.asarray(arms.budgets, float))
        traces = pd.MultiIndex.from_product([arms.problems, arms.samples], names=["problem_id", "sample"])
        frame = pd.DataFrame(values.reshape(-1, len(MEASURES)), index=traces, columns=MEASURES).reset_index()
        frame["n_missing"] = np.isnan(score).sum(axis=-1).ravel()
        found.append(frame.assign(**dict(zip(ARM, map(str, arm_of), strict=True)))[names])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=names)


def _measured(right: Floats, score: Floats, used: Floats, budgets: Floats) -> Floats:
    """(..., T) of each -> (..., 5) measures in the order of MEASURES."""
    known = np.asarray(~np.isnan(right + score).any(axis=-1))
    hit = right == 1
    solved = np.asarray(hit.any(axis=-1))
    first = hit.argmax(axis=-1)[..., None]
    score_then, used_then = (np.take_along_axis(values, first, axis=-1) for values in (score, used))
    before = (np.arange(len(budgets)) < first) & solved[..., None]
    loss = np.where(before & known[..., None], score_then - score, 0.0)
    starved = np.asarray(anytime_index(budgets, np.clip(loss, 0, None), running_max=False))
    b_star = np.where(solved, budgets[first[..., 0]], np.nan)
    tax = np.where(solved, used[..., -1] - used_then[..., 0], np.nan)
    values = np.stack([solved, b_star, tax, starved, solved & ~hit[..., -1]], axis=-1).astype(float)
    return np.where(known[..., None], values, np.nan)


def measures(
    cells: pd.DataFrame, *, n_resamples: int = 2_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """The measures of every arm (see `trace_measures`): means over problems of means over their traces for which the
    measure is defined, with bootstrap intervals over problems (see `intervals`).

    Returns:
        One row per arm and measure: run, model, task, method, measure, value, low, high, n_problems and n_traces (for
        which it is defined), n_missing (traces that could not be measured), note (see `widen_near_limits`).
    """
    rows, mean = [], curve_of("raw")  # the mean over problems of means over samples, whatever the last axis holds
    for arm_of, part in trace_measures(cells).groupby(ARM, sort=False):
        values = part[list(MEASURES)].to_numpy().reshape(part.problem_id.nunique(), -1, len(MEASURES))
        draws = resampled(values[None], [], mean, n_resamples, generator(seed))[:, 0]
        by_problem, value, n_missing = average(values), mean(values, []), int((part.n_missing > 0).sum())
        for i, name in enumerate(MEASURES):
            means = by_problem[~np.isnan(by_problem[:, i]), i]
            ends = interval(draws[:, i], value[i], n=len(means), confidence_level=confidence_level)
            limits = (0.0, np.inf if name in ("b_star", "overthinking_tax") else 1.0)
            low, high, note = widen_near_limits(ends, means, limits, confidence_level)
            row = {"measure": name, "value": float(value[i]), "low": low, "high": high, "n_problems": len(means)}
            row |= {"n_traces": int((~np.isnan(values[..., i])).sum()), "n_missing": n_missing, "note": note}
            rows.append(dict(zip(ARM, arm_of, strict=True)) | row)
    return pd.DataFrame(rows)


def flips(cells: pd.DataFrame, *, baseline: str, treatment: str) -> pd.DataFrame:
    """Samples on which a method corrected the baseline, or made it worse, from some budget on: there the baseline is
    wrong, and the treatment right there and at every larger budget (or the other way round).

    Args:
        cells: the tidy table; one run, model and task. Samples are paired by problem and number.

    Returns:
        One row per sample that turned: problem_id, sample, kind (`correction` or `error`), budget (the smallest such),
        n_budgets (at which it held), baseline_key and treatment_key (of the answers at that budget), sorted by kind,
        budget, problem and sample.

    Raises:
        DataError: a method is not there.
    """
    if missing := {baseline, treatment} - set(cells.method):
        raise DataError(f"no cells of {' and '.join(sorted(missing))}, so nothing can have turned")
    keys, shown = ["problem_id", "sample", "budget"], cells[cells.status != "error"]
    first, second = (shown.loc[shown.method == m, [*keys, "correct", "answer_key"]] for m in (baseline, treatment))
    both = first.merge(second, on=keys, suffixes=("_baseline", "_treatment")).sort_values(keys)
    rows = []
    for (problem, sample), part in both.groupby(["problem_id", "sample"], sort=False):
        before, after = (part[f"correct_{which}"].astype(bool).to_numpy() for which in ("baseline", "treatment"))
        for kind, right in (("correction", True), ("error", False)):
            held = np.logical_and.accumulate((after == right)[::-1])[::-1]  # from here to the largest budget
            if (turned := held & (before != right)).any():
                t = int(turned.argmax())
                at = part.iloc[t]
                row = (problem, sample, kind, int(at.budget), len(part) - t)
                rows.append((*row, at.answer_key_baseline, at.answer_key_treatment))
    columns = ["problem_id", "sample", "kind", "budget", "n_budgets", "baseline_key", "treatment_key"]
    found = pd.DataFrame(rows, columns=columns)
    return found.sort_values(["kind", "budget", "problem_id", "sample"], ignore_index=True)
