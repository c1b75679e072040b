"""Which cells may be compared? Those that both arms have, of the same problem, sample and budget."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, cells_array


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have, in cells of one run, model and task.

    Returns:
        (2, P, S, T) quality, NaN where either lacks the cell, of the problems and samples with any pair; the T budgets,
        those without a pair too; how many cells of the two are left out.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, or see `cells_array`.
    """
    present = [str(m) for m in cells.method.unique()]
    for name in (baseline, treatment):
        if name not in present:
            raise DataError(f"no cells of method {name!r}; the table holds {', '.join(present)}")
    arms = cells_array(cells[cells.method.isin([baseline, treatment])])
    both = [arms.methods.index(baseline), arms.methods.index(treatment)]
    quality, asked = arms.values[both], arms.asked[both]
    if not asked.any(axis=(1, 2)).all():
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    shared = np.asarray(~np.isnan(quality).any(axis=0))  # (P, S, T)
    if not shared.any():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    quality = np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, shared.any(axis=(0, 2))]
    return quality, arms.budgets, int(asked.sum()) - 2 * int(shared.sum())
