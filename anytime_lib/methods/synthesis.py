"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at one budget and answered; every two of them are then
compared (`judge`). Attempts and verdicts that several preparations share are paid for once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Client, PrepTask, Sample, chain_of_thought
from anytime_lib.methods.judge import PREFERENCE_SOURCES, Judgement, PreferenceSource, agreed, judged, scored, verified
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import Task, grade_answer
from anytime_lib.types import Attempt, Preference, Problem, assert_disjoint

T = TypeVar("T")
COLUMNS = ["problem_id", "level", "first", "second", "tokens_first", "tokens_second", "log_odds_ab", "log_odds_ba",
            "margin", "outcome", "score_first", "score_second"]  # fmt: skip


@dataclass(frozen=True)
class Synthesis:
    """What came of comparing.

    Attributes:
        by: who compared.
        preferences: the pairs chosen as exemplars, in the order of the prompt.
        comparisons: one row per compared pair, `COLUMNS`: first and second are sample numbers, tokens those of
            reasoning and answer, log_odds of preferring the attempt shown first, in either order (judge only), margin
            that of the first attempt, outcome as in `Judgement`, score the gold one (only the grader chooses by it).
        usable: every pair with a verdict, chosen or not.
        attempts: as `from_attempts` counts them.
        left_out: usable pairs that were not chosen, by reason.
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

    def __bool__(self) -> bool:
        return bool(self.preferences)

    def summary(self) -> str:
        """One sentence on how many pairs there are, and what to do if there are none."""
        outcomes = self.comparisons.outcome.value_counts().to_dict()
        found = (
            f"{self.task}, by {self.by}: {len(self.preferences) or 'no usable'} preference pairs from "
            f"{len(self.comparisons)} comparisons (attempts {listed(self.attempts)}; outcomes {listed(outcomes)}; "
            f"left out {listed(self.left_out)})"
        )
        mend = "more pool problems or samples, n_pairs of 2 or more, a larger pair_tokens or another judge may help"
        return found if self.preferences else f"{found}; methods that need them are left out; {mend}"


def listed(counts: Mapping[Any, int]) -> str:
    """Counts in words, as `3 made, 1 failed`."""
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "none"


def preference_sources(config: RunConfig, task: str) -> list[PreferenceSource]:
    """Who prefers, for the methods that a config runs on a task."""
    made = {preparation.name for m in config.task(task).methods if (preparation := load_method(m).preparation)}
    return [by for by in PREFERENCE_SOURCES if f"pairs:{by}" in made]


async def from_attempts(
    client: Client, on: PrepTask, work: Callable[[Problem, list[Attempt]], Awaitable[T]]
) -> tuple[list[T], dict[str, int]]:
    """What a piece of work makes of the attempts at each pool problem, and how many attempts were `made`, `failed`, or
    had `hidden` reasoning. Attempts are requests of `synthesis`, whoever asks, so that preparations share them.
    DataError if the pool shares a problem with the test set."""
    task, settings, problems = on
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])
    counts = Counter(made=0)

    async def attempt(problem: Problem, sample: int) -> Attempt:
        of, budget = Sample(task, "synthesis", problem, sample), settings.pool.budget
        trace = await client.trace(of, chain_of_thought(task, problem, problems.shots), budget)
        answer = await client.answer(of, trace, budget, settings.answer_cap)
        tokens = trace.used(budget) + answer.tokens
        grade = grade_answer(task, problem, answer.text, answer.finish_reason)
        return Attempt(trace.text, answer.text, trace.key, answer.key, sample, tokens, grade)

    async def one(problem: Problem) -> T:
        attempts = []
        async with client.trace_slots:
            for sample in range(settings.pool.samples):
                try:
                    attempts.append(await attempt(problem, sample))
                    counts["made"] += 1
                except RequestFailed as error:
                    counts["hidden" if isinstance(error, HiddenReasoning) else "failed"] += 1
            return await work(problem, attempts)

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(one(p)) for p in problems.pool]
    return [job.result() for job in jobs], counts


async def compare_all(
    client: Client, task: Task, by: PreferenceSource, problem: Problem, attempts: list[Attempt]
) -> list[tuple[tuple[Any, ...], Preference | None]]:
    """Of every two attempts at a pool problem a row of `COLUMNS`, and the pair where there is a verdict."""
    scores: list[float | None] = [a.grade.score for a in attempts]
    if by == "verifier" or (by == "agreement" and getattr(task, "verify", None)):
        scores = [verified(task, problem, a.answer) for a in attempts]
    compared: list[tuple[tuple[Any, ...], Preference | None]] = []
    for (a, score_a), (b, score_b) in itertools.combinations(zip(attempts, scores, strict=True), 2):
        if (a.reasoning, a.answer) == (b.reasoning, b.answer):
            found = Judgement("identical")
        elif by in ("grader", "verifier"):
            found = scored(score_a, score_b)
        else:
            found = await judged(client, task, problem, a, b)
            found = agreed(found, scored(score_a, score_b)) if by == "agreement" else found
        row = (problem.id, level_of(problem), a.sample, b.sample, a.tokens, b.tokens, *found.log_odds, found.margin,
               found.outcome, a.grade.score, b.grade.score)  # fmt: skip
        pair = Preference(problem, a, b, found.margin or 0.0, found.keys, by, found.log_odds)
        compared.append((row, {"first": pair, "second": turned(pair)}.get(found.outcome)))
    return compared


def turned(pair: Preference) -> Preference:
    """A pair with better and worse swapped, and with them what was said of the two."""
    return replace(pair, winner=pair.loser, loser=pair.winner, margin=-pair.margin,
                   verdict_keys=pair.verdict_keys[::-1], log_odds=pair.log_odds[::-1])  # fmt: skip


def level_of(problem: Problem) -> str:
    """A problem's difficulty as a word, in the task's own terms; empty where none is told."""
    return str(problem.metadata.get("difficulty", problem.metadata.get("n_cities", "")))
