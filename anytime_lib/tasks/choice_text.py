"""What does a reply say once thinking and typography are gone, and is it the text of an option?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Full-width and typographic signs as plain ones; invisible ones go; pictures are spaces, but crosses stay.
_SIGNS: dict[int, str | int | None] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS |= str.maketrans(
    "‘’“”«»【】。、\u00a0\u202f\u3000", '\'\'""""[].,   ', "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0f\xad"
)
_SIGNS |= {code: " " for block in (range(0x2600, 0x27C0), range(0x1F300, 0x1FB00)) for code in block}
for _cross in "❌✗✘❎➜🚫":
    del _SIGNS[ord(_cross)]
# Letters of mathematics (𝐂), in circles (Ⓒ) and in squares (🅲) as plain ones.
for _code in (*range(0x1D400, 0x1D6A4), *range(0x24B6, 0x24EA)):
    if (_plain_letter := unicodedata.normalize("NFKC", chr(_code))) in {*"ABCDabcd"}:
        _SIGNS[_code] = _plain_letter
for _first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6):
    _SIGNS |= {_first + i: letter for i, letter in enumerate("ABCD")}

_THOUGHT = re.compile(r"</think(?:ing)?>|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_THINKING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_HTML = re.compile(
    r"<(?:/?(?:b|i|u|em|strong|span|code|mark|sup)|(?P<block>/?(?:br|p|div|li|td|tr|h[1-6])))(?:\s[^<>]{0,80})?/?>",
    re.IGNORECASE,
)


def said(text: str) -> str:
    """What is said after any thinking, in plain signs. Thinking that does not end leaves what stands before it."""
    *_, text = _THOUGHT.split(text)
    text = _THINKING.split(text, maxsplit=1)[0]
    return _HTML.sub(lambda tag: "\n" if tag["block"] else "", text.translate(_SIGNS)).strip()


# What does not tell options apart: emphasis, quotes, TeX's frames.
_DRESS = re.compile(r"[$*_`\"'{}]|\\(?:f?boxed|text\w{0,6}|math\w{2}|[!()\[\]])")
_SPACE = re.compile(r"\\[,;: ]|~")
_BETWEEN = re.compile(r"[\s.:,)\]}*_]*(?:[-–—=]\s+)?")
_OVER = re.compile(r"[.!]?\s*(?:$|</)|[.!]\s|,?\s(?:because|since)\b")


def plain(text: str) -> str:
    """A text without what does not tell options apart."""
    text = _DRESS.sub("", _SPACE.sub(" ", text.translate(_SIGNS))).replace("−", "-").replace("–", "-")
    return " ".join(text.split())


def stated_option(
    text: str, at: int, options: Sequence[str], after_letter: bool = False, whole: bool = False
) -> str | None:
    """The letter of the option whose exact text stands in `text` at `at`, and ends there.

    Args:
        text: a reply.
        at: where to look: after "the answer is", or at the start.
        options: the texts of A, B, C and D, as `plain` gives them.
        after_letter: whether a letter stands before, and so a bracket, stop or dash.
        whole: whether nothing may follow.

    Returns:
        "A" to "D"; None if it is no option's text, or could be that of two. Capitals count only where options differ
        by nothing else. An option that is itself a lone letter is never read: it would be taken for its label.
    """
    window = text[at : at + 2 * max(map(len, options)) + 40]
    window = _BETWEEN.sub("", window, count=1) if after_letter else window.lstrip()
    head = plain(window[:48])[:-12].casefold()  # without what the cut may have broken
    if not any(option[:48].casefold().startswith(head[: len(option)]) for option in options):
        return None  # as nearly always: saves the time
    first, *rest = window.split("\n", 1)
    for part in [window] if whole or not rest else [first, window]:
        reading = plain(part)
        found = [option for option in options if _tells(reading, option, whole)]
        longest = max(map(len, found), default=0)
        found = [option for option in found if len(option) == longest]
        if len(found) > 1:
            found = [option for option in found if reading.startswith(option)]
            if not found:
                return None
        if found:
            return "ABCD"[options.index(found[0])] if len(found) == 1 else None
    return None


def _tells(reading: str, option: str, whole: bool) -> bool:
    if (len(option) < 2 and not option.isdigit()) or reading[: len(option)].casefold() != option.casefold():
        return False
    rest = reading[len(option) :]
    return rest in ("", ".", "!") if whole else _OVER.match(rest) is not None
