"""What does the model answer without any reasoning? The point at budget 0 that every curve starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anytime_lib.methods import Given, Method, Searching
from anytime_lib.methods.base import chain_of_thought
from anytime_lib.records import Problem
from anytime_lib.searching import Ask, Step


class Direct(Searching):
    """One forced answer, asked for at once; the same at every budget, of which it spends nothing."""

    name = "direct"

    async def steps(self, problem: Problem, given: Given, ask: Ask) -> AsyncIterator[Step]:
        yield Step(0, ask.nothing(chain_of_thought(given.task, problem, given.shots)), last=True)


METHODS: dict[str, Method] = {"direct": Direct()}
