"""Anytime reasoning for language models: the best answer at every token budget, and how to make it come earlier.

    from anytime_lib import RunConfig, run_sweep, anytime_curve
    cells = run_sweep(RunConfig(tasks=["aime"], budgets=[32, 64, 128]))
    anytime_curve(cells)

Source of the idea and the index: Zhang et al., "Budget-Aware Anytime Reasoning with LLM-Synthesized Preference
Data" (arXiv 2601.11038).
"""

import warnings
from importlib.metadata import version
from pkgutil import resolve_name
from typing import Any

_HOMES = {
    "AnytimeError": "errors",
    "Parameters": "tools.parameters",
    "RunConfig": "config",
    "Store": "store",
    "audit_judge": "studies.judge_audit",
    "estimate_run": "tools.estimate",
    "known_truth": "studies.calibration",
    "ledger_table": "sweep.ledger",
    "make_task": "tasks.custom",
    "measured": "report",
    "run_synthesis": "sweep.synthesis",
    "settle": "studies.held_out",
    "transcripts": "tools.transcripts",
    **dict.fromkeys(("accounts", "gains", "published"), "studies.equal_cost"),
    "anytime_index": "index",
    **dict.fromkeys(("analysed_cells", "every_rule"), "studies.exclusions"),
    **dict.fromkeys(("anytime_curve", "compare", "compare_family", "estimate"), "stats"),
    **dict.fromkeys(("finished_cells", "import_traces"), "tools.import_traces"),
    **dict.fromkeys(("load_task", "register_method", "register_task"), "registry"),
    **dict.fromkeys(("run_sweep", "run_sweep_async"), "sweep.run"),
}
"""Name -> the module it comes from. Loaded when first used, so that statistics alone need no client of a model."""

warnings.filterwarnings("ignore", "IProgress not found")  # bars are lines of text here, and no widgets are missed
__version__ = version("anytime-lib")
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(f"{__name__}.{_HOMES[name]}:{name}")
