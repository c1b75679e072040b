"""What did a server say, whatever its dialect?

`ReplyParser` takes the objects of a reply, the chunks of a stream or the one of a reply that came whole, and makes a
`Reply` of them. Whatever is missing or of the wrong type reads as nothing, and what cannot be
used at all is an error in one sentence.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from anytime_lib.errors import RequestFailed
from anytime_lib.models.failures import ServerError, one_line
from anytime_lib.models.reply import DIALECTS, NATURAL, Reply, RetryableError
from anytime_lib.models.token_ends import ends_of
from anytime_lib.tasks.said import split_thinking
from anytime_lib.types import Message

_LENGTH, _BROKEN = (re.compile(DIALECTS[name], re.I) for name in ("length", "broken"))
_TEXTS = ("text", "content", *DIALECTS["reasoning"], "summary")
_EVENT = re.compile(rb"(data|event|id|retry)?:")


async def chunks_of(response: Any, most: int) -> AsyncIterator[object]:
    """The objects of a reply as they come: the chunks of a stream, however it is labelled, or the one of a reply that
    comes whole, as soon as it is there: not every server then ends the reply too. RetryableError where its body is
    longer than `most` bytes, RequestFailed where it is a web page."""
    held, data, size, tries, kind = list[bytes](), list[bytes](), 0, 20, ""
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > most:
            raise RetryableError(f"the reply is longer than {most:,} bytes", final=True, lost=True)
        held.append(piece)
        if not kind:
            held = [b"".join(held).lstrip(b" \t\r\n\xef\xbb\xbf")]
            if len(held[0]) >= len(b"event:"):
                kind = "page" if held[0][:1] == b"<" else "stream" if _EVENT.match(held[0]) else "whole"
        if kind == "stream" and (b"\n" in held[-1] or b"\r" in held[-1]):
            *lines, last = re.split(rb"\r\n|\n|\r(?!\Z)", b"".join(held))
            held = [last]
            for line in lines:
                data += [line[5:].strip()] if line.startswith(b"data:") else []
                if not line and any(data) and data != [b"[DONE]"]:
                    yield json.loads(b"\n".join(data))
                data = data if line else []
        elif kind == "whole" and tries and piece.rstrip().endswith(b"}"):
            tries -= 1
            with suppress(ValueError):
                yield json.loads(b"".join(held))
                tries, kind = 0, "done"
    rest = b"".join(held).strip()
    if rest[:1] == b"<":
        raise RequestFailed("the server answered with a web page; is the address right, up to and including /v1?")
    if kind == "stream":
        rest = b"\n".join(data + [rest[5:]] * rest.startswith(b"data:")).strip()
    if rest and kind != "done" and rest != b"[DONE]":
        yield json.loads(rest)


@dataclass
class ReplyParser:
    """Takes the objects of one reply."""

    redact: Callable[[str], str] = str
    pieces: int = 0  # of text that have arrived
    streamed: bool = False
    finish_reason: str = ""  # as long as the text has not ended; the usage may follow it
    usage: dict[str, Any] = field(default_factory=dict)  # the server's own
    model: str = ""
    any_text: bool = False  # an empty one counts
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tokens: list[dict[str, Any]] = field(default_factory=list)

    def add(self, chunk: Any) -> None:
        """Take one object; ServerError or RetryableError if it is an error, or no part of a reply."""
        if not isinstance(chunk, dict):
            raise RetryableError(f"the reply is JSON, but a {type(chunk).__name__} and no object")
        choice = next(iter(dicts(chunk.get("choices"))), {})
        if chunk.get("error") or choice.get("error"):
            raise ServerError(chunk if chunk.get("error") else choice["error"], self.redact)
        if chunk.get("choices") is None and any(chunk.get(name) for name in DIALECTS["said"][:-1]):
            raise ServerError(chunk, self.redact)
        self.model = self.model or one_line(str(chunk.get("model") or ""), self.redact)
        self.usage = _dict(chunk.get("usage")) or self.usage
        self.streamed |= "delta" in choice
        part = _dict(choice.get("delta") or (not (self.streamed and self.pieces) and choice.get("message")))
        found = (part.get("content"), part.get("refusal"), choice.get("text"))
        content = next((value for value in found if value is not None), None)
        self.any_text |= isinstance(content, str | list)
        parts = content if isinstance(content, list) else [content]
        inner = [item for item in dicts(parts) if re.search("think|reason", str(item.get("type")))]
        said = _text_of([item for item in parts if item not in inner])
        thought = next(filter(None, map(_text_of, (*(part.get(name) for name in DIALECTS["reasoning"]), inner))), "")
        self.text.append(said)
        self.reasoning.append(thought)
        self.pieces += bool(thought) + bool(said)
        self.tokens += dicts(_dict(choice.get("logprobs")).get("content"))
        if isinstance(reason := choice.get("finish_reason"), str):
            natural, length = reason.lower() in NATURAL, _LENGTH.search(reason)
            if not (natural or length) and _BROKEN.search(reason):
                raise RetryableError(f"the server broke the reply off ({one_line(reason, self.redact, 50)})")
            reason = "length" if length else one_line(reason, self.redact, 50)
            self.finish_reason = "stop" if natural and reason else reason

    def reply(self, seconds: float, messages: Sequence[Message] = (), *, partial: bool = False) -> Reply:
        """What was said to `messages`; RetryableError if it is no reply. Of one that died (`partial`), what came."""
        text, apart = _encodable(_joined(self.text)), _encodable(_joined(self.reasoning))
        usage = self.usage
        of_prompt, of_completion = (_dict(usage.get(f"{name}_tokens_details")) for name in ("prompt", "completion"))
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        reasoning = _count(of_completion.get("reasoning_tokens")) or _count(usage.get("reasoning_tokens")) or 0
        hits = (of_prompt.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))
        estimated = prompt is None or completion is None or partial
        if prompt is None:  # nothing tells it, but the length of what was asked
            prompt = sum(len(message["content"]) for message in messages) // 4
        if completion is None or partial:
            completion = max(completion or 0, len(self.tokens) or (self.pieces if self.streamed else 0))
        if reasoning > completion or (reasoning and usage.get("total_tokens") == prompt + completion + reasoning):
            completion += reasoning  # xAI and Gemini bill reasoning apart
        hidden = (reasoning or self.finish_reason not in ("stop", "")) and not self.tokens
        if not (text or apart or self.any_text or partial or hidden):
            billed = {} if estimated else {"prompt_tokens": prompt, "completion_tokens": completion}
            raise RetryableError("the server's reply holds no text", billed=billed, lost=not billed)
        if messages and messages[-1]["role"] == "assistant":  # which some servers repeat before they continue it
            text = text.removeprefix(messages[-1]["content"])
        thought, answer = (apart, text) if apart else split_thinking(text)
        ends = None
        # llama.cpp, whose entries carry an `id`, joins the tokens of a character that they split; its tokenizer tells.
        joined = completion - len(self.tokens) > 1 and all("id" in token for token in self.tokens)
        if self.tokens and not joined:
            pieces = [_bytes(token) for token in self.tokens]
            ends = ends_of(pieces, thought or text, whole=not (thought or partial))
        rows = [(row.get("token"), row.get("logprob")) for row in dicts((self.tokens or [{}])[0].get("top_logprobs"))]
        first = {_encodable(str(said)): float(nats) for said, nats in rows if isinstance(nats, int | float)}
        finish, cached = "interrupted" if partial else self.finish_reason, next(filter(None, map(_count, hits)), 0)
        counts = (prompt, min(cached, prompt), completion, reasoning)
        return Reply(
            answer, thought, finish, ends, {} if thought else first, usage, *counts, seconds, self.model, estimated
        )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    """A number of tokens; None where it is none, or cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _text_of(value: Any) -> str:
    """The text of a field, however it is wrapped: a string, an object that holds one, or a list of either."""
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if isinstance(value, dict):
        return next(filter(None, map(_text_of, map(value.get, _TEXTS))), "")
    return value if isinstance(value, str) else ""


def _joined(pieces: Sequence[str]) -> str:
    """The text of a stream's pieces. Some servers repeat it all in the last one, or say in each all that came before: a
    last piece of some length that is all before it, or three pieces that each go on from the one before, are no text
    that a model says."""
    pieces = [piece for piece in pieces if piece]
    before = "".join(pieces[:-1])
    if len(pieces) > 2 and len(before) >= 8 and pieces[-1] == before:
        return before
    grow = len(pieces) > 2 and all(len(a) < len(b) and b.startswith(a) for a, b in pairwise(pieces))
    return pieces[-1] if grow else before + "".join(pieces[-1:])


def _encodable(text: str) -> str:
    """The text with surrogate pairs that came in two pieces joined, and lone ones replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bytes(token: dict[str, Any]) -> bytes:
    """A token's bytes; from its text where the server does not give them."""
    given = token.get("bytes")
    with suppress(TypeError, ValueError):
        return bytes(given) if isinstance(given, list) else str(token.get("token") or "").encode(errors="replace")
    return b""
