"""What does Math-Verify read in each answer it is sent? Run as a script, by `second_opinion`, in a process of its own.

One JSON object a line comes in (`text`, `gold`) and one goes out (`read`: what was read, or null; `right`). The
process limits its own memory and, where there are alarms, kills itself when an answer takes too long, even if it is
deep in a computation and even if nobody waits for it any more. It imports nothing of this package.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def opinion(text: str, gold: int) -> dict[str, Any]:
    """What Math-Verify reads in `text`, and whether it takes that for `gold`."""
    from math_verify import parse, verify

    found = parse(text, parsing_timeout=None)
    if not found:
        return {"read": None, "right": False}
    right = bool(verify(parse(str(gold), parsing_timeout=None), found, timeout_seconds=None))
    value = getattr(found[0], "rhs", found[0])  # of `m + n = 17`, as in its own comparison
    return {"read": str(gold) if right else str(value)[:40], "right": right}


def main() -> None:
    seconds, memory = float(sys.argv[1]), int(sys.argv[2])
    replies = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints, the lines of the answer stay clean
    logging.disable(logging.CRITICAL)
    try:
        import resource
        import signal

        resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    except (ImportError, AttributeError, ValueError, OSError):  # not on this system: the parent's clock remains
        signal = None  # type: ignore[assignment]
    opinion(r"\boxed{17}", 17)  # the imports and the parser's tables, before any answer's time runs
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if signal:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            reply = opinion(asked["text"], asked["gold"])
        except (Exception, RecursionError, MemoryError) as error:
            reply = {"read": None, "right": False, "error": type(error).__name__}
        if signal:
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
