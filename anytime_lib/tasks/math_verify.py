"""What would Math-Verify have said of the same answers, and where does it disagree with `extract_integer`?

A second opinion for the audit, which changes no grade: Math-Verify reads more kinds of mathematics, but also numbers
that are nobody's answer ("80 but will check 81 and 82" is 82 to it). An answer such as `9^{9^{9^9}}` can keep it busy
for ever or fill the memory, so it runs in a process of its own, which is ended and started again where it must be.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import TimeoutError
from typing import Any

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.integers import extract_integer

KINDS = ("both right", "both wrong", "neither reads", "only ours reads", "only theirs reads", "differ", "timed out")
MEMORY = 2**31
"""Bytes of address space that the process may take; its libraries take a third."""


def second_opinions(pairs: Sequence[tuple[str, int]], timeout: float = 5.0) -> pd.DataFrame:
    """Math-Verify's and our reading of each (answer, gold integer), a row each, in order.

    Works in a notebook and from any thread; a script calls it under `if __name__ == "__main__"`. `timeout` is the
    seconds that Math-Verify may take over one answer. ConfigError where it does not start.

    Columns: kind (of `KINDS`; `timed out` also when the process died of it), gold, ours, theirs (at most 40 characters;
    the gold integer where Math-Verify takes the two to be equal), seconds, excerpt (the answer's last 60 characters).
    """
    if timeout <= 0:
        raise ConfigError(f"the second opinion's timeout must be positive, not {timeout}")
    # Never a copy of this process, which may have threads; where there is a server that forks, it imports once.
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    context.set_forkserver_preload([__name__, "math_verify"])
    with ProcessPool(max_workers=1, initializer=_limit_memory, context=context) as pool:
        try:
            _start(pool)
            rows = [_opinion(pool, text, gold, timeout) for text, gold in pairs]
        finally:
            pool.stop()
    table = pd.DataFrame(rows, columns=["kind", "gold", "ours", "theirs", "seconds", "excerpt"]).rename_axis("place")
    return table.astype({"ours": "Int64", "theirs": "string"})


def counts(opinions: pd.DataFrame) -> pd.Series[int]:
    """How many opinions there are of each kind, all kinds listed."""
    return opinions.kind.value_counts().reindex(KINDS, fill_value=0).rename("n")


def disagreements(opinions: pd.DataFrame) -> pd.DataFrame:
    """The opinions in which the two disagree or Math-Verify timed out."""
    return opinions[opinions.kind.isin(KINDS[3:])]


def _opinion(pool: ProcessPool, text: str, gold: int, timeout: float) -> tuple[Any, ...]:
    ours, start = extract_integer(text), time.perf_counter()
    try:
        theirs = pool.schedule(_theirs, (text, gold), timeout=timeout).result()
        kind = _kind(gold, ours, theirs)
    except (TimeoutError, ProcessExpired):
        theirs, kind = None, "timed out"
    seconds = time.perf_counter() - start
    if kind == "timed out":
        _start(pool)  # so that the next answer need not wait for it
    excerpt = " ".join(text[-120:].split())[-60:].encode(errors="replace").decode()
    return kind, gold, ours, theirs, seconds, excerpt


def _kind(gold: int, ours: int | None, theirs: str | None) -> str:
    if theirs is None:
        return "neither reads" if ours is None else "only ours reads"
    if ours is None:
        return "only theirs reads"
    return "differ" if str(ours) != theirs else "both right" if ours == gold else "both wrong"


def _start(pool: ProcessPool) -> None:
    """Have the process start and import what it needs, before any answer's time runs."""
    try:
        pool.schedule(_theirs, (r"\boxed{17}", 17)).result()
    except (ImportError, ProcessExpired) as error:
        told = "Math-Verify does not start: install it with pip install 'math-verify[antlr4_13_2]'"
        raise ConfigError(told) from error


def _limit_memory() -> None:
    logging.disable(logging.CRITICAL)  # in the process, whose words are for nobody
    with contextlib.suppress(ImportError):  # not on this system: the clock remains
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))


def _theirs(text: str, gold: int) -> str | None:
    """What Math-Verify reads in `text`; run in the process."""
    from math_verify import parse, verify

    try:
        found = parse(text, parsing_timeout=None)
        if found and verify(parse(str(gold), parsing_timeout=None), found, timeout_seconds=None):
            return str(gold)
        value = str(getattr(found[0], "rhs", found[0])) if found else None  # of `m + n = 17`, as in its own comparison
    except (Exception, RecursionError, MemoryError):
        return None
    return str(int(value)) if value and value.isdecimal() and len(value) < 20 else value and value[:40]
