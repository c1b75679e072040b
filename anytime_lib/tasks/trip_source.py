"""Which trip problems are there: generated ones, and those of NATURAL PLAN's file?

A source is a file in the layout of NATURAL PLAN's `trip_planning.json`, the official file itself (`official`), or a
`datasets.Dataset` of its rows (columns id, prompt_0shot, cities, durations). `#5shot`, or a column `shots` of 5, asks
its prompt_5shot.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.base import SPLITS
from anytime_lib.tasks.sources import split_source
from anytime_lib.tasks.trip_problem import Stay, Trip, parse_problem, plan_of, plans, write_trip
from anytime_lib.types import Problem, cache_folder

COMMIT = "ca76db336072ff8931db43bc1ca8d381038cf073"
OFFICIAL = f"https://raw.githubusercontent.com/google-deepmind/natural-plan/{COMMIT}/data/trip_planning.json"
BLOB = "de8f16dd532578efed5de226fbd8a998441b5f13"
"""Git's own hash (SHA-1) of that file at that commit: what is fetched is this file or nothing."""

SIZES = range(2, 11)
"""Numbers of cities that a generated problem may have."""
CITIES = (  # noqa: SIM905
    "Amsterdam Athens Barcelona Berlin Brussels Bucharest Budapest Copenhagen Dublin Dubrovnik Edinburgh Florence "
    "Frankfurt Geneva Hamburg Helsinki Istanbul Krakow Lisbon London Lyon Madrid Manchester Milan Munich Mykonos "
    "Naples Nice Oslo Paris Porto Prague Reykjavik Riga Rome Salzburg Santorini Seville Split Stockholm Stuttgart "
    "Tallinn Valencia Venice Vienna Vilnius Warsaw Zurich"
).split()


def read_source(source: Any) -> list[tuple[Problem, Problem]]:
    """A source's problems, each as its zero-shot prompt puts it (which decides its split) and as it is asked.

    Raises:
        ConfigError: the source is something else, or has an option that is unknown.
        DataError: it is missing, or not in the layout; the message names the row.
    """
    rows = _rows(source)
    if len({row.get("id") for row in rows}) < len(rows):
        raise DataError(f"the rows of {source!r} need an id each, and some have the same")
    try:
        return [(_problem(row, 0), _problem(row, int(row.get("shots") or 0))) for row in rows]
    except DataError as error:
        raise DataError(f"{source if isinstance(source, str | Path) else 'the dataset'}: {error}") from None


def _rows(source: Any) -> list[Mapping[str, Any]]:
    """The rows of a source; those of a file also say which file it is, and which of its prompts is asked."""
    if not isinstance(source, str | Path):
        from datasets import Dataset  # slow to import

        if not isinstance(source, Dataset):
            raise ConfigError(
                f"source must be a path, 'official', or a datasets.Dataset (one split), not {type(source)!r}"
            )
        return source.to_list()
    place, options = split_source(source, ["5shot"]) if isinstance(source, str) else (source, {})
    path = official_file() if place == "official" else Path(place).expanduser()
    try:
        content = path.read_bytes()
        rows = json.loads(content)
    except OSError as error:
        raise DataError(f"cannot read the trip-planning file {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, or was cut off ({error}); fetch or write it again") from error
    if not isinstance(rows, dict) or not rows or not all(isinstance(r, dict) for r in rows.values()):
        raise DataError(f"{path} is not in the layout of NATURAL PLAN's trip_planning.json (id -> prompt_0shot, ...)")
    whence = {
        "source": "official" if place == "official" else path.name,
        "sha256": hashlib.sha256(content).hexdigest()[:12],
        "shots": 5 if options else 0,
    }
    return [{**row, "id": id, **whence} for id, row in rows.items()]


def _problem(row: Mapping[str, Any], shots: int) -> Problem:
    """The problem of a row, as its zero-shot or five-shot prompt puts it."""
    name, text = str(row.get("id")), row.get(f"prompt_{shots}shot")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{name} has no prompt_{shots}shot; the layout is that of NATURAL PLAN's trip_planning.json")
    try:
        gold = list(zip(_listed(row, "cities"), _listed(row, "durations"), strict=True)) or None
        problem = parse_problem(text, id=f"{name}_{shots}shot" if shots else name, gold=gold)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except (TypeError, ValueError):
        raise DataError(f"{name}: cities and durations do not match: {row['cities']!r}, {row['durations']!r}") from None
    whence = {key: row[key] for key in ("source", "sha256") if row.get(key)}
    return replace(problem, metadata={**problem.metadata, "source": "dataset", **whence})


def _listed(row: Mapping[str, Any], column: str) -> list[Any]:
    """A list as it is, or what the official file writes as "Rome**Nice"."""
    value = row.get(column) or []
    return [x for x in value.split("**") if x] if isinstance(value, str) else list(value)


def official_file() -> Path:
    """The official file, in the cache folder: fetched once, and checked whenever it is used.

    Raises:
        DataError: it can be neither found nor fetched, or is no longer what was fetched.
    """
    path = cache_folder() / "natural-plan" / COMMIT[:12] / "trip_planning.json"
    advice = "give the path of a copy of NATURAL PLAN's trip_planning.json as the source instead"
    try:
        if path.is_file():
            if _git_hash(path.read_bytes()) != BLOB:
                raise DataError(f"{path} is not the official file (its hash differs); delete it to fetch it again")
            return path
        content = httpx.get(OFFICIAL, follow_redirects=True, timeout=60).raise_for_status().content
        if _git_hash(content) != BLOB:
            raise DataError(f"what {OFFICIAL} gave is not the official file (cut off, or another one); {advice}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)  # so that the file is whole or not there
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else error
        raise DataError(f"cannot fetch {OFFICIAL} ({why or type(error).__name__}); {advice}") from error
    except OSError as error:
        raise DataError(f"cannot keep {path} ({error.strerror}); set ANYTIME_CACHE to a writable folder") from error
    return path


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def generated(limit: int, seed: int, split: str, sizes: Sequence[int]) -> list[Problem]:
    """New problems of those numbers of cities in turn; those of `test` and `pool` come from streams of their own."""
    streams = (np.random.SeedSequence([seed, SPLITS[split], i]) for i in range(limit))
    return [generate(sizes[i % len(sizes)], stream) for i, stream in enumerate(streams)]


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
        unique: exactly one plan is valid: events and missing flights rule out every other.
        windows: how likely each city has an event that must be attended.
        one_way: how likely each flight goes one way only.

    Raises:
        ConfigError: an argument makes no sense.
    """
    if isinstance(n_cities, bool) or not isinstance(n_cities, int | np.integer) or n_cities not in SIZES:
        raise ConfigError(f"n_cities must be an integer from 2 to 10, not {n_cities!r}")
    if not isinstance(seed, np.random.SeedSequence) and seed < 0:
        raise ConfigError(f"seed must not be negative, but it is {seed}")
    if not (0 <= windows <= 1 and 0 <= one_way <= 1):
        raise ConfigError(f"windows and one_way must be probabilities from 0 to 1, not {windows} and {one_way}")
    rng = np.random.default_rng(seed)
    route = [str(c) for c in rng.choice(CITIES, n_cities, replace=False)]
    order = [(city, int(rng.integers(2, 6 if n_cities > 3 else 8))) for city in route]
    plan = plan_of(order)
    events = tuple(s for s in plan if rng.random() < windows)
    flights = _draw_flights(route, one_way, rng)
    trip = Trip(plan[-1].last, tuple(order[i] for i in rng.permutation(n_cities)), events, flights)
    if unique:
        trip = _without_others(trip, plan, rng)
    problem = parse_problem(write_trip(trip, rng), gold=order)
    return replace(problem, metadata={**problem.metadata, "source": "generated"})


def _draw_flights(route: list[str], one_way: float, rng: np.random.Generator) -> frozenset[tuple[str, str]]:
    """The legs of a route and others at random; each goes both ways unless drawn to go one way."""
    legs = list(pairwise(route))
    flights: set[tuple[str, str]] = set()
    for a, b in combinations(route, 2):
        if (a, b) in legs or rng.random() < 0.45:
            is_one_way = rng.random() < one_way
            forward = (a, b) in legs or rng.random() < 0.5
            there, back = ((a, b), (b, a)) if forward else ((b, a), (a, b))
            flights |= {there} if is_one_way else {there, back}
    return frozenset(flights)


def _without_others(trip: Trip, plan: list[Stay], rng: np.random.Generator) -> Trip:
    """The trip with as many more constraints, drawn at random, as leave `plan` its only valid plan."""
    legs = set(pairwise(s.city for s in plan))
    while other := next((p for p in plans(trip) if p != plan), None):
        # An event that `other` misses, or a flight that it alone takes; there is always such an event.
        events = [s for s in plan if s not in other]
        ways = [*events, *(leg for leg in pairwise(s.city for s in other) if leg not in legs)]
        chosen = ways[int(rng.integers(len(ways)))]
        if isinstance(chosen, Stay):
            trip = replace(trip, windows=(*(w for w in trip.windows if w.city != chosen.city), chosen))
        else:
            trip = replace(trip, flights=trip.flights - {chosen})
    return trip
