"""How good is what recorded traces had finished by each budget, which needs no model to tell?"""

from collections.abc import Sequence

import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.store import tidy

MOST_UNKNOWN = 0.05


def finished_cells(traces: pd.DataFrame, budgets: Sequence[int], *, task: str, method: str) -> pd.DataFrame:
    """The cells of traces that others recorded, a row per trace and budget, as `Store.cells` has them.

    A trace that ended by itself within a budget scores what its own answer scores; before its end it has none, status
    `empty` and score 0. Beyond the point where a recording broke off nobody knows what would have come: status `error`,
    no score. A budget at which this holds for more than one trace in twenty is left out, for the rest would be those
    that end early. The answer's tokens count where they are known. Nothing was forced, so this is a lower bound of
    anytime quality.

    Args:
        traces: of `import_traces`; those that match no problem are left out.
        budgets: tokens.
        task, method: what the cells say; `method` names the curve, so it is the model that made the traces.

    DataError where the length of a trace is not known, or no budget is left.
    """
    known = traces.dropna(subset="problem_id")
    if n := int((known.tokens == 0).sum()):
        why = f"{n} of {len(known)} traces tell no token count"
        raise DataError(f"{method} on {task}: {why}; name the model's own tokenizer.json as `tokenizer_file`")
    cells = known.merge(pd.DataFrame({"budget": sorted(budgets)}), how="cross")
    ended, length = cells.score.notna(), cells.tokens + cells.answer_tokens
    finished, unknown = ended & (length <= cells.budget), ~ended & (length < cells.budget)
    cells["status"] = cells.status.where(finished, "empty").mask(unknown, "error")
    cells["score"] = cells.score.where(finished, 0.0).mask(unknown)
    cells["correct"] = (cells.score == 1).astype("boolean").mask(unknown)
    cells["tokens_used"] = length.clip(upper=cells.budget)
    about = {"run": "recorded", "model": "recorded by others", "task": task, "method": method}
    cells = cells.assign(**about, stopped_naturally=finished)
    seen = cells[unknown.groupby(cells.budget).transform("mean") <= MOST_UNKNOWN]
    if seen.empty:
        raise DataError(f"{method} on {task}: the recordings broke off before {min(budgets)} tokens")
    return tidy(seen).reset_index(drop=True)
