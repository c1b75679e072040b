"""How long does it take to grade 100,000 stored answers again, on one core?

A store of answers to trips, mathematics and science (right, wrong and unreadable, stored with a grade of 0)
is graded again by `regrade`; reading the same rows without grading is timed beside it, as the floor.

    python tests/benchmarks/bench_regrade.py [--answers 100000]
"""

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from common import options, seconds

from anytime_lib import Store, load_task
from anytime_lib.studies.grader_audit import extraction_matrix, trip_variants
from anytime_lib.sweep.grading import regrade, stored_answers
from anytime_lib.types import Problem, digest


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
        key = digest([task, i])
        response = {"text": text, "finish_reason": "stop", "reasoning": "", "usage": {}}
        cell = {
            "run": "bench", "model": "m", "task": task, "problem_id": problem.id, "method": "base", "sample": i,
            "budget": 64, "score": 0.0, "correct": False, "status": "ok", "answer_key": key, "detail": "",
        }  # fmt: skip
        store.put(key=key, kind="answer", task=task, method="base", model="m", endpoint="e", request={},
                  response=response, status="ok", **nothing)  # fmt: skip
        store.put_cells([cell])


def main() -> None:
    n, total = options(__doc__, answers=100_000).answers, 0.0
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        assert store._writer is not None
        store._writer.execute("PRAGMA synchronous=OFF")
        for task in ("natural_plan_trip", "aime", "gpqa"):
            fill(store, task, n // 3)
            grade = seconds(lambda task=task: regrade(store, task), time.process_time)
            read = seconds(lambda task=task: list(stored_answers(store, task)), time.process_time)
            total += grade
            print(f"{task:18} {n // 3:7,} answers: {grade:6.2f} s of CPU, {grade / n * 3e6:6.0f} us each, "
                  f"{grade / read:4.1f} x reading alone")  # fmt: skip
        print(f"{'all':18} {n:7,} answers: {total:.1f} s of CPU (target: under 60)")


if __name__ == "__main__":
    main()
