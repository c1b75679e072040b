"""Do the model's own preferences, put in context, make good answers come earlier?

Preference Data Prompting (Zhang et al., arXiv 2601.11038): pairs of the model's own attempts at pool problems,
the preferred one beside the other, before the question. PDP(+) shows the preferred attempts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from anytime_lib.methods import Method, Preference
from anytime_lib.methods.base import worked_examples
from anytime_lib.prompts import prompt
from anytime_lib.records import Message, Problem
from anytime_lib.tasks import Task


class Pdp:
    """`pdp` (winner and loser) or `pdp_plus` (winner only), after the same worked examples as `base`."""

    needs_preferences = True

    def __init__(self, name: str) -> None:
        self.name = name

    def messages(
        self, task: Task, problem: Problem, shots: Sequence[Problem], preferences: Sequence[Preference]
    ) -> list[Message]:
        exemplars = "\n\n".join(
            prompt(
                f"{self.name}.exemplar",
                problem=p.problem.text,
                winner=f"{p.winner.reasoning}\n{p.winner.answer}".strip(),
                loser=f"{p.loser.reasoning}\n{p.loser.answer}".strip(),
            )
            for p in preferences
        )
        question = prompt(f"{self.name}.question", exemplars=exemplars, question=task.question(problem))
        return [*worked_examples(task, shots), {"role": "user", "content": question}]


METHODS: dict[str, Method] = {"pdp": Pdp("pdp"), "pdp_plus": Pdp("pdp_plus")}
