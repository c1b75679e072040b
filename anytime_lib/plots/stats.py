"""How do the statistics of a run look? Functions that draw; what they draw is computed in `stats`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from anytime_lib.index import Order, mean_curve, quality_array
from anytime_lib.plots.curves import NAMES, QUALITY
from anytime_lib.stats import band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
"""Panels side by side at most."""
GREY, BLUE, RED = "0.55", "#0173b2", "#d55e00"


def plot_panels(
    cells: pd.DataFrame,
    *,
    baseline: str = "base",
    order: Order = "pooled",
    n_resamples: int = 2_000,
    seed: int = 0,
    confidence_level: float = 0.95,
) -> Figure:
    """One panel for each method of a task: its curve with pointwise and simultaneous bands, the baseline in grey.

    Args:
        cells: of one run, model and task.
        baseline: drawn in every panel, where it is there.
        order: level of the running maximum; the mean before it is dotted.
    """
    curves = {str(m): band(arm, order=order, n_resamples=n_resamples, seed=seed, confidence_level=confidence_level)
              for m, arm in cells.groupby("method", sort=False)}  # fmt: skip
    figure, panels = _panels(len(curves), width=3.6, height=2.9)
    for ax, (method, curve) in zip(panels, curves.items(), strict=True):
        raw = mean_curve(quality_array(cells[cells.method == method])[0], "raw")
        if baseline in curves and method != baseline:
            ax.plot(curves[baseline].budget, curves[baseline].quality, color=GREY, linewidth=1.5, label=baseline)
        ax.fill_between(curve.budget, curve.low, curve.high, color=BLUE, alpha=0.2, linewidth=0, label="pointwise")
        for end, label in ((curve.low_all, "whole curve at once"), (curve.high_all, None)):
            ax.plot(curve.budget, end, color=BLUE, linewidth=0.8, linestyle="--", label=label)
        ax.plot(curve.budget, curve.quality, marker="o", markersize=4, color=BLUE, label="best so far")
        ax.plot(curve.budget, raw, marker="x", markersize=4, linestyle=":", linewidth=1, color="black",
                label="before the maximum")  # fmt: skip
        _budgets(ax, curve.budget)
        arm = cells[cells.method == method]
        ax.set_title(f"{method}, n = {arm.problem_id.nunique()} x {arm['sample'].nunique()}", fontsize=9)
    top = max(0.2, *(float(np.nanmax([c.quality.max(), c.high_all.max(), 0])) for c in curves.values()))
    panels[0].set_ylim(0, min(1.02, 1.08 * top))
    task = str(cells.task.iloc[0])
    _finish(figure, panels, x="reasoning budget (tokens, log scale)", y=QUALITY.get(task, "mean score"),
            title=f"{NAMES.get(task, task)}: quality at each budget, maximum {order}\n{cells.model.iloc[0]}, "
                  f"{confidence_level:.0%} bootstrap bands over problems")  # fmt: skip
    return figure


def plot_profile_panels(profile: pd.DataFrame, *, n_problems: int, title: str, baseline: str = "base") -> Figure:
    """Performance profiles (of `performance_profile`), one panel for each method, the baseline in grey."""
    parts = {str(m): part for m, part in profile.groupby("method", sort=False)}
    others = {m: part for m, part in parts.items() if m != baseline} or parts
    figure, panels = _panels(len(others), width=3.6, height=2.7)
    for ax, (method, part) in zip(panels, others.items(), strict=True):
        if baseline in parts and method != baseline:
            ax.step(parts[baseline].tau, parts[baseline].share, where="post", color=GREY, label=baseline)
        ax.step(part.tau, part.share, where="post", color=BLUE, label="the method")
        ax.fill_between(
            part.tau, part.low, part.high, step="post", color=BLUE, alpha=0.2, linewidth=0, label="95% band"
        )
        ax.set_ylim(0, 1.02)
        ax.set_title(method, fontsize=9)
    _finish(figure, panels, x="threshold of a trace's index (0 to 1)", y="share of traces above it",
            title=f"{title}\n95% pointwise bands over n = {n_problems} problems")  # fmt: skip
    return figure


def plot_variants(tables: Mapping[str, pd.DataFrame], *, title: str, margin: float | None = None) -> Figure:
    """The same difference read in every way (of `difference_variants`): one panel for each comparison.

    Args:
        tables: heading of a panel -> its variants.
        margin: shade what counts as no difference.
    """
    rows = list(dict.fromkeys(name for t in tables.values() for name in t.choice + ": " + t.variant))
    figure, panels = _panels(len(tables), width=2.6, height=0.9 + 0.2 * len(rows), extra=2.2)
    for ax, (heading, table) in zip(panels, tables.items(), strict=True):
        names = (table.choice + ": " + table.variant).tolist()
        for name, middle, low, high in zip(names, table.difference, table.low, table.high, strict=True):
            y, colour = rows.index(name), RED if low > 0 or high < 0 else BLUE
            ax.plot([low, high], [y, y], color=colour, linewidth=1.3 if y else 2.5)
            ax.plot([middle], [y], marker="o", markersize=4 if y else 5, color=colour)
        ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
        if margin is not None:
            ax.axvspan(-margin, margin, color="0.5", alpha=0.1, linewidth=0)
        ax.set_title(heading, fontsize=9)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    panels[0].plot([], [], color=RED, label="interval excludes zero")
    panels[0].plot([], [], color=BLUE, label="interval holds zero")
    if margin is not None:
        panels[0].fill_between([], [], [], color="0.5", alpha=0.1, label=f"within the margin of {margin:g}")
    _finish(figure, panels, x="difference in index (0 to 1)", y="", title=title)
    return figure


def plot_bias(tables: Mapping[str, pd.DataFrame], *, along: str, x: str, title: str, log: bool = True) -> Figure:
    """The bias of every level of the maximum (of `maximum_bias`), one panel for each truth, on one scale.

    Args:
        tables: heading of a panel -> rows of `maximum_bias` at several values of a column.
        along: that column (`n_samples`, `n_budgets`).
        x: its axis' label.
    """
    import seaborn as sns

    figure, panels = _panels(len(tables), width=4.2, height=3.4)
    colours = sns.color_palette("colorblind")
    for ax, (heading, table) in zip(panels, tables.items(), strict=True):
        for colour, (order, part) in zip(colours, table.groupby("order", sort=False), strict=False):
            ax.plot(part[along], part.bias, marker="o", markersize=4, color=colour, label=str(order))
            ax.fill_between(part[along], part.low, part.high, color=colour, alpha=0.25, linewidth=0)
        ax.axhline(0, color="0.5", linestyle=":", linewidth=1)
        if log:
            ax.set_xscale("log", base=2)
        ticks = sorted(table[along].unique())
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.set_title(heading, fontsize=9)
    first = next(iter(tables.values())).iloc[0]
    _finish(figure, panels, x=x, y="index read less the true one (0 to 1)",
            title=f"{title}\nbands: 95% over {first.n_repetitions:,} experiments of "
                  f"{first.n_problems} problems each")  # fmt: skip
    return figure


def plot_rates(table: pd.DataFrame, *, title: str, promised: Mapping[str, tuple[float, float]]) -> Figure:
    """Measured rates of the full study (of `proven_rates`) against what is promised of them.

    Args:
        table: one row per setting: n, K, shape and a column for each rate.
        promised: column -> lowest and highest share allowed, shaded.
    """
    figure, panels = _panels(
        len(promised), width=3.6, height=0.8 + 0.16 * len(table), extra=1.0, columns=2, share=False
    )
    labels = [f"n={r.n} K={r.K} {r.shape}" for r in table[["n", "K", "shape"]].itertuples(index=False)]
    for ax, (column, (low, high)) in zip(panels, promised.items(), strict=True):
        share, error = table[column], 1.96 * np.sqrt(table[column] * (1 - table[column]) / table.repetitions)
        ax.axvspan(low, high, color="0.5", alpha=0.15, linewidth=0, label="promised")
        ax.errorbar(share, range(len(table)), xerr=error, fmt="o", markersize=4, color=BLUE, linewidth=1,
                    label="measured, 95% interval")  # fmt: skip
        ax.set_yticks(range(len(labels)), labels if ax in panels[::2] else [""] * len(labels), fontsize=7)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_title(column, fontsize=9)
    _finish(figure, panels, x="share of experiments", y="", title=title)
    return figure


def _panels(
    n: int, *, width: float, height: float, extra: float = 0.0, columns: int = COLUMNS, share: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of n panels in rows of so many columns, which share their axes."""
    import matplotlib.pyplot as plt

    columns = min(n, columns)
    rows = -(-n // columns)
    size = (max(5.2, width * columns + extra), height * rows + 1.2)
    figure, grid = plt.subplots(rows, columns, figsize=size, sharex=share, sharey=share, squeeze=False,
                                layout="constrained")  # fmt: skip
    panels = list(grid.ravel())
    for ax in panels[n:]:
        ax.set_axis_off()
    for i, ax in enumerate(panels[:n]):  # the lowest of each column has the ticks, whatever is below it
        ax.tick_params(labelbottom=not share or i + columns >= n)
    return figure, panels[:n]


def _budgets(ax: Axes, budgets: Any) -> None:
    ax.set_xscale("log", base=2)
    ticks = list(budgets)
    shown = ticks if len(ticks) <= 6 else ticks[:: -(-len(ticks) // 6)]
    ax.set_xticks(shown, [str(t) for t in shown])
    ax.minorticks_off()


def _finish(figure: Figure, panels: Sequence[Axes], *, x: str, y: str, title: str) -> None:
    """One legend under the panels, one label for each axis, one title."""
    import seaborn as sns

    named: dict[str, Any] = {}
    for ax in panels:
        sns.despine(ax=ax)
        handles, labels = ax.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    for ax in panels[-min(len(panels), COLUMNS) :]:  # a label of the figure would lie under the legend
        ax.set_xlabel(x, fontsize=9)
    if y:
        figure.supylabel(y, fontsize=10)
    figure.suptitle(title, fontsize=10)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 3), frameon=False,
                  fontsize=8)  # fmt: skip
