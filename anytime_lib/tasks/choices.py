"""Which of the options A to D does a reply settle on?

A letter is read only where a reply states an answer ("Answer: C", "the answer is (C)", a box, "option C is
correct"), or where the reply is nothing but a letter, alone or with its option's text. A letter that is only
mentioned is no answer: text cut in mid-thought always mentions some. Where the options are known, the exact text
of one of them is as good as its letter.

Where several statements stand, the last one decides, even if it names two options (then nothing is read). It is
taken back by "the answer is not C", "option C is wrong", "answer: none of these", or "wait" after it. What is thought
(`<think>`) is not said. What names no letter ("Answer: yes") is no statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from anytime_lib.tasks.choice_text import plain, said, stated_option

# A statement is short. No pattern looks further than a fixed number of characters (repetitions are bounded,
# and possessive where they meet), which keeps the time linear whatever the text holds.
WINDOW = 60

# Between statement and letter: emphasis, brackets, TeX, and words that add nothing.
_OPEN = r"(?:[\s*_`~\"'$(\[{<>\#]|\\(?:f?boxed|text\w{0,6}|math\w{2}|bf|rm|bm|boldsymbol)\b|\\[(\[]){0,16}+"
_FILLER = (
    r"(?:(?:the|options?|choice|letter|answer|therefore|thus|hence|clearly|definitely|most|likely|probably"
    r"|indeed|simply|just|still|now|then|so|it(?:'s|\sis)|I\s(?:think|believe|guess)"
    r"|la|el|die|opci[oó]n|opção|letra|lettre|lettera|buchstabe)\b"
    rf",?:?{_OPEN}){{0,4}}+"
)
# A letter by itself; what follows it without a space in Chinese, Japanese or Korean is another word.
_LETTER = r"(?P<letter>[A-Da-d])(?![^\W_぀-ヿ㐀-鿿가-힯])"
_CLOSE = r"(?P<close>(?:\s?[)\]}]|[*_`~\"'$>]){0,8}+)"

_MARK = re.compile(
    r"""
    (?P<box> \\f?box(?:ed)?\s?\{ )
  | (?: (?<![^\W_])(?:answer|ans|antwort|r(?:é|e\u0301)ponse|respuesta|risposta|resposta|antwoord|svar|odpowiedź
            |cevap|jawaban|ответ|đáp\sán
            |(?:correct|right|best|final|selected|chosen)\s(?:option|choice|letter|one)|my\s(?:choice|pick))
          (?:\s(?:choice|option|letter|correct[ae]|corretta|correta))?(?![^\W_])
        | 答案|正[确確][选選][项項]|正解|答え|回答|정답|답|उत्तर|الإجابة )
      (?:\s?\([^()\n]{1,30}\)(?=\s?[:=]))?
      (?:\s(?:to|for)\s[^.:;!?\n]{1,60}?(?=\s(?:is|should|must|would)\b))?
      [\s*_`"')\]]{0,6}+
      (?: (?P<never> (?:isn't|wasn't|(?:can't|cannot|wouldn't|shouldn't)\sbe)\b )
        | (?P<link> (?:is|ist|lautet|est|es|è|é|(?:should|must|would|will|has\sto)\sbe)\b\s?:? | [:=>] | -> | [→➜]
            | [-–—](?=\s) | [是为為はが은는]:? | (?<=\])|(?<=\]\s) )
        | (?P<bare> \| | (?<=[\s*_]) ) )
  | (?P<pick> \bI(?:\s(?:will|would)|'(?:ll|d))?\s(?:choose|pick|select|go\swith|say)\b
      | \bI(?:'m|\sam)\sgoing\swith\b | (?:故|应|應|因此|所以)[选選](?![项項]):? )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Before a bare "answer", which states something only where it opens a line or a table's row.
_OPENS = re.compile(r"^[\s*_\#\"|]{0,6}(?:(?:the|my|final|correct|best)\s){0,3}$", re.IGNORECASE | re.MULTILINE)
_TAIL = re.compile(
    rf"{_OPEN}{_FILLER}(?:(?P<both>(?:either|both|neither|between)\b{_OPEN}{_FILLER}(?-i:[A-D])\b)"
    r"|(?P<void>(?:none|unknown|unclear|undetermined|not (?:sure|known|clear|certain|listed|given))\b"
    rf"|(?:I )?do(?:n't| not) know\b)|(?:not\s{_OPEN}[A-D][)*]{{0,3}},?\sbut\s(?:rather\s)?{_OPEN}{_FILLER})?"
    rf"(?P<negated>not\b{_OPEN}{_FILLER})?{_LETTER}{_CLOSE})",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"(?:\b(?P<noun>[Oo]ption|[Cc]hoice|[Aa]nswer)[ *_`$(\[]{0,5}+(?P<any>[A-Da-d])"
    rf"|(?<![\w)'-])[ *_`$(\[]{{0,5}}+(?P<letter>[A-D])){_CLOSE}"
    r"\s(?:is|must\sbe)\s(?:(?P<wrong>(?:wrong|incorrect|false|not\s(?:the\s)?(?:correct|right|answer))\b)"
    r"|(?:\w{1,12}ly\s|therefore\s|thus\s)?(?:(?:the|my)\s)?"
    r"(?:(?:correct|right|best|final)(?:\s(?:answer|option|choice|one))?|answer)\b"
    r"(?=\s{0,3}+(?:$|[.!,;*)])|\s(?:because|since|as|here)\b))",
    re.MULTILINE,
)
_WHOLE = re.compile(rf"{_OPEN}{_FILLER}{_LETTER}{_CLOSE}", re.IGNORECASE)

# Before a statement: "if the answer is B", "I don't think option B is correct", "is option B correct".
_DOUBT = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|supposing|assume|assuming|let's say|(?<!no )doubt|why|is|are)"
    r"|(?:\bnot|n't) (?:think|believe|say|mean|know|sure|certain|clear|see|true|the case))"
    r"(?:,? (?:that|the|my|your|final|correct|right|best|true|only|if|why|whether)){0,6}[\s*_\"'(]*$|如果$|若$",
    re.IGNORECASE,
)
# Before a bare "C is correct", so that "vitamin C" or "B or C" is not meant.
_FRESH = re.compile(r"(?:^|[.!?:;>]|\b(?:so|thus|therefore|hence|only),?)[\s*_\"'$(]*$", re.IGNORECASE)

# After the letter.
_SECOND = re.compile(
    r"(?:[ \t]{0,3}+(?P<clause>[,–—-])|\s{0,3}+(?:/|&|\+|\b(?:or|and|und|oder|ou|et|vs|y|o)\b\.?|或|和))\s{0,3}+"
    rf"(?:(?:or|and|maybe|perhaps|possibly|even|only)\s)?{_OPEN}(?:(?:option|choice)\s)?{_OPEN}{_LETTER}(?![-'])"
    r"(?(clause)(?!\s(?:is|isn't|has|gives|would|violates|fails|ignores)\b))",
    re.IGNORECASE,
)
# More options told: "(A) 5 or (B) 6", or each on its line.
_MORE = re.compile(
    r"\s[^\n.;()]{0,60}?(?:,|\bor)\s[(\[][A-D][)\]](?!\s(?:is|isn't|has|gives|would|violates|fails|ignores)\b)"
    r"|\s{0,3}+\(?and \(?[A-D]\)|[\s.]{0,3}\n\W{0,3}(?P<letter>[A-D])\W{0,3}(?:\n|\Z)"
)
_END = re.compile(r"(?:です|だ|입니다|이다)?[ \t]{0,9}+(?:\\[)\]])?[.!]?[ \t*]{0,9}+(?:\|[ \t]{0,9}+)?(?:\Z|\n|<|\[/)")
_GOES_ON = re.compile(
    r"[.!,;:…](?!\w)|[–—]"
    r"|\s(?:[-–—]\s|\(|(?:because|since|weil|car|(?:and )?not|rather than|instead of|over|is (?:correct|right))\b)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"[ .,!–—-]{0,6}+(?:(?:is|was) (?:not|wrong|incorrect|false|too|impossible)|isn't|can't|cannot)\b", re.IGNORECASE
)
_RETRACTED = re.compile(
    r"\A[\s.,;!–—-]{0,6}+(?:that|this|which)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct)|impossible)\b"
    r"|(?:\A|[.!?…,;:)\n*–—]|\s-\s)[\s*_]{0,4}+(?:(?:but|oh|ah|hmm|oops|sorry)\b[,. ]{0,3}+)?"
    r"(?:wait\b(?! (?:times?|for|until)\b)|hold on\b|(?:scratch|strike) that\b|on second thoughts?\b"
    r"|no(?:pe)?(?:\s?[,.!;:–—]|\s?\Z|\swait\b)"
    r"|actually,? (?:no|wait|not|it|I|that|the answer|option|[A-D])\b|correction[:,]"
    r"|I (?:was wrong|made an? (?:error|mistake)|take (?:that|it) back)\b)",
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


def extract_choice(text: str, options: Sequence[str] | None = None) -> str | None:
    """The option a reply settles on, "A" to "D"; None if it states none, or two at once.

    Args:
        text: what was said.
        options: the texts of A, B, C and D. Then an answer may also be stated by the exact text of one option, and
            a letter that stands before another option's text states nothing.
    """
    text, options = said(text), options and [plain(option) for option in options]
    statements = sorted([*_MARK.finditer(text), *_CALLED.finditer(text)], key=re.Match.start, reverse=True)
    taken_back: set[str] = set()
    for match in statements:
        if _doubted(text, match.start()):
            continue
        letter, end, negated = _called(text, match) if match.re is _CALLED else _marked(text, match, options)
        if negated:
            taken_back.add(letter)
        elif letter:
            sound = len(letter) == 1 and letter not in taken_back and not _RETRACTED.search(text[end:])
            return letter if sound else None
    return None if taken_back else _whole_reply(text, options)


def _doubted(text: str, start: int) -> bool:
    return _DOUBT.search(text[max(0, start - WINDOW) : start]) is not None


def _called(text: str, match: re.Match[str]) -> tuple[str, int, bool]:
    """Letter ("" for none), where it ends, and whether it is called wrong, in "option C is correct"."""
    fresh = match["noun"] or _FRESH.search(text[max(0, match.start() - WINDOW) : match.start()])
    letter = (match["any"] or match["letter"]).upper() if fresh else ""
    return letter, match.end(), bool(letter and match["wrong"])


def _marked(text: str, mark: re.Match[str], options: Sequence[str] | None) -> tuple[str, int, bool]:
    """Letter ("" for none, "both", "none"), where it ends, and whether it is negated, after "the answer is"."""
    bare = mark["bare"] is not None
    if bare and not _OPENS.search(text, max(0, mark.start() - WINDOW), mark.start()):
        return "", mark.end(), False
    tail, end = _TAIL.match(text, mark.end()), mark.end()
    letter = ""
    if tail and (tail["both"] or tail["void"]):
        letter, end = "both" if tail["both"] else "none", tail.end()
    elif tail and _may_be_small(mark, tail):
        letter, end = _named(text, tail, options, bare and "\n" not in mark[0]), tail.end()
        if mark["box"] and "}" not in text[tail.end("letter") : end + 5 * WINDOW]:
            letter = ""  # a box cut short
    if options and len(letter) != 1 and (option := stated_option(text, mark.end(), options)):
        return option, mark.end(), mark["never"] is not None
    return letter, end, len(letter) == 1 and bool(mark["never"] or (tail and tail["negated"]))


def _may_be_small(mark: re.Match[str], tail: re.Match[str]) -> bool:
    """A small letter is read after a colon or verb, or alone in a box, and not in "I pick a"."""
    framed = mark["box"] and "}" in tail["close"]
    return tail["letter"].isupper() or bool(mark["link"] or mark["never"] or framed)


def _named(text: str, match: re.Match[str], options: Sequence[str] | None = None, alone: bool = False) -> str:
    """The letter named by a match with `letter` and `close`: "" if it is none after all, "both" if it is two.

    Args:
        text: the whole text.
        match: where the letter stands.
        options: the options' texts, where known.
        alone: whether nothing may follow on its line.
    """
    letter, close, at = match["letter"], match["close"], match.end("close")
    upper = letter.upper()
    if options and (option := stated_option(text, at, options, after_letter=True)):
        return upper if option == upper else "both"
    end = _END.match(text, at) is not None
    second = _SECOND.match(text, at)
    # A small second letter may be the article: "Answer: C, a good one".
    if second and (second["letter"].isupper() or (letter.islower() and _END.match(text, second.end()))):
        return upper if second["letter"].upper() == upper else "both"
    if (more := _MORE.match(text, at)) and more["letter"] != upper:
        return "both"
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
    before = text[max(0, match.start("letter") - WINDOW) : match.start("letter")].rstrip()
    article = letter == "a" and before[-1:].isalpha() and follower != "."
    return upper if not article and (end or re.match(r"[.,;:](?!\w)", follower)) else ""


def _whole_reply(text: str, options: Sequence[str] | None) -> str | None:
    """The letter of a reply that is nothing else: "(C)", "C) 24 m", an option's text, or "C" on a first line."""
    if options and (option := stated_option(text, 0, options, whole=True)):
        return option
    first, _, rest = text.partition("\n")
    if rest:
        letter = first.rstrip(". \r")
        sound = letter in {*"ABCD"} and not _BARE_LINE.search(rest) and not _RETRACTED.search(rest)
        return letter if sound else None
    match = _WHOLE.match(first)
    if not match or len(first) > 300 or "box" in match[0]:  # a box cut short
        return None
    # "A: ..." is how some models open any answer, whatever it says.
    at = match.end()
    speaker = not re.search("option|choice", match[0], re.IGNORECASE) and re.match(r":\s*\S", first[at:])
    if _OTHER_OPTION.search(first, at) or _PROSE.match(first, at) or speaker:
        return None
    letter = _named(first, match, options)
    return letter if len(letter) == 1 and not _RETRACTED.search(first[at:]) else None
