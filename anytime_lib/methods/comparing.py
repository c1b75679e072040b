"""How good is each of many attempts, by what was said of some pairs of them?

Comparing every two of n attempts takes n (n - 1) / 2 verdicts. So a `ring` of pairs is compared, and what was said of
them is turned into a strength of each attempt (`strengths`).
"""

import asyncio
import math
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from anytime_lib.methods.base import Client
from anytime_lib.methods.judge import SAME, TIE, Judgement, PreferenceSource, agreed, judged, scored, verified
from anytime_lib.tasks.base import Task
from anytime_lib.types import Attempt, Preference, Problem

T = TypeVar("T")
Pair = tuple[int, int]
COLUMNS = ["problem_id", "level", "budget", "first", "second", "tokens_first", "tokens_second", "log_odds_ab",
           "log_odds_ba", "margin", "outcome", "score_first", "score_second"]  # fmt: skip


def ring(n: int, opponents: int) -> list[Pair]:
    """The pairs compared of n attempts: each with the next `ceil(opponents / 2)` in a ring, so that a chain of
    comparisons leads from every attempt to every other. They are n * ceil(opponents / 2), and never more than all."""
    steps = range(1, min(n, math.ceil(opponents / 2) + 1))
    return sorted({(min(i, j), max(i, j)) for i in range(n) for step in steps for j in [(i + step) % n]})


def strengths(n: int, margins: Mapping[Pair, float]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The strengths (n,) whose differences come closest, by least squares, to the margins of the compared pairs: of
    mean 0 in each group of attempts that comparisons link, NaN where none touches one. And the group (n,) of each:
    strengths of two groups cannot be compared."""
    design = np.zeros((len(margins), n))
    for row, (i, j) in zip(design, margins, strict=True):
        row[[i, j]] = 1, -1
    found = np.linalg.lstsq(design, np.array([*margins.values()]), rcond=None)[0]  # of all that fit, the shortest
    found[~design.any(axis=0)] = np.nan
    return found, connected_components(design.T @ design)[1]


@dataclass(frozen=True)
class Compared:
    """What came of comparing attempts at one pool problem, cut at one checkpoint: a row of `COLUMNS` for each compared
    pair; the pairs with a verdict; and the widest: the pair, compared or not, that differs most in quality."""

    rows: list[tuple[Any, ...]]
    usable: list[Preference]
    widest: Preference | None


async def compare(
    client: Client, task: Task, by: PreferenceSource, problem: Problem, attempts: Sequence[Attempt], pairs: list[Pair]
) -> Compared:
    """Have these pairs of attempts compared; identical texts are not asked about, and tie."""
    told: list[float | None] = [a.grade.score for a in attempts]
    if by == "verifier" or (by == "agreement" and getattr(task, "verify", None)):
        told = [verified(task, problem, a.answer) for a in attempts]
    scores = np.array([np.nan if score is None or not math.isfinite(score) else score for score in told])

    async def verdict(i: int, j: int) -> Judgement:
        if attempts[i].text == attempts[j].text:
            return Judgement("identical", 0.0)
        if by in ("grader", "verifier"):
            return scored(scores[i], scores[j])
        async with client.trace_slots:
            return await judged(client, task, problem, attempts[i], attempts[j])

    said = dict(zip(pairs, await together(verdict(i, j) for i, j in pairs), strict=True))
    margins = {pair: each.margin for pair, each in said.items() if each.margin is not None}
    if by == "agreement":
        said = {(i, j): agreed(each, scored(scores[i], scores[j])) for (i, j), each in said.items()}

    def preference(better: int, worse: int, margin: float | None) -> Preference:
        i, j = sorted((better, worse))
        known, sign = said.get((i, j), Judgement("unparsed")), 1 if i == better else -1
        pair = Preference(problem, attempts[i], attempts[j], sign * (margin or 0.0), known.keys, by, known.log_odds)
        return pair if i == better else turned(pair)

    rows, usable = [], []
    for (i, j), each in said.items():
        a, b = attempts[i], attempts[j]
        rows.append((problem.id, level_of(problem), a.budget, a.sample, b.sample, a.tokens, b.tokens, *each.log_odds,
                     each.margin, each.outcome, a.grade.score, b.grade.score))  # fmt: skip
        if each.outcome in ("first", "second"):
            usable.append(preference(*((i, j) if each.outcome == "first" else (j, i)), abs(each.margin or 0.0)))
    widest = widest_of(by, scores, margins)
    return Compared(rows, usable, preference(*widest) if widest else None)


def widest_of(
    by: PreferenceSource, scores: NDArray[np.float64], margins: Mapping[Pair, float]
) -> tuple[int, int, float] | None:
    """Better, worse and the gap of the two attempts that differ most in quality, where that is no tie; of equals the
    first. Quality is the scores (n,), or the strengths by the judge's margins; by `agreement`, of those pairs that both
    order in the same way."""
    quality, group, tie = scores, np.zeros(len(scores), np.int32), SAME
    if by not in ("grader", "verifier"):
        (quality, group), tie = strengths(len(scores), margins), TIE
    gaps = np.subtract.outer(quality, quality).round(9)
    allowed = (gaps > tie) & np.equal.outer(group, group)
    if by == "agreement":
        allowed &= np.subtract.outer(scores, scores) > SAME
    if not allowed.any():
        return None
    better, worse = divmod(int(np.where(allowed, gaps, 0).argmax()), len(scores))
    return better, worse, float(gaps[better, worse])


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What pieces of work return that are done side by side."""
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(piece) for piece in work]
    return [job.result() for job in jobs]


def turned(pair: Preference) -> Preference:
    """A pair with better and worse swapped, and with them what was said of the two."""
    return replace(pair, winner=pair.loser, loser=pair.winner, margin=-pair.margin,
                   verdict_keys=pair.verdict_keys[::-1], log_odds=pair.log_odds[::-1])  # fmt: skip


def level_of(problem: Problem) -> str:
    """A problem's difficulty as a word, in the task's own terms; empty where none is told."""
    return str(problem.metadata.get("difficulty", problem.metadata.get("n_cities", "")))
