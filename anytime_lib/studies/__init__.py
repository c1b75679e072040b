"""Questions put to a finished run, one module each."""

from anytime_lib.models.simulation import Simulation
from anytime_lib.studies.calibration import error_rate_table, maximum_bias, null_respondent, true_index, truth
from anytime_lib.studies.grader_audit import (
    cohen_kappa,
    echoes,
    extraction_matrix,
    label_sheet,
    labelled,
    recorded_trip_grades,
    regraded,
    trip_variant_grades,
)
from anytime_lib.studies.pilot import Pilot, pilot_of
from anytime_lib.sweep.grading import regrade, stored_answers
from anytime_lib.tasks.math_verify import disagreements, second_opinions

__all__ = [
    "Pilot",
    "Simulation",
    "cohen_kappa",
    "disagreements",
    "echoes",
    "error_rate_table",
    "extraction_matrix",
    "label_sheet",
    "labelled",
    "maximum_bias",
    "null_respondent",
    "pilot_of",
    "recorded_trip_grades",
    "regrade",
    "regraded",
    "second_opinions",
    "stored_answers",
    "trip_variant_grades",
    "true_index",
    "truth",
]
