"""How do a study's variance, power and cost look? Functions that draw; what they draw is computed in `stats`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from anytime_lib.plots.curves import NAMES
from anytime_lib.studies.variance import VarianceSplit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_power(table: pd.DataFrame, *, title: str, ax: Axes | None = None) -> Axes:
    """Power against the number of problems, one line for each number of samples (rows of `power_table`).

    The band is the 95 % interval of the simulation; the dotted line is the usual .8.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(6.8, 4.2), layout="constrained")[1]
    for (samples, part), colour in zip(table.groupby("n_samples"), sns.color_palette("colorblind"), strict=False):
        half = 1.96 * part.standard_error
        ax.plot(part.n_problems, part.power, marker="o", color=colour, label=f"{samples} per problem")
        ax.fill_between(part.n_problems, part.power - half, part.power + half, color=colour, alpha=0.18, linewidth=0)
    ax.axhline(0.8, color="0.5", linestyle=":", linewidth=1)
    ax.set_xscale("log", base=2)
    sizes = sorted(table.n_problems.unique())
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("problems under test (log scale)")
    ax.set_ylabel("share of studies that find it")
    first = table.iloc[0]
    ax.set_title(f"{title}\nhow often a difference of {first.effect:g} is found: paired t test, two-sided "
                 f"{first.alpha:g}, {first.n_simulations:,.0f} simulated studies a point", fontsize=10)  # fmt: skip
    ax.legend(title="samples", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(ax=ax)
    return ax


def plot_variance(splits: Sequence[tuple[str, VarianceSplit]], *, title: str, ax: Axes | None = None) -> Axes:
    """Where the variance of the mean lies: a bar for each (task, split), stacked by level, as shares."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(7.2, 1.4 + 0.5 * len(splits)), layout="constrained")[1]
    tables = [split.to_frame() for _, split in splits]
    left = np.zeros(len(splits))
    for i, (level, colour) in enumerate(zip(tables[0].level, sns.color_palette("colorblind"), strict=False)):
        shares = np.nan_to_num([t.of_the_mean.iloc[i] for t in tables])
        if shares.any():
            ax.barh(range(len(splits)), shares, left=left, color=colour, label=f"between {level}")
        left += shares
    labels = [f"{NAMES.get(task, task)}\n{s.what}, n = {s.n_problems} x {s.n_samples}" for task, s in splits]
    ax.set_yticks(range(len(splits)), labels)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the variance of the mean")
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(ax=ax)
    return ax


def plot_detectable(table: pd.DataFrame, *, title: str, ax: Axes | None = None) -> Axes:
    """The smallest difference found against what it costs, one line for each number of samples (rows of
    `design_table`); in dollars where a price is known that is above zero, else in output tokens."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(6.8, 4.2), layout="constrained")[1]
    unit = "dollars" if (table.dollars > 0).all() else "tokens"
    for (samples, part), colour in zip(table.groupby("n_samples"), sns.color_palette("colorblind"), strict=False):
        ax.plot(part[unit], part.detectable, marker="o", color=colour, label=f"{samples} per problem")
        for row in part.iloc[[0, -1]].itertuples():
            ax.annotate(f"n = {row.n_problems}", (getattr(row, unit), row.detectable), fontsize=7, color=colour,
                        xytext=(3, 4), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel(f"{'dollars for output tokens' if unit == 'dollars' else 'output tokens, all arms'} (log scale)")
    ax.set_ylabel("smallest difference found (index, 0 to 1)")
    sizes = f"{table.n_problems.min()} to {table.n_problems.max()} problems"
    ax.set_title(f"{title}\nsmallest true difference found with power .8, two-sided .05, {sizes}", fontsize=10)
    ax.legend(title="samples", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(ax=ax)
    return ax
