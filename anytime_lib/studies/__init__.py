"""Questions put to a finished run, one module each. What the notebooks ask of them can be had from here."""

from pkgutil import resolve_name
from typing import Any

_HOMES = {
    "models.simulation": "Simulation",
    "studies.calibration": "error_rate_table maximum_bias null_respondent true_index truth",
    "studies.grader_audit": "by_budget cohen_kappa echoes extraction_matrix label_sheet labelled leaks "
    "recorded_trip_grades regraded trip_variant_grades",
    "studies.pilot": "Pilot pilot_of",
    "studies.stopping": "Checkpoint Rule agreeing content of_one_mind rules_of stopping_table watch",
    "sweep.grading": "regrade stored_answers",
    "tasks.math_verify": "disagreements second_opinions",
}
"""Module -> names of it that are loaded when first used."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            return resolve_name(f"anytime_lib.{module}:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
