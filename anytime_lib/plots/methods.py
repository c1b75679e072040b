"""How do many methods, and the judge behind some of them, look beside each other? Functions that draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from anytime_lib.plots.curves import NAMES, QUALITY
from anytime_lib.stats import band
from anytime_lib.studies.equal_cost import AXES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_methods(
    cells: pd.DataFrame, *, baseline: str = "base", n_resamples: int = 2_000, seed: int = 0,
    confidence_level: float = 0.95,
) -> Figure:  # fmt: skip
    """A panel per method of one (run, model, task): its curve with a band, over the baseline's in grey.

    Small multiples, because a dozen bands in one panel cannot be told apart. Quality is the best so far of the mean.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    settings: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "confidence_level": confidence_level}
    curves = {str(m): band(arm, **settings) for m, arm in cells.groupby("method", sort=False)}
    shown = [m for m in curves if m != baseline] or list(curves)
    n_columns = min(4, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(1.2 + 2.4 * n_columns, 1.1 + 2.1 * n_rows), sharex=True,
                                sharey=True, squeeze=False, layout="constrained")  # fmt: skip
    colour = sns.color_palette("colorblind")[0]
    for ax, method in zip(axes.flat, shown, strict=False):
        if baseline in curves and method != baseline:
            _curve(ax, curves[baseline], "0.45", "--", baseline)
        _curve(ax, curves[method], colour, "-", method)
        ax.set_title(method, fontsize=9)
        ax.set_xscale("log", base=2)
        budgets = [int(b) for b in curves[method].budget]
        ax.set_xticks(budgets, [str(b) for b in budgets], fontsize=7)
        ax.minorticks_off()
        sns.despine(ax=ax)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    axes.flat[0].set_ylim(0, None)
    task, model = cells.task.iloc[0], cells.model.iloc[0]
    figure.supxlabel("reasoning budget (tokens of the serving model, log scale)", fontsize=9)
    figure.supylabel(QUALITY.get(task, "mean score"), fontsize=9)
    against = f"each method (solid) over {baseline} (dashed grey)" if baseline in curves else "each method"
    figure.suptitle(
        f"Quality at each budget, {against}: {NAMES.get(task, task)}\n{model}\nbest so far (pooled), "
        f"{confidence_level:.0%} bootstrap bands, n = {cells.problem_id.nunique()} problems x "
        f"{cells['sample'].nunique()} samples",
        fontsize=10,
    )
    return figure


def _curve(ax: Axes, curve: pd.DataFrame, colour: object, line: str, label: str) -> None:
    ax.plot(curve.budget, curve.quality, color=colour, linestyle=line, marker="o", markersize=3, label=label)
    ax.fill_between(curve.budget, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)


def plot_accounts(table: pd.DataFrame, *, axis: str = "total_all", ax: Axes | None = None) -> Axes:
    """Quality (best so far) against all tokens of a problem, a line per method of one task, labelled where it ends.

    Args:
        table: of `accounts.accounts`, one task.
        axis: one of `accounts.AXES`.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns
    from matplotlib.ticker import LogLocator

    ax = ax or plt.subplots(figsize=(8.4, 5.0), layout="constrained")[1]
    colours = sns.color_palette("husl", table.method.nunique())
    ends = []
    for colour, (method, arm) in zip(colours, table.groupby("method", sort=False), strict=True):
        ax.plot(arm[axis], arm.best, marker="o", markersize=3, color=colour)
        ends.append((float(arm.best.iloc[-1]), float(arm[axis].iloc[-1]), str(method), colour))
    ax.set_xscale("log")
    ax.set_ylim(0, max(0.2, 1.08 * float(table.best.max())))
    ends.sort(key=lambda end: end[0])
    for (_, x, method, colour), (y, at) in zip(ends, _spread([e[0] for e in ends], ax.get_ylim()[1]), strict=True):
        ax.annotate(method, (x, y), xytext=(1.02, at), textcoords=("axes fraction", "data"), color=colour, fontsize=8,
                    va="center", annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5})  # fmt: skip
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8, rotation=30)
    task = table.task.iloc[0]
    ax.set_xlabel("tokens per problem, prompts and answers included (log scale)" if axis != "budget"
                  else "reasoning budget (tokens, log scale)")  # fmt: skip
    ax.set_ylabel(QUALITY.get(task, "mean score"))
    ax.set_title(f"What quality costs: {NAMES.get(task, task)}\n{AXES[axis]}; best so far (pooled), "
                 f"n = {int(table.n_problems.iloc[0])} problems", fontsize=10)  # fmt: skip
    sns.despine(ax=ax)
    return ax


def _spread(heights: list[float], top: float) -> list[tuple[float, float]]:
    """Rising heights, each with where its label goes: at that height, or as near as leaves none over another."""
    step, at = 0.045 * top, list(heights)
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + step)
    for i in range(len(at) - 1, -1, -1):
        at[i] = min(at[i], top if i == len(at) - 1 else at[i + 1] - step)
    return list(zip(heights, at, strict=True))


_SHARES = ["accuracy", "auc", "order_consistency", "longer_wins", "longer_is_better", "cycles"]


def plot_audit(table: pd.DataFrame, *, title: str, confidence_level: float = 0.95, ax: Axes | None = None) -> Axes:
    """The measures of `judge_audit.audit` that are shares, on all comparisons, each with its interval and with what
    coins would give."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(7.6, 3.6), layout="constrained")[1]
    rows = table[(table.level == "all") & table.measure.isin(_SHARES)].set_index("measure").loc[_SHARES]
    labels = []
    for i, (name, row) in enumerate(rows.iterrows()):
        ax.plot([row.chance], [i], marker="|", markersize=14, color="0.5", linestyle="none")
        ax.plot([row.low, row.high], [i, i], color="black", linewidth=1.5)
        ax.plot([row.value], [i], marker="o", color="black")
        labels.append(f"{str(name).replace('_', ' ')}, n = {row.n}" + (" (none)" if np.isnan(row.value) else ""))
    ax.plot([], [], marker="|", markersize=10, color="0.5", linestyle="none", label="coins")
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(f"share ({confidence_level:.0%} interval, problems resampled; "
                  f"n = {int(table.n_problems.max())} problems)")  # fmt: skip
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    sns.despine(ax=ax)
    return ax


def plot_margins(comparisons: pd.DataFrame, *, title: str, ax: Axes | None = None) -> Axes:
    """Judged against gold margin of every pair with a verdict, the attempt that the judge prefers taken first."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    ax = ax or plt.subplots(figsize=(6.0, 3.8), layout="constrained")[1]
    known = comparisons.dropna(subset="margin")
    sign = np.where(known.margin.astype(float) < 0, -1, 1)
    jitter = np.random.default_rng(0).uniform(-0.015, 0.015, len(known))
    ax.scatter(known.margin.astype(float) * sign, (known.score_first - known.score_second) * sign + jitter, s=14,
               alpha=0.6, color=sns.color_palette("colorblind")[0])  # fmt: skip
    ax.axhline(0, color="0.5", linestyle=":", linewidth=1)
    ax.set_xlabel("judged margin (nats, averaged over both orders)")
    ax.set_ylabel("gold score, preferred - other")
    ax.set_title(f"{title}\nabove the line the judge is right; n = {len(known)} pairs from "
                 f"{known.problem_id.nunique()} problems", fontsize=10)  # fmt: skip
    sns.despine(ax=ax)
    return ax
