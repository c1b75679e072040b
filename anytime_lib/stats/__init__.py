"""How sure is a number, is a difference more than chance, and how large a study does it take?

One module for each question: `bootstrap` (what else might it have been?), `intervals` (how far off may it be?),
`estimating` (how good is each arm?), `comparing` (do two arms differ?), `testing` (could chance have done it?),
`family` (do any of many?), `missing` (what could the missing cells change?), `profiles` (where do they differ?),
`measures` (when was a trace right?), `sufficient` (how small a budget is enough?), `design` (how large must a study
be?), `variance` (where does the variance lie?), `pilot` (what would a study find and cost?).
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
from anytime_lib.stats.measures import measures, trace_measures
from anytime_lib.stats.missing import bounds
from anytime_lib.stats.pilot import Power, cost_of_a_sample, design_table, pilot_cells, power, power_table
from anytime_lib.stats.profiles import performance_profile
from anytime_lib.stats.sufficient import SufficientBudget, least_sufficient_budget
from anytime_lib.stats.testing import MarginResult, TestResult, exchange_test, sign_flip_pvalue
from anytime_lib.stats.variance import NextDollar, VarianceSplit, next_dollar, variance_split

__all__ = [
    "FEW",
    "Comparison",
    "Family",
    "Interval",
    "MarginResult",
    "NextDollar",
    "OfCurve",
    "Power",
    "Statistic",
    "SufficientBudget",
    "TestResult",
    "VarianceSplit",
    "area_between",
    "band",
    "bounds",
    "compare",
    "compare_arrays",
    "compare_family",
    "cost_of_a_sample",
    "curve_of",
    "design_table",
    "estimate",
    "exchange_test",
    "final_quality",
    "holm",
    "index_of",
    "interval",
    "jackknifed",
    "least_sufficient_budget",
    "measures",
    "min_detectable_effect",
    "next_dollar",
    "one_sided_pvalue",
    "percentile_interval",
    "performance_profile",
    "pilot_cells",
    "power",
    "power_table",
    "quality_at",
    "resampled",
    "sensitivity",
    "sign_flip_pvalue",
    "simultaneous_interval",
    "standard_error",
    "tokens_to_reach",
    "trace_measures",
    "variance_split",
    "win_shares",
]
