"""Where does the variance lie, and where should the next dollar go?

Between problems, between samples of a problem, and between answers asked again from the same trace: the variance of a
mean is the sum of the three, each divided by how often it was drawn. Which of them is worth more draws follows.
Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 3; Searle, Casella & McCulloch, "Variance
Components" (1992), ch. 3 (the nested analysis of variance by the method of moments).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, anytime_index, quality_array
from anytime_lib.stats.design import min_detectable_effect

ANSWER = "answer"
"""The column that numbers answers asked again from one trace at one budget, in cells that hold any."""


@dataclass(frozen=True)
class VarianceSplit:
    """Components of the variance of one trace's quality, or of the difference of two arms.

    Attributes:
        between: variance of the problems' true means (of their true differences).
        samples: variance of a trace's true quality around its problem's (of both arms' together).
        answers: variance of one answer around its trace's; NaN where no answer was asked again, and then part of
            `samples`.
        mean: of quality (of the difference).
        notes: what had to be done to get there.
    """

    what: str
    mean: float
    between: float
    samples: float
    answers: float
    n_problems: int
    n_samples: int
    n_answers: int
    notes: tuple[str, ...] = ()

    def standard_error(
        self, n_problems: int | None = None, n_samples: int | None = None, n_answers: int | None = None
    ) -> float:
        """Of the mean, with so many problems, samples and answers (as many as there were, where not given)."""
        n, k, q = n_problems or self.n_problems, n_samples or self.n_samples, n_answers or self.n_answers
        return float(np.sqrt((self.between + self.samples / k + np.nan_to_num(self.answers) / (k * q)) / n))

    def detectable(self, n_problems: int, n_samples: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
        """The smallest true difference that so many problems and samples find (see `min_detectable_effect`). Of one
        arm's split, two such arms are taken, whose difference does not vary between problems."""
        within = self.samples + np.nan_to_num(self.answers) / self.n_answers
        paired = " - " in self.what
        return min_detectable_effect(
            n_problems, n_samples, sd_between=float(np.sqrt(self.between)) if paired else 0.0,
            sd_within=float(np.sqrt(within / 2 if paired else within)), power=power, alpha=alpha,
        )  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row per level: level, variance, sd, share (of the variance of one answer), of_the_mean (share of the
        variance of this study's mean)."""
        levels = ["problems", "samples", "answers"]
        variance = np.array([self.between, self.samples, self.answers])
        draws = np.array([1, self.n_samples, self.n_samples * self.n_answers])
        whole, mean = np.nansum(variance) or np.nan, np.nansum(variance / draws) or np.nan
        return pd.DataFrame({"level": levels, "variance": variance, "sd": np.sqrt(variance),
                             "share": variance / whole, "of_the_mean": variance / draws / mean})  # fmt: skip

    def summary(self) -> str:
        """One sentence that says where the variance lies."""
        table = self.to_frame().set_index("level")
        asked = "" if np.isnan(self.answers) else f", {table.share['answers']:.0%} between answers to one trace"
        notes = f"; {'; '.join(self.notes)}" if self.notes else ""
        if np.isnan(table.share["problems"]):
            return f"{self.what}: nothing varies{notes}"
        return (
            f"{self.what}: {table.share['problems']:.0%} of the variance lies between problems, "
            f"{table.share['samples']:.0%} between samples of a problem{asked}; of the variance of the mean, "
            f"{table.of_the_mean['problems']:.0%} is the problems'{notes}"
        )


def variance_split(
    cells: pd.DataFrame, *, baseline: str | None = None, treatment: str | None = None, budget: int | None = None
) -> VarianceSplit:
    """Split the variance of one arm's quality, or of the difference of two arms, by the method of moments.

    Each trace counts with the area under its own curve (the Anytime Index without any maximum, of which the mean over
    traces is the raw index), or with its score at one budget. Mean squares within and between are set equal to what
    they are expected to be; a component that comes out below zero is set to zero, with a note. Where cells hold a
    column `answer`, which numbers the answers asked again from one trace, their variance is split off.

    Args:
        cells: one run, model and task; one method, unless two are named.
        baseline, treatment: methods to take the difference of, on the problems that both have.
        budget: score at this budget; None: the area.

    Raises:
        DataError: a method is missing, or fewer than two problems can be read.
    """
    if (baseline is None) != (treatment is None):
        raise DataError("name both baseline and treatment, or neither")
    if treatment is None or baseline is None:
        values, _ = trace_values(cells, budget)
        return _split(str(cells.method.iloc[0]), [values])
    arms = {}
    for method in (baseline, treatment):
        part = cells[cells.method == method]
        if part.empty:
            raise DataError(f"no cells of method {method!r}; the table holds {', '.join(cells.method.unique())}")
        arms[method] = trace_values(part, budget)
    shared = [p for p in arms[baseline][1] if p in set(arms[treatment][1])]
    picked = [values[[problems.index(p) for p in shared]] for values, problems in arms.values()]
    return _split(f"{treatment} - {baseline}", picked)


def trace_values(cells: pd.DataFrame, budget: int | None = None) -> tuple[Floats, list[str]]:
    """(P, S, Q) what each trace of one arm counts with (see `variance_split`), and the P problems; Q answers to each,
    NaN where one is missing."""
    parts = [part for _, part in cells.groupby(ANSWER)] if ANSWER in cells else [cells]
    arrays = [quality_array(part) for part in parts]
    quality, problems, budgets = arrays[0]
    if any(a[0].shape != quality.shape or a[1] != problems for a in arrays):
        raise DataError("answers asked again must be there for the same problems, samples and budgets")
    whole = np.stack([a[0] for a in arrays], axis=2)  # (P, S, Q, T)
    if budget is not None:
        if budget not in budgets:
            raise DataError(f"no cells at budget {budget}; they are at {', '.join(map(str, budgets))}")
        return whole[..., budgets.index(budget)], problems
    missing = np.asarray(np.isnan(whole).any(axis=-1))
    area = np.asarray(anytime_index(budgets, np.where(missing[..., None], 0.0, whole), running_max=False))
    return np.where(missing, np.nan, area), problems


def _split(what: str, arms: list[Floats]) -> VarianceSplit:
    """Components of the difference of the arms (of one arm: of itself), from (P, S, Q) values each."""
    notes: list[str] = []
    sizes = [(~np.isnan(a)).any(axis=2).sum(axis=1) for a in arms]  # samples that can be read, by problem
    usable = np.all([s > 0 for s in sizes], axis=0)
    if usable.sum() < 2:
        raise DataError(f"{what}: fewer than two problems can be read, so nothing can be said of what varies")
    arms, sizes = [a[usable] for a in arms], [s[usable] for s in sizes]
    within, again, noise = [], [], np.zeros(int(usable.sum()))
    for values, size in zip(arms, sizes, strict=True):
        traces = _mean(values)  # (P, S)
        spread, error = _pooled(traces), _pooled(values)
        asked = float(np.mean(1 / (~np.isnan(values)).sum(axis=2)[~np.isnan(traces)]))
        again.append(error)
        if np.isnan(spread):
            notes.append("one sample a problem: what varies between samples cannot be told from between problems")
        component = spread - np.nan_to_num(error) * asked
        within.append(component)
        noise += np.nan_to_num(spread) / size  # of each problem's mean
    means = [_mean(_mean(a)) for a in arms]
    differences = means[-1] - means[0] if len(means) == 2 else means[0]
    between = float(differences.var(ddof=1) - noise.mean())
    samples, answers = float(np.nansum(within)), float(np.sum(again))
    if between < 0:
        notes.append("the variance between problems came out below 0 and was set to 0")
    if samples < 0:
        notes.append("the variance between samples came out below 0 and was set to 0")
    return VarianceSplit(
        what=what, mean=float(differences.mean()), between=max(between, 0.0), samples=max(samples, 0.0),
        answers=answers, n_problems=int(usable.sum()), n_samples=arms[0].shape[1], n_answers=arms[0].shape[2],
        notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is there; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=-1)
    return np.divide(np.nansum(values, axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)


def _pooled(values: Floats) -> float:
    """The variance along the last axis, pooled by degrees of freedom over all others; NaN where there are none."""
    freedom = np.maximum((~np.isnan(values)).sum(axis=-1) - 1, 0).sum()
    squares = np.nansum((values - _mean(values)[..., None]) ** 2)
    return float(squares / freedom) if freedom else float("nan")


@dataclass(frozen=True)
class NextDollar:
    """What one more unit of cost buys, each way of spending it.

    Attributes:
        problems, samples, answers: the drop in the standard error of the mean per unit of cost, spent on one more
            problem, on one more sample of every problem, on asking every answer once more (NaN: was not tried).
        best_n_samples: the number of samples a problem that makes the most of any budget, were there problems enough;
            None where problems do not differ, so that samples of few do as well.
    """

    problems: float
    samples: float
    answers: float
    best_n_samples: int | None
    standard_error: float
    unit: str

    def to_frame(self) -> pd.DataFrame:
        preference_sources = ["problems", "samples", "answers"]
        drops = [self.problems, self.samples, self.answers]
        return pd.DataFrame({"spend_on": preference_sources, f"drop_of_standard_error_per_{self.unit}": drops})

    def summary(self) -> str:
        """One sentence that says where to spend it."""
        if self.standard_error == 0:
            return "nothing varied, so neither more problems nor more samples change anything"
        preference_sources = {"more problems": self.problems, "more samples of each": self.samples,
                "asking answers again": self.answers}  # fmt: skip
        known = {name: drop for name, drop in preference_sources.items() if drop == drop}
        best, *others = sorted(known, key=lambda name: -known[name])
        told = ", ".join(
            f"{known[best] / known[o]:.3g} times {o}" if known[o] > 0 else f"{o} buys nothing" for o in others
        )
        k = self.best_n_samples
        most = f"with problems enough, {k} sample{'' if k == 1 else 's'} of each is the best use of any budget"
        if k is None:
            most = "problems do not differ, so samples of few do as well as samples of many"
        return f"the next {self.unit} is best spent on {best} (worth {told}); {most}"


def next_dollar(
    split: VarianceSplit,
    *,
    n_problems: int | None = None,
    n_samples: int | None = None,
    cost_sample: float = 1.0,
    cost_problem: float = 0.0,
    cost_answer: float | None = None,
    unit: str = "dollar",
) -> NextDollar:
    """Derivatives of the standard error by cost.

    se^2 = between / n + samples / (n K) + answers / (n K Q), at a cost of n (cost_problem + K cost_sample), with Q
    answers to each trace at cost_answer each. Without a cost of its own, a new problem is never worse than new samples:
    it brings its samples with it. With one, the best K is sqrt(samples / between * cost_problem / cost_sample).

    Args:
        split: of the difference that is to be found.
        n_problems, n_samples: the design that money is added to; those of the split by default.
        cost_sample: of one trace with its answers, in all arms.
        cost_problem: of a problem beside its samples (writing, checking or licensing it).
        cost_answer: of asking one trace's answers once more; None: not to be tried.
        unit: of the costs.
    """
    if cost_sample <= 0 or cost_problem < 0 or (cost_answer is not None and cost_answer <= 0):
        raise DataError("a sample and an answer cost something, and a problem nothing or more")
    n, k, q = n_problems or split.n_problems, n_samples or split.n_samples, split.n_answers
    error = split.standard_error(n, k)
    again = float(np.nan_to_num(split.answers))
    within = split.samples + again / q
    half = 0.5 / error if error else 0.0
    problems = half * error**2 / n / (cost_problem + k * cost_sample)
    samples = half * within / (n * k**2) / (n * cost_sample)
    answers = float("nan")
    if cost_answer is not None and not np.isnan(split.answers):
        answers = half * again / (n * k * q**2) / (n * k * cost_answer)
    best_n = None
    if split.between or cost_problem == 0:
        best = np.sqrt(within * cost_problem / (split.between * cost_sample)) if cost_problem else 1.0
        best_n = max(1, round(float(best)))
    return NextDollar(problems, samples, answers, best_n, error, unit)
