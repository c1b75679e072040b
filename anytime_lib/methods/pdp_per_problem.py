"""Can the model prefer between its own attempts at the very problem under test, and reason on from there?

Preference Data Prompting (Zhang et al., arXiv 2601.11038) without a pool: two short attempts at the problem itself, the
model's own verdict on them in both orders, then a reasoning with the worse and the better one in context. No gold
answer is looked at, and every token of it is inside the budget.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from anytime_lib.methods.base import Context, Method, Session, chain_of_thought
from anytime_lib.methods.judge import verdict, verdict_messages
from anytime_lib.methods.search import Searching, Step
from anytime_lib.prompts import prompt
from anytime_lib.types import Completion, Problem, Trace


@dataclass(frozen=True)
class PdpPerProblem(Searching):
    """Two attempts, a verdict, a reasoning. Attempts, and their answers, take at most `attempt_tokens` each (None: an
    eighth of the largest budget).

    Stopped before the verdict, it answers from the first attempt; then from the better one; then from the reasoning, as
    far as it got. Where the verdict is a tie or cannot be read, it reasons as `base` does, without the attempts. The
    judge sees answers, the prompt does not, as in `pdp`: an answer to the very problem would only be repeated.
    """

    name = "pdp_per_problem"
    attempt_tokens: int | None = None

    async def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        most, cap = self.attempt_tokens or max(1, session.budgets[-1] // 8), context.settings.pool.verdict_tokens
        messages = chain_of_thought(context.task, problem, context.shots)
        traces, texts, said = list[Trace](), list[str](), list[Completion]()
        for number in range(2):
            traces.append(await session.trace(messages, most, number))
            yield Step(traces[0], grows=number == 0)
            answer = await session.answer(traces[number], most)
            yield Step(traces[0])
            texts.append(f"{traces[number].text}\n{answer.text}".strip())
        for asked in verdict_messages(problem, *texts) if texts[0] != texts[1] else []:
            said.append(await session.say(asked, cap, "judge", alternatives=20))
            yield Step(traces[0])
        if said and (outcome := verdict(said).outcome) in ("first", "second"):
            winner, loser = (0, 1) if outcome == "first" else (1, 0)
            shown = {"winner": traces[winner].text, "loser": traces[loser].text}
            question = prompt("pdp_per_problem.question", question=context.task.question(problem), **shown)
            messages = chain_of_thought(context.task, problem, context.shots, question)
            yield Step(traces[winner])
        final = await session.trace(messages, context.budget, 2)
        yield Step(final, grows=True, last=final.stopped)


METHODS: dict[str, Method] = {"pdp_per_problem": PdpPerProblem()}
