"""Which trip problems are there: generated ones, and those of NATURAL PLAN's file?

A source is a file in the layout of NATURAL PLAN's `trip_planning.json`, the official file itself (`official`), or a
`datasets.Dataset` of its rows (columns id, prompt_0shot, cities, durations). `#5shot` asks a file's prompt_5shot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.base import SPLITS
from anytime_lib.tasks.sources import dataset_rows, split_source
from anytime_lib.tasks.trip_problem import Trip, parse_problem, plan_of, plans, write_trip
from anytime_lib.types import Problem, cache_folder, replace_file

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

    DataError where it is missing, or not in the layout; it names the row.
    """
    if not isinstance(source, str | Path):
        listed = dataset_rows(source)
        if len(by_id := {row.get("id"): row for row in listed}) < len(listed):
            raise DataError("the rows of the dataset need an id each, and some have none or the same")
        return _problems(by_id, "the dataset", {"source": "dataset"}, 0)
    place, options = split_source(source, ["5shot"])
    path = official_file() if place == "official" else Path(place).expanduser()
    try:
        content = path.read_bytes()
        rows = json.loads(content)
    except OSError as error:
        raise DataError(f"cannot read the trip-planning file {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, or was cut off ({error}); fetch or write it again") from error
    name = "official" if place == "official" else path.name
    origin = {"source": name, "sha256": hashlib.sha256(content).hexdigest()[:12]}
    return _problems(rows, str(path), origin, 5 if options else 0)


def _problems(rows: Any, where: str, origin: Mapping[str, str], shots: int) -> list[tuple[Problem, Problem]]:
    """The problems of rows by their ids, as the zero-shot prompts put them and as those with `shots` examples do."""
    found, name = [], "rows"
    try:
        for name, row in rows.items():
            cities, days = ([x for x in (row.get(key) or "").split("**") if x] for key in ("cities", "durations"))
            gold = list(zip(cities, days, strict=True)) or None
            plain = parse_problem(row["prompt_0shot"], id=str(name), gold=gold, origin=origin)
            id = f"{name}_{shots}shot" if shots else str(name)
            found.append((plain, parse_problem(row[f"prompt_{shots}shot"], id=id, gold=gold, origin=origin)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        layout = "; the layout is that of NATURAL PLAN's trip_planning.json (id -> prompt_0shot, cities, durations)"
        told = str(error) if isinstance(error, DataError) else repr(error) + layout
        raise DataError(f"{where}: {name}: {told}") from error
    return found


def official_file() -> Path:
    """The official file, in the cache folder: fetched once, and checked whenever it is used; else a DataError."""
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
        with replace_file(path) as part:
            part.write_bytes(content)
    except httpx.HTTPError as error:
        raise DataError(f"cannot fetch {OFFICIAL} ({error!r:.200}); {advice}") from error
    except OSError as error:
        raise DataError(f"cannot keep {path} ({error.strerror}); set ANYTIME_CACHE to a writable folder") from error
    return path


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def generated(limit: int, seed: int, split: str, sizes: Sequence[int]) -> list[Problem]:
    """New problems of those numbers of cities in turn; those of `test` and `pool` come from streams of their own."""
    streams = (np.random.SeedSequence([seed, SPLITS[split], i]) for i in range(limit))
    return [generate(sizes[i % len(sizes)], stream) for i, stream in enumerate(streams)]


def generate(n_cities: int, seed: int | np.random.SeedSequence, unique: bool = False) -> Problem:
    """A new problem of 2 to 10 cities in the official layout, the same for the same seed, and solvable by construction.

    Its golden plan is drawn first; stays, windows and flights (the plan's legs, plus others at random) are then read
    off it. Two cities in five have an event that must be attended, and one flight in seven goes one way only. With
    `unique` more events, drawn at random, rule out every other plan.
    """
    if n_cities not in SIZES:
        raise ConfigError(f"n_cities must be an integer from 2 to 10, not {n_cities!r}")
    rng = np.random.default_rng(seed)
    route = [str(c) for c in rng.choice(CITIES, n_cities, replace=False)]
    order = [(city, int(rng.integers(2, 6 if n_cities > 3 else 8))) for city in route]
    plan = plan_of(order)
    events = tuple(s for s in plan if rng.random() < 0.4)
    flights: set[tuple[str, str]] = set()
    legs = list(pairwise(route))
    for a, b in combinations(route, 2):
        if (a, b) in legs or rng.random() < 0.45:
            one_way = rng.random() < 1 / 7
            forward = (a, b) in legs or rng.random() < 0.5
            there, back = ((a, b), (b, a)) if forward else ((b, a), (a, b))
            flights |= {there} if one_way else {there, back}
    trip = Trip(plan[-1].last, tuple(order[i] for i in rng.permutation(n_cities)), events, frozenset(flights))
    while unique and (other := next((p for p in plans(trip) if p != plan), None)):
        missed = [s for s in plan if s not in other]
        event = missed[rng.integers(len(missed))]
        trip = replace(trip, windows=(*(w for w in trip.windows if w.city != event.city), event))
    return parse_problem(write_trip(trip, rng), gold=order, origin={"source": "generated"})
