"""What does each method cost in all, and what does it gain at equal cost?

The budget counts reasoning alone. A method also pays for its prompts, its answer turn, and once for what it prepares on
the pool (attempts, verdicts, principles). Two accounts are kept: equal reasoning budget, and equal total tokens, with
the preparation shared out over 1 problem, over 100, and over all problems of the run. Tokens are prompt and completion
together, as the server counted them. Per-problem totals leave retries out; preparation totals include them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, mean_curve, quality_array
from anytime_lib.registry import load_method
from anytime_lib.stats.bootstrap import curve_of, resampled
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
    """Quality and mean tokens per problem of every (task, method) at every budget.

    What a cell's prompts cost is in its column `prompt_tokens`, and what a preparation was billed is noted in the
    store: for all that it asked, as if it had been alone, whoever shared its requests.

    Args:
        cells: of `run_sweep`: one run and model.

    Raises:
        DataError: an older version made the cells and noted neither; run the sweep again, which calls nobody.

    Returns:
        One row per (task, method, budget): quality (mean, no maximum), best (the best so far of it), used (reasoning,
        and all else that counts against the budget), prompt, answer, per_problem (their sum), preparation (tokens,
        once), total_1, total_100, total_all (per problem, with its share of the preparation), n_problems.
    """
    tables = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        graded = arm[arm.status != "error"].set_index("budget")
        if graded.prompt_tokens.isna().any():
            raise _unknown(str(task), str(method))
        quality, problems, budgets = quality_array(arm)
        raw, best = mean_curve(quality, "raw"), mean_curve(quality, "pooled")
        table = pd.DataFrame({"task": task, "method": method, "budget": budgets, "quality": raw, "best": best})
        spent = graded[["tokens_used", "prompt_tokens", "answer_tokens"]].astype(float).groupby("budget").mean()
        table[["used", "prompt", "answer"]] = spent.reindex(budgets).to_numpy()
        table["per_problem"] = table.used + table.prompt + table.answer
        table["preparation"] = once = _preparation(arm, store)
        for name, share in {"total_1": 1, "total_100": 100, "total_all": len(problems)}.items():
            table[name] = table.per_problem + once / share
        tables.append(table.assign(n_problems=len(problems)))
    return pd.concat(tables, ignore_index=True)


def _preparation(arm: pd.DataFrame, store: Store) -> int:
    """What the preparation of a (task, method) was billed on its own, retries included; 0 if it has none."""
    run, model, task, method = (str(arm[name].iloc[0]) for name in ("run", "model", "task", "method"))
    needed = load_method(method).preparation
    if needed is None:
        return 0
    bill = store.noted("bill", bill_of(run, model, task, needed.name))
    if bill is None:
        raise _unknown(task, method)
    return int(bill["prompt_tokens"] + bill["completion_tokens"])


def _unknown(task: str, method: str) -> DataError:
    return DataError(
        f"what {method} on {task} cost was not noted when it was run; run the sweep again: it calls no model for what "
        "is stored, and notes it"
    )


GAINS = ["task", "method", "axis", "budget", "tokens", "points", "low", "high", "saved", "saved_low", "saved_high",
         "n_problems"]  # fmt: skip


def gains(
    cells: pd.DataFrame,
    table: pd.DataFrame,
    *,
    baseline: str = "base",
    axes: Iterable[str] = tuple(AXES),
    n_resamples: int = 2_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """What every other method gains on a baseline at each of its budgets, on each account.

    Quality is the best so far of the mean curve. At equal tokens: the method's quality less the baseline's at the same
    tokens (read off by straight lines; past the baseline's last budget, its quality there). At equal quality: the
    tokens at which the baseline first reaches the quality it has at that budget, less those at which the method does.
    Problems are resampled with the same draws for both; costs are taken as they are.

    Args:
        cells, table: of one run; `table` is what `accounts` made of them.

    Returns:
        One row per (task, method, axis, budget): tokens (on the axis), points (of 100; NaN where the tokens lie below
        the baseline's first) with low and high, saved (tokens; -inf where the method never reaches the quality) with
        saved_low and saved_high, n_problems.
    """
    found = [pd.DataFrame(columns=GAINS)]
    for (task, method), arm in cells[cells.method != baseline].groupby(["task", "method"], sort=False):
        pair = _paired(cells[(cells.task == task) & (cells.method == baseline)], arm)
        if pair is None:
            continue
        quality, budgets, n = pair
        rng = np.random.default_rng(seed)
        draws = resampled(quality, budgets, curve_of("pooled"), n_resamples, rng)
        curves = np.concatenate([mean_curve(quality, "pooled")[None], draws])  # what was observed comes first
        for axis in axes:
            x = [_costs(table, str(task), m, axis, budgets) for m in (baseline, str(method))]
            points, saved = _points(curves, *x), _saved(curves, *x)
            part = pd.DataFrame({"task": task, "method": method, "axis": axis, "budget": budgets, "tokens": x[1]})
            part["points"], part["saved"], part["n_problems"] = points[0], saved[0], n
            part[["low", "high"]] = _ends(points[1:], confidence_level)
            part[["saved_low", "saved_high"]] = _ends(saved[1:], confidence_level)
            found.append(part[GAINS])
    return pd.concat(found[1:] or found, ignore_index=True)


def _paired(base: pd.DataFrame, arm: pd.DataFrame) -> tuple[Floats, list[int], int] | None:
    """(2, P, S, T) quality of what both have, NaN where either lacks a cell; None where they share nothing."""
    keys = ["problem_id", "sample", "budget"]
    graded = [cells.dropna(subset="score") for cells in (base, arm)]
    shared = graded[0][keys].merge(graded[1][keys])
    if shared.empty or shared.budget.nunique() < 2:
        return None
    (first, problems, budgets), (second, *_) = (quality_array(cells.merge(shared)) for cells in graded)
    return np.stack([first, second]), budgets, len(problems)


def _costs(table: pd.DataFrame, task: str, method: str, axis: str, budgets: list[int]) -> Floats:
    """(T,) tokens of a method at its budgets on an account; they never fall."""
    if axis == "budget":
        return np.asarray(budgets, dtype=float)
    mine = table[(table.task == task) & (table.method == method)].set_index("budget")
    return np.maximum.accumulate(mine.loc[budgets, axis].to_numpy(dtype=float))


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


def _ends(draws: Floats, confidence_level: float) -> Floats:
    """Percentile intervals of (R, T) draws, of which some may be infinite; NaN where they are not known: (T, 2)."""
    if not len(draws):
        return np.full((draws.shape[1], 2), np.nan)
    tail, unknown = (1 - confidence_level) / 2, np.isnan(draws)
    ends = np.quantile(np.where(unknown, 0.0, draws), [tail, 1 - tail], axis=0, method="inverted_cdf").T
    return np.where(np.asarray(unknown.any(axis=0))[:, None], np.nan, ends)


def published() -> pd.DataFrame:
    """What the paper reports (arXiv 2601.11038), in percent: model, method, measure (`final` quality or Anytime
    `index`), and a column per task (`overall` where none is told)."""
    text = files("anytime_lib").joinpath("data/published.yaml").read_text(encoding="utf-8")
    return pd.DataFrame(yaml.safe_load(text))
