"""How is a problem put to the model? One module per method.

There are two kinds. A `Prompted` method only writes the messages that ask for reasoning: one trace of each sample is
cut at every budget, and an answer is forced there. A `Searching` method asks as it goes (several traces, valuations,
verdicts) and says what it would answer at every budget. A method of your own is a subclass of either, handed to
`RunConfig(methods=[...])` or to `register_method`.

What counts against a budget is the same for all: every output token that is reasoning, or that steers the method
before it is stopped. The answers that are forced when it is stopped only read out what was reasoned, and are counted
apart (`answer_tokens`), as are prompts, which the ledger has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anytime_lib.errors import ConfigError, nearest
from anytime_lib.records import Message, Problem
from anytime_lib.tasks import Task

if TYPE_CHECKING:
    from anytime_lib.asking import Asker
    from anytime_lib.config import TaskSettings
    from anytime_lib.exemplars import Draw
    from anytime_lib.models.limiter import Gate
    from anytime_lib.searching import Ask, Step, Stop


@dataclass(frozen=True)
class Attempt:
    """One attempt at a pool problem: its reasoning, cut at the pool budget, and the answer forced there.

    Attributes:
        sample: the number of its trace.
        tokens: of reasoning and answer, as the server counts them.
    """

    reasoning: str = field(repr=False)
    answer: str = field(repr=False)
    trace_key: str
    answer_key: str
    sample: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Preference:
    """Two attempts at one pool problem and the verdict on them.

    Attributes:
        problem: the pool problem.
        winner, loser: the attempts.
        margin: how strongly the winner was preferred: by the judge in nats, averaged over both orders of
            presentation; by another as a difference of scores.
        verdict_keys: keys of the judging requests.
        by: who preferred it (see `judging`).
        log_odds: the judge's, of the attempt shown first, with the winner shown first and second.
        rationales: what the judge said beside its letters, in the same order.
    """

    problem: Problem
    winner: Attempt
    loser: Attempt
    margin: float
    verdict_keys: tuple[str, ...] = ()
    by: str = "judge"
    log_odds: tuple[float | None, float | None] = (None, None)
    rationales: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Given:
    """What a method is given beside the problem.

    Attributes:
        task, settings: the task, and what the config says of it.
        shots: worked examples from the pool, the same for every method.
        pool: the other problems of the pool; empty unless a method of the run needs them.
        prepared: what the method's preparation made; None if it has none.
        budget: the most tokens that will be allowed: the largest budget, or the one in question (`per_budget`).
    """

    task: Task
    settings: TaskSettings
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

    async def __call__(self, asker: Asker, task: Task, settings: TaskSettings, problems: Draw, units: Gate) -> Any:
        """What was made. Where it is falsy, its `reading()` says why, and the arms that need it are left out.

        Args:
            units: admits as many pool problems at once as there are slots.
        """
        ...

    def save(self, prepared: Any, folder: Path) -> None:
        """Keep what was made in the run's folder."""
        ...


class Method:
    """What every method has.

    Attributes:
        name: its name in configs, cells and figures.
        preparation: what has to be made from the pool first; None: nothing.
        needs_pool: whether it shows pool problems beyond the worked examples (so does any with a preparation).
    """

    name: str
    preparation: Preparation | None = None
    needs_pool: bool = False


class Prompted(Method):
    """A method that writes messages and leaves the rest to the engine.

    Attributes:
        per_budget: the messages depend on the budget, so each budget has a trace of its own.
    """

    per_budget: bool = False

    def messages(self, problem: Problem, given: Given) -> list[Message]:
        """The conversation that asks for reasoning on `problem`, ending with a user turn."""
        raise NotImplementedError


class Searching(Method):
    """A method that asks as it goes. Either of the two functions below says how; `steps` is the simpler one."""

    def steps(self, problem: Problem, given: Given, ask: Ask) -> AsyncIterator[Step]:
        """What it does, step by step: what each costs, and what it would answer if stopped in it.

        The largest budget is `given.budget`; what is asked beyond it is wasted. One search serves every budget.
        """
        raise NotImplementedError

    def stops(self, problem: Problem, given: Given, ask: Ask) -> AsyncIterator[Stop]:
        """For every budget, in ascending order, what it would answer when stopped there."""
        from anytime_lib.searching import stops_of

        return stops_of(self.steps(problem, given, ask), given, ask)


_MODULES = {
    "direct": "direct",
    "base": "base",
    "budget_prompt": "budget_prompt",
    "few_shot": "few_shot",
    "self_consistency": "self_consistency",
    "tree_of_thoughts": "tree_of_thoughts",
    "leap": "leap",
    "pdp": "pdp",
    "pdp_plus": "pdp",
    "pdp_per_problem": "pdp_per_problem",
    "pdp_grader": "pdp",
    "pdp_shuffled": "pdp",
    "pdp_verifier": "pdp",
    "pdp_agreement": "pdp",
    "recorded": "recorded",
}
_registered: dict[str, Method] = {}


def method_names() -> list[str]:
    """Names that `load_method` knows."""
    return [*_MODULES, *_registered]


def register_method(method: Method) -> Method:
    """Make a method of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it is no `Prompted` or `Searching` method, or has no name or one that is taken: that of a
            built-in one, or `synthesis`.
    """
    if not isinstance(method, Prompted | Searching):
        raise ConfigError(f"a method is an instance of a subclass of Prompted or Searching, not {method!r:.80}")
    name = getattr(method, "name", None)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{type(method).__name__} needs a `name`, for cells and figures")
    if name in _MODULES:
        raise ConfigError(f"{name!r} is a built-in method; give yours another name")
    if name == "synthesis":
        raise ConfigError("'synthesis' is what the ledger calls attempts at the pool; give your method another name")
    _registered[name] = method
    return method


def load_method(name: str) -> Method:
    """The method of that name; ConfigError with the nearest name if there is none."""
    if name in _registered:
        return _registered[name]
    if name not in _MODULES:
        raise ConfigError(f"unknown method {name!r}{nearest(name, method_names())}")
    methods: dict[str, Method] = import_module(f"anytime_lib.methods.{_MODULES[name]}").METHODS
    return methods[name]
