"""How does quality grow with the budget, and with the cost, and in how many traces?"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from anytime_lib.index import mean_curve, quality_array
from anytime_lib.plots.style import BLUE, GREY, budget_axis, colours_of, finish, lines, panels, size_of
from anytime_lib.stats.estimate import band

X, Y = "reasoning budget (tokens, log scale)", "mean score (0 to 1)"


def plot_curves(
    cells: pd.DataFrame, *, baseline: str = "base", chance: float | None = None, apart: bool = False,
    simultaneous: bool = False, confidence_level: float = 0.95, **settings: Any,
) -> Figure:  # fmt: skip
    """Quality against budget for every method of one (run, model, task): the best so far of the mean, with bootstrap
    bands, and the mean before the maximum, dotted.

    Args:
        baseline: drawn in grey in every panel where each method stands `apart` in its own.
        chance: what guessing reaches, a line.
        simultaneous: draw the limits that hold the whole curve at once too, dashed.
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
        for end, says in ((curve.low_all, "whole curve at once"), (curve.high_all, None)) if simultaneous else ():
            ax.plot(curve.budget, end, color=colour, linewidth=0.8, linestyle="--", label=says)
        raw = mean_curve(quality_array(arms[method])[0], "raw")
        ax.plot(curve.budget, raw, "x:", markersize=4, linewidth=1, color=colour, label="before the maximum")
        budget_axis(ax, curve.budget)
    for ax in axes:
        if chance is not None:
            ax.axhline(chance, color="0.5", linestyle=":", linewidth=1, label="guessing")
    axes[0].set_ylim(0, 1.08 * max(0.2, *(float(curve.high.max()) for curve in curves.values())))
    title = (f"Quality at each budget: {cells.task.iloc[0]}\n{cells.model.iloc[0]}\nbest so far (pooled), "
             f"{confidence_level:.0%} bootstrap bands over problems, {size_of(cells)}")  # fmt: skip
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
    title = (f"What quality costs: {table.task.iloc[0]}\nall tokens, preparation shared by this run's problems; "
             f"best so far (pooled), n = {table.n_problems.iloc[0]} problems")  # fmt: skip
    return finish(figure, [ax], x="tokens per problem (log scale)", y=Y, title=title)


def plot_profiles(profile: pd.DataFrame, *, n_problems: int, title: str, baseline: str = "base") -> Figure:
    """Performance profiles (of `performance_profile`), one panel for each method, the baseline in grey."""
    parts = {str(m): part for m, part in profile.groupby("method", sort=False)}
    others = {m: part for m, part in parts.items() if m != baseline} or parts
    figure, axes = panels(len(others), width=3.6, height=2.7)
    for ax, (method, part) in zip(axes, others.items(), strict=True):
        colour = colours_of(parts)[method]
        if baseline in parts and method != baseline:
            ax.step(parts[baseline].tau, parts[baseline].share, where="post", color=GREY, label=baseline)
        ax.step(part.tau, part.share, where="post", color=colour, label="the method")
        ax.fill_between(part.tau, part.low, part.high, step="post", color=colour, alpha=0.2, linewidth=0)
        ax.set_ylim(0, 1.02)
        ax.set_title(method, fontsize=9)
    title += f"\n95% pointwise bands over n = {n_problems} problems"
    return finish(figure, axes, x="threshold of a trace's index (0 to 1)", y="share of traces above it", title=title)
