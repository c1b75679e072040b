"""Where may a reasoning be cut, so that what is left is exactly its first b tokens?

Boundaries are byte offsets into the text's UTF-8: `ends[i]` is where the serving model's token i ends. They come from
the token stream that the server returned (`stream`) or its tokenizer (`tokenizer`); else from a tokenizer's file that
the user names, scaled to the token count billed (`file`); else they are spread over the characters in proportion to
that count (`proportional`). Every trace says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.types import Message, TokenMode, Trace

Row = dict[str, Any]
"""A reply as it is stored (see `reply.Reply.to_json`), or what a tokenizer said of one: `ends` (None: there is none),
`by_file`: it was the user's tokenizer, not the server's."""

_LOST = "\ufffd".encode()
"""What some servers write in place of bytes that are no whole character."""


def ends_of(pieces: Sequence[bytes], text: str) -> list[int] | None:
    """Token boundaries from the tokens' bytes; None if the pieces do not join to the text.

    A server may strip white space at either end, return an end token without bytes, or leave out a character that the
    end cut off: boundaries are moved by what was stripped and clamped to the text.
    """
    raw, joined = text.encode(), b"".join(pieces)
    if not raw:
        return [] if not joined.strip() else None
    at = joined.find(raw)
    left = joined[at + len(raw) :].strip()
    if len(left) < 4:  # a character that was cut off is not in the text
        left = left.decode(errors="ignore").encode()
    if at < 0 or joined[:at].strip() or left:
        return _aligned(pieces, raw) if _LOST in joined else None
    ends = [min(max(end - at, 0), len(raw)) for end in accumulate(map(len, pieces))]
    while len(ends) > 1 and ends[-2] == len(raw):  # end-of-text tokens without bytes of their own
        ends.pop()
    return ends


def ends_within(pieces: Sequence[bytes], text: str, after: str = "") -> list[int] | None:
    """Token boundaries of a text that is a part of what the tokens join to; None if it is not.

    Args:
        after: where the tokens begin with this mark, the text is looked for behind it.
    """
    raw, joined, mark = text.encode(), b"".join(pieces), after.encode()
    begin = joined.find(mark) + len(mark) if mark and joined.lstrip().startswith(mark) else 0
    at = joined.find(raw, begin)
    if not raw:
        return []
    if at < 0:
        before = sum(end <= begin for end in accumulate(map(len, pieces))) if begin else 0
        return _aligned(pieces[before:], raw, whole=False) if _LOST in joined else None
    ends: list[int] = []
    for end in accumulate(map(len, pieces)):
        if end > at:
            ends.append(min(end - at, len(raw)))
        if end >= at + len(raw):
            break
    return ends


def _aligned(pieces: Sequence[bytes], raw: bytes, whole: bool = True) -> list[int] | None:
    """Boundaries from tokens in which every part of a character that a token splits reads as U+FFFD. If `whole`,
    nothing may follow the text."""
    ends: list[int] = []
    at, open_ = 0, 0
    for number, piece in enumerate(pieces):
        if not at and not open_ and not raw.startswith(piece):
            piece = piece.lstrip()
        if at == len(raw) and not open_:
            if whole and b"".join(pieces[number:]).strip():
                return None
            break
        for place, known in enumerate(piece.split(_LOST)):
            open_ += place > 0
            if not known:
                continue
            found = raw.find(known, at, at + 4 * open_ + len(known))
            if found < 0 or (found > at and not open_):
                return None
            if open_ and not place and ends:  # the token before was the one that completed the character
                ends[-1] = found
            at, open_ = found + len(known), 0
        ends.append(at)
    if ends and open_ and len(raw) - at <= 4 * open_:
        ends[-1] = at = len(raw)
    return ends if at == len(raw) else None


def proportional_ends(text: str, n_tokens: int) -> list[int]:
    """`n_tokens` boundaries spread evenly over the characters of a text: the resort where a server tells no tokens."""
    if not text or n_tokens < 1:
        return []
    byte_end = list(accumulate(len(c.encode()) for c in text))
    at = (round((i + 1) * len(text) / n_tokens) for i in range(n_tokens))
    return [byte_end[n - 1] if n else 0 for n in at]


def scaled_ends(ends: Sequence[int], n_tokens: int) -> list[int]:
    """`n_tokens` boundaries taken from those of another tokenizer, in proportion; as many stay as they are."""
    if not ends or n_tokens < 1:
        return []
    places = [0, *ends]
    return [places[round((i + 1) * len(ends) / n_tokens)] for i in range(n_tokens)]


def cut(text: str, ends: Sequence[int], budget: int) -> str:
    """The first `budget` tokens of a text; one that ends inside a character gives that character up."""
    if budget >= len(ends):
        return text
    if budget <= 0:
        return ""
    return text.encode()[: ends[budget - 1]].decode("utf-8", errors="ignore")


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
    """Why the reasoning of a stored reply cannot be cut: the server does not show it, or not all; "" if it does.

    Args:
        ends: its token boundaries, if they are known; if not, a token has a byte at the least.
    """
    text, billed, told = reasoning_of(reply), reply["completion_tokens"], reply["reasoning_tokens"]
    if (told and not reply["reasoning"] and "<think>" not in text) or (not text and billed > 1):
        return (
            f"the model spent {told or billed} reasoning tokens that the server does not show; hidden reasoning "
            "cannot be cut"
        )
    expected, shown = expected_tokens(reply), len(text.encode() if ends is None else ends)
    if expected - shown > max(16, expected // 4):
        return (
            f"the server bills {expected} tokens of reasoning and shows about {shown}; reasoning hidden in part cannot "
            "be cut"
        )
    return ""


def trace_of(key: str, messages: list[Message], row: Row, tokenised: Row | None) -> Trace:
    """A stored reply as a trace, with its token boundaries: the stream's, else the server's tokenizer's, else those of
    the user's tokenizer scaled to what was billed, else in proportion.

    Raises:
        HiddenReasoning: the server hides it, wholly or in part.
        RequestFailed: nothing tells how many tokens there are.
    """
    text, billed, tokenised = reasoning_of(row), expected_tokens(row), tokenised or {}
    known, by_file = tokenised.get("ends") if row["ends"] is None else row["ends"], bool(tokenised.get("by_file"))
    if why := hidden_reasoning(row, None if by_file else known):
        raise HiddenReasoning(why)
    mode: TokenMode
    if known is None:
        ends, mode = proportional_ends(text, billed), "proportional"
        if text and not ends:
            raise RequestFailed("the server tells neither tokens nor how many there were, so nothing can be cut")
    elif row["ends"] is not None:
        ends, mode = known, "stream"
    elif by_file:
        ends, mode = (scaled_ends(known, billed) if billed else known), "file"
    else:
        ends, mode = known, "tokenizer"
    stopped = row["finish_reason"] != "length" or bool(row["reasoning"] and row["text"].strip())
    return Trace(key, messages, text, ends, mode, stopped, row.get("prompt_tokens") or 0)
