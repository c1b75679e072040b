"""What was paid, for what, and what would the same curve have cost with a run of its own for every budget?"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.methods.search import Searching
from anytime_lib.registry import load_method, method_names
from anytime_lib.store import Store
from anytime_lib.sweep.prices import Price, load_prices, price_of
from anytime_lib.sweep.spending import SpendLimit
from anytime_lib.types import digest

TOKENS = ["prompt_tokens", "cached_tokens", "completion_tokens"]


def attempts(store: Store) -> pd.DataFrame:
    """Every request that was billed: key, kind, task, method, model, endpoint, status, tokens, seconds, created."""
    found = store.attempts()
    return found[(found[TOKENS].sum(axis=1) > 0) & (found.kind != "recorded")]


def _dollars(rows: pd.DataFrame, table: tuple[Price, ...] | None) -> pd.Series:
    """The price of each row of usage, by its model and endpoint; NaN where none is known."""
    cost = pd.Series(float("nan"), index=rows.index)
    for (model, endpoint), group in rows.groupby(["model", "endpoint"], sort=False):
        if price := price_of(str(model), str(endpoint), table):
            cost[group.index] = (
                (group.prompt_tokens - group.cached_tokens) * price.input
                + group.cached_tokens * price.cached + group.completion_tokens * price.output
            ) / 1e6  # fmt: skip
    return cost


def ledger_table(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What a run was billed, by task, method and kind.

    Kinds: `trace` (reasoning), `answer`, `synthesis` (attempts at the pool, and their answers), `judge` (verdicts),
    `value` (of a thought), `explain` and `principle` (of LEAP), whatever a method of the user's own names, `probe`,
    and `retry`: whatever was billed for requests that came to nothing or had to be asked again.

    Args:
        prices: file of prices; None: the package's own dated table.

    Returns:
        One row per (task, method, kind): requests, prompt_tokens (cached ones included), cached_tokens,
        completion_tokens, seconds (summed over requests), dollars (NaN where no price is known), share (of all tokens)
        and dollars_per_million (the effective price: dollars per million tokens of prompt and completion).
    """
    rows = attempts(store)
    last = ~rows.duplicated("key", keep="last") & (rows.status == "ok")
    kind = rows.kind.where(~((rows.method == "synthesis") & rows.kind.isin(["trace", "answer"])), "synthesis")
    rows = rows.assign(kind=kind.where(last, "retry"), dollars=_dollars(rows, load_prices(prices)))
    groups = rows.groupby(["task", "method", "kind"], sort=False)
    table = groups.size().to_frame("requests").join(groups[[*TOKENS, "seconds"]].sum())
    table["dollars"] = groups["dollars"].sum(min_count=1)
    whole = table.prompt_tokens + table.completion_tokens
    table["share"] = whole / max(whole.sum(), 1)
    table["dollars_per_million"] = 1e6 * table.dollars / whole
    return table.reset_index()


def against_fresh(store: Store, prices: str | None = None) -> pd.DataFrame:
    """What the curves cost, and what they would have cost with a run of its own for every budget.

    A fresh run at budget b would have written min(b, length) tokens of reasoning on the trace's own prompt, and its
    answer would have been asked for as it was; both are read off the stored cells, so the comparison is one of tokens,
    with nothing sampled. Cached prompt tokens are taken as they came, for the fresh runs in the same proportion.

    Returns:
        One row per (task, method), but for those that search (their traces are not one reasoning cut at every budget):
        reasoning_tokens and fresh_reasoning_tokens, prompt_tokens and
        fresh_prompt_tokens, total and fresh_total (answers included), ratio (total / fresh_total), and dollars and
        fresh_dollars (NaN where no price is known).
    """
    usage = store.requests().set_index("key")
    cells = store.cells().dropna(subset=["trace_key", "answer_key"])
    rows = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        if method == "recorded" or (method in method_names() and isinstance(load_method(str(method)), Searching)):
            continue
        cut, fresh = dict.fromkeys(TOKENS, 0.0), dict.fromkeys(TOKENS, 0.0)
        found: dict[str, Any] = {"task": task, "method": method}
        traces, answers = usage.loc[arm.trace_key], usage.loc[arm.answer_key]
        own = (arm.trace_key != arm.answer_key).to_numpy()
        for name in TOKENS:
            cut[name] = float(usage.loc[arm.trace_key.unique(), name].sum()
                              + usage.loc[arm.answer_key[own].unique(), name].sum())  # fmt: skip
            fresh[name] = float(answers[name][own].sum()
                                + (arm.tokens_used if name == "completion_tokens" else traces[name]).sum())  # fmt: skip
        found |= {"reasoning_tokens": float(usage.loc[arm.trace_key.unique(), "completion_tokens"].sum()),
                  "fresh_reasoning_tokens": float(arm.tokens_used.sum())}  # fmt: skip
        price = price_of(str(traces.model.iloc[0]), str(traces.endpoint.iloc[0]), load_prices(prices))
        for label, spent in (("", cut), ("fresh_", fresh)):
            found[f"{label}prompt_tokens"] = spent["prompt_tokens"]
            found[f"{label}total"] = spent["prompt_tokens"] + spent["completion_tokens"]
            found[f"{label}dollars"] = price.of(spent) if price else float("nan")
        rows.append(found | {"ratio": found["total"] / max(found["fresh_total"], 1)})
    return pd.DataFrame(rows)


def identical_traces(store: Store) -> pd.DataFrame:
    """How many traces are word for word another sample of their problem: a sign that a server ignores the seed.

    Returns:
        One row per (task, method): traces, identical (beyond the first of each text) and rate.
    """
    cells = store.cells().dropna(subset="trace_key")
    rows = []
    for (task, method), arm in cells.groupby(["task", "method"], sort=False):
        seen: set[tuple[Hashable, int]] = set()
        traces = arm.sort_values("budget").drop_duplicates(["problem_id", "sample"], keep="last")
        for problem, key in zip(traces.problem_id, traces.trace_key, strict=True):
            row = store.get(key) or {}
            seen.add((problem, hash(row.get("reasoning") or row.get("text"))))
        same = len(traces) - len(seen)
        rows.append({"task": task, "method": method, "traces": len(traces), "identical": same,
                     "rate": same / len(traces)})  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "method", "traces", "identical", "rate"])


def reading(table: pd.DataFrame) -> str:
    """One sentence on a `ledger_table`: tokens, how much of them is reasoning, the caches' share, dollars."""
    prompt, cached, completion = (int(table[name].sum()) for name in TOKENS)
    reasoning = int(table[table.kind == "trace"].completion_tokens.sum())
    dollars = table.dollars.sum(min_count=1)
    told = f", ${dollars:.4f} (${1e6 * dollars / max(prompt + completion, 1):.3f} per million)" if dollars > 0 else ""
    return (
        f"{prompt + completion:,} tokens: {prompt:,} of prompts ({cached / max(prompt, 1):.0%} from caches), "
        f"{completion:,} written, {reasoning:,} of them reasoning ({reasoning / max(completion, 1):.0%}){told}"
    )


def spend_limit_of(config: RunConfig, store: Store, model: str, endpoint: str) -> SpendLimit:
    """A run's purse: its caps, and what its store has been charged for so far (looked up where there is a cap)."""
    table = load_prices(config.limits.prices)
    tokens, dollars = 0, 0.0
    if config.limits.spend_cap_tokens is not None or config.limits.spend_cap_dollars is not None:
        rows = attempts(store)
        tokens = int((rows.prompt_tokens + rows.completion_tokens).sum())
        dollars = float(_dollars(rows, table).sum())
    return SpendLimit(price_of(model, endpoint, table), cap_tokens=config.limits.spend_cap_tokens,
                 cap_dollars=config.limits.spend_cap_dollars, tokens=tokens, dollars=dollars)  # fmt: skip


def trace_hashes(store: Store) -> pd.Series:
    """A hash of every stored trace's reasoning by its trace_key, by which identical traces are known."""
    rows = {key: store.get(key) or {} for key in store.cells().trace_key.dropna().unique()}
    texts = {key: row.get("reasoning") or row.get("text") for key, row in rows.items()}
    return pd.Series({key: digest(text) for key, text in texts.items() if text}, dtype=object)
