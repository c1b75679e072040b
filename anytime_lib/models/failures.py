"""What went wrong with a request, and can it be tried again?

`RetryableError` may pass and is tried again; `RequestFailed` is this request's end, `EndpointError` every request's.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import openai

from anytime_lib.errors import EndpointError, RequestFailed

if TYPE_CHECKING:
    from anytime_lib.models.reply import Reply

QUOTE = 24
"""From this many characters on, an error that repeats the request quotes it: such words could reach a log."""
OPTIONAL = ("stream_options", "stream", "top_logprobs", "logprobs", "seed", "temperature", "top_p")
"""Settings that a request can do without."""
_REFUSED = re.compile(r"support|instead|unrecogni[sz]ed|unknown|not permitted|not allowed|deprecated|extra", re.I)
_KEY = re.compile(r"(incorrect|invalid|missing|wrong|no|bad) api[ _-]?key", re.I)
_CREDIT = re.compile(r"insufficient[_ ](quota|credit|balance|fund)|exceeded your current quota", re.I)
_MODEL = re.compile(r"not a valid model|model[_ ]not[_ ]found|unknown model|model\b.*\b(does not|doesn't) exist", re.I)
_FLAGGED = re.compile(r"flagged|moderation|content[ _]polic|safety", re.I)
_TOO_LONG = re.compile(r"context (length|window|size)|too (large|long|high)|exceed|at most|maximum", re.I)


@dataclass(frozen=True)
class Event:
    """Something that a reader of a progress bar should hear of.

    Attributes:
        kind: what happened.
        seconds: how long the request now waits before it is tried again; 0 where it does not wait.
        words: the reason, in one sentence.
    """

    kind: Literal["retry", "rate_limited", "dropped_setting", "server_error"]
    seconds: float
    words: str


class RetryableError(Exception):
    """A try of a request failed in a way that may pass.

    Attributes:
        kind: how the try is counted, and how the limiter hears of it.
        wait: seconds the server asked to wait (`Retry-After`), if it did.
        billed: what the try was billed, as far as is known (prompt_tokens, cached_tokens, completion_tokens).
        partial: what had arrived before a stream died.
        final: there is no point in trying again.
        unreachable: no connection came about.
    """

    def __init__(
        self,
        words: str,
        kind: Literal["retry", "rate_limited", "server_error"] = "retry",
        *,
        wait: float | None = None,
        usage: dict[str, int] | None = None,
        partial: Reply | None = None,
        final: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(words)
        self.kind, self.wait, self._usage, self.partial = kind, wait, usage or {}, partial
        self.final, self.unreachable = final, unreachable

    @property
    def billed(self) -> dict[str, int]:
        return self._usage if self.partial is None else self.partial.spent


def of_status(error: openai.APIStatusError, words: str) -> RetryableError | None:
    """The trouble that a status stands for; None where the same request would fail again."""
    status = error.status_code
    if status == 429:
        return RetryableError(words, "rate_limited", wait=retry_after(error.response.headers))
    if status >= 500:
        return RetryableError(words, "server_error", wait=retry_after(error.response.headers))
    if status in (408, 409, 425):
        return RetryableError(words, wait=retry_after(error.response.headers))
    return None


def of_refusal(error: openai.APIStatusError, words: str, url: str, model: str, key_name: str) -> Exception:
    """What a status that is no success means for the request, or for all of them."""
    status, about_model = error.status_code, "model" in words.lower()
    if status == 403 and _FLAGGED.search(words):
        return RequestFailed(f"the server refused the request: {words}")
    if status == 402 or (status == 429 and _CREDIT.search(words)):
        return EndpointError(
            f"the account behind {key_name} has no credit left at {url} ({words}); top it up and run again to go on"
        )
    if trouble := of_status(error, words):
        return trouble
    if status == 401 or (status == 400 and _KEY.search(words)) or (status == 403 and not about_model):
        return EndpointError(f"{url} refuses the key in {key_name}; set it to a valid key")
    if _MODEL.search(words) or (status in (403, 404) and about_model):
        return EndpointError(f"{url} does not know the model {model!r}, or not for this key: {words}")
    if status == 404:
        return EndpointError(f"{url} has no chat completions ({words}); give the address up to and including its /v1")
    return RequestFailed(f"the server refused the request: {words}")


def unsent(error: Exception, connect: float, secrets: Callable[[str], str] = str) -> Exception:
    """What it means that a request brought no reply at all."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    kind = type(cause).__name__
    if kind in ("ConnectTimeout", "PoolTimeout"):
        return RetryableError(f"no connection within {connect:g} s (deadline `connect`)", unreachable=True)
    if kind == "ConnectError":
        return RetryableError("no connection could be made", unreachable=True)
    if isinstance(error, openai.APIConnectionError) or type(cause).__module__.startswith("http"):
        return RetryableError(f"the connection broke before a reply came ({kind})")
    return RequestFailed(f"the request could not be sent ({kind}: {one_line(str(error), secrets)[:200]})")


def of_silence(late: bool, on_reply: int, first_token: float, whole: float) -> str:
    """Which deadline has passed, in words."""
    if late:
        return f"the reply was not whole within {whole:g} s (deadline `whole`)"
    if on_reply:
        return f"the stream stood still for {first_token:g} s (deadline `first_token`)"
    return f"no first token within {first_token:g} s (deadline `first_token`)"


def sane(text: str) -> str:
    """The text with surrogate pairs that came in two pieces joined, and lone ones replaced: it can be encoded."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that `Retry-After` asks for, given as seconds or as an HTTP date; None where it asks for nothing."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
            if 0 <= seconds < 1e9:
                return seconds
        except ValueError:
            continue
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError):
        return None


def one_line(text: str, secrets: Callable[[str], str]) -> str:
    """A text from elsewhere as it may be logged: on one line, and without keys. To be shortened afterwards, so that no
    part of a key is left."""
    return secrets(sane(" ".join(text.split())))


def words_of(error: openai.APIError, asked: str = "", secrets: Callable[[str], str] = str) -> str:
    """The server's own words for an error, short and on one line, without keys or what they quote of the request."""
    body: Any = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body.get("error") or error.message
    if body is None:
        body = error.message
    if not isinstance(body, str):
        try:
            body = json.dumps(body, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            body = error.message
    if "<" in body[:100] and re.match(r"\s*<(!doctype|html|head|body)", body, re.I):
        title = re.search(r"<title[^>]*>([^<]{1,200})", secrets(body[:5000]), re.I)
        body = f"a web page{f' ({title[1].strip()})' if title else ''} in place of an answer"
    status = getattr(error, "status_code", None)
    said = without_quotes(one_line(body[:20_000], secrets)[:600], asked)[:300]
    return f"{status} {said}" if status else said or type(error).__name__


def without_quotes(text: str, asked: str) -> str:
    """A text in which every run of `QUOTE` characters or more that also stands in `asked` is left out."""
    asked = " ".join(asked.split())
    quoted = [False] * len(text)
    for i in range(len(text) - QUOTE + 1):
        if text[i : i + QUOTE] in asked:
            quoted[i : i + QUOTE] = [True] * QUOTE
    kept, previous = [], False
    for letter, drop in zip(text, quoted, strict=True):
        if drop and not previous:
            kept.append("[...]")
        elif not drop:
            kept.append(letter)
        previous = drop
    return "".join(kept)


def named_setting(error: openai.APIStatusError, words: str, sent: Mapping[str, Any]) -> str | None:
    """The optional setting among those `sent` that a refusal is about; None where it is about something else.

    A refusal of a request's length names `max_tokens` too, and is not about the setting.
    """
    body = error.body if isinstance(error.body, dict) else {}
    plain = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", words).lower()  # some servers write topLogprobs
    if "max_tokens" in sent and "max_completion_tokens" in plain:
        return "max_tokens" if _REFUSED.search(words) and not _TOO_LONG.search(words) else None
    for name in OPTIONAL:
        if name in sent and body.get("param") == name:
            return name
    for name in OPTIONAL:
        if name in sent and re.search(rf"\b{name}\b", plain):
            return name
    if "logprobs" in sent and "logprob" in plain:
        return "logprobs"
    return None
