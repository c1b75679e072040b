"""Is the judge right? The model's preferences between its own attempts, held against the gold quality of both.

Every interval resamples problems (the clustered bootstrap; Miller, arXiv 2411.00640). Bradley-Terry strengths: P(i
beats j) = 1 / (1 + exp(s_j - s_i)), a tie as half a win of each ("Rank analysis of incomplete block designs",
Biometrika 39, 1952).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special

from anytime_lib.index import Floats
from anytime_lib.stats.compare import FEW

RIDGE = 0.1
"""Of the squared strengths: keeps them finite where an attempt wins or loses every comparison."""
_SAID = ("first", "second", "tie")


class Measure(NamedTuple):
    """What a measure is where the judge tosses coins, and the sentence that states it."""

    chance: float
    says: str


MEASURES = {
    "accuracy": Measure(0.5, "prefers the better-scored attempt in {value:.0%} of {n} decisive pairs"),
    "kappa": Measure(0.0, "agrees with the gold scores at kappa {value:+.2f} over {n} pairs"),
    "auc": Measure(0.5, "ranks the better-scored of two attempts higher with an AUC of {value:.2f} over {n} pairs"),
    "position_bias": Measure(0.0, "leans to whichever is shown first by {value:+.2f} nats over {n} pairs"),
    "order_consistency": Measure(0.5, "prefers the same attempt in both orders in {value:.0%} of {n} pairs"),
    "longer_wins": Measure(0.5, "prefers the longer attempt in {value:.0%} of {n} pairs"),
    "longer_is_better": Measure(0.5, "would be right to prefer the longer attempt in {value:.0%} of {n} pairs"),
    "cycles": Measure(0.25, "contradicts itself (A over B over C over A) in {value:.0%} of {n} triads"),
}
"""In the order in which they are told."""


def strengths(n: int, results: Sequence[tuple[int, int, float]], ridge: float = RIDGE) -> Floats:
    """Bradley-Terry strengths of n attempts by penalised maximum likelihood: (n,) in nats, of mean 0; zeros where
    nothing was compared. Of each result, (i, j, outcome), the outcome is 1 where i won, 0 where j did, 0.5 for a tie.
    """
    if not results:
        return np.zeros(n)
    i, j = (np.array([r[k] for r in results]) for k in (0, 1))
    won = np.array([r[2] for r in results], dtype=float)

    def loss(s: Floats) -> tuple[float, Floats]:
        gap = s[i] - s[j]
        value = float(np.sum(np.logaddexp(0, gap) - won * gap) + ridge / 2 * s @ s)
        slope, gradient = special.expit(gap) - won, ridge * s
        np.add.at(gradient, i, slope)
        np.add.at(gradient, j, -slope)
        return value, gradient

    found: Floats = optimize.minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B").x
    return found - found.mean()


def attempts_of(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Every attempt with a verdict on it at least (first, second or tie; of the others nobody knows how strong they
    are): problem_id, sample, score (gold), strength (Bradley-Terry, within its problem)."""
    rows = []
    for problem, known in comparisons[comparisons.outcome.isin(_SAID)].groupby("problem_id", sort=False):
        scores = dict(zip(known["first"], known.score_first, strict=True))
        scores |= dict(zip(known["second"], known.score_second, strict=True))
        samples = sorted(scores)
        place = {sample: i for i, sample in enumerate(samples)}
        results = [(place[a], place[b], {"first": 1.0, "second": 0.0}.get(o, 0.5))
                   for a, b, o in zip(known["first"], known["second"], known.outcome, strict=True)]  # fmt: skip
        found = zip(samples, strengths(len(samples), results), strict=True)
        rows += [(problem, sample, scores[sample], strength) for sample, strength in found]
    return pd.DataFrame(rows, columns=["problem_id", "sample", "score", "strength"])


def audit(
    comparisons: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Every measure of one task's comparisons (of a `Synthesis` by `judge`), on all of them and by difficulty.

    See `MEASURES`. A pair is decisive where both the judge and the gold scores prefer one; `kappa` is Cohen's, of first
    / second / tie; `auc` goes by Bradley-Terry strength, over attempts at the same problem, ties as half. A gold score
    that is NaN counts in no measure that needs it.

    Returns:
        One row per (level, measure), level "all" first: value (NaN where it cannot be had), low, high, chance, n (pairs
        or triads), n_problems, note.
    """
    levels = sorted(set(comparisons.level)) if comparisons.level.nunique() > 1 else []
    parts = {"all": comparisons, **{level: comparisons[comparisons.level == level] for level in levels}}
    found = {level: _measured(part, n_resamples, seed, confidence_level) for level, part in parts.items()}
    return pd.concat(found, names=["level", None]).reset_index(level=0).reset_index(drop=True)


def _measured(table: pd.DataFrame, n_resamples: int, seed: int, level: float) -> pd.DataFrame:
    sums = [_sums(part) for _, part in table.groupby("problem_id", sort=False)] or [_sums(table)]
    problems, rng = len(sums), np.random.default_rng(seed)
    weights = rng.multinomial(problems, np.full(problems, 1 / problems), size=n_resamples)
    rows = []
    for name, measure in MEASURES.items():
        parts = np.array([row[name] for row in sums], dtype=float)
        statistic = _kappa if name == "kappa" else _ratio
        n = parts.sum(axis=1) / 2 if name == "kappa" else parts[:, 1]
        value, held = float(statistic(parts.sum(axis=0))), int((n > 0).sum())
        low, high, note = _interval(value, statistic(weights @ parts), held, level)
        rows.append((name, value, low, high, measure.chance, int(n.sum()), held, note))
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "chance", "n", "n_problems", "note"])


def _interval(value: float, draws: Floats, held: int, level: float) -> tuple[float, float, str]:
    if not held:
        return np.nan, np.nan, "nothing to measure it on"
    if np.isnan(value):
        return np.nan, np.nan, "all of one kind, so it is not defined"
    if held < 2:
        return np.nan, np.nan, "one problem, so no interval"
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), ""


def _sums(pairs: pd.DataFrame) -> dict[str, list[float]]:
    """One problem's part of every measure: [what counts, of how many], for kappa the nine counts of a 3 x 3 table. Each
    measure follows from their sums."""
    pairs = pairs.reset_index(drop=True)
    graded = pairs[np.isfinite(pairs[["score_first", "score_second"]].to_numpy(dtype=float)).all(axis=1)]
    gold = (graded.score_first - graded.score_second).astype(float).apply(np.sign)
    said = pairs.outcome.map({"first": 1.0, "second": -1.0}).fillna(0.0)
    decisive = (gold != 0) & (said[graded.index] != 0)
    odds = pairs.dropna(subset=["log_odds_ab", "log_odds_ba"])
    ab, ba = odds.log_odds_ab.astype(float), odds.log_odds_ba.astype(float)
    longer = (pairs.tokens_first - pairs.tokens_second).astype(float).apply(np.sign)
    return {
        "accuracy": [float((gold == said[graded.index])[decisive].sum()), float(decisive.sum())],
        "kappa": _agreement_table(graded, gold),
        "auc": _concordance(pairs),
        "position_bias": [float((ab + ba).sum()) / 2, len(odds)],
        "order_consistency": [float((ab * ba < 0).sum()), len(odds)],
        "longer_wins": _agreeing(said, longer),
        "longer_is_better": _agreeing(gold, longer[graded.index]),
        "cycles": _cycles(pairs),
    }


def _agreeing(first: pd.Series, second: pd.Series) -> list[float]:
    """How often two signs agree, of how often neither is 0."""
    told = (first != 0) & (second != 0)
    return [float((first == second)[told].sum()), float(told.sum())]


def _agreement_table(graded: pd.DataFrame, gold: pd.Series) -> list[float]:
    """3 x 3 counts of (judge, gold), each first, second or tie, both ways round: who comes first is chance."""
    known = graded.outcome.isin(_SAID)
    judge = graded.outcome[known].map(_SAID.index).to_numpy(dtype=int)
    counts = np.zeros((3, 3))
    np.add.at(counts, (judge, gold[known].map({1.0: 0, -1.0: 1, 0.0: 2}).to_numpy(dtype=int)), 1)
    return list((counts + counts[[1, 0, 2]][:, [1, 0, 2]]).ravel())


def _kappa(sums: Floats) -> Floats:
    counts = sums.reshape(*sums.shape[:-1], 3, 3)
    n = counts.sum(axis=(-1, -2))
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = np.trace(counts, axis1=-2, axis2=-1) / n
        by_chance = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1) / n**2
        return np.asarray(np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan))


def _concordance(pairs: pd.DataFrame) -> list[float]:
    found = attempts_of(pairs)
    found = found[np.isfinite(found.score.astype(float))]
    won = n = 0.0
    for (score, strength), (other, its) in itertools.combinations(zip(found.score, found.strength, strict=True), 2):
        if score != other:
            gap = (strength - its) * (1 if score > other else -1)
            won += 0.5 if abs(gap) < 1e-6 else gap > 0
            n += 1
    return [won, n]


def _cycles(pairs: pd.DataFrame) -> list[float]:
    beats = {}
    for a, b, o in zip(pairs["first"], pairs["second"], pairs.outcome, strict=True):
        if o in _SAID[:2]:
            beats[a, b], beats[b, a] = o == "first", o == "second"
    samples = sorted({sample for pair in beats for sample in pair})
    triads = [t for t in itertools.combinations(samples, 3) if all(p in beats for p in itertools.combinations(t, 2))]
    cyclic = sum(beats[a, b] == beats[b, c] == beats[c, a] for a, b, c in triads)
    return [float(cyclic), float(len(triads))]


def _ratio(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan))


def summaries(table: pd.DataFrame, who: str = "the judge") -> list[str]:
    """One sentence per measure on all comparisons, which follows from its interval alone."""
    return [_summary(row, who) for row in table[table.level == "all"].itertuples()]


def _summary(row: Any, who: str) -> str:
    if np.isnan(row.value):
        return f"{row.measure.replace('_', ' ')}: cannot be had ({row.note})."
    said = f"{who} " + MEASURES[row.measure].says.format(value=row.value, n=row.n)
    if np.isnan(row.low):
        return f"{said} ({row.note})."
    against = "above" if row.low > row.chance else "below" if row.high < row.chance else "not told apart from"
    what = "what coins would give" if row.measure != "longer_is_better" else "one half"
    few = "; with so few problems the interval is too narrow: a hint, no proof" if row.n_problems < FEW else ""
    return (
        f"{said}, interval [{row.low:.2f}, {row.high:.2f}] from {row.n_problems} problems: {against} {what} "
        f"({row.chance:.2f}){few}."
    )
