"""What would Math-Verify have said of the same answers, and where does it disagree with `extract_integer`?

A second opinion for the audit, which changes no grade: Math-Verify reads more kinds of mathematics, but also numbers
that are nobody's answer ("80 but will check 81 and 82" is 82 to it). An answer such as `9^{9^{9^9}}` can keep it busy
for ever or fill the memory, so it runs in a process of its own, which is ended and started again where it must be.
"""

import contextlib
import logging
import multiprocessing
import resource
import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from anytime_lib.tasks.integers import extract_integer

KINDS = ("both right", "both wrong", "neither reads", "only ours reads", "only theirs reads", "differ", "timed out")
MEMORY = 2**31  # bytes of address space that the process may take; its libraries take a third


def second_opinions(pairs: Sequence[tuple[str, int]], timeout: float = 5.0) -> pd.DataFrame:
    """Math-Verify's and our reading of each (answer, gold integer), a row each, in order.

    Works in a notebook and from any thread; a script calls it under `if __name__ == "__main__"`. Columns: kind (a
    category of `KINDS`; `timed out` after `timeout` seconds or when the process died of it), gold, ours, theirs (at
    most 40 characters; the gold integer where Math-Verify takes the two to be equal), seconds, excerpt (the answer's
    last 60 characters).
    """
    context = multiprocessing.get_context("forkserver")  # never a copy of this process, which may have threads
    context.set_forkserver_preload([__name__, "math_verify"])
    rows = []
    with ProcessPool(max_workers=1, initializer=_limit, context=context) as pool:
        for text, gold in pairs:
            ours, theirs, seconds = extract_integer(text), None, timeout
            try:
                theirs, seconds = pool.schedule(_theirs, (text, gold), timeout=timeout).result()
                kind = _kind(gold, ours, theirs)
            except (TimeoutError, ProcessExpired):
                kind = "timed out"
            excerpt = " ".join(text[-120:].split())[-60:].encode(errors="replace").decode()
            rows.append((kind, gold, ours, theirs, seconds, excerpt))
    table = pd.DataFrame(rows, columns=["kind", "gold", "ours", "theirs", "seconds", "excerpt"]).rename_axis("place")
    return table.astype({"kind": pd.CategoricalDtype([*KINDS]), "ours": "Int64", "theirs": "string"})


def disagreements(opinions: pd.DataFrame) -> pd.DataFrame:
    """The opinions in which the two disagree or Math-Verify timed out."""
    return opinions[opinions.kind.isin(KINDS[3:])]


def _kind(gold: int, ours: int | None, theirs: str | None) -> str:
    if theirs is None or ours is None:
        return "neither reads" if ours == theirs else "only theirs reads" if ours is None else "only ours reads"
    return "differ" if str(ours) != theirs else "both right" if ours == gold else "both wrong"


def _limit() -> None:
    """In the process, whose words are for nobody."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))


def _theirs(text: str, gold: int) -> tuple[str | None, float]:
    """What Math-Verify reads in `text`, and the seconds it took; run in the process."""
    from math_verify import parse, verify

    start, value = time.perf_counter(), None
    with contextlib.suppress(Exception):
        if found := parse(text, parsing_timeout=None):
            value = str(getattr(found[0], "rhs", found[0]))  # of `m + n = 17`, as in its own comparison
            if verify(parse(str(gold), parsing_timeout=None), found, timeout_seconds=None):
                value = str(gold)
    if value and value.isdecimal() and len(value) < 20:
        value = str(int(value))
    return value and value[:40], time.perf_counter() - start
