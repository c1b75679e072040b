"""Which cells of two arms are compared, and which of them share a draw of exemplars?"""

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, average, cells_array, of_methods, reading
from anytime_lib.stats.bootstrap import CurveStatistic
from anytime_lib.stats.intervals import mean_squares, over_both, standard_error


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
    where = asked[["problem_id", "sample"]].apply(lambda names: pd.factorize(names, sort=True)[0]).to_numpy()
    there = np.zeros(values.shape[:3], dtype=bool)
    there[pd.factorize(asked.method, sort=True)[0], where[:, 0], where[:, 1]] = True
    shared = np.asarray(there.all(axis=0))
    quality = values[[methods.index(baseline), methods.index(treatment)]]
    seen = np.where(shared[..., None], quality, np.nan)[:, shared.any(axis=1)][:, :, shared.any(axis=0)]
    if np.isnan(seen).any(axis=0).all():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    draw = sample_draws(asked)[shared.any(axis=0)]
    return seen, budgets, len(asked) - 2 * int(shared.sum()) * len(budgets), draw


def paired(quality: Floats) -> Floats:
    """Cells of two arms (2, P, S, T) -> the same, NaN where either lacks one, without problems and samples that have no
    pair."""
    shared = np.asarray(~np.isnan(quality).any(axis=0))  # (P, S, T)
    return np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, shared.any(axis=(0, 2))]


def sample_draws(cells: pd.DataFrame) -> Floats:
    """Of which draw of exemplars each sample in the cells is, by the samples in order: (S,), NaN where it shows none.
    DataError where methods were prepared on different draws."""
    draw = cells.get("draw", pd.Series(np.nan, cells.index)).astype(float).groupby(cells["sample"])
    if draw.nunique().max() > 1:
        raise DataError(f"{', '.join(cells.method.unique())} were not prepared on the same draws; run them again")
    return np.asarray(draw.max())


def draw_values(arm: Floats, budgets: list[int], statistic: CurveStatistic, draw: Floats) -> Floats:
    """What each problem, answered after each draw of exemplars, adds to a statistic of an arm, its choice of budgets
    taken as it is: (P, S, T) cells and (S,) draws -> (P, R), NaN where a budget has no cell."""
    ones = np.unique(draw[~np.isnan(draw)])
    if not len(ones):
        return np.empty((len(arm), 0))
    means = np.stack([average(arm[:, draw == one]) for one in ones], axis=1)  # (P, R, T)
    return statistic.of((means @ reading(arm, statistic.order)).clip(0.0, 1.0), budgets)


def over_draws(resamples: Floats, values: Floats, rng: np.random.Generator) -> tuple[Floats, float | None]:
    """Resamples of n problems with the variance that draws of exemplars add, as a normal deviate for each, and the
    degrees of freedom of both together, by the (n, R) `draw_values`. With one draw, or too few problems that have all,
    the resamples as they are, and None."""
    squares, (n, n_draws) = mean_squares(values), values.shape
    if np.isnan(squares.rest):
        return resamples, None
    added, df = over_both(squares._replace(problems=float(standard_error(resamples, n)) ** 2), n, n_draws)
    return resamples + rng.normal(0, np.sqrt(added * (n - 1) / n), len(resamples)), df  # see `standard_error`
