"""How large must a study be, going by a pilot? Where its variance lies, what a study would find and cost.

Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 3; Searle, Casella & McCulloch, "Variance
Components" (1992), ch. 3 (the nested analysis of variance by the method of moments).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.index import of_methods, quality_array
from anytime_lib.registry import load_task
from anytime_lib.stats.bootstrap import index_of
from anytime_lib.stats.compare import min_detectable_effect
from anytime_lib.store import Store
from anytime_lib.sweep.costs import Price
from anytime_lib.sweep.run import run_sweep

Sizes = Iterable[int]


@dataclass(frozen=True)
class VarianceSplit:
    """Components of the variance of one trace's quality, or of the difference of two arms: `between` problems' true
    means (true differences), and of `samples` around them (both arms' together)."""

    what: str
    between: float
    samples: float
    n_samples: int
    notes: tuple[str, ...] = ()

    def detectable(self, n_problems: int, n_samples: int) -> float:
        """The smallest true difference that so many problems and samples find (see `min_detectable_effect`). Of one
        arm's split, two such arms are taken, whose difference does not vary between problems."""
        between, within = (self.between, self.samples / 2) if " - " in self.what else (0.0, self.samples)
        return min_detectable_effect(n_problems, n_samples, sd_between=between**0.5, sd_within=within**0.5)

    def to_frame(self) -> pd.DataFrame:
        """One row per level: level, variance, sd, share (of the variance of one trace), of_the_mean (share of the
        variance of this study's mean)."""
        variance = pd.Series([self.between, self.samples])
        of_mean = variance / [1, self.n_samples]
        shares = {"share": variance / variance.sum(), "of_the_mean": of_mean / of_mean.sum()}
        return pd.DataFrame({"level": ["problems", "samples"], "variance": variance, "sd": np.sqrt(variance), **shares})

    def summary(self) -> str:
        """One sentence that says where the variance lies."""
        (problems, samples), (of_mean, _) = self.to_frame()[["share", "of_the_mean"]].to_numpy().T
        said = f"{problems:.0%} of the variance lies between problems, {samples:.0%} between samples of a problem; "
        said += f"of the variance of the mean, {of_mean:.0%} is the problems'"
        return "; ".join([f"{self.what}: {'nothing varies' if np.isnan(problems) else said}", *self.notes])


def variance_split(cells: pd.DataFrame, baseline: str, treatment: str | None = None) -> VarianceSplit:
    """Split the variance of one arm's quality, or of the difference of two arms on the problems that both have, by the
    method of moments. The cells are of one run, model and task.

    Each trace counts with the area under its own curve (the Anytime Index without any maximum). A component that comes
    out below zero is set to zero, with a note. A method that is missing, or fewer than two problems that can be read,
    are a DataError.
    """
    names = [treatment, baseline] if treatment else [baseline]
    arms, what = [trace_scores(cells, name).dropna(how="all") for name in names], " - ".join(names)
    shared = arms[0].index.intersection(arms[-1].index)
    if len(shared) < 2:
        raise DataError(f"{what}: fewer than two problems can be read, so nothing can be said of what varies")
    within, noise, notes = 0.0, 0.0, []
    arms = [arm.loc[shared] for arm in arms]
    for size, spread in ((arm.count(axis=1), arm.var(axis=1)) for arm in arms):  # by problem
        if freedom := int((size - 1).sum()):
            pooled = float((spread * (size - 1)).sum()) / freedom
            within, noise = within + pooled, noise + float((pooled / size).mean())  # noise is of a problem's mean
        else:
            notes = ["one sample a problem: what varies between samples cannot be told from between problems"]
    means = arms[0].mean(axis=1) - (arms[1].mean(axis=1) if treatment else 0.0)
    between = float(means.var()) - noise
    if between < 0:
        notes.append("the variance between problems came out below 0 and was set to 0")
    return VarianceSplit(what, max(between, 0.0), within, arms[0].shape[1], tuple(notes))


def trace_scores(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The area under each trace's curve, a row per problem and a column per sample; NaN where it cannot be had. A
    method that is missing is a DataError."""
    quality, problems, budgets = quality_array(of_methods(cells, method))
    return pd.DataFrame(index_of("raw").of(quality, budgets), index=problems)


def next_dollar(split: VarianceSplit, cost_problem: float = 0.0) -> str:
    """Whether one more unit of cost (of a sample: one trace with its answers, in all arms) lowers the standard error
    more when it is spent on more problems, or on more samples of every problem, and how many samples of each make the
    most of any budget, were there problems enough.

    By the derivatives of se^2 = between / n + samples / (n K) at a cost of n (cost_problem + K), from the split's own
    K. The best K is sqrt(samples / between * cost_problem).
    """
    k, noise = split.n_samples, split.samples / split.n_samples
    if split.between + noise == 0:
        return "nothing varied, so neither more problems nor more samples change anything"
    ratio = noise / (split.between + noise) * (cost_problem + k) / k  # what samples buy, of what problems buy
    first, other = ("more samples of each", "more problems") if ratio > 1 else ("more problems", "more samples of each")
    told = f"worth {max(ratio, 1 / ratio):.3g} times as much as {other}" if ratio else f"{other} buys nothing"
    rest = "problems do not differ, so samples of few do as well as samples of many"
    if split.between or cost_problem == 0:
        best = max(1, round(np.sqrt(split.samples / split.between * cost_problem))) if cost_problem else 1
        rest = f"with problems enough, {best} sample{'' if best == 1 else 's'} of each is the best use of any budget"
    return f"the next dollar is best spent on {first} ({told}); {rest}"


def power_table(
    cells: pd.DataFrame,
    *,
    effect: float,
    n_problems: Sizes,
    n_samples: Sizes,
    treatment: str | None = None,
    n_simulations: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often studies of every size would find a true difference (`effect`, in mean area), by simulation from a
    pilot's cells of one run, model and task, in which the treatment is compared with `base`. Without a treatment both
    arms are drawn from `base`, and problems do not vary in their true difference, the best case.

    Problems of the pilot are drawn with replacement (those all of whose samples can be read), and for each, samples of
    its own for either arm; `effect` is added to the treatment's, and the paired t test (two-sided .05) is run on the
    problems' mean differences. A trace counts with the area under its curve (not clipped to [0, 1] when shifted);
    samples vary around their problem's mean with the variance of an unbiased estimate, and problems in their true
    difference with what `variance_split` finds. A pilot without two samples of two problems in each arm is a DataError.

    One row per size: n_samples, n_problems, power (the share of studies that found it; one without any spread found
    nothing), standard_error (of `power`), effect, n_simulations.
    """
    arms = [trace_scores(cells, method).dropna() for method in ("base", treatment or "base")]
    shared = arms[0].index.intersection(arms[1].index)
    if len(shared) < 2 or min(arm.shape[1] for arm in arms) < 2:
        raise DataError("a pilot needs at least two problems with two samples each that were graded at all budgets")
    pools = [arm.loc[shared].to_numpy() for arm in arms]
    means = [pool.mean(axis=1) for pool in pools]
    residuals = [(p - m[:, None]) * np.sqrt(p.shape[1] / (p.shape[1] - 1)) for p, m in zip(pools, means, strict=True)]
    seen = means[1] - means[0]
    true = variance_split(cells, "base", treatment).between if treatment else 0.0
    differences = (seen - seen.mean()) * np.sqrt(true / (seen.var(ddof=1) or np.inf))
    table = pd.DataFrame(product(n_samples, n_problems), columns=["n_samples", "n_problems"])
    power = []
    for k, n in table.itertuples(index=False):
        rng = np.random.default_rng(seed)
        problems = rng.integers(len(shared), size=(n_simulations, n))
        found = effect + differences[problems]
        for sign, pool in zip((-1, 1), residuals, strict=True):
            samples = rng.integers(pool.shape[1], size=(n_simulations, n, k))
            found = found + sign * pool[problems[..., None], samples].mean(axis=-1)
        error = found.std(axis=1, ddof=1) / np.sqrt(n)
        t = np.divide(np.abs(found.mean(axis=1)), error, out=np.zeros(n_simulations), where=error > 1e-12)
        power.append(float((t > distributions.t.isf(0.025, n - 1)).mean()))
    table["power"] = power
    error = np.sqrt(table.power * (1 - table.power) / n_simulations)
    return table.assign(standard_error=error, effect=effect, n_simulations=n_simulations)


def cost_of_a_sample(cells: pd.DataFrame, methods: Collection[str]) -> float:
    """Output tokens that one sample takes in all of these arms: its trace, and the answers asked of it (one that larger
    budgets carry on was asked for once). An arm that the pilot does not hold costs what the mean of the others does."""
    arms = cells[cells.method.isin(methods)]
    traces = arms.groupby(["method", "problem_id", "sample"]).tokens_used.max().groupby("method")
    asked = arms[arms.answer_key.isna() | ~arms.duplicated(["method", "answer_key"])]
    each = traces.mean() + asked.groupby("method").answer_tokens.sum() / traces.size()
    return float(each.mean()) * len(methods)


def design_table(
    split: VarianceSplit, *, n_problems: Sizes, n_samples: Sizes, tokens_per_sample: float, price: Price | None = None
) -> pd.DataFrame:
    """What each design could find and what it would take, going by the split of the pilot's difference (or of one arm)
    and `cost_of_a_sample`: n_problems, n_samples, detectable (smallest difference found with power .8), tokens (output,
    all arms), dollars (of those; NaN where no price is known)."""
    table = pd.DataFrame(product(n_samples, n_problems), columns=["n_samples", "n_problems"])
    table["detectable"] = [split.detectable(n, k) for k, n in table.itertuples(index=False)]
    table["tokens"] = table.n_problems * table.n_samples * tokens_per_sample
    return table.assign(dollars=price.dollars(0, 0, table.tokens) if price else np.nan)  # type: ignore[arg-type]


def pilot_cells(config: RunConfig) -> tuple[pd.DataFrame, str]:
    """The cells that a run has stored, as a pilot, and a sentence on where they come from. No model is asked.

    A task can be planned from if at least two of its problems have two samples each that were graded at every budget,
    and not all of them came out the same. Where there is none, the simulated respondent runs up to 24 problems of each
    task, into a folder of its own (`<run>-simulated`): unless the config says otherwise, one that takes the tokens of
    the middle budget for middling difficulty, with pdp half as fast again.
    """
    path = config.folder / "store.sqlite"
    with Store(path, read_only=path.is_file()) as store:
        stored = store.cells(run=config.label)
    stored, found = stored[stored.model.isin(stored.model.tail(1))], []  # of one model, where there are several
    for name in config.tasks:
        settings = config.task(name)
        planned = stored.method.isin(settings.methods) & stored.budget.isin(settings.budgets)
        part = stored[planned & (stored.task == name)]
        wholes = {method: trace_scores(part, method).dropna().to_numpy() for method in part.method.unique()}
        varied = [method for method, whole in wholes.items() if min(whole.shape) > 1 and np.ptp(whole) > 0]
        if "base" in varied:
            found.append(part[part.method.isin(varied)])
    if found:
        cells = pd.concat(found, ignore_index=True)
        told = f"pilot: {len(cells)} stored cells of {cells.model.iloc[0]} in the run {config.label!r}"
        if lost := [task for task in config.tasks if task not in set(cells.task)]:
            told += f"; {', '.join(lost)} left out (nothing stored that varies)"
        return cells, told
    tasks, middles = {}, []
    for name in config.tasks:
        own, drawn = config.task(name), load_task(name).problems
        n_test, n_pool = (len(drawn(None, most, config.seed, part)) for part, most in (("test", 24), ("pool", 4)))
        tasks[name] = {"budgets": own.budgets, "n_problems": n_test, "methods": ["base", "pdp"][: 1 + bool(n_pool)]}
        tasks[name]["pool"] = own.pool.model_dump() | {"problems": max(1, n_pool), "samples": 2}
        middles.append(np.sqrt(own.budgets[0] * own.budgets[-1]))
    simulated = {"solve": 1 / float(np.median(middles)), "effects": {"pdp": 1.5}}
    options = {"simulated": config.options.get("simulated") or simulated}
    asked = {"tasks": tasks, "options": options, "seed": config.seed, "n_samples": 6, "concurrency": 64}
    cells = run_sweep(RunConfig(run=f"{config.run}-simulated", model="simulated", **asked), progress=False)
    told = f"the run {config.label!r} has stored nothing that varies, so the pilot is of the simulated respondent "
    told += f"({cells.model.iloc[0]}): it shows how a study is planned, and its numbers are not those of any model"
    return cells, told
