"""What do the curves, costs and differences of a run look like? Functions of tables that return a figure."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from anytime_lib.index import mean_curve, quality_array
from anytime_lib.plots.style import (
    BLUE,
    GREY,
    THIN,
    X,
    Y,
    budget_axis,
    colours_of,
    finish,
    forest,
    lines,
    panels,
    size_of,
)
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
    """Quality against budget for every method of one (run, model, task): the best so far of the mean, with bootstrap
    bands, and the mean before the maximum, dotted.

    Args:
        baseline: drawn in grey in every panel where each method stands `apart` in its own.
        chance: what guessing reaches, a line.
        settings: of `band`: n_resamples, seed.
    """
    arms = {str(method): arm for method, arm in cells.groupby("method", sort=False)}
    curves = {m: band(arm, confidence_level=confidence_level, **settings) for m, arm in arms.items()}
    figure, axes = panels(len(arms), width=3.6, height=2.8) if apart else panels()
    for i, (method, curve) in enumerate(curves.items()):
        ax, colour, label = axes[i if apart else 0], colours_of(arms)[method], "the method" if apart else method
        if apart:
            ax.set_title(f"{method}, {size_of(arms[method])}", fontsize=8)
            if baseline in curves and method != baseline:
                ax.plot(curves[baseline].budget, curves[baseline].quality, color=GREY, linewidth=1.5, label=baseline)
        lines(ax, curve.assign(label=label), "label", x="budget", y="quality", colours={label: colour})
        raw = mean_curve(quality_array(arms[method])[0], "raw")
        ax.plot(curve.budget, raw, "x:", markersize=4, linewidth=1, color=colour, label="before the maximum")
        budget_axis(ax, curve.budget)
    if chance is not None:
        for ax in axes:
            ax.axhline(chance, **THIN, label="guessing")
    axes[0].set_ylim(0, 1.08 * max(0.2, *(float(curve.high.max()) for curve in curves.values())))
    title = f"Quality at each budget: {cells.task.iloc[0]}\n{cells.model.iloc[0]}\nbest so far (pooled), "
    title += f"{confidence_level:.0%} bootstrap bands over problems, {size_of(cells)}"
    return finish(figure, axes, x=X, y=Y, title=title)


def plot_trace(cells: pd.DataFrame) -> Figure:
    """The scores of one trace's forced answers against budget, and their running maximum."""
    figure, (ax,) = panels(height=3.0)
    ax.step(cells.budget, cells.score.cummax(), where="post", color="0.6", label="best so far")
    ax.plot(cells.budget, cells.score, marker="o", color=BLUE, label="answer forced here")
    budget_axis(ax, cells.budget)
    ax.set_ylim(0, 1.08 * max(0.2, float(cells.score.max())))
    title = f"One trace, stopped at each budget: {cells.problem_id.iloc[0]}\n{cells.model.iloc[0]}, n = 1 trace"
    return finish(figure, [ax], x=X, y=Y, title=title)


def plot_accounts(table: pd.DataFrame) -> Figure:
    """Quality (best so far) against all tokens of a problem, its share of the run's preparation included, a line per
    method of one task (of `studies.equal_cost.accounts`)."""
    figure, (ax,) = panels()
    lines(ax, table, "method", x="total_all", y="best", colours=colours_of(table.method))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8, rotation=30)
    ax.set_ylim(0, 1.08 * max(0.2, float(table.best.max())))
    title = f"What quality costs: {table.task.iloc[0]}\nall tokens, preparation shared by this run's problems; "
    title += f"best so far (pooled), n = {table.n_problems.iloc[0]} problems"
    return finish(figure, [ax], x="tokens per problem (log scale)", y=Y, title=title)


def plot_differences(family: Family, *, title: str) -> Figure:
    """A forest plot of a family's differences, each with its interval; filled if it stands after Holm's adjustment."""
    table = family.to_frame().rename(columns={"difference": "value"})
    sizes = ", n = " + table.n_problems.astype(str) + " x " + table.n_samples.astype(str)
    figure, (ax,) = panels(height=0.6 + 0.5 * len(table))
    forest(ax, table, list(table.task + "\n" + table.treatment + " - " + table.baseline + sizes))
    ax.plot(table.value.mask(table.significant), range(len(table)), "o", color="white", markeredgecolor="black")
    ax.axvline(0, **THIN)
    judged = " or ".join(table.estimand[table.estimand != ""].unique()) or "what is judged"
    x = f"difference in {judged} ({1 - family.alpha:.0%} interval over problems)"
    return finish(figure, [ax], x=x, y="", title=f"{title}\nfilled: stands after Holm's adjustment")
