"""What does the machinery find where there is nothing, and what does the running maximum add to it?

`aa_test` exchanges the arms of a run's own cells at random; `maximum_bias` and `error_rates` draw whole experiments
from the simulated respondent, whose truth is known (the full study is `tests/benchmarks/bench_error_rates.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS, Floats, Order, anytime_index
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.models.simulated import UNREAD, Respondent, distractors, first_words, quantile, simulation_of
from anytime_lib.models.simulation import Simulation
from anytime_lib.registry import load_method, load_task, method_names
from anytime_lib.stats.bootstrap import index_of
from anytime_lib.stats.compare import compare_arrays
from anytime_lib.stats.family import holm
from anytime_lib.stats.pairing import paired_arrays
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.user_code import grade_answer
from anytime_lib.types import Message, Problem


def aa_test(
    cells: pd.DataFrame, *, baseline: str, treatment: str, n_repetitions: int = 200, n_resamples: int = 400,
    seed: int = 0, alpha: float = 0.05,
) -> pd.DataFrame:  # fmt: skip
    """How often does the pipeline find a difference when the arms of each problem (of one run, model and task) are
    exchanged by a fair coin, so that no method differs from the other?

    Returns:
        One row per test (exchange of arms, paired t, interval excludes zero): test, alpha, alarms (share of
        repetitions that found something), low, high (its exact binomial 95 % interval), n_repetitions, n_problems.
        With few problems, or scores that hardly vary, p-values are coarse and the share lies below alpha.
    """
    quality, budgets, _ = paired_arrays(cells, baseline, treatment)
    n = quality.shape[1]
    hits: dict[str, list[bool]] = defaultdict(list)
    for rng in np.random.default_rng(seed).spawn(n_repetitions):
        swap = np.asarray(rng.random(n) < 0.5)[:, None, None]
        mixed = np.where(swap, quality[::-1], quality)
        settings = {"n_resamples": n_resamples, "seed": rng, "with_raw": False, "confidence_level": 1 - alpha}
        found = compare_arrays(mixed, budgets, index_of(), **settings)  # type: ignore[arg-type]
        low, high = found.confidence_interval()
        hits["exchange of arms"].append(found.pvalue < alpha)
        hits["paired t"].append(found.ttest_pvalue() < alpha)
        hits["interval excludes zero"].append((low > 0 or high < 0) and low < high)
    shares = _shares(hits).rename(columns={"name": "test", "share": "alarms"})
    shares.insert(1, "alpha", alpha)
    return shares.assign(n_problems=n)


def maximum_bias(
    simulation: Simulation, budgets: Sequence[int], *, n_problems: int = 30, n_samples: int = 8,
    orders: Sequence[Order] = ORDERS, n_repetitions: int = 200, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How far the index lies above the truth at each level of the maximum, over many experiments on the same problems
    (evenly spread over the distribution of difficulty).

    Returns:
        One row per order: order, n_problems, n_samples, n_budgets, truth, mean, bias (mean less truth), low, high (95 %
        interval of the bias), sd (of the index between experiments), n_repetitions. The truth of `pooled` and
        `crossfit` is the index of the true mean curve, of `raw` the same without a maximum, of the others the mean of
        the indices of the problems' true curves. `crossfit` is left out with a single sample.
    """
    u, b = (np.arange(n_problems) + 0.5) / n_problems, list(budgets)
    true = simulation.quality(b, u)
    pooled, raw = (float(anytime_index(b, true.mean(axis=0), running_max=best)) for best in (True, False))
    truths = {"pooled": pooled, "crossfit": pooled, "raw": raw}
    drawn = simulation.draw(b, np.tile(u, n_repetitions), n_samples, np.random.default_rng(seed))
    cells = drawn.reshape(n_repetitions, n_problems, n_samples, len(b))
    size = {"n_problems": n_problems, "n_samples": n_samples, "n_budgets": len(b)}
    rows = []
    for order in orders:
        if order == "crossfit" and n_samples < 2:
            continue
        read, truth = index_of(order)(cells, b), truths.get(order, float(np.mean(anytime_index(b, true))))
        sd, bias = float(read.std(ddof=1)), float(read.mean()) - truth
        half = 1.96 * sd / np.sqrt(n_repetitions)
        row = {"order": order, **size, "truth": truth, "mean": truth + bias, "bias": bias}
        rows.append(row | {"low": bias - half, "high": bias + half, "sd": sd, "n_repetitions": n_repetitions})
    return pd.DataFrame(rows)


def null_respondent(quality: float = 0.5, spread: float = 0.0, budgets: Sequence[int] = (1,)) -> Simulation:
    """A respondent whose answer at every budget (hundreds of tokens apart) is a fresh draw: right with chance `quality`
    (in (0, 1)) on a problem of middling difficulty, whose log-odds vary between problems with the given spread."""
    settings: dict[str, float] = {"solve": 1e-12, "doubt": 0.0, "guess": quality}  # it only ever guesses
    if spread > 0:
        rate = 20.0 / min(np.diff([0, *budgets]))  # of finding and losing: e^-20 of the last answer is left
        settings = {"solve": rate * quality, "doubt": float(-np.expm1(-rate * (1 - quality))), "guess": 0.0}
    return Simulation.model_validate(settings | {"stop": 0.0, "unread": 0.0, "spread": spread})


def error_rates(
    simulation: Simulation, budgets: Sequence[int], *, effect: float = 2.0, n_problems: int = 30, n_samples: int = 4,
    n_repetitions: int = 300, n_resamples: int = 400, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How often do the tests cry wolf, and do the intervals hold the truth? In experiments with problems of their own,
    a baseline, three methods that change nothing, and one that multiplies the hazard of finding the answer by `effect`.

    Returns:
        One row per rate: rate, promised, share, low, high (its exact binomial 95 % interval), n_repetitions.
    """
    b, arms = list(budgets), [1.0, 1.0, 1.0, 1.0, effect]
    ends = [float(anytime_index(b, simulation.population_curve(b, e))) for e in (1.0, effect)]
    truth = ends[1] - ends[0]
    hits: dict[str, list[bool]] = defaultdict(list)
    for rng in np.random.default_rng(seed).spawn(n_repetitions):
        u = rng.random(n_problems)
        cells = np.stack([simulation.draw(b, u, n_samples, rng, e) for e in arms])
        pairs = [cells[[0, a]] for a in (1, 2, 3, 4)]
        found = [compare_arrays(q, b, index_of(), n_resamples=n_resamples, seed=rng, with_raw=False) for q in pairs]
        null, real = found[0].confidence_interval(), found[3].confidence_interval()
        hits["alarms: p < .05 without an effect"].append(found[0].pvalue < 0.05)
        hits["alarms: any of three, Holm"].append(bool(holm([c.pvalue for c in found[:3]]).min() < 0.05))
        hits["interval holds the truth, no effect"].append(null.low <= 0 <= null.high)
        hits["interval holds the truth, effect"].append(real.low <= truth <= real.high)
        hits["effect found (power)"].append(found[3].pvalue < 0.05)
    shares = _shares(hits).rename(columns={"name": "rate"})
    promised = {"alarms:": "5 %", "interval": "95 %"}
    shares.insert(1, "promised", [promised.get(rate.split()[0], "") for rate in shares.rate])
    return shares


def error_rate_table() -> pd.DataFrame:
    """What the full study found, one row per setting, as it was saved in the package."""
    source = files("anytime_lib").joinpath("data", "error_rates.csv")
    return pd.read_csv(StringIO(source.read_text(encoding="utf-8")))


def _shares(hits: Mapping[str, Sequence[bool]]) -> pd.DataFrame:
    """How often each came up, with its exact binomial 95 % interval: name, share, low, high, n_repetitions."""
    rows = []
    for name, values in hits.items():
        ends = distributions.binomtest(int(np.sum(values)), len(values)).proportion_ci(method="exact")
        rows.append((name, float(np.mean(values)), float(ends.low), float(ends.high), len(values)))
    return pd.DataFrame(rows, columns=["name", "share", "low", "high", "n_repetitions"])


@dataclass(frozen=True)
class Truth:
    """What a sweep of the simulated respondent estimates: (P, T) the expected quality of every problem under test."""

    problems: list[str]
    budgets: list[int]
    quality: Floats

    @property
    def curve(self) -> Floats:
        """(T,) mean over the problems."""
        return np.asarray(self.quality.mean(axis=0))

    def index(self, order: Literal["pooled", "problem", "raw"] = "pooled") -> float:
        """The Anytime Index of the true curve, with the running maximum of the mean, of each problem's curve, or none.
        (`crossfit` is an estimate of `pooled`.)"""
        if order == "problem":
            return float(np.mean(anytime_index(self.budgets, self.quality)))
        return float(anytime_index(self.budgets, self.curve, running_max=order == "pooled"))


_PREPARED = SimpleNamespace(preferences=[], low=[], summary="")
"""Stands for pairs and principles: of what a method shows, only its own words count here."""


def _asked(method: str, context: Context, problem: Problem) -> list[Message]:
    """The messages that ask for the one trace of a method; those of `base` for `direct`."""
    found = load_method("base" if method == "direct" else method)
    if not isinstance(found, Prompted) or method == "imported":
        plain = [m for m in method_names() if isinstance(load_method(m), Prompted) and m != "imported"]
        why = "since its answers do not come from one trace of the respondent; it is of direct, "
        raise DataError(f"the truth of {method} is not known, {why}{', '.join(plain)}")
    return found.messages(problem, context)


def truth(config: RunConfig, task: str, method: str = "base") -> Truth:
    """The expected quality of every problem under test at every budget: of the chain exactly, and by grading what the
    respondent would say with the task's own grader. It is known of `direct` and of every method whose answers come from
    one plain trace, whose effect is read off its messages, as the respondent itself does it.

    Raises:
        ConfigError: the config's `simulated` makes no sense, or no method has that name.
        DataError: the method searches (votes, values, judges), or reads traces that were recorded.
    """
    respondent = Respondent(simulation_of(config.options.get("simulated", {})))
    settings, found, simulation = config.task(task), load_task(task), respondent.simulation
    drawn = split_problems(found, settings, config.seed)
    context = Context(found, settings, drawn.shots, drawn.pool, _PREPARED, settings.budgets[-1])
    reached = settings.budgets if method != "direct" else [0] * len(settings.budgets)
    effect = respondent.effect_in(_asked(method, context, drawn.test[0]))

    def score(problem: Problem, answers: Sequence[str]) -> float:
        said = [first_words(answer, settings.answer_cap) for answer in answers]
        grades = [grade_answer(found, problem, text, "length" if cut else "stop") for text, _, cut in said]
        return float(np.mean([grade.score for grade in grades]))

    def column(answers: Callable[[Problem], Sequence[str]]) -> Floats:
        return np.array([[score(p, answers(p))] for p in drawn.test])

    right, unread = column(lambda p: [found.gold_answer(p)]), column(lambda p: [UNREAD])
    wrong = column(lambda p: distractors(found, p, drawn.test))
    held = simulation.held(reached, [quantile(p) for p in drawn.test], effect)
    lucky = held + (1 - held) * simulation.guess
    quality = (1 - simulation.unread) * (lucky * right + (1 - lucky) * wrong) + simulation.unread * unread
    return Truth([p.id for p in drawn.test], list(settings.budgets), quality)
