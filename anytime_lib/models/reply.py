"""What did a model say, and was all of its reasoning shown?"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anytime_lib.tasks.said import split_thinking
from anytime_lib.types import packaged

DIALECTS: dict[str, Any] = packaged("dialects.yaml")
"""How servers say what the API leaves open."""
NATURAL: list[str] = DIALECTS["natural"]
"""Reasons for which a model stops by itself; where none is told, the reply came whole."""


@dataclass(frozen=True)
class Reply:
    """What an endpoint said to one request. `ends` are the byte offsets where each token of the reasoning (of the text,
    if there is none apart) ends; None where the server did not return its token stream, or one that does not join."""

    text: str
    reasoning: str = ""  # what came apart from the text, in a field of its own or within tags such as `<think>`
    finish_reason: str = ""  # `stop`, `length` or the server's own word; `interrupted` where the stream died
    ends: list[int] | None = None
    first: dict[str, float] = field(default_factory=dict)  # of the first token, if nothing was reasoned: text -> nats
    usage: dict[str, Any] = field(default_factory=dict)  # the server's own object; normalised it is:
    prompt_tokens: int = 0
    cached_tokens: int = 0  # part of the prompt's
    completion_tokens: int = 0
    reasoning_tokens: int = 0  # part of the completion's
    seconds: float = 0.0  # from sending to the last byte
    model: str = ""  # its name as the server gave it
    estimated: bool = False  # the counts are ours, because the server's were missing or impossible

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))  # not a deep copy: a long trace has many token ends


Once = Callable[[], Awaitable[Reply]]
EachTry = Callable[[Once], Awaitable[Reply]]
"""Makes every try of a request, by awaiting what it is given: to pay for it, and to keep what came of it."""


@dataclass(eq=False)
class RetryableError(Exception):
    """A try of a request failed in a way that may pass."""

    words: str
    limited: bool = False  # the server said 429, or as much
    wait: float | None = None  # seconds that it asked to wait
    billed: dict[str, int] = field(default_factory=dict)  # tokens, where they are known and there is no `partial`
    partial: Reply | None = None  # what had arrived before a stream died
    final: bool = False  # there is no point in trying again
    unreachable: bool = False  # no connection came about
    lost: bool = False  # the server had the request, and may have made and billed a reply that did not arrive


def reasoning_of(reply: Mapping[str, Any]) -> str:
    """What there is to cut in a stored reply: the reasoning if the server returned it apart, else the whole text."""
    return str(reply["reasoning"] or reply["text"])


def expected_tokens(reply: Mapping[str, Any]) -> int:
    """What the tokens of the reasoning should number, where the bill tells: its own, or its share of the whole."""
    text, billed = reasoning_of(reply), int(reply["completion_tokens"])
    if not reply["reasoning"]:
        return billed
    return reply["reasoning_tokens"] or round(billed * len(text) / (len(text) + len(reply["text"])))


def hidden_reasoning(reply: Mapping[str, Any], ends: list[int] | None) -> str:
    """Why the reasoning of a stored reply cannot be cut: the server does not show it, or not all; "" if it does. `ends`
    are its token boundaries, if they are known; if not, a token has a byte at the least."""
    text, billed, told = reasoning_of(reply), reply["completion_tokens"], reply["reasoning_tokens"]
    if (told and not reply["reasoning"] and not split_thinking(text)[0]) or (not text and billed > 1):
        return f"the model spent {told or billed} tokens of reasoning that the server does not show; it cannot be cut"
    expected, shown = expected_tokens(reply), len(text.encode() if ends is None else ends)
    if expected - shown > max(16, expected // 4):
        return f"the server bills {expected} tokens of reasoning and shows about {shown}; what is hidden cannot be cut"
    return ""
