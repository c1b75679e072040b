"""What the notebooks of statistics are made of: variants, verdicts, null runs, and the bias of each maximum."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_index import cells_of

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.index import ORDERS
from anytime_lib.plots import plot_curves, plot_differences, plot_profiles, plot_variants
from anytime_lib.report import measured
from anytime_lib.stats import VERDICTS, compare_family, conclude
from anytime_lib.stats.estimate import performance_profile
from anytime_lib.stats.sensitivity import difference_variants
from anytime_lib.studies.grader_audit import regraded


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
    found, few, wide = (conclude(family, margin).set_index("treatment") for margin in (0.02, 0.01, 0.5))
    assert found.verdict.to_dict() == {"near": "equivalent", "up": "better", "down": "worse", "noisy": "not told",
                                       "same": "equivalent"}  # fmt: skip
    assert set(found.verdict) <= set(VERDICTS)
    assert few.verdict["same"] == "no spread" and few.verdict["near"] == "not told"  # 200 show no margin below .0149
    assert wide.verdict["up"] == "better" and "though by less than 0.5" in wide.reading["up"]


def test_a_difference_that_does_not_survive_its_family_is_a_hint() -> None:
    rng, half = np.random.default_rng(3), np.full((8, 2, 4), 0.5)
    parts = [cells_of(half), cells_of(half + np.linspace(0.1, 0.2, 8)[:, None, None], "up")]
    alone = compare_family(pd.concat(parts), n_resamples=200)
    assert alone.pvalues == pytest.approx([2 / 2**8]) and conclude(alone, 0.01).verdict.item() == "better"
    parts += [cells_of(half + 0.01 * rng.normal(size=(8, 1, 1)), f"m{i}") for i in range(19)]
    among = conclude(compare_family(pd.concat(parts), n_resamples=200), 0.01).iloc[0]
    assert among.verdict == "hint" and "does not stand" in among.reading


def test_the_declared_family_keeps_what_cannot_be_compared() -> None:
    table = arms(12, pdp=0.1, pdp_plus=0.1)
    table.loc[table.method == "pdp_plus", ["score", "status"]] = [np.nan, "error"]
    family = compare_family(table, n_resamples=100)
    (alive, dead), (member, lost) = family.comparisons.values(), list(family.comparisons)
    assert (member.treatment, lost.treatment) == ("pdp", "pdp_plus") and "share no graded cell" in dead.summary()
    assert family.pvalues == pytest.approx([min(1, 2 * alive.pvalue), np.nan], nan_ok=True)
    assert "1 of which could not be made" in family.summary()
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
    assert found.choice.iloc[0] == "default" and set(found.variant) >= {*ORDERS[1:], "log", "observed"}
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


def test_figures_stay_readable_with_twelve_methods() -> None:
    cells = arms(8, **{f"method {i}": 0.02 * i for i in range(11)})
    curves = plot_curves(cells, n_resamples=50, apart=True, simultaneous=True)
    seven = performance_profile(cells[cells.method.isin(cells.method.unique()[:7])], n_resamples=50)
    profiles = plot_profiles(seven, n_problems=8, title="Profiles")
    chosen = {"baseline": "base", "n_resamples": 100}
    tables = {m: difference_variants(cells, treatment=m, **chosen) for m in ("method 1", "method 2")}  # type: ignore[arg-type]
    variants = plot_variants(tables, title="Variants", margin=0.05)
    for figure, panels in ((curves, 12), (profiles, 6), (variants, 2)):
        shown = [ax for ax in figure.axes if ax.axison]
        assert len(shown) == panels and len(figure.legends) == 1
        figure.get_layout_engine().execute(figure)  # all that places them, without drawing
        boxes = [ax.title.get_window_extent() for ax in shown]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        legend = figure.legends[0].get_window_extent()
        assert not any(legend.overlaps(ax.xaxis.label.get_window_extent()) for ax in shown if ax.get_xlabel())
