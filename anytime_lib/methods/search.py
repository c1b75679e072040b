"""What may a method ask while it searches, and what would it answer at every budget?"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Context, Method, Sample
from anytime_lib.types import Completion, Message, Problem, Trace

STRIDE = 10_000
"""Further traces of a sample are stored as samples this far apart, so that more samples never share one."""


class Searching(Method):
    """A method that asks as it goes. Either of the two functions below says how; `steps` is the simpler one."""

    def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        """What it does, step by step: what each costs, and what it would answer if stopped in it.

        The largest budget is `context.budget`; what is asked beyond it is wasted. One search serves every budget.
        """
        raise NotImplementedError

    def answers_by_budget(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[BudgetAnswer]:
        """For every budget, in ascending order, what it would answer when stopped there."""
        return answers_of_steps(self.steps(problem, context, session), session)


@dataclass(frozen=True)
class BudgetAnswer:
    """What a method answers when it is stopped at a budget.

    Attributes:
        used: tokens spent by then, of reasoning and of all else that steered the method; never above `budget`.
        answer: what it answers, or the failure that kept it from being asked: that cell is then an `error`.
        answer_tokens: that it took to read the answer out, where more than one was; None: the answer's own.
        stopped: more tokens would change nothing.
        prompt_tokens: of every request begun by then that steered it, and of those that read this answer out; None:
            of all that were made through its `Session`.
    """

    budget: int
    used: int
    answer: Completion | RequestFailed
    answer_tokens: int | None = None
    stopped: bool = False
    prompt_tokens: int | None = None


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


class Session:
    """What a method asks of the model for one sample of one problem; everything is stored and on the ledger.

    All its requests raise RequestFailed where the reply could not be had. Left alone, it makes the cells errors.

    Attributes:
        budgets: at which it is stopped, ascending.
        prompts: key -> prompt tokens of every request so far but those of `read_out`, which steer nothing.
    """

    def __init__(self, client: Client, context: Context, of: Sample) -> None:
        self._client, self._of, self._cap = client, of, context.settings.answer_cap
        self._last: tuple[tuple[Trace, int], Completion | RequestFailed] | None = None
        self.budgets = context.settings.budgets
        self.prompts: dict[str, int] = {}

    async def trace(self, messages: list[Message], max_tokens: int, number: int = 0) -> Trace:
        """Sample a reasoning. Another `number` is another reasoning; 0 is the one that `base` has of this sample, if
        messages and `max_tokens` are the same."""
        of = replace(self._of, number=self._of.number + STRIDE * number)
        trace = await self._client.trace(of, messages, max_tokens)
        self.prompts[trace.key] = trace.prompt_tokens
        return trace

    def nothing(self, messages: list[Message]) -> Trace:
        """A trace without any reasoning."""
        return Trace("", messages, "", [], "usage", False)

    async def answer(self, trace: Trace, tokens: int | None = None, cap: int | None = None) -> Completion:
        """Force an answer after the first `tokens` of a trace (None: all), of at most `cap` tokens (the task's own)."""
        tokens, cap = trace.n_tokens if tokens is None else tokens, self._cap if cap is None else min(cap, self._cap)
        answer = await self._client.answer(self._of, trace, tokens, cap)
        self.prompts[answer.key] = answer.prompt_tokens
        return answer

    async def read_out(self, trace: Trace, tokens: int) -> Completion | RequestFailed:
        """The answer after so many tokens of a trace, or why it could not be had."""
        if self._last is None or self._last[0] != (trace, tokens):  # budgets that share one ask for it once
            try:
                answer: Completion | RequestFailed = await self._client.answer(self._of, trace, tokens, self._cap)
            except RequestFailed as failed:
                answer = failed
            self._last = (trace, tokens), answer
        return self._last[1]

    async def say(
        self,
        messages: list[Message],
        max_tokens: int,
        kind: str = "say",
        alternatives: int = 0,
        temperature: float = 0.0,
    ) -> Completion:
        """Have the model say something else (see `Client.say`). Its `tokens` count against the budget; where the
        server does not tell them, they are all that it was allowed."""
        said = await self._client.say(self._of, kind, messages, max_tokens, alternatives, temperature)
        self.prompts[said.key] = said.prompt_tokens
        return replace(said, tokens=said.tokens or max_tokens)


def cost(trace: Trace, cap: int) -> int:
    """What a trace of at most `cap` tokens took: all of them, unless it ended by itself. Its text may be a token short,
    where the cap fell inside a character."""
    return trace.n_tokens if trace.stopped else max(cap, trace.n_tokens)


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


def prompt_tokens(begun: dict[str, int], *answers: Completion | RequestFailed) -> int:
    """Prompt tokens of requests, and of answers that may be among them."""
    own = {answer.key: answer.prompt_tokens for answer in answers if isinstance(answer, Completion)}
    return sum((begun | own).values())
