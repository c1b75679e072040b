"""What does a model say whose truth is known? A respondent that reasons by chance, asked like every other endpoint.

It knows a problem by its text, a method by the wording of its prompt, and how far a reasoning got by the words in it:
cut its trace anywhere, and the answer is what it held there. What a sweep of it must find: `studies.calibration.truth`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.special import log_expit

from anytime_lib import prompts
from anytime_lib.config import RunConfig, in_words
from anytime_lib.errors import ConfigError, RequestFailed
from anytime_lib.models.model import Model
from anytime_lib.models.reply import EachTry, Reply
from anytime_lib.models.simulation import Simulation
from anytime_lib.registry import load_method, method_names
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, Problem, ProblemSplit, digest

FOUND, LOST = " Eureka!", " Alas!"
"""The words that carry the state: the last one of them in a reasoning says whether an answer is held."""
UNREAD = "It is still open which way this goes."
_WORDS = re.findall(
    r" \S+",
    " so then we look at this part once more and see what follows from it since the first case gives less than before"
    " while each of those leaves one side free which naïve counting overlooks",
)


@dataclass(frozen=True)
class Known:
    """A problem that the respondent recognises, with those under test in its task."""

    task: Task
    problem: Problem
    under_test: Sequence[Problem]

    @property
    def quantile(self) -> float:
        """How easy the problem is, in (0, 1): by its content alone, so the same for every method."""
        return (int(self.problem.content_hash[:13], 16) + 0.5) / 16**13

    @cached_property
    def distractors(self) -> list[str]:
        """The worst up to three answers that are read and not right: the gold one changed, else those of other
        problems, else a shrug."""
        gold = self.task.gold_answer
        for source in (_changed(gold(self.problem)), map(gold, self.under_test)):
            graded = [(self.task.grade(self.problem, text), text) for text in dict.fromkeys(source)]
            found = [(grade.score, text) for grade, text in graded if grade.status == "ok" and not grade.correct]
            if found:
                return [text for _, text in sorted(found)[:3]]
        return ["Something else."]


class SimulatedModel(Model):
    """A model whose replies are drawn. Its name, in cells and keys, carries a hash of the config's settings of it (see
    `Simulation`); ConfigError if one is unknown or makes no sense, or a method with an effect cannot be told."""

    def __init__(self, config: RunConfig) -> None:
        settings = config.options.get("simulated", {})
        try:
            self.simulation = Simulation(**settings)
            self._markers = {method: _words(method) for method in self.simulation.effects}
        except ValidationError as error:
            raise ConfigError(f"simulated: {in_words(error, Simulation.model_fields)}") from None
        if silent := [method for method, words in self._markers.items() if not words]:
            why = f"the respondent has no words by which it could tell {silent[0]} from other methods; those that can"
            able = f"have an effect: {', '.join(filter(_words, method_names()))}, and one of yours with its own `words`"
            raise ConfigError(f"simulated: effects: {why} {able}")
        self._known: dict[str, Known] = {}
        name = f"simulated-{digest(self.simulation.model_dump())[:8]}"
        super().__init__(name, "simulated", config.endpoint.concurrency)

    def tell_problems(self, task: Task, problems: ProblemSplit) -> None:
        for problem in [*problems.test, *problems.shots, *problems.pool]:
            text, question = problem.text.strip(), task.question(problem)
            self._known.setdefault(text if text in question else question, Known(task, problem, problems.test))

    def effect_in(self, messages: Sequence[Message]) -> float:
        """What the methods whose wording a conversation bears multiply the hazard by."""
        borne = (m for m, words in self._markers.items() if any(words in turn["content"] for turn in messages))
        return float(np.prod([self.simulation.effects[m] for m in borne]))

    async def chat(self, messages: list[Message], *, max_tokens: int, temperature: float, **more: Any) -> Reply:
        """A reasoning, a forced answer, or a one-letter verdict, by what is asked for; the same to the same request.
        RequestFailed if it is to reason about or judge a problem that it does not know."""
        seed, prefill = more.get("seed") if temperature > 0 else None, bool(more.get("prefill"))
        drawn = int(digest([messages, seed, prefill])[:16], 16)
        rng, wording = (np.random.default_rng([drawn, stream]) for stream in (0, 1))
        first, ends, finish_reason = {}, None, "stop"
        turn, known = 0, None
        for turn in reversed(range(len(messages))):  # the last of the user's that quotes a problem
            content = messages[turn]["content"] if messages[turn]["role"] == "user" else ""
            quoted = [(content.rfind(text) + len(text), len(text), text) for text in self._known if text in content]
            if quoted:  # the one that ends last in it, and of two that end together the longer
                known = self._known[max(quoted)[2]]
                break
        holding = _holds("".join(m["content"] for m in messages[turn + 1 :] if m["role"] == "assistant"))
        if known is None:
            if more.get("tokens") or more.get("alternatives"):
                raise RequestFailed("the simulated respondent can reason about and judge only problems of its config")
            n = min(max_tokens, 30)
            text, _ = _written([], n, wording)
        elif more.get("alternatives"):
            first, n = self._verdict(known, messages[-1]["content"], rng), 1
            text = max(first, key=first.__getitem__)
        elif prefill or messages[-1]["content"].endswith(known.task.answer_prompt(known.problem)):
            unread, guess, which = rng.random(3)
            if unread < self.simulation.unread:
                answer = UNREAD
            elif holding or guess < self.simulation.guess:
                answer = known.task.gold_answer(known.problem)
            else:
                answer = known.distractors[int(which * len(known.distractors))]
            text, n, finish_reason = first_words(answer, max_tokens)
        else:
            chance = float(self.simulation.chances(known.quantile, self.effect_in(messages)))
            turns, n, stopped = self.simulation.walk(chance, rng.random((max_tokens, 2)), holding)
            finish_reason = "stop" if stopped else "length"
            text, written = _written(turns, n, wording)
            ends = written if more.get("tokens") else None
        usage: dict[str, Any] = {"prompt_tokens": sum(len(m["content"]) for m in messages) // 4, "completion_tokens": n}
        reply = Reply(text, "", finish_reason, ends, first, usage, **usage, model="simulated")

        async def once() -> Reply:
            return reply

        each_try: EachTry | None = more.get("each_try")
        return await each_try(once) if each_try else reply

    def _verdict(self, known: Known, asked: str, rng: np.random.Generator) -> dict[str, float]:
        """Log-probabilities of A and B: the better of two attempts, or (A) that one beginning holds the answer. How
        strongly one is preferred depends on the pair, whatever its order; the liking for the first comes on top."""
        better, bias = 1.0 if _holds(asked) else -1.0, 0.0
        if pair := re.search(r"ATTEMPT A: (.*?)ATTEMPT B: (.*)\n\n", asked, re.DOTALL):
            a, b = map(str.strip, pair.groups())
            rng, bias = np.random.default_rng(int(digest(sorted([a, b]))[:16], 16)), self.simulation.position_bias
            score_a, score_b = (known.task.grade(known.problem, attempt).score for attempt in (a, b))
            better = float(np.sign(score_a - score_b))
        sees, first = rng.random(2)
        if better == 0:
            better = (1 if a < b else -1) * (1 if first < 0.5 else -1)
        elif sees >= self.simulation.judge_accuracy:
            better = -better
        odds = better * (0.2 + rng.exponential()) + bias
        return {"A": float(log_expit(odds)), "B": float(log_expit(-odds))}


def _words(method: str) -> str:
    """What the respondent tells a method by: its `words`, or else the longest stretch of its prompt's file without a
    placeholder, if it has one."""
    with suppress(FileNotFoundError):
        own = str(load_method(method).words)
        return own or max(re.split(r"\$\{?\w+\}?", prompts.template(f"{method}.question").template), key=len).strip()
    return ""


def _holds(reasoning: str) -> bool:
    return reasoning.rfind(FOUND.strip()) > reasoning.rfind(LOST.strip())


def first_words(text: str, max_tokens: int) -> tuple[str, int, str]:
    """An answer's first tokens (words, each with the space before it), how many they are, and the finish reason."""
    words = re.findall(r"\s*\S+", text)
    return "".join(words[:max_tokens]), min(len(words), max_tokens), "length" if len(words) > max_tokens else "stop"


def _written(turns: Sequence[tuple[int, bool]], n: int, rng: np.random.Generator) -> tuple[str, list[int]]:
    """A trace of n tokens as text, and where each ends (bytes)."""
    words = [_WORDS[i] for i in rng.integers(len(_WORDS), size=n)]
    for token, found in turns:
        words[token] = FOUND if found else LOST
    ends = accumulate((len(word.encode()) for word in words), initial=-1)  # the first has no space before it
    return "".join(words)[1:], [*ends][1:]


def _changed(gold: str) -> Iterator[str]:
    """A gold answer with one number, all numbers or the option's letter moved on, or its lines turned round."""
    for match in [*re.finditer(r"\d+", gold)][:12]:
        yield f"{gold[: match.start()]}{int(match[0]) + 1}{gold[match.end() :]}"
    for step in (1, 2, 3):
        yield re.sub(r"\d+", lambda said, step=step: str(int(said[0]) + step), gold)  # type: ignore[misc]
        yield re.sub(r"\b[A-D]\b", lambda said, step=step: "ABCDABC"["ABCD".index(said[0]) + step], gold)  # type: ignore[misc]
    yield "\n".join(reversed(gold.split("\n")))
