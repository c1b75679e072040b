"""Does a server say the same again? Stored answers are asked once more, one at a time.

Answers are greedy, so they should come back as they were, but for rare near ties: a server that works on several
requests at once adds numbers in another order. A server that mixes up their caches says other things altogether, and
the difference between two methods is then its own.
"""

from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, RequestFailed
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.sweep.client import Request
from anytime_lib.sweep.plan import plan
from anytime_lib.sweep.run import opened, run_async
from anytime_lib.tasks.base import grade_answer
from anytime_lib.types import digest


def repeat_answers(config: RunConfig, n: int = 40) -> pd.DataFrame:
    """Ask n stored answers of a run's tasks again, or all if they are fewer, of all methods by turns; more take the
    same and others. They are stored, under keys of their own, and are on the run's ledger as `again`.

    One row per (task, method): of all its answers `cells` and `unread`, the share in which no answer was found; and
    of those asked again `asked`, `failed`, `differ` (another text) and `regraded` (another score).
    DataError where the run has no answer of this model.
    """
    return run_async(_repeat(config.but(concurrency=1), n))


async def _repeat(config: RunConfig, n: int) -> pd.DataFrame:
    async with opened(config, progress=True) as (run, store, model):
        cells = store.cells(run=run.label, model=model.name)
        cells = cells[(cells.status != "error") & cells.task.isin([*config.tasks])]
        for arm in plan(config, store):
            model.tell_problems(arm.task, arm.problems)
        problems, rows = {(p.task, p.id): p for p in store.problems()}, list[dict[str, Any]]()
        drawn = _drawn(store, cells, n)
        run.bar.bar_format, run.bar.unit, run.bar.total = None, "answer", len(drawn)
        run.bar.set_description_str(f"{run.label}: asking again")
        for score, *of in drawn[["score", "task", "method", "problem_id", "answer_key"]].itertuples(index=False):
            task, method, problem_id, key = map(str, of)
            run.bar.update()
            whole = (store.request(key) or {}) | {"endpoint": model.endpoint_id, "again": 1}
            row = {"task": task, "method": method, "asked": 1}
            try:
                reply = await run.client.complete(Request("again", task, method, whole))
            except RequestFailed:
                rows.append(row | {"failed": 1})
                continue
            grade = grade_answer(load_task(task), problems[task, problem_id], reply["text"], reply["finish_reason"])
            differs = reply["text"] != (store.get(key) or {})["text"]
            rows.append(row | {"differ": int(differs), "regraded": int(grade.score != score)})
    if not rows:
        raise DataError(f"the run {run.label} has no greedy answer of {model.name} that could be asked again")
    unread = cells.assign(cells=1, unread=cells.status != "ok").groupby(["task", "method"], sort=False)
    counts = pd.DataFrame(rows, columns=["task", "method", "asked", "failed", "differ", "regraded"]).fillna(0)
    table = unread.agg({"cells": "sum", "unread": "mean"})
    counts = counts.groupby(["task", "method"]).sum().reindex(table.index, fill_value=0).astype(int)
    return table.join(counts).reset_index()


def _drawn(store: Store, cells: pd.DataFrame, n: int) -> pd.DataFrame:
    """n of these cells whose answers were forced, by a hash of their requests, the methods by turns."""
    requests = store.requests()
    forced = requests.key[(requests.kind == "answer") & (requests.status == "ok")]
    found = cells[cells.answer_key.isin(forced)].drop_duplicates("answer_key")
    found = found.assign(order=found.answer_key.map(digest)).sort_values("order")
    return found.assign(turn=found.groupby(["task", "method"]).cumcount()).sort_values(["turn", "order"]).head(n)
