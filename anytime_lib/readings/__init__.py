"""What does a figure or a table show? Functions of tables that return plain sentences, computed from the numbers."""

from anytime_lib.readings.about import caveat, read_measured
from anytime_lib.readings.curves import (
    read_accounts,
    read_curves,
    read_differences,
    read_finished,
    read_gains,
    read_index,
)
from anytime_lib.readings.pool import read_accuracy, read_judge, read_pairs, read_trace, read_verdicts

__all__ = [
    "caveat",
    "read_accounts",
    "read_accuracy",
    "read_curves",
    "read_differences",
    "read_finished",
    "read_gains",
    "read_index",
    "read_judge",
    "read_measured",
    "read_pairs",
    "read_trace",
    "read_verdicts",
]
