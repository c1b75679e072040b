"""How far are arms apart, and where?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from anytime_lib.plots.style import BLUE, GREY, RED, colours_of, finish, panels, title_of
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.family import Family


def plot_differences(comparisons: Family | Mapping[tuple[str, str], Comparison], *, title: str) -> Figure:
    """A forest plot of paired differences, each with its interval; zero is no difference.

    Args:
        comparisons: a family, whose members that stand after Holm's adjustment are drawn filled, the others open; or
            (task, treatment) -> its comparison with the baseline, all filled.
    """
    if isinstance(comparisons, Family):
        rows = [(m.task, c, p < comparisons.alpha) for (m, c), p in
                zip(comparisons.comparisons.items(), comparisons.pvalues, strict=True)]  # fmt: skip
        title += "\nfilled: stands after Holm's adjustment"
    else:
        rows = [(task, c, True) for (task, _), c in comparisons.items()]
    figure, (ax,) = panels(height=0.6 + 0.5 * len(rows))
    for i, (_, c, filled) in enumerate(rows):
        low, high = c.confidence_interval()
        ax.plot([low, high], [i, i], color="black", linewidth=1.5)
        ax.plot([c.statistic], [i], marker="o", color="black", markerfacecolor="black" if filled else "white")
    ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
    labels = [f"{title_of(task)}\n{c.treatment} - {c.baseline}, n = {c.n_problems} x {c.n_samples}"
              for task, c, _ in rows]  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.3, -0.7)
    x = f"difference in Anytime Index ({rows[0][1].confidence_level:.0%} paired bootstrap interval)"
    return finish(figure, [ax], x=x, y="", title=title)


def plot_profiles(profile: pd.DataFrame, *, n_problems: int, title: str, baseline: str = "base") -> Figure:
    """Performance profiles (of `performance_profile`), one panel for each method, the baseline in grey."""
    parts = {str(m): part for m, part in profile.groupby("method", sort=False)}
    others = {m: part for m, part in parts.items() if m != baseline} or parts
    figure, axes = panels(len(others), width=3.6, height=2.7)
    colours = colours_of(parts)
    for ax, (method, part) in zip(axes, others.items(), strict=True):
        if baseline in parts and method != baseline:
            ax.step(parts[baseline].tau, parts[baseline].share, where="post", color=GREY, label=baseline)
        ax.step(part.tau, part.share, where="post", color=colours[method], label="the method")
        ax.fill_between(part.tau, part.low, part.high, step="post", color=colours[method], alpha=0.2, linewidth=0,
                        label="95% band")  # fmt: skip
        ax.set_ylim(0, 1.02)
        ax.set_title(method, fontsize=9)
    return finish(figure, axes, x="threshold of a trace's index (0 to 1)", y="share of traces above it",
                  title=f"{title}\n95% pointwise bands over n = {n_problems} problems")  # fmt: skip


def plot_variants(tables: Mapping[str, pd.DataFrame], *, title: str, margin: float | None = None) -> Figure:
    """The same difference read in every way: a panel for each heading and its rows of `difference_variants`; what
    counts as no difference (up to the margin) is shaded."""
    rows = list(dict.fromkeys(name for t in tables.values() for name in t.choice + ": " + t.variant))
    figure, axes = panels(len(tables), width=2.6, height=0.9 + 0.2 * len(rows), extra=2.2)
    for ax, (heading, table) in zip(axes, tables.items(), strict=True):
        names = (table.choice + ": " + table.variant).tolist()
        for name, middle, low, high in zip(names, table.difference, table.low, table.high, strict=True):
            y, colour = rows.index(name), RED if low > 0 or high < 0 else BLUE
            says = "interval excludes zero" if colour == RED else "interval holds zero"
            ax.plot([low, high], [y, y], color=colour, linewidth=1.3 if y else 2.5, solid_capstyle="butt", label=says)
            ax.plot([middle], [y], marker="o", markersize=4 if y else 5, color=colour)
        ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
        if margin is not None:
            says = f"within the margin of {margin:g}"
            ax.axvspan(-margin, margin, color="0.5", alpha=0.1, linewidth=0, label=says)
        ax.set_title(heading, fontsize=9)
        ax.set_yticks(range(len(rows)), rows, fontsize=8)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    return finish(figure, axes, x="difference in index (0 to 1)", y="", title=title)
