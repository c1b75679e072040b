"""What does a trip problem ask, and which plans solve it?

The constraints of a prompt of NATURAL PLAN's trip planning (Zheng et al., arXiv 2406.04520) as data: read, written,
solved completely (`plans`) and checked one by one (`check`). A day on which one flies counts for both cities, so stays
that join up share that day.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from anytime_lib.errors import DataError
from anytime_lib.types import Problem

NAME = "natural_plan_trip"

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("data").joinpath("trip.yaml").read_text("utf-8"))
"""The sentences of the data set, and the cities of generated problems."""
FLIGHTS = WORDS["flights"]


def _pattern(template: str) -> re.Pattern[str]:
    """What matches a sentence of a template, with its blanks as named groups."""
    pattern = re.escape(template).replace(r"\{city\}", r"(?P<city>\S.*?)")
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d{1,4})", pattern))


_OPENING, _SENTENCES = _pattern(WORDS["opening"]), [*map(_pattern, WORDS["windows"] + WORDS["stays"])]
_SENTENCE_END = re.compile(r"(?<=\.)(?<!\bSt\.)\s+")  # "St. Gallen" is a city, not a sentence's end


class Stay(NamedTuple):
    """Days `first` to `last`, both included, in one city."""

    city: str
    first: int
    last: int

    @property
    def days(self) -> int:
        return self.last - self.first + 1

    def covers(self, window: "Stay") -> bool:
        return self.city == window.city and self.first <= window.first and window.last <= self.last


@dataclass(frozen=True)
class Trip:
    """What a prompt asks for: its length, the days in each city in the prompt's order, the `windows` that an event
    requires to be spent in its city, and flights (from, to), of which one both ways is there twice."""

    total_days: int
    stays: Mapping[str, int]
    windows: Sequence[Stay]
    flights: Collection[tuple[str, str]]


@lru_cache(maxsize=4096)
def read_trip(prompt: str) -> Trip:
    """The constraints of a prompt (of its last task, after worked examples); DataError shows what cannot be read."""
    *_, opening = [None, *_OPENING.finditer(prompt)]
    if opening is None:
        raise DataError(f"not a trip-planning prompt (no 'You plan to visit N European cities'): {prompt[:120]!r}")
    head, _, rest = prompt[opening.end() :].partition(FLIGHTS)
    stays, windows, flights = dict[str, int](), list[Stay](), set[tuple[str, str]]()
    for sentence in filter(None, _SENTENCE_END.split(head.strip())):
        match = next((m for p in _SENTENCES if (m := p.fullmatch(sentence))), None)
        if match and "first" in match.groupdict():
            windows.append(Stay(match["city"], int(match["first"]), int(match["last"])))
        elif match:
            stays[match["city"]] = int(match["days"])
        elif sentence != WORDS["transport"]:
            raise DataError(f"cannot read this sentence of a trip-planning prompt: {sentence[:300]!r}")
    if len(stays) != int(opening["cities"]):
        raise DataError(f"the prompt speaks of {opening['cities']} cities but says how long to stay in {len(stays)}")
    for entry in rest.strip().split("\n")[0].strip().removesuffix(".").split(","):
        match = re.fullmatch(r"\s*(from )?(.+) (?(1)to|and) (.+?)\s*", entry)
        if not match or not {match[2], match[3]} <= stays.keys():
            raise DataError(f"cannot read this flight after {FLIGHTS!r}: {entry.strip()[:300]!r}")
        flights |= {(match[2], match[3])} if match[1] else {(match[2], match[3]), (match[3], match[2])}
    return Trip(int(opening["days"]), stays, windows, flights)


def write_trip(trip: Trip, rng: np.random.Generator) -> str:
    """The prompt, in the data set's layout, of a trip; wording and the order of flights are drawn from `rng`."""
    sentences = [WORDS["opening"].format(cities=len(trip.stays), days=trip.total_days), WORDS["transport"]]
    for city, days in trip.stays.items():
        sentences.append(str(rng.choice(WORDS["stays"])).format(city=city, days=days))
        for w in trip.windows:
            if w.city == city:
                sentences.append(str(rng.choice(WORDS["windows"])).format(city=city, first=w.first, last=w.last))
    both_ways = {(a, b) for a, b in trip.flights if (b, a) in trip.flights}
    listed = [(a, b) for a, b in sorted(trip.flights) if (a, b) not in both_ways or a < b]
    flights = [f"{a} and {b}" if (a, b) in both_ways else f"from {a} to {b}" for a, b in listed]
    return (
        f"{' '.join(sentences)}\n\n{FLIGHTS}\n{', '.join(rng.permutation(flights))}.\n\n"
        f"Find a trip plan of visiting the cities for {trip.total_days} days by taking direct flights to commute "
        "between them."
    )


def write_plan(plan: Sequence[Stay]) -> str:
    """A plan in the layout of the data set's golden plans."""
    start = plan[0]
    lines = [f"Here is the trip plan for visiting the {len(plan)} European cities for {plan[-1].last} days:", ""]
    lines.append(f"**Day 1-{start.last}:** Arriving in {start.city} and visit {start.city} for {start.days} days.")
    for before, stay in pairwise(plan):
        lines.append(f"**Day {stay.first}:** Fly from {before.city} to {stay.city}.")
        lines.append(f"**Day {stay.first}-{stay.last}:** Visit {stay.city} for {stay.days} days.")
    return "\n".join(lines)


def plan_of(order: Iterable[tuple[str, int]]) -> list[Stay]:
    """The stays of a visiting order (city, days) that starts on day 1 and joins up."""
    plan, day = [], 1
    for city, days in order:
        plan.append(Stay(city, day, day + days - 1))
        day += days - 1
    return plan


def solve(problem: Problem) -> list[list[Stay]]:
    """All valid plans of a problem, in a fixed order."""
    return list(plans(read_trip(problem.text)))


def plans(trip: Trip) -> Iterator[list[Stay]]:
    """All plans that satisfy every constraint, each once, in the order of the prompt's cities."""

    def extend(plan: list[Stay], left: dict[str, int]) -> Iterator[list[Stay]]:
        first = plan[-1].last if plan else 1
        if not left and first == trip.total_days:
            yield plan
        if any(window.city in left and window.first < first for window in trip.windows):
            return  # too late for an event
        for city, days in left.items():
            stay = Stay(city, first, first + days - 1)
            flown = not plan or (plan[-1].city, city) in trip.flights
            if flown and all(stay.covers(window) for window in trip.windows if window.city == city):
                yield from extend([*plan, stay], {c: d for c, d in left.items() if c != city})

    yield from extend([], dict(trip.stays))


def check(trip: Trip, plan: Sequence[Stay]) -> dict[str, bool]:
    """Every atomic constraint of a trip, by name, and whether the plan satisfies it.

    Atoms: each city's stay has its length; each city is visited once (one nobody asked for is an atom that fails);
    each window is spent in its city; each leg is a direct flight, and joins up (the next stay starts on the day the
    last one ends); the plan covers day 1 to the last. A plan with too few legs fails the missing.
    """
    atoms: dict[str, bool] = {}
    for city, days in trip.stays.items():
        lengths = [stay.days for stay in plan if stay.city == city]
        atoms[f"stay {city}"] = days in lengths
        atoms[f"once {city}"] = len(lengths) == 1
    atoms |= {f"unasked {stay.city}": False for stay in plan if stay.city not in trip.stays}
    for i, window in enumerate(trip.windows):
        atoms[f"window {i} {window.city}"] = any(stay.covers(window) for stay in plan)
    for i, (here, there) in enumerate(pairwise(plan)):
        atoms[f"flight {i}"] = (here.city, there.city) in trip.flights
        atoms[f"join {i}"] = here.last == there.first
    for i in range(max(len(plan) - 1, 0), len(trip.stays) - 1):
        atoms[f"flight {i}"] = atoms[f"join {i}"] = False
    atoms["total days"] = bool(plan) and plan[0].first == 1 and plan[-1].last == trip.total_days
    return atoms


def parse_problem(
    text: str, id: str | None = None, gold: Sequence[tuple[str, int]] | None = None, **origin: str
) -> Problem:
    """A problem from an official prompt (zero-shot, or the last task of a few-shot one); errors as of `read_trip`.

    `id` is by default derived from the text; `gold` is the golden plan as (city, days) in visiting order, where it is
    known; `origin` is added to the metadata.
    """
    trip = read_trip(text)
    name = id or f"trip_{len(trip.stays)}c_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    metadata = {"n_cities": len(trip.stays), "n_windows": len(trip.windows), **origin}
    return Problem(name, NAME, text, gold and [[city, days] for city, days in gold], metadata)
