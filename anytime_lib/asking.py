"""What has to be asked, and what is already known?

Every call of a model goes through an `Asker`: it looks the request up in the store by the hash of all that
determines it, asks only if it is not there, and stores what came back before anybody uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.methods import Attempt
from anytime_lib.models import Model
from anytime_lib.models.endpoint import RequestFailed
from anytime_lib.prompts import prompt
from anytime_lib.recorded import recorded_key
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
    token_mode: Literal["stream", "tokenizer", "proportional"]
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
        key, row = await self._ask("trace", task.name, method, request, sample)
        tokenised = None
        if row["ends"] is None:
            tokenised = await self._tokenised(key, _reasoning(row), task.name, method)
        return _trace_of(key, messages, row, tokenised)

    async def recorded(self, task: Task, method: str, problem: Problem, messages: list[Message], sample: int) -> Trace:
        """A trace that somebody else recorded. Where its own model's token count is not told, the tokens are those of
        the model that answers from it."""
        key = recorded_key(problem, sample)
        row = self.store.get(key)
        if row is None:
            raise RequestFailed("no trace of this problem was imported")
        told = row["reasoning_tokens"] > 0
        tokenised = None if told else await self._tokenised(key, row["reasoning"], task.name, method)
        return _trace_of(key, messages, row, tokenised)

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
        return _visible(*await self._ask("answer", task.name, method, request, sample))

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
        return _visible(*await self._ask("judge", task.name, "synthesis", request, sample))

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int
    ) -> tuple[str, dict[str, Any]]:
        """The server's reply to a request as it came, from the store or else asked for and stored first."""
        whole = {"v": KEY_VERSION, "kind": kind, "model": self.model.name, "endpoint": self.model.endpoint_id,
                 "sample": sample, **request}  # fmt: skip
        key = digest(whole)
        known = self.store.get(key)
        if known is not None:
            self.meter.heard(0, cached=True)
            return key, known
        endpoint = await self.model.endpoint()
        self.model.calls += 1
        try:
            reply = await endpoint.chat(**request)
        except RequestFailed as error:
            self._put(key, kind, task, method, whole, {"error": str(error)}, error.usage, status="error")
            raise
        row = reply.to_json()
        self._put(key, kind, task, method, whole, row, row)
        self.meter.heard(reply.completion_tokens, cached=False)
        return key, row

    async def _tokenised(self, trace_key: str, text: str, task: str, method: str) -> list[int] | None:
        """Token boundaries of a trace from the server's tokenizer; None where it has none. Asked once, and stored."""
        whole = _tokenising(trace_key)
        known = self.store.get(digest(whole))
        if known is None:
            pieces = await (await self.model.endpoint()).tokenize(text)
            known = {"ends": None if pieces is None else ends_of(pieces, text)}
            self._put(digest(whole), "tokens", task, method, whole, known, {})
        return known["ends"]

    def _put(
        self, key: str, kind: str, task: str, method: str, request: dict[str, Any], response: dict[str, Any],
        usage: dict[str, Any], status: str = "ok",
    ) -> None:  # fmt: skip
        counts = {n: usage.get(n, 0) for n in ("prompt_tokens", "cached_tokens", "completion_tokens", "seconds")}
        self.store.put(
            key=key, kind=kind, task=task, method=method, model=self.model.name, endpoint=self.model.endpoint_id,
            request=request, response=response, status=status, **counts,
        )  # fmt: skip


def stored_trace(store: Store, key: str) -> Trace:
    """The trace of that key, as the store has it; asks nobody.

    Raises:
        DataError: the store has no such trace.
        RequestFailed: what the server returned cannot be cut; the text says why.
    """
    row, request = store.get(key), store.request(key)
    if row is None or request is None:
        raise DataError(f"{store.path} has no trace {key}")
    tokenised = store.get(digest(_tokenising(key))) or {"ends": None}
    return _trace_of(key, request["messages"], row, tokenised["ends"])


def _tokenising(trace_key: str) -> dict[str, Any]:
    return {"v": KEY_VERSION, "kind": "tokens", "trace": trace_key}


def _reasoning(row: dict[str, Any]) -> str:
    """What there is to cut: the reasoning if the server returned it apart, else the whole text."""
    return str(row["reasoning"] or row["text"])


def _trace_of(key: str, messages: list[Message], row: dict[str, Any], tokenised: list[int] | None) -> Trace:
    """A stored reply as a trace, with its token boundaries: the stream's, else the tokenizer's, else in proportion.

    Reasoning that the server hides, wholly or in part, cannot be cut, and is refused: `RequestFailed`.
    """
    text, apart, billed = _reasoning(row), bool(row["reasoning"]), row["completion_tokens"]
    told = row["reasoning_tokens"]
    if (told and not apart and "<think>" not in text) or (not text and billed > 1):
        raise RequestFailed(
            f"the model spent {told or billed} reasoning tokens that the server does not show; hidden reasoning "
            "cannot be cut"
        )
    # What the tokens of this text should number, where the bill tells: reasoning alone, or its share of the whole.
    expected = (told or round(billed * len(text) / (len(text) + len(row["text"])))) if apart else billed
    mode: Literal["stream", "tokenizer", "proportional"]
    if row["ends"] is not None:
        ends, mode = row["ends"], "stream"
    elif tokenised is not None:
        ends, mode = tokenised, "tokenizer"
    else:
        ends, mode = proportional_ends(text, expected), "proportional"
        if text and not ends:
            raise RequestFailed("the server tells neither tokens nor how many there were, so nothing can be cut")
    shown = len(ends) if mode != "proportional" else len(text.encode())  # a token has a byte at the least
    if expected - shown > max(16, expected // 4):
        raise RequestFailed(
            f"the server bills {expected} tokens of reasoning and shows about {shown}; reasoning hidden in part cannot "
            "be cut"
        )
    stopped = row["finish_reason"] != "length" or (apart and bool(row["text"].strip()))
    return Trace(key, messages, text, ends, mode, stopped)


def _visible(key: str, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An answer or a verdict; one whose cap went into reasoning is a failure of the machinery, not an empty answer."""
    if not row["text"].strip() and (row["reasoning"] or row["reasoning_tokens"] or row["finish_reason"] == "length"):
        raise RequestFailed("the answer's cap was spent on reasoning that is no answer; raise answer_tokens")
    return key, row
