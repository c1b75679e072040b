"""Does the model learn from its mistakes? It explains them, and the principles drawn from that go into the prompt.

In-context principle learning (LEAP; Zhang et al., arXiv 2402.05403): attempts at pool problems, those that the pool's
gold answers show to be wrong, an explanation of each by the model, given the right answer; a principle from each (low
level), and a summary of them all (high level).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Context, Method, PrepTask, Prompted, Sample, chain_of_thought
from anytime_lib.methods.synthesis import from_attempts
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import grade_answer
from anytime_lib.types import Attempt, Message, Problem, shown


@dataclass(frozen=True)
class Mistake:
    """A wrong attempt at a pool problem, and what the model made of it ("" where that failed)."""

    problem: Problem
    trace_key: str
    answer_key: str
    explanation: str = field(repr=False)
    principle: str = field(repr=False)


@dataclass(frozen=True)
class Principles:
    """What was learned.

    Attributes:
        mistakes: one a pool problem at the most.
        high: the principles of all in short; "" where that failed.
        attempts, failed: how many could be read, and how many could not be made (their requests failed, or the server
            hides reasoning).
    """

    task: str
    mistakes: list[Mistake]
    high: str = field(repr=False)
    attempts: int
    failed: int = 0

    @property
    def low(self) -> list[str]:
        return [m.principle for m in self.mistakes if m.principle]

    def __bool__(self) -> bool:
        return bool(self.low)

    def summary(self) -> str:
        """One sentence on what was learned, or why nothing was."""
        found = (
            f"{self.task}: {len(self.mistakes)} mistakes among {self.attempts} readable attempts at the pool "
            f"({self.failed} could not be made), {len(self.low)} principles"
        )
        return found if self else f"{found}, so leap is left out. More pool problems or samples may help"


@dataclass(frozen=True)
class Learning:
    """The preparation: attempts as PDP's synthesis makes them (and shares), mistakes, explanations, principles.

    An explanation, a principle and the summary are of at most `principle_tokens` tokens each.
    """

    name = "principles"
    principle_tokens: int = 256

    async def __call__(self, client: Client, on: PrepTask) -> Principles:
        async def say(problem: Problem, kind: str, content: str) -> str:
            """What the model says to that; nothing where the request fails."""
            of, asked = Sample(on.task, "leap", problem), [{"role": "user", "content": content}]
            try:
                return (await client.say(of, kind, asked, self.principle_tokens)).text.strip()
            except RequestFailed:
                return ""

        async def work(problem: Problem, attempts: list[Attempt]) -> tuple[int, Mistake | None]:
            grades = [grade_answer(on.task, problem, a.answer, a.finish_reason) for a in attempts]
            read = [(a, grade) for a, grade in zip(attempts, grades, strict=True) if grade.status == "ok"]
            wrong = next((a for a, grade in read if not grade.correct), None)
            if wrong is None:
                return len(read), None
            gold = on.task.gold_answer(problem)
            explain = prompt("leap.explain", problem=problem.text, attempt=wrong.text, answer=gold)
            principle = ""
            if explanation := await say(problem, "explain", explain):
                asked = prompt("leap.principle", problem=problem.text, explanation=explanation)
                principle = await say(problem, "principle", asked)
            return len(read), Mistake(problem, wrong.trace_key, wrong.answer_key, explanation, principle)

        found, counts = await from_attempts(client, on, work)
        mistakes = [mistake for _, mistake in found if mistake]
        low, high = [m.principle for m in mistakes if m.principle], ""
        if low:
            high = await say(mistakes[0].problem, "principle", prompt("leap.summary", principles=_listed(low)))
        failed = counts.get("failed", 0) + counts.get("hidden", 0)
        return Principles(on.task.name, mistakes, high, sum(n for n, _ in found), failed)

    def save(self, prepared: Principles, folder: Path) -> None:
        """One mistake a line with its lineage, then the summary; texts on private problems are withheld."""
        rows = [
            {"task": prepared.task, "problem_id": m.problem.id, "trace_key": m.trace_key, "answer_key": m.answer_key,
             "explanation": shown(m.problem, m.explanation), "principle": shown(m.problem, m.principle)}
            for m in prepared.mistakes
        ]  # fmt: skip
        if prepared:
            rows.append({"task": prepared.task, "summary": shown(prepared.mistakes[0].problem, prepared.high)})
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"principles_{prepared.task}.jsonl").write_text(text, encoding="utf-8", errors="replace")


def _listed(principles: list[str]) -> str:
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
        learned: Principles = context.prepared
        question = prompt("leap.question", summary=learned.high, principles=_listed(learned.low),
                          question=context.task.question(problem))  # fmt: skip
        return chain_of_thought(context.task, problem, context.shots, question)


METHODS: dict[str, Method] = {"leap": Leap()}
