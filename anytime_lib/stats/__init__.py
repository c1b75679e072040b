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
from anytime_lib.stats.compare import FEW, Comparison, compare, compare_arrays, win_shares
from anytime_lib.stats.conclude import VERDICTS, conclude
from anytime_lib.stats.design import min_detectable_effect
from anytime_lib.stats.estimate import band, estimate, sensitivity
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
from anytime_lib.stats.permutation import MarginResult, TestResult, sign_flip_pvalue, sign_flip_test
from anytime_lib.stats.profiles import performance_profile
from anytime_lib.stats.sensitivity import difference_variants, thinned
from anytime_lib.stats.sufficient import SufficientBudget, least_sufficient_budget

__all__ = [
    "FEW",
    "VERDICTS",
    "Comparison",
    "Family",
    "Interval",
    "MarginResult",
    "OfCurve",
    "Statistic",
    "SufficientBudget",
    "TestResult",
    "area_between",
    "band",
    "bounds",
    "compare",
    "compare_arrays",
    "compare_family",
    "conclude",
    "curve_of",
    "declared_family",
    "difference_variants",
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
    "one_sided_pvalue",
    "percentile_interval",
    "performance_profile",
    "quality_at",
    "resampled",
    "sensitivity",
    "sign_flip_pvalue",
    "sign_flip_test",
    "simultaneous_interval",
    "standard_error",
    "thinned",
    "tokens_to_reach",
    "trace_measures",
    "win_shares",
]
