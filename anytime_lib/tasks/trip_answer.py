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

_DASH = r"[-‐‑‒–—−~～→⟶]"
_DAYS = re.compile(
    r"(?i)(?<!\w)days?(?:\(s\))?[\s:*_#]{0,4}(?P<first>\d{1,4})(?!\d)"
    rf"(?:\s*(?:{_DASH}+>?|\b(?:to|until|through|till|and)\b|&|\|(?=\s*day))\s*(?:days?\s*)?(?P<last>\d{{1,4}})(?!\d))?"
)
# A range without the word, "1-5"; not a length ("2-3 days") nor a date ("2024-05-01").
_BARE = re.compile(
    rf"(?<![\d.,-])(?P<first>\d{{1,3}})\s*(?:->|{_DASH})\s*(?P<last>\d{{1,3}})(?![\d.,]*\d|{_DASH}|\s*(?i:day|night))"
)
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
# What may stand before the days or the city of a line that states a stay: bullets, a number, a few small words.
_LEAD = re.compile(
    r"(?i)[\W_]*(?:(?:step|stop|leg|city)\s+)?(?:\d{1,3}[.):][\W_]+)?"
    r"(?:(?:on|from|first|then|next|finally|the|visit|stay in|arrive in)\b[\W_]*){0,3}"
)
# A city and little else up to its days: "Rome: 3 days," but not "Rome's wedding is on".
_CITY_FIRST = re.compile(
    rf"{_LEAD.pattern}[\U00013000-\U000133FF]"
    r"[\W_]*(?:(?:from|on|for|between|during|stay|visit|nights?|days?|\d{1,3})\b[\W_]*){0,5}"
)
_FLYING = re.compile(r"(?i)(?:fly|flight|flying|travel|depart)\b")
_UNASKED = re.compile(r"\b(?i:visit|stay(?:ing)? in|arriv(?:e|ing) in)\s+([^\W\d_]+)")
# A table's column with a first, a last or a single day.
_COLUMN = re.compile(r"(?i)start|from|arriv|first|check|end|until|to\b|depart|last|leav|^\W*days?\W*$")

_OBJECT = re.compile(r"\{[^{}]*+\}")
_LISTED_PLACE = re.compile(r"""(?i)["'](?:place|city|location)["']\s*:\s*(["'\[])(.{0,80}?)(?:\1|\])""")
_LISTED_DAYS = re.compile(  # "days": 3 is no day but a length
    r"""(?i)["'](?:day_?range|day|dates?|days(?=["']\s*:\s*["'\[]))["']\s*:\s*["'\[]?([^"'\]}]{0,80})"""
)


class _Entry(NamedTuple):
    """Days in a city, or of a flight between several, as stated at one place of the text."""

    first: int
    last: int
    cities: Sequence[str]
    certain: bool = True  # not so for days within a sentence
    flight: bool = False
    group: int = 0  # number of the JSON list that they are in, 0 outside of any


def read_plan(text: str, cities: Sequence[str]) -> list[Stay] | None:
    """The plan that an answer states, or None if nothing in it gives days in a city.

    Read are lines that begin with days or a city (the official layout, lists, tables), several such pairs on one line,
    and JSON objects with `day_range` and `place`. A plan ends where the days start over, or its JSON list ends. The
    last complete plan (one with every one of `cities`) counts, neither a draft before it nor one cut off after it. Days
    within a sentence are read only where they complete a plan and nothing else does: a mention of an event is no plan.
    Without a complete plan, the one with the most of `cities` counts, the last of equals.
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

    text = asked.sub(letter, re.sub(rf"{_EXACT.pattern}|{_LOOSE.pattern}", "", _plain(said(text))))
    entries = [e for e in _entries(text) if e.first <= e.last]
    found = _drafts(e for e in entries if e.certain)
    if not any(known(plan) == len(spelled) for plan in found):
        found += [plan for plan in _drafts(entries) if known(plan) == len(spelled)]
    best = max(reversed(found), key=known, default=None)
    return best and [stay._replace(city=spelled.get(stay.city, stay.city)) for stay in best]


def _plain(text: str) -> str:
    """A text without accents: "Kraków" and "Krakow" are one city. By characters, as normalising long runs is slow."""
    return "".join(c for whole in text for c in unicodedata.normalize("NFD", whole) if not unicodedata.combining(c))


def _drafts(entries: Iterable[_Entry]) -> list[list[Stay]]:
    """The plans that a text's entries make up, in order. Days stated again or day by day become one stay."""
    drafts: list[list[Stay]] = []
    group, by_day = 0, False
    for e in entries:
        city, before = e.cities[-1], drafts[-1][-1] if drafts else Stay("", 0, -9)
        if e.flight:
            # In a list of single days, a flight's day counts for both cities, as everywhere in this task.
            if by_day and e.first - before.last in (0, 1) and e.cities[:-1] in ([], [before.city]):
                drafts[-1][-1] = before._replace(last=e.last)
                if city != before.city:
                    drafts[-1].append(Stay(city, e.last, e.last))
        elif (group, before.city) == (e.group, city) and before.first <= e.first <= before.last + 1:
            drafts[-1][-1] = before._replace(last=max(before.last, e.last))
            by_day &= e.first == e.last
        else:
            if not drafts or e.group != group or (not e.group and (e.first == 1 or e.first < before.first)):
                drafts.append([])
            drafts[-1].append(Stay(city, e.first, e.last))
            group, by_day = e.group, e.first == e.last
    return drafts


def _entries(text: str) -> Iterator[_Entry]:
    """What a text states, in its order: JSON objects where it has any, and lines elsewhere. JSON may be broken."""
    at, group = 0, 0
    for match in _OBJECT.finditer(text):
        days, place = _LISTED_DAYS.search(match[0]), _LISTED_PLACE.search(match[0])
        numbers = [int(n) for n in _NUMBER.findall(days[1])] if days else []
        if numbers and place and (name := place[2].strip()):
            gap = text[at : match.start()]
            group += not group or bool(gap.strip(" \t\r\n,"))
            yield from _lines(gap)
            cities = _cities(name) or [name]
            if len(cities) == 1 and not _FLYING.search(name):
                yield _Entry(numbers[0], numbers[:2][-1], cities, group=group)
            at = match.end()
    yield from _lines(text[at:])


def _lines(text: str) -> Iterator[_Entry]:
    heading: tuple[int, int] | None = None  # days that stand alone on a line, for the city on the next
    columns: list[str] = []  # what the header of a table says
    for line in filter(str.strip, text.splitlines()):
        alone, heading = heading, None
        days, cities = list(_DAYS.finditer(line)), _cities(line)[:1]
        if alone and cities and not days:
            yield _Entry(*alone, cities)
        elif "|" in line and not days:
            cells = [cell.strip(" *_`\t") for cell in line.split("|")]
            headed = zip(columns, cells, strict=False)
            numbers = [int(n) for column, n in headed if _COLUMN.search(column) and _NUMBER.fullmatch(n)]
            ranges = [_span(m) for cell in cells if (m := _BARE.fullmatch(cell))] or [(n, numbers[-1]) for n in numbers]
            if ranges and cities:
                yield _Entry(*ranges[0], cities)
            elif any(map(_COLUMN.search, cells)):
                columns = cells
        elif spans := days or list(_BARE.finditer(line)):
            before = line[: spans[0].start()]
            city_first = bool(_cities(before) if "|" in line else _CITY_FIRST.fullmatch(before))
            certain = "|" in line or city_first or bool(_LEAD.fullmatch(before))
            if certain or days:
                yield from _stated(line, spans, city_first, certain)
            if certain and len(spans) == 1 and not city_first and not re.search(r"[^\W\d_]", line[spans[0].end() :]):
                heading = _span(spans[0])


def _stated(line: str, days: list[re.Match[str]], city_first: bool, certain: bool) -> Iterator[_Entry]:
    """The entries of a line: each of its days with the city after it (before it, where the line begins with one)."""
    edges = [0, *(m.end() for m in days)] if city_first else [*(m.start() for m in days), len(line)]
    for i, match in enumerate(days):
        first, last = _span(match)
        part = line[edges[i] : match.start()] if city_first else line[match.end() : edges[i + 1]]
        cities, unasked = _cities(part), _UNASKED.search(part)
        flight = first == last and bool(_FLYING.search(part))
        if cities:
            yield _Entry(first, last, cities if flight else cities[:1], certain, flight)
        elif certain and not flight and unasked and unasked[1][0].isupper():
            yield _Entry(first, last, [unasked[1]])


def _span(match: re.Match[str]) -> tuple[int, int]:
    return int(match["first"]), int(match["last"] or match["first"])


def _cities(text: str) -> list[str]:
    """The cities asked for, in a text's order; by their capitals, so that "a nice day in Rome" is no day in Nice."""
    return _EXACT.findall(text) or [chr(ord(city) - _BLOCK) for city in _LOOSE.findall(text)]
