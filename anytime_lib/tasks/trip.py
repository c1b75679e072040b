"""Can the model plan a trip? NATURAL PLAN's trip planning, generated or from the official file.

Source: Zheng et al., "NATURAL PLAN: Benchmarking LLMs on Natural Language Planning" (arXiv 2406.04520); the
data's layout and the `official` verdict follow google-deepmind/natural-plan at commit ca76db3.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.records import Grade, Problem, unread
from anytime_lib.tasks.choosing import SPLITS, check_split, choose
from anytime_lib.tasks.itinerary import (
    Stay,
    Trip,
    check,
    plan_of,
    plans,
    read_trip,
    write_plan,
    write_trip,
)

NAME = "natural_plan_trip"
CITIES = [
    "Amsterdam",
    "Athens",
    "Barcelona",
    "Berlin",
    "Brussels",
    "Bucharest",
    "Budapest",
    "Copenhagen",
    "Dublin",
    "Dubrovnik",
    "Edinburgh",
    "Florence",
    "Frankfurt",
    "Geneva",
    "Hamburg",
    "Helsinki",
    "Istanbul",
    "Krakow",
    "Lisbon",
    "London",
    "Lyon",
    "Madrid",
    "Manchester",
    "Milan",
    "Munich",
    "Mykonos",
    "Naples",
    "Nice",
    "Oslo",
    "Paris",
    "Porto",
    "Prague",
    "Reykjavik",
    "Riga",
    "Rome",
    "Salzburg",
    "Santorini",
    "Seville",
    "Split",
    "Stockholm",
    "Stuttgart",
    "Tallinn",
    "Valencia",
    "Venice",
    "Vienna",
    "Vilnius",
    "Warsaw",
    "Zurich",
]
_REFUSAL = re.compile(
    r"\bI(?:'m| am) (?:sorry|unable)\b|\bI (?:cannot|can't|can not) (?:help|assist|provide|answer)", re.I
)
_LINE = re.compile(r"\bdays?\s*(\d{1,4})(?:\s*[-–—−]\s*(?:days?\s*)?(\d{1,4}))?", re.I)
_FLYING = re.compile(r"\b(?:fly|flight|flying|travel)\b", re.I)
_PLACE = re.compile(r"\b(?:visit|stay(?:ing)? in|arriv(?:e|ing) in)\s+(?P<place>[^\W\d_]+)", re.I)


def parse_problem(text: str, *, id: str | None = None, gold: Sequence[Sequence[Any]] | None = None) -> Problem:
    """A problem from an official prompt (zero-shot, or the last task of a few-shot one).

    Args:
        text: the prompt.
        id: the problem's id; by default one derived from the text.
        gold: the golden plan as (city, days) in visiting order; None when unknown.

    Raises:
        DataError: a sentence cannot be read; the message shows it.
    """
    trip = read_trip(text)
    name = id or f"trip_{len(trip.stays)}c_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    plan = None if gold is None else [[city, int(days)] for city, days in gold]
    return Problem(name, NAME, text, plan, {"n_cities": len(trip.stays), "n_windows": len(trip.windows)})


def solve(problem: Problem) -> list[list[Stay]]:
    """All valid plans of a problem, in a fixed order; empty if there is none."""
    return list(plans(read_trip(problem.text)))


def generate(n_cities: int, seed: int | np.random.SeedSequence) -> Problem:
    """A new problem in the official layout, solvable by construction.

    Its golden plan is drawn first; stays, windows (on about 40 % of the cities) and flights (the plan's legs, plus
    others at random, one in seven of them one way) are then read off it.

    Args:
        n_cities: 2 to 10.
        seed: the same seed gives the same problem.
    """
    if not 2 <= n_cities <= 10:
        raise ConfigError(f"n_cities must be from 2 to 10, not {n_cities}")
    rng = np.random.default_rng(seed)
    route = [str(c) for c in rng.choice(CITIES, n_cities, replace=False)]
    order = [(city, int(rng.integers(2, 6 if n_cities > 3 else 8))) for city in route]
    plan = plan_of(order)
    in_window = [s for s in plan if rng.random() < 0.4]
    legs = set(itertools.pairwise(route))
    flights = set(legs)
    for i, a in enumerate(route):
        for b in route[i + 1 :]:
            on_route = (a, b) in legs
            if on_route or rng.random() < 0.45:
                one_way = rng.random() < 1 / 7
                forward = on_route or rng.random() < 0.5
                if forward or not one_way:
                    flights.add((a, b))
                if not forward or not one_way:
                    flights.add((b, a))
    shown = [order[i] for i in rng.permutation(n_cities)]
    trip = Trip(plan[-1].last, tuple(shown), tuple(in_window), frozenset(flights))
    text = write_trip(trip, rng)
    problem = parse_problem(text, gold=order)
    return replace(problem, metadata={**problem.metadata, "source": "generated"})


def read_plan(text: str, cities: Sequence[str]) -> list[Stay] | None:
    """The last complete plan in a response, or the last of any; None if no line gives days in a city.

    A line counts when it names a day or a range of days and then a city, one of `cities` or another after "visit",
    "stay in" or "arriving in"; lines that fly do not. A plan ends where the days start over.
    """
    spelled = {city.casefold(): city for city in cities}
    known = re.compile("|".join(re.escape(c) for c in sorted(cities, key=len, reverse=True)), re.I)
    found: list[list[Stay]] = []
    for line in text.splitlines():
        line = line[:400]
        match = _LINE.search(line)
        if not match or _FLYING.search(line):
            continue
        first, last = int(match[1]), int(match[2] or match[1])
        name = known.search(line, match.end()) or _PLACE.search(line, match.end()) or known.search(line)
        if not name or last < first:
            continue
        city = name["place"] if name.re is _PLACE else spelled[name[0].casefold()]
        if not found or first == 1 or first < found[-1][-1].first:
            found.append([])
        found[-1].append(Stay(city, first, last))
    complete = [plan for plan in found if {s.city for s in plan} >= set(cities)]
    plans_read = complete or found
    return plans_read[-1] if plans_read else None


def _official_leg(line: str) -> tuple[int, str, str] | None:
    """What `.*Day (\\d+).*from (\\w+) to (\\w+)` matches in a line, in linear time: the last such flight and the last
    day named before it."""
    at = len(line)
    while (at := line.rfind("from ", 0, at)) >= 0:
        if leg := re.compile(r"from (\w+) to (\w+)").match(line, at):
            days = re.findall(r"Day (\d+)", line[:at])
            return (int(days[-1][:9]), leg[1], leg[2]) if days else None
    return None


def grade_official(problem: Problem, text: str) -> float:
    """1.0 or 0.0, the verdict of NATURAL PLAN's own evaluator on the same text, quirks included.

    It compares the golden order and lengths of stay with those read off the flights: one word a city, a hyphen
    between days, nothing after the first line that reaches the last day; constraints are never looked at.
    """
    if problem.gold is None:
        raise DataError(f"{problem.id}: the official grade needs a golden plan, and this problem has none")
    total, last_day, flights = None, None, []
    for line in text.split("\n"):
        if days := re.findall(r"European cities for (\d+) days", line):
            total = int(days[0][:9])
        if range_ := re.search(r"(?<!\d)\d+-(\d+)", line):
            last_day = int(range_[1][:9])
            if last_day == total:
                break
        if leg := _official_leg(line):
            flights.append(leg)
    if last_day is None or not flights:
        return 0.0
    cities = [flights[0][1], *(to for _, _, to in flights)]
    days = [1, *(day for day, _, _ in flights), last_day]
    read = [[city, days[i + 1] - days[i] + 1] for i, city in enumerate(cities)]
    return float(read[: len(problem.gold)] == [list(stay) for stay in problem.gold])


class TripPlanning:
    """The task `natural_plan_trip`. Quality is the share of atomic constraints satisfied; correct means all."""

    name = NAME
    answer_tokens = 512

    def problems(
        self,
        source: str | None = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "test",
        difficulty: Sequence[int] | None = None,
    ) -> list[Problem]:
        """Generated problems, or those of an official JSON file.

        Args:
            source: None to generate, else the path of a file in the layout of the official `trip_planning.json`.
            limit: how many (30 generated by default; all of a file).
            seed: of the generator, or of the order in which a file's problems are taken.
            split: `test`, `pool`, or `all` of a file. Generated problems come from separate streams; a file is
                split by content.
            difficulty: numbers of cities, taken in turn; by default 3 to 5 when generating, any from a file.
        """
        check_split(split)
        if source is not None:
            return choose(_from_file(Path(source), difficulty), split, seed, limit)
        if split not in SPLITS:
            raise ConfigError("generated trips have the splits test and pool; 'all' is for a file")
        levels = list(difficulty or (3, 4, 5))
        return [
            generate(int(levels[i % len(levels)]), np.random.SeedSequence([seed, SPLITS[split], i]))
            for i in range(30 if limit is None else limit)
        ]

    def question(self, problem: Problem) -> str:
        return prompt("natural_plan_trip.question", problem=problem.text)

    def gold_reasoning(self, problem: Problem) -> str:
        """The golden plan retold as the steps that lead to it."""
        windows = {w.city: w for w in read_trip(problem.text).windows}
        told, before = [], ""
        for stay in self._gold_plan(problem):
            event = windows.get(stay.city)
            why = f", with an event on days {event.first}-{event.last}" if event else ""
            start = (
                f"From {before} there is a flight to {stay.city} on day {stay.first}"
                if before
                else f"Start in {stay.city}"
            )
            told.append(f"{start}: {stay.days} days{why}, so days {stay.first}-{stay.last}.")
            before = stay.city
        return " ".join(told)

    def answer_prompt(self, problem: Problem) -> str:
        return prompt("natural_plan_trip.answer")

    def gold_answer(self, problem: Problem) -> str:
        return write_plan(self._gold_plan(problem))

    @staticmethod
    def _gold_plan(problem: Problem) -> list[Stay]:
        if problem.gold is None:
            raise DataError(f"{problem.id} has no golden plan and cannot be a worked example")
        return plan_of([(city, days) for city, days in problem.gold])

    def grade(self, problem: Problem, text: str) -> Grade:
        """Share of atomic constraints satisfied by the last complete plan; `correct` when all are."""
        if not text.strip():
            return unread("nothing was said", "empty")
        trip = read_trip(problem.text)
        plan = read_plan(text, trip.cities)
        if plan is None:
            if _REFUSAL.search(text):
                return unread("declined to answer", "refused")
            return unread("no line gives days in one of the cities")
        atoms = check(trip, plan)
        kept = sum(atoms.values())
        return Grade(kept / len(atoms), kept == len(atoms), "ok", f"{kept} of {len(atoms)} constraints kept")


def _from_file(path: Path, difficulty: Sequence[int] | None) -> list[Problem]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the trip-planning file {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(rows, dict) or not all(isinstance(r, dict) and "prompt_0shot" in r for r in rows.values()):
        raise DataError(f"{path} is not in the layout of NATURAL PLAN's trip_planning.json (id -> prompt_0shot, ...)")
    found = []
    for name, row in rows.items():
        gold = None
        if "cities" in row:
            gold = list(zip(row["cities"].split("**"), row["durations"].split("**"), strict=True))
        problem = parse_problem(row["prompt_0shot"], id=name, gold=gold)
        if difficulty is None or problem.metadata["n_cities"] in difficulty:
            found.append(replace(problem, metadata={**problem.metadata, "source": path.name}))
    return found


TASK = TripPlanning()
