"""Which integer does a reply state as its answer?

Only where a reply says that it is stating an answer is a number read: in a box, between answer tags, on an answer
line, or as the whole of the reply. A number that merely comes last is no answer: text cut in mid-thought always
has one.

Where several statements stand, the last complete one in the order of the text decides, box and line alike,
even if no single integer can be read from it (then nothing is read). So a later `The answer is 80 or 81`
withdraws an earlier box. A box that is never closed, and a line that holds no number, are no statements.
"""

from __future__ import annotations

import re

# A statement is short. Looking no further than this keeps the time linear whatever the text holds.
WINDOW = 200

# One character for one, so that places in the text do not move; invisible ones go first.
_PUNCTUATION = str.maketrans("：＝－−–—．。，＄（）", ":=----..,$()", "\u200b\u200d\u2060\ufeff")
_BRACE = re.compile(r"(?P<box>\\{1,2}f?box(?:ed)?\s*\{)|\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)

# Around the word `answer`.
# Other languages' words count only with a colon or an equals sign after them, since their `if`, `not` and `about`
# are not known here. Chinese, Japanese and Korean put no space before theirs.
_ANSWER = re.compile(
    r"(?<![^\W_])(?:answer|(?P<foreign>antwort|r(?:é|e\u0301|e)ponse|respuesta|risposta|resposta|ответ))(?![^\W_])"
    r"|(?P<unspaced>答案|答え|정답|답)",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?P<open><(?:final_)?answer>|<\|begin_of_box\|>)|</(?:final_)?answer>|<\|end_of_box\|>", re.IGNORECASE
)
_FINAL = re.compile(r"final[\s*_]+$", re.IGNORECASE)
_LINE_START = re.compile(r"(?:^|\n)[#*_ \t]*$")
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|unless|until)\s+(?:that\s+)?"
    r"(?:(?:the|our|my|your|this)\s+)?(?:final\s+)?$",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"[*_`]{0,3}(?:\s+(?:to|for)\s+(?:the|this|our|your)\s+(?:problem|question))?"
    r"(?:[\s*_`\"'}]*(?:finale?\s*)?(?::|=|is\b(?:\s*:)?)|(?P<bare>[\s*_`]*))",
    re.IGNORECASE,
)
_ADVERB = re.compile(
    r"\s*(?:therefore|thus|hence|then|simply|just|indeed|clearly|exactly|probably|likely|equal to)\b,?",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"(?:not|no|neither|either|between|about|around|approximately|approx|roughly|nearly|almost|at least"
    r"|at most|one of|maybe|perhaps|possibly)\b",
    re.IGNORECASE,
)

# Within a statement.
_WORDS = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|[mh]box|f?box(?:ed)?)\s*\{([^{}]*)\}")
_NO_INK = re.compile(
    r"\\[\s,;:!()\[\]$]|\\q?quad\b|~|[$€£`_]|\*\*"  # spacing and emphasis
    r"|\^\s*\{?\s*\\(?:circ|degree)\b\s*\}?|\\(?:circ|degree)\b|\\?%|°"  # units that follow a number
    r"|(?<=[A-Za-z])(?:\s?\^\{?[23]\}?(?!\d)|[²³])"  # cm^2
)
_LEAD = re.compile(r"[\s*\"'“‘({\[}]*")
_LOOKS_NUMERIC = re.compile(r"[-+±.]{0,2}\d|\\[dt]?frac|\\sqrt")
_END = re.compile(r"[!?\n]|\.(?!\d)|</")
_BECAUSE = re.compile(r"\b(?:since|because|as(?! well)|so(?! far)|where|which|given|by|using)\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:wrong|incorrect|wait)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(  # in the very next words: `\\boxed{17}. Wait, no, that's not right`
    r"[\s.!*$)\]]*(?:(?:oh|no|but|hmm|wait|actually)\b[\s,.!]*){0,4}"
    r"(?:that|this|it)(?:['’]s| is| was)\s+(?:not\s+(?:right|correct)|wrong|incorrect)\b",
    re.IGNORECASE,
)
_LEFT_SIDE = re.compile(
    r"(?:\\(?:times|cdot|div|[dt]?frac|sqrt|binom|left|right)\b|(?<![A-Za-z])[A-Za-z](?![A-Za-z])"
    r"|[\s\d+*/×÷·^().,={}-])*"
)
_NUMBER = re.compile(r"(\d{1,9})(?!\w)")
_UNIT = re.compile(r"(?:[^\W\d_]|[\s*,;\"'“”‘’()\[\]{}]|(?<=[^\W\d_])[-/](?=[^\W\d_]))*")
_OPEN_ENDED = re.compile(
    r"\b(?:and|or|but|und|oder|aber|et|ou|mais|pero|to|not|plus|minus|times(?=\s+\w)|over|divided|choose|mod|modulo|if|unless|though|although"
    r"|however|maybe|perhaps|possibly|point|half|hundred|thousand|million|billion|dozen|squared|cubed|factorial"
    r"|than|pi|π)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"[\s*\"'“‘({\[]*(\d{1,9})[\s*\"'”’)}\].]*")


def extract_integer(text: str) -> int | None:
    r"""The integer from 0 to 999 that the text states as its answer, or None.

    Read are a complete `\boxed{...}`, `\fbox{...}` or `<answer>...</answer>`; a line such as `Final answer: 17`,
    `**Answer:** 017` or `The answer is $17$, since ...`; and a text that is nothing but the integer. The last
    complete statement decides. Decimals, fractions, negative numbers, alternatives and denials are not integers.
    Digits of any script are read; nothing is evaluated; the time is linear in the length of the text.
    """
    text = text.translate(_PUNCTUATION)
    after = text.rpartition("</think>")[2]  # what stands before is thought, not answer
    text = after if after.strip() else text
    box_end, box = _last_box(text)
    tag_end, tagged = _last_tagged(text)
    end = max(box_end, tag_end)
    for marker in reversed(list(_ANSWER.finditer(text))):
        if marker.start() < end - 3 * WINDOW:
            break
        at, value = _line(text, marker)
        if at >= max(end, 0):
            return value
    if end >= 0 and _TAKEN_BACK.match(_plain(text[end : end + WINDOW])):
        return None
    if tag_end > box_end:
        return extract_integer(tagged)
    if box_end >= 0:
        return _integer(_plain(box).strip().removesuffix(".")) if len(box) <= WINDOW else None
    text = text.strip()
    whole = _WHOLE.fullmatch(_plain(text)) if len(text) <= WINDOW else None
    return _in_range(whole[1]) if whole else None


def _last_box(text: str) -> tuple[int, str]:
    """Where the last complete box ends and what it holds; -1 if there is none."""
    opened: list[int] = []  # where the content of a box begins, or -1 for any other brace
    end, content = -1, slice(0)
    for token in _BRACE.finditer(text):
        if token["box"] or token["open"]:
            opened.append(token.end() if token["box"] else -1)
        elif token["close"] and opened and (start := opened.pop()) >= 0:
            end, content = token.end(), slice(start, token.start())
    return end, text[content]


def _last_tagged(text: str) -> tuple[int, str]:
    """Where the last complete pair of answer tags ends and what stands between them; -1 if there is none."""
    opened, end, content = -1, -1, slice(0)
    for token in _TAG.finditer(text):
        if token["open"]:
            opened = token.end()
        elif opened >= 0:
            opened, end, content = -1, token.end(), slice(opened, token.start())
    return end, text[content]


def _line(text: str, marker: re.Match[str]) -> tuple[int, int | None]:
    """Where the word `answer` found by `marker` states something (-1: nowhere), and the integer if it is one."""
    start, end = marker.span()
    before = text[max(0, start - 60) : start]
    link = _LINK.match(text, end, min(len(text), end + WINDOW))
    if link is None or _SUPPOSED.search(before):
        return -1, None
    bare = link["bare"]
    if marker.lastgroup and not link[0].endswith((":", "=")):
        return -1, None
    if bare is not None and not _FINAL.search(before) and not ("\n" in bare and _LINE_START.search(before)):
        return -1, None
    rest = _plain(text[link.end() : link.end() + WINDOW])
    adverb = _ADVERB.match(rest)
    rest = rest[adverb.end() if adverb else 0 :]
    lead = _LEAD.match(rest)
    gap = lead[0] if lead else ""
    stop = _END.search(rest, len(gap))
    sentence = rest[len(gap) : stop.start() if stop else None]
    if _HEDGE.match(sentence) and re.search(r"\d", sentence):
        # It counts from the end of its sentence: `the answer is not \boxed{17}` withdraws that box too.
        full_stop = _END.search(text, link.end())
        return full_stop.start() if full_stop else len(text), None
    if not _LOOKS_NUMERIC.match(sentence) and not _equation(sentence)[0]:
        return -1, None
    if stop and (stop[0] == "?" or rest.startswith("..", stop.start()) or _TAKEN_BACK.match(rest, stop.start())):
        return link.end(), None
    # `Answer:` and below it `1. First, ...` begins a list: a number below the word must be alone on its line.
    if stop and stop[0] == "." and "\n" in (bare or "") + gap:
        line = rest[stop.end() :].partition("\n")[0]
        if line.strip(" *)}]\"'"):
            return -1, None
    return link.end(), _integer(gap + sentence)


def _plain(tex: str) -> str:
    """Without what prints no ink of its own: words in `\\text{}` stay, the command goes."""
    while tex != (tex := _WORDS.sub(r" \1 ", tex)):
        pass
    return _NO_INK.sub(" ", tex)


def _equation(sentence: str) -> tuple[bool, str]:
    """Is it an equation such as `40 + 52 = 92` or `m+n = 92`, and its right-hand side (else all of it)."""
    claim = _BECAUSE.split(sentence, maxsplit=1)[0]
    left, equals, right = claim.rpartition("=")
    return bool(equals and _LEFT_SIDE.fullmatch(left)), right


def _integer(sentence: str) -> int | None:
    """The one integer a plain statement gives, perhaps with a unit and a reason after it."""
    equation, claim = _equation(sentence)
    lead = _LEAD.match(claim)
    number = _NUMBER.match(claim, lead.end() if lead else 0)
    if number is None or _DENIED.search(sentence) or (not equation and "=" in _BECAUSE.split(sentence)[0]):
        return None
    tail = claim[number.end() :].rstrip(" -,;(")
    # A closing bracket without its opening one is the mark of a list: `1) First, ...`
    if not _UNIT.fullmatch(tail) or _OPEN_ENDED.search(tail) or (")" in tail and "(" not in claim):
        return None
    return _in_range(number[1])


def _in_range(digits: str) -> int | None:
    value = int(digits)
    return value if value <= 999 else None
