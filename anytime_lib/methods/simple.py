"""What does the model do by itself, without reasoning, after examples, told its budget, or from others' reasoning?"""

from collections.abc import AsyncIterator

from anytime_lib.methods.base import BudgetAnswer, Context, Method, Prompted, Session, chain_of_thought
from anytime_lib.prompts import prompt
from anytime_lib.types import Message, Problem, Trace


class Direct(Method):
    """One forced answer, asked for at once; the same at every budget, of which it spends nothing."""

    name = "direct"

    async def answers_by_budget(
        self, problem: Problem, context: Context, session: Session
    ) -> AsyncIterator[BudgetAnswer]:
        messages = chain_of_thought(context.task, problem, context.shots)
        answer = await session.read_out(Trace("", messages, "", [], "usage", stopped=False), 0)
        for budget in session.budgets:
            yield BudgetAnswer(budget, 0, answer, stopped=True)


class Base(Prompted):
    """Chain of thought (Wei et al., arXiv 2201.11903): worked examples, then the question."""

    name = "base"

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return chain_of_thought(context.task, problem, context.shots)


class BaseFresh(Base):
    """`base` with a run of its own for every budget, from the same seed: what a cut stands in for."""

    name = "base_fresh"
    per_budget = True


class BasePrefill(Base):
    """`base`, answering by going on after a closing phrase, whatever the run's way."""

    name = "base_prefill"
    answer_via = "prefill"


class BaseReworded(Base):
    """`base`, asked for its answer with other words before the task's own."""

    name = "base_reworded"
    answer_via = "turn"
    answer_preface = prompt("base_reworded.answer")


class FewShot(Prompted):
    """`base` with `n_pairs` further worked examples from the pool, on which `pdp` has its pairs: a control."""

    name = "few_shot"
    needs_pool = True

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return chain_of_thought(context.task, problem, [*context.shots, *context.pool[: context.settings.pool.n_pairs]])


class BudgetPrompt(Prompted):
    """`base`, told its budget in tokens. The prompt differs at every budget, so each has a trace of its own."""

    name = "budget_prompt"
    per_budget = True

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        question = prompt("budget_prompt.question", question=context.task.question(problem), budget=str(context.budget))
        return chain_of_thought(context.task, problem, context.shots, question)


class Imported(Base):
    """Traces of `tools.import_traces`, as many as there are, cut and answered from. The question is that of `base`."""

    name = "imported"


_ALL = (Direct(), Base(), BaseFresh(), BasePrefill(), BaseReworded(), FewShot(), BudgetPrompt(), Imported())
METHODS: dict[str, Method] = {method.name: method for method in _ALL}
