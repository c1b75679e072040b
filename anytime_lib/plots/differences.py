"""How far are arms apart, and where?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from anytime_lib.plots.style import BLUE, GREY, RED, TITLES, colours_of, finish, forest, panels
from anytime_lib.stats.family import Family


def plot_differences(family: Family, *, title: str) -> Figure:
    """A forest plot of a family's differences, each with its interval; filled if it stands after Holm's adjustment."""
    table = family.to_frame().rename(columns={"difference": "value"})
    names = [f"{TITLES.get(m.task, m.task)}\n{m.treatment} - {m.baseline}, n = {c.n_problems} x {c.n_samples}"
             for m, c in family.comparisons.items()]  # fmt: skip
    figure, (ax,) = panels(height=0.6 + 0.5 * len(table))
    forest(ax, table, names)
    ax.plot(table.value.mask(table.significant), range(len(table)), "o", color="white", markeredgecolor="black")
    ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
    level = next(iter(family.comparisons.values())).confidence_level
    x = f"difference in Anytime Index ({level:.0%} paired bootstrap interval)"
    return finish(figure, [ax], x=x, y="", title=f"{title}\nfilled: stands after Holm's adjustment")


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
        ax.fill_between(part.tau, part.low, part.high, step="post", color=colours[method], alpha=0.2, linewidth=0)
        ax.set_ylim(0, 1.02)
        ax.set_title(method, fontsize=9)
    title += f"\n95% pointwise bands over n = {n_problems} problems"
    return finish(figure, axes, x="threshold of a trace's index (0 to 1)", y="share of traces above it", title=title)


def plot_variants(tables: Mapping[str, pd.DataFrame], *, title: str, margin: float) -> Figure:
    """The same difference read in every way: a panel for each heading and its rows of `difference_variants`, with what
    counts as no difference (up to the margin) shaded."""
    rows = list(dict.fromkeys(name for t in tables.values() for name in t.choice + ": " + t.variant))
    figure, axes = panels(len(tables), width=2.6, height=0.9 + 0.2 * len(rows), extra=2.2)
    for ax, (heading, table) in zip(axes, tables.items(), strict=True):
        shown = (
            table.rename(columns={"difference": "value"}).set_index(table.choice + ": " + table.variant).reindex(rows)
        )
        excludes = (shown.low > 0) | (shown.high < 0)
        forest(ax, shown.mask(excludes), rows, BLUE, "interval holds zero")
        forest(ax, shown.where(excludes), rows, RED, "interval excludes zero")
        ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
        ax.axvspan(-margin, margin, color="0.5", alpha=0.1, linewidth=0, label=f"within the margin of {margin:g}")
        ax.set_title(heading, fontsize=9)
    return finish(figure, axes, x="difference in index (0 to 1)", y="", title=title)
