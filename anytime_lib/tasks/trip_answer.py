"""Which plan does an answer state?

The answer is a model's: it is never evaluated, read in time linear in its length, and no text makes this raise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from anytime_lib.tasks.said import said
from anytime_lib.tasks.trip_problem import Stay

# Patterns are for lower-case lines.
_DASH = r"[-‐‑‒–—−~～→⟶]"
_DAYS = re.compile(
    r"(?<!\w)days?(?:\(s\))?[\s:*_#]{0,4}(?P<first>\d{1,4})(?!\d)"
    rf"(?:\s*(?:{_DASH}+>?|\b(?:to|until|through|till|and)\b|&|\|(?=\s*day))\s*(?:days?\s*)?(?P<last>\d{{1,4}})(?!\d))?"
)
# A range without the word, "1-5"; not a length ("2-3 days") nor a date ("2024-05-01").
_BARE = re.compile(
    rf"(?<![\d.,-])(?P<first>\d{{1,3}})\s*(?:->|{_DASH})\s*(?P<last>\d{{1,3}})(?![\d.,]*\d|{_DASH}|\s*(?:day|night))"
)
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
_LETTER = re.compile(r"[^\W\d_]")
# What may stand before the days or the city of a line that states a stay: bullets, a number, a few small words.
_LEAD = re.compile(
    r"[\W_]*(?:(?:step|stop|leg|city)\s+)?(?:\d{1,3}[.):][\W_]+)?"
    r"(?:(?:on|from|first|then|next|finally|the|visit|stay in|arrive in)\b[\W_]*){0,3}"
)
# What may stand between a city and its days.
_LINK = re.compile(r"[\W_]*(?:(?:from|on|for|between|during|stay|visit|nights?|days?|\d{1,3})\b[\W_]*){0,5}")
_FLYING = re.compile(r"(?:fly|flight|flying|travel|depart)\b")
_UNASKED = re.compile(r"\b(?:visit|stay(?:ing)? in|arriv(?:e|ing) in)\s+(?P<place>[^\W\d_]+)", re.I)
# A table's column with a first, a last or a single day.
_COLUMN = re.compile(r"start|from|arriv|first|check|end|until|to\b|depart|last|leav|^\W*days?\W*$")

_OBJECT = re.compile(r"\{[^{}]*+\}")
_SAID = r"""["']\s*:\s*(?:"([^"]{0,80})"|'([^']{0,80})'|\[([^\]]{0,80})\])"""
_LISTED_PLACE = re.compile(rf"""["'](?:place|city|location){_SAID}""", re.I)
_LISTED_DAYS = re.compile(  # "days": 3 is no day but a length
    rf"""["'](?:(?:day_?range|days?|dates?){_SAID}|(?:day_?range|day|dates?)["']\s*:\s*(\d{{1,4}})\b)""", re.I
)


class _Entry(NamedTuple):
    """Days in a city as stated at one place of the text."""

    first: int
    last: int
    city: str
    certain: bool = True  # not so for days within a sentence
    group: int = 0  # number of the JSON list that they are in, 0 outside of any
    flight: str = ""  # what is said of a flight on that day, where the line is about one


def read_plan(text: str, cities: Sequence[str]) -> list[Stay] | None:
    """The plan that an answer states, or None if nothing in it gives days in a city.

    Read are lines that begin with days or a city (the official layout, lists, tables, "day 1 to 5" with any dash, in
    any case, accents or not), several such pairs on one line, and JSON objects with `day_range` and `place`, in a list
    however wrapped. A plan ends where the days start over, or its JSON list ends. The last complete plan (one with
    every one of `cities`) counts, neither a draft before it nor one cut off after it. Days within a sentence are read
    only where they complete a plan and nothing else does: a mention of an event is no plan. Without any complete plan,
    the one with the most of `cities` counts, the last of equals. Cities nobody asked for keep the answer's spelling.
    """
    names = _names(tuple(cities))
    entries = [e for e in _entries(_plain(said(text)), names) if e.first <= e.last]

    def known(plan: list[Stay]) -> int:
        return len(names.asked & {stay.city for stay in plan})

    found = _drafts((e for e in entries if e.certain), names)
    if not any(known(plan) == len(names.asked) for plan in found):
        found += [plan for plan in _drafts(entries, names) if known(plan) == len(names.asked)]
    return max(reversed(found), key=known, default=None)


def _drafts(entries: Iterable[_Entry], names: _Names) -> list[list[Stay]]:
    """The plans that a text's entries make up, in order. Days stated again or day by day become one stay."""
    drafts: list[list[Stay]] = []
    group, by_day = 0, False
    for e in entries:
        before = drafts[-1][-1] if drafts else None
        if e.flight:
            # In a list of single days, a flight's day counts for both cities, as everywhere in this task.
            route = names.found(e.flight) if before and by_day and e.first - before.last in (0, 1) else []
            if before and route and (len(route) == 1 or route[0] == before.city):
                drafts[-1][-1] = Stay(before.city, before.first, e.last)
                if route[-1] != before.city:
                    drafts[-1].append(Stay(route[-1], e.last, e.last))
        elif before and (group, before.city) == (e.group, e.city) and before.first <= e.first <= before.last + 1:
            drafts[-1][-1] = Stay(e.city, before.first, max(before.last, e.last))
            by_day &= e.first == e.last
        else:
            if not before or e.group != group or (not e.group and (e.first == 1 or e.first < before.first)):
                drafts.append([])
            drafts[-1].append(Stay(e.city, e.first, e.last))
            group, by_day = e.group, e.first == e.last
    return drafts


def _entries(text: str, names: _Names) -> Iterator[_Entry]:
    """What a text states, in its order: JSON objects where it has any, and lines elsewhere."""
    at, group = 0, 0
    for match in _OBJECT.finditer(text):
        if entry := _listed(match[0], names):
            gap = text[at : match.start()]
            group += not group or bool(gap.strip(" \t\r\n,"))
            yield from _lines(gap, names)
            if not entry.flight:
                yield entry._replace(group=group)
            at = match.end()
    yield from _lines(text[at:], names)


def _listed(text: str, names: _Names) -> _Entry | None:
    """The entry of a flat JSON object; None if it has not both days and a place. Broken JSON is no matter."""
    days, place = _LISTED_DAYS.search(text), _LISTED_PLACE.search(text)
    numbers = [int(n) for n in _NUMBER.findall(days[days.lastindex or 0])] if days else []
    name = place[place.lastindex or 0].strip() if place else ""
    if not numbers or not name:
        return None
    found = names.found(name)
    flight = name if len(found) > 1 or _FLYING.search(name.lower()) else ""
    return _Entry(numbers[0], numbers[:2][-1], found[0] if found else name, flight=flight)


def _lines(text: str, names: _Names) -> Iterator[_Entry]:
    heading: tuple[int, int] | None = None  # days that stand alone on a line, for the city on the next
    columns: list[str] = []  # what the header of a table says
    for line in filter(str.strip, text.splitlines()):
        alone, heading, low = heading, None, line.lower()
        days = list(_DAYS.finditer(low)) if "day" in low else []
        if alone and not days:
            yield from (_Entry(*alone, city) for city in names.found(line)[:1])
        elif "|" in line and not days:
            cells = [cell.strip(" *_`\t") for cell in low.split("|")]
            if any(map(str.isdecimal, low)):
                yield from _row(line, cells, columns, names)
            elif _LETTER.search(line):
                columns = cells
        elif spans := days or list(_BARE.finditer(low)):
            lead, days_at = _LEAD.match(low), spans[0].start()
            start = lead.end() if lead else 0
            if "|" in line:
                city_first, certain = bool(names.found(line[:days_at])), True
            else:  # a city and little else up to its days: "Rome: 3 days," but not "Rome's wedding is on"
                city = names.loose.match(low, start, days_at)
                city_first = bool(city and _LINK.fullmatch(low, city.end(), days_at))
                certain = city_first or days_at <= start
            if certain or days:
                yield from _stated(line, spans, city_first, certain, names)
            if certain and len(spans) == 1 and not city_first and not _LETTER.search(line, spans[0].end()):
                heading = _span(spans[0])


def _stated(line: str, days: list[re.Match[str]], city_first: bool, certain: bool, names: _Names) -> Iterator[_Entry]:
    """The entries of a line: each of its days with the city after it (before it, where the line begins with one)."""
    edges = [0, *(m.end() for m in days)] if city_first else [*(m.start() for m in days), len(line)]
    for i, match in enumerate(days):
        first, last = _span(match)
        part = line[edges[i] : match.start()] if city_first else line[match.end() : edges[i + 1]]
        cities, flying = names.found(part), _FLYING.search(part.lower())
        if flying and first == last:
            yield _Entry(first, last, "", certain, flight=part)
        elif cities:
            yield _Entry(first, last, cities[0], certain)
        elif certain and (unasked := _UNASKED.search(part)) and unasked["place"][0].isupper():
            yield _Entry(first, last, unasked["place"])


def _row(line: str, cells: list[str], columns: list[str], names: _Names) -> Iterator[_Entry]:
    """The entry of a table's row without the word "day": a cell that is a range, or cells under fitting headings."""
    headed = [n for column, n in zip(columns, cells, strict=False) if _COLUMN.search(column) and _NUMBER.fullmatch(n)]
    spans = [_span(m) for cell in cells if (m := _BARE.fullmatch(cell))]
    spans += [(int(headed[0]), int(headed[-1]))] if headed else []
    yield from (_Entry(*spans[0], city) for city in names.found(line)[:1] if spans)


def _span(match: re.Match[str]) -> tuple[int, int]:
    return int(match["first"]), int(match["last"] or match["first"])


class _Names:
    """Finds the cities asked for in a text (without accents), spelled as the problem spells them."""

    def __init__(self, cities: tuple[str, ...]) -> None:
        self.asked = frozenset(cities)
        self._spelled = {_plain(city).lower(): city for city in cities}
        # By their capitals first, so that "a nice day in Rome" is no day in Nice.
        self._exact, self.loose = _either(map(_plain, cities)), _either(self._spelled)

    def found(self, text: str) -> list[str]:
        """The cities in a text, in its order, but for those one comes "from"."""
        matches = list(self._exact.finditer(text)) or self.loose.finditer(text.lower())
        return [self._spelled[m[0].lower()] for m in matches]


_names = lru_cache(maxsize=4096)(_Names)


def _either(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.compile(rf"(?<![Ff]rom )(?<![^\W_])(?:{'|'.join(longest_first) or '(?!)'})(?!\w)")


def _plain(text: str) -> str:
    """A text without accents: "Kraków" and "Krakow" are one city. By characters, as normalising long runs is slow."""
    if text.isascii():
        return text
    return "".join(c for whole in text for c in unicodedata.normalize("NFD", whole) if not unicodedata.combining(c))
