"""What had a search asked for by each budget, and what did a preparation ask for? Nobody is asked again.

Both are gone through once more, by the same methods, with an asker that only reads the store. So each is charged for
its own requests, whoever shared them, paid for them first, or left others in the same store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, RequestFailed
from anytime_lib.methods.search import BudgetAnswer, Searching, Session
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.models.model import Model
from anytime_lib.models.probe import Capabilities, noted_as
from anytime_lib.store import Store
from anytime_lib.sweep.client import NOT_TOKENISED, CachedClient, Tokenised, tokens_key
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.sweep.progress import Progress
from anytime_lib.sweep.run import first_error, run_async


@dataclass(frozen=True)
class Named:
    """What an `CachedClient` needs to know of a model to form the keys of requests."""

    name: str
    endpoint_id: str


def named(config: RunConfig, store: Store | None) -> Named:
    """The model's name in keys; that of the embedded one is taken from the store, so that no weights are fetched."""
    if config.endpoint.base_url is None and config.model == "embedded":
        seen = store.requests() if store else pd.DataFrame(columns=["endpoint", "model"])
        names = seen[seen.endpoint == "embedded"].model
        return Named(str(names.iloc[-1]) if len(names) else "embedded", "embedded")
    model = Model(config)
    return Named(model.name, model.endpoint_id)


class _Reader(CachedClient):
    """An asker that only reads. A request that failed when it was asked fails again.

    Attributes:
        asked: keys of what was asked for.
    """

    def __init__(self, config: RunConfig, store: Store, model: Named) -> None:
        super().__init__(config, store, model, Progress("", 0, False))  # type: ignore[arg-type]
        self.asked: set[str] = set()
        found = Capabilities.from_json(store.noted(noted_as(model.endpoint_id, model.name)))
        self._hides = found is not None and found.reasoning == "hidden"

    async def _ask(
        self, kind: str, task: str, method: str, request: dict[str, Any], sample: int
    ) -> tuple[str, dict[str, Any]]:
        key, _ = self._keyed(kind, request, sample)
        self.asked.add(key)
        if (row := self.store.get(key)) is not None:
            return key, row
        if self.store.request(key) is None:
            raise other_settings(method, task)
        raise RequestFailed("it failed when it was asked")

    async def _known_to_hide(self, request: dict[str, Any], sample: int) -> bool:
        return self._hides and self.store.request(self._keyed("trace", request, sample)[0]) is None

    async def _tokenised(self, trace_key: str, text: str, task: str, method: str) -> Tokenised:
        return self.store.get(tokens_key(trace_key)) or NOT_TOKENISED


def other_settings(method: str, task: str) -> DataError:
    """What was stored cannot be what this config asks for."""
    return DataError(
        f"the store holds {method} on {task} as made with other settings than this config's; run the sweep with these, "
        "and take the cells that it returns"
    )


class Rereading:
    """A run's searches and preparations, gone through on its store.

    Args:
        model: its name in cells; None: as the config says.
    """

    def __init__(self, config: RunConfig, store: Store, model: str | None = None) -> None:
        self._config, self._store = config, store
        found = named(config, store)
        self._model = found if model is None else replace(found, name=model)
        self._arms = plan(config, store)
        self._prepared: dict[tuple[str, str], tuple[Any, set[str]]] = {}

    def preparation(self, task: str, method: str) -> tuple[Any, set[str]]:
        """What a method's preparation made of a task's pool, and the keys of all that it asked for, in vain or not;
        (None, none) if it has none.

        Raises:
            DataError: the store does not hold it: other settings made it.
        """
        needed = self._arm(task, method).method.preparation
        if needed is None:
            return None, set()
        if (task, needed.name) not in self._prepared:
            self._prepared[task, needed.name] = run_async(first_error(self._prepare(task, needed.name)))
        return self._prepared[task, needed.name]

    async def _prepare(self, task: str, name: str) -> tuple[Any, set[str]]:
        """As in a run: that of the first arm stands for all of that name."""
        arm, first = next((arm, p) for arm in self._arms
                          if (p := arm.method.preparation) and p.name == name and arm.task.name == task)  # fmt: skip
        reader, gate = (
            _Reader(self._config, self._store, self._model),
            ResizableSemaphore(lambda: self._config.endpoint.concurrency),
        )
        return await first(reader, arm.task, arm.settings, arm.problems, gate), reader.asked

    def _arm(self, task: str, method: str) -> Arm:
        for arm in self._arms:
            if (arm.task.name, arm.method.name) == (task, method):
                return arm
        raise other_settings(method, task)

    def answers_by_budget(
        self, task: str, method: str, units: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int, int], BudgetAnswer]:
        """What a method that searches came to at each budget, on these problems and samples.

        Returns:
            (problem_id, sample, budget) -> its stop, prompts told; none at budgets whose search failed.

        Raises:
            DataError: the store does not hold it: other settings made it.
        """
        prepared, _ = self.preparation(task, method)
        return run_async(self._stops(self._arm(task, method), prepared, units))

    async def _stops(
        self, arm: Arm, prepared: Any, units: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int, int], BudgetAnswer]:
        task, method, context = arm.task.name, arm.method, arm.context(prepared)
        assert isinstance(method, Searching)
        reader, problems = _Reader(self._config, self._store, self._model), {p.id: p for p in arm.problems.test}
        found = {}
        for problem_id, sample in units:
            if problem_id not in problems:
                raise other_settings(method.name, task)
            session = Session(reader, context, method.name, problems[problem_id], sample)
            with contextlib.suppress(RequestFailed):
                async for stop in method.answers_by_budget(problems[problem_id], context, session):
                    told = sum(session.prompts.values()) if stop.prompt_tokens is None else stop.prompt_tokens
                    found[problem_id, sample, stop.budget] = replace(stop, prompt_tokens=told)
        return found
