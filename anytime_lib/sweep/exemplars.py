"""Which problems are under test, which may be shown as examples, and do the two share anything?"""

from __future__ import annotations

from anytime_lib.config import TaskConfig
from anytime_lib.errors import DataError
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem, ProblemSplit, assert_disjoint


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
