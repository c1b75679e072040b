"""Which preference pairs go into the prompt?

By one rule, for margin and variety: the next pair is the one whose problem has given the fewest so far; then whose
difficulty has been shown least; then whose better answer has not been shown; then whose margin is largest (then the
first in the pool's order). One that does not fit in what is left of the token allowance is left out and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anytime_lib.types import Preference, Problem


def choose(
    usable: Sequence[Preference], n_pairs: int, allowance: int | None
) -> tuple[list[Preference], dict[str, int]]:
    """Choose at most `n_pairs` of the pairs with a verdict (in the pool's order) by the rule above; together they take
    at most `allowance` tokens (None: any number). Also returns how many others were left out, by reason."""
    waiting, chosen, too_long = list(usable), list[Preference](), 0
    left = math.inf if allowance is None else allowance
    problems, levels, answers = Counter[str](), Counter[str](), set[str]()

    def rank(pair: Preference) -> tuple[float, ...]:
        shown = problems[pair.problem.id], levels[level_of(pair.problem)]
        return *shown, pair.winner.answer in answers, -pair.margin

    while waiting and len(chosen) < n_pairs:
        best = min(waiting, key=rank)
        waiting.remove(best)
        if cost(best) > left:
            too_long += 1
            continue
        chosen.append(best)
        left -= cost(best)
        problems[best.problem.id] += 1
        levels[level_of(best.problem)] += 1
        answers.add(best.winner.answer)
    reasons = {"over the token allowance": too_long, "not among the first": len(waiting)}
    return chosen, {why: n for why, n in reasons.items() if n}


def turned(pair: Preference) -> Preference:
    """A pair with better and worse swapped, and with them what was said of the two."""
    return replace(pair, winner=pair.loser, loser=pair.winner, margin=-pair.margin,
                   verdict_keys=pair.verdict_keys[::-1], log_odds=pair.log_odds[::-1])  # fmt: skip


def shuffled(preferences: Sequence[Preference], seed: int) -> list[Preference]:
    """The placebo: a random half of the pairs (of an odd number, rounded by a coin) with better and worse swapped, so
    that it is never the treatment, nor all of it turned round. One pair alone would be either: none is returned."""
    if len(preferences) < 2:
        return []
    n, rng = len(preferences), np.random.default_rng([seed, 0x5AFF1E])
    swapped = set(rng.permutation(n)[: n // 2 + (n % 2 and int(rng.integers(2)))].tolist())
    return [replace(turned(p) if i in swapped else p, by="shuffled") for i, p in enumerate(preferences)]


def cost(pair: Preference) -> int:
    """Tokens a pair takes in a prompt: those of both attempts as they were counted, and of the problem's text a token
    every three bytes, on the high side."""
    return pair.winner.tokens + pair.loser.tokens + math.ceil(len(pair.problem.text.encode()) / 3)


def level_of(problem: Problem) -> str:
    """A problem's difficulty as a word, in the task's own terms; empty where none is told."""
    return str(problem.metadata.get("difficulty", problem.metadata.get("n_cities", "")))
