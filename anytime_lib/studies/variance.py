"""Where does the variance lie, and where should the next dollar go?

The variance of a mean is that between problems, divided by their number, and that between samples of a problem, divided
by the number of all samples.
Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 3; Searle, Casella & McCulloch, "Variance
Components" (1992), ch. 3 (the nested analysis of variance by the method of moments).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, quality_array
from anytime_lib.stats.design import min_detectable_effect
from anytime_lib.stats.profiles import trace_indices


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

    def detectable(self, n_problems: int, n_samples: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
        """The smallest true difference that so many problems and samples find (see `min_detectable_effect`). Of one
        arm's split, two such arms are taken, whose difference does not vary between problems."""
        paired = " - " in self.what
        return min_detectable_effect(
            n_problems, n_samples, sd_between=float(np.sqrt(self.between)) if paired else 0.0,
            sd_within=float(np.sqrt(self.samples / 2 if paired else self.samples)), power=power, alpha=alpha,
        )  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row per level: level, variance, sd, share (of the variance of one trace), of_the_mean (share of the
        variance of this study's mean)."""
        variance = np.array([self.between, self.samples])
        of_mean = variance / [1, self.n_samples]
        return pd.DataFrame({
            "level": ["problems", "samples"], "variance": variance, "sd": np.sqrt(variance),
            "share": variance / (variance.sum() or np.nan), "of_the_mean": of_mean / (of_mean.sum() or np.nan),
        })  # fmt: skip

    def summary(self) -> str:
        """One sentence that says where the variance lies."""
        table = self.to_frame().set_index("level")
        notes = f"; {'; '.join(self.notes)}" if self.notes else ""
        if np.isnan(table.share["problems"]):
            return f"{self.what}: nothing varies{notes}"
        return (
            f"{self.what}: {table.share['problems']:.0%} of the variance lies between problems, "
            f"{table.share['samples']:.0%} between samples of a problem; of the variance of the mean, "
            f"{table.of_the_mean['problems']:.0%} is the problems'{notes}"
        )


def variance_split(
    cells: pd.DataFrame, *, baseline: str | None = None, treatment: str | None = None, budget: int | None = None
) -> VarianceSplit:
    """Split the variance of one arm's quality, or of the difference of two arms, by the method of moments.

    Each trace counts with the area under its own curve (the Anytime Index without any maximum), or with its score at
    one budget. A component that comes out below zero is set to zero, with a note.

    Args:
        cells: one run, model and task; one method, unless two are named, whose difference is taken on the problems
            that both have.
        budget: score at this budget; None: the area.

    Raises:
        DataError: a method is missing, or fewer than two problems can be read.
    """
    if (baseline is None) != (treatment is None):
        raise DataError("name both baseline and treatment, or neither")
    if treatment is None or baseline is None:
        return _split(str(cells.method.iloc[0]), [trace_values(cells, budget)[0]])
    arms = [trace_values(of_method(cells, method), budget) for method in (baseline, treatment)]
    shared = [p for p in arms[0][1] if p in set(arms[1][1])]
    return _split(f"{treatment} - {baseline}", [v[[names.index(p) for p in shared]] for v, names in arms])


def of_method(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The cells of one method; DataError where there are none."""
    part = cells[cells.method == method]
    if part.empty:
        raise DataError(f"no cells of method {method!r}; the table holds {', '.join(cells.method.unique())}")
    return part


def trace_values(cells: pd.DataFrame, budget: int | None = None) -> tuple[Floats, list[str]]:
    """(P, S) what each trace of one arm counts with (see `variance_split`), NaN where a cell is missing, and the P
    problems."""
    quality, problems, budgets = quality_array(cells)
    if budget is None:
        return trace_indices(quality, budgets), problems
    if budget not in budgets:
        raise DataError(f"no cells at budget {budget}; they are at {', '.join(map(str, budgets))}")
    return quality[..., budgets.index(budget)], problems


def _split(what: str, arms: list[Floats]) -> VarianceSplit:
    """Components of the difference of the arms (of one arm: of itself), from (P, S) values each."""
    sizes = [(~np.isnan(a)).sum(axis=1) for a in arms]  # samples that can be read, by problem
    usable = np.all([s > 0 for s in sizes], axis=0)
    if usable.sum() < 2:
        raise DataError(f"{what}: fewer than two problems can be read, so nothing can be said of what varies")
    arms, sizes = [a[usable] for a in arms], [s[usable] for s in sizes]
    means = [np.nanmean(a, axis=1) for a in arms]
    within = [_pooled(a, m, s) for a, m, s in zip(arms, means, sizes, strict=True)]
    noise = sum(np.nan_to_num(w) / s for w, s in zip(within, sizes, strict=True))  # of each problem's mean
    differences = means[-1] - means[0] if len(means) == 2 else means[0]
    between = float(differences.var(ddof=1) - np.mean(noise))
    notes = []
    if np.isnan(within).any():
        notes.append("one sample a problem: what varies between samples cannot be told from between problems")
    if between < 0:
        notes.append("the variance between problems came out below 0 and was set to 0")
    return VarianceSplit(
        what, float(differences.mean()), max(between, 0.0), float(np.nansum(within)), int(usable.sum()),
        arms[0].shape[1], tuple(notes),
    )  # fmt: skip


def _pooled(values: Floats, means: Floats, sizes: np.ndarray) -> float:
    """The variance within problems, pooled by degrees of freedom; NaN where there are none."""
    freedom = int((sizes - 1).sum())
    return float(np.nansum((values - means[:, None]) ** 2) / freedom) if freedom else float("nan")


@dataclass(frozen=True)
class NextDollar:
    """What one more unit of cost buys: the drop in the standard error of the mean, spent on more problems, or on more
    samples of every problem; and how many samples a problem make the most of any budget, were there problems enough
    (None where problems do not differ, so that samples of few do as well)."""

    problems: float
    samples: float
    best_n_samples: int | None
    standard_error: float
    unit: str

    def summary(self) -> str:
        """One sentence that says where to spend it."""
        if self.standard_error == 0:
            return "nothing varied, so neither more problems nor more samples change anything"
        ways = [("more problems", self.problems), ("more samples of each", self.samples)]
        (best, most), (other, least) = sorted(ways, key=lambda way: -way[1])
        told = f"worth {most / least:.3g} times as much as {other}" if least > 0 else f"{other} buys nothing"
        k = self.best_n_samples
        rest = f"with problems enough, {k} sample{'' if k == 1 else 's'} of each is the best use of any budget"
        if k is None:
            rest = "problems do not differ, so samples of few do as well as samples of many"
        return f"the next {self.unit} is best spent on {best} ({told}); {rest}"


def next_dollar(
    split: VarianceSplit, *, n_problems: int | None = None, n_samples: int | None = None, cost_sample: float = 1.0,
    cost_problem: float = 0.0, unit: str = "dollar",
) -> NextDollar:  # fmt: skip
    """Derivatives of the standard error by cost: se^2 = between / n + samples / (n K), at a cost of n (cost_problem +
    K cost_sample). The best K is sqrt(samples / between * cost_problem / cost_sample).

    Args:
        n_problems, n_samples: the design that money is added to; those of the split by default.
        cost_sample: of one trace with its answers, in all arms.
        cost_problem: of a problem beside its samples (writing, checking or licensing it).
    """
    if cost_sample <= 0 or cost_problem < 0:
        raise DataError("a sample costs something, and a problem nothing or more")
    n, k = n_problems or split.n_problems, n_samples or split.n_samples
    error = split.standard_error(n, k)
    half = 0.5 / error if error else 0.0
    problems = half * error**2 / n / (cost_problem + k * cost_sample)
    samples = half * split.samples / (n * k**2) / (n * cost_sample)
    best_n = None
    if split.between or cost_problem == 0:
        best = np.sqrt(split.samples * cost_problem / (split.between * cost_sample)) if cost_problem else 1.0
        best_n = max(1, round(float(best)))
    return NextDollar(problems, samples, best_n, error, unit)
