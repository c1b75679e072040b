"""What does each method cost in all, and what does it gain at equal cost?

The budget counts reasoning alone. A method also pays for its prompts, its answer turn, and once for what it prepares on
the pool (attempts, verdicts, principles). So methods are compared at equal reasoning budget, and at equal total tokens
(prompt and completion, as the server counted them), with the preparation shared out over 1 problem, over 100, and over
all problems of the run. Retries count in the preparation, not in what a problem costs.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats, anytime_curve, mean_curve
from anytime_lib.registry import load_method
from anytime_lib.stats.bootstrap import curve_of, resampled
from anytime_lib.stats.pairing import paired_arrays
from anytime_lib.store import Store
from anytime_lib.sweep.arms import bill_of

AXES = {
    "budget": "equal reasoning budget",
    "total_1": "equal total tokens, preparation for 1 problem",
    "total_100": "equal total tokens, preparation shared by 100 problems",
    "total_all": "equal total tokens, preparation shared by this run's problems",
}
"""The accounts on which methods are compared: column of `accounts` -> what is equal."""


def accounts(cells: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Quality and mean tokens per problem of every (task, method) at every budget, of one run and model.

    Raises:
        DataError: an older version made the cells and noted no costs; run the sweep again, which calls nobody.

    Returns:
        One row per (task, method, budget): quality (mean, no maximum), best (the best so far of it), used (reasoning,
        and all else that counts against the budget), prompt, answer, per_problem (their sum), preparation (tokens,
        once, as if nobody shared its requests), total_1, total_100, total_all (per problem, with its share of the
        preparation), n_problems.
    """
    at, costs = ["task", "method", "budget"], ["used", "prompt", "answer"]
    names = {"tokens_used": "used", "prompt_tokens": "prompt", "answer_tokens": "answer"}
    graded = cells[cells.status != "error"].rename(columns=names)
    if len(unknown := graded[graded.prompt.isna()]):
        raise _not_noted(unknown.task.iloc[0], unknown.method.iloc[0])
    spent = graded.astype(dict.fromkeys(costs, float)).groupby(at)[costs].mean()
    table = anytime_curve(cells, "raw").assign(best=anytime_curve(cells, "pooled").quality).join(spent, on=at)
    table["per_problem"] = table.used + table.prompt + table.answer
    arms = list(table[ARM].itertuples(index=False, name=None))
    once = {arm: _preparation(store, *arm) for arm in set(arms)}
    table["preparation"] = [once[arm] for arm in arms]
    table["total_1"] = table.per_problem + table.preparation
    table["total_100"] = table.per_problem + table.preparation / 100
    table["total_all"] = table.per_problem + table.preparation / table.n_problems
    totals = ["per_problem", "preparation", "total_1", "total_100", "total_all"]
    return table[[*at, "quality", "best", *costs, *totals, "n_problems"]]


def _preparation(store: Store, run: str, model: str, task: str, method: str) -> int:
    """What the preparation of an arm was billed on its own, retries included; 0 if it has none."""
    needed = load_method(method).preparation
    if needed is None:
        return 0
    bill = store.noted("bill", bill_of(run, model, task, needed.name))
    if bill is None:
        raise _not_noted(task, method)
    return int(bill["prompt_tokens"] + bill["completion_tokens"])


def _not_noted(task: str, method: str) -> DataError:
    return DataError(
        f"what {method} on {task} cost was not noted when it was run; run the sweep again: it calls no model for what "
        "is stored, and notes it"
    )


GAINS = ["task", "method", "axis", "budget", "tokens", "points", "low", "high", "saved", "saved_low", "saved_high",
         "n_problems"]  # fmt: skip


def gains(
    cells: pd.DataFrame, table: pd.DataFrame, *, baseline: str = "base", n_resamples: int = 2_000, seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """What every other method gains on a baseline at each of its budgets, on each account of `AXES`.

    Quality is the best so far of the mean curve. At equal tokens: the method's quality less the baseline's at the same
    tokens (read off by straight lines; past the baseline's last budget, its quality there). At equal quality: the
    tokens at which the baseline first reaches the quality it has at that budget, less those at which the method does.
    Problems are resampled with the same draws for both; costs are taken as they are.

    Args:
        cells, table: of one run; `table` is what `accounts` made of them.

    Returns:
        One row per (task, method, axis, budget): tokens (on the axis), points (of 100; NaN where the tokens lie below
        the baseline's first) with low and high, saved (tokens; -inf where the method never reaches the quality) with
        saved_low and saved_high, n_problems. Methods that share no cell with the baseline are left out.
    """
    found, tail = [pd.DataFrame(columns=GAINS)], (1 - confidence_level) / 2
    costs = {arm: part.set_index("budget", drop=False) for arm, part in table.groupby(["task", "method"])}
    for place, arm in cells[cells.method != baseline].groupby(["task", "method"], sort=False):
        task, method = map(str, place)
        try:
            base = cells[(cells.task == task) & (cells.method == baseline)]
            quality, budgets, _ = paired_arrays(pd.concat([base, arm]), baseline, method)
        except DataError:
            continue
        known = np.asarray(~np.isnan(quality).all(axis=(0, 1, 2)))  # at some budget the two may share no cell
        quality, budgets = quality[..., known], list(np.array(budgets)[known])
        draws = resampled(quality, budgets, curve_of("pooled"), n_resamples, np.random.default_rng(seed))
        curves = np.concatenate([mean_curve(quality, "pooled")[None], draws])  # what was observed comes first
        for axis in AXES:
            spent = [costs[task, m].loc[budgets, axis].to_numpy(float) for m in (baseline, method)]
            x = np.maximum.accumulate(spent, axis=1)  # what a method costs never falls
            part = pd.DataFrame({"task": task, "method": method, "axis": axis, "budget": budgets, "tokens": x[1]})
            for name, values in {"points": _points(curves, *x), "saved": _saved(curves, *x)}.items():
                part[name] = values[0]
                ends = np.quantile(values[1:], [tail, 1 - tail], axis=0, method="inverted_cdf")  # some are infinite
                part[f"{name}_low"], part[f"{name}_high"] = ends
            part["n_problems"] = quality.shape[1]
            found.append(part.rename(columns={"points_low": "low", "points_high": "high"})[GAINS])
    return pd.concat(found[1:] or found, ignore_index=True)


def _points(curves: Floats, base_x: Floats, x: Floats) -> Floats:
    """(R, 2, T) curves -> (R, T) points gained at the method's tokens; NaN below the baseline's first."""
    base = np.array([np.interp(x, base_x, curve) for curve in curves[:, 0]])
    return np.where(x < base_x[0], np.nan, 100 * (curves[:, 1] - base))


def _saved(curves: Floats, base_x: Floats, x: Floats) -> Floats:
    """(R, 2, T) curves -> (R, T) tokens saved on reaching the quality that the baseline has at each budget."""
    return np.array([[_reached(base, base_x, q) - _reached(curve, x, q) for q in base] for base, curve in curves])


def _reached(curve: Floats, x: Floats, quality: float) -> float:
    """The tokens at which a curve that never falls first reaches a quality; infinite if it does not."""
    at = int(np.searchsorted(curve, quality - 1e-12))
    if at == len(curve):
        return np.inf
    if at == 0 or curve[at] == curve[at - 1]:
        return float(x[at])
    share = (quality - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(x[at - 1] + np.clip(share, 0, 1) * (x[at] - x[at - 1]))


def published() -> pd.DataFrame:
    """What the paper reports (arXiv 2601.11038), in percent: model, method, measure (`final` quality or Anytime
    `index`), and a column per task (`overall` where none is told)."""
    return pd.DataFrame(yaml.safe_load((files("anytime_lib") / "data" / "published.yaml").read_text("utf-8")))
