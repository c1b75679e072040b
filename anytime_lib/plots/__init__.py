"""What do curves, costs, differences and studies look like? Functions of tables that return a matplotlib figure."""

from anytime_lib.plots.curves import plot_accounts, plot_curves, plot_differences, plot_trace
from anytime_lib.plots.studies import (
    plot_accuracy,
    plot_bias,
    plot_detectable,
    plot_power,
    plot_rates,
    plot_stopping,
    plot_variants,
    plot_verdicts,
)
from anytime_lib.plots.style import save
from anytime_lib.plots.tables import rounded, save_table

__all__ = ["plot_accounts", "plot_accuracy", "plot_bias", "plot_curves", "plot_detectable", "plot_differences"]
__all__ += ["plot_power", "plot_rates", "plot_stopping", "plot_trace", "plot_variants", "plot_verdicts", "rounded"]
__all__ += ["save", "save_table"]
