"""What does a figure or a table show? Functions of tables that return plain sentences, computed from the numbers.

The figures can be had from here as well, so that a figure and its reading come from one place.
"""

from anytime_lib.plots import *  # noqa: F403
from anytime_lib.plots import __all__ as _figures
from anytime_lib.report import caveat as caveat
from anytime_lib.readings.curves import read_accounts, read_curves, read_differences, read_gains, read_index
from anytime_lib.readings.studies import (
    read_bias,
    read_bounds,
    read_designs,
    read_extraction,
    read_measured,
    read_measures,
    read_noise,
    read_null,
    read_opinions,
    read_power,
    read_rates,
    read_rules,
    read_statuses,
    read_trip_grades,
    read_variance,
    read_variants,
)

__all__ = ["read_accounts", "read_curves", "read_differences", "read_gains", "read_index"]
__all__ += ["read_bias", "read_bounds", "read_designs", "read_measured", "read_measures", "read_noise", "read_null", "read_power"]
__all__ += ["read_extraction", "read_opinions", "read_statuses", "read_trip_grades", "read_rates", "read_rules", "read_variance", "read_variants", *_figures]
