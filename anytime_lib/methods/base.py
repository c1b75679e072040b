"""What is a method, what is it given, and what may it ask of the model?

A `Prompted` method only writes messages: one trace of each sample is cut at every budget, and an answer is forced
there. Any other (see `search`) asks as it goes: several traces, valuations, verdicts. Every output token that steers a
method before it is stopped counts against the budget; the answers forced then are counted apart, as are prompts.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from anytime_lib.config.groups import SamplingConfig, TaskConfig
from anytime_lib.errors import RequestFailed
from anytime_lib.models.model import Model
from anytime_lib.tasks.base import Task
from anytime_lib.types import Completion, Message, Problem, ProblemSplit, Trace

STRIDE = 10_000  # further traces of a sample are stored as samples this far apart, so more samples never share one


@dataclass(frozen=True)
class Sample:
    """What something is asked for: one sample of a problem, by a method or for a preparation."""

    task: Task
    method: str
    problem: Problem
    number: int = 0


class PrepTask(NamedTuple):
    """The task on whose pool a method is prepared, and which `draw` from that pool it is."""

    task: Task
    settings: TaskConfig
    problems: ProblemSplit
    draw: int = 0


class Client(Protocol):
    """What a preparation may ask of the model, and a method through its `Session`; known replies come from the store.

    All three functions raise RequestFailed where the reply could not be had; `trace` raises HiddenReasoning where the
    server does not show it. `trace_slots` admits as many traces, or pool problems, at once as there are slots.
    """

    sampling: SamplingConfig
    seed: int
    model: Model
    trace_slots: asyncio.Semaphore

    async def trace(self, of: Sample, messages: list[Message], max_tokens: int) -> Trace: ...
    async def answer(self, of: Sample, trace: Trace, budget: int, cap: int) -> Completion: ...
    async def say(self, of: Sample, kind: str, messages: list[Message], cap: int, alternatives: int) -> Completion: ...


@dataclass(frozen=True)
class Context:
    """What a method is given beside the problem: `shots`, worked examples from the pool, the same for every method;
    `pool`, its other problems, none unless a method of the run needs them; what its preparation `prepared`; as `budget`
    the most tokens that will be allowed: the largest budget, or the one in question (`per_budget`); and which `draw` of
    exemplars `pool` and `prepared` are, None where the method shows none."""

    task: Task
    settings: TaskConfig
    shots: Sequence[Problem] = ()
    pool: Sequence[Problem] = ()
    prepared: Any = None
    budget: int = 0
    draw: int | None = None


class Preparation:
    """What is done once for a task before a method runs on it, on pool problems alone; methods share it by its `name`.
    Where what it made is falsy, its `summary()` says why, and those methods are left out."""

    name: str

    async def __call__(self, client: Client, on: PrepTask) -> Any:
        raise NotImplementedError

    def save(self, prepared: Any, folder: Path) -> None:
        """Keep what was made in the run's folder."""


class BudgetSpent(Exception):
    """Too few tokens are left for what a method asks next, so it is stopped."""


class Session:
    """What a method asks of the model for one sample of one problem; everything is stored and on the ledger.

    All but `read_out` count against the budget. They raise BudgetSpent where too little of it is left, which ends a
    search, and RequestFailed where the reply could not be had, which makes the cells that follow errors. `budgets`, at
    which it is stopped, ascend; `spent` counts the tokens so far.
    """

    def __init__(self, client: Client, context: Context, of: Sample) -> None:
        self._client, self._of, self._cap, self._most = client, of, context.settings.answer_cap, context.budget
        self.budgets, self.spent = context.settings.budgets, 0
        self._prompts: dict[str, tuple[int, int]] = {}  # key -> tokens spent when it was asked, tokens of its prompt

    async def trace(self, messages: list[Message], max_tokens: int, number: int = 0) -> Trace:
        """Sample a reasoning, no longer than what is left. Another `number` is another one; 0 is that of `base`."""
        cap = self._allowed(max_tokens)
        of = replace(self._of, number=self._of.number + STRIDE * number)
        trace = await self._client.trace(of, messages, cap)  # a token short where the cap fell inside a character
        self._pay(trace, trace.n_tokens if trace.stopped else max(cap, trace.n_tokens))
        return trace

    async def answer(self, trace: Trace, max_tokens: int) -> Completion:
        """Force an answer after a trace, no longer than what is left or than the task's own cap."""
        cap = self._allowed(min(max_tokens, self._cap))
        answer = await self._client.answer(self._of, trace, trace.n_tokens, cap)
        self._pay(answer, answer.tokens)
        return answer

    async def say(
        self, messages: list[Message], max_tokens: int, kind: str = "say", alternatives: int = 0
    ) -> Completion:
        """Have the model say something else, at temperature 0, if `max_tokens` are left. `kind` is its name in the
        ledger; so many `alternatives` for the first token come with their log-probabilities."""
        said = await self._client.say(self._of, kind, messages, self._allowed(max_tokens, max_tokens), alternatives)
        self._pay(said, said.tokens or max_tokens)  # where its tokens are not told
        return said

    async def read_out(self, trace: Trace, tokens: int) -> Completion | RequestFailed:
        """The answer after so many tokens of a trace, or why it could not be had."""
        try:
            return await self._client.answer(self._of, trace, tokens, self._cap)
        except RequestFailed as failed:
            return failed

    def _allowed(self, most: int, least: int = 1) -> int:
        left = self._most - self.spent
        if left < least:
            raise BudgetSpent
        return min(most, left)

    def _pay(self, reply: Trace | Completion, tokens: int) -> None:
        self._prompts[reply.key] = self.spent, reply.prompt_tokens
        self.spent += tokens

    def prompt_tokens(self, budget: int, answers: Sequence[Completion]) -> int:
        """Of the prompts of all that was asked before a budget was spent, and of these answers."""
        asked = {key: tokens for key, (spent, tokens) in self._prompts.items() if spent < budget}
        return sum((asked | {answer.key: answer.prompt_tokens for answer in answers}).values())


@dataclass(frozen=True)
class BudgetAnswer:
    """What a method answers when it is stopped at a budget; where a failure kept it from being asked, that: its cell
    is an `error` then. `used` are the tokens spent by then, of reasoning and of all else that steered it, never
    above `budget`; `stopped`: more tokens would change nothing; `votes`: the answers read (none: `answer` alone)."""

    budget: int
    used: int
    answer: Completion | RequestFailed
    stopped: bool = False
    votes: Sequence[Completion] = ()


class Method:
    """What every method has: a name in configs, cells and figures; a preparation, where something has to be made from
    the pool first; whether it shows pool problems beyond the worked examples; and, so that it may have an effect on the
    simulated respondent, `words` that its prompts bear and those of no other method do."""

    name: str
    words: str = ""
    preparation: Preparation | None = None
    needs_pool: bool = False

    def check(self, task: Task) -> None:
        """Raise ConfigError where a task lacks what the method needs."""

    def answers_by_budget(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[BudgetAnswer]:
        """For every budget, in ascending order, what it would answer when stopped there."""
        raise NotImplementedError


class Prompted(Method):
    """A method that only writes messages. `per_budget`: they depend on the budget, so each has a trace of its own. Its
    answers are forced as the run's are, unless it has its own `answer_via`, or words before them, `answer_preface`."""

    per_budget: bool = False
    answer_via: Literal["turn", "prefill"] | None = None
    answer_preface: str = ""

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        """The conversation that asks for reasoning on `problem`, ending with a user turn."""
        raise NotImplementedError


def chain_of_thought(task: Task, problem: Problem, shots: Sequence[Problem], question: str = "") -> list[Message]:
    """Worked examples, each as the conversation that a trace goes through (question, reasoning where one is known,
    forced answer); then the question: the task's own, or another way to put it."""
    texts: list[str] = []
    for shot in shots:
        reasoning, asked = task.gold_reasoning(shot), task.answer_prompt(shot)
        texts += [task.question(shot), reasoning, asked] if reasoning else [f"{task.question(shot)}\n\n{asked}"]
        texts.append(task.gold_answer(shot))
    texts.append(question or task.question(problem))
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
