"""Which of the options A to D does a reply settle on?

A letter is read only where a reply states an answer ("Answer: C", "the answer is (C)", a box, "option C is
correct"), or where the reply is nothing but a letter, alone or with its option's text. A letter that is only
mentioned is no answer: text cut in mid-thought always mentions some.

Where several statements stand, the last one decides, even if it names two options (then nothing is read).
"The answer is not C" takes an earlier C back. What names no letter ("Answer: unknown") is no statement.
"""

from __future__ import annotations

import re

# A statement is short. No pattern looks further than a fixed number of characters (repetitions are bounded,
# and possessive where they meet), which keeps the time linear whatever the text holds.
WINDOW = 60

# Full-width and typographic signs as plain ones; invisible ones go.
_SIGNS: dict[int, int | None] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS |= str.maketrans("‘’“”«»【】。、\u00a0\u202f\u3000", '\'\'""""[].,   ', "\u200b\u200c\u200d\u2060\ufeff")

# Between statement and letter: emphasis, brackets, TeX, and words that add nothing.
_OPEN = r"(?:[\s*_`~\"'$(\[{<>]|\\(?:boxed|text\w{0,2}|math\w{2}|bf|rm)\b|\\[(\[]){0,16}+"
_FILLER = (
    r"(?:(?:the|options?|choice|letter|answer|therefore|thus|hence|clearly|definitely|most|likely|probably"
    rf"|indeed|simply|just|still|now|then)\b,?:?{_OPEN}){{0,4}}+"
)
_LETTER = r"(?P<letter>[A-Da-d])(?![^\W_])"
_CLOSE = r"(?P<close>[)\]}*_`~\"'$>]{0,8}+)"

_STATEMENT = re.compile(
    r"""(?:
        \\boxed\s?\{
      | (?: (?<![^\W_])(?:answer|ans|antwort|r(?:é|e\u0301)ponse|respuesta|risposta|resposta
              |(?:correct|right|best)\s(?:option|choice|letter)|my\s(?:choice|pick))
            (?:\s(?:choice|option|letter|correct[ae]|corretta|correta))?(?![^\W_])
          | 答案|正解 )
        (?:\s(?:to|for)\s[^.:;!?\n]{1,60}?(?=\s(?:is|should|must|would)\b))?
        [\s*_`"')\]]{0,6}+
        (?P<link> (?:is|ist|lautet|est|es|è|(?:should|must|would|will|has\sto)\sbe)\b\s?:? | [:=>] | -> | →
          | [-–—](?=\s) | 是 | 为 )
      | (?P<line> ^[\s*_\#"]{0,6}+(?:(?:the|my|final|correct|best)\s){0,3}+answer[\s*_]{1,6}+ )
      | (?P<pick> \bI(?:\s(?:will|would)|'(?:ll|d))?\s(?:choose|pick|select|go\swith)\b )
    )"""
    rf"{_OPEN}{_FILLER}"
    rf"(?:(?P<both>(?:either|both|neither|between)\b{_OPEN}{_FILLER}(?-i:[A-D])\b)"
    rf"|(?P<negated>not\b{_OPEN}{_FILLER})?{_LETTER}{_CLOSE})",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_CALLED_RIGHT = re.compile(
    rf"(?P<noun>\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)|(?<![\w)'-]))[ *_`$(\[]{{0,5}}+(?P<letter>[A-D]){_CLOSE}"
    r"\sis\s(?:\w{1,12}ly\s|therefore\s|thus\s)?(?:the\s)?"
    r"(?:(?:correct|right|best)(?:\s(?:answer|option|choice|one))?|answer)\b"
    r"(?=\s{0,3}+(?:$|[.!,;*)])|\s(?:because|since|as|here)\b)",
    re.MULTILINE,
)
_WHOLE = re.compile(rf"{_OPEN}(?:(?:option|choice)\s)?{_OPEN}{_LETTER}{_CLOSE}", re.IGNORECASE)

# Before a statement: "if the answer is B", "I don't think option B is correct", "is option B correct".
_DOUBT = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|supposing|assume|assuming|let's say|doubt|why|is|are)"
    r"|(?:\bnot|n't) (?:think|believe|say|mean|know|sure|certain|clear|see))"
    r"(?:,? (?:that|the|my|your|final|correct|right|best|true|only|if|why|whether)){0,6}[\s*_\"'(]*$",
    re.IGNORECASE,
)
# Before a bare "C is correct", so that "vitamin C" or "B or C" is not meant.
_FRESH = re.compile(r"(?:^|[.!?:;>]|\b(?:so|thus|therefore|hence|only),?)[\s*_\"'$(]*$", re.IGNORECASE)

# After the letter.
_SECOND = re.compile(
    r"\s{0,3}+(?:,|/|&|\+|[-–—]|\b(?:or|and|und|oder|ou|et|vs|y|o)\b\.?|或|和)\s{0,3}+"
    rf"(?:(?:or|and|maybe|perhaps|possibly|even)\s)?{_OPEN}(?:(?:option|choice)\s)?{_OPEN}{_LETTER}(?![-'])",
    re.IGNORECASE,
)
_END = re.compile(r"[ \t]{0,9}+(?:\\[)\]])?[.!]?[ \t*]{0,9}+(?:\Z|\n|<)")
_GOES_ON = re.compile(
    r"[.!,;:](?!\w)|[–—]"
    r"|\s(?:[-–—]\s|\(|(?:because|since|weil|car|(?:and )?not|rather than|is (?:correct|right))\b)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"[ .,!–—-]{0,6}+(?:wait|no|(?:is|was) (?:not|wrong|incorrect|false|too|impossible)|isn't|can't|cannot)\b",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"[.:]?\s(?:is|was|isn't|are|with|would|could|can|cannot|can't|may|might|seems|looks|gives|has|and|or|vs|but"
    r"|let|we|first|if)\b",
    re.IGNORECASE,
)
_OTHER_OPTION = re.compile(r"[(\[ ][A-D][)\]]|\b[Oo]ption\b")
_LISTED = re.compile(r"\s[*(]{0,3}([A-D])[).:]\s")
_BARE_LINE = re.compile(r"^\W{0,3}[A-D]\W{0,3}$", re.MULTILINE)


def extract_choice(text: str) -> str | None:
    """The option a reply settles on, "A" to "D"; None if it states none, or two at once."""
    text = text.translate(_SIGNS).strip()
    found: list[tuple[int, str, bool]] = []
    for match in _STATEMENT.finditer(text):
        if _doubted(text, match.start()) or ((match["letter"] or "A").islower() and not match["link"]):
            continue
        letter = "both" if match["both"] else _named(text, match, match["link"], bool(match["line"]))
        if letter:
            found.append((match.end(), letter, bool(match["negated"])))
    for match in _CALLED_RIGHT.finditer(text):
        fresh = match["noun"] or _FRESH.search(text[max(0, match.start() - WINDOW) : match.start()])
        if fresh and not _doubted(text, match.start()):
            found.append((match.end(), match["letter"], False))
    if not found:
        return _whole_reply(text)
    choice = ""
    for _, letter, negated in sorted(found):
        if not negated:
            choice = letter
        elif letter == choice:
            choice = ""
    return choice if len(choice) == 1 else None


def _doubted(text: str, start: int) -> bool:
    return _DOUBT.search(text[max(0, start - WINDOW) : start]) is not None


def _named(text: str, match: re.Match[str], link: str | None = None, alone: bool = False) -> str:
    """The letter named by a match with `letter` and `close`: "" if it is none after all, "both" if it is two.

    Args:
        text: the whole text.
        match: where the letter stands.
        link: what joins it to the word `answer`, if anything does.
        alone: whether nothing may follow on its line.
    """
    letter, close, at = match["letter"], match["close"], match.end("close")
    upper = letter.upper()
    end = _END.match(text, at) is not None
    second = _SECOND.match(text, at)
    # A small second letter may be the article: "Answer: C, a good one".
    if second and (second["letter"].isupper() or (letter.islower() and _END.match(text, second.end()))):
        return upper if second["letter"].upper() == upper else "both"
    if _DENIED.match(text, at) or (alone and not end):
        return ""
    if upper == "A" and _LISTED.findall(text[at : at + 4 * WINDOW])[:2] == ["B", "C"]:
        return ""  # the options told over
    follower = text[at : at + 1]
    if any(sign in ")]}" for sign in close) or (close and not re.match(r"[\w'-]", follower)):
        return upper
    if letter.isupper():
        return upper if end or _GOES_ON.match(text, at) else ""
    # Text may be cut, or a line broken, after "the answer is a".
    article = letter == "a" and (link or ":").strip()[-1].isalpha() and follower != "."
    return upper if not article and (end or re.match(r"[.,;:](?!\w)", follower)) else ""


def _whole_reply(text: str) -> str | None:
    """The letter of a reply that is nothing else: "(C)", "C) 24 m", or "C" on a first line by itself."""
    first, _, rest = text.partition("\n")
    if rest:
        letter = first.rstrip(". \r")
        return letter if letter in {*"ABCD"} and not _BARE_LINE.search(rest) else None
    match = _WHOLE.match(first)
    if not match or len(first) > 300:
        return None
    # "A: ..." is how some models open any answer, whatever it says.
    at = match.end()
    if _OTHER_OPTION.search(first, at) or _PROSE.match(first, at) or re.match(r":\s*\S", first[at:]):
        return None
    letter = _named(first, match)
    return letter if len(letter) == 1 else None
