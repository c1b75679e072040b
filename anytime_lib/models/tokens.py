"""Where may a reasoning be cut, so that what is left is exactly its first b tokens?

Boundaries are byte offsets into the text's UTF-8: `ends[i]` is where the serving model's token i ends. They come from
the token stream that the server returned (`stream`) or its tokenizer (`tokenizer`); else from a tokenizer's file that
the user names, scaled to the token count billed (`file`); else they are spread over the characters in proportion to
that count (`proportional`). Every trace says which.
"""

from collections.abc import Sequence
from itertools import accumulate


def proportional_ends(text: str, n_tokens: int) -> list[int]:
    """`n_tokens` boundaries spread evenly over the characters of a text: the resort where a server tells no tokens."""
    return scaled_ends([*accumulate(len(c.encode()) for c in text)], n_tokens)


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
