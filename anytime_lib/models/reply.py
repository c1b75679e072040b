"""What did a server say, whatever shape it said it in?

`Reader` takes a reply's bytes as they come, streamed or whole, and makes a `Reply` of them. Everything a server
sends is hostile until looked at: whatever is missing or of the wrong type reads as nothing, what cannot be used at
all is a `RetryableError` in one sentence, and nothing takes more than linear time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anytime_lib.errors import RequestFailed
from anytime_lib.models.failures import RetryableError, one_line, sane
from anytime_lib.models.tokens import ends_of, ends_within

LARGEST = 20_000_000
"""Bytes of a reply beyond which it is no answer to anything."""
BYTES_PER_TOKEN = 2_000
"""What a token may take in a reply with its log-probability and its wrapping; long replies may be larger."""
_BROKEN = ("error", "abort", "network_error")


@dataclass(frozen=True)
class Reply:
    """What an endpoint said to one request.

    Attributes:
        text: the visible text.
        reasoning: reasoning apart from it, returned in a field of its own or within `<think>` ("" if none).
        finish_reason: `stop`, `length` or the server's own word; `interrupted` where the stream died.
        ends: where each token of the reasoning (of the text, if there is none apart) ends, as byte offsets; None where
            the server did not return its token stream, or one that does not join to it.
        first: log-probabilities of the first token's alternatives, where asked for: token text -> nats.
        usage: the server's own usage object, unchanged.
        prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens: that usage, normalised; cached ones are part
            of the prompt, reasoning ones of the completion.
        seconds: from sending to the last byte.
        partial: the stream died, and this is what had arrived.
        model: the model's name as the server gave it.
        reasoning_in: where the reasoning was: `reasoning_content`, `reasoning`, `think`, or "".
        estimated: the counts are ours, because the server's were missing or impossible.
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
    partial: bool = False
    model: str = ""
    reasoning_in: str = ""
    estimated: bool = False

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))  # not a deep copy: a long trace has many token ends

    @property
    def spent(self) -> dict[str, int]:
        """What this request was billed: prompt_tokens, cached_tokens, completion_tokens."""
        names = ("prompt_tokens", "cached_tokens", "completion_tokens")
        return {name: getattr(self, name) for name in names}


def split_think(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a text that reasons within `<think>`: the end may be missing, or the start (chat
    templates that open the tag themselves). A text that only mentions the tag is an answer."""
    inside = text.lstrip()
    opened = inside.startswith("<think>")
    head, end, after = (inside.removeprefix("<think>") if opened else text).partition("</think>")
    if opened or (end and "<think>" not in head):
        return head, after.lstrip() if end else ""
    return "", text


class Reader:
    """Takes a reply's bytes as they come.

    Args:
        streamed: server-sent events, or one JSON object.
        largest: bytes beyond which the reply is given up.
        secrets: what must not be repeated, if the server quotes it in an error or in a name.

    Attributes:
        heard: pieces of text that have arrived.
        ended: the text is whole; usage may follow.
        finished: the server has said that nothing follows.

    Raises (from `feed` and `reply`):
        Trouble: what came cannot be used.
        RequestFailed: what came is no API's answer.
    """

    def __init__(self, streamed: bool, largest: int = LARGEST, secrets: Callable[[str], str] = str) -> None:
        self.streamed, self._largest, self._size, self._secrets = streamed, largest, 0, secrets
        self._rest: list[bytes] = []
        self.on_reply, self.finished, self.ended = 0, False, False
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tokens: list[dict[str, Any]] = []
        self._chosen = self._said_text = False
        self._reason = self._model = self._reasoning_in = ""
        self._usage: dict[str, Any] = {}

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._largest:
            self._rest, self._text, self._reasoning, self._tokens = [], [], [], []
            self.on_reply, self.ended = 0, False
            raise RetryableError(f"the reply is larger than {self._largest // 1_000_000} MB and was given up")
        if not self.streamed:
            self._rest.append(data)
            return
        first, *others = data.split(b"\n")
        self._rest.append(first)
        for line in others:
            self._line(b"".join(self._rest))
            self._rest = [line]

    def end(self) -> None:
        """The server has closed the reply."""
        left = b"".join(self._rest)
        self._rest.clear()
        if self.streamed:
            self._line(left)
            if not self.finished and not self.ended:
                raise RetryableError("the stream ended before the reply did")
        else:
            if left.lstrip()[:1] == b"<":
                raise RequestFailed(
                    "the server answered with a web page and not with JSON; is the address right, up to and including "
                    "its /v1?"
                )
            self._take(left)
            self.finished = True

    def _line(self, line: bytes) -> None:
        """One line of server-sent events; comments and fields other than `data` say nothing."""
        line = line.strip()
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == b"[DONE]":
                self.finished = True
            elif data:
                self._take(data)
        elif line.startswith(b"error:"):
            self._take(b'{"error":%s}' % line[6:])

    def _take(self, data: bytes) -> None:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise RetryableError("the reply is not valid JSON, or was cut off") from None
        if not isinstance(body, dict):
            raise RetryableError(f"the reply is JSON, but a {type(body).__name__} and no object")
        if body.get("error"):
            _raise(body["error"], self._secrets)
        if isinstance(body.get("model"), str):
            self._model = self._model or one_line(body["model"], self._secrets)[:200]
        if isinstance(body.get("usage"), dict):
            self._usage = body["usage"] if _can_be_kept(body["usage"]) else {}
        choices = body.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> None:
        part = choice.get("delta") or choice.get("message")
        if isinstance(part, dict):
            self._chosen = True
            for name in ("reasoning_content", "reasoning"):
                if isinstance(part.get(name), str) and part[name]:
                    self._reasoning.append(part[name])
                    self._reasoning_in = self._reasoning_in or name
                    self.on_reply += 1
                    break
            said = part.get("content")
            if isinstance(said, list):  # content in parts: text, and thinking that is shown
                said = "".join(p["text"] for p in said if isinstance(p, dict) and isinstance(p.get("text"), str))
            if said is None and isinstance(part.get("refusal"), str):
                said = part["refusal"]
            if isinstance(said, str):
                self._text.append(said)
                self._said_text = True
                self.on_reply += bool(said)
        probabilities = choice.get("logprobs")
        if isinstance(probabilities, dict) and isinstance(probabilities.get("content"), list):
            self._tokens += [t for t in probabilities["content"] if isinstance(t, dict)]
        if isinstance(choice.get("finish_reason"), str):
            self._reason = one_line(choice["finish_reason"], self._secrets)[:50]
            if self._reason in _BROKEN:
                raise RetryableError(f"the server broke the reply off ({self._reason})")
            self.ended = True

    def reply(self, seconds: float, *, echo: str = "", asked: int = 0, partial: bool = False) -> Reply:
        """What was said.

        Args:
            echo: the beginning of an assistant's turn that some servers repeat before they continue it.
            asked: characters of the request, from which the prompt's tokens are estimated where nothing tells them.
            partial: the reply died; what is there is taken.
        """
        text, apart = sane("".join(self._text)), sane("".join(self._reasoning))
        counts, estimated = self._counts(text, apart, asked, partial)
        if not partial:
            self._check(text + apart, counts, estimated)
        if echo and text.startswith(echo):
            text = text[len(echo) :]
        pieces = [_piece(t) for t in self._tokens]
        reasoning, answer = (apart, text) if apart else split_think(text)
        ends = None
        if self._merges(counts["completion_tokens"]):
            pieces = []
        if pieces and reasoning:
            ends = ends_within(pieces, reasoning, after="<think>")
        elif pieces:
            ends = ends_within(pieces, text) if partial else ends_of(pieces, text)
        return Reply(
            text=answer,
            reasoning=reasoning,
            finish_reason="interrupted" if partial else self._reason,
            ends=ends,
            first=_alternatives(self._tokens[0]) if self._tokens else {},
            usage=self._usage,
            prompt_tokens=counts["prompt_tokens"],
            cached_tokens=counts["cached_tokens"],
            completion_tokens=counts["completion_tokens"],
            reasoning_tokens=counts["reasoning_tokens"],
            seconds=seconds,
            partial=partial,
            model=self._model,
            reasoning_in="think" if reasoning and not apart else self._reasoning_in,
            estimated=estimated,
        )

    def _merges(self, completion: int) -> bool:
        """Whether the token stream has fewer entries than tokens: llama.cpp, whose entries carry an `id`, joins the
        tokens of a character that they split. Its tokenizer knows better."""
        return completion - len(self._tokens) > 1 and all("id" in t for t in self._tokens)

    def _check(self, shown: str, counts: dict[str, int], estimated: bool) -> None:
        """Refuse what is no reply at all; what was billed for it goes with the refusal."""
        billed = {} if estimated else {n: counts[n] for n in ("prompt_tokens", "completion_tokens")}
        if not self._chosen:
            raise RetryableError("the server's reply holds no choices", usage=billed)
        hidden = (counts["reasoning_tokens"] or self._reason not in ("stop", "")) and not self._tokens
        if not self._said_text and not shown and not hidden and (estimated or counts["completion_tokens"] > 1):
            raise RetryableError("the server's reply holds no text", usage=billed)
        odd = sum(1 for c in shown if (c < " " and c not in "\t\n\r") or c in "\x7f\ufffd")
        if odd >= 8 and odd > len(shown) // 4:
            raise RetryableError("the server's reply is binary data and no text", usage=billed)

    def _counts(self, text: str, apart: str, asked: int, partial: bool) -> tuple[dict[str, int], bool]:
        """The usage, normalised, and whether it had to be estimated."""
        usage = self._usage
        details, prompted = (
            d if isinstance(d := usage.get(n), dict) else {}
            for n in ("completion_tokens_details", "prompt_tokens_details")
        )
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        reasoning = _count(details.get("reasoning_tokens")) or _count(usage.get("reasoning_tokens")) or 0
        cached = next((c for c in (_count(prompted.get("cached_tokens")), _count(usage.get("cached_tokens")),
                                   _count(usage.get("prompt_cache_hit_tokens"))) if c is not None), 0)  # fmt: skip
        estimated = completion is None or prompt is None or (partial and not self.ended)
        if completion is None or (partial and not self.ended):
            shown = len(self._tokens) or (self.on_reply if self.streamed else 0)
            completion = max(completion or 0, shown)
        if reasoning > completion or (
            reasoning and usage.get("total_tokens") == (prompt or 0) + completion + reasoning
        ):
            completion += reasoning  # xAI and Gemini bill reasoning apart
        if prompt is None:
            prompt = asked // 4
        return {
            "prompt_tokens": prompt,
            "cached_tokens": min(cached, prompt),
            "completion_tokens": completion,
            "reasoning_tokens": reasoning,
        }, estimated


def _raise(error: Any, secrets: Callable[[str], str]) -> None:
    """An error that comes with status 200, or in mid-stream."""
    known = error if isinstance(error, dict) else {"message": error}
    words = one_line(str(known.get("message") or known.get("type") or "an error without words"), secrets)[:300]
    code = _count(known.get("code")) or _count(known.get("status")) or 500
    if code == 429:
        raise RetryableError(words, "rate_limited")
    if 400 <= code < 500 and code not in (408, 409, 425):
        raise RequestFailed(f"the server refused the request: {words}")
    raise RetryableError(words, "server_error")


def _can_be_kept(usage: dict[str, Any]) -> bool:
    """Whether a usage object is of a size, and of characters, that a store takes."""
    try:
        return len(json.dumps(usage, ensure_ascii=False).encode()) < 10_000
    except (ValueError, RecursionError):
        return False


def _count(value: object) -> int | None:
    """A number of tokens; None where it is none, or cannot be one."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _piece(token: dict[str, Any]) -> bytes:
    """A token's bytes; from its text where the server does not give them."""
    raw = token.get("bytes")
    if isinstance(raw, list):
        try:
            return bytes(raw)
        except (TypeError, ValueError):
            pass
    said = token.get("token")
    return said.encode(errors="replace") if isinstance(said, str) else b""


def _alternatives(token: dict[str, Any]) -> dict[str, float]:
    """The alternatives listed for a token: text -> nats."""
    listed = token.get("top_logprobs")
    return {
        sane(t["token"]): float(t["logprob"])
        for t in (listed if isinstance(listed, list) else [])
        if isinstance(t, dict) and isinstance(t.get("token"), str) and isinstance(t.get("logprob"), (int, float))
        and math.isfinite(t["logprob"])
    }  # fmt: skip
