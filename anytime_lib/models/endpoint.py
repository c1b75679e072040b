"""How is an OpenAI-compatible endpoint asked?

One async client for every endpoint, on the `openai` package with its own retries off. Replies are streamed where the
server streams. What a server rejects as unknown is dropped once, with a note; everything else it rejects stops that
request with the server's words.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import openai

from anytime_lib.errors import EndpointError, RequestFailed, nearest
from anytime_lib.models.failures import ServerError, failure, one_line, unquoted
from anytime_lib.models.limiter import Limiter, Listener, Timeouts, retry
from anytime_lib.models.reply import NATURAL, EachTry, Reply, RetryableError
from anytime_lib.models.reply_parser import ReplyParser, chunks_of, dicts
from anytime_lib.redact import Key, Redactor, public_address
from anytime_lib.types import Message

log = logging.getLogger(__name__)

STREAM_FROM = 64  # tokens; shorter replies come whole: there is nothing of them worth keeping when they die
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
FEWER = 5  # alternatives to ask for where more are refused
ENDED = 3.0  # seconds to wait for what may follow the end of a reply: the usage, and the end of the connection
IDLE = 2.0
"""Seconds after which an idle connection is given up. Many servers (uvicorn, llama.cpp) close theirs after five, and
what is sent just then is lost."""
LARGEST, PER_TOKEN, OF_ERROR = 20 * 2**20, 4096, 2**16  # bytes read of any body, for a reply's token, of an error
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
PREFILL: dict[str, dict[str, bool]] = {"vllm": _CONTINUE, "sglang": _CONTINUE, "llamacpp": {}}
"""Who continues an assistant's turn, and by which settings."""


@dataclass(eq=False)
class Endpoint:
    """A model at an endpoint."""

    base_url: str  # up to and including `/v1`
    model: str
    api_key: str = field(repr=False)  # never stored or logged
    key_name: str = "the API key"  # where it came from, in errors
    timeouts: Timeouts = field(default_factory=Timeouts)
    on_retry: Listener | None = None  # hears why a request is tried again
    limiter: Limiter = field(default_factory=lambda: Limiter(32))
    sending: set[asyncio.Task[Any] | None] = field(default_factory=set)  # tasks whose request is with the server now
    dropped: set[str] = field(default_factory=set)  # settings and routes that the server does not take
    owner: str = ""  # who serves, as the list of models says: `vllm`, `sglang`, `llamacpp`, ...

    def __post_init__(self) -> None:
        self.base_url, self.api_key = self.base_url.rstrip("/"), Key(self.api_key)
        self.place = public_address(self.base_url)  # as it may be shown
        self._redact, self._most, self.least, self._listed = Redactor(self.api_key), 20, 1, ""
        self._once = cache(partial(log.warning, "%s %s", self.place))
        # On aiohttp, which takes half the processor time of the default at hundreds of connections. No proxy of the
        # user's network stands before a server on this machine.
        own, hooks = is_loopback(self.base_url), {"response": [_refused]}
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=1000, keepalive_expiry=IDLE)
        http = openai.DefaultAioHttpClient(trust_env=not own, follow_redirects=False, event_hooks=hooks, limits=limits)
        how: dict[str, Any] = {"max_retries": 0, "timeout": openai.Timeout(None, connect=self.timeouts.connect)}
        self.client = openai.AsyncOpenAI(base_url=self.base_url, api_key=self.api_key, http_client=http, **how)

    async def close(self) -> None:
        await self.client.close()

    async def check(self) -> None:
        """Ask the server who it is, and whether it lists the model. EndpointError where nobody is there."""
        with suppress(RequestFailed):  # no list at this endpoint, or not for this key
            page = await self.ask(f"{self.base_url}/models")
            known = dicts(page.get("data") if isinstance(page, dict) else page)
            self.owner = str(known[0].get("owned_by") or "") if known else ""
            names = [str(model.get("id")) for model in known]
            asked, *stems = (name.partition(":")[0] for name in (self.model, *names))  # name:latest, name:nitro
            if stems and asked not in stems and not any("*" in stem and fnmatchcase(asked, stem) for stem in stems):
                self._listed = one_line(nearest(self.model, names), self._redact)
                self._once(f"lists no model {self.model!r}{self._listed}; it is asked all the same")

    def body(
        self,
        messages: list[Message],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float = 1.0,
        seed: int | None = None,
        tokens: bool = False,
        alternatives: int = 0,
        prefill: bool = False,
        effort: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The body of a request of `chat`, without what the server does not take; not streamed."""
        settings: dict[str, Any] = {**(effort or {}), "max_tokens": max_tokens, "temperature": temperature}
        settings |= {"top_p": top_p, "seed": seed}
        settings |= {"logprobs": tokens or alternatives > 0 or None, "top_logprobs": alternatives or None}
        if prefill and self.owner not in PREFILL:
            why = f"{self.place} is not known to continue an assistant's turn (vLLM, SGLang and llama.cpp do)"
            raise EndpointError(f"{why}; set answer_via: turn, without base_prefill")
        settings |= PREFILL[self.owner] if prefill else {}
        sent = {name: value for name, value in settings.items() if value is not None and name not in self.dropped}
        sent["max_tokens"] = max(max_tokens, self.least)
        if "max_tokens" in self.dropped:
            sent["max_completion_tokens"] = sent.pop("max_tokens")
        if effort and "max_completion_tokens" in self.dropped:
            sent.pop("max_completion_tokens", None)
        if "top_logprobs" in sent:
            sent["top_logprobs"] = min(sent["top_logprobs"], self._most)
        return {"model": self.model, "messages": messages, **sent}

    async def chat(self, messages: list[Message], *, each_try: EachTry | None = None, **asked: Any) -> Reply:
        """One chat completion, as `Model.chat` has it."""
        size = sum(len(message["content"]) for message in messages) // 4 + asked["max_tokens"]

        async def once() -> Reply:
            async with self.limiter.slot(size):
                self.sending.add(task := asyncio.current_task())
                try:
                    reply = await self._try(messages, asked)
                except Exception:  # one that is given up stays: the server goes on with it
                    self.sending.discard(task)
                    raise
                self.sending.discard(task)
                self.limiter.succeeded()
            return reply

        each = once if each_try is None else partial(each_try, once)
        return await retry(each, self.place, self.timeouts, self.limiter, self.on_retry)

    async def _try(self, messages: list[Message], asked: dict[str, Any]) -> Reply:
        """One try, within the deadlines; and another without what the server does not know: where a level of effort
        limits it, a cap on tokens as well."""
        effort, sent, cap = asked.get("effort"), self.body(messages, **asked), max(asked["max_tokens"], self.least)
        if asked["max_tokens"] > STREAM_FROM:
            sent |= {name: value for name, value in STREAMED.items() if name not in self.dropped}
        limits, clock, parser = self.timeouts, asyncio.get_running_loop().time, ReplyParser(self._redact)
        start = clock()
        whole = start + limits.whole
        first = whole if "stream" in self.dropped else min(whole, start + limits.connect + limits.first_token)
        lost: Exception | None = None
        begun = False
        try:
            # Posted as it is: `chat.completions.create` looks at each message under every type that it may have, which
            # takes longer than all else that a request needs.
            posted = self._asked("/chat/completions", sent)
            async with asyncio.timeout_at(first) as deadline, await posted as stream:
                begun = True
                async for chunk in chunks_of(stream.response, min(2**20 + PER_TOKEN * cap, 10 * LARGEST)):
                    pieces = parser.pieces
                    parser.add(chunk)
                    if parser.finish_reason:
                        deadline.reschedule(min(whole, clock() + ENDED))
                    elif parser.pieces > pieces:
                        deadline.reschedule(min(whole, clock() + limits.first_token))
            if parser.streamed and not parser.finish_reason:
                raise RetryableError("the stream ended before the reply did", lost=True)
        except TimeoutError:
            late = clock() >= whole
            what = "the reply was not whole" if late else f"no {'further' if parser.pieces else 'first'} token"
            name, limit = ("whole", limits.whole) if late else ("first_token", limits.first_token)
            lost = RetryableError(f"{what} within {limit:g} s (deadline `{name}`)", final=late, lost=True)
        except Exception as error:
            lost = failure(error, begun, partial(self._plain, messages))
        if lost is None or parser.finish_reason:
            reply = parser.reply(clock() - start, messages)
            if "stream" in sent and not parser.streamed:
                self._drop("stream", "does not stream; its replies come whole")
            if reply.finish_reason not in (*NATURAL, "length"):
                self._once(f"ended a reply with {reply.finish_reason!r}, which is no natural end")
            return reply
        if isinstance(lost, ServerError):
            if cap < (least := lost.least_tokens()) <= 1024:
                self.least = least
                self._once(f"takes no cap below {least} tokens ({lost.words}); it is raised")
                return await self._try(messages, asked)
            if (refused := lost.named_setting(sent) or (lost.refused_cap(sent) if effort else None)) is not None:
                if refused == "top_logprobs" and sent[refused] > FEWER:
                    self._most = FEWER
                    self._once(f"lists fewer alternatives than {sent[refused]} ({lost.words})")
                else:
                    self._drop(refused, f"does not take {refused!r} ({lost.words}); going on without it")
                return await self._try(messages, asked)
            lost = lost.meaning(self.place, self.model, self.key_name, self._listed)
        if isinstance(lost, RetryableError) and parser.streamed and parser.pieces:
            lost.partial = parser.reply(clock() - start, messages, partial=True)
        raise lost

    def _plain(self, messages: list[Message], text: str) -> str:
        """A server's words without keys, and without what they repeat of the messages."""
        return self._redact(unquoted(text, " ".join(message["content"] for message in messages)))

    def reply_in(self, status: int, body: object, messages: list[Message]) -> Reply:
        """The reply in a response that came another way, its HTTP status and body; raises as one try of `chat`."""
        parser = ReplyParser(self._redact)
        try:
            if status != 200:
                raise ServerError(body, partial(self._plain, messages), status)
            parser.add(body)
            return parser.reply(0.0, messages)
        except ServerError as error:
            raise error.meaning(self.place, self.model, self.key_name, self._listed) from None

    async def ask(self, url: str, body: object = None) -> Any:
        """What a route beside chat answers with, got or (with a body) posted to; None: the server does not have it.
        RequestFailed where it refuses, for whatever reason: the first chat request will tell."""

        async def read() -> Any:
            async with await self._asked(url, body) as stream:
                async for found in chunks_of(stream.response, LARGEST):
                    return found

        at, most = self.timeouts, min(self.timeouts.retries, 2)  # a server that was never there
        soon = {"whole": at.connect + at.first_token, "limited": min(at.limited, 10)}
        return await self.call(read, replace(at, retries=most, **soon))

    async def call(self, work: Callable[[], Awaitable[Any]], limits: Timeouts) -> Any:
        """What work with the `client` comes to, within the limit `whole`; else as `ask`."""

        async def once() -> Any:
            try:
                async with asyncio.timeout(limits.whole):
                    return await work()
            except TimeoutError:
                raise RetryableError(f"no answer within {limits.whole:g} s") from None
            except Exception as error:
                lost = failure(error, False, self._redact)
            if isinstance(lost, ServerError):
                if lost.status in (404, 405, 501):
                    return None
                lost = lost.meaning(self.place, self.model, self.key_name)
            raise lost if isinstance(lost, RetryableError) else RequestFailed(str(lost))

        return await retry(once, self.place, limits, self.limiter, self.on_retry)

    def _asked(self, url: str, body: object) -> Awaitable[openai.AsyncStream[object]]:
        """A request under way, whose reply is read as it comes."""
        how: dict[str, Any] = {"cast_to": object, "stream": True, "stream_cls": openai.AsyncStream[object]}
        return self.client.get(url, **how) if body is None else self.client.post(url, body=body, **how)

    def _drop(self, name: str, why: str) -> None:
        """Leave a setting, and what goes with it, out of all later requests, and say so once."""
        if name not in self.dropped:
            self.dropped |= {name, {"logprobs": "top_logprobs", "stream": "stream_options"}.get(name, name)}
            self._once(why)


async def _refused(response: Any) -> None:
    """Read what matters of a response that is no success, which `openai` would read whole, and raise it."""
    if not response.is_success:
        body = f"moved to {response.headers['location']}".encode() if "location" in response.headers else b""
        with suppress(Exception):  # its status is known all the same
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > OF_ERROR:
                    break
        said: Any = body[:OF_ERROR].decode(errors="replace")
        with suppress(ValueError, RecursionError):
            said = json.loads(said)
        raise openai.APIStatusError("refused", response=response, body=said)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
