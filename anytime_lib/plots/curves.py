"""How do the curves look? Functions that draw; what they draw is computed in `index` and `stats`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from anytime_lib.index import Order, mean_curve, quality_array
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.estimate import band
from anytime_lib.stats.family import Family

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUALITY = {
    "natural_plan_trip": "mean share of constraints satisfied",
    "aime": "share of answers right",
    "gpqa": "share of answers right",
}
NAMES = {
    "natural_plan_trip": "NaturalPlan-style trips",
    "aime": "integer-answer mathematics",
    "gpqa": "science questions",
}


def _size(cells: pd.DataFrame) -> str:
    return f"n = {cells.problem_id.nunique()} problems x {cells['sample'].nunique()} samples"


def plot_curves(
    cells: pd.DataFrame,
    *,
    order: Order = "pooled",
    n_resamples: int = 2_000,
    seed: int = 0,
    confidence_level: float = 0.95,
    chance: float | None = None,
    simultaneous: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Quality against budget for every method in the cells of one (run, model, task), with bootstrap bands.

    Args:
        cells: the tidy table, one run, model and task.
        order: the level of the running maximum, named in the title; `raw` takes none. Otherwise the mean before the
            maximum is drawn too, dotted: where it falls, further reasoning made answers worse.
        chance: draw a line at what guessing reaches.
        simultaneous: draw the limits that hold the whole curve at once too, dashed.
        ax: where to draw; a new figure by default.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(7.2, 4.4), layout="constrained")[1]
    colours = sns.color_palette("colorblind")
    task, model = cells.task.iloc[0], cells.model.iloc[0]
    for i, (method, arm) in enumerate(cells.groupby("method", sort=False)):
        curve = band(arm, order=order, n_resamples=n_resamples, seed=seed, confidence_level=confidence_level)
        colour = colours[i % len(colours)]
        ax.plot(curve.budget, curve.quality, marker="o", color=colour, label=str(method))
        ax.fill_between(curve.budget, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        if simultaneous:
            for end in (curve.low_all, curve.high_all):
                ax.plot(curve.budget, end, color=colour, linewidth=0.8, linestyle="--")
        if order != "raw":
            raw = mean_curve(quality_array(arm)[0], "raw")
            ax.plot(curve.budget, raw, marker="x", linestyle=":", linewidth=1, color=colour)
    if order != "raw":
        ax.plot([], [], marker="x", linestyle=":", linewidth=1, color="0.4", label="before the maximum")
    if simultaneous:
        ax.plot([], [], linestyle="--", linewidth=0.8, color="0.4", label="whole curve at once")
    if chance is not None:
        ax.axhline(chance, color="0.5", linestyle=":", linewidth=1, label="guessing")
    best = "mean, no maximum" if order == "raw" else f"best so far ({order})"
    ax.set_title(
        f"Quality at each budget: {NAMES.get(task, task)}\n{model}\n"
        f"{best}, {confidence_level:.0%} bootstrap bands, {_size(cells)}",
        fontsize=10,
    )
    _finish(ax, cells)
    return ax


def plot_trace(cells: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The scores of one trace's forced answers against budget, and their running maximum."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(6.4, 3.6), layout="constrained")[1]
    ax.step(cells.budget, cells.score.cummax(), where="post", color="0.6", label="best so far")
    ax.plot(cells.budget, cells.score, marker="o", color=sns.color_palette("colorblind")[0], label="answer forced here")
    first = cells.iloc[0]
    ax.set_title(f"One trace, stopped at each budget: {first.problem_id}\n{first.model}, n = 1 trace", fontsize=10)
    _finish(ax, cells)
    return ax


def plot_differences(
    comparisons: Family | Mapping[tuple[str, str], Comparison], *, title: str, ax: Axes | None = None
) -> Axes:
    """A forest plot of paired differences, each with its interval; zero is no difference.

    Args:
        comparisons: a family, whose members that stand after Holm's adjustment are drawn filled, the others open; or
            (task, treatment) -> its comparison with the baseline, all filled.
        title: what is compared; confidence level and the unit are added to the axis.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    if isinstance(comparisons, Family):
        rows = [(m.task, c, p < comparisons.alpha) for (m, c), p in
                zip(comparisons.comparisons.items(), comparisons.pvalues, strict=True)]  # fmt: skip
    else:
        rows = [(task, c, True) for (task, _), c in comparisons.items()]
    ax = ax or plt.subplots(figsize=(7.0, 1.6 + 0.5 * len(rows)), layout="constrained")[1]
    for i, (_, c, filled) in enumerate(rows):
        low, high = c.confidence_interval()
        ax.plot([low, high], [i, i], color="black", linewidth=1.5)
        ax.plot([c.statistic], [i], marker="o", color="black", markerfacecolor="black" if filled else "white")
    ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
    labels = [f"{NAMES.get(task, task)}\n{c.treatment} - {c.baseline}, n = {c.n_problems} x {c.n_samples}"
              for task, c, _ in rows]  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.invert_yaxis()
    first = rows[0][1]
    ax.set_xlabel(f"difference in {first.of} ({first.confidence_level:.0%} paired bootstrap interval)")
    stands = "\nfilled: stands after Holm's adjustment" if isinstance(comparisons, Family) else ""
    ax.set_title(title + stands, fontsize=10)
    sns.despine(ax=ax)
    return ax


def plot_readings(verdicts: pd.DataFrame, *, title: str, ax: Axes | None = None) -> Axes:
    """A matrix of responses by extractors, coloured by verdict (of `audit.verdicts`).

    Args:
        verdicts: one row per response (the index), one column per extractor: right, invented, missed or wrong.
        title: what is shown; the number of responses is added.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    # Blue against reds: told apart without colour vision, and each cell bears its word.
    colours = {"right": "#9ecae1", "missed": "#fdd49e", "wrong": "#fc8d59", "invented": "#d7301f"}
    ax = ax or plt.subplots(figsize=(8.5, 1.2 + 0.28 * len(verdicts)), layout="constrained")[1]
    codes = verdicts.apply(lambda column: column.map(list(colours).index))
    ax.imshow(codes, aspect="auto", cmap=ListedColormap(list(colours.values())), vmin=-0.5, vmax=3.5)
    # As ASCII, since not every font has every script, and "$" not as mathematics.
    labels = [text.encode("ascii", "backslashreplace").decode().replace("$", r"\$") for text in verdicts.index]
    ax.set_yticks(range(len(labels)), [t if len(t) <= 58 else t[:57] + "..." for t in labels], fontsize=8)
    ax.set_xticks(range(verdicts.shape[1]), list(verdicts.columns))
    for (i, j), word in np.ndenumerate(verdicts.to_numpy()):
        ax.text(j, i, word, ha="center", va="center", fontsize=7)
    ax.legend(handles=[Patch(color=c, label=w) for w, c in colours.items()], frameon=False, fontsize=8,
              loc="center left", bbox_to_anchor=(1, 0.5))  # fmt: skip
    ax.set_title(f"{title} (n = {len(verdicts)} responses)", fontsize=10)
    return ax


def _finish(ax: Axes, cells: pd.DataFrame) -> None:
    """Axes common to all curves: budgets on a log scale, quality from 0, a legend."""
    import seaborn as sns

    ax.set_xscale("log", base=2)
    ticks = sorted(cells.budget.unique())
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set_xlabel("reasoning budget (tokens of the serving model, log scale)")
    task = cells.task.iloc[0]
    ax.set_ylabel(QUALITY.get(task, "mean score"))
    ax.margins(y=0.1)
    ax.set_ylim(0, max(ax.get_ylim()[1], 0.2))  # a curve along the floor should look like one
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(ax=ax)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (150 dpi), making its folder; returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    return target
