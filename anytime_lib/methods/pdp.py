"""Do the model's own preferences, put in context, make good answers come earlier?

Preference Data Prompting (Zhang et al., arXiv 2601.11038): pairs of the model's own attempts at pool problems,
the preferred one beside the other, before the question. PDP(+) shows the preferred attempts alone.
"""

from __future__ import annotations

from pathlib import Path

from anytime_lib.config import TaskConfig
from anytime_lib.methods import preference_file
from anytime_lib.methods.base import Client, Context, Method, Prompted, chain_of_thought
from anytime_lib.methods.judge import PreferenceSource, verifier_of
from anytime_lib.methods.synthesis import Synthesis, synthesize
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Problem, ProblemSplit


class Pairs:
    """Preference pairs from the pool, by `judge`, `grader`, ..."""

    def __init__(self, by: PreferenceSource) -> None:
        self.by = by
        self.name = f"pairs:{by}"

    async def __call__(
        self, client: Client, task: Task, settings: TaskConfig, problems: ProblemSplit, trace_slots: ResizableSemaphore
    ) -> Synthesis:
        return await synthesize(client, task, settings, problems, trace_slots, by=self.by)

    def save(self, prepared: Synthesis, folder: Path) -> None:
        preference_file.save(prepared, folder)


class Pdp(Prompted):
    """Pairs in context, after the same worked examples as `base`.

    Args:
        by: who prefers: `judge` for PDP itself; by the pool's gold (`grader`) it is the ceiling, with the winners drawn
            by lot (`shuffled`) the placebo.
        plus: winners only.
    """

    def __init__(self, name: str, by: PreferenceSource = "judge", plus: bool = False) -> None:
        self.name, self.by, self.plus = name, by, plus
        self.preparation = Pairs(by)

    def check(self, task: Task) -> None:
        verifier_of(task, needed=self.by == "verifier")

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
    "pdp_grader": Pdp("pdp_grader", by="grader"),
    "pdp_shuffled": Pdp("pdp_shuffled", by="shuffled"),
    "pdp_verifier": Pdp("pdp_verifier", by="verifier"),
    "pdp_agreement": Pdp("pdp_agreement", by="agreement"),
}
