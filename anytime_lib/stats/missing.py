"""What could the missing cells change at most? Bounds that hold whatever the answers that never came would have been.

Every missing score lies in [0, 1], and the index rises with every score: setting all of them to 0 and to 1 bounds it,
setting one arm's to 0 and the other's to 1 the difference (Manski's worst-case bounds).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from anytime_lib.index import ARM, Floats, cells_array
from anytime_lib.stats.bootstrap import index_of


def bounds(cells: pd.DataFrame, *, baseline: str | None = None, treatment: str | None = None) -> pd.DataFrame:
    """Worst- and best-case Anytime Index of every arm, or, if two are named, of the difference between them.

    A cell is missing if it has no score, or if its arm lacks a budget, sample or problem that other cells of the same
    (run, model, task) have.

    Returns:
        Of arms: run, model, task, method, n_missing, share_missing, worst, index (of the cells there are), best. Of
        differences: baseline and treatment for method, and difference for index: of the cells that both have, so that
        it may even lie outside the bounds, which is then worth a look.
    """
    rows, names = [], ["baseline", "treatment"] if baseline and treatment else ["method"]
    for place, part in cells.groupby(ARM[:3], sort=False):
        arms = cells_array(part)
        quality = dict(zip(arms.methods, arms.values, strict=True))

        def index(values: Floats, score: float, budgets: list[int] = arms.budgets) -> float:
            return float(index_of()(np.where(np.isnan(values), score, values), budgets))

        if not (baseline and treatment):
            for method in map(str, part.method.unique()):
                lost, ends = np.isnan(quality[method]), [index(quality[method], score) for score in (0.0, np.nan, 1.0)]
                rows.append((*place, method, lost.sum(), lost.mean(), *ends))
        elif baseline in quality and treatment in quality:
            both = np.stack([quality[baseline], quality[treatment]])
            lost = np.isnan(both)
            first, second = (index(values, np.nan) for values in np.where(lost.any(axis=0), np.nan, both))
            worst, best = (index(both[1], score) - index(both[0], 1 - score) for score in (0.0, 1.0))
            rows.append((*place, baseline, treatment, lost.sum(), lost.mean(), worst, second - first, best))
    value = "index" if len(names) == 1 else "difference"
    return pd.DataFrame(rows, columns=[*ARM[:3], *names, "n_missing", "share_missing", "worst", value, "best"])
