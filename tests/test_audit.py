"""The audit: our extractors read every adversarial response as a person would; labels and grades are compared."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Config
from fake_server import FakeServer

from anytime_lib import Store, run_sweep
from anytime_lib.errors import DataError
from anytime_lib.studies import grader_audit as audit
from anytime_lib.tasks.trip import generate


def test_ours_is_right_and_unanchored_reading_is_not() -> None:
    judged = audit.extraction_matrix().set_index("task")
    assert (judged.ours_is == "right").all()
    assert (judged.groupby("task").last_is.agg(lambda said: (said == "invented").sum()) >= 3).all()


def test_the_three_grades_part_where_they_should() -> None:
    problem = generate(4, 2)
    variants = audit.trip_variants(problem).items()
    table = audit.trip_grades((name, problem, text) for name, text in variants).set_index("label")
    same = ["golden plan", "en dashes", "lower-case day", "prose before", "JSON", "a table"]
    assert (table.loc[same, ["strict", "partial"]] == 1).all(axis=None)
    assert table.official.loc[["golden plan", "en dashes", "lower-case day", "JSON"]].tolist() == [1, 0, 0, 0]
    assert table.loc["extra city after"].official == 1 and table.loc["extra city after"].strict == 0
    wrong = table.loc[["last stay missing", "first and last swapped"]]
    assert (wrong.strict == 0).all() and wrong.partial.between(0, 1, inclusive="neither").all()
    assert table.loc["no plan", ["official", "strict", "partial"]].sum() == 0


def test_kappa() -> None:
    # Cohen (1960) by hand: 35 of 50 agree, .5 by chance
    first = pd.Series(["right"] * 25 + ["wrong"] * 25)
    second = pd.Series(["right"] * 20 + ["wrong"] * 5 + ["right"] * 10 + ["wrong"] * 15)
    assert audit.cohen_kappa(first, second) == pytest.approx(0.4)
    assert audit.cohen_kappa(first[:3], first[:3]) == 1
    assert audit.cohen_kappa(first[24:26], pd.Series(["wrong", "right"], index=[24, 25])) == -1


def test_an_answer_that_repeats_its_prompt_is_an_echo(config: Config, server: FakeServer) -> None:
    """At a budget of 2 tokens it repeats the beginning of what it is asked, at 4 it answers in words of its own."""

    def reply(body: dict[str, Any], n: int) -> str:
        *_, reasoning, asked = ["", *(message["content"] for message in body["messages"])]
        turns = len(body["messages"])
        return "one two three four five" if turns == 1 else asked[:60] if "three" not in reasoning else "Option B."

    server.script = reply
    run_sweep(settings := config(budgets=[2, 4]), progress=False)
    with Store(settings.folder / "store.sqlite") as store:
        found = store.cells().assign(echo=lambda cells: cells.answer_key.map(audit.echoes(store)))
    assert found.groupby("budget").echo.agg(list).tolist() == [[True] * 6, [False] * 6]


def test_answers_that_go_on_thinking_and_other_ways_to_ask(config: Config, server: FakeServer) -> None:
    """Asked with other words the answer thinks on, after a closing phrase it hits its cap; else it is a letter."""

    def reply(body: dict[str, Any], n: int) -> str:
        *_, last = body["messages"]
        if len(body["messages"]) == 1:
            return "one two three four five six seven"
        return "<think>no" if "think no further" in last["content"] else "B" if last["role"] == "user" else "so B " * 99

    server.script, server.owner = reply, "vllm"
    methods = ["base", "base_fresh", "base_prefill", "base_reworded"]
    run_sweep(settings := config(methods=methods, budgets=[2, 4]), progress=False)
    with Store(settings.folder / "store.sqlite") as store:
        cells = store.cells().assign(leak=lambda cells: cells.answer_key.map(audit.leaks(store)).astype(bool))
    assert cells.groupby("method").leak.mean().to_dict() == dict(zip(methods, [0, 0, 1, 1], strict=True))
    traces = cells.drop_duplicates(["method", "problem_id", "sample", "trace_key"]).groupby("method").size()
    assert traces["base"] == 6 and traces["base_fresh"] == 12
    table = audit.by_budget(cells, n_resamples=100).set_index(["treatment", "budget"])
    assert table.difference.round(9).eq(0)["base_fresh"].all() and sorted(table.loc["base_prefill"].index) == [2, 4]
    assert table.pvalue_holm.notna().all() and audit.by_budget(cells[cells.method == "base"]).empty


def test_a_person_labels_and_is_compared(config: Config, tmp_path: Path) -> None:
    run = config(n_problems=4, budgets=[4, 9])
    run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        path = audit.label_sheet(store, tmp_path / "labels.csv", n=6)
        assert len(audit.labelled(store, path)) == 0
        sheet = pd.read_csv(path, dtype=str)
        assert len(sheet) == 6 and sheet.response.str.startswith('"').all() and "score" not in sheet
        cells = store.cells().drop_duplicates("answer_key").set_index("answer_key")
        right = cells.loc[sheet.answer_key].correct.astype(bool)
        sheet["label"] = ["right " if r else "Wrong" for r in right]
        sheet.loc[5, "label"] = None
        sheet.to_csv(path, index=False)
        assert audit.label_sheet(store, path, n=6) == path  # labels are not overwritten
        yours = audit.labelled(store, path)
        assert len(yours) == 5 and (yours.label == yours.grader).all()
        sheet.loc[0, "label"] = "maybe"
        sheet.to_csv(path, index=False)
        with pytest.raises(DataError, match="'maybe' is none of right, wrong, none"):
            audit.labelled(store, path)
