"""What went wrong with a request, and can it be tried again?

`RetryableError` may pass and is tried again; `RequestFailed` is this request's end, `EndpointError` every request's.
"""

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import openai

from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.reply import DIALECTS, RetryableError

_TELLS = {name: re.compile(pattern, re.I) for name, pattern in DIALECTS["errors"].items()}


class ServerError(Exception):
    """An error in the server's own words, short and without keys: with an HTTP status, or in the midst of a reply."""

    def __init__(
        self, body: Any, redact: Callable[[str], str] = str, status: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        plain, self.own = re.sub(r"<[^>]*>", " ", _words(body)), isinstance(body, dict | list)  # or it is a web page
        self.told = one_line(f"{plain} {json.dumps(body, default=str)}", redact, 4000).lower()
        self.wait, number = retry_after(headers or {}, self.told), _TELLS["status"].search(self.told)
        meant = {402: "credit", 429: "limited", 401: "key"}  # by words alone
        by_words = next((status for status, what in meant.items() if _TELLS[what].search(self.told)), 500)
        self.status = status or (int(number[1]) if number else by_words)
        said = one_line(plain, redact) or "an error without words"
        self.words = f"{status} {said}" if status else said
        super().__init__(self.words)

    def meaning(self, url: str, model: str, key_name: str, known: str = "") -> Exception:
        """The error that it means for the request, or for all. `known` ends a sentence: which models there are."""
        status, words, told = self.status, self.words, self.told
        limited = status in (400, 403, 429) and bool(_TELLS["limited"].search(told) or (status == 429 and self.wait))
        no_credit = _TELLS["credit"].search(told) or (_TELLS["quota"].search(told) and not limited)
        if status == 402 or (status in (400, 403, 429) and no_credit):
            return EndpointError(
                f"the account of {key_name} has no credit left at {url} ({words}); top it up, run again"
            )
        if limited or status >= 500 or status in (408, 409, 425, 429):
            return RetryableError(words, limited=limited or status == 429, wait=self.wait)
        refused = RequestFailed(f"the server refused the request: {words}")
        if status == 403 and _TELLS["flagged"].search(words):
            return refused
        if status == 401 or (status == 400 and _TELLS["key"].search(told)):
            return EndpointError(f"{url} refuses the key in {key_name}, or none is set ({words}); set a valid key")
        if _TELLS["model"].search(told) or (status in (403, 404) and "model" in words.lower()):
            return EndpointError(f"{url} does not know the model {model!r}, or not for this key: {words}{known}")
        if status == 403:
            return EndpointError(f"{url} refuses access ({words}); may the key in {key_name} be used for this?")
        if status == 404 or 300 <= status < 400:
            elsewhere = not self.own or _TELLS["address"].search(words)
            advice = "; is the address right, up to and including its /v1?" if elsewhere else ""
            return EndpointError(f"{url} answers {words}{advice}")
        return refused

    def least_tokens(self) -> int:
        """The least number of output tokens that it asks for; 0 where it is about something else."""
        about = self.status in (400, 422) and re.search(r"max_(\w+_)?tokens", self.told) and "context" not in self.told
        found = _TELLS["least"].search(self.told) if about else None
        return 0 if found is None else int(found[1]) if found[1] else int(found[2]) + 1

    def refused_cap(self, sent: Mapping[str, Any]) -> str | None:
        """The cap on output tokens among the settings `sent`, where it takes none of that name, however large."""
        unknown = self.status in (400, 422) and _TELLS["unknown"].search(self.told)
        return next((name for name in sent if unknown and "max_" in name and name in self.told), None)

    def named_setting(self, sent: Mapping[str, Any]) -> str | None:
        """The setting among those `sent` that it refuses: of two that exclude each other, the one that is missed less.
        None where it is about something else, such as the request's length, which names `max_tokens` too."""
        if self.status not in (400, 403, 422):
            return None
        if "max_tokens" in sent and "max_completion_tokens" in self.told:
            return "max_tokens" if re.search("instead|unsupported|not support", self.told) else None
        refused = _TELLS["taken"].sub(" ", self.told)  # without the list of those that it takes
        here = [name for name in DIALECTS["optional"] if name in sent]
        at = {name: found.start() for name in here if (found := re.search(rf"\b{name}\b", refused))}
        if len(at) > 1 and _TELLS["exclusive"].search(self.told):
            return next(iter(at))
        return min(at, key=lambda name: at[name], default="logprobs" if "logprob" in refused and here else None)


def _words(said: Any) -> str:
    """The words of an error, wherever they stand in it; what pydantic says, with its place; what a gateway quotes."""
    if isinstance(said, list):
        return "; ".join(map(_words, said[:5]))
    if not isinstance(said, dict):
        return said if isinstance(said, str) else json.dumps(said, default=str)
    inner = next((said[name] for name in DIALECTS["said"] if said.get(name)), json.dumps(said, default=str))
    place, more = said.get("loc"), said.get("metadata")
    where = f" ({'.'.join(map(str, place))})" if isinstance(place, list) else ""
    quoted = f": {_words(more['raw'])}" if isinstance(more, dict) and more.get("raw") else ""
    return f"{_words(inner)}{where}{quoted}"


def failure(error: Exception, begun: bool, redact: Callable[[str], str]) -> Exception:
    """What `openai`, or the HTTP library under it, has raised, as an error of ours; `begun`: within a reply."""
    cause: BaseException = error
    while cause.__cause__ is not None and not isinstance(cause, openai.APIStatusError | aiohttp.ClientError | OSError):
        cause = cause.__cause__
    if isinstance(cause, openai.APIStatusError):
        return ServerError(cause.body, redact, cause.status_code, cause.response.headers)
    if isinstance(error, RetryableError | RequestFailed | ServerError):
        return error
    if begun:
        cut = isinstance(error, ValueError | RecursionError)
        broke = f"the connection broke in mid-reply ({type(cause).__name__})"
        return RetryableError("the reply is not valid JSON, or was cut off" if cut else broke, lost=True)
    if isinstance(cause, aiohttp.ServerTimeoutError | TimeoutError):
        return RetryableError("no connection in time (deadline `connect`)", unreachable=True)
    if isinstance(cause, aiohttp.ClientError | OSError):
        if isinstance(cause, aiohttp.ClientConnectorError | ConnectionRefusedError):
            return RetryableError("no connection could be made", unreachable=True)
        return RetryableError("the connection broke before a reply came", lost=True)
    return RequestFailed(f"the request could not be sent ({type(error).__name__}: {one_line(str(error), redact)})")


def one_line(text: str, redact: Callable[[str], str], most: int = 200) -> str:
    """A text from elsewhere as it may be logged: without keys and control characters, and short."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return redact(plain[: 10 * most])[:most]


def unquoted(text: str, sent: str, least: int = 24) -> str:
    """A text in which [...] stands for runs of so many characters that are in `sent`, which may be private."""
    sent = " ".join(sent.split())
    found, at = "", 0
    while at < len(text):
        length = least if at + least <= len(text) and text[at : at + least] in sent else 0
        while length and at + length < len(text) and text[at : at + length + 1] in sent:
            length += 1
        found, at = found + ("[...]" if length else text[at]), at + (length or 1)
    return found


def retry_after(headers: Mapping[str, str], words: str = "") -> float | None:
    """Seconds that a server asks to wait: in its headers, as a number or a date, or in words such as "retry in 12.5s";
    None where it asks for nothing. A wait of 0, or one that is over, is no advice."""
    said, ms = headers.get("retry-after", ""), headers.get("retry-after-ms", "")
    with suppress(ValueError, OverflowError):
        date = None if ms or said[:1].isdigit() else email.utils.parsedate_to_datetime(said)
        wait = (float(ms) / 1000 if ms else float(said)) if date is None else date.timestamp() - time.time()
        if 0 < wait < float("inf"):
            return wait
    if found := _TELLS["again"].search(words):
        with suppress(ValueError):
            return (60 * int(found[1] or 0) + float(found[2]) / (1000 if found[3].lower() == "ms" else 1)) or None
    return None
