"""Which cells may be compared? Those that both arms have, of the same problem, sample and budget.

A cell that either arm lacks counts in neither. Problems and samples are put in the order of their names, so that what
is drawn does not depend on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anytime_lib.errors import DataError
from anytime_lib.index import Floats, average
from anytime_lib.studies.variance import ANSWER

_AXES = ("method", "problem_id", "sample", "budget")


@dataclass(frozen=True)
class Arms:
    """All methods of one run, model and task.

    Attributes:
        quality: (M, P, S, T), NaN where missing; (M, P, S, Q, T) of cells with a column `answer`, which numbers the
            answers asked again from one trace.
        methods, budgets: M names and T budgets.
        asked: (M, P, S, T) whether the table has the cell, graded or not.
    """

    quality: Floats
    methods: list[str]
    budgets: list[int]
    asked: NDArray[np.bool_]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(M,) whether a method has every cell."""
        return np.asarray(~np.isnan(self.quality).any(axis=tuple(range(1, self.quality.ndim))))

    def pair(self, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
        """See `paired_arrays`."""
        both = [self.methods.index(baseline), self.methods.index(treatment)]
        asked = self.asked[both]
        held, held_too = asked[0].any(axis=(0, 1)), asked[1].any(axis=(0, 1))
        if not np.array_equal(held, held_too):
            raise DataError(f"{baseline} and {treatment} were run at different budgets; compare them at the same ones")
        quality = self.quality[both][..., np.flatnonzero(held)]
        cells = average(quality) if quality.ndim == 5 else quality
        paired = np.asarray(~np.isnan(cells).any(axis=0))
        if not paired.any():
            raise DataError(f"{baseline} and {treatment} share no graded cell, so nothing is paired")
        # A budget that no pair was graded at stays, and is NaN.
        quality = np.where(paired[:, :, None] if quality.ndim == 5 else paired, quality, np.nan)
        quality = quality[:, paired.any(axis=(1, 2))][:, :, paired.any(axis=(0, 2))]
        budgets = [self.budgets[t] for t in np.flatnonzero(held)]
        return quality, budgets, int(asked.sum()) - 2 * int(paired.sum())


def arms_array(cells: pd.DataFrame) -> Arms:
    """The cells of one run, model and task as an array.

    Raises:
        DataError: several runs, models or tasks; a cell that is there twice; a cell without a name on some axis.
    """
    if any(cells[name].nunique() > 1 for name in ("run", "model", "task")):
        raise DataError("one run, model and task expected, the cells hold several: filter them first")
    axes = [*_AXES[:3], ANSWER, _AXES[3]] if ANSWER in cells else list(_AXES)
    codes, names = zip(*(pd.factorize(cells[key], sort=True) for key in axes), strict=True)
    for axis, code in zip(axes, codes, strict=True):
        if (code < 0).any():
            raise DataError(f"{int((code < 0).sum())} cells have no {axis!r}: fill it in, or leave them out")
    if twice := int(cells.duplicated(axes).sum()):
        hint = "" if ANSWER in cells else f", or number answers asked again in a column {ANSWER!r}"
        raise DataError(
            f"{twice} cells are there more than once, with the same {', '.join(axes)}: keep one of each{hint}"
        )
    quality = np.full([len(n) for n in names], np.nan)
    quality[codes] = cells.score.to_numpy(float)
    asked = np.zeros([len(n) for axis, n in zip(axes, names, strict=True) if axis != ANSWER], dtype=bool)
    asked[tuple(c for axis, c in zip(axes, codes, strict=True) if axis != ANSWER)] = True
    return Arms(quality, [str(m) for m in names[0]], [int(b) for b in names[-1]], asked)


def paired_arrays(cells: pd.DataFrame, baseline: str, treatment: str) -> tuple[Floats, list[int], int]:
    """What both methods have.

    Returns:
        (2, P, S, T) quality, NaN where either lacks the cell, of the problems and samples of which there is any pair
        ((2, P, S, Q, T) with a column `answer`; a cell is lacked if none of its answers was graded); the T budgets; how
        many cells of the table are left out.

    Raises:
        DataError: a method is not there, the arms share no cell, their budgets differ, or see `arms_array`.
    """
    present = [str(m) for m in cells.method.unique()]
    for name in (baseline, treatment):
        if name not in present:
            raise DataError(f"no cells of method {name!r}; the table holds {', '.join(present)}")
    return arms_array(cells[cells.method.isin([baseline, treatment])]).pair(baseline, treatment)
