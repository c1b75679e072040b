"""How is an OpenAI-compatible endpoint asked?

One async client for every endpoint, on the `openai` package with its own retries off. Replies are streamed where the
server streams. What a server rejects as unknown is dropped once, with a note; everything else it rejects stops that
request with the server's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import openai

from anytime_lib.errors import (
    EndpointError,
    RequestFailed,  # fmt: skip
    nearest,
)
from anytime_lib.models.failures import (
    Event,
    RetryableError,
    named_setting,
    of_refusal,
    of_silence,
    of_status,
    one_line,
    unsent,
    words_of,
)  # fmt: skip
from anytime_lib.models.reply import BYTES_PER_TOKEN, LARGEST, Reader, Reply
from anytime_lib.models.retry import Limiter, Retrying, Timeouts
from anytime_lib.models.tokenizers import FileTokenizer, server_pieces
from anytime_lib.models.transport import as_sent, http_client
from anytime_lib.models.watching import Watch
from anytime_lib.redact import Redactor
from anytime_lib.types import Message

if TYPE_CHECKING:
    from anytime_lib.models.probe import Capabilities

__all__ = ["Endpoint", "Event", "Limiter", "Reply", "RequestFailed", "Timeouts", "is_loopback"]

log = logging.getLogger(__name__)

EachTry = Callable[[Callable[[], Awaitable[Reply]]], Awaitable[Reply]]
STREAM_FROM = 64
"""Replies of up to this many tokens come whole: there is nothing of them worth keeping when they die."""
FEWER = (20, 8, 5)
"""How many alternatives to ask for where more are refused: xAI lists 8, others 5."""


class Endpoint:
    """An endpoint and a model on it.

    Args:
        base_url: up to and including `/v1`.
        model: the model's name there.
        api_key: sent as the bearer token; never stored or logged.
        key_name: where the key came from, for error messages.
        patience: deadlines and retries.
        on_event: hears of every retry, rate limit, server error and dropped setting.
        limiter: decides when a request may be sent.
        capabilities: what a probe found here before; see `learn`.
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
        capabilities: Capabilities | None = None,
        tokenizer_file: str | Path | None = None,
    ) -> None:
        self.base_url, self.model, self._key_name = base_url, model, key_name
        self.timeouts, self.on_event, self.limiter = timeouts or Timeouts(), on_event, limiter
        # No proxy of the user's network stands before a server on this machine.
        http = http_client(trust_env=not is_loopback(base_url))
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, http_client=http,
            timeout=openai.Timeout(None, connect=self.timeouts.connect),
        )  # fmt: skip
        self._persist = Retrying(base_url, self.timeouts, self._tell, limiter)
        self.tokenizer = FileTokenizer(tokenizer_file) if tokenizer_file else None
        self.dropped: set[str] = set()
        self.owner = ""
        self.sending: set[asyncio.Task[Any] | None] = set()
        self.tokenized_by_file = False
        self._secrets = Redactor(api_key)
        self._watch, self._most = Watch(base_url, model), FEWER[0]
        if capabilities is not None:
            self.learn(capabilities)

    def learn(self, known: Capabilities) -> None:
        """Go on from what an earlier probe found, without finding it out again."""
        self.dropped |= set(known.dropped)
        self.owner = self.owner or known.owner

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        """Ask the server whether it is there, takes the key and knows the model.

        Raises:
            EndpointError: it does not; one sentence says what to do.
        """
        try:
            page = await self._persist(lambda: self._json("GET", self.base_url, "/models"))
        except RequestFailed:
            return  # no listing at this endpoint: the first request will tell
        listed = page.get("data") if isinstance(page, dict) else page
        known = [m for m in listed if isinstance(m, dict) and "id" in m] if isinstance(listed, list) else []
        names = [str(m["id"]) for m in known]
        self.owner = str(known[0].get("owned_by") or "") if known else ""
        if names and self.model not in names:
            raise EndpointError(
                f"{self.base_url} has no model {self.model!r}{one_line(nearest(self.model, names), self._secrets)}"
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
            each_try: makes every try, by awaiting what it is given: to pay for it, and to keep what came of it, a
                `RetryableError` included.

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
        if prefill:
            settings["extra_body"] = self._prefill_body()
        asked = "\n".join(m["content"] for m in messages)

        async def once() -> Reply:
            estimate = len(asked) // 4 + max_tokens
            async with self.limiter.slot(estimate) if self.limiter else contextlib.nullcontext():
                self.sending.add(task := asyncio.current_task())
                try:
                    reply = await self._try(messages, settings, asked, prefill)
                finally:
                    self.sending.discard(task)
            if self.limiter is not None:
                self.limiter.succeeded(reply.seconds)
            streamed = max_tokens > STREAM_FROM and "stream" not in self.dropped
            if self._watch.look(reply, max_tokens <= STREAM_FROM, streamed):
                self._drop("stream", f"{self.base_url} tells no token counts when it streams; going on unstreamed")
            return reply

        return await self._persist(once if each_try is None else lambda: each_try(once))

    async def tokenize(self, text: str) -> list[bytes] | None:
        """The text's tokens from the server's own tokenizer, else from the user's file; None where there is neither."""
        root = self.base_url.rstrip("/").removesuffix("/v1")

        async def ask(route: str, body: dict[str, Any]) -> Any:
            try:
                return await self._persist(lambda: self._json("POST", root, route, body, text))
            except RequestFailed:
                return None

        pieces = await server_pieces(ask, self.model, text, self.owner) if "tokenize" not in self.dropped else None
        self.tokenized_by_file = pieces is None and self.tokenizer is not None
        return self.tokenizer.pieces(text) if pieces is None and self.tokenizer else pieces

    def _prefill_body(self) -> dict[str, Any]:
        if self.owner in ("vllm", "sglang"):
            return {"continue_final_message": True, "add_generation_prompt": False}
        if self.owner == "llamacpp":
            return {}
        raise EndpointError(
            f"{self.base_url} is not known to continue an assistant's turn (vLLM, SGLang and llama.cpp do); "
            "set answer_via: turn"
        )

    async def _try(self, messages: list[Message], settings: dict[str, Any], asked: str, prefill: bool) -> Reply:
        """One try; a setting that the server does not know is dropped, and the request sent without it."""
        while True:
            left_out = self.dropped | ({"stream_options"} if "stream" in self.dropped else set())
            sent = {name: value for name, value in settings.items() if name not in left_out}
            if "top_logprobs" in sent:
                sent["top_logprobs"] = min(sent["top_logprobs"], self._most)
            if "max_tokens" in left_out:
                sent["max_completion_tokens"] = settings["max_tokens"]
            try:
                return await self._once(messages, sent, asked, prefill)
            except openai.APIStatusError as error:
                words = words_of(error, asked, self._secrets)
                name = named_setting(error, words, sent) if error.status_code in (400, 403, 422) else None
                if name is None:
                    raise of_refusal(error, words, self.base_url, self.model, self._key_name) from None
                if name == "top_logprobs" and sent[name] > FEWER[-1]:
                    self._fewer_alternatives(sent[name], words)
                    continue
                self._drop(name, f"{self.base_url} does not take {name!r} ({words}); going on without it")

    async def _once(self, messages: list[Message], sent: dict[str, Any], asked: str, prefill: bool) -> Reply:
        """Send one request and read its reply, within the deadlines."""
        limits, loop = self.timeouts, asyncio.get_running_loop()
        start, streams = loop.time(), "stream" in sent
        tokens = sent.get("max_tokens") or sent["max_completion_tokens"]
        whole = start + limits.whole
        soon = min(whole, start + limits.connect + limits.first_token)
        echo, reader = messages[-1]["content"] if prefill else "", Reader(streams)

        def read(partial: bool = False) -> Reply:
            return reader.reply(loop.time() - start, echo=echo, asked=len(asked), partial=partial)

        try:
            # A long reply that is not streamed is silent until it is whole.
            async with asyncio.timeout_at(soon if streams or tokens <= STREAM_FROM else whole) as clock:
                async with self._open(messages, sent) as response:
                    events = "event-stream" in response.headers.get("content-type", "")
                    reader = Reader(events, max(LARGEST, BYTES_PER_TOKEN * tokens), self._secrets)
                    async for data in _bytes(response):
                        on_reply = reader.on_reply
                        reader.feed(data)
                        if reader.finished:  # what is left is the end of the connection
                            clock.reschedule(loop.time() + 1)
                        elif reader.on_reply > on_reply or not events:
                            clock.reschedule(min(whole, loop.time() + limits.first_token))
                reader.end()
        except TimeoutError:
            if not reader.finished:
                late = loop.time() >= whole
                raise RetryableError(
                    of_silence(late, reader.on_reply, limits.first_token, limits.whole),
                    final=late,
                    partial=_part(reader, read),
                ) from None
        except RetryableError as trouble:
            if not reader.ended:
                trouble.partial = _part(reader, read)
                raise
        reply = read()
        if streams and not reader.streamed:
            self._drop("stream", f"{self.base_url} does not stream; its replies come whole")
        return reply

    @contextlib.asynccontextmanager
    async def _open(self, messages: list[Message], sent: dict[str, Any]) -> AsyncIterator[Any]:
        """The reply to a request, its head read and its body not yet."""
        create = cast(Any, self._client.chat.completions.with_streaming_response.create)
        opening = create(**as_sent(self.model, messages, sent))
        try:
            response = await opening.__aenter__()
        except openai.APIStatusError:
            raise
        except Exception as error:
            raise unsent(error, self.timeouts.connect, self._secrets) from None
        try:
            yield response
        finally:
            with contextlib.suppress(Exception):  # a connection that broke may break again when it is closed
                await opening.__aexit__(None, None, None)

    async def _json(self, method: str, root: str, path: str, body: object = None, asked: str = "") -> Any:
        """What a route beside chat answers with; None from a route to tokens that the server does not have."""
        client = self._client.with_options(base_url=root)
        try:
            async with asyncio.timeout(self.timeouts.connect + self.timeouts.first_token):
                if method == "GET":
                    return await client.get(path, cast_to=object)
                return await client.post(path, cast_to=object, body=body)
        except TimeoutError:
            raise RetryableError(of_silence(False, 0, self.timeouts.first_token, 0)) from None
        except openai.APIStatusError as error:
            if "tokenize" in path and error.status_code in (404, 405, 501):
                self.dropped.add("tokenize")
                return None
            if error.status_code in (401, 403):
                raise of_refusal(error, "", self.base_url, self.model, self._key_name) from None
            words = words_of(error, asked, self._secrets)
            raise of_status(error, words) or RequestFailed(words) from None
        except ValueError:
            raise RequestFailed(f"{self.base_url} answers {path} with something that is no JSON") from None
        except Exception as error:
            raise unsent(error, self.timeouts.connect, self._secrets) from None

    def _drop(self, name: str, note: str) -> None:
        """Leave a setting out of all later requests, and say so once."""
        if name in self.dropped:
            return
        self.dropped |= {name, "top_logprobs"} if name == "logprobs" else {name}
        log.warning(note)
        self._tell(Event("dropped_setting", 0.0, note))

    def _fewer_alternatives(self, sent: int, words: str) -> None:
        """Ask for fewer alternatives from now on, and say so once."""
        if sent <= self._most:  # another request may have found it out already
            self._most = next(n for n in FEWER if n < sent)
            note = f"{self.base_url} does not list {sent} alternatives ({words}); asking for {self._most}"
            log.warning(note)
            self._tell(Event("dropped_setting", 0.0, note))

    def _tell(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


async def _bytes(response: Any) -> AsyncIterator[bytes]:
    """The body of a reply as it comes; a connection that breaks is trouble."""
    chunks = response.iter_bytes()
    while True:
        try:
            data = await anext(chunks)
        except StopAsyncIteration:
            return
        except Exception as error:  # of whichever HTTP library `openai` stands on
            raise RetryableError(f"the connection broke in mid-reply ({type(error).__name__})") from None
        yield data


def _part(reader: Reader, read: Callable[[bool], Reply]) -> Reply | None:
    """What had arrived of a stream that died, if anything had."""
    return read(True) if reader.streamed and reader.on_reply else None
