"""Where can a reasoning be cut, so that what is left is exactly its first b tokens?

Boundaries are byte offsets into the text's UTF-8, one per token, in the serving model's own tokens: `ends[i]` is
where token i ends. They come from the token stream the server returned (`stream`) or from its tokenizer
(`tokenizer`); only where a server gives neither are they spread over the characters in proportion to the token count
it billed (`proportional`), and every trace says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def ends_of(pieces: Sequence[bytes], text: str) -> list[int] | None:
    """Token boundaries from the tokens' bytes; None if the pieces do not join to the text.

    A server may strip white space at either end of the text, or return an end token without bytes: boundaries are
    then moved by what was stripped and clamped to the text.
    """
    raw, joined = text.encode(), b"".join(pieces)
    if not raw:
        return [] if not joined.strip() else None
    at = joined.find(raw)
    if at < 0 or joined[:at].strip() or joined[at + len(raw) :].strip():
        return None
    ends = [min(max(end - at, 0), len(raw)) for end in accumulate(map(len, pieces))]
    while len(ends) > 1 and ends[-2] == len(raw):  # end-of-text tokens without bytes of their own
        ends.pop()
    return ends


def proportional_ends(text: str, n_tokens: int) -> list[int]:
    """`n_tokens` boundaries spread evenly over the characters of a text: the resort where a server tells no tokens."""
    if not text or n_tokens < 1:
        return []
    byte_end = list(accumulate(len(c.encode()) for c in text))
    at = (round((i + 1) * len(text) / n_tokens) for i in range(n_tokens))
    return [byte_end[n - 1] if n else 0 for n in at]


def cut(text: str, ends: Sequence[int], budget: int) -> str:
    """The first `budget` tokens of a text, or all of it when it has no more.

    A token that ends inside a character gives that character up: a cut never splits one.
    """
    if budget >= len(ends):
        return text
    if budget <= 0:
        return ""
    return text.encode()[: ends[budget - 1]].decode("utf-8", errors="ignore")
