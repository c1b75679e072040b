"""Do several short reasonings that vote do better than one long one?

Self-consistency (Wang et al., arXiv 2203.11171), under a token budget: traces are read one after the other until the
budget is used, the last one is cut, and the answers forced at their ends vote.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from anytime_lib.errors import RequestFailed
from anytime_lib.methods.base import BudgetAnswer, Context, Method, Session, chain_of_thought
from anytime_lib.methods.search import Searching
from anytime_lib.tasks.base import Task
from anytime_lib.types import Completion, Problem, Trace

MOST = 40  # traces, as in the paper; more budget then changes nothing


def reader_of(task: Task) -> Callable[[Problem, str], Any]:
    """How two answers are known to be the same: by the task's own `extract_answer`, else by the text itself, whatever
    its case and its white space; None where nothing is read."""
    return getattr(task, "extract_answer", None) or (lambda _, text: " ".join(text.lower().split()) or None)


def elected(task: Task, problem: Problem, texts: Sequence[str]) -> int:
    """The place of the answer that most agree with, by the task's own `vote`, else as `reader_of` reads; of equals,
    that of the one reached first. An unread answer does not vote."""
    if own := getattr(task, "vote", None):
        return int(own(problem, texts))
    read = reader_of(task)
    readings = [read(problem, text) for text in texts]
    counts = Counter(r for r in readings if r is not None)
    return readings.index(counts.most_common(1)[0][0]) if counts else 0


@dataclass(frozen=True)
class SelfConsistency(Searching):
    """The majority over traces, within the budget, of `trace_tokens` each (None: a quarter of the largest budget)."""

    name = "self_consistency"
    trace_tokens: int | None = None

    async def answers_by_budget(
        self, problem: Problem, context: Context, session: Session
    ) -> AsyncIterator[BudgetAnswer]:
        messages = chain_of_thought(context.task, problem, context.shots)
        most, traces = self.trace_tokens or max(1, session.budgets[-1] // 4), list[Trace]()
        for budget in session.budgets:
            while session.spent < budget and len(traces) < MOST:
                traces.append(await session.trace(messages, most, len(traces)))
            votes, used = list[Completion | RequestFailed](), 0
            for trace in traces:
                if used < budget:
                    votes.append(await session.read_out(trace, trace.used(budget - used)))
                    used += trace.used(budget - used)
            said = [vote for vote in votes if isinstance(vote, Completion)]
            failed = [vote for vote in votes if isinstance(vote, RequestFailed)]
            best = failed[0] if failed else said[elected(context.task, problem, [vote.text for vote in said])]
            yield BudgetAnswer(budget, used, best, session.spent < budget, said)


METHODS: dict[str, Method] = {"self_consistency": SelfConsistency()}
