"""What do curves, costs, differences and studies look like? Functions of tables that return a matplotlib figure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from anytime_lib.index import mean_curve, quality_array
from anytime_lib.stats.estimate import band
from anytime_lib.stats.family import Family

GREY, BLUE, RED = "0.55", "#0173b2", "#d55e00"
X, Y = "reasoning budget (tokens, log scale)", "mean score (0 to 1)"
_LINE: dict[str, Any] = {"color": "0.5", "linestyle": ":", "linewidth": 1.0}
_USUAL = ("base", "pdp", "pdp_plus", "leap", "few_shot", "self_consistency", "tree_of_thoughts", "budget_prompt")


def _colours_of(methods: Iterable[str]) -> dict[str, Any]:
    """A colour for each method: the same in every figure for the usual ones, then in the order of their names."""
    names = [*_USUAL, *sorted(set(methods) - set(_USUAL))]
    palette = sns.color_palette("colorblind")
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


def _size_of(cells: pd.DataFrame) -> str:
    """How many problems and samples stand behind a figure."""
    return f"n = {cells.problem_id.nunique()} problems x {cells['sample'].nunique()} samples"


def _panels(
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


def _budget_axis(ax: Axes, budgets: Iterable[int]) -> None:
    """Budgets (or other sizes) on a log scale, at most six of them named."""
    ticks = sorted(budgets)
    shown = ticks[:: -(-len(ticks) // 6)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(shown, [str(t) for t in shown])
    ax.minorticks_off()


def _lines(
    ax: Axes, table: pd.DataFrame, by: str, *, x: str, y: str, label: str = "{}", colours: dict[Any, Any] | None = None
) -> None:
    """A line of y against x for each value of the column `by`, with a band where the table has `low` and `high`."""
    colours = colours or dict(zip(table[by].unique(), sns.color_palette("colorblind"), strict=False))
    for value, part in table.groupby(by, sort=False):
        ax.plot(part[x], part[y], marker="o", markersize=4, color=colours[value], label=label.format(value))
        if "low" in part:
            ax.fill_between(part[x], part.low, part.high, color=colours[value], alpha=0.2, linewidth=0)


def _forest(ax: Axes, table: pd.DataFrame, names: Sequence[str], colour: str = "black", label: str = "") -> None:
    """Rows of points with their intervals (columns value, low, high), the first on top, and a name for each."""
    rows = range(len(table))
    ax.hlines(rows, table.low, table.high, color=colour, linewidth=1.5)
    ax.plot(table.value, rows, "o", color=colour, markersize=5, label=label or None)
    ax.set_yticks(rows, names, fontsize=8)
    ax.set_ylim(len(table) - 0.3, -0.7)


def _finish(figure: Figure, axes: Sequence[Axes], *, x: str, y: str, title: str) -> Figure:
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
    figure, axes = _panels(len(arms), width=3.6, height=2.8) if apart else _panels()
    for i, (method, curve) in enumerate(curves.items()):
        ax, colour, label = axes[i if apart else 0], _colours_of(arms)[method], "the method" if apart else method
        if apart:
            ax.set_title(f"{method}, {_size_of(arms[method])}", fontsize=8)
            if baseline in curves and method != baseline:
                ax.plot(curves[baseline].budget, curves[baseline].quality, color=GREY, linewidth=1.5, label=baseline)
        _lines(ax, curve.assign(label=label), "label", x="budget", y="quality", colours={label: colour})
        raw = mean_curve(quality_array(arms[method])[0], "raw")
        ax.plot(curve.budget, raw, "x:", markersize=4, linewidth=1, color=colour, label="before the maximum")
        _budget_axis(ax, curve.budget)
    if chance is not None:
        for ax in axes:
            ax.axhline(chance, **_LINE, label="guessing")
    axes[0].set_ylim(0, 1.08 * max(0.2, *(float(curve.high.max()) for curve in curves.values())))
    title = f"Quality at each budget: {cells.task.iloc[0]}\n{cells.model.iloc[0]}\nbest so far (pooled), "
    title += f"{confidence_level:.0%} bootstrap bands over problems, {_size_of(cells)}"
    return _finish(figure, axes, x=X, y=Y, title=title)


def plot_trace(cells: pd.DataFrame) -> Figure:
    """The scores of one trace's forced answers against budget, and their running maximum."""
    figure, (ax,) = _panels(height=3.0)
    ax.step(cells.budget, cells.score.cummax(), where="post", color="0.6", label="best so far")
    ax.plot(cells.budget, cells.score, marker="o", color=BLUE, label="answer forced here")
    _budget_axis(ax, cells.budget)
    ax.set_ylim(0, 1.08 * max(0.2, float(cells.score.max())))
    title = f"One trace, stopped at each budget: {cells.problem_id.iloc[0]}\n{cells.model.iloc[0]}, n = 1 trace"
    return _finish(figure, [ax], x=X, y=Y, title=title)


def plot_accounts(table: pd.DataFrame) -> Figure:
    """Quality (best so far) against all tokens of a problem, its share of the run's preparation included, a line per
    method of one task (of `studies.equal_cost.accounts`)."""
    figure, (ax,) = _panels()
    _lines(ax, table, "method", x="total_all", y="best", colours=_colours_of(table.method))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8, rotation=30)
    ax.set_ylim(0, 1.08 * max(0.2, float(table.best.max())))
    title = f"What quality costs: {table.task.iloc[0]}\nall tokens, preparation shared by this run's problems; "
    title += f"best so far (pooled), n = {table.n_problems.iloc[0]} problems"
    return _finish(figure, [ax], x="tokens per problem (log scale)", y=Y, title=title)


def plot_differences(family: Family, *, title: str) -> Figure:
    """A forest plot of a family's differences, each with its interval; filled if it stands after Holm's adjustment."""
    table = family.to_frame().rename(columns={"difference": "value"})
    sizes = ", n = " + table.n_problems.astype(str) + " x " + table.n_samples.astype(str)
    figure, (ax,) = _panels(height=0.6 + 0.5 * len(table))
    _forest(ax, table, list(table.task + "\n" + table.treatment + " - " + table.baseline + sizes))
    ax.plot(table.value.mask(table.significant), range(len(table)), "o", color="white", markeredgecolor="black")
    ax.axvline(0, **_LINE)
    title += "".join(f"\njudged: {name}" for name in table.estimand[table.estimand != ""].unique())
    x = f"difference in Anytime Index ({1 - family.alpha:.0%} interval, problems resampled)"
    return _finish(figure, [ax], x=x, y="", title=f"{title}\nfilled: stands after Holm's adjustment")


def plot_variants(tables: Mapping[str, pd.DataFrame], *, title: str, margin: float) -> Figure:
    """The same difference read in every way: a panel for each heading and its rows of `difference_variants`, with what
    counts as no difference (up to the margin) shaded."""
    named = {heading: t.set_index(t.choice + ": " + t.variant) for heading, t in tables.items()}
    rows = list(dict.fromkeys(name for table in named.values() for name in table.index))
    figure, axes = _panels(len(tables), width=2.6, height=0.9 + 0.2 * len(rows), extra=2.2)
    for ax, (heading, table) in zip(axes, named.items(), strict=True):
        shown = table.rename(columns={"difference": "value"}).reindex(rows)
        excludes = (shown.low > 0) | (shown.high < 0)
        _forest(ax, shown.mask(excludes), rows, BLUE, "interval holds zero")
        _forest(ax, shown.where(excludes), rows, RED, "interval excludes zero")
        ax.axvline(0, **_LINE)
        ax.axvspan(-margin, margin, color="0.5", alpha=0.1, linewidth=0, label=f"within the margin of {margin:g}")
        ax.set_title(heading, fontsize=9)
    return _finish(figure, axes, x="difference in index (0 to 1)", y="", title=title)


def plot_power(table: pd.DataFrame, *, title: str) -> Figure:
    """Power against the number of problems, a line for each number of samples (rows of `power_table`), with the 95 %
    interval of the simulation."""
    figure, (ax,) = _panels()
    half, first = 1.96 * table.standard_error, table.iloc[0]
    table = table.assign(low=table.power - half, high=table.power + half)
    _lines(ax, table, "n_samples", x="n_problems", y="power", label="{} samples per problem")
    ax.axhline(0.8, **_LINE)
    _budget_axis(ax, table.n_problems.unique())
    ax.set_ylim(0, 1.02)
    title += f"\nhow often a difference of {first.effect:g} is found: paired t test, two-sided .05, "
    title += f"{first.n_simulations:,.0f} simulated studies a point"
    return _finish(figure, [ax], x="problems under test (log scale)", y="share of studies that find it", title=title)


def plot_detectable(table: pd.DataFrame, *, title: str) -> Figure:
    """The smallest difference found against what it costs (rows of `design_table`), a line for each number of samples;
    in dollars where a price above zero is known, else in output tokens."""
    figure, (ax,) = _panels()
    unit = "dollars" if (table.dollars > 0).all() else "tokens"
    _lines(ax, table, "n_samples", x=unit, y="detectable", label="{} samples per problem")
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    x = f"{'dollars for output tokens' if unit == 'dollars' else 'output tokens, all arms'} (log scale)"
    size = f"{table.n_problems.min()} to {table.n_problems.max()} problems"
    title += f"\nsmallest true difference found with power .8, two-sided .05, {size}"
    return _finish(figure, [ax], x=x, y="smallest difference found (index, 0 to 1)", title=title)


def plot_margins(comparisons: pd.DataFrame, *, title: str) -> Figure:
    """Judged against gold margin of every pair with a verdict, the attempt that the judge prefers taken first."""
    figure, (ax,) = _panels(width=6.0, height=3.2)
    known = comparisons.dropna(subset="margin")
    margin = known.margin.astype(float)
    gold = (known.score_first - known.score_second) * np.where(margin < 0, -1, 1)
    jitter = np.random.default_rng(0).uniform(-0.015, 0.015, len(known))
    ax.scatter(margin.abs(), gold + jitter, s=14, alpha=0.6, color=BLUE)
    ax.axhline(0, **_LINE)
    title += f"\nabove the line the judge is right; n = {len(known)} pairs from {known.problem_id.nunique()} problems"
    x = "judged margin (nats, averaged over both orders)"
    return _finish(figure, [ax], x=x, y="gold score, preferred - other", title=title)


def plot_accuracy(table: pd.DataFrame, *, title: str) -> Figure:
    """The judge's accuracy at each checkpoint (rows of `audit`, with columns task and budget): a line for each task."""
    figure, (ax,) = _panels(width=6.0, height=3.2)
    _lines(ax, table, "task", x="budget", y="value")
    ax.axhline(0.5, **_LINE, label="coins")
    _budget_axis(ax, table.budget.unique())
    title += f"\nintervals resample problems; n = {table.n.sum()} decisive pairs"
    return _finish(figure, [ax], x="attempts cut at (tokens, log scale)", y="share that gold agrees with", title=title)


def plot_bias(tables: Mapping[str, pd.DataFrame], *, along: str, x: str, title: str) -> Figure:
    """The bias of every level of the maximum: a panel for each heading and its rows of `maximum_bias` at several values
    of the column `along` (`n_samples`, `n_budgets`)."""
    figure, axes = _panels(len(tables), width=4.2, height=3.4)
    for ax, (heading, table) in zip(axes, tables.items(), strict=True):
        _lines(ax, table, "order", x=along, y="bias")
        ax.axhline(0, **_LINE)
        _budget_axis(ax, table[along].unique())
        ax.set_title(heading, fontsize=9)
    first = next(iter(tables.values())).iloc[0]
    title += f"\nbands: 95% over {first.n_repetitions:,} experiments of {first.n_problems} problems each"
    return _finish(figure, axes, x=x, y="index read less the true one (0 to 1)", title=title)


def plot_rates(table: pd.DataFrame, *, title: str, promised: Mapping[str, tuple[float, float]]) -> Figure:
    """Error rates of one study (rows of `error_rate_table`), by what was judged, against what is promised: measure ->
    lowest and highest share allowed, shaded."""
    at = ["world", "n", "K"]
    wanted = table[table.measure.isin(promised)]
    places = list(wanted[at].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = _panels(len(promised), width=3.6, height=0.8 + 0.16 * len(places), extra=1.0, share=False)
    names = [f"{world}, n={n} K={k}" for world, n, k in places]
    for i, (ax, (measure, (low, high))) in enumerate(zip(axes, promised.items(), strict=True)):
        ax.axvspan(low, high, color="0.5", alpha=0.15, linewidth=0, label="promised")
        for judged, colour in (("pooled", RED), ("crossfit", BLUE)):
            part = wanted[(wanted.measure == measure) & (wanted.judged == judged)].set_index(at).reindex(places)
            ends = pd.DataFrame({"value": part.share, "low": part.share - 1.96 * part.error})
            ends["high"] = part.share + 1.96 * part.error
            _forest(ax, ends, [""] * len(names) if i % 3 else names, colour, f"{judged} judged, 95% interval")
        ax.set_title(measure, fontsize=9)
    return _finish(figure, axes, x="share of experiments", y="", title=title)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG (150 dpi), making its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
