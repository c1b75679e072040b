"""Can the model prefer between its own attempts at the very problem under test, and reason on from there?

Preference Data Prompting (Zhang et al., arXiv 2601.11038) without a pool: two short attempts at the problem itself, the
model's own verdict on them in both orders, then a reasoning with the worse and the better one in context. No gold
answer is looked at, and every token of it is inside the budget.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from anytime_lib.methods.base import Context, Method, Session, chain_of_thought
from anytime_lib.methods.judge import VERDICT_TOKENS, verdict, verdict_messages
from anytime_lib.methods.search import Searching, Step, cost
from anytime_lib.prompts import prompt
from anytime_lib.types import Problem, Trace


@dataclass(frozen=True)
class PdpPerProblem(Searching):
    """Two attempts, a verdict, a reasoning. Attempts, and their answers, take at most `attempt_tokens` each (None: an
    eighth of the largest budget).

    Stopped before the verdict, it answers from the first attempt; then from the better one; then from the reasoning, as
    far as it got. Where the verdict is a tie or cannot be read, it reasons as `base` does, without the attempts.
    """

    name = "pdp_per_problem"
    attempt_tokens: int | None = None

    async def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        task, left = context.task, context.budget
        most = self.attempt_tokens or max(1, context.settings.budgets[-1] // 8)
        messages = chain_of_thought(task, problem, context.shots)
        attempts: list[tuple[Trace, str]] = []
        for number in range(2):
            if left < 1:
                return
            cap = min(most, left)
            trace = await session.trace(messages, cap, number)
            left -= cost(trace, cap)
            first = attempts[0][0] if attempts else trace
            yield Step(cost(trace, cap), first, None if attempts else 0, grows=not attempts)
            if left < 1:
                return
            answer = await session.answer(trace, cap=min(most, left))
            left -= answer.tokens
            yield Step(answer.tokens, first)
            attempts.append((trace, f"{trace.text}\n{answer.text}".strip()))
        (one, other), said = attempts, []
        if one[1] != other[1]:
            for asked in verdict_messages(problem, one[1], other[1]):
                if left < VERDICT_TOKENS:
                    return
                said.append(await session.say(asked, VERDICT_TOKENS, "judge", alternatives=20))
                left -= said[-1].tokens
                yield Step(said[-1].tokens, first)
        if said and (judgement := verdict(said)).decided:
            winner, loser = (one, other) if judgement.outcome == "first" else (other, one)
            question = prompt("pdp_per_problem.question", winner=winner[1], loser=loser[1],
                              question=task.question(problem))  # fmt: skip
            messages = chain_of_thought(task, problem, context.shots, question)
            yield Step(0, winner[0])
        if left >= 1:
            final = await session.trace(messages, left, 2)
            yield Step(cost(final, left), final, 0, grows=True, last=final.stopped)


METHODS: dict[str, Method] = {"pdp_per_problem": PdpPerProblem()}
