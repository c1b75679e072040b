"""Draws of exemplars: what they add to an interval, which pools they have, what a study of several finds."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_index import cells_of

from anytime_lib import RunConfig, Store, load_task, run_sweep
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.pdp import Pairs
from anytime_lib.stats import compare, compare_family, estimate, min_detectable_effect, noninferior, over_tasks
from anytime_lib.stats.intervals import mean_squares, over_both
from anytime_lib.studies import error_rate_table
from anytime_lib.studies.equal_cost import accounts
from anytime_lib.studies.planning import variance_split
from anytime_lib.sweep.plan import split_problems
from anytime_lib.types import digest


def crossed(n: int, r: int, seed: int, sds: tuple[float, float, float]) -> np.ndarray:
    """(P, R) normal values that vary between problems, draws, and both, with these standard deviations."""
    rng = np.random.default_rng(seed)
    of = [sd * rng.standard_normal(size) for sd, size in zip(sds, ((n, 1), (1, r), (n, r)), strict=True)]
    return np.asarray(of[0] + of[1] + of[2])


def two_arms(n: int, r: int, k: int, sds: tuple[float, float, float], lift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Cells of flat curves: the treatment's sample i is of draw i mod r, and each sample has a noise of .02."""
    noise = 0.02 * np.random.default_rng(seed + 1).standard_normal((2, n, r * k))
    values = 0.5 + noise + np.stack([np.zeros((n, r * k)), lift + np.tile(crossed(n, r, seed, sds), k)])
    base, pdp = (
        cells_of(np.repeat(of.clip(0, 1)[..., None], 2, axis=2), m) for of, m in zip(values, "bp", strict=True)
    )
    return pd.concat([base.assign(draw=np.nan), pdp.assign(draw=pdp["sample"] % r)], ignore_index=True)


def test_mean_squares_are_those_of_the_crossed_layout() -> None:
    y = crossed(9, 4, 0, (1.0, 2.0, 0.5))
    found = mean_squares(np.vstack([y, np.full(4, np.nan)]))  # a problem without all draws is left out
    rows, columns = y.mean(axis=1), y.mean(axis=0)
    assert found.problems == pytest.approx(rows.var(ddof=1) / 9)
    assert found.draws == pytest.approx(columns.var(ddof=1) / 4)
    rest = y - rows[:, None] - columns + y.mean()
    assert found.rest == pytest.approx((rest**2).sum() / (8 * 3) / 36)
    added, df = over_both(found, 9, 4)
    assert added == pytest.approx(found.draws - found.rest) and 3 < df < 11
    assert over_both(found._replace(draws=found.rest), 9, 4) == (0.0, 8.0)


def test_the_interval_is_over_problems_and_draws() -> None:
    cells = two_arms(40, 5, 2, (0.02, 0.05, 0.0), lift=0.03)
    both, alone = compare(cells, "b", "p"), compare(cells.drop(columns="draw"), "b", "p")
    assert both.statistic == alone.statistic and (both.n_draws, alone.n_draws) == (5, 0)
    widths = [np.diff(found.confidence_interval())[0] for found in (both, alone)]
    true = 2 * 2.78 * 0.05 / 5**0.5  # t with four degrees of freedom
    assert widths[0] > 4 * widths[1] and 0.5 * true < widths[0] < 2 * true
    assert "interval over problems and draws" in both.summary() and "samples of each: 10 (of 5 draws)" in both.summary()
    assert "interval over problems [" in alone.summary() and "draw" not in alone.summary()
    assert both.pvalue > alone.pvalue < 1e-3
    assert noninferior(both, 0.02).pvalue > 10 * noninferior(alone, 0.02).pvalue
    assert both.to_frame().n_draws.item() == 5


def test_the_mean_over_tasks() -> None:
    parts = [
        two_arms(40, 5, 2, (0.02, sd, 0.0), 0.05, seed).assign(task=f"t{seed}") for seed, sd in ((1, 0.0), (2, 0.05))
    ]
    family = compare_family(pd.concat(parts), baseline="b")
    found, each = over_tasks(family).iloc[0], family.to_frame()
    assert found.difference == pytest.approx(each.difference.mean()) and found.n_tasks == 2 and found.pvalue_holm < 0.2
    assert 0.4 < (found.high - found.low) / (each.high - each.low).max() < 0.6  # the one task's noise, halved
    assert (found.says == "above zero") == (found.low > 0 and found.pvalue_holm < 0.05)


def test_few_draws_are_told() -> None:
    one, two = (compare(two_arms(30, r, 2, (0.02, 0.05, 0.0)), "b", "p").summary() for r in (1, 2))
    assert "of one draw of exemplars" in one and "over problems [" in one
    assert "two draws tell little" in two and "over problems and draws [" in two
    gaps = two_arms(30, 3, 2, (0.02, 0.05, 0.0))
    gaps.loc[(gaps.draw == gaps.problem_id.str[1:].astype(int) % 3) & (gaps.problem_id != "p0"), "score"] = np.nan
    found = compare(gaps, "b", "p")
    assert found.over == "problems" and "too few problems have all draws" in found.summary()
    other = gaps.assign(draw=gaps.draw.fillna(7))
    with pytest.raises(DataError, match="not prepared on the same draws"):
        compare(other, "b", "p")


def test_a_single_arm_is_no_surer_than_its_draws() -> None:
    cells = two_arms(40, 5, 2, (0.02, 0.05, 0.0)).query("method == 'p'")
    both, alone = (estimate(of, n_resamples=300).iloc[0] for of in (cells, cells.assign(draw=np.nan)))
    assert both["index"] == alone["index"] and both.high - both.low > 3 * (alone.high - alone.low)


def test_error_rates_with_several_draws() -> None:
    """What bench_error_rates.py found: intervals over both hold from three draws on, those of one draw do not."""
    rates = error_rate_table().query("study == 'draws' and measure == 'covers'").set_index("world")
    several = rates[~rates.index.str.startswith("1 ")]
    assert len(several) == 9 and several.share.between(0.93 - 2 * several.error, 0.97 + 2 * several.error).all()
    one = rates.loc["1 draw of 0.03"].set_index("n").share
    assert one[198] < 0.8 and one[198] < one[30]  # more problems make it worse


def test_what_is_detectable_over_draws() -> None:
    of: Any = {"sd_between": 0.1, "sd_within": 0.35}
    alone, four = (min_detectable_effect(198, 4, n_draws=r, sd_draws=0.0, **of) for r in (1, 4))
    assert alone < four < 1.5 * alone  # the price of not knowing that draws do not differ
    one, five = (min_detectable_effect(10**6, 10, n_draws=r, sd_draws=0.03, **of) for r in (1, 5))
    assert one < 0.001 and five > 2.78 * 0.03 / 5**0.5  # more problems do not stand in for draws
    few = min_detectable_effect(8, 2, n_draws=2), min_detectable_effect(8, 4, n_draws=2)
    assert few[1] < few[0] < 5  # degrees of freedom that were all but none took it beyond any number


def test_the_split_of_variance_finds_what_it_is_made_of() -> None:
    split = variance_split(two_arms(400, 8, 2, (0.03, 0.05, 0.04), seed=3), "b", "p", estimand="raw")
    found = np.sqrt([split.between, split.draws, split.crossed, split.samples / 2])
    assert found == pytest.approx(
        [0.03, crossed(400, 8, 3, (0.03, 0.05, 0.04)).mean(axis=0).std(ddof=1), 0.04, 0.02], abs=3e-3
    )
    assert all(low <= value <= high for value, (low, high) in zip(
        (split.between, split.samples, split.draws, split.crossed), split.ends, strict=True))  # fmt: skip
    assert "between draws of exemplars" in split.summary()
    table = split.twice_the_tokens(200, 16).set_index("spent_on").detectable
    assert table.idxmin() == "draws" and table["problems"] < table["nothing"]
    few = variance_split(two_arms(12, 8, 2, (0.2, 0.001, 0.0)), "b", "p", estimand="raw").twice_the_tokens(12, 16)
    assert few.set_index("spent_on").detectable.idxmin() == "problems"
    one = variance_split(two_arms(30, 1, 3, (0.03, 0.0, 0.0)), "b", "p", estimand="raw")
    assert one.n_draws == 1 and "for the draw of exemplars" in one.summary() and len(one.twice_the_tokens(30, 3)) == 3


def test_the_split_of_variance_stands_a_loss() -> None:
    """A problem that lacks a draw, many that do, and a draw that was left out for all."""
    cells = two_arms(200, 5, 2, (0.03, 0.05, 0.04), seed=3)
    last = (cells.method == "p") & (cells["sample"] % 5 == 4)
    for lost in (last & (cells.problem_id == "p0"), last & cells.problem_id.isin([f"p{i}" for i in range(150)]), last):
        for left in (cells.assign(score=cells.score.mask(lost)), cells[~lost]):
            split = variance_split(left, "b", "p", estimand="raw")
            assert split.n_draws == (4 if lost.sum() == last.sum() else 5)
            assert np.sqrt([split.crossed, split.samples / 2]) == pytest.approx([0.04, 0.02], abs=8e-3)
            assert split.ends[0][0] <= 0.03**2 <= split.ends[0][1] and split.draws > 0.02**2


# What a run does.


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    pool = {"problems": 2, "samples": 3, "draws": 3}
    of: dict[str, Any] = {"tasks": ["aime"], "n_problems": 4, "n_samples": 6, "budgets": [32, 96], "pool": pool}
    methods = ["base", "few_shot", "pdp_grader", "pdp_shuffled"]
    return RunConfig(run=str(tmp_path / "run"), model="simulated", methods=methods, simulated={"stop": 0.0}, **of)


def test_each_draw_has_a_pool_of_its_own(config: RunConfig) -> None:
    cells, whole = run_sweep(config, progress=False), split_problems(load_task("aime"), config.task("aime"), 0)
    assert len(whole.pool) == 6 and cells[cells.method == "base"].draw.isna().all()
    rest = cells[cells.method != "base"]
    assert (rest.draw == rest["sample"] % 3).all()
    with Store(config.folder / "store.sqlite") as store:
        for cell in rest[rest.method.isin(["few_shot", "pdp_grader"])].itertuples():
            asked = str(store.request(cell.trace_key))
            shown = {i for i, p in enumerate(whole.pool) if p.text.split("\n")[0] in asked}
            assert shown and shown <= {2 * cell.draw, 2 * cell.draw + 1}
        about = f"run, {cells.model[0]}, aime, pairs:grader"
        bills = [store.noted("bill", about + end) for end in ("", ", draw 1", ", draw 2")]
        each = [sum(bill[f"{kind}_tokens"] for kind in ("prompt", "completion")) for bill in bills if bill]
        cost = accounts(cells, store).query("method == 'pdp_grader'").preparation
        assert len(set(each)) == 3 and set(cost) == {np.mean(each)}
        n = len(store.attempts())
    files = sorted(str(p.relative_to(config.folder)) for p in config.folder.rglob("preferences_aime_grader.jsonl"))
    assert files == [f"{at}preferences_aime_grader.jsonl" for at in ("draw_1/", "draw_2/", "")]
    assert {json.loads(line)["draw"] for line in (config.folder / files[1]).read_text("utf-8").splitlines()} == {2}
    one = run_sweep(config.but(n_samples=2, pool={"problems": 2, "samples": 3}), progress=False)
    assert set(one.draw.dropna()) == {0}
    with Store(config.folder / "store.sqlite") as store:  # of one draw is asked what the first of several was asked
        more = store.attempts().iloc[n:]
        assert set(more.method) <= {"few_shot", "pdp_grader", "pdp_shuffled"} and "synthesis" not in set(more.method)


def test_a_draw_without_pairs_is_left_out(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = [], Pairs.__call__

    async def nothing_in_the_second(self: Pairs, client: Any, on: Any) -> Any:
        made.append(on.draw)
        found = await real(self, client, on)
        return found if on.draw != 1 else type(found)(**{**vars(found), "preferences": []})

    monkeypatch.setattr(Pairs, "__call__", nothing_in_the_second)
    cells = run_sweep(config.but(methods=["base", "pdp_grader"]), progress=False)
    assert sorted(made) == [0, 1, 2] and set(cells.draw.dropna()) == {0, 2}
    found = compare(cells, "base", "pdp_grader")
    assert (found.n_draws, found.n_samples) == (2, 4)


def test_pools_too_small_for_all_draws_are_drawn_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(f'{{"problem": "What is {i} + 1?", "answer": {i + 1}}}\n' for i in range(7)), "utf-8")
    test = tmp_path / "test.jsonl"
    test.write_text('{"problem": "What is 90 + 1?", "answer": 91}\n', "utf-8")
    of: dict[str, Any] = {"tasks": ["aime"], "source": str(test), "pool_source": str(pool), "n_problems": 1}
    settings = RunConfig(**of, n_samples=4, pool={"problems": 3, "draws": 4}).task("aime")
    with caplog.at_level(logging.WARNING):
        assert len(split_problems(load_task("aime"), settings, 0).pool) == 7
    assert "has 7 problems, too few for 4 draws of 3 each: draws share some" in caplog.text
    few = RunConfig(**of, n_samples=4, pool={"problems": 4, "draws": 4}).task("aime")
    with pytest.raises(DataError, match="16 pool problems wanted"):
        split_problems(load_task("aime"), few, 0)
    with pytest.raises(ConfigError, match=r"n_samples \(6\) must be a multiple of pool.draws \(4\)"):
        RunConfig(**of, n_samples=6, pool={"draws": 4})


def test_what_was_declared_is_noted_beside_the_store(config: RunConfig) -> None:
    plain = config.but(methods=["base"])
    for of in (plain, plain, plain.but(analysis={"margin": 0.02})):
        run_sweep(of, progress=False)
    first, second = map(json.loads, (config.folder / "declared.jsonl").read_text("utf-8").splitlines())
    assert (first["margin"], first["cells"]) == (0.05, 0) and (second["margin"], second["cells"]) == (0.02, 48)
    assert first["hash"] == digest(plain.declared) != second["hash"]
