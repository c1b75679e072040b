"""Where does the variance lie, and where should the next dollar go?

The variance of a mean is that between problems, divided by their number, and that between samples of a problem, divided
by the number of all samples.
Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 3; Searle, Casella & McCulloch, "Variance
Components" (1992), ch. 3 (the nested analysis of variance by the method of moments).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import quality_array
from anytime_lib.stats.bootstrap import index_of
from anytime_lib.stats.design import min_detectable_effect


@dataclass(frozen=True)
class VarianceSplit:
    """Components of the variance of one trace's quality, or of the difference of two arms: `between` problems' true
    means (true differences), and of `samples` around them (both arms' together)."""

    what: str
    mean: float
    between: float
    samples: float
    n_problems: int
    n_samples: int
    notes: tuple[str, ...] = ()

    def standard_error(self, n_problems: int | None = None, n_samples: int | None = None) -> float:
        """Of the mean, with so many problems and samples (as many as there were, where not given)."""
        n, k = n_problems or self.n_problems, n_samples or self.n_samples
        return float(np.sqrt((self.between + self.samples / k) / n))

    def detectable(self, n_problems: int, n_samples: int) -> float:
        """The smallest true difference that so many problems and samples find (see `min_detectable_effect`). Of one
        arm's split, two such arms are taken, whose difference does not vary between problems."""
        between, within = (self.between, self.samples / 2) if " - " in self.what else (0.0, self.samples)
        sd = {"sd_between": float(np.sqrt(between)), "sd_within": float(np.sqrt(within))}
        return min_detectable_effect(n_problems, n_samples, **sd)

    def to_frame(self) -> pd.DataFrame:
        """One row per level: level, variance, sd, share (of the variance of one trace), of_the_mean (share of the
        variance of this study's mean)."""
        table = pd.DataFrame({"level": ["problems", "samples"], "variance": [self.between, self.samples]})
        of_mean = table.variance / [1, self.n_samples]
        return table.assign(
            sd=np.sqrt(table.variance), share=table.variance / table.variance.sum(), of_the_mean=of_mean / of_mean.sum()
        )

    def summary(self) -> str:
        """One sentence that says where the variance lies."""
        (problems, samples), (of_mean, _) = self.to_frame()[["share", "of_the_mean"]].to_numpy().T
        said = (
            f"{problems:.0%} of the variance lies between problems, {samples:.0%} between samples of a problem; of the "
            f"variance of the mean, {of_mean:.0%} is the problems'"
        )
        return "; ".join([f"{self.what}: {'nothing varies' if np.isnan(problems) else said}", *self.notes])


def variance_split(cells: pd.DataFrame, *, baseline: str | None = None, treatment: str | None = None) -> VarianceSplit:
    """Split the variance of one arm's quality, or of the difference of two arms, by the method of moments.

    Each trace counts with the area under its own curve (the Anytime Index without any maximum). A component that comes
    out below zero is set to zero, with a note.

    Args:
        cells: one run, model and task; one method, unless two are named, whose difference is taken on the problems
            that both have.

    Raises:
        DataError: a method is missing, or fewer than two problems can be read.
    """
    names = [m for m in (treatment, baseline) if m] or [str(cells.method.iloc[0])]
    arms, what = [trace_scores(cells, name) for name in names], " - ".join(names)
    readable = [arm.dropna(how="all").index for arm in arms]
    shared = readable[0].intersection(readable[-1])
    if len(shared) < 2:
        raise DataError(f"{what}: fewer than two problems can be read, so nothing can be said of what varies")
    means, within, noise = [], [], 0.0
    for arm in (arm.loc[shared] for arm in arms):
        size = arm.count(axis=1)  # samples that can be read, by problem
        freedom = float((size - 1).sum())
        within.append(float((arm.var(axis=1) * (size - 1)).sum()) / freedom if freedom else np.nan)
        noise += float((np.nan_to_num(within[-1]) / size).mean())  # of a problem's mean
        means.append(arm.mean(axis=1))
    differences = means[0] - means[1] if len(means) == 2 else means[0]
    between = float(differences.var()) - noise
    notes = []
    if np.isnan(within).any():
        notes.append("one sample a problem: what varies between samples cannot be told from between problems")
    if between < 0:
        notes.append("the variance between problems came out below 0 and was set to 0")
    samples, mean = float(np.nansum(within)), float(differences.mean())
    return VarianceSplit(what, mean, max(between, 0.0), samples, len(shared), arms[0].shape[1], tuple(notes))


def trace_scores(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The area under each trace's curve, a row per problem and a column per sample; NaN where it cannot be had.

    Raises:
        DataError: the method is missing.
    """
    arm = cells[cells.method == method]
    if arm.empty:
        raise DataError(f"no cells of method {method!r}; the table holds {', '.join(cells.method.unique())}")
    quality, problems, budgets = quality_array(arm)
    return pd.DataFrame(index_of("raw").of(quality, budgets), index=problems)


class NextDollar(NamedTuple):
    """What one more unit of cost buys: the drop in the standard error of the mean, spent on more `problems`, or on more
    `samples` of every problem; how many samples a problem make the most of any budget, were there problems enough (None
    where problems do not differ, so that samples of few do as well); and all that in a sentence."""

    problems: float
    samples: float
    best_n_samples: int | None
    summary: str


def next_dollar(split: VarianceSplit, cost_problem: float = 0.0) -> NextDollar:
    """Derivatives of the standard error by cost, in units of a sample (one trace with its answers, in all arms): se^2 =
    between / n + samples / (n K), at a cost of n (cost_problem + K), from the split's own n and K. The best K is
    sqrt(samples / between * cost_problem)."""
    n, k, error = split.n_problems, split.n_samples, split.standard_error()
    if error == 0:
        return NextDollar(0.0, 0.0, 1, "nothing varied, so neither more problems nor more samples change anything")
    problems, noise = error / (2 * n * (cost_problem + k)), split.samples / k
    samples = problems * (noise / (split.between + noise)) * ((cost_problem + k) / k)
    ways = [("more problems", problems), ("more samples of each", samples)]
    (first, most), (other, least) = sorted(ways, key=lambda way: -way[1])
    told = f"worth {most / least:.3g} times as much as {other}" if least > 0 else f"{other} buys nothing"
    best, rest = None, "problems do not differ, so samples of few do as well as samples of many"
    if split.between or cost_problem == 0:
        best = max(1, round(np.sqrt(split.samples / split.between * cost_problem))) if cost_problem else 1
        rest = f"with problems enough, {best} sample{'' if best == 1 else 's'} of each is the best use of any budget"
    return NextDollar(problems, samples, best, f"the next dollar is best spent on {first} ({told}); {rest}")
