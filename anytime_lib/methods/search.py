"""What may a method ask while it searches, and what would it answer at every budget?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Context
from anytime_lib.sweep.client import CachedClient
from anytime_lib.types import Message, Problem, Trace

STRIDE = 10_000
"""Further traces of a sample are stored as samples this far apart, so that more samples never share one."""


@dataclass(frozen=True)
class Answer:
    """What was answered.

    Attributes:
        text, finish_reason: as the server said it.
        tokens: it took.
        key: of its request.
        trace_key: of the reasoning it was read out of; None if there was none.
    """

    text: str = field(repr=False)
    finish_reason: str
    tokens: int
    key: str
    trace_key: str | None


@dataclass(frozen=True)
class Completion:
    """Something else that was said: a valuation, a verdict, a critique.

    Attributes:
        first: log-probabilities (nats) of the alternatives for its first token, where they were asked for and told.
        tokens: it took; where the server does not tell, all that it was allowed.
    """

    text: str = field(repr=False)
    first: dict[str, float] = field(repr=False)
    tokens: int
    key: str


@dataclass(frozen=True)
class BudgetAnswer:
    """What a method answers when it is stopped at a budget.

    Attributes:
        used: tokens spent by then, of reasoning and of all else that steered the method; never above `budget`.
        answer: what it answers, or the failure that kept it from being asked: that cell is then an `error`.
        answer_tokens: that it took to read the answer out, where more than one was; None: the answer's own.
        stopped: more tokens would change nothing.
        keys: of what it pays prompts for if it is stopped here: requests begun by then that steered it, and those that
            read this answer out; None: all that were made through its `Ask`.
    """

    budget: int
    used: int
    answer: Answer | RequestFailed
    answer_tokens: int | None = None
    stopped: bool = False
    keys: tuple[str, ...] | None = None


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


class Ask:
    """What a method asks of the model for one sample of one problem; everything is stored and on the ledger.

    Attributes:
        asked: keys of the requests so far that were not in vain, in their order.
    """

    def __init__(self, client: CachedClient, context: Context, method: str, problem: Problem, sample: int) -> None:
        self._asker, self._given, self._method = client, context, method
        self._problem, self._sample = problem, sample
        self.asked: list[str] = []

    async def trace(self, messages: list[Message], max_tokens: int, number: int = 0) -> Trace:
        """Sample a reasoning. Another `number` is another reasoning; 0 is the one that `base` has of this sample, if
        messages and `max_tokens` are the same.

        Raises:
            RequestFailed: it could not be had, or the server hides it. Left alone, it makes the cells errors.
        """
        sample = self._sample + STRIDE * number
        found = await self._asker.trace(self._given.task, self._method, self._problem, messages, sample, max_tokens)
        self.asked.append(found.key)
        return found

    def nothing(self, messages: list[Message]) -> Trace:
        """A trace without any reasoning."""
        return Trace("", messages, "", [], "usage", False)

    async def answer(self, trace: Trace, tokens: int | None = None, cap: int | None = None) -> Answer:
        """Force an answer after the first `tokens` of a trace (None: all), of at most `cap` tokens (the task's own).

        Raises:
            RequestFailed: it could not be had.
        """
        context, at = self._given, trace.n_tokens if tokens is None else tokens
        most = context.settings.answer_cap if cap is None else min(cap, context.settings.answer_cap)
        key, row = await self._asker.answer(context.task, self._method, self._problem, trace, at, self._sample, most)
        self.asked.append(key)
        spent = row["completion_tokens"]
        return Answer(row["text"], row["finish_reason"], spent, key, trace.key or None)

    async def say(
        self, messages: list[Message], max_tokens: int, kind: str = "say", alternatives: int = 0,
        temperature: float = 0.0,
    ) -> Completion:  # fmt: skip
        """Have the model say something else; its tokens count against the budget.

        Args:
            kind: its name in the ledger, such as `value` or `judge`.
            alternatives: for the first token, with their log-probabilities.

        Raises:
            RequestFailed: it could not be had.
        """
        key, row = await self._asker.say(
            kind, self._given.task, self._method, messages, self._sample, max_tokens, alternatives, temperature
        )
        self.asked.append(key)
        return Completion(row["text"], row["first"], row["completion_tokens"] or max_tokens, key)


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


async def read_out(ask: Ask, trace: Trace, at: int) -> Answer | RequestFailed:
    """The answer after `at` tokens of a trace, or why it could not be had."""
    try:
        return await ask.answer(trace, at)
    except RequestFailed as failed:
        return failed


async def answers_of_steps(steps: AsyncIterator[Step], context: Context, ask: Ask) -> AsyncIterator[BudgetAnswer]:
    """What a search answers at every budget, from its steps. No step is taken that no budget needs."""
    pending, spent = list(context.settings.budgets), 0
    steered, seen = list[str](), len(ask.asked)
    known: tuple[tuple[str, int], Answer | RequestFailed] | None = None
    state: tuple[Trace, int] | None = None
    step: Step | None = None

    async def answered(trace: Trace, at: int) -> Answer | RequestFailed:
        nonlocal known
        if known is None or known[0] != (trace.key, at):
            known = (trace.key, at), await read_out(ask, trace, at)
        return known[1]

    def paid(begun: list[str], answer: Answer | RequestFailed) -> tuple[str, ...]:
        return (*begun, *([answer.key] if isinstance(answer, Answer) else []))

    async for step in steps:
        news = ask.asked[seen:]  # asked for this step
        at = step.trace.n_tokens if step.at is None else step.at
        while pending and pending[0] < spent + step.tokens:
            budget = pending.pop(0)
            now = (step.trace, at + (budget - spent if step.grows else 0))
            if state and not now[1]:
                now = state  # nothing is written of it yet
            answer = await answered(*now)
            begun = steered + news if budget > spent else steered  # else it is over before the step begins
            yield BudgetAnswer(budget, budget, answer, keys=paid(begun, answer))
        spent += step.tokens
        steered, seen = steered + news, len(ask.asked)
        state = step.trace, at + (step.tokens if step.grows else 0)
        if not pending or step.last:
            break
    for budget in pending if state and step else ():
        assert state and step
        answer = await answered(*state)
        yield BudgetAnswer(budget, spent, answer, stopped=step.last, keys=paid(steered, answer))
