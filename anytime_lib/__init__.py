"""Anytime reasoning for language models: the best answer at every token budget, and how to make it come earlier.

    from anytime_lib import RunConfig, run_sweep, anytime_curve
    cells = run_sweep(RunConfig(tasks=["aime"], budgets=[32, 64, 128]))
    anytime_curve(cells)

Source of the idea and the index: Zhang et al., "Budget-Aware Anytime Reasoning with LLM-Synthesized Preference
Data" (arXiv 2601.11038).
"""

from importlib.metadata import version

from anytime_lib.config import Parameters, RunConfig
from anytime_lib.errors import AnytimeError
from anytime_lib.index import anytime_curve, anytime_index
from anytime_lib.registry import load_task, register_task
from anytime_lib.store import Store
from anytime_lib.sweep.run import run_sweep, run_synthesis, sweep
from anytime_lib.tasks.custom import make_task

__version__ = version("anytime-lib")
__all__ = [
    "AnytimeError",
    "Parameters",
    "RunConfig",
    "Store",
    "anytime_curve",
    "anytime_index",
    "load_task",
    "make_task",
    "register_task",
    "run_sweep",
    "run_synthesis",
    "sweep",
]
