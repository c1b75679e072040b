"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at one budget and answered; every two of them are then
compared by whoever is asked to (`judge`), and the pairs for the prompt are chosen from those with a verdict (`pairs`).
Attempts and verdicts are requests like any others: those that several ways of judging share are paid for once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
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
from anytime_lib.methods.pairs import choose, lengths, level_of, shuffled, turned
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import Task, grade_answer
from anytime_lib.types import Attempt, Preference, Problem, ProblemSplit, assert_disjoint

T = TypeVar("T")
Compared = tuple[dict[str, Any], Preference | None]

ALONE = "without a second pair to swap"
"""Why a pair is left out that would be the only one of a placebo."""

_COLUMNS = ["problem_id", "level", "first", "second", "tokens_first", "tokens_second", "log_odds_ab", "log_odds_ba",
            "margin", "outcome", "check_first", "check_second", "score_first", "score_second"]  # fmt: skip


@dataclass(frozen=True)
class Synthesis:
    """What came of comparing.

    Attributes:
        by: who compared.
        preferences: the pairs chosen as exemplars, in the order of the prompt.
        comparisons: one row per compared pair: problem_id, level (difficulty), first and second (sample numbers),
            tokens_first and tokens_second (reasoning and answer), log_odds_ab and log_odds_ba (of preferring the
            attempt shown first, in either order; judge only), margin (of the first attempt), outcome (see
            `Judgement`), check_first and check_second (the task's checker, where it has one and pairs are by judge,
            verifier or agreement), and the gold scores of both (only the grader chooses by them).
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
        lost = _listed({why: n for why, n in self.attempts.items() if why != "made" and n})
        outcomes = _listed(self.comparisons.outcome.value_counts().to_dict()) or "nothing to compare"
        told = f"{len(self.comparisons)} comparisons ({outcomes}"
        told += f"; of {sum(self.attempts.values())} attempts {lost}" if lost else ""
        told += (f"; left out: {_listed(self.left_out)}" if self.left_out else "") + ")"
        head = f"{self.task}, by {self.by}"
        if self.preferences:
            tokens = "better attempts take {:.0f} tokens on average, worse ones {:.0f}".format(
                *lengths(self.preferences)
            )
            return f"{head}: {len(self.preferences)} pairs kept from {told}; {tokens}"
        if ALONE in self.left_out:
            return (
                f"{head}: no placebo, for half of its pairs are swapped and one pair alone has no half, from {told}; "
                "methods that need it are left out. n_pairs of 2 or more, a larger pair_tokens, more pool problems or "
                "samples may help"
            )
        return (
            f"{head}: no usable preference pair from {told}; methods that need pairs are left out. More pool problems "
            f"or samples, {'a larger pair_tokens, ' if self.left_out else ''}or another judge, may help"
        )


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items())


def preference_sources(config: RunConfig, task: str) -> list[PreferenceSource]:
    """Who prefers, for the methods that a config runs on a task."""
    made = {preparation.name for m in config.task(task).methods if (preparation := load_method(m).preparation)}
    return [by for by in PREFERENCE_SOURCES if f"pairs:{by}" in made]


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

    async def work(problem: Problem, attempts: list[Attempt]) -> list[Compared]:
        return await _compared(client, task, problem, attempts, by)

    found, counts = await from_attempts(client, task, settings, problems, trace_slots, work)
    compared = list(itertools.chain.from_iterable(found))
    usable = [pair for _, pair in compared if pair]
    pool, sampling = settings.pool, client.config.sampling
    preferences, left_out = choose(usable, pool.n_pairs, allowance=pool.pair_tokens)
    if by == "shuffled":
        left_out |= {ALONE: 1} if len(preferences) == 1 else {}
        usable = preferences = shuffled(preferences, client.config.seed)
    made_with = {
        "model": client.model.name, "endpoint": client.model.endpoint_id, "seed": client.config.seed,
        "pool_budget": pool.budget, "pool_problems": pool.problems, "pool_samples": pool.samples,
        "temperature": sampling.temperature, "top_p": sampling.top_p, "pair_tokens": pool.pair_tokens,
    }  # fmt: skip
    comparisons = pd.DataFrame([row for row, _ in compared], columns=_COLUMNS)
    return Synthesis(task.name, by, preferences, comparisons, usable, counts, left_out, made_with)


async def from_attempts(
    client: Client,
    task: Task,
    settings: TaskConfig,
    problems: ProblemSplit,
    trace_slots: ResizableSemaphore | None,
    work: Callable[[Problem, list[Attempt]], Awaitable[T]],
) -> tuple[list[T], dict[str, int]]:
    """What a piece of work makes of the attempts at each pool problem, and how many attempts were `made`, `failed`, or
    had `hidden` reasoning. Attempts are requests of `synthesis`, whoever asks, so that preparations share them.

    Raises:
        DataError: the pool shares a problem with the test set.
    """
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])
    counts, slots = Counter(made=0), trace_slots or ResizableSemaphore(client.config.endpoint.concurrency)

    async def attempt(problem: Problem, sample: int) -> Attempt:
        of, budget = Sample(task, "synthesis", problem, sample), settings.pool.budget
        trace = await client.trace(of, chain_of_thought(task, problem, problems.shots), budget)
        answer = await client.answer(of, trace, budget, settings.answer_cap)
        tokens = trace.used(budget) + answer.tokens
        return Attempt(trace.text, answer.text, trace.key, answer.key, sample, tokens, answer.finish_reason)

    async def one(problem: Problem) -> T:
        attempts = []
        await slots.acquire()
        try:
            for sample in range(settings.pool.samples):
                try:
                    attempts.append(await attempt(problem, sample))
                    counts["made"] += 1
                except RequestFailed as error:
                    counts["hidden" if isinstance(error, HiddenReasoning) else "failed"] += 1
            return await work(problem, attempts)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(one(p)) for p in problems.pool]
    return [job.result() for job in jobs], dict(counts)


async def _compared(
    client: Client, task: Task, problem: Problem, attempts: list[Attempt], by: PreferenceSource
) -> list[Compared]:
    """Every two attempts at a pool problem compared: a row of `comparisons`, and the pair where there is a verdict."""
    verify = verifier_of(task) if by in ("judge", "verifier", "agreement") else None
    checks = [verify(problem, a.answer) if verify else None for a in attempts]
    scores = [grade_answer(task, problem, a.answer, "").score for a in attempts]
    values = checks if verify else scores
    compared: list[Compared] = []
    for i, j in itertools.combinations(range(len(attempts)), 2):
        a, b = attempts[i], attempts[j]
        if (a.reasoning, a.answer) == (b.reasoning, b.answer):
            found = Judgement("identical")
        elif by in ("grader", "verifier"):
            found = scored(values[i], values[j])
        else:
            found = await judged(client, task, problem, a, b)
            found = agreed(found, scored(values[i], values[j])) if by == "agreement" else found
        row = {"problem_id": problem.id, "level": level_of(problem), "margin": found.margin, "outcome": found.outcome}
        row |= dict(zip(("log_odds_ab", "log_odds_ba"), found.log_odds, strict=True))
        for side, k in (("first", i), ("second", j)):
            row |= {side: attempts[k].sample, f"tokens_{side}": attempts[k].tokens, f"check_{side}": checks[k],
                    f"score_{side}": scores[k]}  # fmt: skip
        pair = Preference(problem, a, b, found.margin or 0.0, found.keys, by, found.log_odds)
        compared.append((row, None if not found.decided else pair if found.outcome == "first" else turned(pair)))
    return compared
