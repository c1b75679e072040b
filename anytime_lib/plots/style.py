"""In which one style is every figure drawn? Colours, panels, axes, lines, intervals, words, and how it is written."""

import base64
import io
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

X, Y = "reasoning budget (tokens, log scale)", "mean score (0 to 1)"
BLUE = "#0173b2"
THIN: dict[str, Any] = {"color": "0.5", "linestyle": ":", "linewidth": 1.0}
DOTTED: dict[str, Any] = {"linestyle": ":", "marker": "x", "markersize": 4, "linewidth": 1}
_METHODS = [
    *("base", "pdp", "pdp_plus", "leap", "few_shot", "self_consistency", "tree_of_thoughts", "budget_prompt"),
    *("direct", "pdp_per_problem", "imported", "pdp_at_budget", "pdp_answers", "pdp_grader", "pdp_shuffled"),
    *("pdp_verifier", "pdp_agreement", "pdp_minus", "pdp_4", "pdp_16", "pdp_answers_16"),
]
_COLOURS = [sns.color_palette("colorblind")[i] for i in (0, 1, 2, 3, 4, 9, 5, 7)]  # without those too light for a line
_LINES = [("o", "-"), ("s", "--"), ("^", "-."), ("D", (0, (3, 1, 1, 1, 1, 1))), ("v", (0, (5, 1)))]  # none is `DOTTED`
LOOKS: list[dict[str, Any]] = [
    {"color": colour, "marker": marker, "linestyle": line} for marker, line in _LINES for colour in _COLOURS
]


class Drawing(Figure):
    """A figure that says in words what it shows: its alternative text, `alt`, in files and in notebooks."""

    alt = ""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        if not self.axes:
            return {"text/plain": self.alt}, {}
        written, about = io.BytesIO(), {"alt": self.alt, "width": round(100 * self.get_figwidth())}
        self.savefig(written, format="png", dpi=150, metadata={"Software": None})
        picture = base64.b64encode(written.getvalue()).decode()
        return {"image/png": picture, "text/plain": self.alt}, {"image/png": about}


def nothing(why: str) -> Drawing:
    """What stands for a figure for which there are no data: a sentence."""
    figure = Drawing()
    figure.alt = why
    return figure


def looks_of(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each method, no two alike. A built-in one looks the same in every figure. One of one's
    own has, of the looks that those leave, the one to which its name leads, or the next in a colour that fewer of its
    kind have, if possible not that of the first built-in ones."""
    free, looks = LOOKS[len(_METHODS) :], dict(zip(_METHODS, LOOKS, strict=False))
    first, own = [look["color"] for look in LOOKS[:4]], list[dict[str, Any]]()
    for name in sorted(set(methods) - set(_METHODS)):
        start, had = crc32(name.encode()) % len(free), [look["color"] for look in own]
        turned = free[start:] + free[:start]
        ranks = [(look in own, had.count(look["color"]), look["color"] in first) for look in turned]
        own.append(turned[ranks.index(min(ranks))])
        looks[name] = own[-1]
    return {name: looks[name] for name in methods}


def size_of(cells: pd.DataFrame) -> str:
    """How many problems and samples stand behind a figure."""
    return size(cells.problem_id.nunique(), cells["sample"].nunique())


def size(n_problems: int, n_samples: int) -> str:
    """`n = 24 problems, N = 1 sample`."""
    return f"n = {count(n_problems, 'problem')}, N = {count(n_samples, 'sample')}"


def count(n: int, noun: str) -> str:
    """`1 problem`, `2 problems`, `1,200 problems`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def panels(
    n: int = 1, *, width: float = 7.2, height: float = 4.0, extra: float = 0.0, share: bool = True
) -> tuple[Drawing, list[Axes]]:
    """A figure of n panels in rows of three, which share their axes. Sizes in inches, of one panel."""
    columns, rows = min(n, 3), -(-n // 3)
    figure = Drawing(figsize=(max(5.2, width * columns + extra), height * rows + 1.2), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).ravel())
    for i, ax in enumerate(grid):  # the lowest of each column has the ticks, whatever is below it
        ax.tick_params(labelbottom=not share or i + columns >= n)
        ax.axison = i < n
    return figure, grid[:n]


def wrapped(text: str, inches: float, points: float) -> str:
    """A text in lines that are no wider than so many inches in letters of a size in points; `n = 24` stays whole."""
    width, text = max(12, int(inches * 72 / (0.62 * points))), text.replace(" = ", "\u00a0=\u00a0")
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def budget_axis(ax: Axes, budgets: Iterable[int]) -> None:
    """Budgets (or other sizes) on a log scale, at most six of them named."""
    ticks = sorted(budgets)
    shown = ticks[:: -(-len(ticks) // 6)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(shown, [str(t) for t in shown])
    ax.minorticks_off()


def size_axis(ax: Axes) -> None:
    """Tokens or dollars on a log scale, written as plain numbers."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.2, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.minorticks_off()
    ax.tick_params(axis="x", labelsize=8, rotation=30)


def lines(
    ax: Axes,
    table: pd.DataFrame,
    by: str,
    *,
    x: str,
    y: str,
    label: str = "{}",
    looks: Mapping[Any, Mapping[str, Any]] | None = None,
) -> None:
    """A line of y against x for each value of the column `by`, with a band where the table has `low` and `high`."""
    looks = looks or dict(zip(table[by].unique(), LOOKS, strict=False))
    for value, part in table.groupby(by, sort=False):
        ax.plot(part[x], part[y], markersize=4, label=label.format(value), **looks[value])
        if "low" in part:
            ax.fill_between(part[x], part.low, part.high, color=looks[value]["color"], alpha=0.2, linewidth=0)


def forest(
    ax: Axes, table: pd.DataFrame, names: Sequence[str], *, hollow: Sequence[bool] | None = None, **look: Any
) -> None:
    """Rows of points with their intervals (columns value, low, high), the first on top, and a name for each. A point is
    hollow where that is given; `look` has the colour (or one for each row) and the label."""
    rows, colours = range(len(table)), look.pop("color", ["black"] * len(table))
    fill = ["white" if empty else colour for empty, colour in zip(hollow or [False] * len(table), colours, strict=True)]
    if table.value.isna().all():  # a label without a point would stand in the legend without its mark
        look.pop("label", None)
    ax.hlines(rows, table.low, table.high, colors=colours, linewidth=1.5, capstyle="butt")
    ax.scatter(table.value, rows, s=28, c=fill, edgecolors=colours, zorder=3, **look)
    ax.set_yticks(rows, [wrapped(name, 2.6, 8) for name in names], fontsize=8)
    ax.set_ylim(len(table) - 0.3, -0.7)


def finish(figure: Drawing, axes: Sequence[Axes], *, x: str, y: str, title: str) -> Drawing:
    """One legend under the panels, a label for each axis, one title, all within the figure, and its alternative text;
    returns the figure."""
    named: dict[str, Any] = {}
    wide = figure.get_figwidth()
    for ax in axes:
        sns.despine(ax=ax)
        handles, labels = ax.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    room = (0.8 if y else 0.5) * wide / min(len(axes), 3)  # names of rows, where they stand for y, take some
    for ax in axes[-3:]:  # a label of the figure would lie under the legend
        ax.set_xlabel(wrapped(x, room, 9), fontsize=9)
    figure.supylabel(y, fontsize=10)
    figure.suptitle(wrapped(title, 0.97 * wide, 10), fontsize=10)
    if named:
        columns = int(wide / (max(map(len, named)) * 8 * 0.62 / 72 + 0.5))
        where: dict[str, Any] = {"loc": "outside lower center", "ncols": max(1, min(len(named), 4, columns))}
        figure.legend(named.values(), [wrapped(n, wide - 0.8, 8) for n in named], frameon=False, fontsize=8, **where)
    figure.alt = f"{title.replace(chr(10), '; ')}. {y or 'Rows'} against {x}."
    figure.alt += f" Shown: {', '.join(named)}." if named else ""
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG (150 dpi), SVG and PDF, making its folder, with its alternative text and no date: the same
    figure gives the same bytes. In a notebook it is shown as well. Where there was nothing to draw, the sentence that
    says so is printed, and nothing is written."""
    alt = figure.alt if isinstance(figure, Drawing) else ""
    if not figure.axes:
        print(alt)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    title = figure.get_suptitle().split("\n")[0]
    about: dict[str, dict[str, str | None]] = {
        ".png": {"Title": title, "Description": alt, "Software": None},
        ".svg": {"Title": title, "Description": alt, "Date": None, "Creator": None},
        ".pdf": {"Title": title, "Subject": alt, "CreationDate": None, "Creator": None, "Producer": None},
    }
    with rc_context({"svg.hashsalt": "anytime", "svg.fonttype": "none", "pdf.fonttype": 42}):
        for suffix, metadata in about.items():
            figure.savefig(Path(path).with_suffix(suffix), dpi=150, metadata=metadata)
            figure.set_layout_engine("none")  # where all stands is known by now
    if "ipykernel" in sys.modules:
        from IPython import display, get_ipython

        if get_ipython():
            display.display(figure)
