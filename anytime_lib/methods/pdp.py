"""Do the model's own preferences, put in context, make good answers come earlier?

Preference Data Prompting (Zhang et al., arXiv 2601.11038): pairs of the model's own attempts at pool problems,
the preferred one beside the other, before the question. PDP(+) shows the preferred attempts alone.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from anytime_lib.errors import ConfigError
from anytime_lib.methods import preference_file
from anytime_lib.methods.base import Client, Context, Method, Preparation, PrepTask, Prompted, chain_of_thought
from anytime_lib.methods.judge import PreferenceSource
from anytime_lib.methods.synthesis import COLUMNS, Synthesis, compare_all, from_attempts, level_of, turned
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Preference, Problem


class Pairs(Preparation):
    """Attempts at the pool problems, compared by `judge`, `grader`, ..., and the pairs chosen from them."""

    def __init__(self, by: PreferenceSource) -> None:
        self.by = by
        self.name = f"pairs:{by}"

    def check(self, task: Task) -> None:
        """Raise ConfigError where pairs by `verifier` are wanted of a task without a checker."""
        if self.by == "verifier" and getattr(task, "verify", None) is None:
            raise ConfigError(f"{task.name} has no checker that works without gold answers; use pdp or pdp_agreement")

    async def __call__(self, client: Client, on: PrepTask) -> Synthesis:
        """Raises DataError if the pool shares a problem with the test set, and what `check` does."""
        self.check(on.task)
        found, attempts = await from_attempts(client, on, partial(compare_all, client, on.task, self.by))
        compared, pool = list(itertools.chain.from_iterable(found)), on.settings.pool
        usable = [pair for _, pair in compared if pair]
        preferences, left_out = choose(usable, pool.n_pairs, pool.pair_tokens)
        if self.by == "shuffled":
            left_out |= {"without a second pair to swap": 1} if len(preferences) == 1 else {}
            usable = preferences = shuffled(preferences, client.seed)
        made_with = {"model": client.model.name, "endpoint": client.model.endpoint_id, "seed": client.seed}
        made_with |= {f"pool_{name}": value for name, value in pool} | client.sampling.model_dump()
        comparisons = pd.DataFrame([row for row, _ in compared], columns=COLUMNS)
        return Synthesis(on.task.name, self.by, preferences, comparisons, usable, attempts, left_out, made_with)

    def save(self, prepared: Synthesis, folder: Path) -> None:
        preference_file.save(prepared, folder)


def choose(
    usable: Sequence[Preference], n_pairs: int, allowance: int | None
) -> tuple[list[Preference], dict[str, int]]:
    """Choose at most `n_pairs` of the pairs with a verdict, in the pool's order, which together take at most
    `allowance` tokens (None: any number); and tell how many others were left out, by reason.

    For margin and variety: the next pair is the one whose problem has given the fewest so far; then whose difficulty
    has been shown least; then whose better answer has not been shown; then whose margin is largest.
    """
    waiting, chosen, too_long = list(usable), list[Preference](), 0
    left = math.inf if allowance is None else allowance
    problems, levels, answers = Counter[str](), Counter[str](), set[str]()

    def rank(pair: Preference) -> tuple[float, ...]:
        shown = problems[pair.problem.id], levels[level_of(pair.problem)]
        return *shown, pair.winner.answer in answers, -pair.margin

    while waiting and len(chosen) < n_pairs:
        best = min(waiting, key=rank)
        waiting.remove(best)
        # Tokens of both attempts as they were counted, of the problem's text one every three bytes, on the high side.
        cost = best.winner.tokens + best.loser.tokens + math.ceil(len(best.problem.text.encode()) / 3)
        if cost > left:
            too_long += 1
            continue
        chosen.append(best)
        left -= cost
        problems[best.problem.id] += 1
        levels[level_of(best.problem)] += 1
        answers.add(best.winner.answer)
    reasons = {"over the token allowance": too_long, "not among the first": len(waiting)}
    return chosen, {why: n for why, n in reasons.items() if n}


def shuffled(preferences: Sequence[Preference], seed: int) -> list[Preference]:
    """The placebo: a random half of the pairs (of an odd number, rounded by a coin) with better and worse swapped, so
    that it is never the treatment, nor all of it turned round. One pair alone would be either: none is returned."""
    if len(preferences) < 2:
        return []
    n, rng = len(preferences), np.random.default_rng([seed, 0x5AFF1E])
    swapped = set(rng.permutation(n)[: n // 2 + (n % 2 and int(rng.integers(2)))].tolist())
    return [replace(turned(p) if i in swapped else p, by="shuffled") for i, p in enumerate(preferences)]


class Pdp(Prompted):
    """Pairs in context (`plus`: the winners alone), after the same worked examples as `base`; `by` is who prefers."""

    preparation: Pairs

    def __init__(self, name: str, by: PreferenceSource = "judge", plus: bool = False) -> None:
        self.name, self.preparation = name, Pairs(by)
        self.prompt = "pdp_plus" if plus else "pdp"

    def check(self, task: Task) -> None:
        self.preparation.check(task)

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        exemplars = "\n\n".join(
            prompt(f"{self.prompt}.exemplar", problem=p.problem.text, winner=p.winner.text, loser=p.loser.text)
            for p in context.prepared.preferences
        )
        question = prompt(f"{self.prompt}.question", exemplars=exemplars, question=context.task.question(problem))
        return chain_of_thought(context.task, problem, context.shots, question)


METHODS: dict[str, Method] = {
    "pdp": Pdp("pdp"),
    "pdp_plus": Pdp("pdp_plus", plus=True),
    **{f"pdp_{by}": Pdp(f"pdp_{by}", by) for by in ("grader", "shuffled", "verifier", "agreement")},
}
