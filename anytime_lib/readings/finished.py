"""What do the curves of recorded traces show, where an answer counts once its trace had ended?"""

from typing import Any

import pandas as pd

from anytime_lib.index import quality_array
from anytime_lib.readings.curves import half_of_final
from anytime_lib.readings.words import few, size
from anytime_lib.stats.estimate import band
from anytime_lib.stats.intervals import spoken


def read_finished(cells: pd.DataFrame, *, confidence_level: float = 0.95, **settings: Any) -> str:
    """How many traces of each arm of one task had ended by its largest budget, how good they are there, and by which
    budget half of that was reached, for cells of `finished_cells`. `settings`: n_resamples (2,000), seed (0)."""
    if cells.empty:
        return "There are no traces here, so there is nothing to read."
    settings, told = {"n_resamples": 2_000, "seed": 0} | settings, []
    for method, arm in cells.groupby("method", sort=False):
        last = int(arm.budget.max())
        end = band(arm[arm.budget == last], order="raw", confidence_level=confidence_level, **settings).iloc[-1]
        ended = arm[arm.budget == last]
        text = f"{method}: by {last:,} tokens {int(ended.stopped_naturally.sum())} of {len(ended)} traces had ended, "
        text += f"and quality is {spoken(end.quality, end.low, end.high, sign='')}"
        text += f", half of it reached {half_of_final(arm, **settings)}" if end.low > 0 else ""
        if last < cells.budget.max():
            text += f"; its recordings break off before {cells.budget[cells.budget > last].min():,} tokens"
        if missing := int(quality_array(arm)[0].shape[0] - end.n_problems):
            text += f"; problems without a recording that far: {missing}"
        told.append(text)
    n = cells.problem_id.nunique()
    about = f"{cells.task.iloc[0]} ({size(n, cells['sample'].nunique())}):"
    return "\n".join([about, *(f"{text}." for text in told)]) + few(n)
