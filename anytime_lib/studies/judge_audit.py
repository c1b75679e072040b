"""Is the judge right? The model's preferences between its own attempts, held against the gold quality of both.

Everything rests on `Synthesis.comparisons`. Pairs of one problem are not independent, so every interval resamples
problems (the clustered bootstrap; Miller, arXiv 2411.00640). A measure that cannot be had is NaN with a note.

Bradley-Terry strengths: P(i beats j) = 1 / (1 + exp(s_j - s_i)), a tie as half a win of each (Bradley & Terry, "Rank
analysis of incomplete block designs", Biometrika 39, 1952).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from anytime_lib.stats.compare import FEW

Floats = NDArray[np.float64]
RIDGE = 0.1
"""Of the squared strengths: keeps them finite where an attempt wins or loses every comparison."""

CHANCE = {
    "accuracy": 0.5,
    "kappa": 0.0,
    "auc": 0.5,
    "position_bias": 0.0,
    "first_place": 0.5,
    "order_consistency": 0.5,
    "longer_wins": 0.5,
    "longer_is_better": 0.5,
    "cycles": 0.25,
    "margin_correlation": 0.0,
}
"""Each measure, with what it is where the judge tosses coins (of order consistency: where each order is a new coin)."""

_SAID = ("first", "second", "tie")


def strengths(n: int, results: Sequence[tuple[int, int, float]], ridge: float = RIDGE) -> Floats:
    """Bradley-Terry strengths of n attempts by penalised maximum likelihood.

    Args:
        results: (i, j, outcome): 1 where i won, 0 where j did, 0.5 for a tie.

    Returns:
        (n,) strengths in nats, of mean 0; zeros where nothing was compared.
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
        for sample, strength in zip(samples, strengths(len(samples), results), strict=True):
            rows.append({"problem_id": problem, "sample": sample, "score": scores[sample], "strength": strength})
    return pd.DataFrame(rows, columns=["problem_id", "sample", "score", "strength"])


def audit(
    comparisons: pd.DataFrame, *, n_resamples: int = 10_000, seed: int = 0, confidence_level: float = 0.95
) -> pd.DataFrame:
    """Every measure of one task's comparisons, on all of them and by difficulty.

    Measures: `accuracy` (the better-scored attempt is preferred; decisive pairs: both the judge and the gold scores
    prefer one), `kappa` (Cohen's, of first / second / tie, over all pairs with a verdict), `auc` (the stronger attempt
    by Bradley-Terry is the better-scored one, ties as half, over attempts at the same problem), `position_bias` (nats
    of log-odds for whichever is shown first) and `first_place` (how often it is preferred), `order_consistency` (both
    orders prefer the same attempt), `longer_wins` (the attempt with more tokens is preferred) beside
    `longer_is_better` (it is the better-scored one), `cycles` (triads A > B > C > A, of all decided triads) and
    `margin_correlation` (Spearman's, of judged and gold margin, each pair both ways round).

    Args:
        comparisons: of a `Synthesis` by `judge`, one task. A gold score that is NaN counts in no measure that needs
            it.

    Returns:
        One row per (level, measure), level "all" first: value, low, high, chance (see `CHANCE`), n (pairs, verdicts or
        triads), n_problems, note.
    """
    levels = sorted(set(comparisons.level)) if comparisons.level.nunique() > 1 else []
    parts = [("all", comparisons), *((level, comparisons[comparisons.level == level]) for level in levels)]
    return pd.concat(
        [_measured(part, n_resamples, seed, confidence_level).assign(level=level) for level, part in parts],
        ignore_index=True,
    )[["level", "measure", "value", "low", "high", "chance", "n", "n_problems", "note"]]


def _measured(table: pd.DataFrame, n_resamples: int, seed: int, confidence_level: float) -> pd.DataFrame:
    groups = [part for _, part in table.groupby("problem_id", sort=False)]
    rng, each = np.random.default_rng(seed), max(len(groups), 1)
    draws = rng.multinomial(len(groups), np.full(each, 1 / each), size=n_resamples)[:, : len(groups)]
    rows = []
    for name in CHANCE:
        if name == "margin_correlation":
            value, resampled, n, held = _correlation([_margins(g) for g in groups], draws)
        else:
            sums, ratio, size = _SUMS[name]
            parts = np.array([sums(g) for g in groups or [table]], dtype=float)[: len(groups)]
            value, resampled = float(ratio(parts.sum(axis=0))), ratio(draws @ parts)
            n, held = int(size(parts.sum(axis=0))), int(sum(size(row) > 0 for row in parts))
        low, high, note = _interval(value, resampled, n, held, confidence_level)
        rows.append({"measure": name, "value": value if n else np.nan, "low": low, "high": high,
                     "chance": CHANCE[name], "n": n, "n_problems": held, "note": note})  # fmt: skip
    return pd.DataFrame(rows)


def _interval(value: float, draws: Floats, n: int, held: int, level: float) -> tuple[float, float, str]:
    if not n:
        return np.nan, np.nan, "nothing to measure it on"
    if np.isnan(value):
        return np.nan, np.nan, "all of one kind, so it is not defined"
    if held < 2:
        return np.nan, np.nan, "one problem, so no interval"
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), ""


# Sums per problem, from which each measure follows as a ratio: resampling problems is then one matrix product.


def _graded(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of which both gold scores are known: NaN is no score, and neither better nor worse than one."""
    scores = pairs[["score_first", "score_second"]].to_numpy(dtype=float)
    return pairs[np.isfinite(scores).all(axis=1)]


def _decisive(pairs: pd.DataFrame) -> pd.DataFrame:
    pairs = _graded(pairs)
    return pairs[pairs.outcome.isin(_SAID[:2]) & (pairs.score_first != pairs.score_second)]


def _right(pairs: pd.DataFrame) -> list[float]:
    pairs = _decisive(pairs)
    return [float(((pairs.outcome == "first") == (pairs.score_first > pairs.score_second)).sum()), len(pairs)]


def _agreement_table(pairs: pd.DataFrame) -> list[float]:
    """3 x 3 counts of (judge, gold), each first, second or tie, both ways round: who comes first is chance."""
    known = _graded(pairs[pairs.outcome.isin(_SAID)])
    gold = np.select([known.score_first > known.score_second, known.score_first < known.score_second], [0, 1], 2)
    counts = np.zeros((3, 3))
    np.add.at(counts, (known.outcome.map(_SAID.index).to_numpy(dtype=int), gold), 1)
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


def _verdicts(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.dropna(subset=["log_odds_ab", "log_odds_ba"])


def _position(pairs: pd.DataFrame) -> list[float]:
    known = _verdicts(pairs)
    return [float((known.log_odds_ab + known.log_odds_ba).sum()) / 2, len(known)]


def _first_place(pairs: pd.DataFrame) -> list[float]:
    said = _verdicts(pairs)[["log_odds_ab", "log_odds_ba"]].to_numpy(dtype=float)
    return [float((said > 0).sum() + (said == 0).sum() / 2), said.size]


def _consistent(pairs: pd.DataFrame) -> list[float]:
    known = _verdicts(pairs)
    return [float((known.log_odds_ab * known.log_odds_ba < 0).sum()), len(known)]


def _longer(decided: Callable[[pd.DataFrame], pd.Series]) -> Callable[[pd.DataFrame], list[float]]:
    """How often the attempt with more tokens is the one that `decided` (+1 first, -1 second, 0 neither) names."""

    def sums(pairs: pd.DataFrame) -> list[float]:
        way = decided(pairs)
        longer = np.sign(pairs.tokens_first - pairs.tokens_second)
        told = (way != 0) & (longer != 0)
        return [float((way[told] == longer[told]).sum()), float(told.sum())]

    return sums


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


def _second(sums: Floats) -> float:
    return float(sums[1])


_Sums = Callable[[pd.DataFrame], list[float]]
_SUMS: dict[str, tuple[_Sums, Callable[[Floats], Floats], Callable[[Floats], float]]] = {
    "accuracy": (_right, _ratio, _second),
    "kappa": (_agreement_table, _kappa, lambda sums: float(sums.sum()) / 2),
    "auc": (_concordance, _ratio, _second),
    "position_bias": (_position, _ratio, _second),
    "first_place": (_first_place, _ratio, _second),
    "order_consistency": (_consistent, _ratio, _second),
    "longer_wins": (
        _longer(lambda p: p.outcome.map({"first": 1, "second": -1}).fillna(0)), _ratio, _second,
    ),
    "longer_is_better": (_longer(lambda p: (p.score_first - p.score_second).apply(np.sign).fillna(0)), _ratio, _second),
    "cycles": (_cycles, _ratio, _second),
}  # fmt: skip


def _margins(pairs: pd.DataFrame) -> Floats:
    """(n, 2) judged and gold margins of the pairs with a verdict."""
    known = _graded(pairs.dropna(subset="margin"))
    return np.column_stack([known.margin.astype(float), (known.score_first - known.score_second).astype(float)])


def _correlation(groups: list[Floats], draws: NDArray[np.int64]) -> tuple[float, Floats, int, int]:
    """Spearman's correlation of all pairs, and on every resample of problems."""
    whole = np.concatenate(groups) if groups else np.empty((0, 2))
    owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    both = np.concatenate([whole, -whole])
    found = [_spearman(both, np.tile(times[:, owner], 2)) for times in (np.ones((1, len(groups))), *_few(draws))]
    return float(found[0][0]), np.concatenate(found[1:]), len(whole), sum(len(g) > 0 for g in groups)


def _few(draws: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Resamples in parts, so that memory stays small."""
    return np.array_split(draws, max(1, len(draws) // 256))


def _spearman(pairs: Floats, weights: NDArray[np.float64]) -> Floats:
    """Rank correlation of (n, 2) pairs, each taken `weights` (R, n) times: (R,); NaN where a side is constant."""
    ranks = []
    for column in pairs.T:
        values, place = np.unique(column, return_inverse=True)
        counts = np.zeros((len(weights), len(values)))
        np.add.at(counts.T, place, weights.T)
        middle = np.cumsum(counts, axis=1) - counts / 2  # of the ranks that equal values share, but for a constant
        ranks.append(middle[:, place])
    n = weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (r - (weights * r).sum(axis=1, keepdims=True) / n for r in ranks)
        spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
        return np.asarray(np.where(spread > 1e-9, (weights * x * y).sum(axis=1) / spread, np.nan))


_SAYS = {
    "accuracy": "prefers the better-scored attempt in {value:.0%} of {n} decisive pairs",
    "kappa": "agrees with the gold scores at kappa {value:+.2f} over {n} pairs",
    "auc": "ranks the better-scored of two attempts higher with an AUC of {value:.2f} over {n} pairs",
    "position_bias": "leans to whichever is shown first by {value:+.2f} nats over {n} pairs",
    "first_place": "names the one shown first in {value:.0%} of {n} verdicts",
    "order_consistency": "prefers the same attempt in both orders in {value:.0%} of {n} pairs",
    "longer_wins": "prefers the longer attempt in {value:.0%} of {n} pairs",
    "longer_is_better": "would be right to prefer the longer attempt in {value:.0%} of {n} pairs",
    "cycles": "contradicts itself (A over B over C over A) in {value:.0%} of {n} triads",
    "margin_correlation": "states margins whose rank correlation with the gold margins is {value:+.2f} over {n} pairs",
}


def readings(table: pd.DataFrame, who: str = "the judge") -> list[str]:
    """One sentence per measure on all comparisons, which follows from its interval alone."""
    found = []
    row: Any
    for row in table[table.level == "all"].itertuples():
        if row.note and np.isnan(row.value):
            found.append(f"{row.measure.replace('_', ' ')}: cannot be had ({row.note}).")
            continue
        said = f"{who} " + _SAYS[row.measure].format(value=row.value, n=row.n)
        if np.isnan(row.low):
            found.append(f"{said} ({row.note}).")
            continue
        against = "above" if row.low > row.chance else "below" if row.high < row.chance else "not told apart from"
        what = "what coins would give" if row.measure != "longer_is_better" else "one half"
        few = "; with so few problems the interval is too narrow: a hint, no proof" if row.n_problems < FEW else ""
        found.append(f"{said}, interval [{row.low:.2f}, {row.high:.2f}] from {row.n_problems} problems: {against} "
                     f"{what} ({row.chance:.2f}){few}.")  # fmt: skip
    return found
