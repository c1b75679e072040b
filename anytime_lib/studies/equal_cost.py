"""What does each method cost in all, and what does it gain at equal cost?

The budget counts reasoning alone. A method also pays for its prompt, its answer turn, and once for what it prepares on
the pool (attempts, verdicts, principles). Two accounts are kept: equal reasoning budget, and equal total tokens, with
the preparation shared out over 1 problem, over 100, and over all problems of the run. Tokens are prompt and completion
together, as the server counted them. Per-problem totals leave retries out; preparation totals include them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml

from anytime_lib.config import RunConfig
from anytime_lib.index import Floats, mean_curve, quality_array
from anytime_lib.methods.search import Searching
from anytime_lib.registry import load_method
from anytime_lib.stats.bootstrap import curve_of, resampled
from anytime_lib.store import Store
from anytime_lib.studies.rereading import Rereading, other_settings
from anytime_lib.sweep.ledger import attempts

AXES = {
    "budget": "equal reasoning budget",
    "total_1": "equal total tokens, preparation for 1 problem",
    "total_100": "equal total tokens, preparation shared by 100 problems",
    "total_all": "equal total tokens, preparation shared by this run's problems",
}
"""The accounts on which methods are compared: column of `accounts` -> what is equal."""


def preparation_tokens(store: Store, config: RunConfig, task: str, method: str) -> int:
    """What a method's preparation by this config was billed on a task, retries included; 0 if it has none.

    Attempts at the pool are shared by all methods that need them, and each is charged for them in full: that is what
    it would cost alone. What other settings or models left in the store is not counted.

    Raises:
        DataError: the store does not hold what was prepared by this config.
    """
    return _billed(Rereading(config, store), attempts(store), task, method)


def _billed(again: Rereading, billed: pd.DataFrame, task: str, method: str) -> int:
    _, keys = again.preparation(task, method)
    rows = billed[billed.key.isin(keys)]
    return int((rows.prompt_tokens + rows.completion_tokens).sum())


def accounts(cells: pd.DataFrame, store: Store, config: RunConfig) -> pd.DataFrame:
    """Quality and mean tokens per problem of every (task, method) at every budget.

    Stopped at a budget, a method that only prompts pays for its trace's prompt, the tokens it used, the answer's prompt
    and the answer, as stored. A method that searches asks more often: it pays for the prompt of every request that it
    had begun by then, and of those that read out its answer there.

    Args:
        cells: of `run_sweep(config)`: one run and model.

    Raises:
        DataError: the cells were made with other settings than the config's.

    Returns:
        One row per (task, method, budget): quality (mean, no maximum), best (the best so far of it), used (reasoning,
        and all else that counts against the budget), prompt, answer, per_problem (their sum), preparation (tokens,
        once), total_1, total_100, total_all (per problem, with its share of the preparation), n_problems.
    """
    usage, billed = store.requests().set_index("key"), attempts(store)
    again = Rereading(config, store, str(cells.model.iloc[0]) if len(cells) else None)
    rows = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        quality, problems, budgets = quality_array(arm)
        raw, best = mean_curve(quality, "raw"), mean_curve(quality, "pooled")
        once = _billed(again, billed, str(task), str(method))
        searching = isinstance(load_method(str(method)), Searching)
        searched = _searched_prompts(arm, again) if searching else None
        for t, budget in enumerate(budgets):
            here = arm[(arm.budget == budget) & (arm.status != "error")]
            prompt = _prompts(here, usage) if searched is None else _mean(pd.Series(searched[int(budget)]))
            used, answer = _mean(here.tokens_used), _mean(here.answer_tokens)
            each = used + prompt + answer
            rows.append({
                "task": task, "method": method, "budget": budget, "quality": float(raw[t]), "best": float(best[t]),
                "used": used, "prompt": prompt, "answer": answer, "per_problem": each, "preparation": once,
                "total_1": each + once, "total_100": each + once / 100, "total_all": each + once / len(problems),
                "n_problems": len(problems),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _mean(values: pd.Series) -> float:
    return float(values.astype(float).mean()) if len(values) else float("nan")


def _prompts(cells: pd.DataFrame, usage: pd.DataFrame) -> float:
    """Mean prompt tokens of a cell: its trace's, and its answer's where that is another request."""
    trace = usage.prompt_tokens.reindex(cells.trace_key).fillna(0).to_numpy()
    answer = usage.prompt_tokens.reindex(cells.answer_key).fillna(0).to_numpy()
    whole = trace + np.where((cells.trace_key == cells.answer_key).to_numpy(), 0, answer)
    return float(whole.mean()) if len(whole) else float("nan")


def _searched_prompts(arm: pd.DataFrame, again: Rereading) -> dict[int, list[float]]:
    """Budget -> prompt tokens of every cell of a search: of what it had begun by then, and of its own read-out."""
    task, method = str(arm.task.iloc[0]), str(arm.method.iloc[0])
    cells = arm[arm.status != "error"].to_dict("records")
    answers_by_budget = again.answers_by_budget(
        task, method, dict.fromkeys((c["problem_id"], c["sample"]) for c in cells)
    )
    found = defaultdict[int, list[float]](list)
    for c in cells:
        stop = answers_by_budget.get((c["problem_id"], c["sample"], c["budget"]))
        if stop is None or (stop.used, getattr(stop.answer, "key", None)) != (c["tokens_used"], c["answer_key"]):
            raise other_settings(method, task)
        found[c["budget"]].append(float(stop.prompt_tokens or 0))
    return found


def gains(
    cells: pd.DataFrame, table: pd.DataFrame, *, baseline: str = "base", axes: Iterable[str] = tuple(AXES),
    n_resamples: int = 2_000, seed: int = 0, confidence_level: float = 0.95,
) -> pd.DataFrame:  # fmt: skip
    """What every other method gains on a baseline at each of its budgets, on each account.

    Quality is the best so far of the mean curve. At equal tokens: the method's quality less the baseline's at the same
    tokens (read off by straight lines; past the baseline's last budget, its quality there). At equal quality: the
    tokens at which the baseline first reaches the quality it has at that budget, less those at which the method does.
    Problems, and samples within them, are resampled with the same draws for both; costs are taken as they are.

    Args:
        cells, table: of one run; `table` is what `accounts` made of them.

    Returns:
        One row per (task, method, axis, budget): tokens (on the axis), points (of 100; NaN where the tokens lie below
        the baseline's first) with low and high, saved (tokens; -inf where the method never reaches the quality) with
        saved_low and saved_high, n_problems.
    """
    rows: list[dict[str, Any]] = []
    for task, part in cells.groupby("task", sort=False):
        if baseline not in set(part.method):
            continue
        for method in [m for m in part.method.unique() if m != baseline]:
            pair = _paired(part, baseline, str(method))
            if pair is None:
                continue
            quality, budgets, n = pair
            draws = resampled(quality, budgets, curve_of("pooled"), n_resamples, np.random.default_rng(seed))
            both = np.concatenate([mean_curve(quality, "pooled")[None], draws])  # what was observed comes first
            for axis in axes:
                x = [_costs(table, str(task), m, axis, budgets) for m in (baseline, str(method))]
                points, saved = _points(both, *x), _saved(both, *x)
                for t, budget in enumerate(budgets):
                    low, high = _ends(points[1:, t], confidence_level)
                    saved_low, saved_high = _ends(saved[1:, t], confidence_level)
                    rows.append({"task": task, "method": method, "axis": axis, "budget": budget,
                                 "tokens": float(x[1][t]), "points": points[0, t], "low": low, "high": high,
                                 "saved": saved[0, t], "saved_low": saved_low, "saved_high": saved_high,
                                 "n_problems": n})  # fmt: skip
    columns = ["task", "method", "axis", "budget", "tokens", "points", "low", "high", "saved", "saved_low",
               "saved_high", "n_problems"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _paired(cells: pd.DataFrame, baseline: str, method: str) -> tuple[Floats, list[int], int] | None:
    """(2, P, S, T) quality of what both have, NaN where either lacks a cell; None where they share nothing."""
    keys = ["problem_id", "sample", "budget"]
    arms = [cells[cells.method == m].dropna(subset="score") for m in (baseline, method)]
    shared = arms[0][keys].merge(arms[1][keys])
    if shared.empty or shared.budget.nunique() < 2:
        return None
    (first, problems, budgets), (second, *_) = (quality_array(arm.merge(shared)) for arm in arms)
    return np.stack([first, second]), budgets, len(problems)


def _costs(table: pd.DataFrame, task: str, method: str, axis: str, budgets: list[int]) -> Floats:
    mine = table[(table.task == task) & (table.method == method)].set_index("budget")
    return np.maximum.accumulate(mine.loc[budgets, axis].to_numpy(dtype=float) if axis != "budget"
                                 else np.asarray(budgets, dtype=float))  # fmt: skip


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


def _ends(draws: Floats, confidence_level: float) -> tuple[float, float]:
    """A percentile interval of draws, of which some may be infinite; NaN where they are not known."""
    if np.isnan(draws).any() or not len(draws):
        return float("nan"), float("nan")
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


@cache
def _published() -> list[dict[str, Any]]:
    text = files("anytime_lib").joinpath("data/published.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text))


def published(task: str | None = None) -> pd.DataFrame:
    """What the paper reports (arXiv 2601.11038), in percent: model, method, measure (`final` quality or Anytime
    `index`), and a column per task (`overall` where none is told); of one task, `value`."""
    table = pd.DataFrame(_published())
    if task is None:
        return table
    if task not in table:
        return table.iloc[:0][["model", "method", "measure"]].assign(value=pd.Series(dtype=float))
    return table.dropna(subset=task)[["model", "method", "measure", task]].rename(columns={task: "value"})
