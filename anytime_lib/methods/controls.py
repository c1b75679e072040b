"""What does chain of thought do where one thing about it is another?"""

from typing import Literal

from anytime_lib.methods.base import Context, Method, Prompted, chain_of_thought
from anytime_lib.methods.simple import Base
from anytime_lib.prompts import prompt
from anytime_lib.types import Message, Problem


class Changed(Base):
    """`base`, with a trace of its own for every budget, or with answers that are forced in another way."""

    def __init__(
        self, name: str, via: Literal["turn", "prefill"] | None = None, preface: str = "", per_budget: bool = False
    ) -> None:
        self.name, self.per_budget, self.answer_via, self.answer_preface = name, per_budget, via, preface


class FewShot(Prompted):
    """`base` with `n_pairs` further worked examples from the pool, on which `pdp` has its pairs."""

    name = "few_shot"
    needs_pool = True

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return chain_of_thought(context.task, problem, [*context.shots, *context.pool[: context.settings.pool.n_pairs]])


class BudgetPrompt(Prompted):
    """`base`, told its budget in tokens. The prompt differs at every budget, so each has a trace of its own."""

    name = "budget_prompt"
    per_budget = True

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        question = prompt("budget_prompt.question", question=context.task.question(problem), budget=str(context.budget))
        return chain_of_thought(context.task, problem, context.shots, question)


_ALL: tuple[Method, ...] = (
    BudgetPrompt(),
    FewShot(),
    Changed("imported"),  # traces of `tools.import_traces`, as many as there are; the question is that of `base`
    Changed("base_fresh", per_budget=True),  # from the same seed: what a cut stands in for
    Changed("base_prefill", "prefill"),  # goes on after a closing phrase, whatever the run's way
    Changed("base_reworded", "turn", prompt("base_reworded.answer")),  # asked with other words before the task's own
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
