"""What does the model do by itself, without reasoning or with it?"""

from collections.abc import AsyncIterator

from anytime_lib.methods.base import BudgetAnswer, Context, Method, Prompted, Session, chain_of_thought
from anytime_lib.types import Message, Problem, Trace


class Direct(Method):
    """One forced answer, asked for at once; the same at every budget, of which it spends nothing."""

    name = "direct"

    async def answers_by_budget(
        self, problem: Problem, context: Context, session: Session
    ) -> AsyncIterator[BudgetAnswer]:
        messages = chain_of_thought(context.task, problem, context.shots)
        answer = await session.read_out(Trace("", messages, "", [], "usage", stopped=False), 0)
        for budget in session.budgets:
            yield BudgetAnswer(budget, 0, answer, stopped=True)


class Base(Prompted):
    """Chain of thought (Wei et al., arXiv 2201.11903): worked examples, then the question."""

    name = "base"

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return chain_of_thought(context.task, problem, context.shots)


METHODS: dict[str, Method] = {"direct": Direct(), "base": Base()}
