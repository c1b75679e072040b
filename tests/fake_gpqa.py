"""Rows made up in GPQA's layout, and a zip as its authors lock it."""

import csv
from pathlib import Path
from typing import Any

from anytime_lib.tasks.gpqa import COLUMNS

OFFICIAL = (*COLUMNS, "Canary String")


def official(path: Path, columns: tuple[str, ...] = OFFICIAL, n: int = 30, change: Any = None, words: str = "") -> Path:
    """A file of `n` rows with these words in all cells but domains; `change` (column -> cell) changes the first row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for i in range(n):
            row = {c: f"{c}, {i} {'' if 'domain' in c else words}\n" for c in columns} | {"Record ID": f"rec{i}"}
            if i == 0:
                row |= {c: cell for c, cell in (change or {}).items() if c in columns}
            rows.writerow(row.values())
    return path


LOCKED = Path(__file__).parent / "data" / "gpqa_locked.zip"
"""Holds `official(...)` as dataset/gpqa_diamond.csv, encrypted as the true one is (`zip -P deserted-untie-orchid`)."""
