"""What verdict does NATURAL PLAN's own evaluator give on a text?

The behaviour of `evaluate_trip_planning.py` (google-deepmind/natural-plan at commit ca76db3), quirks included, by code
of our own that takes linear time: tests/test_trip.py compares the two on mutated answers.
"""

import re
from collections.abc import Sequence
from typing import Any

_TOTAL = re.compile(r"European cities for (\d+) days")
_RANGE = re.compile(r"(?<!\d)\d+-(\d+)")
_LAST_LEG = re.compile(r"(.*)from (\w+) to (\w+)", re.DOTALL)
_LAST_DAY = re.compile(r".*Day (\d+)", re.DOTALL)


def official_verdict(gold: Sequence[Sequence[Any]], text: str) -> float:
    """1.0 if the stays that the evaluator reads off a text begin with the golden ones (city, days), else 0.0.

    It reads the flights alone: one word a city, the last `from A to B` of a line and the last `Day N` before it. The
    last day is the end of the last `a-b`; the first line where that is the stated total ends the reading. A number
    too long for Python to read ends the evaluator with an error; here it is 0.0.
    """
    wanted = [(city, int(days)) for city, days in gold]
    try:
        return float(bool(wanted) and _stays(text)[: len(wanted)] == wanted)
    except ValueError:
        return 0.0


def _stays(text: str) -> list[tuple[str, int]]:
    total = last_day = None
    days, cities = [1], list[str]()
    for line in text.split("\n"):
        # A line's tests by substring first: most lines hold one of the three at most.
        if "European cities for " in line and (stated := _TOTAL.search(line)):
            total = int(stated[1])
        if "-" in line and (span := _RANGE.search(line)):
            last_day = int(span[1])
            if last_day == total:
                break
        if "from " in line and (leg := _LAST_LEG.match(line)) and (day := _LAST_DAY.match(leg[1])):
            cities += [leg[3]] if cities else [leg[2], leg[3]]
            days.append(int(day[1]))
    if last_day is None or not cities:
        return []
    days.append(last_day)
    return [(city, days[i + 1] - days[i] + 1) for i, city in enumerate(cities)]
