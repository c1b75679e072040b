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
from typing import NamedTuple

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.integers import extract_integer

KINDS = ("both right", "both wrong", "neither reads", "only ours reads", "only theirs reads", "differ", "timed out")
MEMORY = 2**31
"""Bytes of address space that the process may take; its libraries take a third."""


class Opinion(NamedTuple):
    """Both readings of one answer; `timed out` also when the process died of it. `theirs` is text of at most 40
    characters (the gold integer where Math-Verify takes the two to be equal), `excerpt` the answer's last 60."""

    kind: str
    gold: int
    ours: int | None
    theirs: str | None
    seconds: float
    excerpt: str


def second_opinions(pairs: Sequence[tuple[str, int]], timeout: float = 5.0) -> list[Opinion]:
    """Math-Verify's and our reading of each (answer, gold integer), in order.

    Works in a notebook and from any thread; a script calls it under `if __name__ == "__main__"`. `timeout` is the
    seconds that Math-Verify may take over one answer. ConfigError where it does not start.
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
            return [_opinion(pool, text, gold, timeout) for text, gold in pairs]
        finally:
            pool.stop()


def counts(opinions: Sequence[Opinion]) -> pd.Series[int]:
    """How many opinions there are of each kind, all kinds listed."""
    return pd.Series([o.kind for o in opinions], dtype=object).value_counts().reindex(KINDS, fill_value=0).rename("n")


def disagreements(opinions: Sequence[Opinion]) -> pd.DataFrame:
    """A row per answer on which the two disagree or Math-Verify timed out; the index is its place in `opinions`."""
    frame = pd.DataFrame(opinions, columns=Opinion._fields).rename_axis("place")
    return frame[frame.kind.isin(KINDS[3:])].astype({"ours": "Int64", "theirs": "string"})


def _opinion(pool: ProcessPool, text: str, gold: int, timeout: float) -> Opinion:
    ours, theirs, start = extract_integer(text), None, time.perf_counter()
    try:
        theirs, kind = pool.schedule(_theirs, (text, gold), timeout=timeout).result(), ""
    except (TimeoutError, ProcessExpired):
        kind = "timed out"
    seconds = time.perf_counter() - start
    if kind:
        _start(pool)  # so that the next answer need not wait for it
    if not kind and (ours is None or theirs is None):
        kind = ("only ours reads", "neither reads")[ours is None] if theirs is None else "only theirs reads"
    if not kind:
        kind = "differ" if str(ours) != theirs else "both right" if ours == gold else "both wrong"
    excerpt = " ".join(text[-120:].split())[-60:].encode(errors="replace").decode()
    return Opinion(kind, gold, ours, theirs, seconds, excerpt)


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
