"""The judge's audit: judges that are known to be right, wrong, biased or contradictory are found to be so."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytime_lib.readings import read_accuracy, read_judge, read_trace, read_verdicts
from anytime_lib.studies.judge_audit import MEASURES, audit_judge


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
    found = audit_judge(table, n_resamples=400)
    assert found.measure.tolist() == [*MEASURES]
    return found.set_index("measure")


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    """What is measured of a judge that is nearly always right."""
    return measured(comparisons())


def test_a_judge_with_skill_and_one_without(good: pd.DataFrame) -> None:
    coin, wrong = measured(comparisons(skill=0.0)), measured(comparisons(skill=-1.0))
    names = ["accuracy", "auc"]
    assert (good.low > good.chance)[names].all()
    assert ((coin.low <= coin.chance) & (coin.chance <= coin.high))[names].all()
    assert good.value["accuracy"] > 0.95 and good.value["auc"] > 0.95
    assert good.value["cycles"] < 0.05 and coin.low["cycles"] <= 0.25 <= coin.high["cycles"]
    assert wrong.high["accuracy"] < 0.5 and wrong.high["auc"] < 0.5


def test_biases_are_found_for_what_they_are(good: pd.DataFrame) -> None:
    placed, long = measured(comparisons(place=1.5)), measured(comparisons(skill=0.0, length=0.2))
    assert placed.low["position_bias"] < 1.5 < placed.high["position_bias"] and placed.low["accuracy"] > 0.5
    assert placed.value["order_consistency"] < good.value["order_consistency"]
    assert long.low["longer_wins"] > 0.85 and long.low["longer_is_better"] < 0.6
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
    for name in ("accuracy", "longer_is_better"):
        assert found.n[name] == without.n[name] and found.value[name] == pytest.approx(without.value[name]), name
    rest = measured(table[table.problem_id != "p3"])
    assert 0 <= found.n["auc"] - rest.n["auc"] <= 3  # of the other three attempts at p3 there are three pairs


def test_pairs_and_triads_are_counted() -> None:
    table = comparisons(20, seed=3)
    found, decisive = measured(table), table[(table.outcome != "tie") & (table.score_first != table.score_second)]
    right = (decisive.margin > 0) == (decisive.score_first > decisive.score_second)
    assert found.n["accuracy"] == len(decisive) and 0 < found.n["cycles"] <= 80
    assert found.value["accuracy"] == pytest.approx(right.mean())


def test_intervals_are_clustered_by_problem() -> None:
    """Copies of the pairs of a problem add no problem: the interval stays as wide as it was."""
    table = comparisons(12, skill=0.2, noise=2)
    copies = pd.concat([table] * 5)
    copies["second"] += 10 * np.repeat(np.arange(5), len(table))  # so that they are pairs of their own
    once, five = ((f.high - f.low)["accuracy"] for f in (measured(table), measured(copies)))
    assert five == pytest.approx(once, rel=1e-9) and once > 0.05


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["tie", "unparsed", "identical", "error", "first"]), max_size=6), st.booleans())
def test_degenerate_tables_give_a_note_and_no_crash(outcomes: list[str], equal: bool) -> None:
    n = len(outcomes)
    table = comparisons(1, k=2).iloc[[0] * n].assign(
        problem_id=[f"p{i % 2}" for i in range(n)], second=range(1, n + 1), log_odds_ab=None, log_odds_ba=None,
        outcome=outcomes, score_first=float(equal), score_second=1.0,
    )  # fmt: skip
    found = audit_judge(table, n_resamples=100)
    assert (found.note[found.value.isna()] != "").all()
    assert not read_judge(found).count("coins give")


def test_what_is_read_of_the_judge_follows_from_the_adjusted_p() -> None:
    said = read_judge(audit_judge(comparisons(), n_resamples=300)).splitlines()
    assert said[0].startswith("The judge prefers the better-scored") and said[0].endswith("more than coins give.")
    unsure = read_judge(audit_judge(comparisons(skill=0.0), n_resamples=300))
    assert unsure.startswith("Not told from a judge who tosses coins: it\n- ") and "than coins give" not in unsure
    several = read_judge(audit_judge(comparisons(12), n_resamples=300))
    assert "than coins give" in several and several.count("nothing is proved") == 1
    few = read_judge(audit_judge(comparisons(3), n_resamples=100))
    assert "from which nothing is concluded" in few and "coins give" not in few and "interval" not in few


def test_problems_that_are_all_alike_are_widened_and_not_believed() -> None:
    """Two triads without a cycle, of two problems: coins give that in more than half of all audits."""
    table = measured(comparisons(2, k=3, skill=0.0, length=0.2))
    cycles = table.loc["cycles"]
    assert cycles.value == 0 and cycles.low == 0 and cycles.high > 0.5 and cycles.pvalue_holm > 0.05
    always = comparisons(3).assign(log_odds_ab=1.0, log_odds_ba=1.0, margin=0.0, outcome="tie")  # no log-probabilities
    bias = measured(always).loc["position_bias"]
    assert bias.value == 1 and np.isnan(bias.low) and "all alike" in bias.note


def test_a_judge_that_names_the_first_place_is_read_as_such() -> None:
    always = comparisons(3, k=3, place=9.0)
    told = read_verdicts(always)
    assert "the attempt shown first in 18 of 18 verdicts" in told and "In 0 of 9 pairs it prefers the same" in told
    assert "tell the place and not the attempt" in told
    assert "tell the place" not in read_verdicts(comparisons(3, k=3, noise=0.0, skill=2.0))
    unread = always.assign(log_odds_ab=None, outcome="unparsed")
    assert read_verdicts(unread).startswith("No verdict of the judge could be read. 9 further pairs got no verdict")


def test_checkpoints_are_told_from_coins_together() -> None:
    rows = [audit_judge(t, n_resamples=200).query("measure == 'accuracy'").assign(budget=b, task="x")
            for b, t in ((8, comparisons()), (64, comparisons(skill=0.0)))]  # fmt: skip
    assert read_accuracy(pd.concat(rows)).endswith("told from coins at 8 tokens alone.")
    assert "at no checkpoint" in read_accuracy(rows[1]) and "nothing to compare" in read_accuracy(rows[0].head(0))


@pytest.mark.parametrize(
    ("scores", "says"),
    [([0.3, 0.1, 0.1], "index is 0.300 with it, and 0.133 without"), ([0.0, 0.5, 1.0], "Quality never falls, so"),
     ([0.5, 0.5, 0.5], "Quality never falls, so"), ([0.3, None, None], "answers at two budgets")],
)  # fmt: skip
def test_the_lesson_of_the_running_maximum_is_read_off_one_trace(scores: list[float | None], says: str) -> None:
    table = pd.DataFrame({"budget": [8, 16, 32], "score": pd.Series(scores, dtype=float)})
    assert says in read_trace(table) and ("2 answers could not be had" in read_trace(table)) == (scores[1] is None)


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
