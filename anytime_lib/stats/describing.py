"""What was measured? The table that stands before every result."""

from __future__ import annotations

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.records import digest
from anytime_lib.store import Store


def measured(cells: pd.DataFrame, config: RunConfig, store: Store) -> pd.DataFrame:
    """Sizes, seed and sources of every arm.

    Returns:
        One row per (task, method), by which it is indexed: n (problems), N (samples a problem), T (budgets), budgets
        (smallest to largest), cells, missing (failures of the machinery), read (share of graded answers that state
        one), seed, source and revision (of the data; where there is none, the hash must do), problems_hash (the first
        digits of a hash of what was asked: equal for equal sets of problems).
    """
    origins = {}
    for task in cells.task.unique():
        here = [p for p in store.problems(task) if p.id in set(cells.problem_id[cells.task == task])]
        sources = sorted({str(p.metadata.get("source", "not known")) for p in here})
        revisions = sorted({str(p.metadata.get("revision", "none")) for p in here})
        asked = digest(sorted(p.content_hash for p in here))[:8]
        origins[task] = {"source": ", ".join(sources), "revision": ", ".join(revisions), "problems_hash": asked}
    rows = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        graded = arm[arm.status != "error"]
        rows.append(
            {"task": task, "method": method, "n": arm.problem_id.nunique(), "N": arm["sample"].nunique(),
             "T": arm.budget.nunique(), "budgets": f"{arm.budget.min()} to {arm.budget.max()}", "cells": len(arm),
             "missing": len(arm) - len(graded), "read": round(float((graded.status == "ok").mean()), 3),
             "seed": config.seed, **origins[task]}
        )  # fmt: skip
    return pd.DataFrame(rows).set_index(["task", "method"])
