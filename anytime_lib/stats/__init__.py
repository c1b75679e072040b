"""How sure is a number, is a difference more than chance, and how large a study does it take?

One module for each question: `bootstrap` (what else might it have been?), `intervals` (how far off may it be?),
`estimating` (how good is each arm?), `comparing` (do two arms differ?), `testing` (could chance have done it?),
`family` (do any of many?), `missing` (what could the missing cells change?), `profiles` (where do they differ?),
`design` (how large must a study be?).
"""

from anytime_lib.stats.bootstrap import (
    OfCurve,
    Statistic,
    area_between,
    curve_of,
    final_quality,
    index_of,
    jackknifed,
    quality_at,
    resampled,
    tokens_to_reach,
)
from anytime_lib.stats.comparing import (
    FEW,
    Comparison,
    compare,
    compare_arrays,
    win_shares,
)
from anytime_lib.stats.design import min_detectable_effect
from anytime_lib.stats.estimating import band, estimate, sensitivity
from anytime_lib.stats.family import Family, compare_family, holm
from anytime_lib.stats.intervals import (
    Interval,
    interval,
    one_sided_pvalue,
    percentile_interval,
    simultaneous_interval,
    standard_error,
)
from anytime_lib.stats.missing import bounds
from anytime_lib.stats.profiles import performance_profile
from anytime_lib.stats.testing import MarginResult, TestResult, exchange_test, sign_flip_pvalue

__all__ = [
    "FEW",
    "Comparison",
    "Family",
    "Interval",
    "MarginResult",
    "OfCurve",
    "Statistic",
    "TestResult",
    "area_between",
    "band",
    "bounds",
    "compare",
    "compare_arrays",
    "compare_family",
    "curve_of",
    "estimate",
    "exchange_test",
    "final_quality",
    "holm",
    "index_of",
    "interval",
    "jackknifed",
    "min_detectable_effect",
    "one_sided_pvalue",
    "percentile_interval",
    "performance_profile",
    "quality_at",
    "resampled",
    "sensitivity",
    "sign_flip_pvalue",
    "simultaneous_interval",
    "standard_error",
    "tokens_to_reach",
    "win_shares",
]
