"""How large must a study be, going by a pilot? Where its variance lies, what a study would find and cost.

Sources: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 3; Searle, Casella & McCulloch, "Variance
Components" (1992), ch. 3 and 4 (the nested and the crossed analysis of variance by the method of moments).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, both_arrays, of_methods, paired, quality_array, reading
from anytime_lib.stats.bootstrap import draw_values, index_of, resampled
from anytime_lib.stats.compare import Estimand
from anytime_lib.stats.detectable import min_detectable_effect
from anytime_lib.stats.intervals import mean_squares, standard_error
from anytime_lib.sweep.costs import Price

Sizes = Iterable[int]


@dataclass(frozen=True)
class VarianceSplit:
    """Components of the variance of what one trace adds to the estimand, or of the difference of two arms: `between`
    problems' true means (true differences), and of `samples` around them (both arms' together), each with its 95 %
    interval; NaN where it cannot be told. Where the pilot has `n_draws` of exemplars, two or more: also of `draws`, and
    `crossed`, of what a draw does to single problems."""

    what: str
    estimand: str
    between: float
    samples: float
    n_samples: int
    draws: float = 0.0
    crossed: float = 0.0
    n_draws: int = 1
    ends: tuple[tuple[float, float], ...] = ((np.nan, np.nan),) * 2
    mean: float = 0.5
    notes: tuple[str, ...] = ()
    pilot: Floats = field(repr=False, default_factory=lambda: np.zeros((2, 0, 0, 2)))
    budgets: tuple[int, ...] = (1, 2)
    _widths: dict[tuple[int, int], float] = field(repr=False, compare=False, default_factory=dict)

    def detectable(
        self, n_problems: int, n_samples: int, n_draws: int | None = None, *, at_most: bool = False
    ) -> float:
        """The smallest true difference that so many problems, samples and draws of exemplars (None: the pilot's number)
        find (see `min_detectable_effect`), by the components, or by their upper ends; NaN where they are not known. Of
        one arm's split, two such arms are taken, whose difference does not vary between problems, and of which the
        better one's samples vary as its own mean quality has it (near an end of the scale, more than the pilot's)."""
        known = [end[1] for end in self.ends] if at_most else [self.between, self.samples, self.draws, self.crossed]
        between, samples, draws, crossed = [*known, 0.0, 0.0][:4]
        shared: dict[str, Any] = {"sd_draws": draws**0.5, "sd_crossed": crossed**0.5}
        shared["n_draws"] = min(n_draws or self.n_draws, n_samples)
        wider, least = self.wider(n_problems, n_samples), 0.0
        one = " - " not in self.what
        for _ in range(20 if one else 1):  # the spread moves with the difference itself
            within = samples * (1 + spread_at(self.mean, least)) / 2 if one else samples / 2
            spreads = {"sd_between": 0.0 if one else between**0.5, "sd_within": within**0.5}
            least = min_detectable_effect(n_problems, n_samples, **shared, **spreads, wider=wider)
        return least

    def twice_the_tokens(self, n_problems: int, n_samples: int) -> pd.DataFrame:
        """What a study of that size finds (`detectable`), and what twice its tokens would find, spent on problems, on
        samples of each (of each draw), or on draws, if the pilot has several, with as many samples of each; further
        draws have to be prepared as well. One row each: spent_on, n_problems, n_samples, n_draws, detectable."""
        n, k, r = n_problems, n_samples, self.n_draws
        rows = [("nothing", n, k, r), ("problems", 2 * n, k, r), ("samples", n, 2 * k, r), ("draws", n, 2 * k, 2 * r)]
        table = pd.DataFrame(rows[: 3 + (r > 1)], columns=["spent_on", "n_problems", "n_samples", "n_draws"])
        return table.assign(detectable=[self.detectable(*sizes) for sizes in table.iloc[:, 1:].to_numpy().tolist()])

    def wider(self, n_problems: int, n_samples: int) -> float:
        """How many times as wide as the noise of its traces an interval of that size is, because resamples choose other
        budgets: in a few studies of that size drawn from the pilot's whole problems; 1 of `raw`."""
        size = n_problems, n_samples
        if size not in self._widths:
            self._widths[size] = self._drawn_width(*size)
        return self._widths[size]

    def _drawn_width(self, n_problems: int, n_samples: int) -> float:
        whole = self.pilot[:, ~np.isnan(self.pilot).any(axis=(0, 2, 3))]
        if "crossfit" not in self.estimand or n_samples < 2 or n_problems < 2 or whole.shape[1] < 2:
            return 1.0
        rng, budgets, spreads = np.random.default_rng(0), list(self.budgets), []
        for _ in range(24):
            drawn = rng.integers(whole.shape[1], size=(1, n_problems, 1))
            samples = rng.integers(whole.shape[2], size=(2, n_problems, n_samples))
            if " - " in self.what and n_samples <= whole.shape[2]:  # else both arms would be the same few traces
                samples = rng.random((2, n_problems, whole.shape[2])).argsort(axis=-1)[..., :n_samples]
            study = whole[np.arange(2)[:, None, None], drawn, samples]
            draws = np.diff(resampled(study, budgets, index_of("crossfit"), 100, rng))[:, 0]
            read = [arm.mean(axis=1) @ reading(arm, "crossfit") for arm in study]
            noise = np.diff(index_of("raw").of(np.stack(read).clip(0, 1), budgets), axis=0)[0]
            spreads.append((standard_error(draws, n_problems) ** 2, noise.var(ddof=1) / n_problems))
        seen, expected = np.sum(spreads, axis=0)
        return max(1.0, float(np.sqrt(seen / expected))) if expected > 0 else 1.0

    def summary(self) -> str:
        """One sentence that says where the variance lies, and how sure that is."""
        parts = []
        levels = ("problems", "samples", "draws of exemplars", "what draws do to single problems")
        values = (self.between, self.samples, self.draws, self.crossed)
        for level, value, (low, high) in zip(levels, values, self.ends, strict=False):
            told = f"{value**0.5:.3f} [{low**0.5:.3f}, {high**0.5:.3f}]" if low > 0 else f"at most {high**0.5:.3f}"
            parts.append(f"between {level} {told if high == high else 'cannot be told'}")
        said = f"standard deviation {', '.join(parts[:-1])} and {parts[-1]}, of {self.estimand}"
        if self.n_draws == 1 and " - " in self.what:
            said += ", for the draw of exemplars that the pilot has"
        said = "nothing varies" if self.between + self.samples == 0 else said
        return "; ".join([f"{self.what}: {said}", *self.notes])


def spread_at(mean: float, shift: float) -> float:
    """How many times as much samples vary where mean quality is moved by `shift` towards the middle of [0, 1], as
    right-or-wrong answers do."""
    near, ends = min(mean, 1 - mean), 0.001
    here, there = (min(max(q, ends), 0.5) for q in (near, near + shift))
    return there * (1 - there) / (here * (1 - here))


def variance_split(
    cells: pd.DataFrame, baseline: str, treatment: str | None = None, *, estimand: Estimand = "crossfit"
) -> VarianceSplit:
    """Split the variance of one arm, or of the difference of two arms on the problems that both have, by the method of
    moments. The cells are of one run, model and task.

    Each trace counts with what it adds to the estimand (see `trace_scores`). Where the treatment has several draws of
    exemplars, each with two samples or more, they are crossed with problems, and samples lie within both. A component
    that comes out below zero is set to zero; its interval is Tukey's and Williams' (of samples, chi-square's), and
    holds for normal values. Where each problem has one sample, or nothing varies, nothing is told. A method that is
    missing, or fewer than two problems that can be read, are a DataError.
    """
    names = [treatment, baseline] if treatment else [baseline]
    arms, what = [trace_scores(cells, name, estimand).dropna(how="all") for name in names], " - ".join(names)
    shared = arms[0].index.intersection(arms[-1].index)
    if len(shared) < 2:
        raise DataError(f"{what}: fewer than two problems can be read, so nothing can be said of what varies")
    within, noise, freedom, notes = 0.0, 0.0, 0, []
    arms, parts, squares, n_draws, n_whole = [arm.loc[shared] for arm in arms], list[pd.DataFrame](), None, 1, 0
    told: dict[str, Any] = {"n_samples": arms[0].shape[1], "mean": float(arms[-1].mean(axis=1).mean())}
    of = index_of(estimand if arms[0].shape[1] > 1 else "raw")
    if treatment:
        told["pilot"], told["budgets"], _, draw = both_arrays(cells, baseline, treatment)
        pairs, kept = paired(told["pilot"])
        draw = draw[kept]
        ones = np.unique(draw[~np.isnan(draw)])
        first, second = (arm.dropna(axis=1, how="all").columns for arm in arms)
        both = first.intersection(second)
        if 1 < len(ones) <= len(draw) / 2 and len(draw) == len(both):
            values = np.subtract(*(draw_values(arm, told["budgets"], of, draw) for arm in pairs[::-1]))
            squares, n_draws, n_whole = mean_squares(values), len(ones), int((~np.isnan(values)).all(axis=1).sum())
            parts = [pd.concat([arm[both].loc[:, draw == one] for one in ones]).dropna(how="all") for arm in arms]
    else:
        quality, _, told["budgets"] = quality_array(of_methods(cells, baseline))
        told["pilot"] = np.stack([quality, quality])
    for size, spread in ((arm.count(axis=1), arm.var(axis=1)) for arm in parts or arms):  # by problem (and draw)
        if more := int((size - 1).sum()):
            pooled = float((spread * (size - 1)).sum()) / more
            within, noise, freedom = within + pooled, noise + float((pooled / size).mean()), freedom + more
        else:
            within, notes = np.nan, ["one sample a problem: samples and problems cannot be told apart"]
    means = arms[0].mean(axis=1) - (arms[1].mean(axis=1) if treatment else 0.0)
    n, whole, name = len(shared) - 1, float(means.var()), of.name
    if np.isnan(within) or not within + whole > 0:
        notes = notes or ["no trace differs from another: nothing is known of what varies"]
        return VarianceSplit(what, name, np.nan if np.isnan(within) else 0.0, within, notes=tuple(notes), **told)
    samples = _component(within, 0.0, freedom, freedom)
    if squares is None or np.isnan(squares.rest):
        between = _component(whole, noise, n, freedom)
        return VarianceSplit(what, name, between[0], within, ends=(between[1], samples[1]), **told)
    r, n, left = n_draws, n_whole, (n_whole - 1) * (n_draws - 1)  # problems that have all draws
    between = _component(squares.problems * n, squares.rest * n, n - 1, left)
    draws = _component(squares.draws * r, squares.rest * r, r - 1, left)
    crossed = _component(squares.rest * n * r, noise, left, freedom)
    told |= {"draws": draws[0], "crossed": crossed[0], "n_draws": r}
    ends = (between[1], samples[1], draws[1], crossed[1])
    return VarianceSplit(what, name, between[0], within, ends=ends, **told)


def _component(whole: float, noise: float, df: int, freedom: int) -> tuple[float, tuple[float, float]]:
    """The component of variance that is left of a `whole` when the `noise` in it is taken off, with its interval; each
    by its degrees of freedom."""
    tails = np.array([0.025, 0.975])
    f = distributions.f.isf(tails, df, freedom) if noise else 0.0
    low, high = np.maximum(df * (whole - f * noise) / distributions.chi2.isf(tails, df), 0.0).tolist()
    return max(whole - noise, 0.0), (low, high)


def trace_scores(cells: pd.DataFrame, method: str, estimand: Estimand = "crossfit") -> pd.DataFrame:
    """What each trace adds to the estimand, a row per problem and a column per sample; NaN where it cannot be had: the
    area under its curve, of `crossfit` (`raw` of a single sample) read at the budgets that were best for the arm. A
    method that is missing is a DataError."""
    quality, problems, budgets = quality_array(of_methods(cells, method))
    read = reading(quality, estimand if quality.shape[1] > 1 else "raw")
    return pd.DataFrame(index_of("raw").of((quality @ read).clip(0.0, 1.0), budgets), index=problems)


def power_table(
    cells: pd.DataFrame,
    *,
    effect: float,
    n_problems: Sizes,
    n_samples: Sizes,
    treatment: str | None = None,
    estimand: Estimand = "crossfit",
    n_simulations: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often studies of every size would find a true difference (`effect`, in the estimand), by simulation from a
    pilot's cells of one run, model and task, in which the treatment is compared with `base`. Without a treatment both
    arms are drawn from `base`, and problems do not vary in their true difference, the best case; samples of the better
    one vary as its own mean quality has it.

    Problems of the pilot are drawn with replacement (those all of whose samples can be read), and for each, samples of
    its own for either arm; `effect` is added to the treatment's, and the paired t test (two-sided .05) is run on the
    problems' mean differences. A trace counts as in `trace_scores` (not clipped to [0, 1] when shifted); samples vary
    around their problem's mean with the variance of an unbiased estimate, and problems in their true difference with
    what `variance_split` finds; draws of exemplars are the pilot's own. A pilot without two samples of two problems in
    each arm is a DataError.

    One row per size: n_samples, n_problems, power (the share of studies that found it; one without any spread found
    nothing), standard_error (of `power`), effect, n_simulations.
    """
    arms = [trace_scores(cells, method, estimand).dropna() for method in ("base", treatment or "base")]
    shared = arms[0].index.intersection(arms[1].index)
    if len(shared) < 2 or min(arm.shape[1] for arm in arms) < 2:
        raise DataError("a pilot needs at least two problems with two samples each that were graded at all budgets")
    pools = [arm.loc[shared].to_numpy() for arm in arms]
    means = [pool.mean(axis=1) for pool in pools]
    residuals = [(p - m[:, None]) * np.sqrt(p.shape[1] / (p.shape[1] - 1)) for p, m in zip(pools, means, strict=True)]
    if not treatment:
        residuals[1] = residuals[1] * np.sqrt(spread_at(float(means[0].mean()), abs(effect)))
    seen = means[1] - means[0]
    split = variance_split(cells, "base", treatment, estimand=estimand)
    true = split.between if treatment else 0.0
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
        error = split.wider(n, k) * found.std(axis=1, ddof=1) / np.sqrt(n)
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
    and `cost_of_a_sample`: n_problems, n_samples, detectable (smallest difference found with power .8), at_most
    (the same by the upper ends of the split), tokens (output, all arms), dollars (of those; NaN without a price)."""
    table = pd.DataFrame(product(n_samples, n_problems), columns=["n_samples", "n_problems"])
    table["detectable"] = [split.detectable(n, k) for k, n in table.itertuples(index=False)]
    table["at_most"] = [split.detectable(n, k, at_most=True) for n, k in table[["n_problems", "n_samples"]].to_numpy()]
    table["tokens"] = table.n_problems * table.n_samples * tokens_per_sample
    return table.assign(dollars=price.dollars(0, 0, table.tokens) if price else np.nan)  # type: ignore[arg-type]
