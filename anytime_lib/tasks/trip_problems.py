"""What is a trip problem, what are its solutions, and how is a new one made?

Source: Zheng et al., "NATURAL PLAN: Benchmarking LLMs on Natural Language Planning" (arXiv 2406.04520).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.trip_problem import Stay, Trip, plan_of, plans, read_trip, write_trip
from anytime_lib.types import Problem

NAME = "natural_plan_trip"
SIZES = range(2, 11)
"""Numbers of cities that a generated problem may have."""
CITIES = (  # noqa: SIM905
    "Amsterdam Athens Barcelona Berlin Brussels Bucharest Budapest Copenhagen Dublin Dubrovnik Edinburgh Florence "
    "Frankfurt Geneva Hamburg Helsinki Istanbul Krakow Lisbon London Lyon Madrid Manchester Milan Munich Mykonos "
    "Naples Nice Oslo Paris Porto Prague Reykjavik Riga Rome Salzburg Santorini Seville Split Stockholm Stuttgart "
    "Tallinn Valencia Venice Vienna Vilnius Warsaw Zurich"
).split()


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


def generate(
    n_cities: int,
    seed: int | np.random.SeedSequence,
    *,
    unique: bool = False,
    windows: float = 0.4,
    one_way: float = 1 / 7,
) -> Problem:
    """A new problem in the official layout, solvable by construction.

    Its golden plan is drawn first; stays, windows and flights (the plan's legs, plus others at random) are then read
    off it.

    Args:
        n_cities: 2 to 10.
        seed: the same seed (and options) gives the same problem.
        unique: exactly one plan is valid. Whatever other plan is, an event on the golden days is added in a city where
            it comes at another time, or a flight that only it takes is left out, until there is none.
        windows: how likely each city has an event that must be attended.
        one_way: how likely each flight goes one way only.

    Raises:
        ConfigError: an argument makes no sense.
    """
    if isinstance(n_cities, bool) or not isinstance(n_cities, int | np.integer) or n_cities not in SIZES:
        raise ConfigError(f"n_cities must be an integer from 2 to 10, not {n_cities!r}")
    if not isinstance(seed, np.random.SeedSequence) and seed < 0:
        raise ConfigError(f"seed must not be negative, but it is {seed}")
    for name, share in (("windows", windows), ("one_way", one_way)):
        if not 0 <= share <= 1:
            raise ConfigError(f"{name} must be a probability from 0 to 1, not {share}")
    rng = np.random.default_rng(seed)
    route = [str(c) for c in rng.choice(CITIES, n_cities, replace=False)]
    order = [(city, int(rng.integers(2, 6 if n_cities > 3 else 8))) for city in route]
    plan = plan_of(order)
    in_window = [s for s in plan if rng.random() < windows]
    legs = set(itertools.pairwise(route))
    flights = set(legs)
    for i, a in enumerate(route):
        for b in route[i + 1 :]:
            on_route = (a, b) in legs
            if on_route or rng.random() < 0.45:
                is_one_way = rng.random() < one_way
                forward = on_route or rng.random() < 0.5
                if forward or not is_one_way:
                    flights.add((a, b))
                if not forward or not is_one_way:
                    flights.add((b, a))
    shown = [order[i] for i in rng.permutation(n_cities)]
    trip = Trip(plan[-1].last, tuple(shown), tuple(in_window), frozenset(flights))
    if unique:
        trip = _without_others(trip, plan, rng)
    problem = parse_problem(write_trip(trip, rng), gold=order)
    return replace(problem, metadata={**problem.metadata, "source": "generated"})


def _without_others(trip: Trip, plan: list[Stay], rng: np.random.Generator) -> Trip:
    """The trip with as many more constraints, drawn at random, as leave `plan` its only valid plan."""
    legs = set(itertools.pairwise(s.city for s in plan))
    while other := next((p for p in plans(trip) if p != plan), None):
        # Both lists hold what `plan` satisfies and `other` does not; the first is never empty.
        events: list[Stay | tuple[str, str]] = [s for s in plan if s not in other]
        spare = [leg for leg in itertools.pairwise(s.city for s in other) if leg not in legs]
        chosen = (events + spare)[int(rng.integers(len(events) + len(spare)))]
        if isinstance(chosen, Stay):
            trip = replace(trip, windows=(*(w for w in trip.windows if w.city != chosen.city), chosen))
        else:
            trip = replace(trip, flights=trip.flights - {chosen})
    return trip
