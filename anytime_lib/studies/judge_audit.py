"""Is the judge right? The model's preferences between its own attempts, held against the gold quality of both.

Every interval is t on the spread of resampled problems (the clustered bootstrap; Miller, arXiv 2411.00640), and the
measures are one family: a judge that tosses coins is called off chance in any of them in one of twenty audits.
Strengths are those by which pairs are chosen (`methods.synthesis`).
"""

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.index import Floats
from anytime_lib.methods.synthesis import strengths
from anytime_lib.stats.compare import FEW
from anytime_lib.stats.family import holm
from anytime_lib.stats.intervals import interval, one_sided_pvalue

_SAID = {"first": 1.0, "second": -1.0, "tie": 0.0}
"""Verdicts, as the sign of the judged margin; whatever else came out is none."""
_SCALE = {"position_bias": (-np.inf, np.inf), "kappa": (-1.0, 1.0)}
MEASURES = {
    "accuracy": (0.5, "prefers the better-scored attempt in {value:.0%} of {n} decisive pairs"),
    "kappa": (0.0, "agrees with the gold scores at kappa {value:+.2f} over {n} pairs"),
    "auc": (0.5, "ranks the better-scored of two attempts higher with an AUC of {value:.2f} over {n} pairs"),
    "position_bias": (0.0, "leans to whichever is shown first by {value:+.2f} nats over {n} pairs"),
    "order_consistency": (0.5, "prefers the same attempt in both orders in {value:.0%} of {n} pairs"),
    "longer_wins": (0.5, "prefers the longer attempt in {value:.0%} of {n} pairs"),
    "longer_is_better": (0.5, "would be right to prefer the longer attempt in {value:.0%} of {n} pairs"),
    "cycles": (0.25, "contradicts itself (A over B over C over A) in {value:.0%} of {n} triads"),
}
"""In the order in which they are told: what it is where the judge tosses coins, and the words that state it."""


def audit(
    comparisons: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Every measure of one task's comparisons (of a `Synthesis` by `judge`), on all of them and by difficulty.

    See `MEASURES`. A pair is decisive where both the judge and the gold scores prefer one; `kappa` is Cohen's, of first
    / second / tie; `auc` goes by strength, over attempts at one problem cut at one checkpoint, ties as half. A gold
    score that is NaN counts in no measure that needs it.

    One row per (level, measure), level "all" first: value (NaN where it cannot be had), low, high (of it alone),
    chance, n (pairs or triads), n_problems, note, pvalue_holm (of "it is what coins give", adjusted for the measures).
    """
    parts, levels = _parts(comparisons), comparisons.groupby("problem_id", sort=False)["level"].first()
    groups = {"all": levels.index}
    if levels.nunique() > 1:
        groups |= {str(level): its.index for level, its in levels.groupby(levels)}
    rows, names = [], ["level", "measure", "value", "low", "high", "chance", "n", "n_problems", "note", "pvalue_holm"]
    for level, problems in groups.items():
        rng, n = np.random.default_rng(seed), len(problems)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float) if n else np.ones((1, 0))
        for name, (chance, _) in MEASURES.items():
            sums = parts.loc[problems, ["kappa", "judge_tied", "gold_tied"] if name == "kappa" else [name]].to_numpy()
            value, held = float(_value(sums.sum(axis=0))), int((sums[:, 1] > 0).sum())
            low, high, note, pvalue = np.nan, np.nan, "", np.nan
            if np.isnan(value):
                note = "nothing to measure it on"
            elif held < 2:
                note = "one problem, so no interval"
            else:
                draws = _value(weights @ sums)
                ends = interval(draws, value, n=held, confidence_level=confidence_level)
                low, high = np.clip(ends, *_SCALE.get(name, (0.0, 1.0)))
                below, above = (one_sided_pvalue(s * draws, s * value, s * chance, n=held) for s in (1, -1))
                pvalue = min(1.0, 2 * min(below, above))
                if low == high:  # nothing to go by but how rarely coins would fall alike on all of them
                    pvalue, note = min(1.0, 2 * max(chance, 0.5, 1 - chance) ** held), "the problems are all alike"
            rows.append((level, name, value, low, high, chance, int(sums[:, 1].sum()), held, note, pvalue))
    table = pd.DataFrame(rows, columns=names)
    return table.assign(pvalue_holm=table.groupby("level").pvalue_holm.transform(holm))


def _parts(pairs: pd.DataFrame) -> pd.DataFrame:
    """What each measure is made of, a row per problem: columns (measure, sum) and (measure, count), of their ratio."""
    ab, ba = pairs.log_odds_ab.astype(float), pairs.log_odds_ba.astype(float)
    said = pairs.outcome.map(_SAID).astype(float)
    gold = (pairs.score_first - pairs.score_second).astype(float).apply(np.sign)
    longer = (pairs.tokens_first - pairs.tokens_second).astype(float).apply(np.sign)
    both = (said + gold).notna()
    each = {  # a pair counts where it is not NaN
        "accuracy": _agree(said, gold),
        "kappa": (said == gold).where(both),
        "judge_tied": (said == 0).where(both),
        "gold_tied": (gold == 0).where(both),
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
    """(..., 2) sum and count -> (...) their ratio; of (..., 6), agreements and the ties of either, Cohen's kappa, both
    ways round, since who is first is chance. NaN where there is nothing, or nothing but ties."""
    agreed, n, *ties = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not ties:
            return np.asarray(agreed / n)
        by_chance = 2 * ties[0] * ties[2] + (n - ties[0]) * (n - ties[2])  # of 2 n^2
        return np.asarray((2 * n * agreed - by_chance) / (2 * n**2 - by_chance))


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


def summaries(table: pd.DataFrame) -> list[str]:
    """One sentence per measure on all comparisons, which follows from its p-value within the family of measures."""
    return [_summary(row) for row in table[table.level == "all"].itertuples()]


def _summary(row: Any) -> str:
    if np.isnan(row.value):
        return f"{row.measure.replace('_', ' ')}: cannot be had ({row.note})."
    said = f"the judge {MEASURES[row.measure][1].format(value=row.value, n=row.n)}"
    if row.n_problems < 2:
        return f"{said} ({row.note})."
    told = "above" if row.value > row.chance else "below"
    against = told if row.pvalue_holm < 0.05 else "not told apart from"
    few = "; with so few problems a hint, no proof" if row.n_problems < FEW else ""
    said += f", interval [{row.low:.2f}, {row.high:.2f}] from {row.n_problems} problems: {against} what coins would "
    return f"{said}give ({row.chance:.2f}; p = {row.pvalue_holm:.2g} among all measures){few}."
