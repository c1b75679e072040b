"""What is a method, what is it given, and what may it ask of the model?

A `Prompted` method only writes the messages that ask for reasoning: one trace of each sample is cut at every budget,
and an answer is forced there. Any other (see `search`) asks as it goes: several traces, valuations, verdicts.

Every output token that is reasoning, or that steers the method before it is stopped, counts against the budget. The
answers that are forced when it is stopped are counted apart (`answer_tokens`), as are prompts (`prompt_tokens`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from anytime_lib.config.groups import SamplingConfig, TaskConfig
from anytime_lib.errors import RequestFailed
from anytime_lib.tasks.base import Task
from anytime_lib.types import Completion, Message, Problem, ProblemSplit, Trace

STRIDE = 10_000
"""Further traces of a sample are stored as samples this far apart, so that more samples never share one."""


@dataclass(frozen=True)
class Sample:
    """What something is asked for: one sample of a problem, by a method or for a preparation."""

    task: Task
    method: str
    problem: Problem
    number: int = 0


class PrepTask(NamedTuple):
    """The task on whose pool a method is prepared."""

    task: Task
    settings: TaskConfig
    problems: ProblemSplit


class ModelName(Protocol):
    """What a model is called in requests and cells, and what stands for its endpoint."""

    name: str
    endpoint_id: str


class Client(Protocol):
    """What a preparation may ask of the model, and a method through its `Session`; known replies come from the store.

    All three functions raise RequestFailed where the reply could not be had; `trace` raises HiddenReasoning where the
    server does not show it. `trace_slots` admits as many traces, or pool problems, at once as there are slots.
    """

    sampling: SamplingConfig
    seed: int
    model: ModelName
    trace_slots: asyncio.Semaphore

    async def trace(self, of: Sample, messages: list[Message], max_tokens: int) -> Trace: ...

    async def answer(self, of: Sample, trace: Trace, budget: int, cap: int) -> Completion: ...

    async def say(
        self, of: Sample, kind: str, messages: list[Message], cap: int, alternatives: int = 0
    ) -> Completion: ...


@dataclass(frozen=True)
class Context:
    """What a method is given beside the problem.

    Attributes:
        shots: worked examples from the pool, the same for every method.
        pool: the other problems of the pool; empty unless a method of the run needs them.
        prepared: what the method's preparation made.
        budget: the most tokens that will be allowed: the largest budget, or the one in question (`per_budget`).
    """

    task: Task
    settings: TaskConfig
    shots: Sequence[Problem] = ()
    pool: Sequence[Problem] = ()
    prepared: Any = None
    budget: int = 0


class Preparation:
    """What is done once for a task before a method runs on it, on pool problems alone.

    Arms whose preparation has the same `name` share one run of it. Where what it made is falsy, its `summary()` says
    why, and those arms are left out.
    """

    name: str

    async def __call__(self, client: Client, on: PrepTask) -> Any:
        raise NotImplementedError

    def save(self, prepared: Any, folder: Path) -> None:
        """Keep what was made in the run's folder."""


class Session:
    """What a method asks of the model for one sample of one problem; everything is stored and on the ledger.

    All but `read_out` raise RequestFailed where the reply could not be had. Left alone, it makes the cells errors.

    Attributes:
        budgets: at which it is stopped, ascending.
        prompts: key -> prompt tokens of every request so far but those of `read_out`, which steer nothing.
    """

    def __init__(self, client: Client, context: Context, of: Sample) -> None:
        self._client, self._of, self._cap = client, of, context.settings.answer_cap
        self._read: dict[tuple[str, int], Completion | RequestFailed] = {}
        self.budgets = context.settings.budgets
        self.prompts: dict[str, int] = {}

    async def trace(self, messages: list[Message], max_tokens: int, number: int = 0) -> Trace:
        """Sample a reasoning; another `number` is another one. Number 0 is what `base` has, if all else is the same."""
        of = replace(self._of, number=self._of.number + STRIDE * number)
        trace = await self._client.trace(of, messages, max_tokens)
        self.prompts[trace.key] = trace.prompt_tokens
        return trace

    def nothing(self, messages: list[Message]) -> Trace:
        """A trace without any reasoning."""
        return Trace("", messages, "", [], "usage", False)

    async def answer(self, trace: Trace, tokens: int | None = None, cap: int | None = None) -> Completion:
        """Force an answer after the first `tokens` of a trace (None: all), of at most `cap` tokens (the task's own)."""
        tokens, cap = trace.n_tokens if tokens is None else tokens, min(cap or self._cap, self._cap)
        answer = await self._client.answer(self._of, trace, tokens, cap)
        self.prompts[answer.key] = answer.prompt_tokens
        return answer

    async def read_out(self, trace: Trace, tokens: int) -> Completion | RequestFailed:
        """The answer after so many tokens of a trace, or why it could not be had; asked for once."""
        place = trace.key or str(trace.messages), tokens
        if place not in self._read:
            try:
                self._read[place] = await self._client.answer(self._of, trace, tokens, self._cap)
            except RequestFailed as failed:
                self._read[place] = failed
        return self._read[place]

    async def say(
        self, messages: list[Message], max_tokens: int, kind: str = "say", alternatives: int = 0
    ) -> Completion:
        """Have the model say something else, at temperature 0. `kind` is its name in the ledger; so many `alternatives`
        for the first token come with their log-probabilities. Where its `tokens` are not told, they are `max_tokens`.
        """
        said = await self._client.say(self._of, kind, messages, max_tokens, alternatives)
        self.prompts[said.key] = said.prompt_tokens
        return replace(said, tokens=said.tokens or max_tokens)


@dataclass(frozen=True)
class BudgetAnswer:
    """What a method answers when it is stopped at a budget.

    Attributes:
        used: tokens spent by then, of reasoning and of all else that steered the method; never above `budget`.
        answer: what it answers, or the failure that kept it from being asked: that cell is then an `error`.
        answer_tokens: that it took to read the answer out; None: the answer's own.
        stopped: more tokens would change nothing.
        prompt_tokens: of the requests by then that steered it or read the answer out; None: of all its `Session` made.
    """

    budget: int
    used: int
    answer: Completion | RequestFailed
    answer_tokens: int | None = None
    stopped: bool = False
    prompt_tokens: int | None = None


class Method:
    """What every method has.

    Attributes:
        name: in configs, cells and figures.
        preparation: what has to be made from the pool first; None: nothing.
        needs_pool: whether it shows pool problems beyond the worked examples (so does any with a preparation).
    """

    name: str
    preparation: Preparation | None = None
    needs_pool: bool = False

    def check(self, task: Task) -> None:
        """Raise ConfigError where a task lacks what the method needs."""

    def answers_by_budget(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[BudgetAnswer]:
        """For every budget, in ascending order, what it would answer when stopped there."""
        raise NotImplementedError


class Prompted(Method):
    """A method that writes messages and leaves the rest to the engine.

    Attributes:
        per_budget: the messages depend on the budget, so each budget has a trace of its own.
    """

    per_budget: bool = False

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        """The conversation that asks for reasoning on `problem`, ending with a user turn."""
        raise NotImplementedError


def worked_examples(task: Task, shots: Sequence[Problem]) -> list[Message]:
    """Each shot as the conversation a trace goes through: question, reasoning (where one is known), forced answer."""
    turns: list[Message] = []
    for shot in shots:
        question, asked, reasoning = task.question(shot), task.answer_prompt(shot), task.gold_reasoning(shot)
        said = [question, reasoning, asked] if reasoning else [f"{question}\n\n{asked}"]
        roles = itertools.cycle(("user", "assistant"))
        turns += [{"role": next(roles), "content": text} for text in (*said, task.gold_answer(shot))]
    return turns


def chain_of_thought(task: Task, problem: Problem, shots: Sequence[Problem], question: str = "") -> list[Message]:
    """Worked examples, then the question: the task's own, or another way to put it."""
    return [*worked_examples(task, shots), {"role": "user", "content": question or task.question(problem)}]
