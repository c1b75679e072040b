"""What the notebooks of statistics are made of, variants, verdicts and rules; and is the report's first page whole?"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config
from fake_server import say_something
from test_index import cells_of

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.errors import DataError
from anytime_lib.index import ORDERS
from anytime_lib.plots import plot_differences
from anytime_lib.report import _write_report, measured
from anytime_lib.stats import VERDICTS, compare_family, conclude
from anytime_lib.stats.sensitivity import RULES, apply_exclusions, difference_variants
from anytime_lib.studies.exclusions import analysed_cells, every_rule
from anytime_lib.studies.grader_audit import regraded
from anytime_lib.sweep.ledger import trace_hashes


def scores(n: int, lift: float = 0.0, seed: int = 0, n_samples: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(99).random((n, 1, 1))
    return (rng.random((n, n_samples, 4)) < np.clip(ease * 0.6 + 0.2 + lift, 0, 1)).astype(float)


def arms(n: int = 24, **lifts: float) -> pd.DataFrame:
    parts = [cells_of(scores(n, lift, i), m) for i, (m, lift) in enumerate({"base": 0.0, **lifts}.items())]
    return pd.concat(parts, ignore_index=True)


def test_verdicts_follow_the_rules() -> None:
    rng, half = np.random.default_rng(5), np.full((200, 2, 4), 0.5)
    near = np.clip(half + 0.02 * rng.normal(size=(200, 2, 4)), 0, 1)
    table = pd.concat(
        [cells_of(half), cells_of(near, "near"), cells_of(near + 0.2, "up"), cells_of(near - 0.2, "down"),
         cells_of(scores(200, -0.01, n_samples=2), "noisy"), cells_of(half, "same")],
        ignore_index=True,
    )  # fmt: skip
    family = compare_family(table, n_resamples=400)
    found, few, wide = (conclude(family, margin).set_index("treatment") for margin in (0.03, 0.01, 0.5))
    assert found.verdict.to_dict() == {"near": "equivalent", "up": "better", "down": "worse", "noisy": "undecided",
                                       "same": "equivalent"}  # fmt: skip
    assert set(found.verdict) <= set(VERDICTS)
    assert few.verdict["same"] == "undecided" and few.verdict["near"] == "equivalent"  # 200 alike show none below .0149
    assert wide.verdict["up"] == "better" and "differ by less than 0.5" in wide.reading["up"]


def test_the_declared_family_keeps_what_cannot_be_compared() -> None:
    table = arms(12, pdp=0.1, pdp_plus=0.1)
    table.loc[table.method == "pdp_plus", ["score", "status"]] = [np.nan, "error"]
    family = compare_family(table, n_resamples=100)
    (alive, dead), (member, lost) = family.comparisons.values(), list(family.comparisons)
    assert (member.treatment, lost.treatment) == ("pdp", "pdp_plus") and "share no graded cell" in dead.summary()
    assert family.pvalues == pytest.approx([min(1, 2 * alive.pvalue), np.nan], nan_ok=True)
    assert "; 1 is impossible to make." in family.summary()
    assert conclude(family, 0.05).verdict.tolist()[1] == "not compared"
    shown = plot_differences(family, title="With a dead arm")
    assert len(shown.axes[0].get_yticklabels()) == 2
    cut = table[(table.method != "pdp_plus") | (table.budget < 8)]
    other = compare_family(cut.fillna({"score": 1.0}), n_resamples=100)
    assert "different budgets" in list(other.comparisons.values())[1].summary()
    pairs = [["base", "pdp"], ["base", "pdp_plus"]]
    gone = compare_family(table[table.method != "pdp_plus"], pairs, n_resamples=100)
    assert "no cells of method 'pdp_plus'" in gone.to_frame().notes[1]
    assert gone.pvalues == pytest.approx(family.pvalues, nan_ok=True)
    none = compare_family(table[table.method == "base"])
    assert not none.comparisons and none.to_frame().empty and "Nothing was compared" in none.summary()
    assert conclude(none, 0.05).empty
    turned = compare_family(table, [["pdp", "base"]], n_resamples=100)
    assert [m.treatment for m in turned.comparisons] == ["base"]


def test_variants_change_one_choice_at_a_time() -> None:
    found = difference_variants(arms(24, better=0.3), baseline="base", treatment="better", n_resamples=300)
    assert found.choice.iloc[0] == "judged" and set(found.variant) >= {*ORDERS, "log", "observed"}
    assert (found.says == "above").sum() >= 7  # a difference of .3 does not hang on the axis
    one = pd.concat([cells_of(scores(9, n_samples=1)), cells_of(scores(9, 0.1, 1, 1), "b")])
    single = difference_variants(one, baseline="base", treatment="b", n_resamples=100)
    assert "crossfit" not in set(single.variant)
    two = difference_variants(arms(9, b=0.3).query("budget < 3"), baseline="base", treatment="b", n_resamples=100)
    assert "grid" not in set(two.choice) and "grid" in set(found.choice)


def test_stored_answers_are_graded_in_other_ways(tmp_path: Path) -> None:
    config = RunConfig(model="simulated", outputs=str(tmp_path), tasks=["natural_plan_trip", "aime"], n_problems=4,
                       methods=["base"], budgets=[16, 256], concurrency=32)  # fmt: skip
    cells = run_sweep(config, progress=False)
    with Store(config.folder / "store.sqlite") as store:
        calls, grades = len(store.requests()), regraded(cells, store)
        assert len(store.requests()) == calls
        table = measured(cells, config, store)
    trips = cells[cells.task == "natural_plan_trip"]
    assert set(grades) == {"strict", "official"}  # right or wrong is all there is to mathematics
    assert np.array_equal(grades["strict"].score == 1, trips.correct.astype(bool))
    assert (grades["strict"].score.to_numpy() <= trips.score.to_numpy()).all()
    assert table.loc[("aime", "base"), ["n", "N", "T", "missing"]].tolist() == [4, 2, 2, 0]
    assert table.loc[("aime", "base"), "source"] == "ladder" and table.problems_hash.nunique() == 2
    partial = cells_of(np.array([[[0.5, 1.0]]])).assign(correct=[False, True])
    assert regraded(partial, store)["right or wrong"].score.tolist() == [0.0, 1.0]


# Rules of exclusion: what each takes, how it is counted, and that nothing is left out unsaid.

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
    assert RunConfig(exclude=list(RULES)).analysis.exclude == list(RULES)


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


def test_every_rule_is_counted_and_the_family_judged_without_what_it_takes(config: Config, server: Any) -> None:
    run = config(methods=["base", "direct"], exclude=["refused"])
    server.script = lambda body, n: "I cannot help with that." if n % 3 else say_something(body, n)
    counted, found = every_rule(run)
    assert counted.rule.tolist() == list(RULES) and counted.rule[counted.declared].tolist() == ["refused"]
    taking = counted.rule[counted.cells > 0].tolist()
    assert "refused" in taking and found.excluded.unique().tolist()[0] == "nothing"
    assert set(found.excluded) <= {"nothing", *taking} and found.treatment.unique().tolist() == ["direct"]
    kept, report = analysed_cells(run)
    assert report.cells.iloc[0] == counted.set_index("rule").cells["refused"] and "refused" not in set(kept.status)
    server.script = lambda body, n: "I cannot help with that."
    with pytest.raises(DataError, match="no graded cell is left"):
        analysed_cells(config(run="other", exclude=["refused"]))


def test_twins_are_found_by_their_words(config: Config, server: Any) -> None:
    server.script = lambda body, n: "so it is C, I think" if body.get("logprobs") else "Answer: C"
    run = config(n_samples=3)
    cells = run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        kept, report = apply_exclusions(cells, ["identical_traces"], trace_hashes(store))
    assert set(kept["sample"]) == {0} and report.traces.iloc[0] == 6
    with pytest.raises(DataError, match="give it a hash of each"):
        apply_exclusions(cells, ["identical_traces"])


@pytest.mark.parametrize(("tasks", "methods"), [(["gpqa"], ["base"]), (["gpqa", "aime"], ["base", "direct"])])
def test_a_page_is_whole(tasks: list[str], methods: list[str], config: Config, server: Any) -> None:
    run = config(tasks=tasks, methods=methods, n_resamples=100, run="<b>bold</b>")
    run_sweep(run, progress=False)
    page = _write_report(run, {}, ["00_tour", "04b_more"], 0.0)
    text, figures = page.read_text("utf-8"), page.parent / "figures"
    pictures = re.findall(r'<img src="(figures/report_[^"]+)" alt="([^"]{40,})"></a><figcaption>([^<]{40,})', text)
    assert len(pictures) == 2 * len(tasks) + (len(methods) > 1) and "<b>bold" not in text
    assert all(
        (page.parent / path).with_suffix(suffix).is_file() for path, *_ in pictures for suffix in (".svg", ".pdf")
    )
    assert text.count(" is undecided</b>") == (len(methods) > 1) * len(tasks)
    assert ("nothing is compared" in text) == (len(methods) == 1)
    assert (page.parent / "explorer.html").is_file() and 'href="04b_more.html"' in text
    rows = (figures / "report_index.md").read_text("utf-8").splitlines()
    assert len(rows) == 2 + len(tasks) * len(methods) and re.search(r"\| 0\.\d+ \[0\.\d+, \d\.\d+\] \|", rows[2])
    assert r"n\_problems" in (figures / "report_index.tex").read_text("utf-8")
