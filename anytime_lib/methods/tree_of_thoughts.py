"""Does it help to look several ways and to go on from the best?

Tree of thoughts (Yao et al., arXiv 2305.10601): the model proposes next thoughts, values each partial reasoning itself,
and a beam of the best is carried on. Thoughts and valuations share one budget.
"""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from anytime_lib.methods.base import Context, Method, Session, chain_of_thought
from anytime_lib.methods.judge import log_odds
from anytime_lib.methods.search import Searching, Step
from anytime_lib.prompts import prompt
from anytime_lib.types import Problem, Trace

VALUE_TOKENS = 4  # of a valuation: a letter, and room for what some models put around it


@dataclass(frozen=True)
class TreeOfThoughts(Searching):
    """Beam search of `width` partial reasonings, `branches` thoughts of `step_tokens` tokens from each (None: an eighth
    of the largest budget).

    A valuation is the log-odds that the model gives to its being on the way to a right answer; one that cannot be read
    ranks last, and of equals the longest is the best. Stopped before the first is valued, the first thought answers.
    """

    name = "tree_of_thoughts"
    width: int = 2
    branches: int = 2
    step_tokens: int | None = None

    async def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        step_tokens = self.step_tokens or max(1, session.budgets[-1] // 8)
        question = prompt("tree_of_thoughts.question", question=context.task.question(problem))
        messages = chain_of_thought(context.task, problem, context.shots, question)
        beam = [(0.0, Trace("", messages, "", [], "usage", stopped=False))]
        best: Trace | None = None
        while beam:
            grown: list[tuple[float, Trace]] = []
            for i, (_, node) in enumerate(beam):
                asked, before = node.messages, f"{node.text}\n" if node.text else ""
                if node.text:
                    step = {"role": "user", "content": prompt("tree_of_thoughts.step")}
                    asked = [*asked, {"role": "assistant", "content": node.text}, step]
                for branch in range(self.branches):
                    thought = await session.trace(asked, step_tokens, branch)
                    ends = [*node.ends, *(len(before.encode()) + end for end in thought.ends)]
                    leaf = replace(thought, messages=node.messages, text=before + thought.text, ends=ends)
                    yield Step(best or leaf, grows=best is None)
                    if thought.n_tokens:
                        doubt = prompt("tree_of_thoughts.value", problem=problem.text, thoughts=leaf.text)
                        turn = {"role": "user", "content": doubt}
                        said = await session.say([turn], VALUE_TOKENS, "value", alternatives=20)
                        value = log_odds(said.text, said.first)
                        grown.append((-math.inf if value is None else value, leaf))
                        best = max([*grown, *beam[i + 1 :]], key=lambda of: (of[0], of[1].n_tokens))[1]
                        yield Step(best)
            beam = sorted(grown, key=lambda of: -of[0])[: self.width]


METHODS: dict[str, Method] = {"tree_of_thoughts": TreeOfThoughts()}
