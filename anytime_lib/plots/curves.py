"""How does quality grow with the budget, and with the cost?"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from anytime_lib.index import Order, mean_curve, quality_array
from anytime_lib.plots.style import GREY, QUALITY, TITLES, budget_axis, colours_of, finish, lines, panels, size_of
from anytime_lib.stats.estimate import band

X = "reasoning budget (tokens, log scale)"


def plot_curves(
    cells: pd.DataFrame, *, baseline: str = "base", order: Order = "pooled", confidence_level: float = 0.95,
    chance: float | None = None, apart: bool = False, simultaneous: bool = False, **settings: Any,
) -> Figure:  # fmt: skip
    """Quality against budget for every method of one (run, model, task), with bootstrap bands.

    Args:
        baseline: where methods stand apart, drawn in grey in every panel.
        order: the level of the running maximum. Unless it is `raw`, the mean before the maximum is drawn too, dotted.
        chance: draw a line at what guessing reaches.
        apart: a panel for each method.
        simultaneous: draw the limits that hold the whole curve at once too, dashed.
        settings: of `band`: n_resamples, seed.
    """
    arms = {str(method): arm for method, arm in cells.groupby("method", sort=False)}
    curves = {m: band(arm, order=order, confidence_level=confidence_level, **settings) for m, arm in arms.items()}
    figure, axes = panels(len(arms), width=3.6, height=2.8) if apart else panels()
    colours = colours_of(arms)
    for i, (method, curve) in enumerate(curves.items()):
        ax, colour = axes[i if apart else 0], colours[method]
        if apart:
            ax.set_title(f"{method}, {size_of(arms[method])}", fontsize=8)
            if baseline in curves and method != baseline:
                ax.plot(curves[baseline].budget, curves[baseline].quality, color=GREY, linewidth=1.5, label=baseline)
        label = "the method" if apart else method
        lines(ax, curve.assign(label=label), "label", x="budget", y="quality", colours={label: colour})
        for end, says in ((curve.low_all, "whole curve at once"), (curve.high_all, None)) if simultaneous else ():
            ax.plot(curve.budget, end, color=colour, linewidth=0.8, linestyle="--", label=says)
        if order != "raw":
            raw = mean_curve(quality_array(arms[method])[0], "raw")
            ax.plot(curve.budget, raw, "x:", markersize=4, linewidth=1, color=colour, label="before the maximum")
        budget_axis(ax, curve.budget)
    if chance is not None:
        for ax in axes:
            ax.axhline(chance, color="0.5", linestyle=":", linewidth=1, label="guessing")
    top = max(float(curve[["quality", "high"]].max().max()) for curve in curves.values())
    axes[0].set_ylim(0, max(0.2, 1.08 * top))  # a curve along the floor should look like one
    task, best = str(cells.task.iloc[0]), "mean, no maximum" if order == "raw" else f"best so far ({order})"
    title = (f"Quality at each budget: {TITLES.get(task, task)}\n{cells.model.iloc[0]}\n{best}, {confidence_level:.0%} "
             f"bootstrap bands over problems, {size_of(cells)}")  # fmt: skip
    return finish(figure, axes, x=X, y=QUALITY.get(task, "mean score"), title=title)


def plot_trace(cells: pd.DataFrame) -> Figure:
    """The scores of one trace's forced answers against budget, and their running maximum."""
    figure, (ax,) = panels(width=6.4, height=3.0)
    ax.step(cells.budget, cells.score.cummax(), where="post", color="0.6", label="best so far")
    ax.plot(cells.budget, cells.score, marker="o", color=colours_of(())["base"], label="answer forced here")
    budget_axis(ax, cells.budget)
    ax.set_ylim(0, max(0.2, 1.08 * float(cells.score.max())))
    first = cells.iloc[0]
    title = f"One trace, stopped at each budget: {first.problem_id}\n{first.model}, n = 1 trace"
    return finish(figure, [ax], x=X, y=QUALITY.get(first.task, "mean score"), title=title)


def plot_accounts(table: pd.DataFrame, *, says: str, axis: str = "total_all") -> Figure:
    """Quality (best so far) against all tokens of a problem, a line per method of one task (of `accounts`), along a key
    of `studies.equal_cost.AXES`, whose value there `says` what is equal on it."""
    figure, (ax,) = panels(height=4.4)
    lines(ax, table, "method", x=axis, y="best", colours=colours_of(table.method))
    ax.set_xscale("log")
    ax.set_ylim(0, max(0.2, 1.08 * float(table.best.max())))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8, rotation=30)
    task = str(table.task.iloc[0])
    title = (f"What quality costs: {TITLES.get(task, task)}\n{says}; best so far (pooled), "
             f"n = {int(table.n_problems.iloc[0])} problems")  # fmt: skip
    return finish(figure, [ax], x="tokens per problem (log scale)", y=QUALITY.get(task, "mean score"), title=title)
