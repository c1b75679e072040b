"""What may a method ask while it searches, and what would it answer at every budget?"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Context, Method
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

    def read_at(self, spent: int) -> tuple[Trace, int]:
        """What the answer is read out of when `spent` tokens of this step are spent: so much of a trace."""
        at = self.trace.n_tokens if self.at is None else self.at
        return self.trace, at + (spent if self.grows else 0)


class Session:
    """What a method asks of the model for one sample of one problem; everything is stored and on the ledger.

    Attributes:
        budgets: at which it is stopped, ascending.
        prompts: key -> prompt tokens of every request that was answered so far.
    """

    def __init__(self, client: Client, context: Context, method: str, problem: Problem, sample: int) -> None:
        self._client, self._context, self._method = client, context, method
        self._problem, self._sample = problem, sample
        self.budgets = context.settings.budgets
        self.prompts: dict[str, int] = {}

    async def trace(self, messages: list[Message], max_tokens: int, number: int = 0) -> Trace:
        """Sample a reasoning. Another `number` is another reasoning; 0 is the one that `base` has of this sample, if
        messages and `max_tokens` are the same.

        Raises:
            RequestFailed: it could not be had, or the server hides it. Left alone, it makes the cells errors.
        """
        sample = self._sample + STRIDE * number
        trace = await self._client.trace(self._context.task, self._method, self._problem, messages, sample, max_tokens)
        self.prompts[trace.key] = trace.prompt_tokens
        return trace

    def nothing(self, messages: list[Message]) -> Trace:
        """A trace without any reasoning."""
        return Trace("", messages, "", [], "usage", False)

    async def answer(self, trace: Trace, tokens: int | None = None, cap: int | None = None) -> Completion:
        """Force an answer after the first `tokens` of a trace (None: all), of at most `cap` tokens (the task's own).

        Raises:
            RequestFailed: it could not be had.
        """
        answer = await self._forced(trace, tokens, cap)
        self.prompts[answer.key] = answer.prompt_tokens
        return answer

    async def read_out(self, trace: Trace, tokens: int) -> Completion | RequestFailed:
        """The answer after so many tokens of a trace, or why it could not be had. It steers nothing, so it is not
        among `prompts`."""
        try:
            return await self._forced(trace, tokens, None)
        except RequestFailed as failed:
            return failed

    async def say(
        self,
        messages: list[Message],
        max_tokens: int,
        kind: str = "say",
        alternatives: int = 0,
        temperature: float = 0.0,
    ) -> Completion:
        """Have the model say something else. Its `tokens` count against the budget; where the server does not tell
        them, they are all that it was allowed.

        Args:
            kind: its name in the ledger, such as `value` or `judge`.
            alternatives: for the first token, with their log-probabilities.

        Raises:
            RequestFailed: it could not be had.
        """
        said = await self._client.say(
            kind, self._context.task, self._method, messages, self._sample, max_tokens, alternatives, temperature
        )
        self.prompts[said.key] = said.prompt_tokens
        return replace(said, tokens=said.tokens or max_tokens)

    async def _forced(self, trace: Trace, tokens: int | None, cap: int | None) -> Completion:
        task, most = self._context.task, self._context.settings.answer_cap
        at = trace.n_tokens if tokens is None else tokens
        return await self._client.answer(
            task, self._method, self._problem, trace, at, self._sample, most if cap is None else min(cap, most)
        )


def cost(trace: Trace, cap: int) -> int:
    """What a trace of at most `cap` tokens took: all of them, unless it ended by itself. Its text may be a token short,
    where the cap fell inside a character."""
    return trace.n_tokens if trace.stopped else max(cap, trace.n_tokens)


def joined(first: Trace, second: Trace, between: str = "\n") -> Trace:
    """A reasoning and its continuation as one trace, asked for as the first was."""
    if not first.text:
        return replace(second, messages=first.messages)
    offset = len((first.text + between).encode())
    ends = [*first.ends, *(offset + end for end in second.ends)]
    return replace(second, messages=first.messages, text=first.text + between + second.text, ends=ends)


async def answers_of_steps(steps: AsyncIterator[Step], session: Session) -> AsyncIterator[BudgetAnswer]:
    """What a search answers at every budget, from its steps. No step is taken that no budget needs."""
    budgets, spent, before = deque(session.budgets), 0, dict[str, int]()
    held: tuple[Trace, int] | None = None  # what can be read out between two steps
    step: Step | None = None
    reader = _Reader(session)
    async for step in steps:
        begun = dict(session.prompts)
        while budgets and budgets[0] < spent + step.tokens:
            budget = budgets.popleft()
            reads = step.read_at(budget - spent)
            if held and not reads[1]:
                reads = held  # nothing is written of it yet
            answer, prompt = await reader.read(reads, begun if budget > spent else before)
            yield BudgetAnswer(budget, budget, answer, prompt_tokens=prompt)
        spent, before, held = spent + step.tokens, begun, step.read_at(step.tokens)
        if step.last or not budgets:
            break
    for budget in budgets if held and step else ():
        assert held and step
        answer, prompt = await reader.read(held, before)
        yield BudgetAnswer(budget, spent, answer, stopped=step.last, prompt_tokens=prompt)


class _Reader:
    """Reads answers out; budgets that share one ask for it once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last: tuple[tuple[Trace, int], Completion | RequestFailed] | None = None

    async def read(self, reads: tuple[Trace, int], prompts: dict[str, int]) -> tuple[Completion | RequestFailed, int]:
        """The answer after so much of a trace, and the prompt tokens of it and of the requests in `prompts`."""
        if self._last is None or self._last[0] != reads:
            self._last = reads, await self._session.read_out(*reads)
        answer = self._last[1]
        if isinstance(answer, Completion):
            prompts = prompts | {answer.key: answer.prompt_tokens}
        return answer, sum(prompts.values())
