"""What does the machinery find where there is nothing, and what does the running maximum add to it?

Whole experiments are drawn from the simulated respondent, whose truth is known (the full study is
`tests/benchmarks/bench_error_rates.py`).
"""

from collections.abc import Sequence
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS, Order, anytime_index
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.models.simulated import UNREAD, Known, Respondent, first_words
from anytime_lib.models.simulation import Simulation
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.bootstrap import index_of
from anytime_lib.stats.compare import compare_arrays
from anytime_lib.stats.family import holm
from anytime_lib.sweep.plan import split_problems


def true_index(quality: pd.DataFrame, order: Order = "pooled") -> float:
    """What the index of an order estimates, by the expected quality (a row per problem, a column per budget): with the
    running maximum of the mean (`crossfit` too), of each problem's curve (`trace` too), or none."""
    read = index_of("pooled" if order == "crossfit" else order)
    return float(read(quality.to_numpy()[:, None], list(map(int, quality.columns))))


def maximum_bias(
    simulation: Simulation,
    budgets: Sequence[int],
    *,
    n_problems: int = 30,
    n_samples: int = 8,
    n_repetitions: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """How far the index lies above the truth at each level of the maximum, over many experiments on the same problems
    (evenly spread over the distribution of difficulty).

    One row per order (`crossfit` needs two samples): order, n_problems, n_samples, n_budgets, truth (see `true_index`),
    mean, bias (mean less truth), low, high (95 % interval of the bias), sd (of the index between experiments),
    n_repetitions.
    """
    u, b = (np.arange(n_problems) + 0.5) / n_problems, list(budgets)
    true = pd.DataFrame(simulation.quality(b, u), columns=b)
    drawn = simulation.draw(b, np.tile(u, n_repetitions), n_samples, np.random.default_rng(seed))
    cells = drawn.reshape(n_repetitions, n_problems, n_samples, len(b))
    orders = [order for order in ORDERS if order != "crossfit" or n_samples > 1]
    read = np.array([index_of(order)(cells, b) for order in orders])
    table = pd.DataFrame({"order": orders, "n_problems": n_problems, "n_samples": n_samples, "n_budgets": len(b)})
    table["truth"], table["mean"] = [true_index(true, order) for order in orders], read.mean(axis=1)
    table["bias"], sd = table["mean"] - table.truth, read.std(axis=1, ddof=1)
    half = 1.96 * sd / np.sqrt(n_repetitions)
    return table.assign(low=table.bias - half, high=table.bias + half, sd=sd, n_repetitions=n_repetitions)


def null_respondent(quality: float, spread: float = 0.0, budgets: Sequence[int] = (1,)) -> Simulation:
    """A respondent whose answer at every budget (hundreds of tokens apart) is a fresh draw: right with chance `quality`
    (in (0, 1)) on a problem of middling difficulty, whose log-odds vary between problems with the given spread."""
    never = {"stop": 0.0, "unread": 0.0, "spread": spread}
    if not spread:
        return Simulation(solve=1e-12, doubt=0.0, guess=quality, **never)  # it only ever guesses
    rate = 20.0 / min(np.diff([0, *budgets]))  # of finding and losing: e^-20 of the last answer is left
    return Simulation(solve=rate * quality, doubt=float(-np.expm1(-rate * (1 - quality))), guess=0.0, **never)


def error_rates(
    simulation: Simulation, budgets: Sequence[int], *, n_repetitions: int = 300, n_resamples: int = 400, seed: int = 0
) -> pd.DataFrame:
    """How often do the tests cry wolf, and do the intervals hold the truth? In experiments with 30 problems (of their
    own) x 4 samples: a baseline, three methods that change nothing, one that doubles the hazard of finding the answer.

    One row per rate: rate, promised, share, low, high (its exact binomial 95 % interval), n_repetitions.
    """
    b, rows = list(budgets), []
    everyone = (np.arange(4_001) + 0.5) / 4_001  # midpoints of the distribution of difficulty
    curves = [simulation.quality(b, everyone, e).mean(axis=0) for e in (1, 2)]
    truth = np.diff([anytime_index(b, curve) for curve in curves]).item()
    for rng in np.random.default_rng(seed).spawn(n_repetitions):
        u = rng.random(30)
        cells = np.stack([simulation.draw(b, u, 4, rng, e) for e in (1, 1, 1, 1, 2)])
        *nulls, real = (compare_arrays(cells[[0, a]], b, n_resamples=n_resamples, seed=rng) for a in (1, 2, 3, 4))
        none, some = nulls[0].confidence_interval(), real.confidence_interval()
        found = {
            ("alarms: p < .05 without an effect", "5 %"): nulls[0].pvalue < 0.05,
            ("alarms: any of three, Holm", "5 %"): holm([null.pvalue for null in nulls]).min() < 0.05,
            ("interval holds the truth, no effect", "95 %"): none.low <= 0 <= none.high,
            ("interval holds the truth, effect", "95 %"): some.low <= truth <= some.high,
            ("effect found (power)", ""): real.pvalue < 0.05,
        }
        rows.append(found)
    share = pd.DataFrame(rows).mean()
    ends = [distributions.binomtest(round(p * n_repetitions), n_repetitions).proportion_ci() for p in share]
    table = pd.DataFrame(list(share.index), columns=["rate", "promised"]).assign(share=share.to_numpy())
    return table.assign(low=[e.low for e in ends], high=[e.high for e in ends], n_repetitions=n_repetitions)


def error_rate_table() -> pd.DataFrame:
    """What the full study found, one row per setting, as it was saved in the package."""
    return pd.read_csv(str(files("anytime_lib") / "data" / "error_rates.csv"))


def truth(config: RunConfig, task: str, method: str = "base") -> pd.DataFrame:
    """What a sweep of the simulated respondent estimates: the expected quality of every problem under test (a row, by
    its id) at every budget (a column). The chain's is exact; what the respondent would say is graded by the task's own
    grader. It is known of `direct` and of every method whose answers come from one plain trace, whose effect is read
    off its messages, as the respondent itself does it; of others (which search, or read recorded traces) it is a
    DataError.
    """
    respondent = Respondent(config.options.get("simulated", {}))
    settings, found, simulation = config.task(task), load_task(task), respondent.simulation
    asks = load_method("base" if method == "direct" else method)
    if not isinstance(asks, Prompted) or method == "imported":
        raise DataError(f"the truth of {method} is not known: its answers come from no single trace of the respondent")
    problems = split_problems(found, settings, config.seed)
    # Of what a method shows, only its own words count.
    nothing = SimpleNamespace(preferences=[], at_budget={}, low=[], summary="")
    context = Context(found, settings, problems.shots, problems.pool, nothing, settings.budgets[-1])
    effect = respondent.effect_in(asks.messages(problems.test[0], context))
    reached = settings.budgets if method != "direct" else [0] * len(settings.budgets)
    curves = {}
    for p in problems.test:
        known = Known(found, p, problems.test)
        right, wrong, unread = (
            np.mean([found.grade(p, first_words(answer, settings.answer_cap)[0]).score for answer in answers])
            for answers in ([found.gold_answer(p)], known.distractors, [UNREAD])
        )
        held = simulation.held(reached, known.quantile, effect)
        lucky = held + (1 - held) * simulation.guess
        curves[p.id] = (1 - simulation.unread) * (lucky * right + (1 - lucky) * wrong) + simulation.unread * unread
    return pd.DataFrame.from_dict(curves, orient="index", columns=settings.budgets)
