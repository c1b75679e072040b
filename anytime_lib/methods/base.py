"""What is a method, what is it given, and what may it ask of the model?

There are two kinds. A `Prompted` method only writes the messages that ask for reasoning: one trace of each sample is
cut at every budget, and an answer is forced there. A `Searching` method (see `search`) asks as it goes: several
traces, valuations, verdicts. A method of your own is a subclass of either, handed to `RunConfig(methods=[...])` or to
`register_method`.

What counts against a budget is the same for all: every output token that is reasoning, or that steers the method
before it is stopped. The answers that are forced when it is stopped only read out what was reasoned, and are counted
apart (`answer_tokens`), as are prompts (`prompt_tokens`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anytime_lib.config import RunConfig, TaskConfig
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.tasks.base import Task
from anytime_lib.types import Completion, Message, Problem, ProblemSplit, Trace


@dataclass(frozen=True)
class Sample:
    """What something is asked for: one sample of a problem, by a method or on behalf of a preparation."""

    task: Task
    method: str
    problem: Problem
    number: int = 0


class ModelName(Protocol):
    """What a model is called in requests and cells, and what stands for its endpoint."""

    @property
    def name(self) -> str: ...

    @property
    def endpoint_id(self) -> str: ...


class Client(Protocol):
    """What a preparation may ask of the model, and a method through its `Session`. What was asked before comes from
    the store. All three functions raise RequestFailed where the reply could not be had.
    """

    @property
    def config(self) -> RunConfig: ...

    @property
    def model(self) -> ModelName: ...

    async def trace(self, of: Sample, messages: list[Message], max_tokens: int) -> Trace:
        """A reasoning of at most `max_tokens`; raises HiddenReasoning where the server does not show it."""
        ...

    async def answer(self, of: Sample, trace: Trace, budget: int, cap: int) -> Completion:
        """The answer forced after the first `budget` tokens of a trace, of at most `cap` tokens."""
        ...

    async def say(
        self,
        of: Sample,
        kind: str,
        messages: list[Message],
        max_tokens: int,
        alternatives: int = 0,
        temperature: float = 0.0,
    ) -> Completion:
        """Whatever else the model is asked to say. `kind` is its name in the ledger; `alternatives`, for the first
        token, come with their log-probabilities."""
        ...


@dataclass(frozen=True)
class Context:
    """What a method is given beside the problem.

    Attributes:
        shots: worked examples from the pool, the same for every method.
        pool: the other problems of the pool; empty unless a method of the run needs them.
        prepared: what the method's preparation made; None if it has none.
        budget: the most tokens that will be allowed: the largest budget, or the one in question (`per_budget`).
    """

    task: Task
    settings: TaskConfig
    shots: Sequence[Problem] = ()
    pool: Sequence[Problem] = ()
    prepared: Any = None
    budget: int = 0


class Preparation(Protocol):
    """What is done once for a task before a method runs on it, on pool problems alone.

    Attributes:
        name: arms whose preparation has the same name share one run of it.
    """

    @property
    def name(self) -> str: ...

    async def __call__(
        self, client: Client, task: Task, settings: TaskConfig, problems: ProblemSplit, trace_slots: ResizableSemaphore
    ) -> Any:
        """What was made. Where it is falsy, its `summary()` says why, and the arms that need it are left out.
        `trace_slots` admits as many pool problems at once as there are slots."""
        ...

    def save(self, prepared: Any, folder: Path) -> None:
        """Keep what was made in the run's folder."""
        ...


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
    """Each shot as the conversation a trace goes through: question, reasoning, forced answer.

    Where no worked reasoning is known, the answer is asked for at once, as it is after an empty trace.
    """
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
