"""What did a server say, whatever its dialect?

`ReplyParser` takes the objects of a reply as `openai` parses them, the chunks of a stream or the one of a reply that
came whole, and makes a `Reply` of them. Everything a server sends is hostile until looked at: whatever is missing or
of the wrong type reads as nothing, and what cannot be used at all is an error in one sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from anytime_lib.models.failures import RetryableError, ServerError, one_line, sane, whole_number
from anytime_lib.models.tokens import ends_of, ends_within

_BROKEN = ("error", "abort", "network_error", "insufficient_system_resource")
_LENGTH = ("max_tokens", "model_length", "model_context_window_exceeded")
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details")


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


EachTry = Callable[[Callable[[], Awaitable[Reply]]], Awaitable[Reply]]
"""Makes every try of a request, by awaiting what it is given: to pay for it, and to keep what came of it."""


class ReplyParser:
    """Takes the objects of one reply.

    Attributes:
        pieces: pieces of text that have arrived.
        streamed: it came in chunks.
        ended: the text is whole; the usage may follow.
        usage: the server's own usage object.
    """

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self.pieces, self.streamed, self.ended, self.usage = 0, False, False, dict[str, Any]()
        self._text, self._reasoning, self._tokens = list[str](), list[str](), list[dict[str, Any]]()
        self._any_choice = self._any_text = False
        self._reason = self._model = self._reasoning_in = ""

    def add(self, chunk: Any) -> None:
        """Take one object.

        Raises:
            ServerError: it is an error.
            RetryableError: it is no part of a reply.
        """
        if not isinstance(chunk, dict):
            raise RetryableError(f"the reply is JSON, but a {type(chunk).__name__} and no object")
        choices = chunk.get("choices")
        if chunk.get("error") or (choices is None and (chunk.get("message") or chunk.get("detail"))):
            raise ServerError(chunk.get("error") or chunk, self._redact)
        if isinstance(chunk.get("model"), str):
            self._model = self._model or one_line(chunk["model"], self._redact)
        if isinstance(chunk.get("usage"), dict) and _can_be_kept(chunk["usage"]):
            self.usage = chunk["usage"]
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> None:
        part = choice.get("delta") or (None if self.pieces else choice.get("message"))  # some repeat it all at the end
        self.streamed |= "delta" in choice
        if isinstance(part, dict):
            self._any_choice = True
            self._part(part)
        listed = choice.get("logprobs")
        if isinstance(listed, dict) and isinstance(listed.get("content"), list):
            self._tokens += [token for token in listed["content"] if isinstance(token, dict)]
        if isinstance(choice.get("finish_reason"), str):
            reason = one_line(choice["finish_reason"], self._redact)[:50]
            if reason in _BROKEN:
                raise RetryableError(f"the server broke the reply off ({reason})")
            self._reason = "length" if reason in _LENGTH else reason
            self.ended = True

    def _part(self, part: dict[str, Any]) -> None:
        """What one delta, or a whole message, says and reasons."""
        content = part.get("refusal") if part.get("content") is None else part["content"]
        items = content if isinstance(content, list) else [content]
        thinking = [item for item in items if isinstance(item, dict) and item.get("type") == "thinking"]
        said = _text_of([item for item in items if item not in thinking])
        name = next((n for n in _REASONING if _text_of(part.get(n))), "")
        if thought := _text_of(part.get(name) or thinking):
            self._reasoning.append(thought)
            self._reasoning_in = self._reasoning_in or (name if name in _REASONING[:2] else "reasoning")
        self._text.append(said)
        self._any_text |= isinstance(content, str | list)
        self.pieces += bool(thought) + bool(said)

    def reply(self, seconds: float, *, echo: str = "", asked: int = 0, partial: bool = False) -> Reply:
        """What was said.

        Args:
            echo: the beginning of an assistant's turn that some servers repeat before they continue it.
            asked: characters of the request, from which the prompt's tokens are estimated where nothing tells them.
            partial: the reply died; what is there is taken.

        Raises:
            RetryableError: it is no reply at all.
        """
        text, apart = sane("".join(self._text)), sane("".join(self._reasoning))
        counts, estimated = self._counts(asked, partial)
        if not partial:
            self._check(text + apart, counts, estimated)
        text = text.removeprefix(echo)
        reasoning, answer = (apart, text) if apart else split_think(text)
        return Reply(
            text=answer,
            reasoning=reasoning,
            finish_reason="interrupted" if partial else self._reason,
            ends=self._ends(reasoning, text, counts["completion_tokens"], partial),
            first=_alternatives(self._tokens[0]) if self._tokens else {},
            usage=self.usage,
            **counts,
            seconds=seconds,
            partial=partial,
            model=self._model,
            reasoning_in="think" if reasoning and not apart else self._reasoning_in,
            estimated=estimated,
        )

    def _ends(self, reasoning: str, text: str, completion: int, partial: bool) -> list[int] | None:
        """Token boundaries of the reasoning, or of the text if there is none apart, from the token stream.

        llama.cpp, whose entries carry an `id`, joins the tokens of a character that they split, so that there are fewer
        entries than tokens: then None, for its tokenizer knows better.
        """
        joined = completion - len(self._tokens) > 1 and all("id" in token for token in self._tokens)
        if not self._tokens or joined:
            return None
        pieces = [_bytes(token) for token in self._tokens]
        if reasoning:
            return ends_within(pieces, reasoning, after="<think>")
        return ends_within(pieces, text) if partial else ends_of(pieces, text)

    def _check(self, shown: str, counts: dict[str, int], estimated: bool) -> None:
        """Refuse what is no reply at all; what was billed for it goes with the refusal."""
        billed = {} if estimated else {name: counts[name] for name in ("prompt_tokens", "completion_tokens")}
        if not self._any_choice:
            raise RetryableError("the server's reply holds no choices", usage=billed)
        hidden = (counts["reasoning_tokens"] or self._reason not in ("stop", "")) and not self._tokens
        if not self._any_text and not shown and not hidden and (estimated or counts["completion_tokens"] > 1):
            raise RetryableError("the server's reply holds no text", usage=billed)

    def _counts(self, asked: int, partial: bool) -> tuple[dict[str, int], bool]:
        """The usage, normalised, and whether it had to be estimated."""
        usage, broken = self.usage, partial and not self.ended
        of_completion, of_prompt = (
            details if isinstance(details := usage.get(name), dict) else {}
            for name in ("completion_tokens_details", "prompt_tokens_details")
        )
        prompt, completion = whole_number(usage.get("prompt_tokens")), whole_number(usage.get("completion_tokens"))
        reasoning = (
            whole_number(of_completion.get("reasoning_tokens")) or whole_number(usage.get("reasoning_tokens")) or 0
        )
        hits = (of_prompt.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
        cached = next((n for n in map(whole_number, hits) if n is not None), 0)
        estimated = completion is None or prompt is None or broken
        prompt = asked // 4 if prompt is None else prompt
        if completion is None or broken:
            completion = max(completion or 0, len(self._tokens) or (self.pieces if self.streamed else 0))
        if reasoning > completion or (reasoning and usage.get("total_tokens") == prompt + completion + reasoning):
            completion += reasoning  # xAI and Gemini bill reasoning apart
        names = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
        return dict(zip(names, (prompt, min(cached, prompt), completion, reasoning), strict=True)), estimated


def split_think(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a text that reasons within `<think>`: the end may be missing, or the start (chat
    templates that open the tag themselves). A text that only mentions the tag is an answer."""
    inside = text.lstrip()
    opened = inside.startswith("<think>")
    head, end, after = (inside.removeprefix("<think>") if opened else text).partition("</think>")
    if opened or (end and "<think>" not in head):
        return head, after.lstrip() if end else ""
    return "", text


def _text_of(value: Any) -> str:
    """The text of a field, however it is wrapped: a string, an object that holds one, or a list of either."""
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if isinstance(value, dict):
        return next(filter(None, (_text_of(value.get(name)) for name in ("text", "thinking", "content"))), "")
    return value if isinstance(value, str) else ""


def _can_be_kept(usage: dict[str, Any]) -> bool:
    """Whether a usage object is of a size, and of characters, that a store takes."""
    try:
        return len(json.dumps(usage, ensure_ascii=False).encode()) < 10_000
    except (ValueError, RecursionError):
        return False


def _bytes(token: dict[str, Any]) -> bytes:
    """A token's bytes; from its text where the server does not give them."""
    try:
        return (
            bytes(token["bytes"]) if isinstance(token.get("bytes"), list) else token["token"].encode(errors="replace")
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return b""


def _alternatives(token: dict[str, Any]) -> dict[str, float]:
    """The alternatives listed for a token: text -> nats."""
    listed = token.get("top_logprobs")
    rows = [row for row in (listed if isinstance(listed, list) else []) if isinstance(row, dict)]
    pairs = ((row.get("token"), row.get("logprob")) for row in rows)
    return {
        sane(said): float(nats)
        for said, nats in pairs
        if isinstance(said, str) and isinstance(nats, int | float) and math.isfinite(nats)
    }
