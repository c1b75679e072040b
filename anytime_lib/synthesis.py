"""Which of its own attempts does the model prefer?

Attempts at pool problems are sampled like any trace, cut at one budget and answered; the model then compares them
two by two, in both orders. A pair becomes an exemplar if the model's preference, averaged over the two orders (so
that a liking for the first place cancels), is not a tie.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from anytime_lib.asking import Asker
from anytime_lib.config import TaskSettings
from anytime_lib.exemplars import Draw, assert_disjoint
from anytime_lib.methods import Attempt, Preference
from anytime_lib.methods.base import chain_of_thought
from anytime_lib.models.endpoint import RequestFailed
from anytime_lib.models.limiter import Gate
from anytime_lib.records import Problem, shown
from anytime_lib.tasks import Task

TIE = 0.05
"""Preferences weaker than this, in nats of log-odds, count as ties."""


@dataclass(frozen=True)
class Synthesis:
    """What came of comparing.

    Attributes:
        preferences: usable pairs chosen as exemplars, at most one a problem, strongest first.
        comparisons: one row per compared pair: problem_id, first and second (attempt numbers), log_odds_ab and
            log_odds_ba (of preferring the attempt shown first, in either order), margin (of the first attempt,
            averaged over orders), outcome (`first`, `second`, `tie`, `unparsed`, `identical`, `error`), and the
            gold scores of both (for judging the judge, never used for choosing).
    """

    task: str
    preferences: list[Preference]
    comparisons: pd.DataFrame

    def __bool__(self) -> bool:
        return bool(self.preferences)

    def reading(self) -> str:
        """One sentence that says how many pairs are usable, and why not when there are none."""
        counts = self.comparisons.outcome.value_counts().to_dict() if len(self.comparisons) else {}
        told = ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing to compare"
        if self.preferences:
            return f"{self.task}: {len(self.preferences)} pairs kept from {len(self.comparisons)} comparisons ({told})"
        return (
            f"{self.task}: no usable preference pair from {len(self.comparisons)} comparisons ({told}); methods that "
            "need pairs are left out. More pool problems or samples, or another judge, may help"
        )

    def save(self, path: Path) -> None:
        """Write the chosen pairs with their lineage, one JSON object a line; texts on private problems are withheld."""

        def attempt(p: Preference, made: Attempt) -> dict[str, str]:
            return asdict(made) | {
                "reasoning": shown(p.problem, made.reasoning),
                "answer": shown(p.problem, made.answer),
            }

        rows = [
            {"task": self.task, "problem_id": p.problem.id, "problem_hash": p.problem.content_hash,
             "prompt": shown(p.problem), "chosen": attempt(p, p.winner), "rejected": attempt(p, p.loser),
             "margin": p.margin, "verdict_keys": p.verdict_keys}
            for p in self.preferences
        ]  # fmt: skip
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def log_odds(text: str, alternatives: dict[str, float]) -> float | None:
    """The log-odds (nats) of A over B in a verdict; None if it cannot be read.

    From the log-probabilities of the first token where the server gives them; a letter too unlikely to be listed counts
    as the least likely of those that are, so that the surest verdicts keep their rank. Where the server gives none,
    +1 or -1 by the letter said. The two scales never meet in one verdict.
    """
    letters: dict[str, float] = {}
    for token, value in alternatives.items():
        letter = token.strip().strip("*(\"'").upper()
        if letter in ("A", "B"):
            letters[letter] = float(np.logaddexp(letters.get(letter, -np.inf), value))
    if letters:
        least = min(alternatives.values())
        return letters.get("A", least) - letters.get("B", least)
    said = text.strip().lstrip("*(\"' ").upper()
    if not alternatives and said[:1] in ("A", "B") and not said[1:2].isalpha():
        return 1.0 if said[0] == "A" else -1.0
    return None


async def synthesize(
    asker: Asker, task: Task, settings: TaskSettings, problems: Draw, units: Gate | None = None
) -> Synthesis:
    """Sample attempts at the pool problems, have the model compare them, choose exemplars.

    Args:
        units: admits as many pool problems at once as there are slots; None: `concurrency` of them.

    Raises:
        DataError: the pool shares a problem with the test set.
    """
    assert_disjoint(problems.test, [*problems.pool, *problems.shots])
    gate = units or Gate(lambda: asker.config.concurrency)

    async def one(problem: Problem) -> tuple[list[dict[str, object]], list[Preference]]:
        await gate.enter()
        try:
            return await compare_on(asker, task, settings, problems.shots, problem)
        finally:
            gate.leave()

    async with asyncio.TaskGroup() as group:
        jobs = [group.create_task(one(p)) for p in problems.pool]
    return chosen(task, settings, [job.result() for job in jobs])


def chosen(
    task: Task, settings: TaskSettings, compared: Sequence[tuple[list[dict[str, object]], list[Preference]]]
) -> Synthesis:
    """The strongest pair of each pool problem, the strongest of those first, from what comparing each gave."""
    rows = [row for found, _ in compared for row in found]
    best = [max(pairs, key=lambda p: p.margin) for _, pairs in compared if pairs]
    best.sort(key=lambda p: -p.margin)
    return Synthesis(task.name, best[: settings.n_pairs], pd.DataFrame(rows, columns=_COLUMNS))


_COLUMNS = ["problem_id", "first", "second", "log_odds_ab", "log_odds_ba", "margin", "outcome", "score_first",
            "score_second"]  # fmt: skip


async def compare_on(
    asker: Asker, task: Task, settings: TaskSettings, shots: Sequence[Problem], problem: Problem
) -> tuple[list[dict[str, object]], list[Preference]]:
    """Attempts at one pool problem, compared two by two: rows of `Synthesis.comparisons`, and every usable pair."""
    messages = chain_of_thought(task, problem, shots)
    attempts = []
    for sample in range(asker.config.pool_samples):
        try:
            trace = await asker.trace(task, "synthesis", problem, messages, sample, settings.pool_budget)
            key, row = await asker.answer(
                task, "synthesis", problem, trace, settings.pool_budget, sample, settings.answer_tokens
            )
        except RequestFailed:
            continue
        attempts.append(Attempt(trace.text, row["text"], trace.key, key))
    rows, found = [], []
    for i, j in itertools.combinations(range(len(attempts)), 2):
        a, b = attempts[i], attempts[j]
        row = {"problem_id": problem.id, "first": i, "second": j,
               "score_first": task.grade(problem, a.answer).score,
               "score_second": task.grade(problem, b.answer).score}  # fmt: skip
        rows.append(row)
        if (a.reasoning, a.answer) == (b.reasoning, b.answer):
            row["outcome"] = "identical"
            continue
        try:
            key_ab, said_ab = await asker.verdict(task, problem, a, b, 0)
            key_ba, said_ba = await asker.verdict(task, problem, b, a, 0)
        except RequestFailed:
            row["outcome"] = "error"
            continue
        ab, ba = (log_odds(said["text"], said["first"]) for said in (said_ab, said_ba))
        row |= {"log_odds_ab": ab, "log_odds_ba": ba}
        if ab is None or ba is None:
            row["outcome"] = "unparsed"
            continue
        margin = (ab - ba) / 2
        row["margin"] = margin
        row["outcome"] = "tie" if abs(margin) < TIE else "first" if margin > 0 else "second"
        if row["outcome"] != "tie":
            winner, loser = (a, b) if margin > 0 else (b, a)
            found.append(Preference(problem, winner, loser, abs(margin), (key_ab, key_ba)))
    return rows, found
