"""What went wrong with a request, and can it be tried again?

`RetryableError` may pass and is tried again; `RequestFailed` is this request's end, `EndpointError` every request's.
"""

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import openai

from anytime_lib.errors import EndpointError, RequestFailed

OPTIONAL = ("stream_options", "stream", "top_logprobs", "logprobs", "seed", "top_p", "temperature")
"""Settings that a request can do without, in the order in which they are given up."""
_KEY = re.compile(r"(incorrect|invalid|missing|wrong|no|bad)[ _]api[ _-]?key", re.I)
_CREDIT = re.compile(r"insufficient[_ ](quota|credit|balance|fund)|exceeded your current quota(?!.*retry in)", re.I)
_MODEL = re.compile(r"not a valid model|model[_ ]not[_ ]found|unknown model|model\b.*\b(does not|doesn't) exist", re.I)
_FLAGGED = re.compile(r"flagged|moderation|content[ _]polic|safety", re.I)


@dataclass(eq=False)
class RetryableError(Exception):
    """A try of a request failed in a way that may pass."""

    words: str
    limited: bool = False  # the server said 429
    wait: float | None = None  # seconds that it asked to wait
    billed: dict[str, int] = field(default_factory=dict)  # tokens, where they are known and there is no `partial`
    partial: Any = None  # the `Reply` that had arrived before a stream died
    final: bool = False  # there is no point in trying again
    unreachable: bool = False  # no connection came about


class ServerError(Exception):
    """An error in the server's own words, short and without keys: with an HTTP status, or in the midst of a reply."""

    def __init__(
        self, body: Any, redact: Callable[[str], str] = str, status: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        error = body if isinstance(body, dict) else {}
        error = error["error"] if isinstance(error.get("error"), dict) else error
        self.code = one_line(f"{error.get('code')} {error.get('type')}", redact).lower()
        self.param, self.wait = error.get("param"), retry_after(headers or {})
        told = re.search(r"\b[45]\d\d\b", f"{error.get('code')} {error.get('status')} {error.get('status_code')}")
        self.status = status or (int(told[0]) if told else 429 if "rate_limit" in self.code else 500)
        said: Any = error or body
        if isinstance(said, dict):
            more = said.get("metadata")
            said = said.get("message") or said.get("detail") or said.get("error") or said.get("type") or said
            if isinstance(more, dict) and more.get("raw"):  # OpenRouter quotes the provider behind it there
                said = [said, more["raw"]]
        plain = re.sub(r"<[^>]*>", " ", said if isinstance(said, str) else json.dumps(said, default=str))  # web pages
        said = one_line(plain, redact) or "an error without words"
        self.words = f"{status} {said}" if status else said
        super().__init__(self.words)

    def meaning(self, url: str, model: str, key_name: str) -> Exception:
        """What it means for the request, or for all of them: an error to be raised."""
        status, words, about_model = self.status, self.words, "model" in self.words.lower()
        told = f"{words} {self.code}"
        if status == 402 or (status == 429 and _CREDIT.search(told)):
            return EndpointError(
                f"the account behind {key_name} has no credit left at {url} ({words}); top it up and run again to go on"
            )
        if status >= 500 or status in (408, 409, 425, 429):
            return RetryableError(words, limited=status == 429, wait=self.wait)
        if status == 403 and _FLAGGED.search(words):
            return RequestFailed(f"the server refused the request: {words}")
        if status == 401 or (status == 400 and _KEY.search(told)) or (status == 403 and not about_model):
            return EndpointError(f"{url} refuses the key in {key_name} ({words}); set it to a valid key")
        if _MODEL.search(told) or (status in (403, 404) and about_model):
            return EndpointError(f"{url} does not know the model {model!r}, or not for this key: {words}")
        if status == 404:
            return EndpointError(f"{url} answers {words}; is the address right, up to and including its /v1?")
        return RequestFailed(f"the server refused the request: {words}")

    def named_setting(self, sent: Mapping[str, Any]) -> str | None:
        """The setting among those `sent` that it refuses; None where it is about something else, such as the request's
        length, which names `max_tokens` too."""
        plain = self.words.lower()
        if self.status not in (400, 403, 422):
            return None
        if "max_tokens" in sent and "max_completion_tokens" in plain:
            return "max_tokens" if re.search("instead|unsupported|not support", plain) else None
        here = [name for name in OPTIONAL if name in sent]
        named = [n for n in here if n == self.param] or [n for n in here if re.search(rf"\b{n}\b", plain)]
        return next(iter(named), "logprobs" if "logprobs" in sent and "logprob" in plain else None)


def failure(error: Exception, begun: bool, redact: Callable[[str], str]) -> Exception:
    """What `openai`, or the HTTP library under it, has raised, as an error of ours; `begun`: within a reply."""
    if isinstance(error, RetryableError | RequestFailed | ServerError):
        return error
    if isinstance(error, openai.APIStatusError):
        return ServerError(error.body, redact, error.status_code, error.response.headers)
    if begun and isinstance(error, ValueError | RecursionError):
        return RetryableError("the reply is not valid JSON, or was cut off")
    if begun and isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return ServerError(error.body, redact)
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, aiohttp.ClientError | OSError):
        cause = cause.__cause__
    if begun:
        return RetryableError(f"the connection broke in mid-reply ({type(cause).__name__})")
    if isinstance(cause, aiohttp.ServerTimeoutError | TimeoutError):
        return RetryableError("no connection in time (deadline `connect`)", unreachable=True)
    if isinstance(cause, aiohttp.ClientError | OSError):
        refused = isinstance(cause, aiohttp.ClientConnectorError | ConnectionRefusedError)
        what = "no connection could be made" if refused else "the connection broke before a reply came"
        return RetryableError(what, unreachable=refused)
    return RequestFailed(f"the request could not be sent ({type(error).__name__}: {one_line(str(error), redact)})")


def one_line(text: str, redact: Callable[[str], str], most: int = 200) -> str:
    """A text from elsewhere as it may be logged: without keys and control characters, and short."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return redact(plain[: 10 * most])[:most]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None where it asks for nothing."""
    said = headers.get("retry-after", "")
    try:
        date = None if said[:1].isdigit() else email.utils.parsedate_to_datetime(said)
        wait = float(said) if date is None else date.timestamp() - time.time()
    except ValueError:
        return None
    return wait if 0 < wait < float("inf") else None
