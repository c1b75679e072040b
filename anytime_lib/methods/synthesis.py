"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at checkpoints and answered there; pairs of them are then
compared (`comparing`). Attempts and verdicts that several preparations share are paid for once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Client, PrepTask, Sample, chain_of_thought
from anytime_lib.methods.comparing import together
from anytime_lib.methods.judge import PREFERENCE_SOURCES, PreferenceSource
from anytime_lib.models.tokens import cut
from anytime_lib.registry import load_method
from anytime_lib.tasks.base import grade_answer
from anytime_lib.types import Attempt, Preference, Problem, assert_disjoint


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
            f"{self.task}, by {self.by}: {len(self.preferences) or 'no usable'} preference pairs from "
            f"{len(self.comparisons)} comparisons (attempts {listed(self.attempts)}; outcomes {listed(outcomes)}; "
            f"left out {listed(self.left_out)})"
        )
        mend = "more pool problems or samples, more budgets or pairs, a larger pair_tokens or another judge may help"
        return found if self.preferences else f"{found}; methods that need them are left out; {mend}"


def listed(counts: Mapping[Any, int]) -> str:
    """Counts in words, as `3 made, 1 failed`."""
    return ", ".join(f"{n} {what}" for what, n in counts.items()) or "none"


def preference_sources(config: RunConfig, task: str) -> list[PreferenceSource]:
    """Who prefers, for the methods that a config runs on a task."""
    made = {preparation.name for m in config.task(task).methods if (preparation := load_method(m).preparation)}
    return [by for by in PREFERENCE_SOURCES if f"pairs:{by}" in made]


async def from_attempts(
    client: Client, on: PrepTask, checkpoints: Sequence[int]
) -> tuple[dict[int, list[list[Attempt]]], Counter[str]]:
    """The attempts at each pool problem, by checkpoint (which ascend); how many of them were `made`, `failed`, or had
    `hidden` reasoning; and how many cuts of those that were made have no answer. Attempts are requests of `synthesis`,
    whoever asks, so that preparations share them. DataError if the pool shares a problem with the test set."""
    task, settings, problems = on
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])
    counts = Counter[str](made=0)

    async def attempt(problem: Problem, number: int) -> dict[int, Attempt]:
        """By checkpoint, where an answer could be had."""
        of, found = Sample(task, "synthesis", problem, number), dict[int, Attempt]()
        async with client.trace_slots:
            try:
                trace = await client.trace(of, chain_of_thought(task, problem, problems.shots), checkpoints[-1])
            except RequestFailed as error:
                counts["hidden" if isinstance(error, HiddenReasoning) else "failed"] += 1
                return found
            for budget in checkpoints:
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
