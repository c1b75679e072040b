"""Does the model learn from its mistakes? It explains them, and the principles drawn from that go into the prompt.

In-context principle learning (LEAP; Zhang et al., arXiv 2402.05403): attempts at pool problems, those that the pool's
gold answers show to be wrong, an explanation of each by the model, given the right answer; a principle from each (low
level), and a summary of them all (high level).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from anytime_lib.config import TaskConfig
from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import Client, Context, Method, Prompted, Sample, chain_of_thought
from anytime_lib.methods.synthesis import attempts_at, over_pool
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.user_code import grade_answer
from anytime_lib.types import Message, Problem, ProblemSplit, shown


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
        found = f"{self.task}: {len(self.mistakes)} mistakes among {self.attempts} readable attempts at the pool"
        if self.failed:
            found += f" ({self.failed} could not be made)"
        if self:
            return f"{found}, {len(self.low)} principles"
        why = "the model drew no principle from them" if self.mistakes else "there is nothing to learn from"
        return f"{found}; {why}, so leap is left out. More pool problems or samples may help"


@dataclass(frozen=True)
class Learning:
    """The preparation: attempts as PDP's synthesis makes them (and shares), mistakes, explanations, principles.

    An explanation, a principle and the summary are of at most `principle_tokens` tokens each.
    """

    name = "principles"
    principle_tokens: int = 256

    async def __call__(
        self, client: Client, task: Task, settings: TaskConfig, problems: ProblemSplit, trace_slots: ResizableSemaphore
    ) -> Principles:

        async def one(problem: Problem) -> tuple[int, int, Mistake | None]:
            return await _learned(client, task, settings, problems, problem, self.principle_tokens)

        found = await over_pool(problems, trace_slots, one)
        mistakes = [m for _, _, m in found if m]
        low = [m.principle for m in mistakes if m.principle]
        summary = ""
        if low:
            asked = prompt("leap.summary", principles=_listed(low))
            of = Sample(task, "leap", mistakes[0].problem)
            summary = await _say(client, of, self.principle_tokens, "principle", asked)
        return Principles(task.name, mistakes, summary, sum(n for n, _, _ in found), sum(n for _, n, _ in found))

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


async def _learned(
    client: Client, task: Task, settings: TaskConfig, problems: ProblemSplit, problem: Problem, most: int
) -> tuple[int, int, Mistake | None]:
    """How many attempts at a pool problem could be read, how many not be made, and what the first wrong one taught."""
    attempts, counts = await attempts_at(client, task, settings, problems.shots, problem)
    grades = [grade_answer(task, problem, attempt.answer, attempt.finish_reason) for attempt in attempts]
    read, failed = sum(grade.status == "ok" for grade in grades), counts["failed"] + counts["hidden"]
    wrong = [a for a, grade in zip(attempts, grades, strict=True) if grade.status == "ok" and not grade.correct]
    if not wrong:
        return read, failed, None
    shows = {"problem": problem.text, "attempt": wrong[0].text, "answer": task.gold_answer(problem)}
    of = Sample(task, "leap", problem)
    explanation = await _say(client, of, most, "explain", prompt("leap.explain", **shows))
    principle = ""
    if explanation:
        asked = prompt("leap.principle", problem=problem.text, explanation=explanation)
        principle = await _say(client, of, most, "principle", asked)
    return read, failed, Mistake(problem, wrong[0].trace_key, wrong[0].answer_key, explanation, principle)


async def _say(client: Client, of: Sample, most: int, kind: str, content: str) -> str:
    """What the model says to that; nothing where the request fails."""
    try:
        turn = {"role": "user", "content": content}
        said = await client.say(of, kind, [turn], most)
    except RequestFailed:
        return ""
    return said.text.strip()


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
