"""What must be said beside a run's numbers: of its problems, of its model, and of how long that thought?"""

from typing import Any

import pandas as pd

from anytime_lib.plots.style import count, size
from anytime_lib.readings.words import listed
from anytime_lib.stats.estimate import by_effort, efforts

CAVEATS = {
    "SmolLM2-135M": "SmolLM2-135M-Instruct is a very small model, embedded so that everything runs without a key. Its "
    "reasoning rarely helps it. These curves show that the machinery works; they say nothing about large models.",
    "qwen2.5-coder": "Qwen2.5-Coder is a small model, embedded so that everything runs without a key. It reasons a "
    "little; what helps it or does not says nothing about large models.",
    "simulated": "These numbers are of a simulation: no language model was asked. They show whether the machinery "
    "finds a truth that is known; they say nothing about any model.",
}
"""What must be said beside the numbers of a model whose name begins so."""
_OWN = {
    "ladder": "These problems are the ladder's, made by this package with integer answers; none is from AIME",
    "anytime_lib science v1": "These questions are of this package's own, with four options; none is from GPQA",
    "generated": "These trips were generated in the form of NATURAL PLAN; none is from its data set",
}
"""What must be said of problems by their source."""


def caveat(model: str) -> str:
    """What must be said beside a model's numbers; empty if nothing must."""
    return next((says for name, says in CAVEATS.items() if model.startswith(name)), "")


def read_measured(table: pd.DataFrame) -> str:
    """What was measured on each task, whose problems they are, and how many answers could be had and read (of
    `report.measured`)."""
    told = []
    for task, part in table.groupby("task", sort=False):
        row, missing = part.iloc[0], int(part.missing.sum())
        text = f"{task} ({size(int(row.n), int(row.N))}, {count(int(row['T']), 'budget')} from {row.budgets} tokens): "
        text += "every answer could be had" if not missing else f"{missing:,} of {part.cells.sum():,} answers failed"
        worst = part.read.min()
        each = " or more of each method's" * (len(part) > 1)
        text += f", and {f'{worst:.1%}{each}' if worst < 1 else 'all of them'} could be read."
        told.append(f"{text} {_OWN.get(row.source, f'Source of the problems: {row.source}')}.")
    return "\n".join(told)


def read_lengths(cells: pd.DataFrame, **settings: Any) -> str:
    """How many tokens the traces of one method took at the largest budget of each task, and how many ended by
    themselves. Of levels of effort, of which methods there may be several: what each took, as billed.

    Args:
        settings: n_resamples (2,000), seed (0), confidence_level (.95), of the intervals of levels.
    """
    if by_effort(cells):
        return _read_efforts(efforts(cells, **settings))
    told = []
    for task, part in cells.groupby("task", sort=False):
        end = part[part.budget == part.budget.max()]
        text = f"{task}: {end.tokens_used.mean():,.0f} of at most {end.budget.iloc[0]:,} tokens on average; "
        told.append(f"{text}{end.stopped_naturally.mean():.0%} end by themselves.")
    return "\n".join(told)


def _read_efforts(table: pd.DataFrame) -> str:
    told = ["A level of effort allows no number of tokens: wherever a budget stands, it is the mean that a level took."]
    for (task, method), part in table.groupby(["task", "method"], sort=False):
        of = zip(part.effort, part.tokens, part.tokens_low, part.tokens_high, strict=True)
        took = listed(f"{level} {mean:,.0f} [{low:,.0f}, {high:,.0f}]" for level, mean, low, high in of)
        told.append(f"{task}, {method}: a run took {took} tokens on average; {part.ended.min():.0%} or more ended.")
    return "\n".join(told)
