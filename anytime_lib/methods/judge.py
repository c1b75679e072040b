"""Which of two attempts at a problem is better, and who says so?

`judge`: the model itself, asked in both orders. `grader`: the score by the pool's gold answers, the ceiling of what
pairs can give. `verifier`: a checker that reads the problem alone, where the task has one. `agreement`: judge and
checker (where there is none, judge and grader) say the same. `shuffled`: the judge's pairs, half of them swapped, the
placebo. What cannot be read is counted, never guessed.
"""

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Sample
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task, user_code
from anytime_lib.types import Completion, Grade, Message, Problem

PreferenceSource = Literal["judge", "grader", "verifier", "agreement", "shuffled"]
PREFERENCE_SOURCES: tuple[PreferenceSource, ...] = get_args(PreferenceSource)
Outcome = Literal["first", "second", "tie", "disagree", "identical", "unparsed", "error"]

TIE = 0.05  # the judge's preferences weaker than this, in nats of log-odds, count as ties
SAME = 1e-9  # scores no further apart count as equal
_LETTER = re.compile(r"\W*(?:(?:attempt|answer|option|better)\b\W*)?([AB])\W*(?:\Z|[.,:;\n])", re.IGNORECASE)


@dataclass(frozen=True)
class Attempt:
    """The `sample`-th attempt at a pool problem: its reasoning, cut at `budget` tokens, and the answer forced there;
    `tokens` are those of both, `reasoning_tokens` of the one, `grade` is by the pool's gold."""

    reasoning: str = field(repr=False)
    answer: str = field(repr=False)
    trace_key: str
    answer_key: str
    sample: int = 0
    tokens: int = 0
    grade: Grade = field(default=Grade(0.0, False, "unparsed"), repr=False)
    budget: int = 0
    reasoning_tokens: int = 0

    @property
    def text(self) -> str:
        return f"{self.reasoning}\n{self.answer}".strip()


@dataclass(frozen=True)
class Preference:
    """Two attempts at one pool problem and the verdict on them, `by` the judge or another.

    The judge's `margin` is in nats (of its verdict, or between strengths), another's is a difference of scores;
    `log_odds` are the judge's, of the attempt shown first, with the winner shown first and second.
    """

    problem: Problem
    winner: Attempt
    loser: Attempt
    margin: float
    verdict_keys: tuple[str, ...] = ()
    by: str = "judge"
    log_odds: tuple[float | None, float | None] = (None, None)

    @property
    def budget(self) -> int:
        """The checkpoint at which both attempts were cut."""
        return self.winner.budget


@dataclass(frozen=True)
class Judgement:
    """What is said of the first and the second of two attempts.

    Attributes:
        outcome: `first` or `second` is better, `tie`, `disagree` (two judges contradict each other), `identical`
            (there is nothing to compare), `unparsed`, or `error` (a request failed).
        margin: of the first over the second; 0 of identical ones, None where there is no verdict. The judge's is in
            nats, averaged over both orders of presentation, the others' is a difference of scores in [0, 1].
        log_odds: of preferring the attempt shown first, in the order (first, second) and in the other; judge only.
        keys: of the judging requests, in those orders.
    """

    outcome: Outcome
    margin: float | None = None
    log_odds: tuple[float | None, float | None] = (None, None)
    keys: tuple[str, ...] = ()


def log_odds(text: str, alternatives: Mapping[str, float]) -> float | None:
    """The log-odds (nats) of A over B in a verdict; None if it cannot be read.

    From the log-probabilities of the first token where the server gives them; a letter too unlikely to be listed counts
    as the least likely of those that are. Where it gives none, +1 or -1 by the letter said, if the reply is a letter or
    begins with one and a stop ("A better plan is B" is not read).
    """
    if not alternatives:
        said = _LETTER.match(text)
        return (1.0 if said[1] in "Aa" else -1.0) if said else None
    letters = [(token.strip().strip("*(\"'").upper(), value) for token, value in alternatives.items()]
    a, b = ([value for letter, value in letters if letter == wanted] for wanted in "AB")
    if not a and not b:
        return None
    least = [min(alternatives.values())]
    return float(np.logaddexp.reduce(a or least) - np.logaddexp.reduce(b or least))


def verdict_messages(problem: Problem, first: str, second: str) -> list[list[Message]]:
    """What asks for a one-letter verdict on two attempts, in both orders: a liking for the first place cancels."""
    orders = ((first, second), (second, first))
    asked = (prompt("judge.question", problem=problem.text, a=a, b=b) for a, b in orders)
    return [[{"role": "user", "content": content}] for content in asked]


def verdict(said: Sequence[Completion]) -> Judgement:
    """The verdict of two replies, with the first attempt shown first and second; unread where either is."""
    keys = tuple(reply.key for reply in said)
    ab, ba = (log_odds(reply.text, reply.first) for reply in said)
    if ab is None or ba is None:
        return Judgement("unparsed", None, (ab, ba), keys)
    margin = (ab - ba) / 2
    return Judgement(_outcome(margin, TIE), margin, (ab, ba), keys)


async def judged(client: Client, task: Task, problem: Problem, first: Attempt, second: Attempt, cap: int) -> Judgement:
    """The model's verdict on two attempts, each reply of at most `cap` tokens."""
    of, asked = Sample(task, "synthesis", problem), verdict_messages(problem, first.text, second.text)
    work = (client.say(of, "judge", order, cap, alternatives=20) for order in asked)
    both = await asyncio.gather(*work, return_exceptions=True)  # one that was sent is paid for, whatever the other did
    for failed in both:
        if isinstance(failed, BaseException) and not isinstance(failed, RequestFailed):
            raise failed
    said = [reply for reply in both if isinstance(reply, Completion)]
    return verdict(said) if len(said) == len(both) else Judgement("error")


def scored(first: float | None, second: float | None) -> Judgement:
    """The verdict of two scores; `unparsed` where either could not be had, or is no finite number."""
    if first is None or second is None or not math.isfinite(first - second):
        return Judgement("unparsed")
    return Judgement(_outcome(first - second, SAME), first - second)


def _outcome(margin: float, tie: float) -> Outcome:
    return "tie" if abs(margin) < tie else "first" if margin > 0 else "second"


def agreed(judge: Judgement, other: Judgement) -> Judgement:
    """The judge's verdict where another comes to the same; a tie of either is a tie."""
    for each in (judge, other):
        if each.outcome not in ("first", "second"):
            return replace(judge, outcome=each.outcome, margin=None)
    return judge if judge.outcome == other.outcome else replace(judge, outcome="disagree")


def verified(task: Task, problem: Problem, text: str) -> float | None:
    """What the task's own `verify(problem, text)` says, a score in [0, 1] from the problem's text alone; None where it
    cannot tell, or the task has no such checker. Errors as of `user_code`."""
    with user_code(f"the checker of {task.name}", problem):
        verify = getattr(task, "verify", None)
        said = verify(problem, text) if verify else None
        return None if said is None else float(said)
