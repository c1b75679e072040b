"""What would a method that asks as it goes answer at every budget?"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import BudgetAnswer, Context, Method, Session
from anytime_lib.types import Completion, Problem, Trace


class Searching(Method):
    """A method that asks as it goes. Either `steps` or `answers_by_budget` says how; `steps` is the simpler one."""

    def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        """What it does, step by step, up to `context.budget` tokens. One search serves every budget."""
        raise NotImplementedError

    def answers_by_budget(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[BudgetAnswer]:
        return answers_of_steps(self.steps(problem, context, session), session)


@dataclass(frozen=True)
class Step:
    """One step of a search.

    Attributes:
        tokens: it costs.
        trace: what the answer is read out of while those are being spent.
        at: from how many of the trace's tokens on; None: from all.
        grows: the step writes that trace: stopped after k of its tokens, the answer is read out of `at` + k.
        last: more tokens would change nothing.
    """

    tokens: int
    trace: Trace
    at: int | None = None
    grows: bool = False
    last: bool = False

    def prefix(self, spent: int) -> tuple[Trace, int]:
        """What the answer is read out of when `spent` tokens of this step are spent: the first tokens of a trace."""
        at = self.trace.n_tokens if self.at is None else self.at
        return self.trace, at + (spent if self.grows else 0)


async def answers_of_steps(steps: AsyncIterator[Step], session: Session) -> AsyncIterator[BudgetAnswer]:
    """What a search answers at every budget, from its steps. No step is taken that no budget needs."""
    budgets, spent, before = deque(session.budgets), 0, dict[str, int]()
    held: tuple[Trace, int] | None = None  # what can be read out between two steps
    last = False
    async for step in steps:
        begun = dict(session.prompts)
        while budgets and budgets[0] < spent + step.tokens:
            prefix = step.prefix(budgets[0] - spent)
            answer = await session.read_out(*(prefix if prefix[1] or not held else held))
            prompts = prompt_tokens(begun if budgets[0] > spent else before, answer)
            yield BudgetAnswer(budgets[0], budgets.popleft(), answer, prompt_tokens=prompts)
        spent, before, held, last = spent + step.tokens, begun, step.prefix(step.tokens), step.last
        if last or not budgets:
            break
    for budget in budgets if held else ():
        assert held
        answer = await session.read_out(*held)
        yield BudgetAnswer(budget, spent, answer, stopped=last, prompt_tokens=prompt_tokens(before, answer))


def cost(trace: Trace, cap: int) -> int:
    """What a trace of at most `cap` tokens took: all of them, unless it ended by itself. Its text may be a token short,
    where the cap fell inside a character."""
    return trace.n_tokens if trace.stopped else max(cap, trace.n_tokens)


def prompt_tokens(begun: dict[str, int], *answers: Completion | RequestFailed) -> int:
    """Prompt tokens of requests, and of answers that may be among them."""
    own = {answer.key: answer.prompt_tokens for answer in answers if isinstance(answer, Completion)}
    return sum((begun | own).values())
