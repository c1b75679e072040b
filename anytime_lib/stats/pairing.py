"""Which cells may be compared? Those that both arms have, of the same problem, sample and budget."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import CellsArray, Floats, cells_array


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have.

    Returns:
        (2, P, S, T) quality, NaN where either lacks the cell, of the problems and samples with any pair; the T budgets;
        how many cells of the table are left out.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, or see `cells_array`.
    """
    present = [str(m) for m in cells.method.unique()]
    for name in (baseline, treatment):
        if name not in present:
            raise DataError(f"no cells of method {name!r}; the table holds {', '.join(present)}")
    return paired(cells_array(cells[cells.method.isin([baseline, treatment])]), baseline, treatment)


def paired(arms: CellsArray, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """`paired_arrays` of cells that are an array already."""
    both = [arms.methods.index(baseline), arms.methods.index(treatment)]
    asked = arms.asked[both]
    held = np.asarray(asked.any(axis=(1, 2)))  # (2, T)
    if not np.array_equal(held[0], held[1]):
        raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
    quality = arms.values[both][..., held[0]]
    shared = np.asarray(~np.isnan(quality).any(axis=0))
    if not shared.any():
        raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
    # A budget that no pair was graded at stays, and is NaN.
    quality = np.where(shared, quality, np.nan)[:, shared.any(axis=(1, 2))][:, :, shared.any(axis=(0, 2))]
    budgets = [b for b, here in zip(arms.budgets, held[0], strict=True) if here]
    return quality, budgets, int(asked.sum()) - 2 * int(shared.sum())
