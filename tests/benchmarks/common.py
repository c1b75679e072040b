"""What the benchmarks share."""

import argparse
import time
from collections.abc import Callable
from typing import Any


def options(doc: str | None, **defaults: Any) -> argparse.Namespace:
    """Options of the command line, each with its default; the first one's type is that of all in a list."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        flag, several = f"--{name.replace('_', '-')}", isinstance(value, list)
        if value is False:
            parser.add_argument(flag, action="store_true")
        else:
            kind = type(value[0] if several else value)
            parser.add_argument(flag, type=kind, default=value, nargs="+" if several else None)
    return parser.parse_args()


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    return clock() - start


def best_seconds(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """The best time of each, all in turns, so that a busy machine hits them alike."""
    found: dict[str, float] = dict.fromkeys(calls, float("inf"))
    for _ in range(turns):
        for name, call in calls.items():
            found[name] = min(found[name], seconds(call))
    return found
