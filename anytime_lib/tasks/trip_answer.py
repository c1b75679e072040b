"""Which plan does an answer state?

The answer is a model's: it is never evaluated, read in time linear in its length, and no text makes this raise.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from anytime_lib.tasks.trip_problem import Stay

# All of these are for lower-case lines, and begin with letters where they can: `re` then finds them many times faster.
_DASH = r"[-‐‑‒–—−~→]"
_DAYS = re.compile(
    r"day(?<!\wday)s?(?:\(s\))?[\s:*_#]{0,4}(?P<first>\d{1,4})(?!\d)"
    rf"(?:\s*(?:{_DASH}+|\b(?:to|until|through|till|and)\b|&|\|(?=\s*day))\s*(?:days?\s*)?(?P<last>\d{{1,4}})(?!\d))?"
)
# A range without the word, "1-5"; not a length ("2-3 days") nor a date ("2024-05-01").
_BARE = re.compile(
    rf"(?<![\d.,-])(?P<first>\d{{1,3}})\s*{_DASH}\s*(?P<last>\d{{1,3}})(?![\d.,]*\d|{_DASH}|\s*(?:day|night))"
)
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
# What may stand before the days or the city of a line that states a stay: bullets, a number, a few small words.
_LEAD = re.compile(
    r"[\W_]*(?:(?:step|stop|leg|city)\s+)?(?:\d{1,3}[.):][\W_]+)?"
    r"(?:(?:on|from|during|between|first|then|next|finally|the|visit|explore|stay(?:ing)? in|arriv(?:e|ing) (?:in|at))"
    r"\b[\W_]*){0,3}"
)
# What may stand between a city and its days.
_LINK = re.compile(r"[\W_]*(?:(?:from|on|for|between|during|stay|visit|nights?|days?|\d{1,3})\b[\W_]*){0,5}")
_FLYING = re.compile(r"(?:fly|flight|flying|travel|depart)\b")
_STAYING = re.compile(r"(?:visit|stay|explor|spend|arriv|enjoy)")
_FROM = re.compile(r"\bfrom\W{1,4}\Z")
_UNASKED = re.compile(r"\b(?:visit|stay(?:ing)? in|arriv(?:e|ing) in)\s+(?P<place>[^\W\d_]+)", re.I)

# The official layout's two kinds of line, which most answers consist of: for speed alone, the rest reads them as well.
_USUAL = re.compile(
    r"\*\*Day (\d{1,4})(?:"
    r"-(\d{1,4}):\*\* (?:Arriving in ([^.,;:|]{1,60}) and v|V)isit ([^.,;:|]{1,60}) for \d{1,4} days\."
    r"|:\*\* Fly from [^.,;:|]{1,150}\.)\s*"
)

_OBJECT = re.compile(r"\{[^{}]*+\}")
_VALUE = r"""["']\s*:\s*(?:"([^"]{0,80})"|'([^']{0,80})'|\[([^\]]{0,80})\]|(\d{1,4})\b)"""
_LISTED_DAYS = re.compile(r"""["'](?:day_?range|days?|dates?)""" + _VALUE, re.I)
_LISTED_PLACE = re.compile(r"""["'](?:place|city|location)""" + _VALUE, re.I)
_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")


class _Entry(NamedTuple):
    """Days in a city as stated at one place of the text.

    Attributes:
        certain: the line begins with them, or they are a table's or a list's; not so for days within a sentence.
        group: number of the JSON list that they are in, 0 outside of any.
        flight: what is said of a flight on that day, where the line is about one.
    """

    first: int
    last: int
    city: str
    certain: bool = True
    group: int = 0
    flight: str = ""


def read_plan(text: str, cities: Sequence[str]) -> list[Stay] | None:
    """The plan that an answer states, or None if nothing in it gives days in a city.

    Read are lines that begin with days or a city (the official layout, lists, tables, "day 1 to 5" with any dash, in
    any case, accents or not), several such pairs on one line, and JSON objects with `day_range` and `place`, in a list
    however wrapped. A plan ends where the days start over, or its JSON list ends. The last complete plan (one with
    every one of `cities`) counts: so neither a draft before it nor one that was cut off after it does. Days within a
    sentence are read only where no complete plan stands without them, and only if they complete one: a mention of an
    event is no plan. Without any complete plan, the one with the most of `cities` counts, the last of equals.

    Args:
        text: the answer.
        cities: the cities asked for, as the problem spells them. Others in the answer keep the answer's spelling.
    """
    asked = frozenset(cities)
    names = _names(tuple(cities))
    entries = list(_entries(text, names))
    found = _drafts((e for e in entries if e.certain), names)
    if not all(e.certain for e in entries) and not any(asked <= {s.city for s in plan} for plan in found):
        found += [plan for plan in _drafts(entries, names) if asked <= {s.city for s in plan}]
    return max(reversed(found), key=lambda plan: len(asked & {s.city for s in plan}), default=None)


def _drafts(entries: Iterable[_Entry], names: _Names) -> list[list[Stay]]:
    """The plans that a text's entries make up, in order. Days stated again or day by day become one stay."""
    drafts: list[list[Stay]] = []
    group, by_day = 0, False
    for e in entries:
        before = drafts[-1][-1] if drafts else None
        if e.flight:
            # In a list of single days, a flight's day counts for both cities, as everywhere in this task.
            if before and by_day and e.first - before.last in (0, 1):
                route = [city for city, _ in names.all(e.flight)]
                if route and (len(route) == 1 or route[0] == before.city):
                    drafts[-1][-1] = Stay(before.city, before.first, e.last)
                    if route[-1] != before.city:
                        drafts[-1].append(Stay(route[-1], e.last, e.last))
            continue
        if before and e.group == group and e.city == before.city and _continues(before, e):
            drafts[-1][-1] = Stay(e.city, before.first, max(before.last, e.last))
            by_day &= e.first == e.last
            continue
        if not before or e.group != group or (not e.group and (e.first == 1 or e.first < before.first)):
            drafts.append([])
        drafts[-1].append(Stay(e.city, e.first, e.last))
        group, by_day = e.group, e.first == e.last
    return drafts


def _continues(stay: Stay, entry: _Entry) -> bool:
    """Whether days in the same city repeat a stay, lie within it or follow on it, rather than start anew."""
    if entry.first == stay.first:
        return stay.days == 1 or entry.last == stay.last or (entry.last < stay.last and entry.first > 1)
    return stay.first < entry.first <= stay.last + 1


def _entries(text: str, names: _Names) -> Iterator[_Entry]:
    """What a text states, in its order: JSON objects where it has any, and lines elsewhere."""
    at, group = 0, 0
    if "{" in text:
        for match in _OBJECT.finditer(text):
            entry = _listed(match[0], names)
            if entry is None:
                continue
            gap = text[at : match.start()]
            if not group or gap.strip(" \t\r\n,"):
                group += 1
            yield from _lines(gap, names)
            if entry.last >= entry.first and not entry.flight:
                yield entry._replace(group=group)
            at = match.end()
    yield from _lines(text[at:], names)


def _listed(text: str, names: _Names) -> _Entry | None:
    """The entry of a flat JSON object; None if it has not both days and a place. Broken JSON is no matter."""
    days, place = _LISTED_DAYS.search(text), _LISTED_PLACE.search(text)
    numbers = [int(n) for n in _NUMBER.findall("".join(filter(None, days.groups())))] if days else []
    name = _plain("".join(filter(None, place.groups()))).strip() if place else ""
    if not numbers or not name:
        return None
    found = names.all(name)
    flight = name if len(found) > 1 or _FLYING.search(_lower(name)) else ""
    return _Entry(numbers[0], numbers[min(1, len(numbers) - 1)], found[0][0] if found else name, flight=flight)


def _lines(text: str, names: _Names) -> Iterator[_Entry]:
    heading: tuple[int, int] | None = None  # days that stand alone on a line, for the city on the next
    columns: list[str] = []  # what the header of a table says
    for line in _plain(text).splitlines():
        if usual := _USUAL.fullmatch(line):
            first, last, arriving, city = usual.groups()
            if not city or (city in names.exact and arriving in (None, city) and int(first) <= int(last)):
                heading = None
                yield _Entry(int(first), int(last or first), names.exact.get(city, ""), flight="" if city else line)
                continue
        if not line.strip():
            continue
        low = _lower(line)
        row = "|" in line
        days = list(_DAYS.finditer(low)) if "day" in low else []
        if heading and not days:
            if (city := names.first(line)) and not _FLYING.search(low):
                yield _Entry(*heading, city)
            heading = None
            continue
        heading = None
        if not days and row:
            if not _DIGIT.search(line):
                columns = [c.strip() for c in low.split("|")] if _LETTER.search(line) else columns
            elif entry := _row(line, columns, names):
                yield entry
            continue
        if not days and not (_DIGIT.search(line) and (days := list(_BARE.finditer(low)))):
            continue
        lead = _LEAD.match(low)
        start = lead.end() if lead else 0
        ahead = days[0].start()
        city_first = bool(names.first(line[:ahead])) if row else names.begins(low, start, ahead)
        certain = row or city_first or ahead <= start
        if not certain and days[0].re is _BARE:
            continue
        if certain and len(days) == 1 and not city_first and not _LETTER.search(line, days[0].end()):
            heading = _span(days[0])
        yield from _stated(line, low, days, city_first, certain, names)


def _stated(
    line: str, low: str, days: list[re.Match[str]], city_first: bool, certain: bool, names: _Names
) -> Iterator[_Entry]:
    """The entries of a line: each of its days with the city after it (before it, where the line begins with one)."""
    edges = [0, *(m.end() for m in days)] if city_first else [*(m.start() for m in days), len(line)]
    for i, match in enumerate(days):
        first, last = _span(match)
        begin, end = (edges[i], match.start()) if city_first else (match.end(), edges[i + 1])
        part = line[begin:end]
        if last < first:
            continue
        flying = _FLYING.search(low, begin, end)
        if flying and first == last:
            yield _Entry(first, last, "", certain, flight=part)
            continue
        cities = names.all(part)
        if flying and not _STAYING.search(low, begin, end) and (not cities or flying.start() - begin < cities[0][1]):
            continue
        if not cities and not city_first and len(days) == 1:
            cities = names.all(line)
        if cities:
            reached = (city for city, at in cities if not _FROM.search(low, begin + max(0, at - 9), begin + at))
            yield _Entry(first, last, next(reached, cities[0][0]), certain)
        elif certain and (unasked := _UNASKED.search(part)) and unasked["place"][0].isupper():
            yield _Entry(first, last, unasked["place"])


def _row(line: str, columns: list[str], names: _Names) -> _Entry | None:
    """The entry of a table's row without the word "day": a cell that is a range, or cells under fitting headings."""
    cells = [cell.strip(" *_`\t") for cell in line.split("|")]
    spans = [m for cell in cells if (m := _BARE.fullmatch(cell))]
    city = names.first(line)
    if not city or _FLYING.search(_lower(line)):
        return None
    if spans:
        first, last = _span(spans[0])
    else:
        headed = [(c, int(cell)) for c, cell in zip(columns, cells, strict=False) if _NUMBER.fullmatch(cell)]
        starts = [n for c, n in headed if re.search(r"start|from|arriv|first|check.?in", c)]
        ends = [n for c, n in headed if re.search(r"end|until|to\b|depart|last|leav|check.?out", c)]
        single = [n for c, n in headed if re.fullmatch(r"\W*days?\W*", c)]
        if not (starts and ends) and not single:
            return None
        first, last = (starts[0], ends[0]) if starts and ends else (single[0], single[0])
    return _Entry(first, last, city) if first <= last else None


def _span(match: re.Match[str]) -> tuple[int, int]:
    return int(match["first"]), int(match["last"] or match["first"])


class _Names:
    """Finds the cities asked for in a text, spelled as the problem spells them."""

    def __init__(self, cities: tuple[str, ...]) -> None:
        self.exact = {_plain(city): city for city in cities}
        self._spelled = {_lower(_plain(city)): city for city in cities}

        def either(spellings: Iterable[str]) -> re.Pattern[str]:
            longest_first = sorted(map(re.escape, spellings), key=len, reverse=True)
            return re.compile(rf"(?:{'|'.join(longest_first) or '(?!)'})(?!\w)")

        # By their capitals first, so that "a nice day in Rome" is no day in Nice.
        self._exact, self._loose = either(self.exact), either(self._spelled)

    def all(self, text: str) -> list[tuple[str, int]]:
        """(city, where) for each one in `text` (without accents), in order."""
        return self._found(self._exact, text) or self._found(self._loose, _lower(text))

    def _found(self, pattern: re.Pattern[str], text: str) -> list[tuple[str, int]]:
        found = []
        for match in pattern.finditer(text):
            at = match.start()
            if not at or not text[at - 1].isalnum():
                found.append((self._spelled[_lower(match[0])], at))
        return found

    def first(self, text: str) -> str | None:
        return next((city for city, _ in self.all(text)), None)

    def begins(self, low: str, at: int, end: int) -> bool:
        """Whether a city stands there and little else up to `end`: "Rome: 3 days," but not "Rome's wedding is on"."""
        found = self._loose.match(low, at, end)
        return found is not None and _LINK.fullmatch(low, found.end(), end) is not None


@lru_cache(maxsize=4096)
def _names(cities: tuple[str, ...]) -> _Names:
    return _Names(cities)


class _Unmarked(dict[int, str]):
    """For str.translate: a character without its accents. One at a time, as normalising long runs of them is slow."""

    def __missing__(self, code: int) -> str:
        apart = unicodedata.normalize("NFD", chr(code))
        self[code] = "".join(c for c in apart if not unicodedata.combining(c))
        return self[code]


_UNMARKED = _Unmarked()


def _lower(text: str) -> str:
    """A text in lower case, of the same length: a place in the one is that place in the other."""
    low = text.lower()
    return low if len(low) == len(text) else text


def _plain(text: str) -> str:
    """A text without accents: "Kraków" and "Krakow" are one city."""
    return text if text.isascii() else text.translate(_UNMARKED)
