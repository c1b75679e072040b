"""How is an OpenAI-compatible endpoint asked, and what did it say?

One async client for every endpoint, on the `openai` package with its own retries off. What a server rejects as
unknown is dropped once, with a note; everything else it rejects stops that request with the server's words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any
from urllib.parse import urlsplit

import openai

from anytime_lib.errors import EndpointError, nearest
from anytime_lib.models.limiter import Limiter
from anytime_lib.models.transport import as_sent, http_client
from anytime_lib.records import Message
from anytime_lib.tokens import ends_of

log = logging.getLogger(__name__)

RETRIES = 4
QUOTE = 24
"""From this many characters on, an error that repeats the request quotes it: such words could reach a log."""
_OPTIONAL = ("logprobs", "top_logprobs", "seed", "temperature", "top_p")


@dataclass(frozen=True)
class Reply:
    """What an endpoint said to one request.

    Attributes:
        text: the visible text.
        reasoning: reasoning the server returned apart from it ("" if none).
        finish_reason: `stop`, `length` or the server's own word.
        ends: where each token of the reasoning (of the text, if there is none apart) ends, as byte offsets; None where
            the server did not return its token stream, or one that does not join to it.
        first: log-probabilities of the first token's alternatives, where asked for: token text -> nats.
        usage: the server's own usage object, unchanged.
        prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens: that usage, normalised; cached ones are part
            of the prompt, reasoning ones of the completion.
        seconds: from sending to the last byte.
    """

    text: str
    reasoning: str = ""
    finish_reason: str = ""
    ends: list[int] | None = None
    first: dict[str, float] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


class RequestFailed(Exception):
    """One request did not succeed; others may. Its text is the server's own words, `usage` what was billed."""

    def __init__(self, words: str, usage: dict[str, int] | None = None) -> None:
        super().__init__(words)
        self.usage = usage or {}


@dataclass(frozen=True)
class Event:
    """Something that a reader of a progress bar should hear of: what, how long the request now waits, and why."""

    kind: str
    seconds: float
    words: str


class Endpoint:
    """An endpoint and a model on it.

    Args:
        base_url: up to and including `/v1`.
        model: the model's name there.
        api_key: sent as the bearer token; never stored or logged.
        key_name: where the key came from, for error messages.
        timeout: seconds for a whole request.
        on_event: hears of every retry.
        limiter: decides when a request may be sent.
    """

    def __init__(
        self, base_url: str, model: str, api_key: str, *, key_name: str = "the API key", timeout: float = 600,
        on_event: Callable[[Event], None] | None = None, limiter: Limiter | None = None,
    ) -> None:  # fmt: skip
        self._on_event, self._limiter = on_event, limiter
        self.base_url = base_url
        self.model = model
        self._key_name = key_name
        # No proxy of the user's network stands before a server on this machine.
        http = http_client(trust_env=not is_loopback(base_url))
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=http
        )
        self._dropped: set[str] = set()
        self.owner = ""

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        """Ask the server whether it is there, takes the key and knows the model.

        Raises:
            EndpointError: it does not; one sentence says what to do.
        """
        try:
            page = await self._retrying(self._client.models.list)
        except (openai.NotFoundError, openai.BadRequestError, RequestFailed):
            return  # no listing at this endpoint: the first request will tell
        listed = getattr(page, "data", None)
        if not isinstance(listed, list):
            return
        names = [str(m.id) for m in listed]
        self.owner = listed[0].owned_by or "" if listed else ""
        if names and self.model not in names:
            raise EndpointError(f"{self.base_url} has no model {self.model!r}{nearest(self.model, names)}")

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
    ) -> Reply:
        """One chat completion.

        Args:
            messages: the conversation; with `prefill` its last message is the assistant's, to be continued.
            tokens: ask for the token stream.
            alternatives: ask for the log-probabilities of that many alternatives to the first token.

        Raises:
            RequestFailed: this request failed for good.
            EndpointError: no request can succeed (down, wrong key, unknown model).
        """
        settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
        if seed is not None:
            settings["seed"] = seed
        if tokens or alternatives:
            settings["logprobs"] = True
        if alternatives:
            settings["top_logprobs"] = alternatives
        if prefill:
            settings["extra_body"] = self._prefill_body()
        asked = "\n".join(m["content"] for m in messages)
        while True:
            sent = {k: v for k, v in settings.items() if k not in self._dropped}
            if "max_tokens" in self._dropped:
                sent["max_completion_tokens"] = max_tokens
            start = time.perf_counter()
            try:
                done = await self._retrying(lambda sent=sent: self._send(messages, sent, len(asked)), asked)  # type: ignore[misc]
            except openai.BadRequestError as error:
                if not self._drop(_words(error, asked), sent):
                    raise RequestFailed(f"the server refused the request: {_words(error, asked)}") from None
                continue
            except openai.NotFoundError as error:
                raise EndpointError(
                    f"{self.base_url} has no chat completions ({_words(error, asked)}); give the address up to and "
                    "including its /v1"
                ) from None
            reply = _read(done, time.perf_counter() - start)
            if prefill and reply.text.startswith(messages[-1]["content"]):  # llama.cpp echoes what it continues
                return replace(reply, text=reply.text[len(messages[-1]["content"]) :])
            return reply

    async def _send(self, messages: list[Message], sent: dict[str, Any], size: int) -> Any:
        start = time.perf_counter()
        most = sent.get("max_tokens") or sent.get("max_completion_tokens") or 0
        async with self._limiter.slot(size // 4 + most) if self._limiter else contextlib.nullcontext():
            done = await self._client.chat.completions.create(**as_sent(self.model, messages, sent))
        if self._limiter:
            self._limiter.succeeded(time.perf_counter() - start)
        return done

    async def tokenize(self, text: str) -> list[bytes] | None:
        """The text's tokens from the server's own tokenizer; None where it has no such route (llama.cpp has one)."""
        root = self.base_url.rstrip("/").removesuffix("/v1")
        client = self._client.with_options(base_url=root)
        asked = {"content": text, "with_pieces": True}
        try:
            body: Any = await self._retrying(lambda: client.post("/tokenize", cast_to=object, body=asked))
            pieces = [t["piece"] for t in body["tokens"]]
            return [p.encode() if isinstance(p, str) else bytes(p) for p in pieces]
        except (openai.OpenAIError, RequestFailed, KeyError, TypeError, ValueError):
            return None

    def _prefill_body(self) -> dict[str, Any]:
        if self.owner in ("vllm", "sglang"):
            return {"continue_final_message": True, "add_generation_prompt": False}
        if self.owner == "llamacpp":
            return {}
        raise EndpointError(
            f"{self.base_url} is not known to continue an assistant's turn (vLLM, SGLang and llama.cpp do); "
            "set answer_via: turn"
        )

    def _drop(self, words: str, sent: dict[str, Any]) -> bool:
        """Whether the refusal names an optional setting, which is then left out of all later requests."""
        lowered = words.lower()
        if "max_completion_tokens" in lowered and "max_tokens" in sent:
            name = "max_tokens"
        else:
            name = next((n for n in reversed(_OPTIONAL) if n in sent and n in lowered), "")
            name = "logprobs" if name == "" and "logprob" in lowered and "logprobs" in sent else name
        if not name:
            return False
        log.warning("%s does not take %r; going on without it", self.base_url, name)
        self._dropped |= {name, "top_logprobs"} if name == "logprobs" else {name}
        return True

    async def _retrying(self, call: Callable[[], Any], asked: str = "") -> Any:
        """Await a call; what may pass is tried again after growing, jittered pauses. No error quotes `asked`."""
        for attempt in range(RETRIES + 1):
            try:
                return await call()
            except (openai.AuthenticationError, openai.PermissionDeniedError):
                raise EndpointError(
                    f"{self.base_url} refuses the key in {self._key_name}; set it to a valid key"
                ) from None
            except openai.NotFoundError as error:
                if "model" in _words(error, asked).lower():
                    raise EndpointError(
                        f"{self.base_url} does not know the model {self.model!r}: {_words(error, asked)}"
                    ) from None
                raise
            except openai.BadRequestError:
                raise
            except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
                if attempt == RETRIES:
                    if isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError):
                        raise EndpointError(
                            f"no answer from {self.base_url} after {RETRIES + 1} tries; is the server running and "
                            "the address right? What was stored is kept: run again to go on"
                        ) from None
                    raise RequestFailed(_words(error, asked)) from None
                pause = min(30.0, 0.5 * 2**attempt) * (1 + random.random() / 4)
                kind = "retry"
                if isinstance(error, openai.RateLimitError):
                    kind, told = "rate_limited", error.response.headers.get("retry-after", "")
                    wait = float(told) if told.replace(".", "", 1).isdigit() else None
                    pause = max(pause, wait or 0.0)
                    if self._limiter:
                        self._limiter.rate_limited(wait)
                elif isinstance(error, openai.InternalServerError):
                    kind = "server_error"
                    if self._limiter:
                        self._limiter.server_error()
                log.info("%s: %s; trying again in %.1f s", self.base_url, _words(error, asked), pause)
                if self._on_event:
                    self._on_event(Event(kind, pause, _words(error, asked)))
                await asyncio.sleep(pause)
            except openai.APIError as error:
                raise RequestFailed(_words(error, asked)) from None
        raise AssertionError("unreachable")


def _words(error: openai.APIError, asked: str = "") -> str:
    """The server's own words for an error, short and on one line, without what they quote of the request."""
    body = error.body if isinstance(error.body, dict) else {}
    text = " ".join(str(body.get("message") or error.message or type(error).__name__).split())[:2000]
    asked = " ".join(asked.split())
    while (quote := SequenceMatcher(None, asked, text, autojunk=False).find_longest_match()).size >= QUOTE:
        text = f"{text[: quote.b]}[...]{text[quote.b + quote.size :]}"
    return text[:300]


def _read(done: Any, seconds: float) -> Reply:
    """A completion as a `Reply`; whatever a server leaves out reads as nothing."""
    if isinstance(done, str):
        raise RequestFailed(
            f"the server answered with {'a web page' if '<' in done[:200] else 'text'} and not with JSON; "
            "is the address right, up to and including its /v1?"
        )
    usage = done.usage.model_dump() if getattr(done, "usage", None) else {}
    counts = {
        "prompt_tokens": usage.get("prompt_tokens") or 0,
        "cached_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        "completion_tokens": usage.get("completion_tokens") or 0,
        "reasoning_tokens": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    }
    if not getattr(done, "choices", None) or done.choices[0].message is None:
        raise RequestFailed("the server's reply holds no choices", counts)
    choice = done.choices[0]
    message = choice.message
    extra = message.model_extra or {}
    text, reasoning = message.content or "", extra.get("reasoning_content") or extra.get("reasoning") or ""
    content = (choice.logprobs.content if choice.logprobs else None) or []
    pieces = [bytes(t.bytes) if t.bytes is not None else t.token.encode() for t in content]
    return Reply(
        text=text,
        reasoning=reasoning,
        finish_reason=choice.finish_reason or "",
        ends=ends_of(pieces, reasoning or text) if pieces else None,
        first={t.token: t.logprob for t in content[0].top_logprobs} if content else {},
        usage=usage,
        **counts,
        seconds=seconds,
    )
