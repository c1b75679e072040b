"""How sure is a number, is a difference more than chance, and how large a study does it take?

`bootstrap` resamples and gives intervals and bands, `comparing` compares two methods, `measures` says when traces were
right, `sufficient` how small a budget is enough; `design`, `variance` and `pilot` plan a study.
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
from anytime_lib.stats.measures import measures, trace_measures
from anytime_lib.stats.pilot import Power, cost_of_a_sample, design_table, pilot_cells, power, power_table
from anytime_lib.stats.sufficient import SufficientBudget, least_sufficient_budget
from anytime_lib.stats.variance import NextDollar, VarianceSplit, next_dollar, variance_split

__all__ = [
    "FEW",
    "Comparison",
    "Interval",
    "NextDollar",
    "Power",
    "Statistic",
    "SufficientBudget",
    "VarianceSplit",
    "band",
    "compare",
    "cost_of_a_sample",
    "curve_of",
    "design_table",
    "estimate",
    "index_of",
    "least_sufficient_budget",
    "measures",
    "min_detectable_effect",
    "next_dollar",
    "percentile_interval",
    "pilot_cells",
    "power",
    "power_table",
    "resampled",
    "sign_flip_pvalue",
    "trace_measures",
    "variance_split",
]
