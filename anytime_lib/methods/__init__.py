"""How is a problem put to the model? One module per method; a method only writes messages, it calls nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from anytime_lib.errors import ConfigError, nearest
from anytime_lib.records import Message, Problem
from anytime_lib.tasks import Task


@dataclass(frozen=True)
class Attempt:
    """One attempt at a pool problem: its reasoning, cut at the pool budget, and the answer forced there.

    Attributes:
        sample: the number of its trace.
        tokens: of reasoning and answer, as the server counts them.
    """

    reasoning: str
    answer: str
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
    rationales: tuple[str, ...] = ()


class Method(Protocol):
    """What a method must offer.

    Attributes:
        name: its name in configs, cells and figures.
        needs_preferences: whether preference pairs must be synthesised before it runs.
    """

    name: str
    needs_preferences: bool

    def messages(
        self, task: Task, problem: Problem, shots: Sequence[Problem], preferences: Sequence[Preference]
    ) -> list[Message]:
        """The conversation that asks for reasoning on `problem`, ending with a user turn.

        Args:
            shots: worked examples from the pool, the same for every method.
            preferences: pairs from the pool; empty unless `needs_preferences`.
        """
        ...


_MODULES = {"base": "base", "pdp": "pdp", "pdp_plus": "pdp", "recorded": "recorded"}


def method_names() -> list[str]:
    """Names that `load_method` knows."""
    return list(_MODULES)


def load_method(name: str) -> Method:
    """The method of that name; ConfigError with the nearest name if there is none."""
    if name not in _MODULES:
        raise ConfigError(f"unknown method {name!r}{nearest(name, _MODULES)}")
    methods: dict[str, Method] = import_module(f"anytime_lib.methods.{_MODULES[name]}").METHODS
    return methods[name]
