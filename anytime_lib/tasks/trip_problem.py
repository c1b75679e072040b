"""Which trips does a NATURAL PLAN prompt allow?

The constraints of a trip-planning prompt as data (`Trip`), read from the prompt (`read_trip`), written as a
prompt (`write_trip`), solved completely (`plans`) and checked atom by atom (`check`).

Source: Zheng et al., "NATURAL PLAN: Benchmarking LLMs on Natural Language Planning" (arXiv 2406.04520).
A day on which one flies counts for both cities, so stays that join up share that day.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from anytime_lib.errors import DataError


@dataclass(frozen=True)
class Stay:
    """Days `first` to `last`, both included, in one city."""

    city: str
    first: int
    last: int

    @property
    def days(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Trip:
    """What a prompt asks for.

    Attributes:
        total_days: length of the trip.
        stays: (city, days) in the prompt's order.
        windows: stays' days that an event requires to be spent in its city.
        flights: (from, to); a flight both ways is there twice.
    """

    total_days: int
    stays: tuple[tuple[str, int], ...]
    windows: tuple[Stay, ...]
    flights: frozenset[tuple[str, str]]

    @cached_property
    def cities(self) -> tuple[str, ...]:
        return tuple(city for city, _ in self.stays)


# The ten sentence templates of the data set: three for a stay, seven for a window.
STAY_TEMPLATES = (
    "You would like to visit {city} for {days} days.",
    "You plan to stay in {city} for {days} days.",
    "You want to spend {days} days in {city}.",
)
WINDOW_TEMPLATES = (
    "You plan to visit relatives in {city} between day {first} and day {last}.",
    "You are going to attend a wedding in {city} between day {first} and day {last}.",
    "From day {first} to day {last}, there is a annual show you want to attend in {city}.",
    "During day {first} and day {last}, you have to attend a conference in {city}.",
    "You have to attend a workshop in {city} between day {first} and day {last}.",
    "You want to meet a friend in {city} between day {first} and day {last}.",
    "You would like to meet your friends at {city} between day {first} and day {last} to tour together.",
)
_FIELDS = {
    "city": r"(?P<city>\S.*?)",
    "days": r"(?P<days>\d{1,4})",
    "first": r"(?P<first>\d{1,4})",
    "last": r"(?P<last>\d{1,4})",
}


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", lambda m: _FIELDS[m[1]], re.escape(template)))


_STAYS = [_pattern(t) for t in STAY_TEMPLATES]
_WINDOWS = [_pattern(t) for t in WINDOW_TEMPLATES]
_OPENING = re.compile(r"You plan to visit (\d{1,4}) European cities for (\d{1,4}) days in total\.")
_TRANSPORT = "You only take direct flights to commute between cities."
_SENTENCE_END = re.compile(r"(?<=\.)(?<!\bSt\.)\s+")  # "St. Gallen" is a city, not a sentence's end


@lru_cache(maxsize=4096)
def read_trip(prompt: str) -> Trip:
    """The constraints of a prompt (the last task in it, if worked examples stand before it).

    Raises:
        DataError: a sentence or flight could not be read; the message shows it.
    """
    openings = list(_OPENING.finditer(prompt))
    if not openings:
        raise DataError(f"not a trip-planning prompt (no 'You plan to visit N European cities'): {prompt[:120]!r}")
    body = prompt[openings[-1].end() :]
    head, _, rest = body.partition("Here are the cities that have direct flights:")
    if not rest:
        raise DataError("a trip-planning prompt needs the line 'Here are the cities that have direct flights:'")
    stays: dict[str, int] = {}
    windows = []
    for sentence in filter(None, (s.strip() for s in _SENTENCE_END.split(head))):
        if sentence == _TRANSPORT:
            continue
        if match := next((m for p in _WINDOWS if (m := p.fullmatch(sentence))), None):
            windows.append(Stay(match["city"], int(match["first"]), int(match["last"])))
        elif match := next((m for p in _STAYS if (m := p.fullmatch(sentence))), None):
            if match["city"] in stays:
                raise DataError(f"the prompt says twice how long to stay in {match['city']!r}: {sentence!r}")
            stays[match["city"]] = int(match["days"])
        else:
            raise DataError(f"cannot read this sentence of a trip-planning prompt: {sentence[:300]!r}")
    if len(stays) != int(openings[-1][1]):
        raise DataError(f"the prompt speaks of {openings[-1][1]} cities but says how long to stay in {len(stays)}")
    for window in windows:
        if window.city not in stays:
            raise DataError(f"the prompt has an event in {window.city!r} but no stay there")
    flights: set[tuple[str, str]] = set()
    for entry in rest.strip().split("\n")[0].strip().removesuffix(".").split(","):
        one_way = re.fullmatch(r"from (.+) to (.+)", entry.strip())
        both_ways = re.fullmatch(r"(.+) and (.+)", entry.strip())
        match = one_way or both_ways
        if not match or not {match[1], match[2]} <= stays.keys():
            raise DataError(f"cannot read this flight of a trip-planning prompt: {entry.strip()[:300]!r}")
        flights.add((match[1], match[2]))
        if not one_way:
            flights.add((match[2], match[1]))
    return Trip(int(openings[-1][2]), tuple(stays.items()), tuple(windows), frozenset(flights))


def write_trip(trip: Trip, rng: np.random.Generator) -> str:
    """The prompt, in the data set's layout, of a trip; wording and the order of flights are drawn from `rng`."""
    sentences = [
        f"You plan to visit {len(trip.stays)} European cities for {trip.total_days} days in total.",
        _TRANSPORT,
    ]
    for city, days in trip.stays:
        sentences.append(str(rng.choice(STAY_TEMPLATES)).format(city=city, days=days))
        for w in trip.windows:
            if w.city == city:
                sentences.append(str(rng.choice(WINDOW_TEMPLATES)).format(city=city, first=w.first, last=w.last))
    flights = [
        f"{a} and {b}" if (b, a) in trip.flights else f"from {a} to {b}"
        for a, b in sorted(trip.flights)
        if (b, a) not in trip.flights or a < b
    ]
    return (
        f"{' '.join(sentences)}\n\nHere are the cities that have direct flights:\n"
        f"{', '.join(rng.permutation(flights))}.\n\n"
        f"Find a trip plan of visiting the cities for {trip.total_days} days by taking direct flights to commute "
        "between them."
    )


def write_plan(plan: Sequence[Stay]) -> str:
    """A plan in the layout of the data set's golden plans."""
    total = plan[-1].last
    lines = [f"Here is the trip plan for visiting the {len(plan)} European cities for {total} days:", ""]
    for i, stay in enumerate(plan):
        days = f"**Day {stay.first}-{stay.last}:**"
        if i == 0:
            lines.append(f"{days} Arriving in {stay.city} and visit {stay.city} for {stay.days} days.")
        else:
            lines.append(f"**Day {stay.first}:** Fly from {plan[i - 1].city} to {stay.city}.")
            lines.append(f"{days} Visit {stay.city} for {stay.days} days.")
    return "\n".join(lines)


def plan_of(order: Sequence[tuple[str, int]]) -> list[Stay]:
    """The stays of a visiting order (city, days) that starts on day 1 and joins up."""
    plan, day = [], 1
    for city, days in order:
        plan.append(Stay(city, day, day + days - 1))
        day += days - 1
    return plan


def plans(trip: Trip) -> Iterator[list[Stay]]:
    """All plans that satisfy every constraint, each once, in the order of the prompt's cities.

    The day on which a stay starts follows from which cities came before it, so what can still follow depends only on
    the city one is in and on those left: each such dead end (at most n 2^n of them) is walked into once.
    """
    cities, lengths = trip.cities, [days for _, days in trip.stays]
    if not cities or min(lengths) < 1 or sum(lengths) - (len(cities) - 1) != trip.total_days:
        return
    windows: dict[str, list[Stay]] = {}
    for window in trip.windows:
        windows.setdefault(window.city, []).append(window)
    # The latest first day on which a city can still cover its windows, and the earliest.
    latest = [min((w.first for w in windows.get(c, ())), default=trip.total_days) for c in cities]
    earliest = [max((w.last - days + 1 for w in windows.get(c, ())), default=1) for c, days in trip.stays]
    everywhere = range(len(cities))
    # Sets of cities are bit masks: where one can fly to, and by day, where a stay may start and what is too late.
    reached = [sum(1 << j for j in everywhere if (c, cities[j]) in trip.flights) for c in cities]
    dead: set[tuple[int, int]] = set()

    @cache
    def may_start(day: int) -> int:
        return sum(1 << i for i in everywhere if earliest[i] <= day <= latest[i])

    @cache
    def too_late(day: int) -> int:
        return sum(1 << i for i in everywhere if latest[i] < day)

    @cache
    def stay(i: int, day: int) -> Stay:
        return Stay(cities[i], day, day + lengths[i] - 1)

    def extend(order: list[Stay], here: int, left: int, day: int) -> Iterator[list[Stay]]:
        if not left:
            yield list(order)
            return
        if left & too_late(day) or (here, left) in dead:
            return
        found = False
        ready = left & may_start(day) & (reached[here] if order else left)
        for i in everywhere:
            if ready >> i & 1:
                order.append(stay(i, day))
                for plan in extend(order, i, left & ~(1 << i), day + lengths[i] - 1):
                    found = True
                    yield plan
                order.pop()
        if not found:
            dead.add((here, left))

    yield from extend([], -1, (1 << len(cities)) - 1, 1)


def check(trip: Trip, plan: Sequence[Stay]) -> dict[str, bool]:
    """Every atomic constraint of a trip, by name, and whether the plan satisfies it.

    Atoms: each city's stay has its length; each city is visited once (a city nobody asked for is an atom that
    fails); each window is spent in its city; each leg is a direct flight; each leg joins up (the next stay starts
    on the day the last one ends); the plan covers day 1 to the last. A plan with too few legs fails the missing.
    """
    atoms: dict[str, bool] = {}
    visits: dict[str, list[Stay]] = {}
    for stay in plan:
        visits.setdefault(stay.city, []).append(stay)
    for city, days in trip.stays:
        spent = visits.get(city, ())
        atoms["stay " + city] = days in [s.last - s.first + 1 for s in spent]
        atoms["once " + city] = len(spent) == 1
    for city in visits.keys() - set(trip.cities):
        atoms[f"unasked {city}"] = False
    for i, window in enumerate(trip.windows):
        atoms[f"window {i} {window.city}"] = any(
            s.first <= window.first and window.last <= s.last for s in visits.get(window.city, ())
        )
    for i, (here, there) in enumerate(itertools.pairwise(plan)):
        atoms[f"flight {i}"] = (here.city, there.city) in trip.flights
        atoms[f"join {i}"] = here.last == there.first
    for i in range(max(len(plan) - 1, 0), len(trip.stays) - 1):
        atoms[f"flight {i}"] = atoms[f"join {i}"] = False
    atoms["total days"] = bool(plan) and plan[0].first == 1 and plan[-1].last == trip.total_days
    return atoms
