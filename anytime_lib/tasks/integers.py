r"""Which integer does a reply state as its answer?

A number is read only where a reply says that it states an answer: in a box or between answer tags, on an answer line
(`**Answer:** 017`, `The answer is $17$, since ...`), or as the whole of the reply. A number that merely comes last is
none: text cut in mid-thought always has one. The last complete statement decides, even if no single integer can be read
from it: a later `The answer is 80 or 81` withdraws an earlier box. A box that is never closed states nothing.
"""

import re

from anytime_lib.tasks.statements import ASIDE, BETWEEN, LABEL, LINK, MOST, RETRACTED, SURELY, TEX, YET, doubted, stated

WINDOW = 200  # characters; a statement is short, and looking no further keeps the time linear

_TAG = re.compile(
    r"(?i)[<\[](/?)(?:(?:final[_ ]?)?(?:answer|ans|result|output)|final|boxed)[>\]]|<\|(?:begin|(end))_of_box\|>"
)
# A complete box; braces in it may be two deep.
_PART = r"\\.|[^{}\\]++"
_BOX = re.compile(rf"(?s)\\boxed\{{((?:{_PART}|\{{(?:{_PART}|\{{(?:{_PART})*+\}})*+\}})*+)\}}")
_BOTH = re.compile(rf"(?i)(?=.*\S)[\s{{}}]*[,;]?[\s{{}}]*{BETWEEN}?[\s{{}}]*(?:[a-z]\s*=\s*)?")
_RULE = re.compile(r"(?m)^[ \t]*\|(?:[ :-]+\|)+[ \t]*$\n?")
_ROW = re.compile(r"(?m)^[ \t]*\|([^|\n]*)(?:\|([^|\n]*))?\|[ \t]*$")  # of one cell or two

# The word `answer`, and what links it to a number.
_ANSWER = re.compile(rf"(?i){LABEL}|(?<![^\W_])final(?=\s?(?:(?:result|value|number|integer|total)\b\W{{0,4}})?[:=])")
_LINK = re.compile(
    r"(?i)[*_`]{0,3}(?:\s+(?:to|for)\s+(?:the|this|our|your)\s+(?:problem|question))?"
    rf"{ASIDE}?(?:[\s*_`\"'}}]*(?:(?:finale?|correct[ae]|corrett?a|akhir)\s*"
    rf"|(?:result|value|number|integer|total)\b\W{{0,4}})?(?::|=|(?<=\s)-(?=\s)|{LINK}(?:\s*:)?)|(?P<bare>[\s*_`]*))"
    rf"(?:,?\s*(?:{SURELY}|in fact|equal to|found to be|given by|it is)\b,?)?"
)
_HEADING = re.compile(r"(?i)(?:^|\n)[#*_ \t]*(?:final[*_ \t]+)?$")
_HEDGE = re.compile(
    r"(?i)\W{0,3}(?:not|never|neither|either|between|about|around|roughly|approximately|nearly|almost|less|more|greater"
    r"|at (?:least|most)|one of|maybe|perhaps|possibly|unlikely)\b"
)

# Within a statement.
_TEX = re.compile(TEX)
_NO_INK = re.compile(
    r"\\[\s,;:!()\[\]${}]|\\q?quad\b|~|[$€£`_]|\*\*"  # spacing and emphasis
    r"|\^\s*\{?\s*\\(?:circ|degree)\b\s*\}?|\\(?:circ|degree)\b|\\?%|°"  # units that follow a number
    r"|(?<=[A-Za-z}])(?:\s?\^\{?[23]\}?(?!\d)|[²³])"  # cm^2
    r"|(?<=\d)\s?(?:です|である|だ|입니다|이다)"
)
_MODULUS = re.compile(r"(?i)\(?[\s{]*\\?[bp]?mod(?:ulo)?\b[\s({}]*(\d{1,9})[\s)}]*")
_LOOKS_NUMERIC = re.compile(r"[-+±.]{0,2}\d|\\[dt]?frac|\\sqrt")
_END = re.compile(r"[!?\n]|\.(?!\d)|</|<\||,\s{0,9}[\"']\w{1,20}[\"']\s?:")
_BECAUSE = re.compile(r"(?i)\b(?:since|because|as(?! well)|so(?! far)|where|which|given|by|using)\b")
_CONTRAST = re.compile(
    r"(?i)[\s,;(-]+(?:(?:and|but)\s+)?(?:not?|nicht|pas|rather\s+than|instead\s+of)\s+[\s({]*\d[\w\s]*[)}.\s]*"
    r"|[\s,]*而[不非]是?\s?\d+\s*"
)
_DENIED = re.compile(r"(?i)\b(?:wrong|incorrect|wait)\b")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2}")
# A number, a unit, and nothing that makes another number of it.
_VALUE = re.compile(
    r"[\s*\"'({}\[]*\+?(?P<number>\d{1,9})(?:\.0*)?(?![\w.]|,\d)"
    r"(?P<unit>(?:[^\W\d_]|[\s*,;\"'()\[\]{}]|(?<=[^\W\d_])[-/](?=[^\W\d_]))*)[\s,;(-]*"
)
_OPEN_ENDED = re.compile(
    r"(?i)\b(?:and|or|but|oder|to|not|plus|minus|times(?=\s+\w)|over|divided|choose|mod|if|unless|provided|assuming|wenn|falls"
    r"|though|however|maybe|perhaps|point|half|hundred|thousand|million|billion|dozen|squared|cubed|factorial|than|pi|π)\b"
)
# What a box says before its number: "Sum =", "the remainder is".
_NAMED = re.compile(r"(?i)[\s{]*(?:[a-z]+[\s{}]+){0,4}(?:[a-z]+[\s{}]*[:=]|(?:is|are|remainder|total)\b)(?=[\s{}]*\d)")
_WHOLE = re.compile(r"[\s*\"'({\[#]*\+?(\d{1,9})(?:\.0*)?[\s*\"')\].}]*")


def extract_integer(text: str) -> int | None:
    """The integer from 0 to 999 that the text states as its answer, in digits of any script, or None.

    Fractions, negative numbers and alternatives are none, nor is what is thought (`said`), doubted or taken back. A box
    whose backslash got lost is one: nothing else is written so. A short equation ("N = 42") is an answer only where it
    is all that is said.
    """
    text = stated(text).replace("–", "-").replace("—", "-").replace("isn't", "is not")
    text = _TAG.sub(lambda tag: "}" if tag[1] or tag[2] else "\\boxed{", text)
    text = _ROW.sub(lambda row: f"{row[1].rstrip(' :')}: {row[2]}" if row[2] else row[1], _RULE.sub("", text))
    found = [*_BOX.finditer(text)][-MOST:]
    boxes = [box for box in found if not doubted(text, box.start(), box=True)]
    end = boxes[-1].end() if boxes else -1
    for marker in reversed([*_ANSWER.finditer(text)][-MOST:]):
        at, value = _line(text, marker, end)
        if at >= max(end, 0):
            return value
    if boxes:
        value = None if RETRACTED.search(text[end:]) else _boxed(boxes[-1][1])
        between = _plain(text[boxes[-2].end() : boxes[-1].start()]) if len(boxes) > 1 else ""
        return None if _BOTH.fullmatch(between) and _boxed(boxes[-2][1]) != value else value
    if len(text) > WINDOW or "\\boxed" in text or text.count("{") != text.count("}"):
        return None
    left, _, right = _plain(text).rpartition("=")
    whole = None if re.search(r"[,;:]|[A-Za-z]{2}", left) else _WHOLE.fullmatch(right)
    return _integer(whole[1]) if whole else None


def _boxed(box: str) -> int | None:
    """The integer of a box, which may hold words of its own."""
    plain = _plain(box).strip()
    if len(plain) <= WINDOW and (named := _NAMED.match(plain)) and not _OPEN_ENDED.search(named[0]):
        plain = plain if _HEDGE.match(plain) else plain[named.end() :]
    value = _integer(plain) if len(plain) <= WINDOW else None
    return extract_integer(box) if value is None else value


def _line(text: str, marker: re.Match[str], box_end: int) -> tuple[int, int | None]:
    """Where the word `answer` found by `marker` states something (-1: nowhere), and the integer if it is one."""
    before = text[max(0, marker.start() - 60) : marker.start()]
    link = _LINK.match(text, marker.end(), marker.end() + WINDOW)
    bare = link["bare"] if link else ""
    if not link or (bare is not None and not ("\n" in bare and _HEADING.search(before))):
        return -1, None
    _, gap, rest = re.split(r"\A([ \n\t*\"'({}\[]*)", _plain(text[link.end() : link.end() + WINDOW]))
    stop = _END.search(rest)
    sentence = _CONTRAST.sub(" ", rest[: stop.start()] if stop else rest)
    hedged = _HEDGE.match(sentence) and re.search(r"\d", sentence)
    states = _LOOKS_NUMERIC.match(sentence) or ("=" in sentence and _claim(sentence))
    if not (hedged or (states and link.end() >= box_end)) or doubted(text, marker.start()):
        return -1, None
    if hedged:  # from the end of its sentence: `the answer is not \boxed{17}` withdraws that box too
        full_stop = _END.search(text, link.end())
        return full_stop.start() if full_stop else len(text), None
    after = rest[stop.start() :] + text[link.end() + WINDOW :] if stop else ""
    if after.startswith(("?", "..")) or RETRACTED.search(after) or YET.match(text, marker.start()):
        return link.end(), None
    # `Answer:` and below it `1. First, ...` begins a list: a number below the word must be alone on its line.
    if after.startswith(".") and "\n" in (bare or "") + gap and after[1:].partition("\n")[0].strip(" *)}]\"'"):
        return -1, None
    return link.end(), _integer(gap + sentence)


def _plain(tex: str) -> str:
    """Without what prints no ink of its own: words in `\\text{}` stay, the command goes."""
    return _NO_INK.sub(" ", _TEX.sub(" ", tex).replace(r"\equiv", "=").replace("≡", "="))


def _claim(sentence: str) -> str:
    """A sentence without its reason; of an equation such as `m + n = 92` the right-hand side; "" of prose with one."""
    left, _, right = _BECAUSE.split(sentence, maxsplit=1)[0].rpartition("=")
    return "" if _WORD.search(left) else right


def _integer(sentence: str) -> int | None:
    """The one integer a plain statement gives, perhaps with a unit and a reason after it."""
    claim = _claim(sentence)
    least = min([1000, *map(int, _MODULUS.findall(claim))])
    value = _VALUE.fullmatch(_MODULUS.sub("", claim))
    if value is None or _DENIED.search(sentence) or _OPEN_ENDED.search(value["unit"].rstrip(" -,;(")):
        return None
    of_a_list = ")" in value["unit"] and "(" not in claim  # `1) First, ...`
    return number if (number := int(value["number"])) < least and not of_a_list else None
