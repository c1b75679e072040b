"""Which letter does a reply settle on?

A letter is read only where a reply states an answer ("Answer: C", "the answer is (C)", a box, "option C is correct"),
concludes with one and ends there ("So we choose C.", "By elimination, C.", "leaving D"), or is nothing but a letter,
alone or with its option's text. A letter that is only mentioned is no answer: text cut in mid-thought always mentions
some. Of several statements the last decides, even if it names two options (then nothing is read); "the answer is not
C", "option C is wrong" or "wait" takes it back. "Answer: yes" is no statement. Cyrillic А and С are A and C; В is
nothing, as it may be the third.
"""

import re
from collections.abc import Sequence

from anytime_lib.tasks.statements import ASIDE, BETWEEN, LABEL, LINK, MOST, RETRACTED, SURELY, TEX, YET, doubted, stated

WINDOW = 60  # characters; a statement is short, and looking no further keeps the time linear

# Dress is taken off first: a letter that it sets apart is put in brackets, a box becomes ⟦...}.
_TEX = rf"{TEX}(?!\{{?\Z)"
# Letters of other alphabets that stand alone and can be no other letter: a Cyrillic В may be a B or the third.
_LOOKALIKE = re.compile(r"(?<!\w)(?:([АΑ])|(Β)|(С))(?!\w)")
_APART = re.compile(rf"(?:[*_`~$\"]|(?<!\w)'|{_TEX} ?\{{){{1,9}}+ ?([A-Da-d]) ?(?:[*_`~$\"}}]|'(?!\w))(?![\w-])")
_DRESS = re.compile(rf"(?m)[*_`$\"{{]|(?<!\w)'|'(?!\w)|{_TEX}|\\[()\[\]!]|^[ \t]*#{{1,6}}")
_SPACE = re.compile(r"(?i)\\[,;: ]|\\q?quad\b|~|_(?=answer)")

# Between statement and letter: brackets, and words that add nothing.
_OPEN = r"[\s(\[⟦<>∴→]{0,16}+"
_FILLER = (
    rf"(?:(?:the|options?|choice|letter|answer|by\s(?:process\sof\s)?elimination|{SURELY}|definitely"
    r"|most|only|still|now|so|it(?:'s|\s(?:is|must\sbe))|I\s(?:think|believe|guess)|la|el|die"
    r"|(?-i:[ao])(?=[ ](?-i:[A-D])\b)|réponse|antwort|respuesta|risposta"
    rf"|opci[oó]n|opção|letra|lettre|lettera|buchstabe)\b,?:?{_OPEN}){{0,4}}+"
)
# A letter by itself; what follows it without a space in Chinese, Japanese or Korean is another word.
_LETTER = r"(?P<letter>[A-Da-d])(?![^\W぀-ヿ㐀-鿿가-힯])(?P<close>(?:\s{0,3}[)\]}]){0,8}+)"

_MARK = re.compile(
    rf"""(?ix)
    (?P<box> ⟦ )
  | (?: {LABEL} | (?<!\w)(?:(?:correct|right|best|final|selected|chosen)\s(?:option|choice|letter|one)
            |opci[oó]n\scorrecta|opção\scorreta|richtig(?=\sist\s)
            |my\s(?:choice|pick)|(?:choice|option|final|pick|selection|verdict|result|solution)(?=\s?[:=>]))(?!\w) )
      (?:\s(?:choice|option|letter|correct[ae]|corretta|correta|الصحيحة?)(?!\w))?
      (?:\s?\([^()\n]{{1,30}}\)(?=\s?[:=]))?
      (?:\s(?:to|for)\s[^.:;!?\n]{{1,60}}?(?=\s(?:is|should|must|would)\b))?
      {ASIDE}? [\s)\]]{{0,6}}+
      (?: (?P<never> isn't\b(?!\s[^.;:\n]{{1,30}}\sbut\b) )
        | (?: {LINK}\s?:? | [:=>→] | -> | [选選][择擇]?:? | [-–—](?=\s) | (?<=\])|(?<=\]\s) ) (?:[选選][项項])?
        | (?P<bare> \| | (?<=\s) ) )
  | \b(?:I|we)(?:\s(?:will|would|must|should|now|therefore|thus|hence)|'(?:ll|d))?
      \s(?:choose|pick|select|go\swith|say)\b | \b(?:I'm|I\sam|we're)\sgoing\swith\b
  | (?<![^.!?:\n])\s?(?:so\s)?(?:let's\s)?(?:choose|pick|select|go(?:ing)?\swith)\b
  | \bby\s(?:process\sof\s)?elimination,? | \bleav(?:es|ing)(?:\sus\swith)?\b | \bleft\swith\b
  | (?<![不没别勿非否能可应該该当應單单多])(?:应该?|應該?|应当)?[选選](?![选選项項题題])[择擇]?:?
    """
)
# Before a bare "answer", which states something only where it opens a line or a table's row.
_OPENS = re.compile(r"(?im)^[\s|]{0,6}(?:(?:the|my|final|correct|best)\s){0,3}$")
_TAIL = re.compile(
    rf"(?i){_OPEN}{_FILLER}(?:(?P<none>(?:either|both|neither|between)\b{_OPEN}{_FILLER}(?-i:[A-D])\b"
    r"|(?:none|unknown|unclear|undetermined|not (?:sure|known|clear|certain|listed|given))\b)"
    rf"|(?:not\s{_OPEN}[A-D]\)?,?\sbut\s(?:rather\s)?{_OPEN}{_FILLER})?"
    rf"(?P<negated>not\b{_OPEN}{_FILLER})?{_LETTER})"
)
_RIGHT = (
    r"(?:satisf|match|(?:work|fit|remain|meet|survive|agree|hold)s?\b|makes\ssense"
    r"|is\s(?:correct|right|possible|consistent|valid|left))"
)
_CALLED = re.compile(
    rf"(?m)(?:(?P<only>\b[Oo]nly\s(?:[Oo]ption\s|[Cc]hoice\s)?)|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)[ (\[]{{0,5}}+"
    rf"|(?P<bare>(?<![\w)'-])[ (\[]{{0,5}}+(?=[A-D]))){_LETTER}(?(only)(?=\s{_RIGHT})|)"
    r"(?(only)|(?:\sit\sis(?=[.!]|\s*\Z)|\s(?:is|must\sbe)\s(?:"
    r"(?P<wrong>(?:wrong|incorrect|not\s(?:the\s)?(?:correct|right))\b)"
    r"|(?:\w{1,12}ly\s|therefore\s|thus\s)?(?:(?:the|my)\s)?"
    r"(?:(?:correct|right|best|final)(?:\s(?:answer|option|choice|one))?|answer)\b"
    r"(?=\s{0,3}+(?:$|[.!,;)])|\s(?:because|since|as|here)\b))))"
)
_CALLED_CHINESE = re.compile(
    rf"(?P<bare>(?!))?(?<![A-Za-z0-9和或与與及、,/])(?:[选選][项項])?\s?{_LETTER}\s?(?:[选選]?[项項])?"
    r"是?(?:(?P<wrong>错误?|錯誤?|不正确|不正確|不对|不對)|(?:正确|正確)(?!吗|嗎|与否|的?(?:话|時|时)|\?))"
)
# Before the second box of two at once.
_FIRST_OF_TWO = re.compile(rf"(?i)⟦\W*([A-D])[\s)}}\]]*(?:[,;]|[,;]?\s*{BETWEEN})\s*$")
# "A: ..." is how some models open any answer, whatever it says.
_WHOLE = re.compile(rf"(?i)(?!\W*[A-D]:\s*\S){_OPEN}{_FILLER}{_LETTER}")
# Before a bare "C is correct", so that "vitamin C" or "B or C" is not meant.
_FRESH = re.compile(r"(?i)(?:^|[.!?:;>]|\b(?:so|thus|therefore|hence|only),?)[\s(]*$")

# After the letter.
_REJECTS = r"(?!\s(?:is|isn't|has|gives|would|violates|fails|ignores)\b)"
_SECOND = re.compile(
    rf"(?i)(?:[ \t]{{0,3}}+(?P<clause>[,–—-])|\s{{0,3}}+(?:{BETWEEN}|vs\b\.?))\s{{0,3}}+"
    rf"(?:(?:or|and|maybe|perhaps|possibly|even|only)\s)?{_OPEN}(?:(?:option|choice)\s)?{_OPEN}{_LETTER}(?![-'])"
    rf"(?(clause){_REJECTS})"
)
# More options told: "(A) 5 or (B) 6", or each on its line.
_MORE = re.compile(
    rf"\s[^\n.;()]{{0,60}}?(?:,|\bor)\s[(\[][A-D][)\]]{_REJECTS}"
    r"|\s{0,3}+\(?and \(?[A-D]\)|[\s.]{0,3}\n\W{0,3}(?P<letter>[A-D])\W{0,3}(?:\n|\Z)"
)
_END = re.compile(r"(?:です|だ|입니다|이다|[选選]?[项項])?[ \t]{0,9}+[.!]?[ \t]{0,9}+(?:\|[ \t]{0,9}+)?(?:\Z|\n|<|\[/)")
_GOES_ON = re.compile(
    r"(?i)[.!,;:…](?![A-Za-z0-9_])|[–—]|\s(?:[-–—]\s|\("
    r"|(?:because|since|(?:and )?not|rather than|instead of|over|is (?:correct|right)|as the)\b)"
)
# After the letter of a whole reply: prose that begins with it, or another option.
_NOT_WHOLE = re.compile(
    r"(?i)\A[.:]?\s(?:is|was|isn't|are|with|would|could|can|cannot|can't|may|might|seems|looks|gives|has|and|or|vs|but"
    r"|let|we|first|if)\b|[(\[ ](?-i:[A-D])[)\]]|\boption\b"
)
# After an option's text.
_OVER = re.compile(r"[.!]?\s*(?:$|</)|[.!]\s|,?\s(?:because|since)\b")


def extract_choice(text: str, options: Sequence[str] | None = None) -> str | None:
    """The option a reply settles on, "A" to "D"; None if it states none, or two at once.

    With the texts of A to D in `options`, the exact text of one of them is as good as its letter, and a letter that
    stands before another option's text states nothing.
    """
    text, options = _undressed(stated(text)), [_plain(_undressed(option)) for option in options or ()]
    found = (match for kind in (_MARK, _CALLED, _CALLED_CHINESE) for match in kind.finditer(text))
    statements = sorted(found, key=re.Match.start, reverse=True)
    taken_back: set[str] = set()
    for match in statements[:MOST]:
        before = text[max(0, match.start() - WINDOW) : match.start()]
        marked = match.re is _MARK
        loose = match["bare"] is not None and not (_OPENS if marked else _FRESH).search(before)
        if loose or doubted(text, match.start(), box=match[0] == "⟦"):
            continue
        if marked:
            letter, end, negated = _marked(text, match, options)
        else:
            letter, end, negated = match["letter"].upper(), match.end(), bool(match["wrong"])
        if negated:
            taken_back.add(letter)
        elif letter:
            first = _FIRST_OF_TWO.search(before)
            sound = len(letter) == 1 and letter not in taken_back and (not first or first[1].upper() == letter)
            return letter if sound and not (RETRACTED.search(text[end:]) or YET.match(text, match.start())) else None
    return None if taken_back else _whole_reply(text, options)


def _undressed(text: str) -> str:
    text = _LOOKALIKE.sub(lambda found: "ABC"[(found.lastindex or 1) - 1], text)
    text = text.replace("{,}", ",").replace("\\boxed{", "⟦")
    return _DRESS.sub("", _APART.sub(r"(\1)", _SPACE.sub(" ", text)))


def _plain(text: str) -> str:
    return " ".join(text.replace("}", "").replace("–", "-").split())


def _marked(text: str, mark: re.Match[str], options: Sequence[str]) -> tuple[str, int, bool]:
    """Letter ("" for nothing said, "none", "both"), where it ends, and whether it is negated, after "the answer is"."""
    end, letter = mark.end(), ""
    if tail := _TAIL.match(text, end):
        end = tail.end()
        letter = "none" if tail["none"] else _named(text, tail, options)
        if mark["box"] and tail["letter"] and "}" not in text[tail.end("letter") : end + 5 * WINDOW]:
            letter = ""  # a box cut short
    if len(letter) != 1 and (option := _stated_option(text[mark.end() :], options)):
        return option, mark.end(), mark["never"] is not None
    return letter, end, len(letter) == 1 and bool(mark["never"] or (tail and tail["negated"]))


def _named(text: str, match: re.Match[str], options: Sequence[str]) -> str:
    """The letter named by a match with `letter` and `close`: "" if it is none after all, "both" if it is two."""
    letter, upper, at = match["letter"], match["letter"].upper(), match.end("close")
    after = text[at : at + 400]
    if option := _stated_option(after.lstrip(" .:,"), options):
        return upper if option == upper else "both"
    end = _END.match(after) is not None
    # A small second letter may be the article: "Answer: C, a good one".
    second = _SECOND.match(after)
    if second and (second["letter"].isupper() or (letter.islower() and _END.match(after, second.end()))):
        return upper if second["letter"].upper() == upper else "both"
    if (more := _MORE.match(after)) and more["letter"] != upper:
        return "both"
    if upper == "A" and re.findall(r"\s\(?([A-D])[).:]\s", after)[:2] == ["B", "C"]:  # the options told over
        return ""
    if match["close"] or (letter.isupper() and (end or _GOES_ON.match(after))):
        return upper
    # Text may be cut, or a line broken, after "the answer is a".
    article = letter == "a" and text[: match.start("letter")].rstrip()[-1:].isalpha() and not after.startswith(".")
    return upper if letter.islower() and not article and (end or re.match(r"[.,;:](?!\w)", after)) else ""


def _whole_reply(text: str, options: Sequence[str]) -> str | None:
    """The letter of a reply that is nothing else: "(C)", "C) 24 m", an option's text, or "C" on a first line."""
    if option := _stated_option(text, options, whole=True):
        return option
    first, _, rest = text.partition("\n")
    if rest:
        letter = first.rstrip(". \r")
        sound = letter in {*"ABCD"} and not re.search(r"(?m)^\W{0,3}[A-D]\W{0,3}$", rest) and not RETRACTED.search(rest)
        return letter if sound else None
    match = _WHOLE.match(first)
    if not match or len(first) > 300 or "⟦" in match[0]:  # a box cut short
        return None
    after = first[match.end() :]
    letter = "" if _NOT_WHOLE.search(after) or RETRACTED.search(after) else _named(first, match, options)
    return letter if len(letter) == 1 else None


def _stated_option(text: str, options: Sequence[str], whole: bool = False) -> str | None:
    """The letter of the option whose exact text a text begins with, and which ends there.

    Capitals count only where options differ by nothing else. An option that is itself a lone letter is never read: it
    would be taken for its label.
    """
    text = text[: 2 * max(map(len, options), default=0) + 40].lstrip()
    reading = _plain(text if whole else text.partition("\n")[0])
    over = re.compile(r"[.!]?\Z") if whole else _OVER
    said_so = [o for o in options if reading[: len(o)].casefold() == o.casefold() and over.match(reading, len(o))]
    found = [o for o in said_so if len(o) > 1 or o.isdigit()]
    exact = [o for o in found if reading.startswith(o)] if len(found) > 1 else found
    return "ABCD"[options.index(exact[0])] if len(exact) == 1 else None
