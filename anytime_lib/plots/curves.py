"""What do the curves, costs and differences of a run look like? Functions of tables that return a figure."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from anytime_lib.index import mean_curve, quality_array
from anytime_lib.plots import style
from anytime_lib.plots.style import THIN, finish, lines, looks_of, nothing, panels, size, size_of, wrapped
from anytime_lib.stats.estimate import band
from anytime_lib.stats.family import Family


def plot_curves(
    cells: pd.DataFrame,
    *,
    baseline: str = "base",
    chance: float | None = None,
    apart: bool = False,
    confidence_level: float = 0.95,
    **settings: Any,
) -> Figure:
    """Quality against budget for every method of one (run, model, task): the best so far of the mean, with bands, and
    the mean before the maximum, dotted.

    Args:
        baseline: drawn in every panel where each method stands `apart` in its own.
        chance: what guessing reaches, a line.
        settings: of `band`: n_resamples, seed.
    """
    graded = cells[cells.score.notna()]
    if graded.empty:
        return nothing("There is no curve to draw: no cell was graded.")
    arms = {str(m): arm for m, arm in cells.groupby("method", sort=False) if arm.score.notna().any()}
    curves = {m: band(arm, confidence_level=confidence_level, **settings) for m, arm in arms.items()}
    figure, axes = panels(len(arms), width=3.6, height=2.8) if apart else panels()
    looks, dotted = looks_of(arms), style.DOTTED
    for i, (method, curve) in enumerate(curves.items()):
        ax = axes[i if apart else 0]
        if apart:
            ax.set_title(wrapped(f"{method}, {size_of(arms[method])}", 3.2, 8), fontsize=8)
            if baseline in curves and method != baseline:
                beside = curves[baseline]
                ax.plot(beside.budget, beside.quality, label=baseline, lw=1, ms=3, **looks[baseline])
        lines(ax, curve.assign(method=method), "method", x="budget", y="quality", looks=looks)
        raw = mean_curve(quality_array(arms[method])[0], "raw")
        ax.plot(curve.budget, raw, color=looks[method]["color"], **dotted)
        style.budget_axis(ax, curve.budget)
    axes[-1].plot([], [], color="0.4", **dotted, label="before the maximum")
    if chance is not None:
        for ax in axes:
            ax.axhline(chance, **THIN, label="guessing")
    axes[0].set_ylim(0, 1.08 * max(0.2, *(float(curve.high.max()) for curve in curves.values())))
    title = f"Quality at each budget: {cells.task.iloc[0]}\n{cells.model.iloc[0]}\nbest so far (pooled), "
    title += f"{_bands(curves.values(), confidence_level)}, {size_of(cells)}"
    return finish(figure, axes, x=style.X, y=style.Y, title=title)


def _bands(curves: Any, confidence_level: float) -> str:
    """What the bands are: where problems hardly differ they are Gaffke's bound, and no bootstrap."""
    bound = [bool(note) for curve in curves for note in curve.note]
    kind = "Gaffke's bound, for few problems" if all(bound) else "problems resampled"
    some = ", Gaffke's bound where too few differ" if any(bound) and not all(bound) else ""
    return f"{confidence_level:.0%} bands ({kind}{some})"


def plot_trace(cells: pd.DataFrame) -> Figure:
    """The scores of one trace's forced answers against budget, and their running maximum."""
    if cells.score.isna().all():
        return nothing("There is no trace to draw: none of its answers was graded.")
    figure, (ax,) = panels(height=3.0)
    ax.step(cells.budget, cells.score.cummax(), where="post", color="0.6", label="best so far")
    ax.plot(cells.budget, cells.score, marker="o", color=style.BLUE, label="answer forced here")
    style.budget_axis(ax, cells.budget)
    ax.set_ylim(0, 1.08 * max(0.2, float(cells.score.max())))
    title = f"One trace, stopped at each budget: {cells.problem_id.iloc[0]}\n{cells.model.iloc[0]}, one trace"
    return finish(figure, [ax], x=style.X, y="score (0 to 1)", title=title)


def plot_accounts(table: pd.DataFrame) -> Figure:
    """Quality (best so far) against all tokens of a problem, its share of the run's preparation included, a line per
    method of one task (of `studies.equal_cost.accounts`)."""
    table = table.dropna(subset=["best", "total_all"])
    if table.empty:
        return nothing("There are no costs to draw: no cell was graded.")
    figure, (ax,) = panels()
    lines(ax, table, "method", x="total_all", y="best", looks=looks_of(table.method))
    style.size_axis(ax)
    ax.set_ylim(0, 1.08 * max(0.2, float(table.best.max())))
    first = table.iloc[0]
    title = f"What quality costs: {first.task}\n{first.model}\nall tokens, preparation shared by this run's problems; "
    title += f"best so far (pooled), {size(first.n_problems, first.n_samples)}"
    return finish(figure, [ax], x="tokens per problem (log scale)", y=style.Y, title=title)


def plot_differences(family: Family, *, title: str) -> Figure:
    """A forest plot of a family's differences, each with its interval; filled if it stands after Holm's adjustment."""
    table = family.to_frame().rename(columns={"difference": "value"})
    if table.empty or table.value.isna().all():
        return nothing("There is no difference to draw: nothing could be compared.")
    sizes = [size(*row) for row in table[["n_problems", "n_samples"]].itertuples(index=False)]
    names = [wrapped(n, 2.6, 8) for n in table.task + "\n" + table.treatment + " - " + table.baseline + "\n" + sizes]
    tall = max(3, *(name.count("\n") + 1 for name in names))
    figure, (ax,) = panels(height=0.6 + 0.16 * tall * len(table))
    looks = looks_of(table.treatment)
    style.forest(ax, table, names, hollow=list(~table.significant), color=[looks[m]["color"] for m in table.treatment])
    ax.axvline(0, **THIN)
    judged = " or ".join(table.estimand[table.estimand != ""].unique())
    over = " or ".join(sorted({c.over for c in family.comparisons.values() if c.n_problems}))
    x = f"difference in {judged} ({1 - family.alpha:.0%} interval over {over})"
    models = "".join(f"\n{model}" for model in table.model.unique() if model not in title)
    return finish(figure, [ax], x=x, y="", title=f"{title}{models}\nfilled: stands after Holm's adjustment")
