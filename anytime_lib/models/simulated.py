"""What if the truth were known? A respondent that reasons by chance, behind the same client as every endpoint.

It answers what it is asked and nothing else tells it anything: it knows a problem by its text, a method by the
wording of its prompt, and how far a reasoning got by the words in it. Cut its trace anywhere and ask for an answer,
and the answer is what it held at that place. `truth` says what a sweep of it must find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import log_expit

from anytime_lib.config import RunConfig, in_words
from anytime_lib.errors import ConfigError, DataError, RequestFailed, nearest
from anytime_lib.index import anytime_index
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.models.endpoint import EachTry
from anytime_lib.models.reply import Reply
from anytime_lib.models.simulation import Floats, Simulation
from anytime_lib.prompts import fixed_words
from anytime_lib.registry import load_method, load_task, method_names
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.user_code import grade_answer
from anytime_lib.types import Message, Problem, digest

FOUND, LOST = " Eureka!", " Alas!"
"""The words that carry the state: the last one of them in a reasoning says whether an answer is held."""
UNREAD = "It is still open which way this goes."
_FILLER = np.array(
    [" so", " then", " we", " look", " at", " this", " part", " once", " more", " and", " see", " what", " follows",
     " from", " it", " since", " the", " first", " case", " gives", " less", " than", " before", " while", " each",
     " of", " those", " leaves", " one", " side", " free", " which", " naïve", " counting", " overlooks"],
    dtype=object,
)  # fmt: skip
_WIDTH = np.array([len(word.encode()) for word in _FILLER])
_MOST_WRONG = 3


def simulated_name(config: RunConfig) -> str:
    """The respondent's name in cells and keys: `simulated-`, and the start of the hash of its parameters."""
    return f"simulated-{digest(_simulation(config).model_dump())[:8]}"


def _simulation(config: RunConfig) -> Simulation:
    return check_simulation(config.options.get("simulated", {}), config.model)


def check_simulation(settings: dict[str, Any], model: str = "simulated") -> Simulation:
    """The simulated respondent that `settings` describe.

    Raises:
        ConfigError: a setting is unknown or makes no sense, or the model is another.
    """
    if model != "simulated":
        raise ConfigError(f"simulated: these settings are for `model: simulated`, and the model is {model!r}")
    for name in settings:
        if name not in Simulation.model_fields:
            raise ConfigError(f"simulated: unknown setting {name!r}{nearest(name, Simulation.model_fields)}")
    try:
        found = Simulation(**settings)
    except ValidationError as error:
        raise ConfigError(f"simulated: {in_words(error)}") from None
    for method, effect in found.effects.items():
        if method not in method_names():
            raise ConfigError(f"simulated: effects: unknown method {method!r}{nearest(method, method_names())}")
        if effect <= 0:
            raise ConfigError(f"simulated: the effect of {method} multiplies a hazard and must be above 0")
        if not marker(method):
            raise ConfigError(f"simulated: effects: {method} has no words by which the respondent could tell it")
    return found


def marker(method: str) -> str:
    """The words in a prompt by which a method can be told from others; empty where it has none."""
    try:
        return fixed_words(f"{method}.question")
    except FileNotFoundError:
        return ""


def quantile(problem: Problem) -> float:
    """How easy a problem is to the respondent, in (0, 1): by its content alone, so the same for every method."""
    return (int(problem.content_hash[:13], 16) + 0.5) / 16**13


class Respondent:
    """The simulated respondent; offers what the rest of the package asks of an `Endpoint`.

    Args:
        config: its tasks and sources say which problems it knows, its `simulated` how it reasons.
    """

    tokenized_by_file = False

    def __init__(self, config: RunConfig) -> None:
        from anytime_lib.studies.held_out import held_out_arms
        from anytime_lib.sweep.exemplars import split_problems

        self.simulation = _simulation(config)
        self.sending: set[Any] = set()
        self._known: dict[str, tuple[Task, Problem]] = {}
        self._fellows: dict[str, list[Problem]] = {}
        for name in config.tasks:
            task, problems = load_task(name), split_problems(load_task(name), config.task(name), config.seed)
            self._fellows[task.name] = problems.test
            self._learn(task, [*problems.test, *problems.shots, *problems.pool])
        for arm in held_out_arms(config) if config.held_out and config.held_out.pool_task in config.tasks else ():
            self._fellows.setdefault(arm.task.name, arm.problems.test)
            self._learn(arm.task, [*arm.problems.test, *arm.problems.shots, *arm.problems.pool])
        self._find = lru_cache(maxsize=2048)(self._search)
        self._wrong = cache(lambda task, id: wrong_answers(load_task(task), *self._with_fellows(task, id)))
        self._words = _words_of(self.simulation)

    def _learn(self, task: Task, problems: Sequence[Problem]) -> None:
        for problem in problems:
            text = problem.text.strip()
            self._known[text if text in task.question(problem) else task.question(problem)] = (task, problem)

    async def close(self) -> None:
        """Nothing is held open."""

    async def tokenize(self, text: str) -> list[bytes] | None:
        """Its tokens: words, each with the space before it."""
        return [word.encode() for word in re.findall(r"\s*\S+", text)]

    async def chat(
        self,
        messages: list[Message],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float = 1.0,
        seed: int | None = None,
        tokens: bool = False,
        alternatives: int = 0,
        prefill: bool = False,
        each_try: EachTry | None = None,
    ) -> Reply:
        """What it says (see `said`), paid for and kept as every endpoint's replies are."""

        async def once() -> Reply:
            return self.said(messages, max_tokens, temperature, seed, tokens, alternatives, prefill)

        return await (once() if each_try is None else each_try(once))

    def said(
        self, messages: list[Message], max_tokens: int, temperature: float, seed: int | None, tokens: bool,
        alternatives: int, prefill: bool,
    ) -> Reply:  # fmt: skip
        """A reasoning, a forced answer, or a one-letter verdict, by what the conversation asks for. The same request
        is always answered in the same way.

        Raises:
            RequestFailed: it is asked to reason about a problem that is not of its config.
        """
        drawn = digest([messages, seed if temperature > 0 else None, prefill])
        rng, wording = (np.random.default_rng([int(drawn[:16], 16), stream]) for stream in (0, 1))
        size = sum(len(m["content"]) for m in messages) // 4
        if alternatives:
            return self._verdict(messages[-1]["content"], rng, size)
        turn = next((i for i in reversed(range(len(messages)))
                     if messages[i]["role"] == "user" and self._find(messages[i]["content"])), None)  # fmt: skip
        found = None if turn is None else self._find(messages[turn]["content"])
        if turn is None or found is None:
            if tokens:
                raise RequestFailed("the simulated respondent can reason only about problems of its config")
            n = min(max_tokens, 30)  # asked for something beside a problem: words
            return _reply(_write([], n, wording.integers(len(_FILLER), size=n))[0], size, n, "stop")
        task, problem = found
        so_far = "".join(m["content"] for m in messages[turn + 1 :] if m["role"] == "assistant")
        holding = so_far.rfind(FOUND.strip()) > so_far.rfind(LOST.strip())
        if prefill or messages[-1]["content"].endswith(task.answer_prompt(problem)):
            text, n, cut_off = _capped(self._answer(task, problem, holding, rng), max_tokens)
            return _reply(text, size, n, "length" if cut_off else "stop")
        chance = float(self.simulation.chances(quantile(problem), self.effect_in(messages)))
        turns, n, stopped = self.simulation.walk(chance, rng.random((max_tokens, 2)), holding)
        text, ends = _write(turns, n, wording.integers(len(_FILLER), size=n))
        return _reply(text, size, n, "stop" if stopped else "length", ends=ends if tokens else None)

    def effect_in(self, messages: Sequence[Message]) -> float:
        """What the methods whose wording a conversation bears multiply the hazard by."""
        return _effect(self.simulation, self._words, messages)

    def _search(self, content: str) -> tuple[Task, Problem] | None:
        """The problem that a turn is about: the last one that it quotes."""
        places = ((content.rfind(text), len(text), text) for text in self._known)
        last = max(((at + length, length, text) for at, length, text in places if at >= 0), default=None)
        return None if last is None else self._known[last[2]]

    def _with_fellows(self, task: str, id: str) -> tuple[Problem, list[Problem]]:
        problem = next(p for t, p in self._known.values() if t.name == task and p.id == id)
        return problem, self._fellows[task]

    def _answer(self, task: Task, problem: Problem, holding: bool, rng: np.random.Generator) -> str:
        unread, guess, which = rng.random(3)
        if unread < self.simulation.unread:
            return UNREAD
        if holding or guess < self.simulation.guess:
            return task.gold_answer(problem)
        wrong = self._wrong(task.name, problem.id)
        return wrong[int(which * len(wrong))]

    def _verdict(self, content: str, rng: np.random.Generator, size: int) -> Reply:
        """A letter: which of two attempts is better, or whether one beginning holds the answer (A: yes). How strongly
        which of two is preferred depends on the pair, whatever its order; the liking for the first comes on top."""
        found, pair = self._find(content), "ATTEMPT A: " in content and "ATTEMPT B: " in content
        if found is None:
            raise RequestFailed("the simulated respondent can judge only what is about a problem of its config")
        better = 1.0 if content.rfind(FOUND.strip()) > content.rfind(LOST.strip()) else -1.0
        if pair:
            a, _, rest = content.partition("ATTEMPT A: ")[2].partition("ATTEMPT B: ")
            a, b = a.strip(), rest.rpartition("\n\n")[0].strip()
            rng = np.random.default_rng(int(digest(sorted([a, b]))[:16], 16))
            better = float(np.sign(found[0].grade(found[1], a).score - found[0].grade(found[1], b).score))
        sees, first = rng.random(2)
        if better == 0:
            better = (1 if a < b else -1) * (1 if first < 0.5 else -1)
        elif sees >= self.simulation.judge_accuracy:
            better = -better
        odds = better * (0.2 + rng.exponential()) + (self.simulation.position_bias if pair else 0.0)
        letters = {"A": float(log_expit(odds)), "B": float(log_expit(-odds))}
        return _reply("A" if odds > 0 else "B", size, 1, "stop", first=letters)


def _words_of(simulation: Simulation) -> dict[str, str]:
    return {method: marker(method) for method in simulation.effects}


def _effect(simulation: Simulation, words: Mapping[str, str], messages: Sequence[Message]) -> float:
    borne = [m for m, told in words.items() if any(told in said["content"] for said in messages)]
    return float(np.prod([simulation.effects[m] for m in borne]))


def _write(turns: Sequence[tuple[int, bool]], n: int, words: NDArray[np.int64]) -> tuple[str, list[int]]:
    """A trace of n tokens as text, and where each ends (bytes)."""
    said, width = _FILLER[words], _WIDTH[words]
    for token, found in turns:
        said[token] = FOUND if found else LOST
        width[token] = len(said[token])
    ends = np.cumsum(width) - 1  # the first word has no space before it
    return "".join(said)[1:], ends.tolist()


def _capped(text: str, max_tokens: int) -> tuple[str, int, bool]:
    """An answer's first tokens, how many they are, and whether something is missing."""
    words = re.findall(r"\s*\S+", text)
    return "".join(words[:max_tokens]), min(len(words), max_tokens), len(words) > max_tokens


def _reply(
    text: str, prompt_tokens: int, n: int, finish_reason: str, *, ends: list[int] | None = None,
    first: dict[str, float] | None = None,
) -> Reply:  # fmt: skip
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": n}
    return Reply(text, finish_reason=finish_reason, ends=ends, first=first or {}, usage=usage, model="simulated",
                 prompt_tokens=prompt_tokens, completion_tokens=n)  # fmt: skip


def wrong_answers(task: Task, problem: Problem, fellows: Sequence[Problem]) -> list[str]:
    """Up to three answers in the form of the gold one that are read and are not right, the worst that there are: the
    gold one with a number or an option's letter changed or its lines turned round, else the gold ones of other
    problems, else a shrug."""
    gold = task.gold_answer(problem)
    for source in (_changed(gold), (task.gold_answer(p) for p in fellows)):
        graded = [(task.grade(problem, text), text) for text in dict.fromkeys(source)]
        found = [(grade.score, text) for grade, text in graded if grade.status == "ok" and not grade.correct]
        if found:
            return [text for _, text in sorted(found)[:_MOST_WRONG]]
    return ["Something else."]


def _changed(gold: str) -> Iterator[str]:
    for match in [*re.finditer(r"\d+", gold)][:12]:
        yield f"{gold[: match.start()]}{int(match[0]) + 1}{gold[match.end() :]}"
    for step in (1, 2, 3):
        yield re.sub(r"\d+", lambda m, step=step: str(int(m[0]) + step), gold)  # type: ignore[misc]
        yield re.sub(r"\b[A-D]\b", lambda m, step=step: "ABCD"[("ABCD".index(m[0]) + step) % 4], gold)  # type: ignore[misc]
    yield "\n".join(reversed(gold.split("\n")))


@dataclass(frozen=True)
class Truth:
    """What a sweep of the simulated respondent estimates, exactly.

    Attributes:
        quality: (P, T) expected quality of each problem under test at each budget.
    """

    task: str
    method: str
    problems: list[str]
    budgets: list[int]
    quality: Floats

    @property
    def curve(self) -> Floats:
        """(T,) mean over the problems."""
        return np.asarray(self.quality.mean(axis=0))

    def index(self, order: Literal["pooled", "problem", "raw"] = "pooled") -> float:
        """The Anytime Index of the true curve; the running maximum of the mean (`pooled`), of each problem's curve
        (`problem`), or none (`raw`). `crossfit` is an estimate of `pooled`, from below (see `index.from_means`)."""
        if order not in ("pooled", "problem", "raw"):
            raise DataError(f"the truth is known at the levels pooled, problem and raw, not at {order!r}")
        if order == "problem":
            return float(np.mean(anytime_index(self.budgets, self.quality)))
        return float(anytime_index(self.budgets, self.curve, running_max=order == "pooled"))

    def to_frame(self) -> pd.DataFrame:
        """One row per problem and budget: task, method, problem_id, budget, quality."""
        index = pd.MultiIndex.from_product([self.problems, self.budgets], names=["problem_id", "budget"])
        frame = pd.DataFrame({"quality": self.quality.ravel()}, index=index).reset_index()
        frame.insert(0, "method", self.method)
        frame.insert(0, "task", self.task)
        return frame


_PREPARED = SimpleNamespace(preferences=[], low=[], summary="")
"""What is shown of pairs and principles where only a method's own words count."""


def _asked(method: str, context: Context, problem: Problem) -> list[Message]:
    """The messages that ask for the one trace of a method; those of `base` for `direct`."""
    name = "base" if method == "direct" else method
    found = load_method(name)
    if not isinstance(found, Prompted) or name == "recorded":
        plain = [m for m in method_names() if isinstance(load_method(m), Prompted) and m != "recorded"]
        raise DataError(f"the truth of {name} is not known, since its answers do not come from one trace of the "
                        f"respondent; it is of direct, {', '.join(plain)}")  # fmt: skip
    try:
        return found.messages(problem, context)
    except (AttributeError, TypeError) as error:
        raise DataError(f"the truth of {name} is not known: its words depend on its preparation ({error})") from None


def truth(config: RunConfig, task: str, method: str = "base") -> Truth:
    """The expected quality of every problem under test at every budget: of the chain exactly, and by grading what the
    respondent would say with the task's own grader.

    It is known of `direct`, which answers without reasoning, and of every method whose answers come from one plain
    trace. What such a method does to the respondent is read off its messages, as the respondent itself does it: an arm
    that bears the words of another (`pdp_shuffled` those of `pdp`) has its effect.

    Raises:
        ConfigError: the config's `simulated` makes no sense, or no method has that name.
        DataError: the method searches (votes, values, judges), or reads traces that were recorded.
    """
    from anytime_lib.sweep.exemplars import split_problems

    simulation, settings, found = _simulation(config), config.task(task), load_task(task)
    drawn = split_problems(found, settings, config.seed)
    problems = drawn.test
    reached = settings.budgets if method != "direct" else [0] * len(settings.budgets)
    effect = _effect(simulation, _words_of(simulation), _asked(method, Context(
        found, settings, drawn.shots, drawn.pool, _PREPARED, settings.budgets[-1]), problems[0]))  # fmt: skip

    def score(problem: Problem, answer: str) -> float:
        text, _, cut_off = _capped(answer, settings.answer_cap)
        return grade_answer(found, problem, text, "length" if cut_off else "stop").score

    right = np.array([score(p, found.gold_answer(p)) for p in problems])[:, None]
    wrong = np.array([np.mean([score(p, w) for w in wrong_answers(found, p, problems)]) for p in problems])[:, None]
    unread = np.array([score(p, UNREAD) for p in problems])[:, None]
    held = simulation.held(reached, [quantile(p) for p in problems], effect)
    lucky = held + (1 - held) * simulation.guess
    quality = (1 - simulation.unread) * (lucky * right + (1 - lucky) * wrong) + simulation.unread * unread
    return Truth(task, method, [p.id for p in problems], list(settings.budgets), quality)
