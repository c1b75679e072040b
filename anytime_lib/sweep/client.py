"""Is it known already? If not, a backend is asked.

Every call of a model goes through a `CachedClient`, which looks it up by the hash of all that determines it. What is
not known its backend completes: `live.LiveBackend` asks, pays and stores; the estimate's counts and makes things up.
"""

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from anytime_lib.config.groups import SamplingConfig
from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Sample
from anytime_lib.models.model import Model
from anytime_lib.models.reply import NATURAL, expected_tokens, hidden_reasoning, reasoning_of
from anytime_lib.models.tokens import cut, proportional_ends, scaled_ends
from anytime_lib.prompts import prompt
from anytime_lib.types import Completion, Message, Problem, TokenMode, Trace, digest

KEY_VERSION = 1
NOT_SENT = {"v", "kind", "model", "endpoint", "sample", "at", "again"}  # of what determines a reply

Row = dict[str, Any]
"""A stored reply (`Reply.to_json`), or what a tokenizer said: `ends` (None: there is none), `by_file`: the user's."""


@dataclass(frozen=True)
class Request:
    """One call of a model: its place in the ledger, and all that determines the reply (`whole`, whose hash is the key:
    change a name in it, and all is paid for again)."""

    kind: str
    task: str
    method: str
    whole: dict[str, Any] = field(repr=False)

    @cached_property
    def key(self) -> str:
        return digest(self.whole)

    @cached_property
    def body(self) -> dict[str, Any]:
        """What is sent, in the words of `Model.chat`."""
        return {name: value for name, value in self.whole.items() if name not in NOT_SENT}


class Backend(Protocol):
    """Knows what was asked before (`get`: None if it was not), completes what was not (or raises RequestFailed), finds
    the token boundaries that a reply did not tell, and knows whether reasoning is not shown."""

    model: Model

    def get(self, key: str) -> Row | None: ...
    async def complete(self, request: Request) -> Row: ...
    async def tokenise(self, request: Request, text: str, billed: int) -> Row: ...
    async def hides_reasoning(self) -> bool: ...


class CachedClient:
    """What methods and the runner ask (see `methods.base.Client`, which tells what is raised)."""

    def __init__(
        self, backend: Backend, sampling: SamplingConfig, seed: int, trace_slots: asyncio.Semaphore | None = None
    ) -> None:
        self.backend, self.model, self.sampling, self.seed = backend, backend.model, sampling, seed
        self.trace_slots = trace_slots or asyncio.Semaphore()
        self.keys: set[str] | None = None  # of what was asked for, in vain or not; None: they are not kept

    def request(self, of: Sample, kind: str, body: dict[str, Any]) -> Request:
        """A request with all that determines its reply."""
        who = {"model": self.model.name, "endpoint": self.model.endpoint_id}
        whole = {"v": KEY_VERSION, "kind": kind, **who, "sample": of.number, **body}
        return Request(kind, of.task.name, of.method, whole)

    def trace_request(self, of: Sample, messages: list[Message], max_tokens: int, level: str | None = None) -> Request:
        """What samples one reasoning, at some level of effort or at none. Arms share seeds: a comparison is paired."""
        seed = int(digest([self.seed, of.problem.content_hash, of.number])[:8], 16) % 2**31
        sampling = {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p, "seed": seed}
        body = {"messages": messages, "max_tokens": max_tokens, **sampling, "tokens": True}
        return self.request(of, "trace", body | {"effort": self.sampling.efforts[level]} if level else body)

    async def complete(self, request: Request) -> Row:
        """The reply to a request. RequestFailed where it says nothing, and not because the model had nothing to say."""
        row = self._known(request) or await self.backend.complete(request)
        if row["finish_reason"] not in (*NATURAL, "length") and not (row["text"] + row["reasoning"]).strip():
            raise RequestFailed(f"the server ended the reply with {row['finish_reason']!r}, and it says nothing")
        return row

    async def trace(self, of: Sample, messages: list[Message], max_tokens: int) -> Trace:
        """The reasoning of one sample, up to `max_tokens`."""
        request = self.trace_request(of, messages, max_tokens)
        if (row := self._known(request)) is None:
            if await self.backend.hides_reasoning():
                raise HiddenReasoning("a probe found that the server hides reasoning, which cannot be cut")
            row = await self.backend.complete(request)
        tokenised = None if row["ends"] is not None else await self._tokenised(of, request.key, row)
        return trace_of(request.key, messages, row, tokenised)

    async def fresh(
        self, of: Sample, messages: list[Message], budget: int, level: str | None = None
    ) -> tuple[Trace, int, Completion | None]:
        """A run of its own under a budget, which the server itself keeps: its trace, to give back when the answer has
        to be forced; the tokens that it spent reasoning, as the usage tells; and what it said, if that is its answer,
        for the reasoning came apart from it or was hidden. A run that spent its budget out of sight has answered
        nothing by then (`empty`, score 0): were it left out, only early finishers would count at small budgets. A
        `level` of effort limits nothing: all that is billed for it counts, and what it said before it ended."""
        request = self.trace_request(of, messages, budget, level)
        row = await self.complete(request)
        if not row["completion_tokens"]:
            raise RequestFailed("the server tells no token usage, so what the run spent is not known")
        said, apart = bool(row["text"].strip()), bool(row["reasoning"].strip())
        stopped = row["finish_reason"] in NATURAL
        spoken = bool((said and apart) or not (said or apart or stopped) or hidden_reasoning(row, row["ends"]))
        answer, used = _completion(request.key, row, request.key), row["reasoning_tokens"] or row["completion_tokens"]
        if level:
            spoken, used = spoken or (said and stopped), row["completion_tokens"]
        trace = Trace(request.key, messages, reasoning_of(row), [], "usage", stopped, answer.prompt_tokens)
        return trace, used, answer if spoken else None

    async def recorded(self, of: Sample, messages: list[Message]) -> Trace:
        """A trace that somebody else recorded; where its tokens are not told, in those of the model that answers."""
        key = recorded_key(of.problem, of.number)
        if (row := self.backend.get(key)) is None:
            raise RequestFailed("no trace of this problem was imported")
        return trace_of(key, messages, row, None if row["reasoning_tokens"] else await self._tokenised(of, key, row))

    async def answer(
        self, of: Sample, trace: Trace, budget: int, cap: int, via: str | None = None, preface: str = ""
    ) -> Completion:
        """The answer forced after the first `budget` tokens of a trace: by a new user turn after the reasoning given
        back as the assistant's, or (`via` prefill; None: as the run has it) by letting the model go on after a closing
        phrase. Budgets past the trace's own end share one call."""
        so_far = cut(trace.text, trace.ends, trace.used(budget))
        question = f"{preface} {of.task.answer_prompt(of.problem)}".lstrip()
        *before, last = trace.messages
        if prefill := (via or self.sampling.answer_via) == "prefill":
            closing = f"{so_far.rstrip()}\n\n{prompt('prefill')}".lstrip()
            turns = [last, {"role": "assistant", "content": closing}]
        elif so_far.strip():
            turns = [last, {"role": "assistant", "content": so_far}, {"role": "user", "content": question}]
        else:  # many servers refuse an empty assistant's turn
            turns = [{"role": "user", "content": f"{last['content']}\n\n{question}"}]
        body: dict[str, Any] = {"messages": [*before, *turns], "max_tokens": cap, "temperature": 0.0}
        request = self.request(of, "answer", body | {"prefill": True} if prefill else body)
        row = await self.complete(request)
        if row["finish_reason"] == "length" and not row["text"].strip():  # of the machinery, not an empty answer
            raise RequestFailed("the answer's cap was spent on reasoning that is no answer; raise answer_tokens")
        return _completion(request.key, row, trace.key or None)

    async def say(
        self, of: Sample, kind: str, messages: list[Message], cap: int, alternatives: int = 0, temperature: float = 0.0
    ) -> Completion:
        """Something else that the model is asked to say (see `Session.say`)."""
        body: dict[str, Any] = {"messages": messages, "max_tokens": cap, "temperature": temperature}
        request = self.request(of, kind, body | {"alternatives": alternatives} if alternatives else body)
        return _completion(request.key, await self.complete(request))

    def _known(self, request: Request) -> Row | None:
        if self.keys is not None:
            self.keys.add(request.key)
        return self.backend.get(request.key)

    async def _tokenised(self, of: Sample, trace_key: str, row: Row) -> Row:
        """Token boundaries of a trace from the server's tokenizer, else the user's file. Asked once, and stored,
        unless nothing told how many there are: another server, or a file, may."""
        request = Request("tokens", of.task.name, of.method, tokens_request(trace_key))
        known = self.backend.get(request.key)
        return known or await self.backend.tokenise(request, reasoning_of(row), expected_tokens(row))


def tokens_request(trace_key: str) -> dict[str, Any]:
    """What determines a trace's token boundaries, where a tokenizer tells them."""
    return {"v": KEY_VERSION, "kind": "tokens", "trace": trace_key}


def recorded_key(problem: Problem, sample: int) -> str:
    """The store's key of a recorded trace."""
    return digest({"kind": "recorded", "task": problem.task, "problem": problem.content_hash, "sample": sample})


def trace_of(key: str, messages: list[Message], row: Row, tokenised: Row | None) -> Trace:
    """A stored reply as a trace, with its token boundaries: the stream's, else the server's tokenizer's, else those of
    the user's tokenizer scaled to what was billed, else in proportion. HiddenReasoning where the server hides it,
    wholly or in part; RequestFailed where nothing tells how many tokens there are."""
    text, billed, ends = reasoning_of(row), expected_tokens(row), row["ends"]
    mode: TokenMode = "stream"
    if ends is None and tokenised:
        ends, mode = tokenised["ends"], "file" if tokenised.get("by_file") else "tokenizer"
    if why := hidden_reasoning(row, None if mode == "file" else ends):
        raise HiddenReasoning(why)
    if ends is None:
        ends, mode = proportional_ends(text, billed), "proportional"
        if text and not ends:
            raise RequestFailed("nothing tells its tokens, so it cannot be cut; set `tokenizer_file`")
    elif mode == "file" and billed:
        ends = scaled_ends(ends, billed)
    stopped = row["finish_reason"] in NATURAL or bool(row["reasoning"] and row["text"].strip())
    return Trace(key, messages, text, ends, mode, stopped, row.get("prompt_tokens") or 0)


def _completion(key: str, row: Row, trace_key: str | None = None) -> Completion:
    prompt_tokens, first = row.get("prompt_tokens") or 0, row.get("first") or {}
    return Completion(key, row["text"], row["finish_reason"], row["completion_tokens"], prompt_tokens, first, trace_key)
