"""Can the model plan a trip? NATURAL PLAN's trip planning, generated or from the official file.

Source: Zheng et al., "NATURAL PLAN: Benchmarking LLMs on Natural Language Planning" (arXiv 2406.04520).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import SPLITS, from_generator, no_answer, select
from anytime_lib.tasks.built_in import levels
from anytime_lib.tasks.trip_answer import read_plan
from anytime_lib.tasks.trip_official import official_verdict
from anytime_lib.tasks.trip_problem import NAME, check, parse_problem, plan_of, read_trip, solve, write_plan
from anytime_lib.tasks.trip_source import SIZES, generate, read_source
from anytime_lib.types import Grade, Problem

__all__ = ["TASK", "generate", "grade_official", "grade_partial", "grade_strict", "parse_problem", "read_plan", "solve"]


def grade_strict(problem: Problem, text: str) -> float:
    """1.0 if the plan in a text keeps every constraint (whether or not it is the golden one), else 0.0."""
    return float(TASK.grade(problem, text).correct)


def grade_partial(problem: Problem, text: str) -> float:
    """The share of a problem's atomic constraints that the plan in a text keeps; 0.0 without a plan."""
    return TASK.grade(problem, text).score


def grade_official(problem: Problem, text: str) -> float:
    """1.0 or 0.0, the verdict of NATURAL PLAN's own evaluator on the same text, quirks included."""
    return official_verdict(problem.gold, text)


class TripPlanning:
    """The task `natural_plan_trip`. Quality is the share of atomic constraints satisfied; correct means all."""

    name = NAME
    answer_tokens = 512
    grader_version = 6
    other_graders: ClassVar[Mapping[str, Any]] = {"strict": grade_strict, "official": grade_official}

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Generated problems, or those of a source as `read_source` takes it; see `Task.problems`.

        A fifth of a source is `pool`, by the content of its zero-shot prompts, so that splits share no problem.
        `difficulty` lists numbers of cities, taken in turn; by default 3 to 5 when generating, any from a source.
        """
        sizes = levels(difficulty, SIZES, "numbers of cities from 2 to 10")
        if source is None:
            sizes = [3, 4, 5] if difficulty is None else sizes

            def made(part: str, n: int) -> list[Problem]:
                return [generate(sizes[i % len(sizes)], [seed, SPLITS[part], i]) for i in range(n)]

            return from_generator(made, split, limit)
        pairs = read_source(source)
        wanted = (plain for plain, _ in pairs if difficulty is None or plain.metadata["n_cities"] in sizes)
        asked = {plain.id: problem for plain, problem in pairs}
        return [asked[p.id] for p in select(wanted, split, seed, limit)]

    def question(self, problem: Problem) -> str:
        """The user turn that asks for reasoning: the prompt (without a few-shot one's last "SOLUTION:") and a hint."""
        text = problem.text.rstrip()
        text = text.removesuffix("SOLUTION:").rstrip() if text.endswith("SOLUTION:") else problem.text
        return prompt("natural_plan_trip.question", problem=text)

    def gold_reasoning(self, problem: Problem) -> str:
        """The golden plan retold as the steps that lead to it."""
        windows = {w.city: w for w in read_trip(problem.text).windows}
        told, before = [], None
        for stay in plan_of(problem.gold):
            flown = f"From {before} there is a flight to {stay.city} on day {stay.first}"
            start = flown if before else f"Start in {stay.city}"
            event = windows.get(stay.city)
            why = f", with an event on days {event.first}-{event.last}" if event else ""
            told.append(f"{start}: {stay.days} days{why}, so days {stay.first}-{stay.last}.")
            before = stay.city
        return " ".join(told)

    def answer_prompt(self, problem: Problem) -> str:
        return prompt("natural_plan_trip.answer")

    def gold_answer(self, problem: Problem) -> str:
        return write_plan(plan_of(problem.gold))

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        plan = read_plan(text, [*read_trip(problem.text).stays])
        return "; ".join(f"{s.city} {s.first}-{s.last}" for s in plan) if plan else None

    def vote(self, problem: Problem, texts: Sequence[str]) -> int:
        """The place of the plan that most responses state, of those that keep every constraint of the problem's text.

        Where none does, the medoid: the plan that agrees best with all others on which day is spent in which city (mean
        Jaccard distance). Of equals, the first; a response without a plan has no vote. No golden plan is looked at, but
        the constraints are those that `grade` counts: a method that votes so has an advantage, on trips alone.
        """
        trip = read_trip(problem.text)
        plans = {i: tuple(plan) for i, text in enumerate(texts) if (plan := read_plan(text, [*trip.stays]))}
        kept = [plan for plan in plans.values() if all(check(trip, plan).values())]
        if kept:
            modal = Counter(kept).most_common(1)[0][0]
            return next(i for i, plan in plans.items() if plan == modal)
        days = {
            i: {(s.city, day) for s in plan for day in range(s.first, min(s.last, trip.total_days) + 1)}
            for i, plan in plans.items()
        }
        far = {i: sum(1 - len(a & b) / max(len(a | b), 1) for b in days.values()) for i, a in days.items()}
        return min(far, key=far.__getitem__, default=0)

    def grade(self, problem: Problem, text: str) -> Grade:
        """Share of atomic constraints (see `check`) kept by the plan that `read_plan` finds; `correct` when all are."""
        trip = read_trip(problem.text)
        plan = read_plan(text, [*trip.stays])
        if plan is None:
            return no_answer(text, "no line gives days in one of the cities")
        atoms = check(trip, plan)
        kept = sum(atoms.values())
        return Grade(kept / len(atoms), kept == len(atoms), "ok", f"{kept} of {len(atoms)} constraints kept")

    def verify(self, problem: Problem, text: str) -> float | None:
        """The score of `grade`, which looks at no golden plan; None without a plan. An advantage of trips alone."""
        grade = self.grade(problem, text)
        return grade.score if grade.status == "ok" else None


TASK = TripPlanning()
