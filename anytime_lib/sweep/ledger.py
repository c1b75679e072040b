"""What was a run billed, and what would runs of their own for every budget have cost?"""

import pandas as pd

from anytime_lib.methods.base import Prompted
from anytime_lib.registry import load_method, method_names
from anytime_lib.store import Store
from anytime_lib.sweep.costs import TOKENS, billed, price_of
from anytime_lib.types import digest


def ledger_table(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What a run was billed, by task, method and kind.

    Kinds: `trace` (reasoning), `answer`, `synthesis` (attempts at the pool, and their answers), `judge` (verdicts),
    `value` (of a thought), `explain` and `principle` (of LEAP), whatever a method of the user's own names, `probe`,
    `retry`: whatever was billed for requests that came to nothing or had to be asked again, and `unconfirmed`: what may
    have been billed for replies that were lost on their way, at most; it counts against a cap on spending.

    One row per (task, method, kind): requests, prompt_tokens (cached ones included), cached_tokens, completion_tokens,
    seconds (summed over requests), dollars (NaN where no price is known) and share (of all tokens).
    """
    rows = billed(store, prices)
    counted = ~rows.duplicated("key", keep="last") & rows.status.isin(["ok", "batch"])
    attempts = (rows.method == "synthesis") & rows.kind.isin(["trace", "answer"])
    rows["kind"] = rows.kind.mask(attempts, "synthesis").where(counted, "retry")
    rows["kind"] = rows.kind.mask(rows.status == "unconfirmed", "unconfirmed")
    groups = rows.groupby(["task", "method", "kind"], sort=False)
    table = groups[[*TOKENS, "seconds"]].sum().assign(dollars=groups.dollars.sum(min_count=1))
    table.insert(0, "requests", groups.size())
    return table.assign(share=groups.tokens.sum() / max(rows.tokens.sum(), 1)).reset_index()


def ledger_summary(table: pd.DataFrame) -> str:
    """One sentence on a `ledger_table`: tokens, how much of them is reasoning, the caches' share, dollars, and apart
    from them what is unconfirmed."""
    lost = table.kind == "unconfirmed"
    unsure, table = int(table[lost][["prompt_tokens", "completion_tokens"]].sum().sum()), table[~lost]
    prompt, cached, completion = (int(table[name].sum()) for name in TOKENS)
    reasoning = int(table[table.kind == "trace"].completion_tokens.sum())
    dollars = table.dollars.sum(min_count=1)
    return (
        f"{prompt + completion:,} tokens: {prompt:,} of prompts ({cached / max(prompt, 1):.0%} from caches), "
        f"{completion:,} written, {reasoning:,} of them reasoning ({reasoning / max(completion, 1):.0%})"
        + (f", ${dollars:.4f}" if dollars > 0 else "")
        + (f"; at most {unsure:,} more may have been billed for lost replies" if unsure else "")
    )


def against_fresh(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What the curves cost, and what they would have cost with a run of its own for every budget.

    A fresh run at budget b would have written min(b, length) tokens of reasoning on the trace's own prompt, and its
    answer would have been asked for as it was; both are read off the stored cells. Cached prompt tokens are taken as
    they came, for the fresh runs in the same proportion.

    One row per (task, method) that cuts traces: reasoning_tokens, total (prompts and answers included), dollars (NaN
    where no price is known), the same of fresh runs (fresh_...), and ratio (total / fresh_total).
    """
    usage = store.requests().set_index("key")
    cells = store.cells().dropna(subset=["trace_key", "answer_key"])
    known = {name for name in method_names() if isinstance(load_method(name), Prompted)} - {"imported"}
    rows = []
    for (task, method), arm in cells[cells.method.isin(known)].groupby(["task", "method"], sort=False):
        apart = arm.answer_key[arm.trace_key != arm.answer_key]  # a fresh run may have answered within its trace
        once, all_of_them = usage.loc[arm.trace_key.unique()], usage.loc[arm.trace_key, TOKENS].sum()
        all_of_them["completion_tokens"] = arm.tokens_used.sum()
        price, row = price_of(once.model.iloc[0], once.endpoint.iloc[0], prices), [task, method]
        for traces, answers in ((once[TOKENS].sum(), apart.unique()), (all_of_them, apart)):
            spent = traces + usage.loc[answers, TOKENS].sum()
            dollars = price.dollars(*spent) if price else float("nan")
            row += [traces.completion_tokens, spent.prompt_tokens + spent.completion_tokens, dollars]
        rows.append(row)
    measures = ["reasoning_tokens", "total", "dollars"]
    table = pd.DataFrame(rows, columns=["task", "method", *measures, *(f"fresh_{name}" for name in measures)])
    return table.assign(ratio=table.total / table.fresh_total)


def trace_hashes(store: Store) -> pd.Series:
    """A hash of every stored trace's reasoning by its trace_key, by which identical traces are known."""
    rows = {key: store.get(key) or {} for key in store.cells().trace_key.dropna().unique()}
    texts = pd.Series({key: row.get("reasoning") or row.get("text") for key, row in rows.items()}, dtype=object)
    return texts[texts.astype(bool)].map(digest)
