"""Where may a stored reasoning be cut, and was all of it shown?"""

from __future__ import annotations

from typing import Any

from anytime_lib.errors import DataError, HiddenReasoning, RequestFailed
from anytime_lib.models.reply import expected_tokens, hidden_reasoning, reasoning_of
from anytime_lib.models.tokens import proportional_ends, scaled_ends
from anytime_lib.store import Store
from anytime_lib.types import Message, Problem, TokenMode, Trace, digest

KEY_VERSION = 1

Tokenised = dict[str, Any]
"""What a tokenizer said of a trace: `ends` (None: there is none), `by_file`: it was the user's, not the server's."""


def tokens_request(trace_key: str) -> dict[str, Any]:
    """What determines a trace's token boundaries, where a tokenizer tells them."""
    return {"v": KEY_VERSION, "kind": "tokens", "trace": trace_key}


def recorded_key(problem: Problem, sample: int) -> str:
    """The store's key of a recorded trace."""
    return digest({"kind": "recorded", "task": problem.task, "problem": problem.content_hash, "sample": sample})


def stored_trace(store: Store, key: str) -> Trace:
    """The trace of that key, as the store has it; asks nobody.

    Raises:
        DataError: the store has no such trace.
        RequestFailed: what the server returned cannot be cut; the text says why.
    """
    row, request = store.get(key), store.request(key)
    if row is None or request is None:
        raise DataError(f"{store.path} has no trace {key}")
    return trace_of(key, request["messages"], row, store.get(digest(tokens_request(key))))


def trace_of(key: str, messages: list[Message], row: dict[str, Any], tokenised: Tokenised | None) -> Trace:
    """A stored reply as a trace, with its token boundaries: the stream's, else the server's tokenizer's, else those of
    the user's tokenizer scaled to what was billed, else in proportion.

    Raises:
        HiddenReasoning: the server hides it, wholly or in part.
        RequestFailed: nothing tells how many tokens there are.
    """
    text, apart, billed = reasoning_of(row), bool(row["reasoning"]), expected_tokens(row)
    told, by_file = (tokenised or {}).get("ends"), bool((tokenised or {}).get("by_file"))
    known = told if row["ends"] is None else row["ends"]
    if why := hidden_reasoning(row, None if by_file else known):
        raise HiddenReasoning(why)
    mode: TokenMode
    if known is None:
        ends, mode = proportional_ends(text, billed), "proportional"
        if text and not ends:
            raise RequestFailed("the server tells neither tokens nor how many there were, so nothing can be cut")
    elif row["ends"] is not None:
        ends, mode = known, "stream"
    elif by_file:
        ends, mode = (scaled_ends(known, billed) if billed else known), "file"
    else:
        ends, mode = known, "tokenizer"
    stopped = row["finish_reason"] != "length" or (apart and bool(row["text"].strip()))
    return Trace(key, messages, text, ends, mode, stopped, row.get("prompt_tokens") or 0)
