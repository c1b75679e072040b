"""Where does each token of a text end, by the bytes that a server tells of them?"""

from collections.abc import Sequence
from itertools import accumulate

_LOST = "\ufffd".encode()
"""What some servers write in place of bytes that are no whole character."""


def ends_of(pieces: Sequence[bytes], text: str, *, whole: bool = True) -> list[int] | None:
    """Token boundaries of a text from the tokens' bytes; None if the pieces do not join to it.

    A server may strip white space at either end, return an end token without bytes, or leave out a character that the
    end cut off: boundaries are moved by what was stripped and clamped to the text. `whole`: nothing but such remains
    stands around the text; else it is a part of what the tokens join to.
    """
    raw, joined = text.encode(), b"".join(pieces)
    if not raw:
        return None if whole and joined.strip() else []
    at = joined.find(raw)
    left = joined[at + len(raw) :].strip()
    if len(left) < 4:  # a character that was cut off is not in the text
        left = left.decode(errors="ignore").encode()
    if at < 0 or (whole and (joined[:at].strip() or left)):
        return _aligned(pieces, raw, whole) if _LOST in joined else None
    ends = [min(max(end - at, 0), len(raw)) for end in accumulate(map(len, pieces)) if whole or end > at]
    while len(ends) > 1 and ends[-2] == len(raw):  # what follows the text, such as end tokens without bytes
        ends.pop()
    return ends


def _aligned(pieces: Sequence[bytes], raw: bytes, whole: bool) -> list[int] | None:
    """Boundaries from tokens in which every part of a character that a token splits reads as U+FFFD."""
    ends, at, lost = list[int](), 0, False
    for piece in pieces:
        known = piece if ends or raw.startswith(piece) else piece.lstrip()
        if at == len(raw) and not lost:
            break
        if not ends and not whole and not raw.startswith(known.partition(_LOST)[0]):
            continue  # a tag before the text
        for place, part in enumerate(known.split(_LOST)):
            lost |= place > 0
            if part:
                found = raw.find(part, at)
                if found < 0 or (found > at and not (lost and min(raw[at:found]) > 127)):
                    return None
                if lost and not place and ends:  # the token before was the one that completed the character
                    ends[-1] = found
                at, lost = found + len(part), False
        ends.append(at)
    if lost and ends and min(raw[at:], default=128) > 127:
        ends[-1] = at = len(raw)
    return ends if at == len(raw) else None
