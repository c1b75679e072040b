"""Which of a source's problems are in a split, in which order, and how many of them?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from anytime_lib.errors import ConfigError, nearest
from anytime_lib.types import Problem

SPLITS = {"test": 0, "pool": 1}


def check_split(split: str) -> None:
    """Raise ConfigError unless `split` is `test`, `pool`, or `all` (a source not split at all)."""
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"unknown split {split!r}{nearest(str(split), (*SPLITS, 'all'))}")


def choose(problems: Iterable[Problem], split: str, seed: int, limit: int | None, one_in: int = 5) -> list[Problem]:
    """The problems of a split, shuffled by `seed`, at most `limit`.

    A problem's content decides its split: one in `one_in` is in `pool`, the rest in `test`; `all` takes both. Its id
    and the seed decide its place, so that a larger limit extends a smaller one.
    """
    check_split(split)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, not {limit}")
    found = [p for p in problems if split == "all" or (split == "pool") == in_pool(p, one_in)]
    return sorted(found, key=lambda p: hashlib.sha256(f"{seed}:{p.id}".encode()).digest())[:limit]


def in_pool(problem: Problem, one_in: int) -> bool:
    """Whether a problem's content puts it in the pool."""
    return int(problem.content_hash[:8], 16) % one_in == 0
