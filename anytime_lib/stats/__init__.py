"""How sure is a number, is a difference more than chance, and how large a study does it take?

One module for each question: `bootstrap` (what else might it have been?), `intervals` (how far off may it be?),
`edges` (and if hardly any problem tells?),
`estimating` (how good is each arm?), `comparing` (do two arms differ?), `testing` (could chance have done it?),
`family` (do any of many?), `missing` (what could the missing cells change?), `profiles` (where do they differ?),
`measures` (when was a trace right?), `sufficient` (how small a budget is enough?), `design` (how large must a study
be?), `variance` (where does the variance lie?), `pilot` (what would a study find and cost?), `describing` (what was
measured?), `variants` (would other choices have led elsewhere?), `null` (what is found where there is nothing?),
`concluding` (what may be said?).
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
from anytime_lib.stats.concluding import VERDICTS, conclude
from anytime_lib.stats.describing import measured
from anytime_lib.stats.design import min_detectable_effect
from anytime_lib.stats.estimating import band, estimate, sensitivity
from anytime_lib.stats.family import Family, compare_family, declared_family, holm
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
from anytime_lib.stats.null import error_rates, exchanged, flat, maximum_bias, proven_rates
from anytime_lib.stats.pilot import Power, cost_of_a_sample, design_table, pilot_cells, power, power_table
from anytime_lib.stats.profiles import performance_profile
from anytime_lib.stats.sufficient import SufficientBudget, least_sufficient_budget
from anytime_lib.stats.testing import MarginResult, TestResult, exchange_test, sign_flip_pvalue
from anytime_lib.stats.variance import NextDollar, VarianceSplit, next_dollar, variance_split
from anytime_lib.stats.variants import difference_variants, regraded, thinned

__all__ = [
    "FEW",
    "VERDICTS",
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
    "conclude",
    "cost_of_a_sample",
    "curve_of",
    "declared_family",
    "design_table",
    "difference_variants",
    "error_rates",
    "estimate",
    "exchange_test",
    "exchanged",
    "final_quality",
    "flat",
    "holm",
    "index_of",
    "interval",
    "jackknifed",
    "least_sufficient_budget",
    "maximum_bias",
    "measured",
    "measures",
    "min_detectable_effect",
    "next_dollar",
    "one_sided_pvalue",
    "percentile_interval",
    "performance_profile",
    "pilot_cells",
    "power",
    "power_table",
    "proven_rates",
    "quality_at",
    "regraded",
    "resampled",
    "sensitivity",
    "sign_flip_pvalue",
    "simultaneous_interval",
    "standard_error",
    "thinned",
    "tokens_to_reach",
    "trace_measures",
    "variance_split",
    "win_shares",
]
