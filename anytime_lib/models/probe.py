"""What can an endpoint do, and how does it say what it says?

Asked once per endpoint and model, in a few tiny requests, and kept: the settings it takes, where it returns
reasoning, how its tokens can be known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from anytime_lib.errors import RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.reply import EachTry, Reply
from anytime_lib.models.tokens import ends_of, hidden_reasoning

Prefill = Literal["none", "echo", "continue_final_message"]
ReasoningIn = Literal["none", "reasoning_content", "reasoning", "think", "hidden"]
TokenMode = Literal["stream", "tokenizer", "file", "proportional"]

QUESTION = "How many r are there in the word strawberry? Answer with one number."
PROBE_TOKENS = 160
"""Enough for the beginning of a reasoning to show itself; a model that does not reason stops far earlier."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Capabilities:
    """What a probe found of an endpoint and a model.

    Attributes:
        seed: a seed is accepted (which is not to say that it is heeded).
        max_tokens_name: the setting that caps a reply: `max_tokens` or `max_completion_tokens`.
        logprobs: log-probabilities are returned.
        prefill: how an assistant's turn is continued: `none`, `echo` (llama.cpp continues a final assistant's message
            and may repeat it) or `continue_final_message` (vLLM, SGLang).
        reasoning: where reasoning is returned: `none` (the model did none apart from its text), in a field of its own
            (`reasoning_content`, `reasoning`), within `<think>` (`think`), or nowhere though it is billed (`hidden`).
        cached_tokens: prompt tokens taken from a cache are told.
        tokens: how the tokens of a reasoning can be known: `stream`, `tokenizer`, `file` or `proportional`.
        streaming: replies are streamed.
        probed_at: seconds since 1970.
        dropped: every setting and route that was refused.
        owner: who serves, as the list of models says.
    """

    seed: bool
    max_tokens_name: str
    logprobs: bool
    prefill: Prefill
    reasoning: ReasoningIn
    cached_tokens: bool
    tokens: TokenMode
    streaming: bool
    probed_at: float
    dropped: tuple[str, ...] = ()
    owner: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"dropped": list(self.dropped)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Capabilities | None:
        """What `to_json` gave; None where it is something else (an older version's), so that one probes again."""
        try:
            return cls(**value) if value else None
        except ValidationError:
            return None

    def summary(self) -> str:
        """These facts in one sentence."""
        hidden = ", which cannot be cut (mode: fresh)" if self.reasoning == "hidden" else ""
        return (
            f"reasoning: {self.reasoning}{hidden}; tokens: {self.tokens}; prefill: {self.prefill}; "
            f"{'streams' if self.streaming else 'does not stream'}; caps replies by {self.max_tokens_name}; "
            f"refuses {', '.join(sorted(self.dropped)) or 'nothing'}"
        )


async def probe(endpoint: Endpoint, each_try: EachTry | None = None) -> Capabilities:
    """Find out what an endpoint can do, in at most three requests beside those that it refuses.

    Args:
        each_try: makes every try (see `Endpoint.chat`), for it is paid for.

    Raises:
        RequestFailed: it does not even answer a tiny request.
    """
    if not endpoint.owner:
        await endpoint.check()
    question = [{"role": "user", "content": QUESTION}]
    reply = await endpoint.chat(
        question, max_tokens=PROBE_TOKENS, temperature=1.0, seed=1, tokens=True, each_try=each_try
    )
    hidden = hidden_reasoning(reply.to_json(), reply.ends)
    details = reply.usage.get("prompt_tokens_details")
    cached = isinstance(details, dict) and details.get("cached_tokens") is not None
    return Capabilities(
        seed="seed" not in endpoint.dropped,
        max_tokens_name="max_completion_tokens" if "max_tokens" in endpoint.dropped else "max_tokens",
        logprobs="logprobs" not in endpoint.dropped and reply.ends is not None,
        prefill=await _prefill(endpoint, each_try),
        reasoning=cast(ReasoningIn, "hidden" if hidden else reply.reasoning_in or "none"),
        cached_tokens=cached or "prompt_cache_hit_tokens" in reply.usage,
        tokens=await _token_mode(endpoint, reply),
        streaming="stream" not in endpoint.dropped,
        probed_at=time.time(),
        dropped=tuple(sorted(endpoint.dropped)),
        owner=endpoint.owner,
    )


async def _token_mode(endpoint: Endpoint, reply: Reply) -> TokenMode:
    shown = reply.reasoning or reply.text
    if reply.ends is not None and shown:
        return "stream"
    if (pieces := await endpoint.tokenize(shown)) and ends_of(pieces, shown) is not None:
        return "file" if endpoint.tokenized_by_file else "tokenizer"
    return "proportional"


async def _prefill(endpoint: Endpoint, each_try: EachTry | None) -> Prefill:
    """How the endpoint continues an assistant's turn. Only servers that are known to do so are tried: elsewhere a new
    turn that repeats the old one looks the same."""
    if endpoint.owner not in ("llamacpp", "vllm", "sglang"):
        return "none"
    turns = [{"role": "user", "content": "Count to nine."}, {"role": "assistant", "content": "1 2 3 4 5"}]
    try:
        await endpoint.chat(turns, max_tokens=4, temperature=0.0, prefill=True, each_try=each_try)
    except RequestFailed:
        return "none"
    return "echo" if endpoint.owner == "llamacpp" else "continue_final_message"
