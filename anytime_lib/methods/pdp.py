"""Do the model's own preferences, put in context, make good answers come earlier?

Preference Data Prompting (Zhang et al., arXiv 2601.11038): pairs of the model's own attempts at pool problems, one for
each budget, the preferred one beside the other, before the question. PDP(+) shows the preferred attempts alone.
"""

import math
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import ConfigError
from anytime_lib.methods import preference_file
from anytime_lib.methods.base import Client, Context, Method, Preparation, PrepTask, Prompted, chain_of_thought
from anytime_lib.methods.judge import Attempt, Preference, PreferenceSource
from anytime_lib.methods.synthesis import COLUMNS, Compared, Synthesis, compare, from_attempts, ring, together, turned
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Problem


class Pairs(Preparation):
    """Of every checkpoint the one pair of attempts with the largest gap in quality, `by` the judge or another.

    Each pool problem has `pool.samples` attempts, one trace each, cut and answered at every budget up to `pool.budget`;
    attempts that are the same so far count as one. For grader and verifier quality is the score of the answer. The
    judge, shown reasoning and answer, compares each attempt with `pool.opponents` others at the same checkpoint: for
    each pool problem and checkpoint n * ceil(opponents / 2) comparisons of n attempts (never more than every two), of
    two requests each; quality is the strength by least squares. By `agreement` only pairs count that the checker (where
    there is none, gold) orders in the same way; `shuffled` swaps half of the judge's. The largest gap counts however
    small it is; of equal ones the first in the order of pool and samples. Pairs enter the prompt from the smallest
    checkpoint to the largest, while they fit in `pool.pair_tokens`; two attempts that both end early are shown once.

    What is known of the paper leaves open whether a checkpoint has one pair, as here, or one for each pool problem; how
    attempts are compared (every two: `pool.opponents` of `pool.samples` - 1); whether the judge sees answers; how many
    pool problems there are (`pool.problems`); and whether a prompt holds the pairs of all checkpoints (`pdp`) or that
    of its own budget (`pdp_at_budget`).

    With `answers` (`pdp_answers`) attempts are cut at `pool.budget` alone, every two are compared, and `pool.n_pairs`
    of the pairs are chosen for margin and variety (`choose`), to be shown with their answers. With `most`, only the
    first so many attempts at each problem count.
    """

    def __init__(self, by: PreferenceSource, answers: bool = False, most: int = 0) -> None:
        self.by, self.answers, self.most = by, answers, most
        self.name = ("pairs with answers" if answers else f"pairs:{by}") + (f" of {most}" if most else "")

    def check(self, task: Task) -> None:
        """Raise ConfigError where pairs by `verifier` are wanted of a task without a checker."""
        if self.by == "verifier" and getattr(task, "verify", None) is None:
            raise ConfigError(f"{task.name} has no checker that works without gold answers; use pdp or pdp_agreement")

    async def __call__(self, client: Client, on: PrepTask) -> Synthesis:
        self.check(on.task)
        if 0 < self.most < on.settings.pool.samples:
            pool = on.settings.pool.model_copy(update={"samples": self.most})
            on = on._replace(settings=on.settings.model_copy(update={"pool": pool}))
        pool, most = on.settings.pool, on.settings.pool_budget
        checkpoints = [most] if self.answers else [b for b in on.settings.budgets if b <= most] or [most]

        def compared(problem: Problem, attempts: list[Attempt]) -> Coroutine[Any, Any, Compared]:
            if self.answers:
                return compare(client, on, self.by, problem, attempts, ring(len(attempts), len(attempts)))
            some = sorted({a.reasoning: a for a in reversed(attempts)}.values(), key=attrgetter("sample"))
            if len(some) < len(attempts):
                counts["cuts that read like another attempt's"] += len(attempts) - len(some)
            return compare(client, on, self.by, problem, some, ring(len(some), pool.opponents))

        cuts, counts = await from_attempts(client, on, checkpoints)
        found = [await together(map(compared, on.problems.pool, cuts[budget])) for budget in checkpoints]
        every = list(chain.from_iterable(found))
        usable, at_budget = [pair for each in every for pair in each.usable], dict[int, Preference]()
        if self.answers:
            preferences, left_out = choose(usable, pool.n_pairs, pool.pair_tokens)
        else:
            widest = [[each.widest for each in at if each.widest] for at in found]
            best = [max(pairs, key=lambda pair: pair.margin) for pairs in widest if pairs]
            at_budget = {pair.budget: pair for pair in best if fitting([pair], pool.pair_tokens)}
            preferences = fitting(once := _distinct(best), pool.pair_tokens)
            left_out = {
                "checkpoints without a pair": len(checkpoints) - len(best),
                "shown at a smaller checkpoint": len(best) - len(once),
                "over the token allowance": len(once) - len(preferences),
            }
            usable = _distinct([*preferences, *best, *usable])
        if self.by == "shuffled":
            left_out["without a second pair to swap"] = int(len(preferences) == 1)
            usable = preferences = shuffled(preferences, client.seed, on.draw)
            at_budget = {pair.budget: pair for pair in preferences}
        made_with = {"model": client.model.name, "endpoint": client.model.endpoint_id, "seed": client.seed}
        made_with |= {f"pool_{name}": value for name, value in pool} | client.sampling.model_dump(exclude={"efforts"})
        made_with |= {"pool_budget": on.settings.pool_budget, "checkpoints": checkpoints, "draw": on.draw}
        table = pd.DataFrame([row for each in every for row in each.rows], columns=COLUMNS)
        told = on.task.name, self.by, preferences, table, usable, counts, dict(+Counter(left_out)), made_with
        return Synthesis(*told, at_budget)

    def save(self, prepared: Synthesis, folder: Path) -> None:
        preference_file.save(prepared, folder, answers=self.answers, most=self.most)


def fitting(pairs: Iterable[Preference], allowance: int | None, answers: bool = False) -> list[Preference]:
    """The pairs that together take at most `allowance` tokens (None: any number), each as it comes if it still fits:
    tokens of both attempts, with or without their answers, as they were counted; of the problem's text one every three
    bytes, on the high side."""
    found, left = list[Preference](), math.inf if allowance is None else allowance
    for pair in pairs:
        tokens = [each.tokens if answers else each.reasoning_tokens for each in (pair.winner, pair.loser)]
        cost = sum(tokens) + math.ceil(len(pair.problem.text.encode()) / 3)
        if cost <= left:
            found.append(pair)
            left -= cost
    return found


def _distinct(pairs: Iterable[Preference]) -> list[Preference]:
    """The first of those with the same two texts, whichever is preferred."""
    found: dict[object, Preference] = {}
    for pair in pairs:
        found.setdefault((pair.problem.id, frozenset((pair.winner.text, pair.loser.text))), pair)
    return list(found.values())


def choose(
    usable: Sequence[Preference], n_pairs: int, allowance: int | None
) -> tuple[list[Preference], dict[str, int]]:
    """Choose at most `n_pairs` of the pairs with a verdict, in the pool's order, which together take at most
    `allowance` tokens, answers included; and tell how many others were left out, by reason.

    For margin and variety: the next pair is the one whose problem has given the fewest so far; then whose difficulty
    has been shown least; then whose better answer has not been shown; then whose margin is largest.
    """
    waiting, chosen, too_long = list(usable), list[Preference](), 0

    def rank(pair: Preference) -> tuple[float, ...]:
        problems = sum(other.problem.id == pair.problem.id for other in chosen)
        levels = sum(other.problem.level == pair.problem.level for other in chosen)
        return problems, levels, any(other.winner.answer == pair.winner.answer for other in chosen), -pair.margin

    while waiting and len(chosen) < n_pairs:
        best = min(waiting, key=rank)
        waiting.remove(best)
        fit = fitting([*chosen, best], allowance, answers=True)
        too_long += len(fit) == len(chosen)
        chosen = fit
    return chosen, {"over the token allowance": too_long, "not among the first": len(waiting)}


def shuffled(preferences: Sequence[Preference], seed: int, draw: int = 0) -> list[Preference]:
    """The placebo: a random half of the pairs (of an odd number, rounded by a coin) with better and worse swapped, so
    that it is never the treatment, nor all of it turned round. One pair alone would be either: none is returned."""
    if len(preferences) < 2:
        return []
    n, rng = len(preferences), np.random.default_rng([seed, 0x5AFF1E, draw])
    swapped = set(rng.permutation(n)[: n // 2 + (n % 2 and int(rng.integers(2)))].tolist())
    return [replace(turned(p) if i in swapped else p, by="shuffled") for i, p in enumerate(preferences)]


class Pdp(Prompted):
    """Pairs in context, reasoning only (see `Pairs`), after the same worked examples as `base`; `by` is who prefers.

    The `prompt` pdp_plus shows the winners alone, pdp_minus the losers, each once. With `per_budget` the prompt of a
    budget holds its own checkpoint's pair alone, so that each budget has a trace of its own; where there is none, that
    of the nearest smaller checkpoint, else of the nearest larger one.
    """

    preparation: Pairs

    def __init__(
        self, name: str, by: PreferenceSource = "judge", prompt: str = "pdp", per_budget: bool = False, most: int = 0
    ) -> None:
        self.name, self.prompt, self.per_budget = name, prompt, per_budget
        self.preparation = Pairs(by, answers=prompt == "pdp_answers", most=most)

    def check(self, task: Task) -> None:
        self.preparation.check(task)

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        pairs = context.prepared.preferences
        if self.per_budget:
            at = context.prepared.at_budget
            pairs = [at[b] for b in sorted(at, key=lambda b: (b > context.budget, abs(b - context.budget)))][:1]
        shown = attrgetter("text" if self.preparation.answers else "reasoning")
        exemplars = (
            prompt(f"{self.prompt}.exemplar", problem=p.problem.text, winner=shown(p.winner), loser=shown(p.loser))
            for p in pairs
        )
        together, asked = "\n\n".join(dict.fromkeys(exemplars)), context.task.question(problem)
        question = prompt(f"{self.prompt}.question", exemplars=together, question=asked)
        return chain_of_thought(context.task, problem, context.shots, question)


METHODS: dict[str, Method] = {
    "pdp": Pdp("pdp"),
    "pdp_plus": Pdp("pdp_plus", prompt="pdp_plus"),
    "pdp_minus": Pdp("pdp_minus", prompt="pdp_minus"),
    "pdp_4": Pdp("pdp_4", most=4),
    "pdp_16": Pdp("pdp_16", most=16),
    "pdp_answers_16": Pdp("pdp_answers_16", prompt="pdp_answers", most=16),
    "pdp_at_budget": Pdp("pdp_at_budget", per_budget=True),
    "pdp_answers": Pdp("pdp_answers", prompt="pdp_answers"),
    **{f"pdp_{by}": Pdp(f"pdp_{by}", by) for by in ("grader", "shuffled", "verifier", "agreement")},
}
