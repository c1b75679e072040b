"""What has to be asked, and what is already known?

Every call of a model goes through an `Asker`: it looks the request up in the store by the hash of all that
determines it, asks only if it is not there, and stores what came back before anybody uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from anytime_lib.config import RunConfig
from anytime_lib.methods import Attempt
from anytime_lib.models import Model
from anytime_lib.models.endpoint import Endpoint, Reply, RequestFailed
from anytime_lib.prompts import prompt
from anytime_lib.records import Message, Problem, digest
from anytime_lib.store import Store
from anytime_lib.tasks import Task
from anytime_lib.tokens import cut, ends_of, proportional_ends

KEY_VERSION = 1


@dataclass(frozen=True)
class Trace:
    """One sampled reasoning.

    Attributes:
        key: of the request that sampled it.
        messages: the conversation that asked for it.
        text: the reasoning.
        ends: where each token ends, as byte offsets into the text's UTF-8.
        token_mode: where those come from: `stream`, `tokenizer` or `proportional`.
        stopped: the model stopped by itself.
    """

    key: str
    messages: list[Message] = field(repr=False)
    text: str
    ends: list[int] = field(repr=False)
    token_mode: str
    stopped: bool

    @property
    def n_tokens(self) -> int:
        return len(self.ends)

    def used(self, budget: int) -> int:
        """Tokens this trace spends under a budget: the budget, or its own length if it ended before."""
        return min(budget, self.n_tokens)


class Meter(Protocol):
    """Whoever wants to hear of every reply."""

    def heard(self, tokens: int, cached: bool) -> None: ...


class Asker:
    """Asks `model` what `store` does not know, on behalf of one (task, method) arm at a time."""

    def __init__(self, config: RunConfig, store: Store, model: Model, meter: Meter) -> None:
        self.config, self.store, self.model, self.meter = config, store, model, meter

    async def trace(
        self, task: Task, method: str, problem: Problem, messages: list[Message], sample: int, max_tokens: int
    ) -> Trace:
        """The reasoning of one sample, up to `max_tokens`. Arms share seeds, so that a comparison is paired."""
        seed = int(digest([self.config.seed, problem.content_hash, sample])[:8], 16) % 2**31
        request = {
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": self.config.temperature,
            "top_p": self.config.top_p,
            "seed": seed,
            "tokens": True,
        }
        key, row = await self._ask("trace", task.name, method, request, sample, settle=_with_boundaries)
        stopped = row["finish_reason"] != "length"
        return Trace(key, messages, row["text"], row["ends"], row["token_mode"], stopped)

    async def answer(
        self, task: Task, method: str, problem: Problem, trace: Trace, budget: int, sample: int, cap: int
    ) -> tuple[str, dict[str, Any]]:
        """The answer forced after the first `budget` tokens of a trace: (key, row with text, finish_reason, ...).

        By a new user turn after the reasoning given back as the assistant's, or (`prefill`) by letting the model
        go on after a closing phrase. Budgets past the trace's own end share one call.
        """
        so_far = cut(trace.text, trace.ends, trace.used(budget))
        asked = task.answer_prompt(problem)
        request: dict[str, Any] = {"max_tokens": cap, "temperature": 0.0}
        if self.config.answer_via == "prefill":
            closing = f"{so_far.rstrip()}\n\n{prompt('prefill')}".lstrip()
            request |= {
                "messages": [*trace.messages, {"role": "assistant", "content": closing}],
                "prefill": True,
            }
        elif so_far.strip():
            turns = [{"role": "assistant", "content": so_far}, {"role": "user", "content": asked}]
            request["messages"] = [*trace.messages, *turns]
        else:  # nothing was reasoned: an empty assistant's turn is refused by many servers
            question = {"role": "user", "content": f"{trace.messages[-1]['content']}\n\n{asked}"}
            request["messages"] = [*trace.messages[:-1], question]
        return await self._ask("answer", task.name, method, request, sample)

    async def verdict(
        self, task: Task, problem: Problem, a: Attempt, b: Attempt, sample: int
    ) -> tuple[str, dict[str, Any]]:
        """The model's one-letter verdict on two attempts, A and B, with the alternatives' log-probabilities."""
        shown = {name: f"{x.reasoning}\n{x.answer}".strip() for name, x in (("a", a), ("b", b))}
        content = prompt("judge.question", problem=problem.text, **shown)
        request = {
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 4,
            "temperature": 0.0,
            "alternatives": 20,
        }
        return await self._ask("judge", task.name, "synthesis", request, sample)

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int, settle: Any = None
    ) -> tuple[str, dict[str, Any]]:
        whole = {"v": KEY_VERSION, "kind": kind, "model": self.model.name, "endpoint": self.model.endpoint_id,
                 "sample": sample, **request}  # fmt: skip
        key = digest(whole)
        known = self.store.get(key)
        if known is not None:
            self.meter.heard(0, cached=True)
            return key, known
        about = {"key": key, "kind": kind, "task": task, "method": method, "model": self.model.name,
                 "endpoint": self.model.endpoint_id, "request": whole}  # fmt: skip
        endpoint = await self.model.endpoint()
        self.model.calls += 1
        try:
            reply = await endpoint.chat(**request)
            row = await (settle or _said)(reply, endpoint)
        except RequestFailed as error:
            nothing = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0)
            self.store.put(**about, response={"error": str(error)}, status="error", **nothing)
            raise
        usage = {n: row[n] for n in ("prompt_tokens", "cached_tokens", "completion_tokens", "seconds")}
        self.store.put(**about, response=row, status="ok", **usage)
        self.meter.heard(reply.completion_tokens, cached=False)
        return key, row


async def _said(reply: Reply, endpoint: Endpoint) -> dict[str, Any]:
    """An answer or a verdict; one whose cap went into reasoning is a failure of the machinery, not an empty answer."""
    if not reply.text.strip() and (reply.reasoning or reply.finish_reason == "length"):
        raise RequestFailed("the answer's cap was spent on reasoning that is no answer; raise answer_tokens")
    return {**reply.to_json(), "pieces": None}


async def _with_boundaries(reply: Reply, endpoint: Endpoint) -> dict[str, Any]:
    """A trace's reply with its token boundaries: from the stream, else the server's tokenizer, else in proportion."""
    text = reply.reasoning or reply.text
    if not text and reply.completion_tokens > 1:
        raise RequestFailed(
            f"the model spent {reply.completion_tokens} tokens that the server does not show; hidden reasoning "
            "cannot be cut"
        )
    ends, mode = None, "stream"
    if reply.pieces is not None:
        ends = ends_of([bytes.fromhex(p) for p in reply.pieces], text)
    if ends is None:
        pieces, mode = await endpoint.tokenize(text), "tokenizer"
        ends = None if pieces is None else ends_of(pieces, text)
    if ends is None:
        ends, mode = proportional_ends(text, reply.completion_tokens), "proportional"
    if text and not ends:
        raise RequestFailed("the server tells neither tokens nor how many there were, so nothing can be cut")
    return {**reply.to_json(), "pieces": None, "text": text, "ends": ends, "token_mode": mode}
