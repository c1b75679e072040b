"""How is an OpenAI-compatible endpoint asked?

One async client for every endpoint, on the `openai` package with its own retries off. Replies are streamed where the
server streams. What a server rejects as unknown is dropped once, with a note; everything else it rejects stops that
request with the server's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from anytime_lib.errors import EndpointError, RequestFailed, nearest
from anytime_lib.models.failures import Event, RetryableError, ServerError, one_line, silence
from anytime_lib.models.limiter import Limiter
from anytime_lib.models.reply import EachTry, Reply, ReplyParser
from anytime_lib.models.retry import Retrying, Timeouts
from anytime_lib.models.tokenizers import FileTokenizer, server_pieces
from anytime_lib.models.transport import Transport
from anytime_lib.redact import Redactor
from anytime_lib.types import Message

log = logging.getLogger(__name__)

STREAM_FROM = 64
"""Replies of up to this many tokens come whole: there is nothing of them worth keeping when they die."""
FEWER = (20, 8, 5)
"""How many alternatives to ask for where more are refused: xAI lists 8, others 5."""
UNCOUNTED = 3
"""Replies in a row without usable token counts, after which that is taken to be the server's way."""


class Endpoint:
    """An endpoint and a model on it.

    Args:
        base_url: up to and including `/v1`.
        model: the model's name there.
        api_key: sent as the bearer token; never stored or logged.
        key_name: where the key came from, for error messages.
        timeouts: deadlines and retries.
        on_event: hears of every retry, rate limit, server error and dropped setting.
        limiter: decides when a request may be sent.
        tokenizer_file: a `tokenizer.json`, for where the server tells no tokens.

    Attributes:
        dropped: settings and routes that the server does not take.
        owner: who serves, as the list of models says (`vllm`, `sglang`, `llamacpp`, ...).
        sending: tasks whose request is with the server now.
        tokenized_by_file: the last text was tokenised by the user's file, the server having no tokenizer.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str,
        *,
        key_name: str = "the API key",
        timeouts: Timeouts | None = None,
        on_event: Callable[[Event], None] | None = None,
        limiter: Limiter | None = None,
        tokenizer_file: str | Path | None = None,
    ) -> None:
        self.base_url, self.model, self._key_name = base_url, model, key_name
        self.timeouts, self.limiter = timeouts or Timeouts(), limiter
        self._tell = on_event or (lambda event: None)
        self._redact = Redactor(api_key)
        self._transport = Transport(base_url, api_key, self._redact, self.timeouts.connect)
        self._retrying = Retrying(base_url, self.timeouts, self._tell, limiter)
        self._tokenizer = FileTokenizer(tokenizer_file) if tokenizer_file else None
        self.dropped, self.owner = set[str](), ""
        self.sending, self.tokenized_by_file = set[asyncio.Task[Any] | None](), False
        self._most, self._uncounted, self._misnamed = FEWER[0], 0, False

    def learn(self, dropped: Iterable[str], owner: str) -> None:
        """Go on from what an earlier probe found, without finding it out again."""
        self.dropped |= set(dropped)
        self.owner = self.owner or owner

    async def close(self) -> None:
        await self._transport.close()

    async def check(self) -> None:
        """Ask the server whether it is there, and whether it lists the model; the first request tells the rest.

        Raises:
            EndpointError: it is not, or does not.
        """
        try:
            page = await self._ask(f"{self.base_url.rstrip('/')}/models")
        except RequestFailed:
            return  # no list at this endpoint, or not for this key
        listed = page.get("data") if isinstance(page, dict) else page
        known = [m for m in listed if isinstance(m, dict) and "id" in m] if isinstance(listed, list) else []
        names = [str(m["id"]) for m in known]
        self.owner = str(known[0].get("owned_by") or "") if known else ""
        asked, *stems = (name.partition(":")[0] for name in (self.model, *names))  # name:latest, name:nitro
        if stems and not any(fnmatchcase(asked, stem) for stem in stems):  # a gateway lists openai/*
            raise EndpointError(
                f"{self.base_url} has no model {self.model!r}{one_line(nearest(self.model, names), self._redact)}"
            )

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
        """One chat completion. Of a stream that died on every try, the longest part that had arrived (`partial`).

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
        more = self._prefill_settings() if prefill else {}
        size = sum(len(message["content"]) for message in messages)

        async def once() -> Reply:
            async with self.limiter.slot(size // 4 + max_tokens) if self.limiter else contextlib.nullcontext():
                self.sending.add(task := asyncio.current_task())
                try:
                    reply = await self._try(messages, settings, more)
                finally:
                    self.sending.discard(task)
            if self.limiter is not None:
                self.limiter.succeeded()
            self._look(reply, streamed=max_tokens > STREAM_FROM and "stream" not in self.dropped)
            return reply

        reply: Reply = await self._retrying(once if each_try is None else lambda: each_try(once))
        return reply

    async def tokenize(self, text: str) -> list[bytes] | None:
        """The text's tokens from the server's own tokenizer, else from the user's file; None where there is neither."""
        root = self.base_url.rstrip("/").removesuffix("/v1")

        async def ask(route: str, body: dict[str, Any]) -> Any:
            try:
                found = await self._ask(root + route, body)
            except RequestFailed:
                return None
            if found is None:
                self.dropped.add("tokenize")
            return found

        pieces = await server_pieces(ask, self.model, text, self.owner) if "tokenize" not in self.dropped else None
        self.tokenized_by_file = pieces is None and self._tokenizer is not None
        return self._tokenizer.pieces(text) if pieces is None and self._tokenizer else pieces

    def _prefill_settings(self) -> dict[str, Any]:
        if self.owner in ("vllm", "sglang", "llamacpp"):
            return {} if self.owner == "llamacpp" else {"continue_final_message": True, "add_generation_prompt": False}
        raise EndpointError(
            f"{self.base_url} is not known to continue an assistant's turn (vLLM, SGLang and llama.cpp do); "
            "set answer_via: turn"
        )

    async def _try(self, messages: list[Message], settings: dict[str, Any], more: dict[str, Any]) -> Reply:
        """One try; a setting that the server does not know is dropped, and the request sent without it."""
        while True:
            left_out = self.dropped | ({"stream_options"} if "stream" in self.dropped else set())
            sent = {name: value for name, value in settings.items() if name not in left_out} | more
            if "top_logprobs" in sent:
                sent["top_logprobs"] = min(sent["top_logprobs"], self._most)
            if "max_tokens" in left_out:
                sent["max_completion_tokens"] = settings["max_tokens"]
            try:
                return await self._once(messages, sent, settings["max_tokens"])
            except ServerError as error:
                name = error.named_setting(sent)
                if name is None:
                    raise error.meaning(self.base_url, self.model, self._key_name) from None
                if name == "top_logprobs" and sent[name] > FEWER[-1]:
                    if sent[name] <= self._most:  # another request may have found it out already
                        self._most = next(n for n in FEWER if n < sent[name])
                        self._note(f"does not list {sent[name]} alternatives ({error.words}); asking for {self._most}")
                else:
                    self._drop(name, f"does not take {name!r} ({error.words}); going on without it")

    async def _once(self, messages: list[Message], sent: dict[str, Any], tokens: int) -> Reply:
        """Send one request and read its reply, within the deadlines."""
        limits, loop, parser = self.timeouts, asyncio.get_running_loop(), ReplyParser(self._redact)
        start = loop.time()
        whole = start + limits.whole
        soon = min(whole, start + limits.connect + limits.first_token)
        if "stream" not in sent and tokens > STREAM_FROM:
            soon = whole  # a long reply that is not streamed is silent until it is whole

        def read(partial: bool = False) -> Reply:
            echo = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
            asked = sum(len(message["content"]) for message in messages)
            return parser.reply(loop.time() - start, echo=echo, asked=asked, partial=partial)

        try:
            async with asyncio.timeout_at(soon) as clock:
                async with self._transport.chat({"model": self.model, "messages": messages, **sent}) as chunks:
                    async for chunk in chunks:
                        pieces = parser.pieces
                        parser.add(chunk)
                        if parser.ended and parser.usage:  # what is left is the end of the connection
                            clock.reschedule(loop.time() + 1)
                        elif parser.pieces > pieces:
                            clock.reschedule(min(whole, loop.time() + limits.first_token))
            if parser.streamed and not parser.ended:
                raise RetryableError("the stream ended before the reply did")
        except (TimeoutError, RetryableError, ServerError) as error:
            if not parser.ended:
                raise self._lost(error, parser, loop.time() >= whole, read) from None
        reply = read()
        if "stream" in sent and not parser.streamed:
            self._drop("stream", "does not stream; its replies come whole")
        return reply

    def _lost(self, error: Exception, parser: ReplyParser, late: bool, read: Callable[[bool], Reply]) -> Exception:
        """What a reply that died is; what had arrived of a stream goes with it."""
        if isinstance(error, TimeoutError):
            words = silence(late, parser.pieces, self.timeouts.first_token, self.timeouts.whole)
            error = RetryableError(words, final=late)
        if isinstance(error, ServerError) and parser.pieces:
            error = error.meaning(self.base_url, self.model, self._key_name)
        if isinstance(error, RetryableError) and parser.streamed and parser.pieces:
            error.partial = read(True)
        return error

    async def _ask(self, url: str, body: object = None) -> Any:
        """What a route beside chat answers with; None from one that the server does not have.

        Raises:
            RequestFailed: it refuses, for whatever reason: the first chat request will tell.
        """

        async def once() -> Any:
            try:
                async with asyncio.timeout(self.timeouts.connect + self.timeouts.first_token):
                    return await self._transport.ask(url, body)
            except TimeoutError:
                raise RetryableError(silence(False, 0, self.timeouts.first_token, 0)) from None
            except ServerError as error:
                if error.status in (404, 405, 501):
                    return None
                found = error.meaning(self.base_url, self.model, self._key_name)
                raise found if isinstance(found, RetryableError) else RequestFailed(error.words) from None

        return await self._retrying(once)

    def _look(self, reply: Reply, streamed: bool) -> None:
        """Say once what is odd: a reply from another model, or replies that tell no token counts. Streaming is given
        up where it keeps them from being told."""
        said, asked = (name.lower().rpartition("/")[2] for name in (reply.model, self.model))
        if said and said not in asked and asked not in said and not self._misnamed:  # dated names are the same one
            self._misnamed = True
            words = f"answers as model {reply.model!r}, not as the {self.model!r} that was asked for"
            log.warning("%s %s; both are kept with every reply", self.base_url, words)
        self._uncounted = self._uncounted + 1 if reply.estimated and not reply.usage else 0
        if self._uncounted >= UNCOUNTED and streamed:
            self._uncounted = 0
            self._drop("stream", "tells no token counts when it streams; going on unstreamed")
        elif self._uncounted == UNCOUNTED:
            log.warning("%s tells no usable token counts; those on the ledger are estimates", self.base_url)

    def _drop(self, name: str, why: str) -> None:
        """Leave a setting out of all later requests, and say so once."""
        if name not in self.dropped:
            self.dropped |= {name, "top_logprobs"} if name == "logprobs" else {name}
            self._note(why)

    def _note(self, what: str) -> None:
        words = f"{self.base_url} {what}"
        log.warning(words)
        self._tell(Event("dropped_setting", 0.0, words))
