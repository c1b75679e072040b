"""What do the studies of a run look like: sensitivity, power, judge, maximum? Functions of tables giving figures."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from anytime_lib.index import ORDERS
from anytime_lib.plots import style
from anytime_lib.plots.style import BLUE, LOOKS, THIN, Y, finish, forest, lines, nothing, panels, size, wrapped

ORDER_LOOKS = dict(zip(ORDERS, LOOKS, strict=False))


def plot_variants(tables: Mapping[str, pd.DataFrame], *, title: str, margin: float) -> Figure:
    """The same difference read in every way: a panel for each heading and its rows of `difference_variants`, with what
    counts as no difference (up to the margin) shaded."""
    if not any(len(table) for table in tables.values()):
        return nothing("There is no difference to read in other ways: nothing could be compared.")
    named = {heading: t.set_index(t.choice + ": " + t.variant) for heading, t in tables.items()}
    rows = list(dict.fromkeys(name for table in named.values() for name in table.index))
    figure, axes = panels(len(tables), width=2.6, height=0.9 + 0.2 * len(rows), extra=2.2)
    for ax, (heading, table) in zip(axes, named.items(), strict=True):
        shown = table.rename(columns={"difference": "value"}).reindex(rows)
        holds = (shown.low <= 0) & (shown.high >= 0)
        forest(ax, shown.where(holds), rows, hollow=[True] * len(rows), label="interval holds zero")
        forest(ax, shown.mask(holds), rows, label="its own interval excludes zero")
        ax.axvline(0, **THIN)
        ax.axvspan(-margin, margin, color="0.5", alpha=0.1, linewidth=0, label=f"within the margin of {margin:g}")
        ax.set_title(wrapped(heading, 2.4, 9), fontsize=9)
    return finish(figure, axes, x="difference in index (0 to 1)", y="", title=title)


def plot_power(table: pd.DataFrame, *, title: str) -> Figure:
    """Power against the number of problems, a line for each number of samples (rows of `power_table`), with the 95 %
    interval of the simulation."""
    if table.empty:
        return nothing("There is no power to draw: no design was simulated.")
    figure, (ax,) = panels()
    half, first = 1.96 * table.standard_error, table.iloc[0]
    table = table.assign(low=table.power - half, high=table.power + half)
    lines(ax, table, "n_samples", x="n_problems", y="power", label="N = {} per problem")
    ax.axhline(0.8, **THIN)
    style.budget_axis(ax, table.n_problems.unique())
    ax.set_ylim(0, 1.02)
    title += f"\nhow often a difference of {first.effect:g} is found: paired t test, two-sided .05, "
    title += f"{first.n_simulations:,.0f} simulated studies a point"
    return finish(figure, [ax], x="problems under test (log scale)", y="share of studies that find it", title=title)


def plot_detectable(table: pd.DataFrame, *, title: str) -> Figure:
    """The smallest difference found against what it costs (rows of `design_table`), a line for each number of samples;
    in dollars where a price above zero is known, else in output tokens."""
    if table.detectable.isna().all():
        return nothing("There is no smallest difference to draw: the pilot does not tell how answers vary.")
    figure, (ax,) = panels()
    unit = "dollars" if (table.dollars > 0).all() else "tokens"
    lines(ax, table, "n_samples", x=unit, y="detectable", label="N = {} per problem")
    style.size_axis(ax)
    ax.set_ylim(bottom=0)
    x = f"{'dollars for output tokens' if unit == 'dollars' else 'output tokens, all methods'} (log scale)"
    sizes = f"{table.n_problems.min()} to {table.n_problems.max()} problems"
    title += f"\nsmallest true difference found with power .8, two-sided .05, {sizes}"
    return finish(figure, [ax], x=x, y="smallest difference found (index, 0 to 1)", title=title)


def plot_verdicts(comparisons: pd.DataFrame, *, title: str) -> Figure:
    """The judge's two verdicts on each pair, one in each order: where both name the same attempt (shaded), and where
    both name the same place."""
    asked = comparisons.dropna(subset=["log_odds_ab", "log_odds_ba"])
    if asked.empty:
        return nothing("There are no verdicts to draw: none could be read.")
    figure, (ax,) = panels(width=6.0, height=3.6)
    ab, ba = asked.log_odds_ab.astype(float), asked.log_odds_ba.astype(float)
    end = 1.15 * max(1.0, float(ab.abs().max()), float(ba.abs().max()))
    ax.fill_between([0, end], -end, 0, color="0.5", alpha=0.12, linewidth=0, label="the same attempt in both orders")
    ax.fill_between([-end, 0], 0, end, color="0.5", alpha=0.12, linewidth=0)
    ax.scatter(ab, ba, s=18, alpha=0.6, color=BLUE)
    ax.axhline(0, **THIN)
    ax.axvline(0, **THIN)
    for sign, place in ((1, "first"), (-1, "second")):
        ha, va, at = "right" if sign > 0 else "left", "top" if sign > 0 else "bottom", sign * 0.97 * end
        ax.text(at, at, f"the {place} place both times", fontsize=8, color="0.3", ha=ha, va=va)
    ax.set(xlim=(-end, end), ylim=(-end, end))
    title += f"\npairs of attempts: {len(asked)}, at pool problems: {asked.problem_id.nunique()}"
    x, y = "log odds of the one shown first (nats)", "the same, with the two swapped (nats)"
    return finish(figure, [ax], x=x, y=y, title=title)


def plot_accuracy(table: pd.DataFrame, *, title: str) -> Figure:
    """The judge's accuracy at each checkpoint (rows of `audit_judge`, with task and budget): a line for each task."""
    if table.value.isna().all():
        return nothing("There is no accuracy to draw: no pair was decided by both the judge and gold.")
    figure, (ax,) = panels(width=6.0, height=3.2)
    lines(ax, table, "task", x="budget", y="value")
    ax.axhline(0.5, **THIN, label="coins")
    style.budget_axis(ax, table.budget.unique())
    title += f"\nintervals resample problems; n = {table.n.sum()} decisive pairs"
    return finish(figure, [ax], x="attempts cut at (tokens, log scale)", y="share that gold agrees with", title=title)


def plot_bias(tables: Mapping[str, pd.DataFrame], *, along: str, x: str, title: str) -> Figure:
    """The bias of every level of the maximum: a panel for each heading and its rows of `maximum_bias` at several values
    of the column `along` (`n_samples`, `n_budgets`)."""
    figure, axes = panels(len(tables), width=4.2, height=3.4)
    for ax, (heading, table) in zip(axes, tables.items(), strict=True):
        lines(ax, table, "order", x=along, y="bias", looks=ORDER_LOOKS)
        ax.axhline(0, **THIN)
        style.budget_axis(ax, table[along].unique())
        ax.set_title(wrapped(heading, 3.6, 9), fontsize=9)
    first = next(iter(tables.values())).iloc[0]
    title += f"\nbands: 95% over {first.n_repetitions:,} experiments of {first.n_problems} problems each"
    return finish(figure, axes, x=x, y="index read less the true one (0 to 1)", title=title)


def plot_rates(table: pd.DataFrame, *, title: str, promised: Mapping[str, tuple[float, float]]) -> Figure:
    """Error rates of one study (rows of `error_rate_table`), as judged before and now, against what is promised:
    measure -> lowest and highest share allowed, shaded."""
    at = ["world", "n", "N"]
    wanted = table[table.measure.isin(promised)]
    places = list(wanted[at].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = panels(len(promised), width=3.6, height=0.8 + 0.16 * len(places), extra=1.0, share=False)
    names = [f"{world}, n = {n}, N = {k}" for world, n, k in places]
    for i, (ax, (measure, (low, high))) in enumerate(zip(axes, promised.items(), strict=True)):
        ax.axvspan(low, high, color="0.5", alpha=0.15, linewidth=0, label="promised")
        for judged, color in (("before", LOOKS[0]["color"]), ("now", LOOKS[4]["color"])):
            part = wanted[(wanted.measure == measure) & (wanted.judged == judged)].set_index(at).reindex(places)
            ends = pd.DataFrame({"value": part.share, "low": part.share - 1.96 * part.error})
            ends["high"] = part.share + 1.96 * part.error
            look: dict[str, Any] = {"label": f"judged {judged}, 95% interval", "color": [color] * len(names)}
            forest(ax, ends, [""] * len(names) if i % 3 else names, **look)
        ax.set_title(measure, fontsize=9)
    return finish(figure, axes, x="share of experiments", y="", title=title)


def plot_stopping(table: pd.DataFrame, *, title: str) -> Figure:
    """Quality against tokens of single budgets for all, and of every rule (rows of `stopping_table`); the line is the
    best that single budgets, or two of them mixed, have at a cost. A rule's bar is the interval of its difference from
    the line at as many tokens; it is filled if shown not to be worse than the full budget by the margin or more."""
    figure, (ax,) = panels(height=4.4)
    for look, (of, part) in zip(LOOKS, table.groupby("of", sort=False), strict=False):
        colour = look["color"]
        single, rules, oracle = (part[part.what == what] for what in ("budget", "rule", "oracle"))
        ax.plot(single.tokens, single.quality, color=colour, linestyle="", marker=".", label=f"single budgets, {of}")
        x, y = single.tokens.to_numpy(), single.quality.to_numpy()
        grid, ends = np.linspace(x.min(), x.max(), 500), [[i, j] for j in range(len(x)) for i in range(j + 1)]
        best = np.max([np.interp(grid, x[pair], y[pair], left=-np.inf) for pair in ends], axis=0)
        ax.plot(grid, best, color=colour, label=f"the best of them at that cost, {of}")
        level = rules.quality - rules.above
        low, high = ((level + end).clip(0, 1) for end in (rules.low, rules.high))
        ax.vlines(rules.tokens, low, high, colors=colour, linewidth=1.5)
        points: list[Any] = list(rules.itertuples())
        for marker, row in zip(cycle("sD^vPX<>"), points, strict=False):
            fill = colour if row.verdict in ("better", "equivalent", "not worse") else "white"
            look = {"marker": marker, "c": [fill], "edgecolors": colour, "s": 36, "zorder": 3}
            ax.scatter(row.tokens, row.quality, label=f"{row.rule}, {of}", **look)
        ax.scatter(oracle.tokens, oracle.quality, marker="*", color=colour, s=60, label=f"oracle, {of}")
    style.size_axis(ax)
    first = table.iloc[0]
    title += "\nbars: interval of the difference from the line; filled: shown not to be worse than the full budget\n"
    title += size(first.n_problems, first.n_samples)
    return finish(figure, [ax], x="tokens of reasoning and answers (log scale)", y=Y, title=title)
