"""What do curves, indices, differences and costs show? Sentences read off the numbers, with their uncertainty."""

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.index import Floats, mean_curve, quality_array
from anytime_lib.plots.style import count, size
from anytime_lib.readings.words import few, listed
from anytime_lib.stats.bootstrap import resampled
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.estimate import band, curve_of
from anytime_lib.stats.intervals import alpha_of, spoken, spoken_pvalue
from anytime_lib.stats.measures import change


def read_curves(
    cells: pd.DataFrame, *, chance: float | None = None, confidence_level: float = 0.95, **settings: Any
) -> str:
    """Whether the curves of one (run, model, task), before the maximum, rise or fall from the smallest budget to the
    largest, by when they have half of their final quality, and whether they change in the second half of the budgets.

    The changes of a curve are looked at on the same traces, in intervals that hold together (Bonferroni).

    Args:
        chance: what guessing reaches; quality at the largest budget is set beside it.
        settings: n_resamples (2,000), seed (0).
    """
    settings = {"n_resamples": 2_000, "seed": 0} | settings
    arms = {str(method): arm for method, arm in cells.groupby("method", sort=False)}
    budgets = sorted(map(int, cells.budget.unique()))
    n, (first, middle, last) = cells.problem_id.nunique(), (budgets[0], budgets[len(budgets) // 2], budgets[-1])
    about = f"{cells.task.iloc[0]} ({size(n, cells['sample'].nunique())})"
    if first == last:
        return f"{about}: there is one budget, so there is no curve to read."
    starts = [first, middle] if middle < last else [first]
    level = 1 - (1 - confidence_level) / len(starts)
    lines = [f"{about}, mean quality at {last:,} tokens less that at {first:,}:"]
    for method, arm in arms.items():
        changes = [change(arm, start, last, confidence_level=level, **settings) for start in starts]
        if any(np.isnan(found.statistic) for found in changes):
            lines.append(f"{method} cannot be read, as some budget has no graded cell.")
            continue
        whole, *late = changes
        told = {1: " rises", -1: " falls", 0: ": whether it rises or falls is undecided"}[whole.direction]
        told = f"{method}{told}, {_spoken(whole)}"
        if whole.direction > 0:
            told += f"; half of its final quality is there {_half(arm, **settings)}"
        for found in late:
            side = {1: "it still rises", -1: "it falls", 0: "no change is shown"}[found.direction]
            told += f"; from {middle:,} tokens on {side}, {_spoken(found)}"
        lines.append(f"{told}.")
    if chance is not None:
        lines.append(_guessing(arms, chance, confidence_level=confidence_level, **settings))
    return "\n".join([*lines, few(n).strip()]).strip()


def _spoken(found: Comparison) -> str:
    """A change with its interval; where that excludes zero and yet no direction is claimed, why."""
    (low, high), alpha = found.confidence_interval(), alpha_of(found.confidence_level)
    text = spoken(found.statistic, low, high)
    if found.direction or low <= 0 <= high:
        return text
    why = f"its p of exchange, {spoken_pvalue(found.pvalue, alpha)}, is not below {alpha:g}"
    why = "the missing cells could turn that round" if found.withheld else why
    return f"{text} ({why}, so no direction is claimed)"


def _half(arm: pd.DataFrame, **settings: Any) -> str:
    """By which budget a rising curve has half of the quality it ends with, and where that lies in 95 % of resamples."""
    quality, _, budgets = quality_array(arm)

    def reached(curves: Floats) -> Floats:
        return np.asarray(budgets)[(curves >= curves[..., -1:] / 2).argmax(axis=-1)]

    draws = reached(resampled(quality[None], budgets, curve_of("raw"), **settings)[:, 0])
    low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
    at = int(reached(mean_curve(quality, "raw")))
    return f"by {at:,} tokens" + (f" [{int(low):,}, {int(high):,}]" if low < high else "")


def read_finished(cells: pd.DataFrame, *, confidence_level: float = 0.95, **settings: Any) -> str:
    """How many recorded traces of each arm had ended by its largest budget, how good they are there, and by which
    budget half of that was reached: a line for each arm of one task (of `tools.import_traces.finished_cells`).
    `settings`: n_resamples (2,000), seed (0)."""
    settings, told = {"n_resamples": 2_000, "seed": 0} | settings, []
    for method, arm in cells.groupby("method", sort=False):
        last = arm[arm.budget == arm.budget.max()]
        end = band(last, order="raw", confidence_level=confidence_level, **settings).iloc[0]
        text = f"{method}: by {end.budget:,} tokens {last.stopped_naturally.sum()} of {len(last)} traces had ended, "
        text += f"and quality is {spoken(end.quality, end.low, end.high, sign='')}"
        text += f", half of it reached {_half(arm, **settings)}" if end.low > 0 else ""
        beyond = cells.budget[cells.budget > end.budget].min()
        told.append(text + (f"; its recordings break off before {beyond:,.0f} tokens." if beyond > 0 else "."))
    n = cells.problem_id.nunique()
    about = f"{cells.task.iloc[0]} ({size(n, cells['sample'].nunique())}):{few(n)}"
    return "\n".join([about, *told])


def _guessing(arms: dict[str, pd.DataFrame], chance: float, **settings: Any) -> str:
    """On which side of guessing each arm ends, by its own interval."""
    sides: dict[str, list[str]] = {}
    for method, arm in arms.items():
        end = band(arm[arm.budget == arm.budget.max()], order="raw", **settings).iloc[0]
        side = "above" if end.low > chance else "below" if end.high < chance else "not told from"
        sides.setdefault(side, []).append(method)
    said = [f"{listed(names)} {'is' if len(names) == 1 else 'are'} {side}" for side, names in sides.items()]
    return f"At the largest budget {'; '.join(said)} guessing ({chance:.2g})."


def read_index(table: pd.DataFrame) -> str:
    """The index of every arm in a table of `stats.estimate`, with its interval, and what to beware of in it."""
    told, bound = [], []
    for task, part in table.groupby("task", sort=False):
        bound += [f"{method} on {task}" for method, note in zip(part.method, part.note, strict=True) if "bound" in note]
        known = part.dropna(subset="index").sort_values("index", kind="stable").to_dict("records")
        ends = [f"{row['method']} {spoken(row['index'], row['low'], row['high'], sign='')}" for row in known]
        span = f"from {ends[0]} to {ends[-1]}" if len(ends) > 1 else "".join(ends) or "none"
        lacking = f"; {listed(part.method[part['index'].isna()])} lacks graded cells" if len(known) < len(part) else ""
        told.append(f"{task} {span} ({size(int(part.n_problems.max()), int(part.n_samples.max()))}){lacking}")
    text = f"Anytime Index, 0 to 1: {'; '.join(told)}."
    if bound:
        which = "Every interval" if len(bound) == len(table) else f"The interval of {listed(bound)}"
        text += f" {which} is by Gaffke's bound, as few problems tell."
    if table.groupby("task").method.nunique().max() > 1:
        text += " Whether two methods differ is told by their paired difference, not by overlap of these intervals."
    return text + few(int(table.n_problems.min()))


def read_accounts(table: pd.DataFrame, *, baseline: str = "base") -> str:
    """What a problem costs at the largest budget by each method of one task, preparation shared by this run's problems,
    and at which share of the baseline's tokens a method reaches the baseline's final quality (of
    `studies.equal_cost.accounts`). Costs and shares are those of these cells, without an interval."""
    curves = {str(method): part.sort_values("budget") for method, part in table.groupby("method", sort=False)}
    base, told = curves.get(baseline), []
    for method, curve in curves.items():
        end = curve.iloc[-1]
        text = f"{method}: {end.total_all:,.0f} tokens"
        if end.preparation:
            share = end.preparation / end.n_problems
            text += f", {share:,.0f} of them its share of the {end.preparation:,.0f} for preparation"
        if base is not None and method != baseline:
            there = curve[curve.best >= base.best.iloc[-1] - 1e-12]
            text += f"; {'reaches' if len(there) else 'never reaches'} the final quality of {baseline}"
            if len(there):
                times = there.total_all.iloc[0] / base.total_all.iloc[-1]
                text += f" with {f'{times:.1f} times' if times >= 2 else f'{times:.0%} of'} its tokens"
        told.append(f"{text}.")
    n, most = int(table.n_problems.max()), table.budget.max()
    head = f"{table.task.iloc[0]}, what a problem costs in all at the largest budget ({most:,} tokens of reasoning):"
    return "\n".join([head, *told, f"This describes these cells of {count(n, 'problem')}, without an interval."])


def read_gains(table: pd.DataFrame, *, axis: str = "total_all", baseline: str = "base") -> str:
    """What each method has above the baseline at equal tokens, at the largest budget where that is known (of
    `studies.equal_cost.gains`; `axis` names the account). It is described, not judged: the maximum is optimistic."""
    told = []
    for (task, method), part in table[table.axis == axis].groupby(["task", "method"], sort=False):
        known = part.dropna(subset=["points", "low", "high"])
        if known.empty:
            ends = {"beyond": f"smallest budget costs more than {baseline}'s largest"}
            ends["below"] = f"largest budget costs less than {baseline}'s smallest"
            even, why = ends.get("".join(part.outside.unique())), f"at no cost are both it and {baseline} known"
            why = f"their costs never overlap: even its {even}" if even else why
            told.append(f"{method} on {task}: {why}.")
            continue
        row = known.iloc[-1]
        sides = "more" if row.low > 0 else "less" if row.high < 0 else "undecided"
        # Resamples without spread find nothing, and those of few problems find too much.
        side = "" if row.low == row.high or few(int(row.n_problems)) else f" ({sides})"
        span = spoken(row.points, row.low, row.high)
        told.append(f"{method} on {task}: {span} points of 100 at {row.tokens:,.0f} tokens{side}.")
    if not told:
        return f"Nothing can be set beside {baseline} at equal tokens."
    end = "This is described; the difference in index is what is judged." + few(int(table.n_problems.min()))
    return "\n".join([f"Against {baseline} at equal tokens, by the best so far:", *told, end])
