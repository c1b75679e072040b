"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at checkpoints and answered there. Comparing every two of n
takes n (n - 1) / 2 verdicts: so a `ring` of pairs is compared (`judge`), and what was said of them is turned into a
strength of each attempt. Attempts and verdicts that several preparations share are paid for once.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Client, PrepTask, Sample, chain_of_thought
from anytime_lib.methods.judge import (
    SAME,
    Attempt,
    Judgement,
    Preference,
    PreferenceSource,
    agreed,
    judged,
    scored,
    verified,
)
from anytime_lib.models.tokens import cut
from anytime_lib.tasks.base import grade_answer
from anytime_lib.types import Problem, assert_disjoint, shown

T = TypeVar("T")
Pair = tuple[int, int]
Floats = NDArray[np.float64]
_PAIR = ["problem_id", "level", "budget", "first", "second", "tokens_first", "tokens_second"]
COLUMNS = [*_PAIR, "log_odds_ab", "log_odds_ba", "margin", "outcome", "score_first", "score_second"]
_ATTEMPT = ["tokens", "score", "reasoning", "answer"]


@dataclass(frozen=True)
class Synthesis:
    """What came of comparing.

    Attributes:
        by: who compared.
        preferences: the pairs chosen as exemplars, in the order of the prompt.
        comparisons: one row per compared pair, `COLUMNS`: budget is the checkpoint, first and second are sample
            numbers, tokens those of reasoning and answer, log_odds of preferring the attempt shown first, in either
            order (judge only), margin that of the first attempt, outcome as in `Judgement`, score the gold one.
        usable: the chosen pairs and every other compared one with a verdict; of those with the same texts the first.
        attempts: as `from_attempts` counts them, and how many of their cuts read like another's.
        left_out: how many pairs were not put in the prompt, or checkpoints had none, by reason.
        at_budget: the pair of each checkpoint, where it has one that fits by itself; empty where pairs are not chosen
            by checkpoint.
        made_with: model, endpoint, seed and the settings that determine the pairs.
    """

    task: str
    by: PreferenceSource
    preferences: list[Preference]
    comparisons: pd.DataFrame
    usable: list[Preference] = field(repr=False)
    attempts: dict[str, int]
    left_out: dict[str, int]
    made_with: dict[str, Any]
    at_budget: dict[int, Preference] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.preferences)

    def summary(self) -> str:
        """One sentence on how many pairs there are, and what to do if there are none."""
        outcomes = self.comparisons.outcome.value_counts().to_dict()
        found = (
            f"{self.task}, by {self.by}: preference pairs: {len(self.preferences) or 'none'}, from comparisons: "
            f"{len(self.comparisons)} (attempts {tallied(self.attempts)}; outcomes {tallied(outcomes)}; "
            f"left out {tallied(self.left_out)})"
        )
        mend = "more pool problems, samples, budgets or pairs, a larger pair_tokens or verdict_tokens, or another judge"
        mend = "a server that shows its reasoning" if self.attempts.get("hidden") else mend
        return found if self.preferences else f"{found}; methods that need them are left out; {mend} may help"

    def to_frame(self) -> pd.DataFrame:
        """The pairs in the prompt, one row each, in its order: budget (where both attempts were cut), problem_id,
        margin; and of the preferred and of the rejected attempt: tokens (of its reasoning), score (by gold,
        which the judge never sees), reasoning and answer, withheld where the problem is private."""
        rows = []
        for pair in self.preferences:
            row: dict[str, Any] = {"budget": pair.budget, "problem_id": pair.problem.id, "margin": pair.margin}
            for name, one in (("preferred", pair.winner), ("rejected", pair.loser)):
                texts = (shown(pair.problem, text) for text in (one.reasoning, one.answer))
                told = one.reasoning_tokens, one.grade.score, *texts
                row |= {f"{what}_{name}": value for what, value in zip(_ATTEMPT, told, strict=True)}
            rows.append(row)
        names = [f"{what}_{name}" for name in ("preferred", "rejected") for what in _ATTEMPT]
        return pd.DataFrame(rows, columns=["budget", "problem_id", "margin", *names])


def tallied(counts: Mapping[Any, int]) -> str:
    """Counts in words, as `3 made, 1 failed`."""
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "none"


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What pieces of work return that are done side by side."""
    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(piece) for piece in work]
    return [job.result() for job in jobs]


async def from_attempts(
    client: Client, on: PrepTask, checkpoints: Sequence[int]
) -> tuple[dict[int, list[list[Attempt]]], Counter[str]]:
    """The attempts at each pool problem, by checkpoint (which ascend); how many of them were `made`, `failed`, or had
    `hidden` reasoning; and how many cuts of those that were made have no answer. Attempts are requests of `synthesis`
    of `pool_budget` tokens, whoever asks, so that preparations share them. DataError if the pool shares a problem with
    the test set."""
    task, settings, problems = on[:3]
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])
    counts = Counter[str](made=0)

    async def attempt(problem: Problem, number: int) -> dict[int, Attempt]:
        """By checkpoint, where an answer could be had."""
        of, found = Sample(task, "synthesis", problem, number), dict[int, Attempt]()
        async with client.trace_slots:
            try:
                asked = chain_of_thought(task, problem, problems.shots)
                trace = await client.trace(of, asked, settings.pool_budget)
            except RequestFailed as error:
                counts["hidden" if isinstance(error, HiddenReasoning) else "failed"] += 1
                return found
            for budget in reversed(checkpoints):  # as in a sweep: the longest prompt holds the beginning of all others
                try:
                    answer = await client.answer(of, trace, budget, settings.answer_cap)
                except RequestFailed:
                    continue
                used, grade = trace.used(budget), grade_answer(task, problem, answer.text, answer.finish_reason)
                reasoning, tokens = cut(trace.text, trace.ends, used), used + answer.tokens
                keys = trace.key, answer.key
                found[budget] = Attempt(reasoning, answer.text, *keys, number, tokens, grade, budget, used)
        counts["made" if found else "failed"] += 1
        if found and len(found) < len(checkpoints):
            counts["cuts without an answer"] += len(checkpoints) - len(found)
        return found

    made = await together(attempt(p, number) for p in problems.pool for number in range(settings.pool.samples))
    of_problem = [made[i : i + settings.pool.samples] for i in range(0, len(made), settings.pool.samples)]
    return {b: [[cuts[b] for cuts in some if b in cuts] for some in of_problem] for b in checkpoints}, counts


def ring(n: int, opponents: int) -> list[Pair]:
    """The pairs compared of n attempts: each with the next `ceil(opponents / 2)` in a ring, so that a chain of
    comparisons leads from every attempt to every other. They are n * ceil(opponents / 2), and never more than all."""
    steps = range(1, min(n, math.ceil(opponents / 2) + 1))
    return sorted({(min(i, j), max(i, j)) for i in range(n) for step in steps for j in [(i + step) % n]})


def strengths(n: int, margins: Mapping[Pair, float]) -> tuple[Floats, Floats]:
    """The strengths (n,) whose differences come closest, by least squares, to the margins of the compared pairs: of
    mean 0 in each group of attempts that comparisons link, NaN where none touches one. And the group (n,) of each:
    strengths of two groups cannot be compared."""
    design = np.zeros((len(margins), n))
    for row, (i, j) in zip(design, margins, strict=True):
        row[[i, j]] = 1, -1
    found = np.linalg.lstsq(design, np.array([*margins.values()]), rcond=None)[0]  # of all that fit, the shortest
    found[~design.any(axis=0)] = np.nan
    return found, connected_components(design.T @ design)[1].astype(float)


class Compared(NamedTuple):
    """What came of comparing attempts at one pool problem, cut at one checkpoint: a row of `COLUMNS` for each compared
    pair; the pairs with a verdict; and the widest: the pair, compared or not, that differs most in quality."""

    rows: list[tuple[Any, ...]]
    usable: list[Preference]
    widest: Preference | None


async def compare(
    client: Client, on: PrepTask, by: PreferenceSource, problem: Problem, attempts: Sequence[Attempt], pairs: list[Pair]
) -> Compared:
    """Have these pairs of attempts compared; identical texts are not asked about, and tie."""
    task, cap = on.task, on.settings.pool.verdict_tokens
    checked = by == "verifier" or (by == "agreement" and getattr(task, "verify", None))
    told = [verified(task, problem, a.answer) if checked else a.grade.score for a in attempts]
    scores = np.array(told, dtype=float)
    scores[~np.isfinite(scores)] = np.nan

    async def verdict(i: int, j: int) -> Judgement:
        if attempts[i].text == attempts[j].text:
            return Judgement("identical", 0.0)
        if by in ("grader", "verifier"):
            return scored(told[i], told[j])
        async with client.trace_slots:
            return await judged(client, task, problem, attempts[i], attempts[j], cap)

    said = dict(zip(pairs, await together(verdict(i, j) for i, j in pairs), strict=True))
    margins = {pair: each.margin for pair, each in said.items() if each.margin is not None}
    if by == "agreement":
        said = {(i, j): agreed(each, scored(told[i], told[j])) for (i, j), each in said.items()}

    def preference(i: int, j: int, margin: float) -> Preference:
        known = said.get((i, j), Judgement("unparsed"))
        pair = Preference(problem, attempts[i], attempts[j], margin, known.keys, by, known.log_odds)
        return pair if margin > 0 else turned(pair)

    rows = []
    for (i, j), each in said.items():
        a, b = attempts[i], attempts[j]
        pair = problem.id, problem.level, a.budget, a.sample, b.sample, a.tokens, b.tokens
        rows.append((*pair, *each.log_odds, each.margin, each.outcome, a.grade.score, b.grade.score))
    usable = [preference(*pair, v.margin or 0.0) for pair, v in said.items() if v.outcome in ("first", "second")]
    widest = widest_of(by, scores, margins)
    return Compared(rows, usable, widest and preference(*widest))


def widest_of(by: PreferenceSource, scores: Floats, margins: Mapping[Pair, float]) -> tuple[int, int, float] | None:
    """The two attempts that differ most in quality, and by how much, unless all are equal; of equals the first. Quality
    is the scores (n,), or the strengths by the judge's margins; by `agreement`, of pairs that both order in one way."""
    n, quality, group = len(scores), scores, np.zeros(len(scores))
    if by not in ("grader", "verifier"):
        quality, group = strengths(n, margins)
    gaps = np.triu(np.subtract.outer(quality, quality)).round(9)
    allowed = (np.abs(gaps) > SAME) & np.equal.outer(group, group)
    if by == "agreement":
        allowed &= gaps * np.subtract.outer(scores, scores).round(9) > 0
    i, j = divmod(int(np.where(allowed, np.abs(gaps), 0).argmax()), n) if n else (0, 0)
    return (i, j, float(gaps[i, j])) if allowed.any() else None


def turned(pair: Preference) -> Preference:
    """A pair with better and worse swapped, and with them what was said of the two."""
    said = replace(pair, margin=-pair.margin, verdict_keys=pair.verdict_keys[::-1], log_odds=pair.log_odds[::-1])
    return replace(said, winner=pair.loser, loser=pair.winner)
