"""How is an OpenAI-compatible endpoint asked?

One async client for every endpoint, on the `openai` package with its own retries off. Replies are streamed where the
server streams. What a server rejects as unknown is dropped once, with a note; everything else it rejects stops that
request with the server's words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, nullcontext, suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from urllib.parse import urlsplit

import openai

from anytime_lib.errors import EndpointError, RequestFailed, nearest
from anytime_lib.models.failures import RetryableError, ServerError, failure, one_line
from anytime_lib.models.limiter import Limiter, Retrying, Timeouts
from anytime_lib.models.reply import EachTry, Reply, ReplyParser, chunks_of, dicts
from anytime_lib.redact import Redactor
from anytime_lib.types import Message

log = logging.getLogger(__name__)

STREAM_FROM = 64
"""Replies of up to this many tokens come whole: there is nothing of them worth keeping when they die."""
FEWER = (20, 8, 5)
"""How many alternatives to ask for where more are refused: xAI lists 8, others 5."""
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
PREFILL: dict[str, dict[str, bool]] = {"vllm": _CONTINUE, "sglang": _CONTINUE, "llamacpp": {}}
"""Who continues an assistant's turn, and by which settings."""


class Endpoint:
    """An endpoint (`base_url`, up to and including `/v1`) and a model on it.

    Args:
        api_key: sent as the bearer token; never stored or logged. `key_name` says in errors where it came from.
        on_retry: hears why a request is tried again.
        limiter: decides when a request may be sent.
        tokenizer_file: a `tokenizer.json`, for where the server tells no tokens.

    Attributes:
        dropped: settings and routes that the server does not take.
        owner: who serves, as the list of models says (`vllm`, `sglang`, `llamacpp`, ...).
        sending: tasks whose request is with the server now.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str,
        key_name: str = "the API key",
        timeouts: Timeouts | None = None,
        on_retry: Callable[[str], None] | None = None,
        limiter: Limiter | None = None,
        tokenizer_file: str | Path | None = None,
    ) -> None:
        self.base_url, self.model, self._key_name = base_url.rstrip("/"), model, key_name
        self.timeouts, self.limiter = timeouts or Timeouts(), limiter
        self._redact = Redactor(api_key)
        self._retrying = Retrying(self.base_url, self.timeouts, on_retry or (lambda why: None), limiter)
        # On aiohttp, which takes half the processor time of the default at hundreds of connections. No proxy of the
        # user's network stands before a server on this machine.
        http = openai.DefaultAioHttpClient(trust_env=not is_loopback(base_url))
        wait = openai.Timeout(None, connect=self.timeouts.connect)
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, http_client=http, timeout=wait
        )
        self._tokenizer = resolve_name("anytime_lib.models.tokenizers:TextTokenizer")(self, tokenizer_file)
        self.dropped, self.owner = set[str](), ""
        self.sending = set[asyncio.Task[Any] | None]()
        self._most = FEWER[0]

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        """Ask the server who it is, and whether it lists the model; if not, the first request tells.

        Raises:
            EndpointError: nobody is there, or a list of models has none like it.
        """
        with suppress(RequestFailed):  # no list at this endpoint, or not for this key
            page = await self.ask(f"{self.base_url}/models")
            known = dicts(page.get("data") if isinstance(page, dict) else page)
            self.owner = str(known[0].get("owned_by") or "") if known else ""
            names = [str(model.get("id")) for model in known]
            asked, *stems = (name.partition(":")[0] for name in (self.model, *names))  # name:latest, name:nitro
            if stems and not any(fnmatchcase(asked, stem) for stem in stems):  # a gateway lists openai/*
                advice = one_line(nearest(self.model, names), self._redact)
                raise EndpointError(f"{self.base_url} has no model {self.model!r}{advice}")

    async def chat(
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
        each_try: EachTry | None = None,
    ) -> Reply:
        """One chat completion.

        Args:
            messages: the conversation; with `prefill` its last message is the assistant's, to be continued.
            tokens: ask for the token stream.
            alternatives: ask for the log-probabilities of that many alternatives to the first token.
            each_try: makes every try, by awaiting what it is given.

        Raises:
            RequestFailed: this request failed for good.
            EndpointError: no request can succeed (down, wrong key, unknown model, no credit).
        """
        settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
        if max_tokens > STREAM_FROM:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        if seed is not None:
            settings["seed"] = seed
        if tokens or alternatives:
            settings["logprobs"] = True
        if alternatives:
            settings["top_logprobs"] = alternatives
        if prefill and self.owner not in PREFILL:
            raise EndpointError(
                f"{self.base_url} is not known to continue an assistant's turn (vLLM, SGLang and llama.cpp do); "
                "set answer_via: turn"
            )
        more = PREFILL[self.owner] if prefill else {}
        size = sum(len(message["content"]) for message in messages) // 4 + max_tokens

        async def once() -> Reply:
            async with self.limiter.slot(size) if self.limiter else nullcontext():
                self.sending.add(task := asyncio.current_task())
                try:
                    reply = await self._try(messages, settings, more)
                finally:
                    self.sending.discard(task)
                if self.limiter is not None:
                    self.limiter.succeeded()
            return reply

        return await self._retrying(once if each_try is None else lambda: each_try(once))

    async def tokenize(self, text: str) -> tuple[list[bytes] | None, bool]:
        """The text's tokens, from the server's own tokenizer, else from the user's file (then True); None: there is
        neither."""
        found: tuple[list[bytes] | None, bool] = await self._tokenizer.pieces(text)
        return found

    async def _try(self, messages: list[Message], settings: dict[str, Any], more: dict[str, Any]) -> Reply:
        """One try; a setting that the server does not know is dropped, and the request sent without it."""
        while True:
            sent = {name: value for name, value in settings.items() if name not in self.dropped} | more
            if "top_logprobs" in sent:
                sent["top_logprobs"] = min(sent["top_logprobs"], self._most)
            if "max_tokens" in self.dropped:
                sent["max_completion_tokens"] = settings["max_tokens"]
            try:
                return await self._once(messages, sent)
            except ServerError as error:
                name = error.named_setting(sent)
                if name is None:
                    raise error.meaning(self.base_url, self.model, self._key_name) from None
                if name == "top_logprobs" and sent[name] > FEWER[-1]:
                    self._most = min(self._most, next(n for n in FEWER if n < sent[name]))
                    log.warning("%s lists fewer alternatives than %d (%s)", self.base_url, sent[name], error.words)
                else:
                    self._drop(name, f"does not take {name!r} ({error.words}); going on without it")

    async def _once(self, messages: list[Message], sent: dict[str, Any]) -> Reply:
        """Send one request and read its reply, within the deadlines."""
        limits, clock, parser = self.timeouts, asyncio.get_running_loop().time, ReplyParser(self._redact)
        start = clock()
        whole = start + limits.whole
        silent = "stream" in self.dropped  # until it is whole
        soon = whole if silent else min(whole, start + limits.connect + limits.first_token)
        try:
            async with asyncio.timeout_at(soon) as deadline, aclosing(self._chunks(messages, sent)) as chunks:
                async for chunk in chunks:
                    pieces = parser.pieces
                    parser.add(chunk)
                    if parser.ended and parser.usage:  # what is left is the end of the connection
                        deadline.reschedule(clock() + 1)
                    elif parser.pieces > pieces:
                        deadline.reschedule(min(whole, clock() + limits.first_token))
            if parser.streamed and not parser.ended:
                raise RetryableError("the stream ended before the reply did")
        except (TimeoutError, RetryableError, ServerError) as error:
            lost: Exception = error
            if isinstance(error, TimeoutError):
                lost = self._silence(clock() >= whole, parser.pieces)
            elif isinstance(error, ServerError) and parser.pieces:
                lost = error.meaning(self.base_url, self.model, self._key_name)
            if isinstance(lost, RetryableError) and parser.streamed and parser.pieces:
                lost.partial = parser.reply(clock() - start, messages, partial=True)
                lost.billed = lost.partial.spent
            if not parser.ended:
                raise lost from None
        reply = parser.reply(clock() - start, messages)
        if "stream" in sent and not parser.streamed:
            self._drop("stream", "does not stream; its replies come whole")
        return reply

    async def _chunks(self, messages: list[Message], sent: dict[str, Any]) -> AsyncGenerator[object]:
        """The objects of a reply, as `openai` parses them.

        Posted as it is: `chat.completions.create` looks at each message under every type that it may have, which takes
        longer than all else that a request needs.
        """
        body, stream = {"model": self.model, "messages": messages, **sent}, None
        try:
            stream = await self._client.post(
                "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
            )
            async for chunk in chunks_of(stream):
                yield chunk
        except Exception as error:
            quoted = " ".join(message["content"] for message in messages)
            raise failure(error, stream is not None, partial(self._redact, sent=quoted)) from None
        finally:
            if stream is not None:
                with suppress(Exception):  # a connection that broke may break again when it is closed
                    await stream.close()

    def _silence(self, late: bool = False, pieces: int = 0) -> RetryableError:
        """A deadline has passed."""
        if late:
            words = f"the reply was not whole within {self.timeouts.whole:g} s (deadline `whole`)"
            return RetryableError(words, final=True)
        what = "the stream stood still for" if pieces else "no first token within"
        return RetryableError(f"{what} {self.timeouts.first_token:g} s (deadline `first_token`)")

    async def ask(self, url: str, body: object = None) -> Any:
        """What a route beside chat answers with, got or (with a body) posted to; None: the server does not have it.

        Raises:
            RequestFailed: it refuses, for whatever reason: the first chat request will tell.
        """

        async def once() -> Any:
            try:
                async with asyncio.timeout(self.timeouts.connect + self.timeouts.first_token):
                    if body is None:
                        return await self._client.get(url, cast_to=object)
                    return await self._client.post(url, cast_to=object, body=body)
            except TimeoutError:
                raise self._silence() from None
            except Exception as error:
                found = failure(error, False, self._redact)
            if isinstance(found, ServerError):
                if found.status in (404, 405, 501):
                    return None
                found = found.meaning(self.base_url, self.model, self._key_name)
            raise found if isinstance(found, RetryableError) else RequestFailed(str(found))

        return await self._retrying(once)

    def _drop(self, name: str, why: str) -> None:
        """Leave a setting, and what goes with it, out of all later requests, and say so once."""
        if name not in self.dropped:
            self.dropped |= {name, {"logprobs": "top_logprobs", "stream": "stream_options"}.get(name, name)}
            log.warning("%s %s", self.base_url, why)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
