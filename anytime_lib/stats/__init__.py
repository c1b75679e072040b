"""How sure is a number, is a difference more than chance, and how large a study does it take?

`bootstrap` resamples and gives intervals and bands, `comparing` compares two methods, `design` plans a study.
"""

from anytime_lib.stats.bootstrap import (
    Interval,
    Statistic,
    band,
    curve_of,
    estimate,
    index_of,
    percentile_interval,
    resampled,
)
from anytime_lib.stats.comparing import FEW, Comparison, compare, sign_flip_pvalue
from anytime_lib.stats.design import min_detectable_effect

__all__ = [
    "FEW",
    "Comparison",
    "Interval",
    "Statistic",
    "band",
    "compare",
    "curve_of",
    "estimate",
    "index_of",
    "min_detectable_effect",
    "percentile_interval",
    "resampled",
    "sign_flip_pvalue",
]
