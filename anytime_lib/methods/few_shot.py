"""Would any examples help as much? As many problems of the pool as PDP shows pairs of, with their right answers."""

from __future__ import annotations

from anytime_lib.methods import Given, Method, Prompted
from anytime_lib.methods.base import chain_of_thought
from anytime_lib.records import Message, Problem


class FewShot(Prompted):
    """`base` with `n_pairs` further worked examples from the pool, on which `pdp` has its pairs: a control."""

    name = "few_shot"
    needs_pool = True

    def messages(self, problem: Problem, given: Given) -> list[Message]:
        return chain_of_thought(given.task, problem, [*given.shots, *given.pool[: given.settings.n_pairs]])


METHODS: dict[str, Method] = {"few_shot": FewShot()}
