"""What does a model say whose truth is known? A respondent that reasons by chance, asked like every other endpoint.

It knows a problem by its text, a method by the wording of its prompt, and how far a reasoning got by the words in it:
cut its trace anywhere, and the answer is what it held there. What a sweep of it must find: `studies.calibration.truth`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import log_expit

from anytime_lib.config import RunConfig, in_words
from anytime_lib.errors import ConfigError, RequestFailed, nearest
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.model import Model
from anytime_lib.models.reply import EachTry, Reply
from anytime_lib.models.simulation import Simulation
from anytime_lib.prompts import fixed_words
from anytime_lib.registry import method_names
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Problem, digest

FOUND, LOST = " Eureka!", " Alas!"
"""The words that carry the state: the last one of them in a reasoning says whether an answer is held."""
UNREAD = "It is still open which way this goes."
_WORDS = (
    "so then we look at this part once more and see what follows from it since the first case gives less than before "
    "while each of those leaves one side free which naïve counting overlooks"
)
_FILLER = np.array([f" {word}" for word in _WORDS.split()], dtype=object)
_WIDTH = np.array([len(word.encode()) for word in _FILLER])


def simulation_of(settings: Mapping[str, Any]) -> Simulation:
    """The simulation that a config's settings describe; ConfigError if one is unknown or makes no sense."""
    for name in settings:
        if name not in Simulation.model_fields:
            raise ConfigError(f"simulated: unknown setting {name!r}{nearest(name, Simulation.model_fields)}")
    try:
        found = Simulation(**settings)
    except ValidationError as error:
        raise ConfigError(f"simulated: {in_words(error)}") from None
    told = [method for method in method_names() if _marker(method)]
    for method in found.effects:
        if method not in told:
            raise ConfigError(
                f"simulated: effects: no method {method!r} can be told by its words{nearest(method, told)}"
            )
    return found


def _marker(method: str) -> str:
    """The words of a prompt by which a method can be told; empty where it has none."""
    try:
        return fixed_words(f"{method}.question")
    except FileNotFoundError:
        return ""


def quantile(problem: Problem) -> float:
    """How easy a problem is to the respondent, in (0, 1): by its content alone, so the same for every method."""
    return (int(problem.content_hash[:13], 16) + 0.5) / 16**13


class SimulatedModel(Model):
    """The simulated respondent as a model. Its name, in cells and keys, carries a hash of its parameters."""

    def __init__(self, config: RunConfig) -> None:
        self.respondent = Respondent(simulation_of(config.options.get("simulated", {})))
        super().__init__(config.endpoint, self.respondent.model, "simulated")

    def tell_problems(self, task: Task, test: Sequence[Problem], others: Sequence[Problem] = ()) -> None:
        self.respondent.tell_problems(task, test, others)

    async def connect(self) -> Endpoint:
        return self.respondent


@dataclass(frozen=True)
class Known:
    """A problem that the respondent recognises, and its wrong answers to it."""

    task: Task
    problem: Problem
    under_test: Sequence[Problem] = field(repr=False)

    @cached_property
    def distractors(self) -> list[str]:
        return distractors(self.task, self.problem, self.under_test)


class Respondent(Endpoint):
    """An endpoint that asks nobody: its replies are drawn."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__("simulated", f"simulated-{digest(simulation.model_dump())[:8]}", "none")
        self.simulation = simulation
        self._known: dict[str, Known] = {}
        self._find = lru_cache(maxsize=2048)(self._search)
        self._markers = {method: _marker(method) for method in simulation.effects}

    def tell_problems(self, task: Task, test: Sequence[Problem], others: Sequence[Problem] = ()) -> None:
        """Make it know a task's problems under test and the others that it may be asked about."""
        for problem in [*test, *others]:
            text, question = problem.text.strip(), task.question(problem)
            self._known.setdefault(text if text in question else question, Known(task, problem, test))
        self._find.cache_clear()

    def _search(self, content: str) -> Known | None:
        """The problem that a turn is about: the last one that it quotes, and of two that end together the longer."""
        places = ((content.rfind(text), len(text), text) for text in self._known)
        last = max(((at + length, length, text) for at, length, text in places if at >= 0), default=None)
        return None if last is None else self._known[last[2]]

    async def tokenize(self, text: str) -> tuple[list[bytes] | None, bool]:
        """Its tokens: words, each with the space before it."""
        return [word.encode() for word in _words(text)], False

    async def chat(self, messages: list[Message], *, max_tokens: int, temperature: float, **more: Any) -> Reply:
        """A reasoning, a forced answer, or a one-letter verdict, by what is asked for; the same to the same request.

        Raises:
            RequestFailed: it is asked to reason about a problem that it does not know.
        """
        seed, prefill = more.get("seed") if temperature > 0 else None, bool(more.get("prefill"))
        drawn = int(digest([messages, seed, prefill])[:16], 16)

        async def once() -> Reply:
            if more.get("alternatives"):
                return self._verdict(messages, drawn)
            return self._said(messages, max_tokens, bool(more.get("tokens")), prefill, drawn)

        each_try: EachTry | None = more.get("each_try")
        return await (once() if each_try is None else each_try(once))

    def _said(self, messages: Sequence[Message], max_tokens: int, tokens: bool, prefill: bool, drawn: int) -> Reply:
        """A reasoning, or the answer after one; beside any problem, a few words."""
        rng, wording = (np.random.default_rng([drawn, stream]) for stream in (0, 1))
        about = ((self._find(m["content"]) if m["role"] == "user" else None) for m in reversed(messages))
        back, known = next(((i, known) for i, known in enumerate(about, 1) if known), (0, None))
        if known is None:
            if tokens:
                raise RequestFailed("the simulated respondent can reason only about problems of its config")
            n = min(max_tokens, 30)
            return _reply(messages, _write([], n, wording)[0], n, "stop")
        since = messages[len(messages) - back + 1 :]
        holding = _holds("".join(m["content"] for m in since if m["role"] == "assistant"))
        if prefill or messages[-1]["content"].endswith(known.task.answer_prompt(known.problem)):
            text, n, cut_off = first_words(self._answer(known, holding, rng), max_tokens)
            return _reply(messages, text, n, "length" if cut_off else "stop")
        chance = float(self.simulation.chances(quantile(known.problem), self.effect_in(messages)))
        turns, n, stopped = self.simulation.walk(chance, rng.random((max_tokens, 2)), holding)
        text, ends = _write(turns, n, wording)
        return _reply(messages, text, n, "stop" if stopped else "length", ends=ends if tokens else None)

    def effect_in(self, messages: Sequence[Message]) -> float:
        """What the methods whose wording a conversation bears multiply the hazard by."""
        borne = (m for m, words in self._markers.items() if any(words in turn["content"] for turn in messages))
        return float(np.prod([self.simulation.effects[m] for m in borne]))

    def _answer(self, known: Known, holding: bool, rng: np.random.Generator) -> str:
        unread, guess, which = rng.random(3)
        if unread < self.simulation.unread:
            return UNREAD
        if holding or guess < self.simulation.guess:
            return known.task.gold_answer(known.problem)
        return known.distractors[int(which * len(known.distractors))]

    def _verdict(self, messages: Sequence[Message], drawn: int) -> Reply:
        """A letter: the better of two attempts, or whether one beginning holds the answer (A: yes). How strongly one is
        preferred depends on the pair, whatever its order; the liking for the first comes on top."""
        content = messages[-1]["content"]
        known, pair = self._find(content), "ATTEMPT A: " in content and "ATTEMPT B: " in content
        if known is None:
            raise RequestFailed("the simulated respondent can judge only what is about a problem of its config")
        rng, better = np.random.default_rng([drawn, 0]), 1.0 if _holds(content) else -1.0
        if pair:
            a, _, rest = content.partition("ATTEMPT A: ")[2].partition("ATTEMPT B: ")
            a, b = a.strip(), rest.rpartition("\n\n")[0].strip()
            rng = np.random.default_rng(int(digest(sorted([a, b]))[:16], 16))
            score_a, score_b = (known.task.grade(known.problem, attempt).score for attempt in (a, b))
            better = float(np.sign(score_a - score_b))
        sees, first = rng.random(2)
        if better == 0:
            better = (1 if a < b else -1) * (1 if first < 0.5 else -1)
        elif sees >= self.simulation.judge_accuracy:
            better = -better
        odds = better * (0.2 + rng.exponential()) + (self.simulation.position_bias if pair else 0.0)
        letters = {"A": float(log_expit(odds)), "B": float(log_expit(-odds))}
        return _reply(messages, "A" if odds > 0 else "B", 1, "stop", first=letters)


def _holds(reasoning: str) -> bool:
    return reasoning.rfind(FOUND.strip()) > reasoning.rfind(LOST.strip())


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def first_words(text: str, max_tokens: int) -> tuple[str, int, bool]:
    """An answer's first tokens, how many they are, and whether something is missing."""
    words = _words(text)
    return "".join(words[:max_tokens]), min(len(words), max_tokens), len(words) > max_tokens


def _write(turns: Sequence[tuple[int, bool]], n: int, rng: np.random.Generator) -> tuple[str, list[int]]:
    """A trace of n tokens as text, and where each ends (bytes)."""
    words: NDArray[np.int64] = rng.integers(len(_FILLER), size=n)
    said, width = _FILLER[words], _WIDTH[words]
    for token, found in turns:
        said[token] = FOUND if found else LOST
        width[token] = len(said[token])
    ends = np.cumsum(width) - 1  # the first word has no space before it
    return "".join(said)[1:], ends.tolist()


def _reply(messages: Sequence[Message], text: str, n: int, finish_reason: str, **more: Any) -> Reply:
    usage: dict[str, Any] = {"prompt_tokens": sum(len(m["content"]) for m in messages) // 4, "completion_tokens": n}
    return Reply(text, finish_reason=finish_reason, usage=usage, model="simulated", **usage, **more)


def distractors(task: Task, problem: Problem, others: Sequence[Problem]) -> list[str]:
    """The worst up to three answers that are read and not right: the gold one changed, else those of other problems,
    else a shrug."""
    gold = task.gold_answer(problem)
    for source in (_changed(gold), (task.gold_answer(p) for p in others)):
        graded = [(task.grade(problem, text), text) for text in dict.fromkeys(source)]
        found = [(grade.score, text) for grade, text in graded if grade.status == "ok" and not grade.correct]
        if found:
            return [text for _, text in sorted(found)[:3]]
    return ["Something else."]


def _changed(gold: str) -> Iterator[str]:
    """A gold answer with one number, all numbers or the option's letter moved on, or its lines turned round."""
    for match in [*re.finditer(r"\d+", gold)][:12]:
        yield f"{gold[: match.start()]}{int(match[0]) + 1}{gold[match.end() :]}"
    for step in (1, 2, 3):
        yield re.sub(r"\d+", lambda said, step=step: str(int(said[0]) + step), gold)  # type: ignore[misc]
        yield re.sub(r"\b[A-D]\b", lambda said, step=step: "ABCDABC"["ABCD".index(said[0]) + step], gold)  # type: ignore[misc]
    yield "\n".join(reversed(gold.split("\n")))
