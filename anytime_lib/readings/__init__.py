"""What does a figure or a table show? Functions of tables that return plain sentences, computed from the numbers."""

from anytime_lib.readings.curves import (
    read_accounts,
    read_curves,
    read_differences,
    read_finished,
    read_gains,
    read_index,
)

__all__ = ["read_accounts", "read_curves", "read_differences", "read_finished", "read_gains", "read_index"]
