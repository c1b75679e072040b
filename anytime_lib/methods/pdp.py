"""Do the model's own preferences, put in context, make good answers come earlier?

Preference Data Prompting (Zhang et al., arXiv 2601.11038): pairs of the model's own attempts at pool problems,
the preferred one beside the other, before the question. PDP(+) shows the preferred attempts alone.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pandas as pd

from anytime_lib.methods import preference_file
from anytime_lib.methods.base import Client, Context, Method, Preparation, PrepTask, Prompted, chain_of_thought
from anytime_lib.methods.judge import PreferenceSource, check_source
from anytime_lib.methods.pairs import choose, shuffled
from anytime_lib.methods.synthesis import COLUMNS, Synthesis, compare_all, from_attempts
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Problem


class Pairs(Preparation):
    """Attempts at the pool problems, compared by `judge`, `grader`, ..., and the pairs chosen from them."""

    def __init__(self, by: PreferenceSource) -> None:
        self.by = by
        self.name = f"pairs:{by}"

    async def __call__(self, client: Client, on: PrepTask) -> Synthesis:
        """Raises ConfigError as `check_source`, and DataError if the pool shares a problem with the test set."""
        check_source(on.task, self.by)
        found, attempts = await from_attempts(client, on, partial(compare_all, client, on.task, self.by))
        compared = list(itertools.chain.from_iterable(found))
        usable = [pair for _, pair in compared if pair]
        pool = on.settings.pool
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


class Pdp(Prompted):
    """Pairs in context (`plus`: the winners alone), after the same worked examples as `base`; `by` is who prefers."""

    def __init__(self, name: str, by: PreferenceSource = "judge", plus: bool = False) -> None:
        self.name, self.by, self.plus = name, by, plus
        self.preparation = Pairs(by)

    def check(self, task: Task) -> None:
        check_source(task, self.by)

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        kind = "pdp_plus" if self.plus else "pdp"
        exemplars = "\n\n".join(
            prompt(f"{kind}.exemplar", problem=p.problem.text, winner=p.winner.text, loser=p.loser.text)
            for p in context.prepared.preferences
        )
        question = prompt(f"{kind}.question", exemplars=exemplars, question=context.task.question(problem))
        return chain_of_thought(context.task, problem, context.shots, question)


METHODS: dict[str, Method] = {
    "pdp": Pdp("pdp"),
    "pdp_plus": Pdp("pdp_plus", plus=True),
    **{f"pdp_{by}": Pdp(f"pdp_{by}", by) for by in ("grader", "shuffled", "verifier", "agreement")},
}
