"""What does a figure or a table show? Functions of tables that return plain sentences, computed from the numbers.

The figures can be had from here as well, so that a figure and its reading come from one place.
"""

from anytime_lib.plots import *  # noqa: F403
from anytime_lib.plots import __all__ as _figures
from anytime_lib.readings.about import caveat, read_lengths, read_measured
from anytime_lib.readings.curves import read_accounts, read_curves, read_finished, read_gains, read_index
from anytime_lib.readings.pool import read_accuracy, read_judge, read_pairs, read_trace, read_verdicts
from anytime_lib.readings.studies import (
    read_bias,
    read_bounds,
    read_designs,
    read_measures,
    read_null,
    read_power,
    read_rates,
    read_rules,
    read_stopping,
    read_twice_the_tokens,
    read_variance,
    read_variants,
)
from anytime_lib.readings.words import say

__all__ = ["caveat", "read_accounts", "read_accuracy", "read_bias", "read_bounds", "read_curves", "read_designs"]
__all__ += ["read_finished", "read_gains", "read_index", "read_judge", "read_lengths", "read_measured"]
__all__ += ["read_measures", "read_null", "read_pairs", "read_power", "read_rates", "read_rules", "read_trace"]
__all__ += ["read_stopping", "read_twice_the_tokens", "read_variance", "read_variants", "read_verdicts", "say"]
__all__ += [*_figures]
