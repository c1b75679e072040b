"""What did the model think, what did it say when it was stopped, and why was it graded so?"""

import pandas as pd

from anytime_lib.errors import DataError, RequestFailed
from anytime_lib.models.tokens import cut
from anytime_lib.registry import load_task
from anytime_lib.stats.estimate import by_effort
from anytime_lib.store import CELL_KEY, Store
from anytime_lib.sweep.client import tokens_request, trace_of
from anytime_lib.types import Trace, digest, shown

_OF_CELLS = [*CELL_KEY[2:], "tokens_used", "stopped_naturally", "score", "status"]
_TEXTS = ["reason", "problem", "gold", "reasoning", "answer"]


def stored_trace(store: Store, key: str) -> Trace:
    """The trace of that key, as the store has it: DataError if it has none, RequestFailed if it cannot be cut."""
    row, request = store.get(key), store.request(key)
    if row is None or request is None:
        raise DataError(f"{store.path} has no trace {key}")
    return trace_of(key, request["messages"], row, store.get(digest(tokens_request(key))))


def transcripts(store: Store, cells: pd.DataFrame) -> pd.DataFrame:
    """The texts behind some cells of a run, one row per cell, in their order.

    Columns: those that say which cell it is and how it was graded (task to budget, tokens_used, stopped_naturally,
    score, status); reason (the grader's); problem; gold (the right answer, as a model should write it); reasoning (as
    far as the budget; empty where it cannot be cut); answer (empty where the request failed); boundaries (where those
    of the tokens come from, see `types.TokenMode`). The texts of private problems are withheld.
    """
    problems = {(p.task, p.id): p for p in store.problems()}
    place = [*CELL_KEY[:6], "effort" if by_effort(cells) else "budget"]  # a store has levels by their place
    told, rows = cells[[*{*CELL_KEY, *place, *_OF_CELLS[5:]}, "trace_key", "answer_key"]], []
    for row in told.merge(store.cells()[[*place, "detail"]], on=place, how="left").to_dict("records"):
        problem, answer = problems[row["task"], row["problem_id"]], store.get(str(row["answer_key"]))
        gold = "not known" if problem.gold is None else load_task(problem.task).gold_answer(problem)
        try:
            trace = stored_trace(store, str(row["trace_key"]))
            reasoning, row["boundaries"] = cut(trace.text, trace.ends, int(row["tokens_used"])), trace.token_mode
        except (DataError, RequestFailed):
            reasoning, row["boundaries"] = "", ""
        texts = row["detail"], problem.text, gold, reasoning, answer["text"] if answer else ""
        rows.append(row | {name: shown(problem, str(text)) for name, text in zip(_TEXTS, texts, strict=True)})
    return pd.DataFrame(rows, columns=[*_OF_CELLS, *_TEXTS, "boundaries"])
