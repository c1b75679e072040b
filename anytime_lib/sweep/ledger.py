"""What was a run billed, and what would runs of their own for every budget have cost?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from anytime_lib.methods.base import Prompted
from anytime_lib.registry import load_method, method_names
from anytime_lib.store import Store
from anytime_lib.sweep.costs import TOKENS, billed, load_prices, price_of
from anytime_lib.types import digest


def ledger_table(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What a run was billed, by task, method and kind.

    Kinds: `trace` (reasoning), `answer`, `synthesis` (attempts at the pool, and their answers), `judge` (verdicts),
    `value` (of a thought), `explain` and `principle` (of LEAP), whatever a method of the user's own names, `probe`,
    and `retry`: whatever was billed for requests that came to nothing or had to be asked again.

    Returns:
        One row per (task, method, kind): requests, prompt_tokens (cached ones included), cached_tokens,
        completion_tokens, seconds (summed over requests), dollars (NaN where no price is known) and share (of all
        tokens).
    """
    rows = billed(store, prices)
    counted = ~rows.duplicated("key", keep="last") & (rows.status == "ok")
    attempts = (rows.method == "synthesis") & rows.kind.isin(["trace", "answer"])
    rows["kind"] = rows.kind.mask(attempts, "synthesis").where(counted, "retry")
    groups = rows.groupby(["task", "method", "kind"], sort=False)
    table = groups.size().to_frame("requests").join(groups[[*TOKENS, "seconds"]].sum())
    table["dollars"] = groups["dollars"].sum(min_count=1)
    whole = table.prompt_tokens + table.completion_tokens
    table["share"] = whole / max(whole.sum(), 1)
    return table.reset_index()


def ledger_summary(table: pd.DataFrame) -> str:
    """One sentence on a `ledger_table`: tokens, how much of them is reasoning, the caches' share, dollars."""
    prompt, cached, completion = (int(table[name].sum()) for name in TOKENS)
    reasoning = int(table[table.kind == "trace"].completion_tokens.sum())
    dollars = table.dollars.sum(min_count=1)
    return (
        f"{prompt + completion:,} tokens: {prompt:,} of prompts ({cached / max(prompt, 1):.0%} from caches), "
        f"{completion:,} written, {reasoning:,} of them reasoning ({reasoning / max(completion, 1):.0%})"
        + (f", ${dollars:.4f}" if dollars > 0 else "")
    )


def against_fresh(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What the curves cost, and what they would have cost with a run of its own for every budget.

    A fresh run at budget b would have written min(b, length) tokens of reasoning on the trace's own prompt, and its
    answer would have been asked for as it was; both are read off the stored cells. Cached prompt tokens are taken as
    they came, for the fresh runs in the same proportion.

    Returns:
        One row per (task, method) that cuts traces: reasoning_tokens, total (prompts and answers included), dollars
        (NaN where no price is known), the same of fresh runs (fresh_...), and ratio (total / fresh_total).
    """
    usage = store.requests().set_index("key")
    cells = store.cells().dropna(subset=["trace_key", "answer_key"])
    known = {name for name in method_names() if isinstance(load_method(name), Prompted)} - {"imported"}
    rows = []
    for (task, method), arm in cells[cells.method.isin(known)].groupby(["task", "method"], sort=False):
        apart = arm.trace_key != arm.answer_key  # a fresh run may have answered within its trace
        traces, answers = usage.loc[arm.trace_key], usage.loc[arm.answer_key[apart]]
        once, read_once = (found[~found.index.duplicated()] for found in (traces, answers))
        row: dict[str, Any] = {"task": task, "method": method}
        price = price_of(str(traces.model.iloc[0]), str(traces.endpoint.iloc[0]), load_prices(prices))
        for prefix, sampled, read, reasoning in (
            ("", once, read_once, once.completion_tokens.sum()),
            ("fresh_", traces, answers, arm.tokens_used.sum()),
        ):
            spent = sampled[TOKENS].sum() + read[TOKENS].sum()
            spent["completion_tokens"] += reasoning - sampled.completion_tokens.sum()
            row[f"{prefix}reasoning_tokens"] = reasoning
            row[f"{prefix}total"] = spent.prompt_tokens + spent.completion_tokens
            row[f"{prefix}dollars"] = price.dollars(*spent[TOKENS]) if price else float("nan")
        rows.append(row | {"ratio": row["total"] / max(row["fresh_total"], 1)})
    return pd.DataFrame(rows)


def trace_hashes(store: Store) -> pd.Series:
    """A hash of every stored trace's reasoning by its trace_key, by which identical traces are known."""
    rows = {key: store.get(key) or {} for key in store.cells().trace_key.dropna().unique()}
    texts = pd.Series({key: row.get("reasoning") or row.get("text") for key, row in rows.items()}, dtype=object)
    return texts[texts.astype(bool)].map(digest)
