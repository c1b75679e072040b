"""Rows made up in GPQA's layout, and a zip as its authors lock it."""

import csv
from pathlib import Path
from typing import Any

from anytime_lib.tasks.gpqa import COLUMNS

OFFICIAL = (*COLUMNS, "Canary String")


def official(path: Path, columns: tuple[str, ...] = OFFICIAL, n: int = 30, change: Any = None) -> Path:
    """A file of `n` rows; `change` (column -> cell) puts other cells into its first one."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for i in range(n):
            row = {c: f"rec{i}" if c == "Record ID" else f"{c}, {i} \n" for c in columns}
            if i == 0:
                row |= {c: cell for c, cell in (change or {}).items() if c in columns}
            rows.writerow(row.values())
    return path


LOCKED = Path(__file__).parent / "data" / "gpqa_locked.zip"
"""Holds `official(...)` as dataset/gpqa_diamond.csv, encrypted as the true one is (`zip -P deserted-untie-orchid`)."""
