"""In which one style is every figure drawn? Colours, panels, axes, lines, intervals, and how a figure is written."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY, BLUE, RED = "0.55", "#0173b2", "#d55e00"
X, Y = "reasoning budget (tokens, log scale)", "mean score (0 to 1)"
THIN: dict[str, Any] = {"color": "0.5", "linestyle": ":", "linewidth": 1.0}
USUAL = ("base", "pdp", "pdp_plus", "leap", "few_shot", "self_consistency", "tree_of_thoughts", "budget_prompt")


def colours_of(methods: Iterable[str]) -> dict[str, Any]:
    """A colour for each method: the same in every figure for the usual ones, then in the order of their names."""
    names = [*USUAL, *sorted(set(methods) - set(USUAL))]
    palette = sns.color_palette("colorblind")
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


def size_of(cells: pd.DataFrame) -> str:
    """How many problems and samples stand behind a figure."""
    return f"n = {cells.problem_id.nunique()} problems x {cells['sample'].nunique()} samples"


def panels(
    n: int = 1, *, width: float = 7.2, height: float = 4.0, extra: float = 0.0, share: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of n panels in rows of three, which share their axes. Sizes in inches, of one panel."""
    columns, rows = min(n, 3), -(-n // 3)
    figure = plt.figure(figsize=(max(5.2, width * columns + extra), height * rows + 1.2), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).ravel())
    for i, ax in enumerate(grid):  # the lowest of each column has the ticks, whatever is below it
        ax.tick_params(labelbottom=not share or i + columns >= n)
        ax.axison = i < n
    return figure, grid[:n]


def budget_axis(ax: Axes, budgets: Iterable[int]) -> None:
    """Budgets (or other sizes) on a log scale, at most six of them named."""
    ticks = sorted(budgets)
    shown = ticks[:: -(-len(ticks) // 6)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(shown, [str(t) for t in shown])
    ax.minorticks_off()


def lines(
    ax: Axes, table: pd.DataFrame, by: str, *, x: str, y: str, label: str = "{}", colours: dict[Any, Any] | None = None
) -> None:
    """A line of y against x for each value of the column `by`, with a band where the table has `low` and `high`."""
    colours = colours or dict(zip(table[by].unique(), sns.color_palette("colorblind"), strict=False))
    for value, part in table.groupby(by, sort=False):
        ax.plot(part[x], part[y], marker="o", markersize=4, color=colours[value], label=label.format(value))
        if "low" in part:
            ax.fill_between(part[x], part.low, part.high, color=colours[value], alpha=0.2, linewidth=0)


def forest(ax: Axes, table: pd.DataFrame, names: Sequence[str], colour: str = "black", label: str = "") -> None:
    """Rows of points with their intervals (columns value, low, high), the first on top, and a name for each."""
    rows = range(len(table))
    ax.hlines(rows, table.low, table.high, color=colour, linewidth=1.5)
    ax.plot(table.value, rows, "o", color=colour, markersize=5, label=label or None)
    ax.set_yticks(rows, names, fontsize=8)
    ax.set_ylim(len(table) - 0.3, -0.7)


def finish(figure: Figure, axes: Sequence[Axes], *, x: str, y: str, title: str) -> Figure:
    """One legend under the panels, a label for each axis, one title; returns the figure."""
    named: dict[str, Any] = {}
    for ax in axes:
        sns.despine(ax=ax)
        handles, labels = ax.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    for ax in axes[-3:]:  # a label of the figure would lie under the legend
        ax.set_xlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=10)
    figure.suptitle(title, fontsize=10)
    if named:
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": min(len(named), 3)}
        figure.legend(named.values(), named.keys(), frameon=False, fontsize=8, **where)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG (150 dpi), making its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
