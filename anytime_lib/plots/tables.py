"""How does a table look on paper? Markdown and LaTeX, every number with the digits that its interval allows."""

from pathlib import Path

import pandas as pd
from pandas.api.types import is_float_dtype

from anytime_lib.stats.intervals import spoken, spoken_pvalue

_VALUES = {"index": "", "difference": "+", "points": "+", "value": ""}


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A table as texts: the column that `low` and `high` are the interval of (`index`, `difference`, `points` or
    `value`) with it, to two significant digits of half its width; p-values to two digits, other fractions to three
    places; empty where there is no number."""
    spans = table.reindex(columns=["low", "high"]).to_numpy(float)
    shown = {}
    for name, column in table.items():
        head = str(name)
        if head in ("low", "high"):
            continue
        if head in _VALUES and "low" in table:
            ends = zip(column, *spans.T, strict=True)
            texts = [spoken(*row, sign=_VALUES[head]) if row[1] == row[1] else f"{row[0]:.3f}" for row in ends]
            head = f"{head} [interval]"
        elif head.startswith("pvalue"):
            texts = [spoken_pvalue(p, 0.05) for p in column]
        elif is_float_dtype(column):
            texts = [f"{v:,.0f}" if abs(v) >= 1000 else f"{v:,.3f}" for v in column]
        else:
            texts = [f"{v:,}" if type(v) is int else str(v) for v in column]
        shown[head] = [text if v == v else "" for text, v in zip(texts, column, strict=True)]
    return pd.DataFrame(shown)


def save_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table, `rounded`, as Markdown and as LaTeX (for booktabs) beside each other, making their folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    texts = rounded(table)
    rows: list[list[str]] = [list(map(str, texts)), ["---"] * texts.shape[1], *texts.to_numpy().tolist()]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    Path(path).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path(path).with_suffix(".tex").write_text(texts.to_latex(index=False, escape=True), encoding="utf-8")
