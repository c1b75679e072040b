"""The judge's audit: judges that are known to be right, wrong, biased or contradictory are found to be so."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.errors import DataError
from anytime_lib.stats.measures import flips
from anytime_lib.studies.judge_audit import MEASURES, audit, summaries


def comparisons(
    n_problems: int = 30, k: int = 4, skill: float = 1.0, place: float = 0.0, length: float = 0.0, noise: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What a judge says whose log-odds are skill x gold margin + place (for the first) + length x tokens + noise."""
    rng, rows = np.random.default_rng(seed), []
    for p in range(n_problems):
        score, tokens = rng.integers(0, 3, k) / 2, rng.integers(10, 60, k)
        for i, j in itertools.combinations(range(k), 2):
            lean = skill * 4 * (score[i] - score[j]) + length * (tokens[i] - tokens[j])
            ab, ba = (sign * lean + place + noise * rng.normal() for sign in (1, -1))
            margin = (ab - ba) / 2
            outcome = "tie" if abs(margin) < 0.05 else "first" if margin > 0 else "second"
            rows.append({"problem_id": f"p{p}", "level": str(p % 2), "first": i, "second": j, "tokens_first": tokens[i],
                         "tokens_second": tokens[j], "log_odds_ab": ab, "log_odds_ba": ba, "margin": margin,
                         "outcome": outcome, "score_first": score[i], "score_second": score[j]})  # fmt: skip
    return pd.DataFrame(rows).assign(budget=8)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    found = audit(table, n_resamples=400)
    assert (found.groupby("level").measure.nunique() == len(MEASURES)).all()
    return found[found.level == "all"].set_index("measure")


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    """What is measured of a judge that is nearly always right."""
    return measured(comparisons())


def test_a_judge_with_skill_and_one_without(good: pd.DataFrame) -> None:
    coin, wrong = measured(comparisons(skill=0.0)), measured(comparisons(skill=-1.0))
    names = ["accuracy", "kappa", "auc"]
    assert (good.low > good.chance)[names].all()
    assert ((coin.low <= coin.chance) & (coin.chance <= coin.high))[names].all()
    assert good.value["accuracy"] > 0.95 and good.value["auc"] > 0.95
    assert good.value["cycles"] < 0.05 and coin.low["cycles"] <= 0.25 <= coin.high["cycles"]
    assert wrong.high["accuracy"] < 0.5 and wrong.high["kappa"] < 0


def test_biases_are_found_for_what_they_are(good: pd.DataFrame) -> None:
    placed, long = measured(comparisons(place=1.5)), measured(comparisons(skill=0.0, length=0.2))
    assert placed.low["position_bias"] < 1.5 < placed.high["position_bias"] and placed.low["accuracy"] > 0.5
    assert placed.value["order_consistency"] < good.value["order_consistency"]
    assert long.low["longer_wins"] > 0.9 and long.low["longer_is_better"] < 0.6
    assert long.value["cycles"] < 0.05  # a judge by length is consistent with itself


def test_attempts_that_nobody_compared_have_no_rank() -> None:
    """Of three attempts one verdict can be read, and it is right: the third has no strength to be right or wrong."""
    table = comparisons(3, k=3)
    gold = {0: 1.0, 1: 0.0, 2: 0.5}
    table = table.assign(score_first=table["first"].map(gold), score_second=table["second"].map(gold), margin=1.0)
    read = (table["first"] == 0) & (table["second"] == 1)
    table["outcome"] = np.where(read, "first", "unparsed")
    assert measured(table).loc["auc", ["value", "n"]].tolist() == [1.0, 3]


def test_a_gold_score_that_is_no_number_counts_nowhere() -> None:
    table = comparisons(12, seed=5)
    ours = (table.problem_id == "p3") & (table["first"] == 0)
    table.loc[ours, "score_first"] = np.nan
    found, without = measured(table), measured(table[~ours])
    for name in ("accuracy", "kappa", "longer_is_better"):
        assert found.n[name] == without.n[name] and found.value[name] == pytest.approx(without.value[name]), name
    rest = measured(table[table.problem_id != "p3"])
    assert 0 <= found.n["auc"] - rest.n["auc"] <= 3  # of the other three attempts at p3 there are three pairs


def test_levels_and_counts() -> None:
    table = comparisons(20, seed=3)
    found = audit(table, n_resamples=200)
    assert list(dict.fromkeys(found.level)) == ["all", "0", "1"]
    n, value = (found.pivot(index="measure", columns="level", values=column) for column in ("n", "value"))
    assert (n["all"] == n["0"] + n["1"]).all() and n["all"]["kappa"] == len(table) and 0 < n["all"]["cycles"] <= 80
    decisive = table[(table.outcome != "tie") & (table.score_first != table.score_second)]
    right = (decisive.margin > 0) == (decisive.score_first > decisive.score_second)
    assert value["all"]["accuracy"] == pytest.approx(right.mean())


def test_intervals_are_clustered_by_problem() -> None:
    """Copies of the pairs of a problem add no problem: the interval stays as wide as it was."""
    table = comparisons(12, skill=0.2, noise=2)
    copies = pd.concat([table] * 5)
    copies["second"] += 10 * np.repeat(np.arange(5), len(table))  # so that they are pairs of their own
    once, five = ((f.high - f.low)["accuracy"] for f in (measured(table), measured(copies)))
    assert five == pytest.approx(once, rel=1e-9) and once > 0.05


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["tie", "unparsed", "identical", "error", "first"]), max_size=6), st.booleans())
def test_degenerate_tables_give_a_note_and_no_crash(outcomes: list[str], equal: bool) -> None:
    n = len(outcomes)
    table = comparisons(1, k=2).iloc[[0] * n].assign(
        problem_id=[f"p{i % 2}" for i in range(n)], second=range(1, n + 1), log_odds_ab=None, log_odds_ba=None,
        outcome=outcomes, score_first=float(equal), score_second=1.0,
    )  # fmt: skip
    found = audit(table, n_resamples=100)
    assert (found.note[found.value.isna()] != "").all()
    assert len(summaries(found)) == len(MEASURES)


def test_summaries_follow_from_the_interval() -> None:
    said = summaries(audit(comparisons(), n_resamples=300))
    assert said[0].startswith("the judge prefers the better-scored") and "above what coins would give" in said[0]
    few = summaries(audit(comparisons(5), n_resamples=100))
    assert "a hint, no proof" not in said[0] and "a hint, no proof" in few[0]
    unsure = summaries(audit(comparisons(skill=0.0), n_resamples=300))
    assert "not told apart from what coins would give (0.50; p = " in unsure[0]


def test_checkpoints_are_ranked_by_themselves() -> None:
    """The same attempts cut at two checkpoints: twice the pairs and triads, the same share of them right."""
    table = comparisons(12, seed=2)
    later = table.assign(budget=64, score_first=1 - table.score_first, score_second=1 - table.score_second)
    later[["log_odds_ab", "log_odds_ba", "margin"]] *= -1
    later["outcome"] = later.outcome.replace({"first": "second", "second": "first"})
    once, twice = measured(table), measured(pd.concat([table, later]))
    names = ["accuracy", "auc", "cycles"]
    assert twice.value[names].tolist() == pytest.approx(once.value[names].tolist())
    assert (twice.n[names] == 2 * once.n[names]).all() and (twice.n_problems == once.n_problems).all()


@pytest.mark.parametrize(
    ("base", "pdp", "kind", "budget"),
    [("--+", "-++", "correction", 20), ("---", "+-+", "correction", 30), ("+--", "+--", None, 0),
     ("++-", "---", "error", 10), ("-+-", "-+-", None, 0), ("x--", "+++", "correction", 20)],
)  # fmt: skip
def test_examples_are_chosen_by_rule(base: str, pdp: str, kind: str | None, budget: int) -> None:
    """Of one sample: "+" right, "-" wrong, "x" an error, a character a budget."""
    cells = pd.DataFrame([
        {"problem_id": "p", "sample": 0, "method": m, "budget": 10 * (t + 1), "correct": c == "+",
         "status": "error" if c == "x" else "ok", "answer_key": f"{m}{t}"}
        for m, marks in (("base", base), ("pdp", pdp)) for t, c in enumerate(marks)
    ])  # fmt: skip
    found = flips(cells, baseline="base", treatment="pdp")
    assert [(r.kind, r.budget) for r in found.itertuples()] == ([(kind, budget)] if kind else [])
    with pytest.raises(DataError, match="no cells of method 'leap'"):
        flips(cells, baseline="base", treatment="leap")
