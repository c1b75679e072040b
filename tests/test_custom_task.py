"""A task of the user's own, and reasoning of somebody else's: both go through the whole pipeline."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tokenizers
from conftest import Config, refused
from fake_server import FakeServer

from anytime_lib import RunConfig, Store, load_task, make_task, register_task, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.readings import read_finished
from anytime_lib.sweep.grading import regrade, stored_answers
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.base import Task
from anytime_lib.tools.import_traces import finished_cells, import_traces, read_rows
from anytime_lib.tools.transcripts import stored_trace
from anytime_lib.types import Grade, Problem, digest


def sums(rng: np.random.Generator) -> dict[str, Any]:
    a, b = (int(n) for n in rng.integers(10, 99, 2))
    return {"text": f"What is {a} + {b}?", "gold": a + b, "difficulty": "carry" if a % 10 + b % 10 > 9 else "none"}


def right(problem: Problem, text: str) -> bool | None:
    return None if not any(c.isdigit() for c in text) else str(problem.gold) in text


@pytest.fixture
def config(config: Config) -> Config:
    return lambda **settings: config(**({"n_problems": 4, "budgets": [2, 5, 9]} | settings))


def test_its_problems() -> None:
    task = make_task("sums", sums, right)
    test, pool = task.problems(limit=12, seed=3), task.problems(limit=12, seed=3, split="pool")
    assert len({p.content_hash for p in test + pool}) == 24
    assert task.problems(limit=5, seed=3) == test[:5] and task.problems(limit=5, seed=4) != test[:5]
    assert {p.metadata["difficulty"] for p in task.problems(limit=5, difficulty=["carry"])} == {"carry"}
    with pytest.raises(DataError, match="too few different problems"):
        make_task("one", lambda rng: {"text": "What is 1 + 1?", "gold": 2}, right).problems(limit=2)


def listed(rows: Any) -> list[Problem]:
    return make_task("own", rows, right).problems(split="all")


def test_ids_and_repeated_rows() -> None:
    with pytest.raises(DataError, match="2 different problems share the id '7'"):
        listed([{"id": 7, "text": "a secret", "gold": 1}, {"id": 7, "text": "another", "gold": 2}])
    with pytest.raises(DataError, match="share the id 'x'"):
        make_task("own", lambda rng: sums(rng) | {"id": "x"}, right).problems(limit=5)
    twice = [{"text": "a", "gold": 1, "id": "first"}, {"text": "b", "gold": 1}, {"text": "a", "gold": 1}]
    assert sorted(p.text for p in listed(twice)) == ["a", "b"] and "first" in {p.id for p in listed(twice)}
    zero = listed([{"id": 0, "text": "a", "gold": 1}, {"id": None, "text": "b", "gold": 1}])
    assert "0" in {p.id for p in zero} and "None" not in {p.id for p in zero}


@pytest.mark.parametrize(
    ("gold", "plain"),
    [(np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.str_("x"), "x"), ((1, 2), [1, 2]),
     (2**70, 2**70), (0.1, 0.1), ("ünï\u2028", "ünï\u2028"), ([None, [False]], [None, [False]]),
     (np.array([[1, 2]]), [[1, 2]]), ({"k": np.array([1.5])}, {"k": [1.5]})],
)  # fmt: skip
def test_gold_is_kept_as_json_gives_it_back(tmp_path: Path, gold: Any, plain: Any) -> None:
    (problem,) = listed([{"text": "a", "gold": gold, "also": gold}])
    assert problem.content_hash == digest(["own", "a", plain])
    assert problem.gold == plain and type(problem.gold) is type(plain) and problem.metadata["also"] == plain
    with Store(tmp_path / "store.sqlite") as store:
        store.add_problems([problem])
        assert store.problems("own") == [problem]


@pytest.mark.parametrize(
    "row",
    [{"gold": {1}}, {"gold": float("inf")}, {"gold": np.datetime64("2024-01-01")}, {"gold": [float("nan")]},
     {"when": pd.Timestamp(0)}, {"text": "\ud800"}, {"gold": None}, {"gold": float("nan")}, {"text": np.nan},
     {"text": " "}, {"text": 5}],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_and_not_quoted(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="row 2 must be a mapping with 'text', 'gold' and what else JSON") as error:
        listed([{"text": "fine", "gold": 1}, {"text": "secret", "gold": "secret", "private": True} | row])
    assert "secret" not in str(error.value)


def test_what_rows_may_be(tmp_path: Path) -> None:
    rows = [{"text": f"Is {i} odd?", "gold": i % 2} for i in range(9)]
    wanted = listed(rows)
    assert listed(pd.DataFrame(rows)) == wanted == make_task("own", [], right).problems(pd.DataFrame(rows), split="all")
    assert listed(records(tmp_path / "rows.jsonl", rows)) == wanted
    frame = pd.DataFrame([{"id": 7, "reasoning": "so"} | rows[0], rows[1]])  # what is missing there is NaN
    first, second = sorted(listed(frame), key=lambda p: p.text)
    assert first.id == "7" and second.id.startswith("own-") and second.metadata == {"reasoning": None}
    assert make_task("own", rows, right).gold_reasoning(second) == ""


@pytest.mark.parametrize(
    ("rows", "says"),
    [([], "no problem"), (pd.DataFrame(columns=["text", "gold"]), "no problem"), ("none.csv", "no file /.*/none.csv"),
     ([{"question": "?"}], "row 1 has no 'text' .it has: question.; a row needs 'text' and 'gold'"),
     ({"text": "secret", "gold": 1}, "row 1 must be a mapping")],
)  # fmt: skip
def test_what_rows_may_not_be(rows: Any, says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says):
        listed(rows)


def test_what_a_grade_function_may_say() -> None:
    for said, score, status in (
        (True, 1.0, "ok"), (0.25, 0.25, "ok"), (None, 0.0, "unparsed"), (np.bool_(True), 1.0, "ok"),
        (Grade(np.float32(1), np.True_, "refused"), 1.0, "refused"),  # type: ignore[arg-type]
    ):  # fmt: skip
        task = make_task("sums", sums, lambda p, t, said=said: said)
        (problem,) = task.problems(limit=1)
        found = task.grade(problem, "12")
        assert (found.score, found.status, found.correct) == (score, status, score == 1)
        assert type(found.score) is float and type(found.correct) is bool
        assert task.grade(problem, "  ").status == "empty"


@pytest.mark.parametrize(
    "said",
    ["1", 1.5, float("nan"), (1.0, True), 10**400, Grade(1.5, True, "ok"), Grade(None, False, "ok")],  # type: ignore[arg-type]
)
def test_what_a_grade_function_may_not_say(said: Any) -> None:
    task = make_task("sums", sums, lambda p, t: said)
    (problem,) = task.problems(limit=1)
    with pytest.raises(DataError, match=f"the grade function of sums gave .* on {problem.id}"):
        task.grade(problem, "12")


@pytest.mark.parametrize(
    ("gold", "grader", "says"),
    [(241, lambda p, t: t == p.gold, "is graded 0 (ok), so look at the grade function; gold of type int is no text"),
     ("9", lambda p, t: 0.5, "is graded 0.5"), (241, right, ""), ("", lambda p, t: 0, ""), (1, lambda p, t: {}[t], "")],
)  # fmt: skip
def test_a_gold_answer_that_is_not_right_is_told_once(
    gold: Any, grader: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task("own", [{"text": "a secret", "gold": gold, "private": True}] * 2, grader)
    for _ in range(2):
        (problem,) = task.problems(split="all")
    assert [f"the gold answer of {problem.id} itself" in m and says in m for m in caplog.messages] == [True] * bool(
        says
    )
    assert "secret" not in caplog.text and "241" not in caplog.text


@pytest.mark.parametrize("private", [True, False])
def test_a_failing_grade_function_does_not_tell_what_is_private(private: bool) -> None:
    rows = [{"text": "a secret", "gold": 1, "private": private}]
    task = make_task("own", rows, lambda problem, text: {}[problem.text + text])
    (problem,) = task.problems()
    with pytest.raises(DataError, match=f"{problem.id} .KeyError. in .*_task.py, line [0-9]+; mend it") as error:
        task.grade(problem, "a secret")
    assert "secret" not in str(error.value) and (error.value.__cause__ is None) == private


def test_registering() -> None:
    for setting in ({"tasks": [dict]}, {"methods": ["base", dict]}):
        with pytest.raises(ConfigError, match=r"dict is a class: give an instance of it, dict\(\)"):
            RunConfig(**setting)  # type: ignore[arg-type]
    with refused(
        DataError, "8 test problems wanted, its own set holds 1; ask for fewer: 2 others are kept for the pool"
    ):
        split_problems(make_task("few", CITIES[:3], right), RunConfig().task("aime").model_copy(), 0)
    with pytest.raises(ConfigError, match="'aime' is the name of a built-in one"):
        register_task(make_task("aime", sums, right))
    with pytest.raises(ConfigError, match="missing: answer_tokens"):
        register_task(type("Half", (), {"name": "half"}))
    assert isinstance(make_task("sums", sums, right), Task)
    with pytest.raises(ConfigError, match="missing: answer_tokens"):
        RunConfig(tasks=[type("Half", (), {"name": "half", "grade": None})()])
    register_task(make_task("sums", sums, right, answer_tokens=5))
    assert load_task("sums").answer_tokens == 5 and RunConfig(tasks=["sums"]).task("sums").answer_tokens == 5


def test_grading_again_calls_no_model(
    server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
        monkeypatch.setattr("anytime_lib.registry._tasks", {})  # another session, which does not know the task
        assert len(regrade(store)) == 0 and "not registered here: sums" in caplog.text
    assert len(server.requests) == asked


def test_what_another_reader_graded_is_graded_again(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    run = config(tasks=[make_task("sums", sums, right)], methods=["base"])
    run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        now = store.cells()
        assert set(now.grader) == {1}
        rows = [cell | {"run": "older", "grader": None, "score": 0.9} for cell, *_ in stored_answers(store)]
        store.put_cells(rows)
    run_sweep(run, progress=False)
    assert f"sums: graded again, for another version of its reader did it before; {len(rows)} grades" in caplog.text
    with Store(run.folder / "store.sqlite") as store:
        assert set(store.cells().grader) == {1}
        assert store.cells(run="older").score.tolist() == now.dropna(subset="answer_key").score.tolist()
    caplog.clear()
    run_sweep(run, progress=False)
    assert "graded again" not in caplog.text


# Recorded traces


def records(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    return path


def test_recorded_traces_are_cut_and_answered(server: FakeServer, config: Config, tmp_path: Path, caplog: Any) -> None:
    task = make_task("sums", sums, right)
    run = config(tasks=[task], methods=["imported"], n_samples=3, budgets=[2, 4, 50])
    problems = task.problems(limit=4, seed=run.seed)
    path = records(tmp_path / "t.jsonl", [
        {"id": problems[0].id, "reasoning": "ünder ten: carry one", "reasoning_tokens": 5, "answer": "gold, perhaps"},
        {"id": problems[0].id, "reasoning": "another try", "reasoning_tokens": 2},
        {"prompt": f"\n{problems[1].text}  ", "response": "<think>so it is</think> It is 7.",
         "answer": problems[1].gold},
        {"id": "unknown", "reasoning": "lost"},
    ])  # fmt: skip
    found = import_traces(path, run, task)
    assert found.problem_id.tolist()[:3] == [problems[0].id, problems[0].id, problems[1].id]
    assert found.problem_id.isna().tolist() == [False, False, False, True]
    assert found["sample"].tolist()[:3] == [0, 1, 0]
    assert import_traces(path, run, task).equals(found)  # nothing is stored twice
    cells = run_sweep(run, progress=False)
    assert len(cells) == 3 * 3 and set(cells.method) == {"imported"} and "error" in set(cells.status)
    with Store(run.folder / "store.sqlite") as store:  # what nothing could count, another server may
        assert "tokens" not in set(store.requests()["kind"])
    first = cells[(cells.problem_id == problems[0].id) & (cells["sample"] == 0)]
    assert first.tokens_used.tolist() == [2, 4, 5] and first.stopped_naturally.tolist() == [False, False, True]
    context = [r["messages"][-2]["content"] for r in server.requests]
    assert "ünder ten: carry one" in context and "another try" in context
    assert all(r["messages"][-1]["content"] == task.ask_answer for r in server.requests)
    with Store(run.folder / "store.sqlite") as store:
        assert stored_trace(store, first.trace_key.iloc[0]).token_mode == "proportional"
    asked = len(server.requests)
    run_sweep(run.but(n_samples=1), progress=False)
    assert len(server.requests) == asked and "trace: 2; traces not used: 1" in caplog.text
    other = records(tmp_path / "other.jsonl", [{"id": problems[0].id, "reasoning": "quite another"}])
    with pytest.raises(DataError, match="import into a run of its own"):
        import_traces(other, run, task)


LANDS = (("Rome", "Italy"), ("Oslo", "Norway"), ("Paris", "France"))
CITIES = [{"text": f"Which country is {c} in?", "gold": land, "id": f"c{i}"} for i, (c, land) in enumerate(LANDS)]
CITIES.append({"text": "Add 3 + 4", "gold": 7, "id": "n"})


@pytest.fixture
def imported(config: Config, tmp_path: Path) -> Callable[[list[dict[str, Any]]], pd.DataFrame]:
    """Imports rows into a run of the problems CITIES, all of them."""
    source = records(tmp_path / "cities.jsonl", CITIES)
    run = config(tasks=[make_task("cities", CITIES, right)], methods=["imported"], source=str(source))
    path = tmp_path / "t.jsonl"
    return lambda rows: import_traces(records(path, [{"reasoning": "hm"} | r for r in rows]), run, "cities")


def test_rows_are_matched_by_id_or_by_the_exact_text(imported: Callable[..., pd.DataFrame]) -> None:
    rome, oslo, paris, _ = (c["text"] for c in CITIES)
    found = imported([{"prompt": f"{rome} Think."}, {"prompt": f" {oslo}\n"}, {"problem": paris.replace(" ", "\n")},
                      {"prompt": "Add 3 + 45"}, {"problem": "and then?", "problem_id": "c0"}])  # fmt: skip
    assert found.problem_id.fillna("none").tolist() == ["none", "c1", "c2", "none", "c0"]


def test_numbers_as_tables_write_them(imported: Callable[..., pd.DataFrame]) -> None:
    found = imported([
        {"id": "c0", "tokens": 12.0, "sample": "1"}, {"id": "c1", "reasoning_tokens": None, "tokens": " 7 "},
        {"id": "c3", "tokens": float("nan"), "sample": float("nan")}, {"id": "c0", "sample": 0.0, "tokens": ""},
        {"id": float("nan"), "prompt": CITIES[2]["text"], "reasoning": " ", "response": "<think>so</think> yes"},
    ])  # fmt: skip
    assert found.tokens.tolist() == [12, 7, 0, 0, 0] and found["sample"].fillna(-1).tolist() == [1, 0, -1, 0, 0]
    assert found.problem_id.fillna("none").tolist() == ["c0", "c1", "none", "c0", "c2"]
    for column in ("tokens", "sample"):
        for bad in (1.5, -1, "many", [3], float("inf"), 10**400):
            with pytest.raises(DataError, match=f"row 2 of .*, '{column}': Input should be"):
                imported([{"id": "c0"}, {"id": "c1", column: bad}])


@pytest.mark.parametrize(
    ("row", "says"),
    [({"id": "c0", "sample": 0}, "row 3 repeats sample 0 of c0"), ({"id": "c1", "reasoning": "quite another"}, "of c1"),
     ({"id": "c1", "tokens": 9}, "another trace")],
)  # fmt: skip
def test_an_import_is_whole_or_not_at_all(imported: Any, tmp_path: Path, row: dict[str, Any], says: str) -> None:
    imported([{"id": "c1"}])
    with pytest.raises(DataError, match=says):
        imported([{"id": "c2"}, {"id": "c0", "sample": 0}, row])
    (path,) = tmp_path.rglob("store.sqlite")
    with Store(path) as store:
        assert len(store.requests()) == 1 and [p.id for p in store.problems("cities")] == ["c1"]


@pytest.mark.parametrize(
    ("row", "said"),
    [({"completion": "hm</think> Italy", "answer": "no"}, 1), ({"completion": "Italy", "final_answer": "Italy"}, None),
     ({"generation": "[THINK]hm[/THINK]It is Italy", "prediction": "Norway"}, 1), ({"completion": "hm </think>"}, None),
     ({"completion": "<think>hm, Italy", "answer": "Italy", "prediction": "Norway"}, 0),
     ({"deepseek_reasoning": "hm", "deepseek_solution": "Italy"}, 1), ({"thinking_trajectories": ["hm"]}, None),
     ({"deepseek_thinking_trajectory": "hm", "deepseek_attempt": "Oslo"}, 0), ({"generations": ["hm</think>Italy"]}, 1),
     ({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "<think>hm</think>Italy"}]}, 1),
     ({"conversations": [{"from": "gpt", "value": "<|begin_of_thought|>hm<|end_of_thought|>Italy"}]}, 1),
     ({"reasoning_content": "hm", "content": "Italy"}, 1), ({"reasoning": "hm", "response": "Italy", "answer": "x"}, 1),
     ({"thinking": "hm", "model_answer": 7.0}, 0), ({"trace": "hm", "answer": "Italy"}, None)],
)  # fmt: skip
def test_columns_of_public_sets_and_what_the_model_said(
    config: Config, tmp_path: Path, row: dict[str, Any], said: float | None
) -> None:
    task = make_task("cities", CITIES, lambda problem, text: str(problem.gold) in text)
    run = config(tasks=[task], methods=["imported"], source=str(records(tmp_path / "cities.jsonl", CITIES)))
    others = [{"id": "c1", "completion": "a</think>b"}] if "completion" in row else []
    found = import_traces(records(tmp_path / "t.jsonl", [{"id": "c0"} | row, *others]), run, "cities")
    assert found.score.fillna(-1)[0] == (-1 if said is None else said)
    assert found.problem_id[0] == "c0"


@pytest.mark.skipif("ANYTIME_BENCH_DATA" not in os.environ, reason="set ANYTIME_BENCH_DATA to the real data's folder")
def test_public_traces_are_matched_and_read_as_their_authors_say(
    config: Config, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Theirs say 7 of 30, but two of the problems are worded anew; five traces never end. `answer` is the right one."""
    data = Path(os.environ["ANYTIME_BENCH_DATA"])
    traces = data / "recorded" / "DeepSeek-R1-Distill-Qwen-1.5B_aime_25.jsonl"
    asked = ["import", str(traces), "--task", "aime", "--source", str(data / "aime_2025.jsonl")]
    assert main([*asked, "--run", str(tmp_path / "theirs")]) == 0
    told = capsys.readouterr().out
    assert "28 of 30 traces stored" in told and "mean score 0.304 of 23 answers; without one: 5" in told


def test_a_list_of_whole_replies(config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = config(tasks=[make_task("cities", CITIES, right)], source=str(records(tmp_path / "cities.jsonl", CITIES)))
    (path := tmp_path / "t.json").write_text(json.dumps([{"id": "n", "text": "?", "response": "3 + 4\nis 7"}]), "utf-8")
    found = import_traces(path, run, "cities")
    assert found.score.tolist() == [1] and found.attrs["n_problems"] == len(CITIES)
    assert "t.json: no reply has its answer apart" in caplog.text and "without a token count: 1; add" in caplog.text
    assert read_rows(path)[0].reasoning == "3 + 4\nis 7"


def test_what_recorded_traces_had_finished(config: Config, tmp_path: Path) -> None:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "words.json"))
    task = make_task("cities", CITIES, lambda problem, text: str(problem.gold) in text)
    run = config(tasks=[task], source=str(records(tmp_path / "cities.jsonl", CITIES)))
    said = ["a b c</think>Italy", "a b c d e", "a</think>no idea", "a b</think>7 is it"]
    path = records(tmp_path / "t.jsonl", [{"id": c["id"], "completion": t} for c, t in zip(CITIES, said, strict=True)])
    with pytest.raises(DataError, match=r"me on cities: of 4 of 4 traces nothing tells .* tokenizer\.json"):
        finished_cells(import_traces(path, run, task), [2], task="cities", method="me")
    found = import_traces(path, run.but(tokenizer_file=str(tmp_path / "words.json")), task)
    assert (found.tokens + found.answer_tokens).tolist() == [4, 5, 3, 5]
    cells = finished_cells(found, [8, 2, 4, 5], task="cities", method="me")
    scores = cells.pivot(index="problem_id", columns="budget", values="score")
    assert scores.columns.tolist() == [2, 4, 5]  # beyond, what c1 would have said is not known
    assert scores.loc["c0"].tolist() == [0, 1, 1] and scores.loc[["c1", "c2"]].to_numpy().max() == 0
    assert cells[cells.budget == 4].status.tolist() == ["ok", "empty", "ok", "empty"]
    assert cells.tokens_used.tolist() == [2, 4, 4, 2, 4, 5, 2, 3, 3, 2, 4, 5]
    told = read_finished(pd.concat([cells, cells[cells.budget < 5].assign(method="she")]), n_resamples=100)
    assert "me: by 5 tokens 3 of 4 traces had ended, and quality is 0.50" in told
    assert "she: by 4 tokens 2 of 4" in told and "before 5 tokens" in told.splitlines()[-1]
    many = pd.concat([found.assign(score=1.0)] * 5 + [found[found.problem_id == "c1"]])
    assert finished_cells(many, [8], task="cities", method="me").status.tolist().count("error") == 1


def test_samples_that_the_run_does_not_use_are_told(imported: Any, caplog: pytest.LogCaptureFixture) -> None:
    imported([{"id": "c0", "sample": n} for n in (1, 2)])
    assert "holds 3 samples and n_samples is 2" in caplog.text


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    rows = [{"reasoning": f"a{c}b"} for c in ("\u2028", "\u2029", "\x85", "\x0c", "\n")]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())  # with a byte order mark
    assert [r.reasoning for r in read_rows(tmp_path / "t.jsonl")] == [r["reasoning"] for r in rows]


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "holds no traces"), ("{\n", "row 1"), ('{"id": "x", "brace": "y"}', "columns are: id, brace"),
     ('{"reasoning": ""}', "row 1"), ("[1]", "row 1"), ("[" * 100_000, "row 1"),
     ('{"id": "x", "reasoning": "hm"}', "none of the 1 rows")],
)  # fmt: skip
def test_traces_that_cannot_be_used(config: Config, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.jsonl").write_text(text, "utf-8")
    with refused(DataError, says):
        import_traces(tmp_path / "t.jsonl", config(tasks=["aime"]), "aime")
    with pytest.raises(DataError, match="No such file"):
        import_traces(tmp_path / "none.jsonl", config(tasks=["aime"]), "aime")


def test_without_recorded_traces_the_method_says_so(config: Config) -> None:
    with pytest.raises(DataError, match="anytime import"):
        run_sweep(config(tasks=["aime"], methods=["imported"]), progress=False)
