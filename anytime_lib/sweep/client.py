"""What has to be asked, and what is already known?

Every call of a model goes through an `CachedClient`: it looks the request up in the store by the hash of all that
determines it, asks only if it is not there, and stores what came back before anybody uses it. What is with the server
when a run ends in an error is let come back (`settle`), for it is paid for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, HiddenReasoning, RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.failures import RetryableError
from anytime_lib.models.model import Model
from anytime_lib.models.probe import PROBE_TOKENS, QUESTION, Capabilities, noted_as
from anytime_lib.models.reply import EachTry, Reply, expected_tokens, hidden_reasoning, reasoning_of
from anytime_lib.models.simulated import Respondent
from anytime_lib.models.tokens import cut, ends_of, proportional_ends, scaled_ends
from anytime_lib.prompts import prompt
from anytime_lib.store import Store
from anytime_lib.sweep.spending import SpendLimit
from anytime_lib.tasks.base import Task
from anytime_lib.types import Completion, Message, Problem, TokenMode, Trace, digest, recorded_key

log = logging.getLogger(__name__)

KEY_VERSION = 1
USAGE = ("prompt_tokens", "cached_tokens", "completion_tokens")


Tokenised = dict[str, Any]
"""What a tokenizer said of a trace: `ends` (None: there is none), `by_file`: it was the user's, not the server's."""
NOT_TOKENISED: Tokenised = {"ends": None}


@dataclass(frozen=True)
class Fresh:
    """A run of its own for one budget, with nothing cut.

    Attributes:
        trace: what there is to give back when the answer has to be forced; its `ends` are empty.
        row: the reply as stored.
        used: tokens spent reasoning, by the returned usage alone.
        spoken: the visible text is the answer, for the reasoning came apart from it or was hidden. It may be none: a
            run that hid its reasoning and spent its budget before it said a word has answered nothing by then, which
            is graded (`empty`, score 0). Were it left out, only early finishers would count at small budgets.
    """

    trace: Trace
    row: dict[str, Any] = field(repr=False)
    used: int
    spoken: bool


class Meter(Protocol):
    """Whoever wants to hear of every reply."""

    def on_reply(self, tokens: int, cached: bool) -> None: ...


class CachedClient:
    """Asks `model` what `store` does not know, pays from `spend_limit`, and stores what came back.

    Attributes:
        repeated: traces that are word for word another sample of their problem, and all traces, so far.
    """

    def __init__(
        self, config: RunConfig, store: Store, model: Model, meter: Meter, spend_limit: SpendLimit | None = None
    ) -> None:
        self.config, self.store, self.model, self.meter = config, store, model, meter
        self.spend_limit = spend_limit or SpendLimit(None)
        self.repeated = [0, 0]
        self._texts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
        self._said_fresh = False
        self._capabilities: Capabilities | None = None
        self._learned, self._learning = False, asyncio.Lock()
        self._paid: dict[str, asyncio.Task[dict[str, Any]]] = {}

    def _sample_request(
        self, problem: Problem, messages: list[Message], sample: int, max_tokens: int
    ) -> dict[str, Any]:
        """What samples one reasoning. Arms share seeds, so that a comparison is paired."""
        seed = int(digest([self.config.seed, problem.content_hash, sample])[:8], 16) % 2**31
        return {
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": self.config.sampling.temperature,
            "top_p": self.config.sampling.top_p,
            "seed": seed,
            "tokens": True,
        }

    async def trace(
        self, task: Task, method: str, problem: Problem, messages: list[Message], sample: int, max_tokens: int
    ) -> Trace:
        """The reasoning of one sample, up to `max_tokens`.

        Raises:
            HiddenReasoning: the server does not show it, so it cannot be cut.
            RequestFailed: the request failed.
        """
        request = self._sample_request(problem, messages, sample, max_tokens)
        if await self._known_to_hide(request, sample):
            raise HiddenReasoning("a probe found that the server hides reasoning, which cannot be cut")
        key, row = await self._ask("trace", task.name, method, request, sample)
        tokenised = NOT_TOKENISED
        if row["ends"] is None:
            tokenised = await self._tokenised(key, reasoning_of(row), task.name, method)
        trace = _trace_of(key, messages, row, tokenised)
        seen = self._texts[task.name, method, problem.id]
        if key not in seen:  # several preparations may read the same attempts
            self.repeated[0] += hash(trace.text) in seen.values()
            self.repeated[1] += 1
            seen[key] = hash(trace.text)
        return trace

    async def fresh(
        self, task: Task, method: str, problem: Problem, messages: list[Message], sample: int, budget: int
    ) -> Fresh:
        """A run of its own under a budget, which the server itself keeps; what it spent is what the usage says.

        Raises:
            RequestFailed: the request failed, or the server tells no usage.
        """
        request = self._sample_request(problem, messages, sample, budget)
        key, row = await self._ask("trace", task.name, method, request, sample)
        billed, told = row["completion_tokens"], row["reasoning_tokens"]
        if not billed:
            raise RequestFailed("the server tells no token usage, so what the run spent is not known")
        said, apart = bool(row["text"].strip()), bool(row["reasoning"].strip())
        starved = not (said or apart) and row["finish_reason"] == "length"  # of whatever kind, it was out of sight
        spoken = (said and apart) or starved or hidden_reasoning(row, row["ends"]) != ""
        trace = Trace(key, messages, reasoning_of(row), [], "usage", row["finish_reason"] != "length")
        return Fresh(trace, row, told or billed, spoken)

    def say_fresh(self, why: str) -> None:
        """Say once that reasoning is hidden, and leave a note of it in the store."""
        if not self._said_fresh:
            self._said_fresh = True
            log.warning("%s: %s; each budget gets a run of its own instead (mode: fresh)", self.model.name, why)
            note = {"mode": "fresh", "why": why, "model": self.model.name, "endpoint": self.model.endpoint_id}
            self.store.note(f"mode {self.model.endpoint_id} {self.model.name}", note)

    async def recorded(self, task: Task, method: str, problem: Problem, messages: list[Message], sample: int) -> Trace:
        """A trace that somebody else recorded. Where its own model's token count is not told, the tokens are those of
        the model that answers from it."""
        key = recorded_key(problem, sample)
        row = self.store.get(key)
        if row is None:
            raise RequestFailed("no trace of this problem was imported")
        told = row["reasoning_tokens"] > 0
        tokenised = NOT_TOKENISED if told else await self._tokenised(key, row["reasoning"], task.name, method)
        return _trace_of(key, messages, row, tokenised)

    async def answer(
        self, task: Task, method: str, problem: Problem, trace: Trace, budget: int, sample: int, cap: int
    ) -> Completion:
        """The answer forced after the first `budget` tokens of a trace.

        By a new user turn after the reasoning given back as the assistant's, or (`prefill`) by letting the model
        go on after a closing phrase. Budgets past the trace's own end share one call.
        """
        so_far = cut(trace.text, trace.ends, trace.used(budget))
        asked = task.answer_prompt(problem)
        request: dict[str, Any] = {"max_tokens": cap, "temperature": 0.0}
        if self.config.sampling.answer_via == "prefill":
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
        key, row = await self._ask("answer", task.name, method, request, sample)
        return completion(key, _visible(row), trace.key or None)

    async def say(
        self, kind: str, task: Task, method: str, messages: list[Message], sample: int, max_tokens: int,
        alternatives: int = 0, temperature: float = 0.0,
    ) -> Completion:  # fmt: skip
        """Something else that the model is asked to say; `kind` is its name in the ledger."""
        request: dict[str, Any] = {"messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        if alternatives:
            request["alternatives"] = alternatives
        return completion(*await self._ask(kind, task.name, method, request, sample))

    async def _known_to_hide(self, request: dict[str, Any], sample: int) -> bool:
        """Whether a trace that is still to be sampled would be paid for and not shown."""
        if self.store.get(self._keyed("trace", request, sample)[0]) is not None:
            return False
        await self._endpoint()
        return self._capabilities is not None and self._capabilities.reasoning == "hidden"

    async def _endpoint(self) -> Endpoint | Respondent:
        """The live endpoint. What it can do is recalled from the store, or found out once and stored."""
        async with self._learning:
            if not self._learned:
                about = noted_as(self.model.endpoint_id, self.model.name)
                known = Capabilities.from_json(self.store.noted(about))
                self._capabilities = await self.model.capabilities(known, self._probing())
                self._learned = True
                if self._capabilities is not None and known is None:
                    self.store.note(about, self._capabilities.to_json())
        return await self.model.endpoint()

    def _probing(self) -> EachTry:
        """Makes every try of a probe: paid for, and stored under a key of its own."""
        tries, began = itertools.count(), time.time()

        async def each_try(once: Callable[[], Awaitable[Reply]]) -> Reply:
            number = next(tries)
            key = digest([noted_as(self.model.endpoint_id, self.model.name), number, began])
            async with self.spend_limit.reserve([{"role": "user", "content": QUESTION}], PROBE_TOKENS) as bill:
                try:
                    reply = await once()
                except RetryableError as lost:
                    bill.usage = lost.billed
                    await self._put(key, "probe", "", "probe", {"probe": number}, {"error": str(lost)}, lost.billed,
                                    status="error")  # fmt: skip
                    raise
                bill.usage, said = reply.spent, reply.to_json()
                await self._put(key, "probe", "", "probe", {"probe": number}, said, said)
                return reply

        return each_try

    def _keyed(self, kind: str, request: dict[str, Any], sample: int) -> tuple[str, dict[str, Any]]:
        """A request's key, and all that determines it."""
        whole = {"v": KEY_VERSION, "kind": kind, "model": self.model.name, "endpoint": self.model.endpoint_id,
                 "sample": sample, **request}  # fmt: skip
        return digest(whole), whole

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int
    ) -> tuple[str, dict[str, Any]]:
        """The server's reply to a request as it came, from the store or else asked for and stored first."""
        key, whole = self._keyed(kind, request, sample)
        known = self.store.get(key)
        if known is None:
            endpoint = await self._endpoint()
            known = self.store.get(key)  # another may have asked while the endpoint was reached
        if known is not None:
            self.meter.on_reply(0, cached=True)
            return key, known
        paid = self._paid.get(key)  # problems of the same content ask the same
        if paid is None:
            paid = self._paid[key] = asyncio.create_task(self._pay(endpoint, key, kind, task, method, whole, request))
            paid.add_done_callback(lambda ended: (self._paid.pop(key), ended.cancelled() or ended.exception()))
        try:
            await asyncio.wait([paid])
        except asyncio.CancelledError:
            if paid not in endpoint.sending:
                paid.cancel()
            raise
        return key, paid.result()

    async def _pay(
        self, endpoint: Endpoint | Respondent, key: str, kind: str, task: str, method: str, whole: dict[str, Any],
        request: dict[str, Any],
    ) -> dict[str, Any]:  # fmt: skip
        """Ask. Every try is paid for by itself, within the cap, and what it was billed is stored before the next."""
        row: dict[str, Any] = {}

        async def each_try(once: Callable[[], Awaitable[Reply]]) -> Reply:
            nonlocal row
            async with self.spend_limit.reserve(request["messages"], request["max_tokens"]) as bill:
                try:
                    reply = await once()
                except RetryableError as lost:
                    bill.usage = lost.billed
                    if lost.partial is not None:
                        part = lost.partial.to_json()
                        await self._put(key, kind, task, method, whole, part, part, status="partial")
                    elif +Counter(lost.billed):
                        await self._put(key, kind, task, method, whole, {"error": str(lost)}, lost.billed, "error")
                    raise
                bill.usage = reply.spent
                said = reply.to_json()
                row = await self._put(key, kind, task, method, whole, said, said)
                return reply

        self.model.calls += 1
        try:
            reply = await endpoint.chat(**request, each_try=each_try)
        except RequestFailed as error:
            await self._put(key, kind, task, method, whole, {"error": str(error)}, {}, status="error")
            raise
        self.meter.on_reply(reply.completion_tokens, cached=False)
        if reply.partial:
            raise RequestFailed("the reply broke off; what had arrived is stored, and the next run asks again")
        return row

    async def settle(self, seconds: float) -> None:
        """Let requests that are with the server come back and be stored, for so many seconds; then end them."""
        paid = list(self._paid.values())
        try:
            if paid and seconds:
                log.warning("stopping; %d requests are with the server, and what they bring within %.0f s is stored",
                            len(paid), seconds)  # fmt: skip
                await asyncio.wait(paid, timeout=seconds)
        finally:
            for one in paid:
                one.cancel()
            await asyncio.gather(*paid, return_exceptions=True)

    async def _tokenised(self, trace_key: str, text: str, task: str, method: str) -> Tokenised:
        """Token boundaries of a trace from the server's tokenizer, else the user's file. Asked once, and stored."""
        whole = _tokenising(trace_key)
        known = self.store.get(digest(whole))
        if known is None:
            endpoint = await self._endpoint()
            pieces = await endpoint.tokenize(text)
            ends = None if pieces is None else ends_of(pieces, text)
            by_file = endpoint.tokenized_by_file
            known = await self._put(
                digest(whole), "tokens", task, method, whole, {"ends": ends, "by_file": by_file}, {}
            )
        return known

    async def _put(
        self, key: str, kind: str, task: str, method: str, request: dict[str, Any], response: dict[str, Any],
        usage: Mapping[str, Any], status: str = "ok",
    ) -> dict[str, Any]:  # fmt: skip
        """Store a reply, those of one moment in one commit; returns the one that counts: another run may have been
        first with the same request."""
        columns = {
            "key": key, "kind": kind, "task": task, "method": method, "model": self.model.name,
            "endpoint": self.model.endpoint_id, "request": request, "response": response, "status": status,
            **{name: usage.get(name, 0) for name in (*USAGE, "seconds")},
        }  # fmt: skip
        return await self.store.aput(**columns)


def stored_trace(store: Store, key: str) -> Trace:
    """The trace of that key, as the store has it; asks nobody.

    Raises:
        DataError: the store has no such trace.
        RequestFailed: what the server returned cannot be cut; the text says why.
    """
    row, request = store.get(key), store.request(key)
    if row is None or request is None:
        raise DataError(f"{store.path} has no trace {key}")
    return _trace_of(key, request["messages"], row, store.get(tokens_key(key)) or NOT_TOKENISED)


def tokens_key(trace_key: str) -> str:
    """The store's key of a trace's token boundaries, where the server's tokenizer told them."""
    return digest(_tokenising(trace_key))


def _tokenising(trace_key: str) -> dict[str, Any]:
    return {"v": KEY_VERSION, "kind": "tokens", "trace": trace_key}


def _trace_of(key: str, messages: list[Message], row: dict[str, Any], tokenised: Tokenised) -> Trace:
    """A stored reply as a trace, with its token boundaries: the stream's, else the server's tokenizer's, else those of
    the user's tokenizer scaled to what was billed, else in proportion.

    Raises:
        HiddenReasoning: the server hides it, wholly or in part.
        RequestFailed: nothing tells how many tokens there are.
    """
    text, apart = reasoning_of(row), bool(row["reasoning"])
    by_file = bool(tokenised.get("by_file"))
    known = tokenised["ends"] if row["ends"] is None else row["ends"]
    if why := hidden_reasoning(row, None if by_file else known):
        raise HiddenReasoning(why)
    mode: TokenMode
    if row["ends"] is None and known is not None and by_file:
        billed = expected_tokens(row)
        ends, mode = (scaled_ends(known, billed) if billed else known), "file"
    elif known is None:
        ends, mode = proportional_ends(text, expected_tokens(row)), "proportional"
        if text and not ends:
            raise RequestFailed("the server tells neither tokens nor how many there were, so nothing can be cut")
    else:
        ends, mode = known, "tokenizer" if row["ends"] is None else "stream"
    stopped = row["finish_reason"] != "length" or (apart and bool(row["text"].strip()))
    return Trace(key, messages, text, ends, mode, stopped, row.get("prompt_tokens") or 0)


def completion(key: str, row: dict[str, Any], trace_key: str | None = None) -> Completion:
    """A stored reply as what was said."""
    return Completion(
        key,
        row["text"],
        row["finish_reason"],
        row["completion_tokens"],
        row.get("prompt_tokens") or 0,
        row.get("first") or {},
        trace_key,
    )


def _visible(row: dict[str, Any]) -> dict[str, Any]:
    """An answer; one whose cap went into reasoning is a failure of the machinery, not an empty answer."""
    if not row["text"].strip() and (row["reasoning"] or row["reasoning_tokens"] or row["finish_reason"] == "length"):
        raise RequestFailed("the answer's cap was spent on reasoning that is no answer; raise answer_tokens")
    return row
