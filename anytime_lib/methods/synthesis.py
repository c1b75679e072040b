"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at one budget and answered; every two of them are then
compared by whoever is asked to (`judging`), and the pairs for the prompt are chosen from those with a verdict
(`pairs`). Attempts and verdicts are requests like any others: those that several ways of judging share are paid for
once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from anytime_lib.config import RunConfig, TaskConfig
from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Client, Sample, chain_of_thought
from anytime_lib.methods.judge import (
    PREFERENCE_SOURCES,
    Judgement,
    PreferenceSource,
    agreed,
    judged,
    scored,
    verifier_of,
)
from anytime_lib.methods.pairs import choose, lengths, level_of, shuffled
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.user_code import grade_answer
from anytime_lib.types import Attempt, Preference, Problem, ProblemSplit, assert_disjoint

T = TypeVar("T")

ALONE = "without a second pair to swap"
"""Why a pair is left out that would be the only one of a placebo."""

_COLUMNS = ["problem_id", "level", "first", "second", "tokens_first", "tokens_second", "log_odds_ab", "log_odds_ba",
            "margin", "outcome", "check_first", "check_second", "score_first", "score_second"]  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """What comparing the attempts at one pool problem gave: rows of `Synthesis.comparisons`, every usable pair, and
    how many attempts were made, failed, or kept their reasoning hidden."""

    rows: list[dict[str, Any]]
    pairs: list[Preference]
    attempts: Counter[str]


@dataclass(frozen=True)
class Synthesis:
    """What came of comparing.

    Attributes:
        by: who compared.
        preferences: the pairs chosen as exemplars, in the order of the prompt.
        comparisons: one row per compared pair: problem_id, level (difficulty), first and second (sample numbers),
            tokens_first and tokens_second (reasoning and answer), log_odds_ab and log_odds_ba (of preferring the
            attempt shown first, in either order; judge only), margin (of the first attempt), outcome (see
            `judging.Judgement`), check_first and check_second (the task's checker, where it has one and
            pairs are by judge, verifier or agreement), and the gold scores of both (for judging the judge; never used
            for choosing, but by the grader).
        usable: every pair with a verdict, chosen or not.
        attempts: how many were `made`, `failed`, or had `hidden` reasoning.
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
        """One sentence that says how many pairs are usable, and why not when there are none."""
        counts = self.comparisons.outcome.value_counts().to_dict() if len(self.comparisons) else {}
        told = ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing to compare"
        lost = ", ".join(f"{n} {why}" for why, n in self.attempts.items() if why != "made" and n)
        told += f"; of {sum(self.attempts.values())} attempts {lost}" if lost else ""
        left = ", ".join(f"{n} {why}" for why, n in self.left_out.items())
        head = f"{self.task}, by {self.by}"
        if self.preferences:
            long = lengths(self.preferences)
            return (
                f"{head}: {len(self.preferences)} pairs kept from {len(self.comparisons)} comparisons ({told})"
                + (f", others left out: {left}" if left else "")
                + f"; better attempts take {long.winners:.0f} tokens on average, worse ones {long.losers:.0f}"
            )
        if ALONE in self.left_out:
            return (
                f"{head}: no placebo, for half of its pairs are swapped and one pair alone has no half "
                f"({len(self.comparisons)} comparisons: {told}; left out: {left}); methods that need it are left out. "
                "n_pairs of 2 or more, a larger pair_tokens, more pool problems or samples may help"
            )
        return (
            f"{head}: no usable preference pair from {len(self.comparisons)} comparisons ({told}"
            + (f"; left out: {left}" if left else "")
            + "); methods that need pairs are left out. More pool problems or samples, "
            + ("a larger pair_tokens, or another judge, may help" if left else "or another judge, may help")
        )


def preference_sources(config: RunConfig, task: str) -> list[PreferenceSource]:
    """Who prefers, for the methods that a config runs on a task: in their order, each once."""
    found = [p.name.removeprefix("pairs:") for m in config.task(task).methods if (p := load_method(m).preparation)
             and p.name.startswith("pairs:")]  # fmt: skip
    return [by for by in dict.fromkeys(found) if by in PREFERENCE_SOURCES]


async def synthesize(
    client: Client,
    task: Task,
    settings: TaskConfig,
    problems: ProblemSplit,
    trace_slots: ResizableSemaphore | None = None,
    by: PreferenceSource = "judge",
) -> Synthesis:
    """Sample attempts at the pool problems, have them compared, choose exemplars.

    Args:
        trace_slots: admits as many pool problems at once as there are slots; None: `concurrency` of them.

    Raises:
        DataError: the pool shares a problem with the test set.
        ConfigError: the task has no checker, and pairs by `verifier` are wanted.
    """
    verifier_of(task, needed=by == "verifier")

    async def one(problem: Problem) -> Compared:
        return await compare_on(client, task, settings, problems.shots, problem, by)

    slots = trace_slots or ResizableSemaphore(lambda: client.config.endpoint.concurrency)
    return chosen(client, task, settings, await over_pool(problems, slots, one), by)


async def over_pool(
    problems: ProblemSplit, slots: ResizableSemaphore, work: Callable[[Problem], Awaitable[T]]
) -> list[T]:
    """What a piece of work gives for each problem of the pool, as many at once as there are slots.

    Raises:
        DataError: the pool shares a problem with the test set.
    """
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])

    async def one(problem: Problem) -> T:
        await slots.acquire()
        try:
            return await work(problem)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(one(p)) for p in problems.pool]
    return [job.result() for job in jobs]


async def attempts_at(
    client: Client, task: Task, settings: TaskConfig, shots: Sequence[Problem], problem: Problem
) -> tuple[list[Attempt], Counter[str]]:
    """The model's attempts at one pool problem, and how many were `made`, `failed`, or had `hidden` reasoning.

    They are requests of `synthesis`, whoever asks, so that preparations share them.
    """
    counts, attempts, budget = Counter[str](), [], settings.pool.budget
    messages = chain_of_thought(task, problem, shots)
    for sample in range(settings.pool.samples):
        try:
            of = Sample(task, "synthesis", problem, sample)
            trace = await client.trace(of, messages, budget)
            answer = await client.answer(of, trace, budget, settings.answer_cap)
        except RequestFailed as error:
            counts["hidden" if isinstance(error, HiddenReasoning) else "failed"] += 1
            continue
        counts["made"] += 1
        tokens = trace.used(budget) + answer.tokens
        attempts.append(Attempt(trace.text, answer.text, trace.key, answer.key, sample, tokens, answer.finish_reason))
    return attempts, counts


def chosen(
    client: Client, task: Task, settings: TaskConfig, compared: Sequence[Compared], by: PreferenceSource
) -> Synthesis:
    """The pairs for the prompt, from what comparing the attempts at each pool problem gave."""
    config, usable = client.config, [pair for found in compared for pair in found.pairs]
    choice = choose(usable, settings.pool.n_pairs, allowance=settings.pool.pair_tokens)
    preferences, left_out = choice.preferences, dict(choice.left_out)
    if by == "shuffled":
        if len(preferences) == 1:
            left_out[ALONE] = 1
        preferences = shuffled(preferences, config.seed)
        usable = preferences
    attempts = sum((found.attempts for found in compared), Counter({"made": 0}))
    return Synthesis(
        task=task.name, by=by, preferences=preferences,
        comparisons=pd.DataFrame([row for found in compared for row in found.rows], columns=_COLUMNS),
        usable=usable, attempts={"made": 0} | dict(attempts), left_out=left_out,
        made_with={
            "model": client.model.name, "endpoint": client.model.endpoint_id, "seed": config.seed,
            "pool_budget": settings.pool.budget, "pool_problems": settings.pool.problems,
            "pool_samples": settings.pool.samples, "temperature": config.sampling.temperature,
            "top_p": config.sampling.top_p,
            "pair_tokens": settings.pool.pair_tokens,
        },
    )  # fmt: skip


async def compare_on(
    client: Client,
    task: Task,
    settings: TaskConfig,
    shots: Sequence[Problem],
    problem: Problem,
    by: PreferenceSource = "judge",
) -> Compared:
    """Attempts at one pool problem, every two of them compared."""
    attempts, counts = await attempts_at(client, task, settings, shots, problem)
    verify = verifier_of(task) if by in ("judge", "verifier", "agreement") else None
    checks = [verify(problem, a.answer) if verify else None for a in attempts]
    scores = [grade_answer(task, problem, a.answer, "").score for a in attempts]
    rows, pairs = [], []
    for i, j in itertools.combinations(range(len(attempts)), 2):
        a, b = attempts[i], attempts[j]
        if (a.reasoning, a.answer) == (b.reasoning, b.answer):
            found = Judgement("identical")
        elif by == "grader":
            found = scored(scores[i], scores[j])
        elif by == "verifier":
            found = scored(checks[i], checks[j])
        else:
            found = await judged(client, task, problem, a, b)
            if by == "agreement":
                values = checks if verify else scores
                found = agreed(found, scored(values[i], values[j]))
        rows.append(
            {"problem_id": problem.id, "level": level_of(problem), "first": a.sample, "second": b.sample,
             "tokens_first": a.tokens, "tokens_second": b.tokens, "log_odds_ab": found.log_odds[0],
             "log_odds_ba": found.log_odds[1], "margin": found.margin, "outcome": found.outcome,
             "check_first": checks[i], "check_second": checks[j], "score_first": scores[i], "score_second": scores[j]}
        )  # fmt: skip
        if found.decided:
            pairs.append(_preference(problem, a, b, found, by))
    return Compared(rows, pairs, counts)


def _preference(problem: Problem, a: Attempt, b: Attempt, found: Judgement, by: PreferenceSource) -> Preference:
    """A verdict as a pair, in the winner's order."""
    margin, (ab, ba) = abs(found.margin or 0.0), found.log_odds
    if found.outcome == "first":
        return Preference(problem, a, b, margin, found.keys, by, (ab, ba))
    return Preference(problem, b, a, margin, found.keys[::-1], by, (ba, ab))
