"""What does the running maximum add to a curve whose truth is known, and how often do intervals and tests err?"""

from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS, Order
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.models.simulated import UNREAD, Known, SimulatedModel, first_words
from anytime_lib.models.simulation import Simulation
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.bootstrap import index_of
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
    rmse (root mean squared error: both together), n_repetitions.
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
    half, rmse = 1.96 * sd / np.sqrt(n_repetitions), np.hypot(table.bias, sd)
    return table.assign(low=table.bias - half, high=table.bias + half, sd=sd, rmse=rmse, n_repetitions=n_repetitions)


def null_respondent(quality: float, spread: float = 0.0, budgets: Sequence[int] = (1,)) -> Simulation:
    """A respondent whose answer at every budget (hundreds of tokens apart) is a fresh draw: right with chance `quality`
    (in (0, 1)) on a problem of middling difficulty, whose log-odds vary between problems with the given spread."""
    never = {"stop": 0.0, "unread": 0.0, "spread": spread}
    if not spread:
        return Simulation(solve=1e-12, doubt=0.0, guess=quality, **never)  # it only ever guesses
    rate = 20.0 / min(np.diff([0, *budgets]))  # of finding and losing: e^-20 of the last answer is left
    return Simulation(solve=rate * quality, doubt=float(-np.expm1(-rate * (1 - quality))), guess=0.0, **never)


def error_rate_table() -> pd.DataFrame:
    """What tests/benchmarks/bench_error_rates.py found, one row per setting, `judged` "now" or by what was "before"."""
    return pd.read_csv(str(files("anytime_lib") / "data" / "error_rates.csv"))


def truth(config: RunConfig, task: str, method: str = "base") -> pd.DataFrame:
    """What a sweep of the simulated respondent estimates: the expected quality of every problem under test (a row, by
    its id) at every budget (a column). The chain's is exact; what the respondent would say is graded by the task's own
    grader. It is known of `direct` and of every method whose answers come from one plain trace, whose effect is read
    off its messages, as the respondent itself does it; of others (which search, or read recorded traces) it is a
    DataError.
    """
    respondent = SimulatedModel(config)
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


def known_truth(config: RunConfig) -> str:
    """What the indices of a run of the simulated respondent and their differences truly are, in a sentence for each
    task; empty for a model whose truth nobody knows. Methods that `truth` does not know are left out."""
    told = []
    for task in config.tasks if config.model == "simulated" else []:
        true: dict[str, float] = {}
        for method in config.task(task).methods:
            with suppress(DataError):
                true[method] = true_index(truth(config, task, method))
        base = true.get(config.analysis.baseline, np.nan)
        each = (
            f"{method} {index:.3f}" + f" (difference {index - base:+.3f})" * (method != config.analysis.baseline)
            for method, index in true.items()
        )
        told.append(f"{task}: in truth, which is known of a simulation, the index is {', '.join(each)}.")
    return "\n".join(told)
