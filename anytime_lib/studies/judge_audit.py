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
_SAID = {"first": 1.0, "second": -1.0, "tie": 0.0}
"""Verdicts, as the sign of the judged margin; whatever else came out is none."""


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
    """Bradley-Terry strengths of n attempts by penalised maximum likelihood: (n,) in nats, of mean 0. Of each result,
    (i, j, sign), the sign is 1 where i won, -1 where j did, 0 for a tie."""
    i, j = (np.array([result[at] for result in results], dtype=int) for at in (0, 1))
    won = np.array([(1 + result[2]) / 2 for result in results])

    def loss(s: Floats) -> tuple[float, Floats]:
        gap = s[i] - s[j]
        value = float(np.sum(np.logaddexp(0, gap) - won * gap) + ridge / 2 * s @ s)
        slope = special.expit(gap) - won
        return value, ridge * s + np.bincount(i, slope, n) - np.bincount(j, slope, n)

    found: Floats = optimize.minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B").x
    return found - found.mean()


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
    parts, levels = _parts(comparisons), comparisons.groupby("problem_id", sort=False)["level"].first()
    groups = {"all": levels.index}
    if levels.nunique() > 1:
        groups |= {str(level): levels.index[levels == level] for level in sorted(set(levels))}
    rows = []
    for level, problems in groups.items():
        rng, n = np.random.default_rng(seed), len(problems)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float) if n else np.ones((1, 0))
        for name, part in parts.items():
            its = part.loc[problems].to_numpy(float)
            rows.append((level, name, *_measured(name, its, weights, confidence_level)))
    found = pd.DataFrame(rows, columns=["level", "measure", "value", "low", "high", "n", "n_problems", "note"])
    found.insert(5, "chance", [MEASURES[name].chance for name in found.measure])
    return found


def _measured(name: str, parts: Floats, weights: Floats, level: float) -> tuple[float, float, float, int, int, str]:
    """Value, interval, pairs or triads, problems, and a note, of a measure whose parts are (P, ...) sums by problem."""
    statistic, n = (_kappa, parts.sum(axis=1) / 2) if name == "kappa" else (_ratio, parts[:, 1])
    value, held = float(statistic(parts.sum(axis=0))), int((n > 0).sum())
    low, high, note = np.nan, np.nan, ""
    if not held:
        note = "nothing to measure it on"
    elif np.isnan(value):
        note = "all of one kind, so it is not defined"
    elif held < 2:
        note = "one problem, so no interval"
    else:
        low, high = map(float, np.nanquantile(statistic(weights @ parts), [(1 - level) / 2, (1 + level) / 2]))
    return value, low, high, int(n.sum()), held, note


def _parts(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each measure is made of, a row per problem: how much counts, of how many; for kappa the nine counts of a
    3 x 3 table. Each measure follows from their sums."""
    by = pairs.problem_id
    gold = (pairs.score_first - pairs.score_second).astype(float).apply(np.sign)
    longer = (pairs.tokens_first - pairs.tokens_second).astype(float).apply(np.sign)
    said = pairs.outcome.map(_SAID).astype(float)
    ab, ba = pairs.log_odds_ab.astype(float), pairs.log_odds_ba.astype(float)
    each = {  # a pair counts where it is not NaN
        "accuracy": _agree(said, gold),
        "position_bias": (ab + ba) / 2,
        "order_consistency": (ab * ba < 0).where((ab * ba).notna()),
        "longer_wins": _agree(said, longer),
        "longer_is_better": _agree(gold, longer),
    }
    found = {name: of.astype(float).groupby(by, sort=False).agg(["sum", "count"]) for name, of in each.items()}
    signs = [(a, b) for a in _SAID.values() for b in _SAID.values()]
    counts = [((said == a) & (gold == b)).astype(int) + ((said == -a) & (gold == -b)) for a, b in signs]
    found["kappa"] = pd.concat(counts, axis=1).groupby(by, sort=False).sum()  # both ways round: who is first is chance
    for name, count in {"auc": _concordance, "cycles": _cycles}.items():
        rows = {problem: count(part) for problem, part in pairs.groupby("problem_id", sort=False)}
        found[name] = pd.DataFrame.from_dict(rows, orient="index", columns=["sum", "count"])
    return {name: found[name] for name in MEASURES}


def _agree(first: pd.Series, second: pd.Series) -> pd.Series:
    """Whether two signs agree; NaN where either is 0 or missing."""
    return (first == second).where((first * second).abs() > 0)


def _kappa(sums: Floats) -> Floats:
    """(..., 9) counts -> (...) Cohen's kappa; NaN where both only ever say one thing."""
    counts = sums.reshape(*sums.shape[:-1], 3, 3)
    n = counts.sum(axis=(-1, -2))
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = np.trace(counts, axis1=-2, axis2=-1) / n
        by_chance = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1) / n**2
        return np.asarray(np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan))


def _ratio(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan))


def _concordance(pairs: pd.DataFrame) -> tuple[float, int]:
    """Of one problem's attempts with a verdict and a gold score, how many pairs of unequal score are ranked right by
    strength, of how many."""
    known = pairs[pairs.outcome.isin(_SAID)]
    if known.empty:
        return 0.0, 0
    scores = dict(zip(known["first"], known.score_first, strict=True))
    scores |= dict(zip(known["second"], known.score_second, strict=True))
    samples = sorted(scores)
    results = [(samples.index(a), samples.index(b), _SAID[said])
               for a, b, said in zip(known["first"], known["second"], known.outcome, strict=True)]  # fmt: skip
    strength = strengths(len(samples), results)
    score = np.array([scores[sample] for sample in samples], dtype=float)
    better = np.subtract.outer(score, score) > 0
    gap = np.subtract.outer(strength, strength)[better]
    return float(np.where(np.abs(gap) < 1e-6, 0.5, gap > 0).sum()), len(gap)


def _cycles(pairs: pd.DataFrame) -> tuple[int, int]:
    """How many of one problem's triads of attempts are cyclic, of how many whose verdicts are all decisive."""
    wins: dict[tuple[int, int], bool] = {}
    for a, b, said in zip(pairs["first"], pairs["second"], pairs.outcome, strict=True):
        if _SAID.get(said):
            wins[a, b], wins[b, a] = said == "first", said == "second"
    triads = itertools.combinations(sorted({a for a, _ in wins}), 3)
    rounds = [[wins.get(pair) for pair in ((a, b), (b, c), (c, a))] for a, b, c in triads]
    decisive = [found for found in rounds if None not in found]
    return sum(len(set(found)) == 1 for found in decisive), len(decisive)


def summaries(table: pd.DataFrame) -> list[str]:
    """One sentence per measure on all comparisons, which follows from its interval alone."""
    return [_summary(row) for row in table[table.level == "all"].itertuples()]


def _summary(row: Any) -> str:
    if np.isnan(row.value):
        return f"{row.measure.replace('_', ' ')}: cannot be had ({row.note})."
    said = f"the judge {MEASURES[row.measure].says.format(value=row.value, n=row.n)}"
    if np.isnan(row.low):
        return f"{said} ({row.note})."
    against = "above" if row.low > row.chance else "below" if row.high < row.chance else "not told apart from"
    what = "what coins would give" if row.measure != "longer_is_better" else "one half"
    few = "; with so few problems the interval is too narrow: a hint, no proof" if row.n_problems < FEW else ""
    return (
        f"{said}, interval [{row.low:.2f}, {row.high:.2f}] from {row.n_problems} problems: {against} {what} "
        f"({row.chance:.2f}){few}."
    )
