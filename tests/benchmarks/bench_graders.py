"""How long does grading take: 100,000 stored answers again, and reading an integer beside Math-Verify?

    python tests/benchmarks/bench_graders.py [--answers 100000] [--turns 5]

A store of answers to trips, mathematics and science (right, wrong and unreadable, stored with a grade of 0) is graded
again by `regrade`; reading the same rows without grading is timed beside it, as the floor.
"""

import platform
import random
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from common import best_seconds, options, seconds

from anytime_lib import Store, load_task
from anytime_lib.studies.grader_audit import extraction_matrix, trip_variants
from anytime_lib.sweep.grading import regrade, stored_answers
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.math_verify import second_opinions
from anytime_lib.types import Problem, digest

INTEGERS = (
    "The final answer is $\\boxed{{{n}}}$.",
    "So the remainder is {n}.\n\n**Answer:** {n:03}",
    "We add {n} and 3 to get $\\frac{{{n}}}{{4}}$, hence $m+n = \\boxed{{m+n={n}}}$.",
    "80 but will check {n} and then",
    "{n}",
)
REASONING = "Since $a^2 + b^2 = {n}$ we have $\\gcd(a, b) = 1$, so the sum over all $k \\le {n}$ is even. "


def texts(task: str, problem: Problem, rng: np.random.Generator) -> list[str]:
    """Answers of the kinds a run stores, each with words of its own before it."""
    trips = task == "natural_plan_trip"
    known = list(trip_variants(problem).values()) if trips else list(extraction_matrix(task).response)
    return [f"Attempt {rng.integers(10**9)}. {text}" for text in [*known, load_task(task).gold_answer(problem)]]


def fill(store: Store, task: str, n: int) -> None:
    rng = np.random.default_rng(0)
    problems = load_task(task).problems(limit=30)
    store.add_problems(problems)
    made = cycle([(p, t) for p in problems for t in texts(task, p, rng)])
    nothing = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0)
    for i, (problem, text) in enumerate(islice(made, n)):
        about = {"task": task, "method": "base", "model": "m", "status": "ok"}
        reply = {"text": text, "finish_reason": "stop", "reasoning": "", "usage": {}}
        cell = about | {"run": "bench", "problem_id": problem.id, "sample": i, "budget": 64, "score": 0.0, "detail": ""}
        key = digest([task, i])
        store.put(key=key, kind="answer", endpoint="e", request={}, response=reply, **about, **nothing)
        store.put_cells([cell | {"correct": False, "answer_key": key}])


def stored(n: int) -> None:
    total = 0.0
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        assert store._writer is not None
        store._writer.execute("PRAGMA synchronous=OFF")
        for task in ("natural_plan_trip", "aime", "gpqa"):
            fill(store, task, n // 3)
            grade = seconds(lambda task=task: regrade(store, task), time.process_time)
            read = seconds(lambda task=task: list(stored_answers(store, task)), time.process_time)
            total += grade
            each = f"{grade / n * 3e6:6.0f} us each, {grade / read:4.1f} x reading alone"
            print(f"{task:18} {n // 3:7,} answers: {grade:6.2f} s of CPU, {each}")
    print(f"{'all':18} {n:7,} answers: {total:.1f} s of CPU (target: under 60)")


def integers(turns: int) -> None:
    rng = random.Random(0)
    answers = [rng.choice(INTEGERS).format(n=rng.randrange(1000)) for _ in range(300)]
    long = [REASONING.format(n=rng.randrange(1000)) * 40 + answer for answer in answers]
    for name, said in (("short integers", answers), ("after 4,000 characters", long)):
        ours = best_seconds({"": lambda said=said: [extract_integer(text) for text in said]}, turns)[""] / 300
        theirs = min(second_opinions([(text, 17) for text in said]).seconds.mean() for _ in range(turns))
        print(f"{name:>22} {ours * 1e6:8.1f} us, Math-Verify {theirs * 1e6:8.1f} us: {theirs / ours:.1f} times")


if __name__ == "__main__":
    asked = options(__doc__, answers=100_000, turns=5)
    print(f"{platform.machine()}, Python {platform.python_version()}")
    stored(asked.answers)
    integers(asked.turns)
