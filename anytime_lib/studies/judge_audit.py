"""Is the judge right? The model's preferences between its own attempts, held against the gold quality of both.

Every interval is t on the spread of resampled problems (the clustered bootstrap; Miller, arXiv 2411.00640), and the
measures are one family: a judge that tosses coins is called off chance in any of them in one of twenty audits.
Strengths are those by which pairs are chosen (`methods.synthesis`).
"""

import numpy as np
import pandas as pd

from anytime_lib.index import Floats
from anytime_lib.methods.synthesis import strengths
from anytime_lib.stats.bootstrap import draw_weights
from anytime_lib.stats.estimate import widen_near_limits
from anytime_lib.stats.family import bound_pvalue, holm
from anytime_lib.stats.intervals import interval, one_sided_pvalue

_SAID = {"first": 1.0, "second": -1.0, "tie": 0.0}
"""Verdicts, as the sign of the judged margin; whatever else came out is none."""
MEASURES = {
    "accuracy": 0.5,
    "auc": 0.5,
    "position_bias": 0.0,
    "order_consistency": 0.5,
    "longer_wins": 0.5,
    "longer_is_better": 0.5,
    "cycles": 0.25,
}
"""In the order in which they are told: what each is where the judge tosses coins."""


def audit_judge(
    comparisons: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Every measure of one task's comparisons (of a `Synthesis` by `judge`).

    `accuracy` is over pairs of which both the judge and the gold scores prefer one; `auc` goes by strength, over
    attempts at one problem cut at one checkpoint, ties as half; `position_bias` is in nats, and all others are shares.
    A gold score that is NaN counts in no measure that needs it.

    One row per measure of `MEASURES`: value (NaN where it cannot be had), low, high (of it alone; widened where few
    problems lie off an end of the scale; NaN where nothing tells a spread), chance, n (pairs or triads), n_problems,
    note, pvalue_holm (of "it is what coins give", adjusted for the measures).
    """
    parts, rows = _parts(comparisons), []
    weights = draw_weights(max(len(parts), 1), n_resamples, np.random.default_rng(seed))
    for name, chance in MEASURES.items():
        sums = parts[name].to_numpy()
        held = sums[:, 1] > 0
        value, n_held = float(_value(sums.sum(axis=0))), int(held.sum())
        low, high, note, pvalue = np.nan, np.nan, "", np.nan
        if np.isnan(value):
            note = "nothing to measure it on"
        elif n_held < 2:
            note = "one problem, so no interval"
        else:
            draws, shares = _value(weights @ sums), _value(sums[held])
            ends = interval(draws, value, n=n_held, confidence_level=confidence_level)
            tails = [one_sided_pvalue(sign * draws, sign * value, sign * chance, n=n_held) for sign in (1, -1)]
            pvalue = min(1.0, 2 * min(tails))
            if name != "position_bias":
                low, high, note = widen_near_limits(ends, shares, confidence_level)
                if note:  # so few problems lie off the end that their spread says little
                    bound = min(bound_pvalue(1 - shares, 1 - chance), bound_pvalue(shares, chance))
                    pvalue = max(pvalue, min(1.0, 2 * bound))
            elif ends[0] == ends[1]:  # of a letter without its probability, which says always the same
                pvalue, note = min(1.0, 2 * 0.5**n_held), "the problems are all alike, so no interval"
            else:
                low, high = map(float, ends)
        rows.append((name, value, low, high, chance, int(sums[:, 1].sum()), n_held, note, pvalue))
    names = ["measure", "value", "low", "high", "chance", "n", "n_problems", "note", "pvalue_holm"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(pvalue_holm=holm(table.pvalue_holm))


def _parts(pairs: pd.DataFrame) -> pd.DataFrame:
    """What each measure is made of, a row per problem: columns (measure, sum) and (measure, count), of their ratio."""
    ab, ba = pairs.log_odds_ab.astype(float), pairs.log_odds_ba.astype(float)
    said = pairs.outcome.map(_SAID).astype(float)
    gold = (pairs.score_first - pairs.score_second).astype(float).apply(np.sign)
    longer = (pairs.tokens_first - pairs.tokens_second).astype(float).apply(np.sign)
    each = {  # a pair counts where it is not NaN
        "accuracy": _agree(said, gold),
        "position_bias": (ab + ba) / 2,
        "order_consistency": (ab * ba < 0).where((ab * ba).notna()),
        "longer_wins": _agree(said, longer),
        "longer_is_better": _agree(gold, longer),
    }
    problems = pd.DataFrame(each, dtype=float).groupby(pairs.problem_id, sort=False)
    cuts = {problem: its.groupby("budget") for problem, its in pairs.groupby("problem_id", sort=False)}
    within = {problem: np.sum([_within(part) for _, part in its], axis=0) for problem, its in cuts.items()}
    columns = pd.MultiIndex.from_product([["auc", "cycles"], ["sum", "count"]])
    ranks = pd.DataFrame.from_dict(within, orient="index", columns=columns, dtype=float)
    return pd.concat([problems.agg(["sum", "count"]).astype(float), ranks], axis=1)


def _agree(first: pd.Series, second: pd.Series) -> pd.Series:
    """Whether two signs agree; NaN where either is 0 or missing."""
    return (first == second).where((first * second).abs() > 0)


def _value(sums: Floats) -> Floats:
    """(..., 2) sum and count -> (...) their ratio, NaN where there is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _within(pairs: pd.DataFrame) -> tuple[float, float, float, float]:
    """Of one problem's attempts at one checkpoint: how many pairs of unequal gold score are ranked right by strength,
    of how many; how many triads are cyclic, of how many whose verdicts are all decisive."""
    known = pairs[pairs.outcome.isin([*_SAID, "identical"])]
    places, samples = pd.factorize(np.concatenate([known["first"], known["second"]]), sort=True)
    (i, j), n, said = places.reshape(2, -1), len(samples), known.outcome.map(_SAID)
    score, wins = np.empty(n), np.zeros((n, n))
    strength, group = strengths(n, dict(zip(zip(i, j, strict=True), known.margin.fillna(0.0), strict=True)))
    score[i], score[j] = known.score_first, known.score_second
    linked = np.equal.outer(group, group) & (np.subtract.outer(score, score) > 0)
    gap = np.subtract.outer(strength, strength)[linked]
    right = np.where(np.abs(gap) < 1e-6, 0.5, gap > 0).sum()
    wins[i[said > 0], j[said > 0]] = wins[j[said < 0], i[said < 0]] = 1
    cyclic, decisive = (np.trace(np.linalg.matrix_power(m, 3)) for m in (wins, wins + wins.T))
    return float(right), len(gap), cyclic / 3, decisive / 6
