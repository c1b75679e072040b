"""Does the model learn from its mistakes? It explains them, and the principles drawn from that go into the prompt.

In-context principle learning (LEAP; Zhang et al., arXiv 2402.05403): attempts at pool problems, those that the pool's
gold answers show to be wrong, an explanation of each by the model, given the right answer; a principle from each (low
level), and a summary of them all (high level).
"""

from dataclasses import dataclass, field

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Context, Method, Preparation, PrepTask, Prompted, Sample, chain_of_thought
from anytime_lib.methods.judge import Attempt
from anytime_lib.methods.synthesis import from_attempts, tallied, together
from anytime_lib.prompts import prompt
from anytime_lib.types import Message, Problem


@dataclass(frozen=True)
class Principles:
    """What was learned.

    Attributes:
        low: a principle from each mistake, at most one a pool problem; left out where the request failed.
        high: these in short; "" where that failed.
        mistakes: pool problems with an attempt that could be read and is wrong.
        attempts: as `from_attempts` counts them.
    """

    task: str
    low: list[str] = field(repr=False)
    high: str = field(repr=False)
    mistakes: int
    attempts: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.low)

    def summary(self) -> str:
        """One sentence on what was learned, or why nothing was."""
        found = f"principles: {len(self.low)}, from mistakes: {self.mistakes} (attempts {tallied(self.attempts)})"
        mend = "" if self else ", so leap is left out; more pool problems, samples or principle_tokens may help"
        return f"{self.task}: {found}{mend}"


@dataclass(frozen=True)
class Learning(Preparation):
    """Attempts as PDP's synthesis makes them (and shares), mistakes, explanations, principles."""

    name = "principles"
    principle_tokens: int

    async def __call__(self, client: Client, on: PrepTask) -> Principles:
        async def say(problem: Problem, kind: str, content: str) -> str:
            """What the model says to that; nothing where the request fails."""
            of, asked = Sample(on.task, "leap", problem), [{"role": "user", "content": content}]
            try:
                return (await client.say(of, kind, asked, self.principle_tokens, 0)).text.strip()
            except RequestFailed:
                return ""

        async def learned(problem: Problem, attempts: list[Attempt]) -> str | None:
            """The principle drawn from the first attempt that is wrong, if there is one."""
            wrong = next((a.text for a in attempts if a.grade.status == "ok" and not a.grade.correct), None)
            if wrong is None:
                return None
            gold = on.task.gold_answer(problem)
            asked = prompt("leap.explain", problem=problem.text, attempt=wrong, answer=gold)
            explanation = await say(problem, "explain", asked)
            asked = prompt("leap.principle", problem=problem.text, explanation=explanation)
            return await say(problem, "principle", asked) if explanation else ""

        budget = on.settings.pool_budget
        cuts, attempts = await from_attempts(client, on, [budget])
        found = await together(map(learned, on.problems.pool, cuts[budget]))
        low, high = [principle for principle in found if principle], ""
        mistaken = [p for p, principle in zip(on.problems.pool, found, strict=True) if principle is not None]
        if low:
            high = await say(mistaken[0], "principle", prompt("leap.summary", principles=_points(low)))
        return Principles(on.task.name, low, high, len(mistaken), attempts)


def _points(principles: list[str]) -> str:
    return "\n".join(f"- {principle}" for principle in principles)


@dataclass(frozen=True)
class Leap(Prompted):
    """`base` after the principles, high level and low; each of at most `principle_tokens` tokens."""

    name = "leap"
    principle_tokens: int = 256

    @property
    def preparation(self) -> Learning:  # type: ignore[override]
        return Learning(self.principle_tokens)

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        learned, asked = context.prepared, context.task.question(problem)
        question = prompt("leap.question", summary=learned.high, principles=_points(learned.low), question=asked)
        return chain_of_thought(context.task, problem, context.shots, question)


METHODS: dict[str, Method] = {"leap": Leap()}
