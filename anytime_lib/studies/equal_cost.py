"""What does each method cost in all, and what does it gain at equal cost?

The budget counts reasoning alone. A method also pays for its prompts, its answer turn, and once for what it prepares on
the pool. So methods are compared at equal reasoning budget, and at equal total tokens (prompt and completion, as the
server counted them). Retries count in the preparation, not in what a problem costs.
"""

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, both_arrays, curve_table, mean_curve, paired
from anytime_lib.registry import load_method
from anytime_lib.stats.bootstrap import resampled
from anytime_lib.stats.estimate import by_effort, curve_of
from anytime_lib.store import Store
from anytime_lib.sweep.arms import bill_of
from anytime_lib.types import packaged

AXES = {
    "budget": "equal reasoning budget",
    "total_1": "equal total tokens, preparation for 1 problem",
    "total_100": "equal total tokens, preparation shared by 100 problems",
    "total_all": "equal total tokens, preparation shared by this run's problems",
}
"""The accounts on which methods are compared: column of `accounts` -> what is equal."""


def accounts(cells: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Quality and mean tokens per problem of every (task, method) at every budget, of one run and model. Cells of
    an older version, which noted no costs, are a DataError: run the sweep again, which calls nobody.

    One row per (task, method, budget), with the columns of `curve_table` (quality without a maximum), and best (the
    best so far of it), used (reasoning, and all else that counts against the budget), prompt, answer, per_problem
    (their sum), preparation (tokens, once, as if nobody shared its requests, retries included; of several draws of
    exemplars, their mean), total_1, total_100, total_all (per problem, with its share of the preparation), n_samples.
    """
    at, costs = ["task", "method", "budget"], ["used", "prompt", "answer"]
    names = {"tokens_used": "used", "prompt_tokens": "prompt", "answer_tokens": "answer"}
    graded, once = cells[cells.status != "error"].rename(columns=names), {}
    for place, arm in graded.groupby(ARM):
        run, model, task, method = map(str, place)
        bills: list[dict[str, Any] | None] = [{"prompt_tokens": 0, "completion_tokens": 0}]
        if needed := load_method(method).preparation:
            draws = sorted(set(arm.draw.dropna().astype(int))) or [0]
            bills = [store.noted("bill", bill_of(run, model, task, needed.name, draw)) for draw in draws]
        if None in bills or arm.prompt.isna().any():
            why = f"what {method} on {task} cost was not noted when it was run"
            raise DataError(f"{why}; run the sweep again: it calls no model for what is stored, and notes it")
        once[task, method] = np.mean([bill["prompt_tokens"] + bill["completion_tokens"] for bill in bills if bill])
    spent = graded.astype(dict.fromkeys(costs, float)).groupby(at)[costs].mean()
    table = curve_table(cells, "raw").assign(best=curve_table(cells, "pooled").quality).join(spent, on=at)
    table["per_problem"] = table[costs].sum(axis=1, skipna=False)
    table = table.join(pd.Series(once, name="preparation").rename_axis(at[:2]), on=at[:2])
    table["n_samples"] = cells["sample"].nunique()
    for name, n in (("total_1", 1), ("total_100", 100), ("total_all", table.n_problems)):
        table[name] = table.per_problem + table.preparation / n
    return table


GAINS = ["task", "method", "axis", "budget", "tokens", "points", "low", "high", "n_problems", "outside"]


def gains(
    cells: pd.DataFrame,
    table: pd.DataFrame,
    *,
    baseline: str = "base",
    n_resamples: int = 2_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """What every other method gains on a baseline at each of its budgets, on each account of `AXES`; `cells` are of one
    run, and `table` is what `accounts` made of them.

    Quality is the best so far of the mean curve: described, not judged (see `stats.compare`). The baseline's is read
    off at the same tokens by straight lines. Problems are resampled with the same draws for both; costs are taken as
    they are.

    One row per (task, method, axis, budget): tokens (on the axis), points (of 100; NaN where the tokens lie below the
    baseline's first or past its last: nothing is known of it there) with low and high, n_problems, outside ("below" or
    "beyond" what the baseline spends, else ""). Methods that share no cell with the baseline are left out.
    """
    found, tails = [pd.DataFrame(columns=GAINS)], [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    costs = {arm: part.set_index("budget", drop=False) for arm, part in table.groupby(["task", "method"])}
    for place, _ in cells[cells.method != baseline].groupby(["task", "method"], sort=False):
        task, method = map(str, place)
        try:
            quality, budgets, *_ = both_arrays(cells[cells.task == task], baseline, method)
            quality, _ = paired(quality)
        except DataError:
            continue
        known = np.asarray(~np.isnan(quality).all(axis=(0, 1, 2)))  # at some budget the two may share no cell
        quality, budgets = quality[..., known], list(np.array(budgets)[known])
        draws = resampled(quality, budgets, curve_of("pooled"), n_resamples, seed)
        curves = np.concatenate([mean_curve(quality, "pooled")[None], draws])  # what was observed comes first
        for axis in AXES:
            column = "used" if axis == "budget" and by_effort(cells) else axis  # as levels take more of one method
            spent = [costs[task, m].loc[budgets, column].to_numpy(float) for m in (baseline, method)]
            base_x, x = np.maximum.accumulate(spent, axis=1)  # what a method costs never falls
            points = 100 * (curves[:, 1] - [np.interp(x, base_x, base) for base in curves[:, 0]])
            outside = np.select([x < base_x[0], x > base_x[-1]], ["below", "beyond"], "")
            points[:, outside != ""] = np.nan
            part = pd.DataFrame({"task": task, "method": method, "axis": axis, "budget": budgets, "tokens": x})
            part["points"] = points[0]
            part["low"], part["high"] = np.quantile(points[1:], tails, axis=0)
            found.append(part.assign(n_problems=quality.shape[1], outside=outside))
    return pd.concat(found[1:] or found, ignore_index=True)


def published(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """What the paper reports (arXiv 2601.11038): in percent there, here as fractions of 1 like every score. The arms of
    a table of `stats.estimate` stand above it, where one is given.

    Columns: model, method, measure (`final` quality, Anytime `index`, or a gain, in words), one per task, and `overall`
    (their mean, of arms that have an index on all tasks).
    """
    paper = pd.DataFrame(packaged("published.yaml"))
    paper[paper.columns[3:]] /= 100
    if table is None:
        return paper
    tall = table.melt(["model", "method", "task"], ["final", "index"], "measure")
    ours = tall.pivot_table(index=["model", "method", "measure"], columns="task", values="value", sort=False)
    if ours.shape[1] > 1:
        ours["overall"] = ours.mean(axis=1, skipna=False)
    return pd.concat([ours.reset_index(), paper], ignore_index=True)
