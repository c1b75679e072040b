"""Which trip problems are there: generated ones, and those of NATURAL PLAN's file?"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.files import cache_folder, replace_file
from anytime_lib.tasks.built_in import split_source
from anytime_lib.tasks.sources import read_table
from anytime_lib.tasks.trip_problem import WORDS, Trip, parse_problem, plan_of, plans, write_trip
from anytime_lib.types import Problem

COMMIT = "ca76db336072ff8931db43bc1ca8d381038cf073"
OFFICIAL = f"https://raw.githubusercontent.com/google-deepmind/natural-plan/{COMMIT}/data/trip_planning.json"
BLOB = "de8f16dd532578efed5de226fbd8a998441b5f13"  # git's own hash (SHA-1) of that file at that commit
SIZES = range(2, 11)  # numbers of cities that a generated problem may have


def read_source(source: Any) -> list[tuple[Problem, Problem]]:
    """A source's problems, each as its zero-shot prompt puts it (which decides its split) and as it is asked.

    A source is a file in the layout of NATURAL PLAN's `trip_planning.json`, the official file itself (`official`), or
    a `datasets.Dataset` of its rows (columns id, prompt_0shot, cities, durations). `#5shot` asks a file's prompt_5shot.
    DataError where it cannot be read, or is not in the layout; it names the row.
    """
    if isinstance(source, str | Path):
        place, options = split_source(source, "5shot")
        path = official_file() if place == "official" else Path(place).expanduser()
        by_id = {".json": lambda p: pd.DataFrame.from_dict(dict(json.loads(p.read_bytes())), "index", dtype=object)}
        table, asked = read_table(path, by_id).rename_axis("id").reset_index(), "5shot" if options else "0shot"
        origin = {"source": "official" if place == "official" else path.name}
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    else:
        table, asked, origin = read_table(source), "0shot", {"source": "dataset"}
    found, row = [], {}
    try:
        for row in table.to_dict("records"):
            cities, days = (row[column].split("**") for column in ("cities", "durations"))
            gold = list(zip(cities, map(int, days), strict=True))
            plain = parse_problem(row["prompt_0shot"], row["id"], gold, **origin)
            id = row["id"] if asked == "0shot" else f"{row['id']}_{asked}"
            found.append((plain, parse_problem(row[f"prompt_{asked}"], id, gold, **origin)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        layout = "the layout is that of NATURAL PLAN's trip_planning.json"
        raise DataError(f"{origin['source']}: {row.get('id')}: {error}; {layout}") from error
    return found


def official_file() -> Path:
    """The official file, in the cache folder: fetched once, and checked whenever it is used; else a DataError."""
    path = cache_folder() / "natural-plan" / COMMIT[:12] / "trip_planning.json"
    try:
        kept = path.is_file()
        content = path.read_bytes() if kept else httpx.get(OFFICIAL, timeout=60).raise_for_status().content
        if hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() != BLOB:
            raise OSError("it was cut off, or is another file" + "; delete it to fetch it again" * kept)
        if not kept:
            with replace_file(path) as part:
                part.write_bytes(content)
    except (httpx.HTTPError, OSError) as error:
        told = f"natural_plan_trip: cannot have {path} from {OFFICIAL} ({error!r:.200})"
        raise DataError(f"{told}; set `source: PATH of your copy` of NATURAL PLAN's trip_planning.json") from error
    return path


def generate(n_cities: int, seed: int | Sequence[int], unique: bool = False) -> Problem:
    """A new problem of 2 to 10 cities in the official layout, the same for the same seed, and solvable by construction.

    Its golden plan is drawn first; stays, windows and flights (the plan's legs, plus others at random) are then read
    off it. Two cities in five have an event that must be attended, and one flight in seven goes one way only. With
    `unique` more events, drawn at random, rule out every other plan.
    """
    rng = np.random.default_rng(seed)
    route = [str(c) for c in rng.choice(WORDS["cities"], n_cities, replace=False)]
    order = [(city, int(rng.integers(2, 6 if n_cities > 3 else 8))) for city in route]
    plan = plan_of(order)
    events = tuple(s for s in plan if rng.random() < 0.4)
    flights, legs = set[tuple[str, str]](), list(pairwise(route))
    for a, b in combinations(route, 2):
        if (a, b) in legs or rng.random() < 0.45:
            one_way = rng.random() < 1 / 7
            there, back = ((a, b), (b, a)) if (a, b) in legs or rng.random() < 0.5 else ((b, a), (a, b))
            flights |= {there} if one_way else {there, back}
    trip = Trip(plan[-1].last, dict(order[i] for i in rng.permutation(n_cities)), events, flights)
    while unique and (other := next((p for p in plans(trip) if p != plan), None)):
        missed = [s for s in plan if s not in other]
        event = missed[rng.integers(len(missed))]
        trip = replace(trip, windows=(*(w for w in trip.windows if w.city != event.city), event))
    return parse_problem(write_trip(trip, rng), gold=order, source="generated")
