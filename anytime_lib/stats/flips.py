"""Where did a method change the answer for good? Worked examples chosen by rule, not by eye."""

from __future__ import annotations

import pandas as pd

from anytime_lib.errors import DataError


def flips(cells: pd.DataFrame, *, baseline: str, treatment: str) -> pd.DataFrame:
    """Samples on which a method corrected the baseline, or made it worse, from some budget on.

    A correction that held: at a budget the baseline is wrong, and the treatment is right there and at every larger
    budget. An error that was reinforced: the baseline is right at a budget, and the treatment is wrong there and at
    every larger one. Samples are paired by problem and number; the smallest such budget counts.

    Args:
        cells: the tidy table; one run, model and task.

    Returns:
        One row per sample that turned: problem_id, sample, kind (`correction` or `error`), budget, n_budgets (at which
        it held), baseline_key and treatment_key (of the answers at that budget), in the order kind, budget (the
        longest-held first), problem, sample.

    Raises:
        DataError: a method is not there.
    """
    if missing := {baseline, treatment} - set(cells.method):
        raise DataError(f"no cells of {' and '.join(sorted(missing))}, so nothing can have turned")
    keys = ["problem_id", "sample", "budget"]
    arms = [cells[(cells.method == m) & (cells.status != "error")][[*keys, "correct", "answer_key"]]
            for m in (baseline, treatment)]  # fmt: skip
    both = arms[0].merge(arms[1], on=keys, suffixes=("_baseline", "_treatment")).sort_values(keys)
    rows = []
    for (problem, sample), part in both.groupby(["problem_id", "sample"], sort=False):
        before, after = (part[f"correct_{which}"].astype(bool).to_numpy() for which in ("baseline", "treatment"))
        for kind, right in (("correction", True), ("error", False)):
            held = after == right
            for t in range(len(part)):
                if held[t:].all() and before[t] != right:
                    row = part.iloc[t]
                    rows.append({"problem_id": problem, "sample": sample, "kind": kind, "budget": int(row.budget),
                                 "n_budgets": len(part) - t, "baseline_key": row.answer_key_baseline,
                                 "treatment_key": row.answer_key_treatment})  # fmt: skip
                    break
    columns = ["problem_id", "sample", "kind", "budget", "n_budgets", "baseline_key", "treatment_key"]
    found = pd.DataFrame(rows, columns=columns)
    return found.sort_values(["kind", "budget", "problem_id", "sample"], ignore_index=True)
