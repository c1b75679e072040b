"""What does the model do by itself? Chain of thought after a few worked examples."""

from __future__ import annotations

from collections.abc import Sequence

from anytime_lib.methods import Given, Method, Prompted
from anytime_lib.records import Message, Problem
from anytime_lib.tasks import Task


def worked_examples(task: Task, shots: Sequence[Problem]) -> list[Message]:
    """Each shot as the conversation a trace goes through: question, reasoning, forced answer.

    Where no worked reasoning is known, the answer is asked for at once, as it is after an empty trace.
    """
    turns: list[Message] = []
    for shot in shots:
        question, asked, reasoning = task.question(shot), task.answer_prompt(shot), task.gold_reasoning(shot)
        if reasoning:
            turns += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": reasoning},
                {"role": "user", "content": asked},
            ]
        else:
            turns.append({"role": "user", "content": f"{question}\n\n{asked}"})
        turns.append({"role": "assistant", "content": task.gold_answer(shot)})
    return turns


def chain_of_thought(task: Task, problem: Problem, shots: Sequence[Problem], question: str = "") -> list[Message]:
    """Worked examples, then the question: the task's own, or another way to put it."""
    return [*worked_examples(task, shots), {"role": "user", "content": question or task.question(problem)}]


class Base(Prompted):
    """Chain of thought (Wei et al., arXiv 2201.11903): worked examples, then the question."""

    name = "base"

    def messages(self, problem: Problem, given: Given) -> list[Message]:
        return chain_of_thought(given.task, problem, given.shots)


METHODS: dict[str, Method] = {"base": Base()}
