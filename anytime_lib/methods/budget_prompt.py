"""Does it help to tell the model how many tokens it has?"""

from __future__ import annotations

from anytime_lib.methods import Given, Method, Prompted
from anytime_lib.methods.base import chain_of_thought
from anytime_lib.prompts import prompt
from anytime_lib.records import Message, Problem


class BudgetPrompt(Prompted):
    """`base`, told its budget in tokens. The prompt differs at every budget, so each has a trace of its own."""

    name = "budget_prompt"
    per_budget = True

    def messages(self, problem: Problem, given: Given) -> list[Message]:
        question = prompt("budget_prompt.question", question=given.task.question(problem), budget=str(given.budget))
        return chain_of_thought(given.task, problem, given.shots, question)


METHODS: dict[str, Method] = {"budget_prompt": BudgetPrompt()}
