"""Which problems are under test, which may be shown as examples, and do the two share anything?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anytime_lib.config import TaskConfig
from anytime_lib.errors import DataError
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem, digest


@dataclass(frozen=True)
class ProblemSplit:
    """The problems of one task in one run.

    Attributes:
        test: problems under test.
        shots: worked examples, shown to every method.
        pool: problems on which preferences are synthesised, or principles found; empty if no method needs them.
    """

    test: list[Problem]
    shots: list[Problem]
    pool: list[Problem]


def split_problems(task: Task, settings: TaskConfig, seed: int) -> ProblemSplit:
    """Draw a task's test problems, worked examples and pool, and assert that they share nothing.

    Raises:
        DataError: there are too few problems, or the pool shares an id or a text with the test set.
    """
    methods = map(load_method, settings.methods)
    needed = any(method.needs_pool or method.preparation for method in methods)
    wanted = {"test": settings.n_problems, "pool": settings.n_shots + (settings.pool.problems if needed else 0)}
    apart = settings.pool_source is not None  # then neither source is split
    if settings.pool_source == "none" and wanted["pool"]:
        raise DataError(
            f"{task.name}: worked examples, pairs and principles come from a pool, and pool_source is 'none'"
        )
    sources = {"test": settings.source, "pool": settings.pool_source or settings.source}
    found: dict[str, list[Problem]] = {"pool": []}
    for part, source in sources.items():
        if not wanted[part]:
            continue
        found[part] = task.problems(
            source, wanted[part], seed, "all" if apart and source else part, settings.difficulty
        )
        if len(found[part]) < wanted[part]:
            keeps = "" if apart or not source else "; some are kept for the other split: name a pool_source of its own"
            raise DataError(
                f"{task.name}: {wanted[part]} {part} problems wanted, {source or 'the built-in set'} holds "
                f"{len(found[part])}; ask for fewer{keeps}"
            )
    test, pool = found["test"], found["pool"]
    assert_disjoint(test, pool)
    return ProblemSplit(test, pool[: settings.n_shots], pool[settings.n_shots :])


def assert_disjoint(test: Sequence[Problem], exemplars: Iterable[Problem]) -> None:
    """Raise DataError if any exemplar is also under test (see `shared`): that is a leak."""
    if found := shared(exemplars, test):
        raise DataError(
            f"leak: {len(found)} exemplars are also under test ({', '.join(found[:3])}), by id or by text; use another "
            "pool"
        )


def shared(some: Iterable[Problem], others: Iterable[Problem]) -> list[str]:
    """The ids of those problems that are also among others: by id, or by text whatever its white space and its gold
    answer ("73" and "073" are answers to one problem)."""
    found = list(others)
    ids, texts = {p.id for p in found}, {_text_digest(p) for p in found}
    return [p.id for p in some if p.id in ids or _text_digest(p) in texts]


def _text_digest(problem: Problem) -> str:
    return digest(" ".join(problem.text.split()))
