"""Which wishes of a trip does a plan keep, and what does it do instead of the others?"""

from collections.abc import Sequence
from typing import Any

from anytime_lib.tasks.trip_answer import read_plan
from anytime_lib.tasks.trip_problem import Stay, Trip, check, read_trip
from anytime_lib.types import Problem


def trip_asked(problem: Problem) -> dict[str, Any]:
    """What a trip problem asks, as JSON: `days` in all, `stays` (city, days), `windows` (city, first, last day)."""
    trip = read_trip(problem.text)
    return {"days": trip.total_days, "stays": [*trip.stays.items()], "windows": trip.windows}


def trip_kept(problem: Problem, text: str) -> dict[str, Any] | None:
    """The plan that an answer states, as JSON, and the grader's verdict on it; None where no plan is read.

    `plan` lists city, first and last day. `constraints` has a dictionary for each constraint that the grader counts:
    `kind` (stay, once, unasked, window, flight, join, total), `asked` and `kept`, and `found`, what the plan does.
    """
    trip = read_trip(problem.text)
    plan = read_plan(text, [*trip.stays])
    if plan is None:
        return None
    found = []
    for name, kept in check(trip, plan).items():
        kind, _, of = name.partition(" ")
        asked, does = _told(trip, plan, kind, of)
        found.append({"kind": kind, "of": of, "asked": asked, "kept": kept, "found": does})
    return {"plan": plan, "constraints": found}


def _told(trip: Trip, plan: Sequence[Stay], kind: str, of: str) -> tuple[str, str]:
    """What a constraint (see `trip_problem.check`) asks, and what the plan does, in words."""
    if kind in ("flight", "join"):
        if (after := int(of) + 1) >= len(plan):
            return f"a {'direct flight' if kind == 'flight' else 'stay that joins up'} after stay {after}", "none"
        here, there = plan[after - 1], plan[after]
        if kind == "flight":
            flies = "takes it" if (here.city, there.city) in trip.flights else "flies though there is none"
            return f"a direct flight from {here.city} to {there.city}", flies
        asked = f"{there.city} begins on the day on which {here.city} ends"
        return asked, f"{here.city} ends on day {here.last}, {there.city} begins on day {there.first}"
    if kind == "total":
        return f"days 1 to {trip.total_days}", f"days {plan[0].first} to {plan[-1].last}" if plan else "no day"
    window = trip.windows[int(of.split()[0])] if kind == "window" else None
    city = window.city if window else of
    spent = " and ".join(f"days {stay.first} to {stay.last}" for stay in plan if stay.city == city) or "not visited"
    if window:
        return f"in {city} on days {window.first} to {window.last}, for an event", spent
    wishes = {"stay": f"{trip.stays.get(city)} days in {city}", "once": f"one stay in {city}"}
    return wishes.get(kind, f"no stay in {city}, for which nobody asked"), spent
