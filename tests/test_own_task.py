"""A task of the user's own, and reasoning of somebody else's: both go through the whole pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_server import FakeServer

from anytime_lib import RunConfig, Store, anytime_curve, load_task, make_task, register_task, run_sweep
from anytime_lib.asking import stored_trace
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.grading import regrade, stored_answers
from anytime_lib.plots import plot_curves
from anytime_lib.recorded import import_traces
from anytime_lib.records import Problem, shown
from anytime_lib.stats import compare


def sums(rng: np.random.Generator) -> dict[str, Any]:
    a, b = (int(n) for n in rng.integers(10, 99, 2))
    return {"text": f"What is {a} + {b}?", "gold": a + b, "difficulty": "carry" if a % 10 + b % 10 > 9 else "none"}


def right(problem: Problem, text: str) -> bool | None:
    return None if not any(c.isdigit() for c in text) else str(problem.gold) in text


@pytest.fixture
def config(config: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    return lambda **settings: config(**({"n_problems": 4, "budgets": [2, 5, 9]} | settings))


def test_every_method_figure_and_statistic_takes_it(config: Callable[..., RunConfig]) -> None:
    task = make_task("sums", sums, right)
    run = config(tasks=[task], methods=["base", "pdp", "pdp_plus"], n_shots=1)
    assert run.tasks == ["sums"]
    cells = run_sweep(run, progress=False)
    assert set(cells.method) == {"base", "pdp", "pdp_plus"} and len(cells) == 3 * 4 * 2 * 3
    assert set(cells.status) <= {"ok", "unparsed"}
    assert len(anytime_curve(cells)) == 9
    assert plot_curves(cells, n_resamples=50).get_title()
    assert "pdp is" in compare(cells, baseline="base", treatment="pdp", n_resamples=100).reading()


def test_its_problems(tmp_path: Path) -> None:
    task = make_task("sums", sums, right)
    test, pool = task.problems(limit=12, seed=3), task.problems(limit=12, seed=3, split="pool")
    assert len({p.content_hash for p in test + pool}) == 24
    assert task.problems(limit=5, seed=3) == test[:5] and task.problems(limit=5, seed=4) != test[:5]
    assert {p.metadata["difficulty"] for p in task.problems(limit=5, difficulty=["carry"])} == {"carry"}
    with pytest.raises(DataError, match="too few different problems"):
        make_task("one", lambda rng: {"text": "What is 1 + 1?", "gold": 2}, right).problems(limit=2)
    rows = [sums(np.random.default_rng(i)) for i in range(30)]
    path = tmp_path / "sums.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows))
    listed, filed = make_task("sums", rows, right), make_task("sums", path, right)
    assert [p.content_hash for p in listed.problems(split="all")] == [
        p.content_hash for p in filed.problems(split="all")
    ]
    with pytest.raises(DataError, match="row 1 must be a mapping"):
        make_task("sums", [{"question": "?"}], right).problems()
    with pytest.raises(DataError, match="no file"):
        make_task("sums", tmp_path / "none.csv", right).problems()


@pytest.mark.parametrize(
    ("grade", "score", "status"),
    [(lambda p, t: True, 1.0, "ok"), (lambda p, t: 0.25, 0.25, "ok"), (lambda p, t: None, 0.0, "unparsed")],
)
def test_what_a_grade_function_may_say(grade: Any, score: float, status: str) -> None:
    task = make_task("sums", sums, grade)
    (problem,) = task.problems(limit=1)
    found = task.grade(problem, "12")
    assert (found.score, found.status, found.correct) == (score, status, score == 1)
    assert task.grade(problem, "  ").status == "empty"


@pytest.mark.parametrize("grade", [lambda p, t: 1 / 0, lambda p, t: 1.5, lambda p, t: "yes", lambda p, t: float("nan")])
def test_a_grade_function_that_fails_loses_no_answer(config: Callable[..., RunConfig], grade: Any) -> None:
    run = config(tasks=[make_task("sums", sums, grade)], methods=["base"])
    with pytest.raises(DataError, match=r"the grade function of sums .* sums-"):
        run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        assert (store.requests().kind == "answer").any()


def test_registering() -> None:
    with pytest.raises(ConfigError, match="built-in"):
        register_task(make_task("aime", sums, right))
    with pytest.raises(ConfigError, match="missing: answer_tokens"):
        RunConfig(tasks=[type("Half", (), {"name": "half", "grade": None})()])
    register_task(make_task("sums", sums, right, answer_tokens=5))
    assert load_task("sums").answer_tokens == 5 and RunConfig(tasks=["sums"]).at("sums").answer_tokens == 5


def test_grading_again_calls_no_model(
    server: FakeServer, config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    run = config(tasks=[make_task("sums", sums, right)], methods=["base"])
    run_sweep(run, progress=False)
    asked = len(server.requests)
    with Store(run.folder / "store.sqlite") as store:
        assert len(regrade(store)) == 0
        register_task(make_task("sums", sums, lambda problem, text: 0.5))
        changed = regrade(store)
        assert len(changed) == 4 * 2 * 3 and set(changed.score) == {0.5} and set(changed.status_before) == {"unparsed"}
        assert set(store.cells().score) == {0.5} and len(regrade(store)) == 0
        assert all(a.text.startswith("Answer") for a in stored_answers(store, "sums"))
        monkeypatch.setattr("anytime_lib.tasks._registered", {})  # another session, which does not know the task
        assert len(regrade(store)) == 0 and "not registered here: sums" in caplog.text
    assert len(server.requests) == asked


# Recorded traces


def records(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in rows))
    return path


def test_recorded_traces_are_cut_and_answered_from(
    server: FakeServer, config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    task = make_task("sums", sums, right)
    run = config(tasks=[task], methods=["recorded"], n_samples=3, budgets=[2, 4, 50])
    problems = task.problems(limit=4, seed=run.seed)
    path = records(tmp_path / "t.jsonl", [
        {"id": problems[0].id, "reasoning": "ünder ten: carry one", "reasoning_tokens": 5, "answer": problems[0].gold},
        {"id": problems[0].id, "reasoning": "another try", "reasoning_tokens": 2},
        {"prompt": f"Please solve.\n\n{problems[1].text}  Think.", "response": "<think>so it is</think> It is 7."},
        {"id": "unknown", "reasoning": "lost"},
    ])  # fmt: skip
    found = import_traces(path, run, task)
    assert found.problem_id.tolist()[:3] == [problems[0].id, problems[0].id, problems[1].id]
    assert found.problem_id.isna().tolist() == [False, False, False, True]
    assert found["sample"].tolist()[:3] == [0, 1, 0] and found.score[0] == 1.0
    assert import_traces(path, run, task).equals(found)  # nothing is stored twice
    cells = run_sweep(run, progress=False)
    assert len(cells) == 3 * 3 and set(cells.method) == {"recorded"} and "error" in set(cells.status)
    first = cells[(cells.problem_id == problems[0].id) & (cells["sample"] == 0)]
    assert first.tokens_used.tolist() == [2, 4, 5] and first.stopped_naturally.tolist() == [False, False, True]
    given = [r["messages"][-2]["content"] for r in server.requests]
    assert "ünder ten: carry one" in given and "another try" in given
    assert all(r["messages"][-1]["content"] == task.ask_answer for r in server.requests)
    with Store(run.folder / "store.sqlite") as store:
        assert stored_trace(store, first.trace_key.iloc[0]).token_mode == "proportional"
    asked = len(server.requests)
    run_sweep(run, progress=False)
    assert len(server.requests) == asked
    other = records(tmp_path / "other.jsonl", [{"id": problems[0].id, "reasoning": "quite another"}])
    with pytest.raises(DataError, match="import into a run of its own"):
        import_traces(other, run, task)


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "holds no traces"), ("{\n", "row 1"), ('{"id": "x"}', "one of reasoning"), ('{"reasoning": ""}', "row 1"),
     ("[1]", "row 1"), ('{"id": "x", "reasoning": "hm"}', "none of the 1 rows"), ("[" * 100_000, "row 1")],
)  # fmt: skip
def test_traces_that_cannot_be_used(config: Callable[..., RunConfig], tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError, match=says) as error:
        import_traces(tmp_path / "t.jsonl", config(tasks=["aime"]), "aime")
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="No such file"):
        import_traces(tmp_path / "none.jsonl", config(tasks=["aime"]), "aime")


def test_without_recorded_traces_the_method_says_so(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(DataError, match="anytime import"):
        run_sweep(config(tasks=["aime"], methods=["recorded"]), progress=False)


def test_a_private_text_is_withheld() -> None:
    private = Problem("rec1", "gpqa", "the secret question", "A", {"private": True})
    assert "secret" not in shown(private) + repr(private) + shown(private, "about the secret question")
    assert "rec1" in shown(private) and shown(Problem("x", "aime", "open", 1)) == "open"
