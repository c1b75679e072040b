"""The statistics that most analyses need; each module of this package is one question, and has the rest."""

from anytime_lib.stats.compare import Comparison, compare
from anytime_lib.stats.detectable import min_detectable_effect
from anytime_lib.stats.estimate import anytime_curve, band, bounds, efforts, estimate, index_variants
from anytime_lib.stats.family import VERDICTS, compare_family, conclude, equivalent, noninferior, over_tasks
from anytime_lib.stats.measures import least_sufficient_budget, measures
from anytime_lib.stats.sensitivity import difference_variants

__all__ = [
    "VERDICTS", "Comparison", "anytime_curve", "band", "bounds", "compare", "compare_family", "conclude",
    "difference_variants", "efforts", "equivalent", "estimate", "index_variants", "least_sufficient_budget", "measures",
    "min_detectable_effect", "noninferior", "over_tasks",
]  # fmt: skip
