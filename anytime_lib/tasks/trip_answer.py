"""Which plan does an answer state?

The answer is a model's: it is never evaluated, read in time linear in its length, and no text makes this raise.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from anytime_lib.tasks.said import said
from anytime_lib.tasks.trip_problem import Stay

# Each city asked for is read as one letter, a hieroglyph, which no answer holds: of the first block where its capitals
# are as the problem has them, else of the second ("nice").
_FIRST, _BLOCK = 0x13000, 0x200
_EXACT, _LOOSE = re.compile(r"[\U00013000-\U000131FF]"), re.compile(r"[\U00013200-\U000133FF]")

_CITY = r"[\U00013000-\U000133FF]"

# Days: "Day 1-3", "Days 1, 2 and 3", "jour 1 au 3", `"day_range": "1-3"`. Every sign between two numbers is taken up,
# known or not, so that a range which is not understood is never read as its first day.
_TO = (
    r"(?:[-=]*>+|\.{2,3}|[-~…〜−∼─\u2010-\u2015\u2053\u2190-\u21ff\u27f0-\u27ff]+>?|[至到]|から"
    r"|\b(?:to|until|through|thru|till|up\s?(?:to|until)(?:\sand\sincluding)?|bis|a|au|al|hasta|tot|до)\b)"
)
_DAY = r"(?:days?|jours?|dias?|giorn[oi]|tage?|dag(?:en|ar)?|dzien|dni|gun|hari|ngay|nap|день|дни|d(?=\d))"
_JOIN = rf"[,\s]*(?:{_TO}|\b(?:and|y|et|und|e)\b|\|(?=\s*day)|,|[^\w\s:;.()\[\]{{}}|\"'*_!?]{{1,3}})\s*"
_LAST = r"(?!\d|[.,]\d|:\d\d|-?\s*(?i:days?(?!\s*\d)|nights?|hours?|[ap]m)\b)"
_DAYS = re.compile(
    rf"(?i)(?<!\w)(?P<word>{_DAY})(?:_?range)?(?:\(s\))?[\"'\s:*_#]{{0,6}}(?:days?\s*)?"
    rf"(?P<numbers>\d{{1,4}}(?!\d)(?:{_JOIN}(?:{_DAY}\s*)?\d{{1,4}}{_LAST})*+)"
)
# A range without the word, "1-5"; not a length ("2-3 days") nor a date ("2024-05-01").
_BARE = re.compile(
    rf"(?<![\d.,-])(?P<word>)(?P<numbers>\d{{1,3}}\s*(?![a-z]){_TO}\s*\d{{1,3}})(?![\d.,]*\d|[-–/]|\s*(?i:day|night))"
)
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
# Two days told apart: `"start_day": 1, "end_day": 3`, "arrive in Rome on day 1, leave on day 3".
_ON = (
    rf"(?:_?(?:day|date))?[\"']?[ \t:=]*(?:(?:in|at|to|for|from)\s)?({_CITY})?[ \t:]*(?:on\s)?\"?(?:day\s)?(\d{{1,3}})"
)
_FROM_TO = re.compile(
    rf"(?i)[\"']?\b(?:day_?)?(?:start(?:s|ing)?|from|arriv\w{{0,3}}+|first|begin|check[-_ ]?in){_ON}[\"']?"
    r"[\s,;&/-]{0,9}(?:and\s)?[\"']?\b(?:day_?)?"
    rf"(?:end|ends|ending|to|until|(leav\w{{0,3}}+|depart\w{{0,4}}+)|last|check[-_ ]?out){_ON}{_LAST}[\"']?"
)
_CHINESE = re.compile(
    rf"(?:第\s?)?(\d{{1,3}})\s?(?:天|日目?|일차?)?\s?{_TO}\s?第?\s?(\d{{1,3}})\s?(?:天|日目?|일차?)"
    r"|第\s?(\d{1,3})\s?[天日]|(\d{1,3})(?:日目|일차)"
)
_LIST = re.compile(r"\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]|\[((?:[\s,]*\d{1,3})++)\s*\]")
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:[a-z]{2,6})?\b"
# What may stand before the days or the city of a line that states a stay: bullets, a number, keys, a date, a few small
# words.
_LEAD = re.compile(
    r"(?i)[\W_]*(?:\w{1,20}[\"']?\s?:\s?[\[{][\W_]*)?(?:(?:step|stop|leg|city|place|name|location|destination)\W+)?"
    rf"(?:\d{{1,3}}[.):][\W_]+)?(?:{_MONTH}[\W_]+\d{{1,2}}\b(?:[\W_]+(?:to[\W_]+)?(?:{_MONTH}[\W_]+)?\d{{1,2}}\b)?[\W_]+)?"
    r"(?:(?:on|from|between|du|vom|del|dal|first|then|next|finally|the|visit|stay in|arrive in)\b[\W_]*){0,3}"
)
# A city and little else up to its days: "Rome: 3 days," "Rome: May 1-3 is", but not "Rome's wedding is on".
_LITTLE = rf"[\W_]*(?:(?:from|on|for|between|during|stay|visit|nights?|days?|is|to|{_MONTH}|\d{{1,3}})\b[\W_]*){{0,8}}"
_CITY_FIRST = re.compile(_LEAD.pattern + _CITY + _LITTLE)
_FLYING = re.compile(r"(?i)(?:fly|flight|flying|travel|depart|train|bus|ferry|drive|move|transfer|from)\b")
_UNASKED = re.compile(r"\b(?i:visit|stay(?:ing)? in|arriv(?:e|ing) in)\s+([^\W\d_]+)")
# A table's column with a first, a last or a single day; "days" has lengths.
_COLUMN = re.compile(r"(?i)start|from|arriv|first|check|end|until|to\b|depart|last|leav|^\W*day\W*$")

_OBJECT = re.compile(r"\{[^{}]*+\}")
_FLIGHT = re.compile(r"""(?i)\{\s*["'](?:fly|flying|flight|travel|transfer|transport|move)\w{0,9}["']\s*:[^{}]*+\}""")
_SAME_LIST = re.compile(r"""[\s,{}-]*(?:["']\w{1,20}["']\s*:\s*)?""")  # what may stand between two of its objects
_PLACE = re.compile(
    r"""(?i)["']?\b(?:place|city|location|destination|town|name)["']?\s*:\s*(["'\[]?)(.{1,80}?)(?:\1|[\]},])"""
)


class _Entry(NamedTuple):
    """Days in a city, or of a flight between several, as stated at one place of the text."""

    first: int
    last: int  # 0: not understood
    cities: Sequence[str]
    certain: bool = True  # not so for days within a sentence
    group: int = 0  # number of the JSON list that they are in, 0 outside of any
    flying: bool = False


def read_plan(text: str, cities: Sequence[str]) -> list[Stay] | None:
    """The plan that an answer states, or None if nothing in it gives days in a city.

    Read are lines that begin with days or a city (the official layout, lists, tables), several such pairs on one line,
    and JSON objects with `day_range` and `place`. A plan ends where the days start over, or its JSON list ends. The
    last complete plan (one with every one of `cities`) counts, neither a draft before it nor one cut off after it. Days
    within a sentence are read only where they complete a plan and nothing else does: a mention of an event is no plan.
    Without a complete plan, the one with the most of `cities` counts, the last of equals. A plan with days that are not
    understood is unread, be it a strange range or a list of days with gaps.
    """
    spelled = {chr(_FIRST + i): city for i, city in enumerate(sorted(set(cities), key=len, reverse=True))}
    names = [_plain(city) for city in spelled.values()]
    places = "|".join(f"({re.escape(name)})" for name in names) or "(?!)"
    asked = re.compile(rf"(?i)(?<!from )(?<![^\W\d_])(?:{places})(?!\w)")

    def letter(place: re.Match[str]) -> str:
        number = (place.lastindex or 1) - 1
        return chr(_FIRST + number + (place[0] != names[number]) * _BLOCK)

    def known(plan: list[Stay]) -> int:
        return len(spelled.keys() & {stay.city for stay in plan})

    text = asked.sub(letter, re.sub(_CITY, "", _plain(said(text))))
    entries = [e for e in _entries(_as_days(text)) if e.first <= e.last or not e.last]
    found = _drafts(e for e in entries if e.certain)
    if not any(known(plan) == len(spelled) for plan in found):
        found += [plan for plan in _drafts(entries) if known(plan) == len(spelled)]
    best = max(reversed(found), key=known, default=())
    understood = best and all(stay.last for stay in best)
    return [stay._replace(city=spelled.get(stay.city, stay.city)) for stay in best] if understood else None


def _as_days(text: str) -> str:
    """A text with the ways in which a stay's first and last day stand apart, in lists or in Chinese as "Day 1-3"."""
    text = re.sub(r"\\u201[0-5]", "-", re.sub(r"\{[^{}]*+\Z", "", text))  # escaped dashes; an object cut off
    text = _CHINESE.sub(lambda m: f"Day {m[1]}-{m[2]} " if m[1] else f"Day {m[3] or m[4]} ", text)
    # Not "start in Rome on day 1 and end in Nice on day 9".
    text = _FROM_TO.sub(lambda m: f"{m[1] or ''} Day {m[2]}-{m[5]} " if m[3] or m[4] in (None, m[1]) else m[0], text)
    text = _LIST.sub(lambda m: f"Day {m[1]}-{m[2]}" if m[1] else f"Day {m[3]}" if "," in m[3] else m[0], text)
    return re.sub(r"\{\s*(Day \d+-\d+)\s*\}", r"\1", text)


def _plain(text: str) -> str:
    """A text without accents: "Kraków" and "Krakow" are one city. By characters, as normalising long runs is slow."""
    return "".join(c for whole in text for c in unicodedata.normalize("NFD", whole) if not unicodedata.combining(c))


def _drafts(entries: Iterable[_Entry]) -> list[list[Stay]]:
    """The plans that a text's entries make up, in order. Days stated again or day by day become one stay."""
    drafts: list[list[Stay]] = []
    group, by_day = 0, False
    for e in entries:
        before = drafts[-1][-1] if drafts else Stay("", 0, -9)
        new = not drafts or e.group != group or (not e.group and (e.first == 1 or e.first < before.first))
        there = {stay.city for stay in (drafts or [[]])[-1][-30:] if stay.first <= e.first <= stay.last}
        if not e.group and 1 < e.first == e.last and there.issuperset(e.cities):
            continue  # a note on a day of the plan
        flight = e.first == e.last and (e.flying or len({*e.cities}) > 1) and not (new and e.first == 1)
        if flight and not by_day:
            continue
        if flight and before.last == e.first - 1:
            # In a list of single days, a flight's day counts for both cities, as everywhere in this task.
            drafts[-1][-1] = before._replace(last=e.first)
        drafts += [[]] * new
        for city in e.cities if flight else e.cities[-1:]:
            stays, before = drafts[-1], (drafts[-1] or [Stay("", 0, -9)])[-1]
            same = [stay for stay in stays[-2:] if stay.city == city]
            if any(not e.last or stay.first <= e.first <= e.last <= stay.last for stay in same):
                continue  # said before
            if before.city == city and before.first <= e.first <= before.last + 1:
                stays[-1] = before._replace(last=max(before.last, e.last))
                by_day &= e.first == e.last
            else:
                gap = bool(stays) and by_day and e.first == e.last > before.last + 1
                stays.append(Stay(city, e.first, 0 if gap else e.last))
                group, by_day = e.group, e.first == e.last
    return drafts


def _entries(text: str) -> Iterator[_Entry]:
    """What a text states, in its order: JSON objects where it has any, and lines elsewhere. JSON may be broken."""
    at, group = 0, 0
    for match in _OBJECT.finditer(text):
        days, place = _spans(match[0]), _PLACE.search(match[0])
        if days and place and (name := place[2].strip(" \"'")):
            gap = _FLIGHT.sub("", text[at : match.start()])
            group += not group or not _SAME_LIST.fullmatch(gap)
            yield from _lines(gap)
            cities = _cities(name) or [name]
            if len(cities) == 1 or days[0][0] == days[0][1]:
                yield _Entry(*days[0][:2], cities, group=group, flying=bool(_FLYING.search(name)))
            at = match.end()
    yield from _lines(text[at:])


def _lines(text: str) -> Iterator[_Entry]:
    heading: tuple[int, int] | None = None  # days that stand alone on a line, for the city on the next
    above: list[str] = []  # a city that does, for the days on the next
    columns: list[str] = []  # what the header of a table says
    for line in filter(str.strip, text.splitlines()):
        alone, heading, owner, above = heading, None, above, []
        days, cities = _spans(line), _cities(line)
        if alone and cities and not days:
            yield _Entry(*alone, cities[:1])
        elif "|" in line and not days:
            cells = [cell.strip(" *_`\t") for cell in line.split("|")]
            headed = zip(columns, cells, strict=False)
            numbers = [int(n) for column, n in headed if _COLUMN.search(column) and _NUMBER.fullmatch(n)]
            ranges = [_spans(cell, _BARE)[0][:2] for cell in cells if _BARE.fullmatch(cell)]
            for first, last in (ranges or [(n, numbers[-1]) for n in numbers])[: len(cities) and 1]:
                yield _Entry(first, last, cities if first == last else cities[:1])
            columns = cells if any(map(_COLUMN.search, cells)) else columns
        elif spans := days or _spans(line, _BARE):
            first, last, start, end = spans[0]
            before = line[:start]
            city_first = bool(_cities(before) if "|" in line else _CITY_FIRST.fullmatch(before))
            certain = "|" in line or city_first or bool(_LEAD.fullmatch(before))
            bare = certain and len(spans) == 1 and not city_first and not re.search(r"[^\W\d_]", line[end:])
            if bare and owner:
                yield _Entry(first, last, owner)
            elif certain or days:
                yield from _stated(line, spans, city_first, certain)
                heading = (first, last) if bare else None
        elif _CITY_FIRST.fullmatch(line) or not cities:
            above = cities or owner


def _stated(line: str, days: list[tuple[int, int, int, int]], city_first: bool, certain: bool) -> Iterator[_Entry]:
    """The entries of a line: each of its days with the city after it (before it, where the line begins with one)."""
    edges = [0, *(end for *_, end in days)] if city_first else [*(start for *_, start, _ in days), len(line)]
    for i, (first, last, start, end) in enumerate(days):
        part = line[edges[i] : start] if city_first else line[end : edges[i + 1]]
        cities, unasked, flying = _cities(part), _UNASKED.search(part), bool(_FLYING.search(part))
        if cities and (last or certain):
            yield _Entry(first, last, cities if first == last else cities[:1], certain, flying=flying)
        elif certain and not (flying and first == last) and unasked and unasked[1][0].isupper():
            yield _Entry(first, last, [unasked[1]])


def _spans(text: str, kind: re.Pattern[str] = _DAYS) -> list[tuple[int, int, int, int]]:
    """First and last day (0 if it is not understood) of each range or day in a text, and where it starts and ends.

    Two numbers are a range if a sign or word says so, "and" only after "between"; others must follow one another. A
    single number of "days" is a length.
    """
    found = []
    for match in kind.finditer(text):
        numbers, joint = [int(n) for n in _NUMBER.findall(match["numbers"])], match["numbers"].strip("0123456789 ")
        first, last = numbers[0], numbers[-1]
        between = re.search(r"(?i)between\W*\Z", text[max(0, match.start() - 12) : match.start()])
        told = len(numbers) == 2 and (between or re.search(rf"(?i){_TO}|\|", joint))
        in_turn = numbers == [*range(first, last + 1)] and joint != "/"
        if len(numbers) > 1 or match["word"].lower() != "days":
            found.append((first, last if told or in_turn else 0, *match.span()))
    return found


def _cities(text: str) -> list[str]:
    """The cities asked for, in a text's order; by their capitals, so that "a nice day in Rome" is no day in Nice."""
    return _EXACT.findall(text) or [chr(ord(city) - _BLOCK) for city in _LOOSE.findall(text)]
