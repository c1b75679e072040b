"""What can an endpoint do, and does it show reasoning?

Asked once per endpoint and model, in one tiny request beside those that it refuses, and kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.reply import Reply, hidden_reasoning
from anytime_lib.models.tokens import ends_of

QUESTION = "How many r are there in the word strawberry? Answer with one number."
PROBE_TOKENS = 160
"""Enough for the beginning of a reasoning to show itself; a model that does not reason stops far earlier."""


async def probe(endpoint: Endpoint, ask: Callable[..., Awaitable[Reply]]) -> dict[str, Any]:
    """What an endpoint can do, as it is stored; `ask` makes the request in place of `endpoint.chat`, for it is paid.

    Returns:
        reasoning (returned apart from the text, `shown`; not at all though it is billed, `hidden`; or `none`), tokens
        (how those of a reasoning are known: see `TokenMode`), dropped (settings and routes that were refused) and owner
        (who serves).

    Raises:
        RequestFailed: it does not even answer a tiny request.
    """
    question = [{"role": "user", "content": QUESTION}]
    reply = await ask(messages=question, max_tokens=PROBE_TOKENS, temperature=1.0, seed=1, tokens=True)
    shown, tokens = reply.reasoning or reply.text, "stream"
    if reply.ends is None or not shown:
        pieces, by_file = await endpoint.tokenize(shown)
        known = pieces and ends_of(pieces, shown) is not None
        tokens = "proportional" if not known else "file" if by_file else "tokenizer"
    hidden = hidden_reasoning(reply.to_json(), reply.ends)
    reasoning = "hidden" if hidden else "shown" if reply.reasoning else "none"
    return {"reasoning": reasoning, "tokens": tokens, "dropped": sorted(endpoint.dropped), "owner": endpoint.owner}
