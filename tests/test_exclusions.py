"""Rules of exclusion: what each takes, how it is counted, and that nothing is left out unsaid."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config
from test_index import cells_of

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.stats import compare, estimate
from anytime_lib.stats.sensitivity import RULES, apply_exclusions, with_and_without
from anytime_lib.sweep.ledger import trace_hashes

QUALITY = np.array([[[1, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 1], [1, 0]]], dtype=float)  # p0 all, p1 none, p2 some


def cells() -> pd.DataFrame:
    both = pd.concat([cells_of(QUALITY), cells_of(QUALITY, "pdp")], ignore_index=True)
    both["stopped_naturally"] = both.budget == 2
    return both


def taken(name: str, table: pd.DataFrame) -> set[tuple[Any, ...]]:
    out = table[RULES[name][1](table)]
    return set(zip(out.method, out.problem_id, out["sample"], out.budget, strict=True))


def whole(problem: str) -> set[tuple[Any, ...]]:
    return {(m, problem, s, b) for m in ("base", "pdp") for s in (0, 1) for b in (1, 2)}


def test_what_each_rule_takes() -> None:
    table = cells()
    assert taken("solved_by_all", table) == whole("p0")
    assert taken("solved_by_none", table) == whole("p1")
    assert taken("natural_stop_missing", table) == set()
    table.loc[(table.method == "pdp") & (table.problem_id == "p0"), ["score", "correct"]] = [0.0, False]
    assert taken("solved_by_all", table) == set()  # one arm that fails is enough to keep it
    first = (table.method == "base") & (table.problem_id == "p2") & (table["sample"] == 1)
    table.loc[first, "stopped_naturally"] = False
    assert taken("natural_stop_missing", table) == {("base", "p2", 1, 1), ("base", "p2", 1, 2)}
    for name, status in (("errors", "error"), ("answer_truncated", "answer_truncated"), ("refused", "refused")):
        table.loc[first & (table.budget == 2), "status"] = status
        assert taken(name, table) == {("base", "p2", 1, 2)}
    table.loc[table.problem_id == "p1", "status"] = "unparsed"
    assert taken("unparsed_everywhere", table) == whole("p1")
    table.loc[(table.problem_id == "p1") & (table.method == "pdp") & (table.budget == 1), "status"] = "ok"
    assert taken("unparsed_everywhere", table) == set()


def test_what_was_not_graded_is_no_outcome() -> None:
    table = cells()
    lost = (table.problem_id == "p0") & (table.method == "pdp") & (table.budget == 1)
    gone = table.problem_id == "p1"
    table.loc[lost | gone, ["score", "correct", "status"]] = [np.nan, pd.NA, "error"]
    assert taken("solved_by_all", table) == taken("solved_by_none", table) == set()
    _, report = apply_exclusions(table, ["solved_by_all", "solved_by_none", "errors"])
    rows = report.set_index("rule")
    assert rows.untold.tolist() == [2, 1, 0, 2]
    assert rows.cells.tolist() == [0, 0, 10, 10]
    unknown = table.assign(stopped_naturally=pd.array([None] * len(table), dtype="boolean"))
    assert taken("natural_stop_missing", unknown) == set()
    assert apply_exclusions(unknown, ["natural_stop_missing"])[1].untold.tolist() == [3, 3]
    unknown.loc[(unknown.problem_id == "p2") & (unknown.budget == 2), "stopped_naturally"] = False
    assert taken("natural_stop_missing", unknown) == whole("p2")  # at the largest budget it is known


def test_they_are_counted_and_listed() -> None:
    kept, report = apply_exclusions(cells(), ["solved_by_all", "solved_by_none", "errors"])
    assert set(kept.problem_id) == {"p2"} and list(kept.index) == list(range(8))
    rows = report.set_index("rule")
    assert list(rows.index) == ["solved_by_all", "solved_by_none", "errors", "all rules"]
    assert rows.cells.tolist() == [8, 8, 0, 16] and rows.problems.tolist() == [1, 1, 0, 2]
    assert rows.problem_ids["all rules"] == ["p0", "p1"] and rows.share["all rules"] == pytest.approx(2 / 3)
    assert rows.traces["solved_by_all"] == 4
    again, none = apply_exclusions(cells(), [])
    assert len(again) == len(cells()) and none.cells.tolist() == [0]
    table = cells()
    table.loc[table.problem_id == "p1", "status"] = "unparsed"  # rules overlap without counting twice
    kept, report = apply_exclusions(table, ["unparsed_everywhere", "solved_by_none"])
    assert len(table) - len(kept) == 8 and report.cells.tolist() == [8, 8, 8]


def test_a_result_with_and_without() -> None:
    table = with_and_without(cells(), ["solved_by_all", "solved_by_none"], lambda c: estimate(c, n_resamples=100))
    assert table.excluded.unique().tolist() == ["nothing", "solved_by_all", "solved_by_none", "all rules"]
    base = table[table.method == "base"].set_index("excluded")["index"]
    assert base["nothing"] == 0.5 and base["solved_by_all"] == 0.25 and base["solved_by_none"] == 0.75
    # A rule that leaves nothing to compute on says so by an empty row.
    gone, arms = cells().assign(status="error", score=np.nan), {"baseline": "base", "treatment": "pdp"}
    left = with_and_without(gone, ["errors"], lambda c: compare(c, **arms, n_resamples=100).to_frame())
    assert left.excluded.tolist() == ["nothing", "errors"] and left.drop(columns="excluded").isna().all().all()


def test_twins_are_found_by_their_words(config: Config, server: Any) -> None:
    server.script = lambda body, n: "so it is C, I think" if body.get("logprobs") else "Answer: C"
    run = config(n_samples=3)
    cells = run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        kept, report = apply_exclusions(cells, ["identical_traces"], trace_hashes(store))
    assert set(kept["sample"]) == {0} and report.traces.iloc[0] == 6
    with pytest.raises(DataError, match="give it a hash of each"):
        apply_exclusions(cells, ["identical_traces"])


def test_mistakes_and_descriptions() -> None:
    with pytest.raises(ConfigError, match="unknown rule 'solved_by_al'; did you mean 'solved_by_all'"):
        RunConfig(exclude=["solved_by_al"])
    assert RunConfig(exclude=list(RULES)).analysis.exclude == list(RULES)
