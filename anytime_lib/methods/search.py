"""What would a method that asks as it goes answer at every budget?"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from anytime_lib.methods.base import BudgetAnswer, BudgetSpent, Context, Method, Session
from anytime_lib.types import Problem, Trace


@dataclass(frozen=True)
class Step:
    """What a search holds after it has asked for something: the answer is read out of this trace until the next step.
    If it `grows`, it was being written: stopped meanwhile, its tokens so far answer, else what was held before. After
    the `last`, more tokens would change nothing."""

    trace: Trace
    grows: bool = False
    last: bool = False


class Searching(Method):
    """A method that asks as it goes, step by step. One search serves every budget."""

    def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        """Ask something of the session, say what is held then, and so on. A step costs what was asked for since."""
        raise NotImplementedError

    async def answers_by_budget(
        self, problem: Problem, context: Context, session: Session
    ) -> AsyncIterator[BudgetAnswer]:
        budgets, spent, last = deque(session.budgets), 0, False
        held: tuple[Trace, int] | None = None  # a trace, and after how many of its tokens it is read
        with suppress(BudgetSpent):
            async for step in self.steps(problem, context, session):
                while budgets and budgets[0] < session.spent:
                    budget = budgets.popleft()
                    grown = budget - spent if step.grows else 0
                    place = held if held and not grown else (step.trace, grown)
                    yield BudgetAnswer(budget, budget, await session.read_out(*place))
                held, spent, last = (step.trace, step.trace.n_tokens), session.spent, step.last
                if last or not budgets:
                    break
        if held and budgets:
            answer = await session.read_out(*held)
            for budget in budgets:
                yield BudgetAnswer(budget, min(budget, session.spent), answer, last)
