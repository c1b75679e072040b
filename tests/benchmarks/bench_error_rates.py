"""Do the intervals hold the truth, and do the tests cry wolf, as often as they say? A study against known truth.

Problems have a difficulty drawn from a beta distribution, and each arm its own ease on each problem around it; traces
are right or wrong at each of six budgets that double, dependent within a trace. Everything measured is the library's
own, with its defaults but for fewer resamples. Each row is one `measure` in one `world`, with n problems and N samples:

    no effect  `covers`: the 95 % interval of the judged difference holds the true one; `too high`, `too low`: it lies
               wholly above or below; `said`: "better" or "worse" is said where there is no difference; `p < .05`
    effect     `found`: the smallest difference that a large pilot of the very pair says is found in .80; `covers`
    margin     `shown, loss .05`: not worse by .05, where it is worse by just that; `shown, no loss`
    one arm    `covers`: the interval of a single arm's pooled index
    family     `said`: anything is concluded of ten methods of which none differs
    judge      `said`: any measure of a judge that tosses coins is called off chance (n pool problems, N attempts)
    draws      as `no effect`, where exemplars are drawn R times, and a draw moves the index by `of` (its standard
               deviation); N samples in all. What is true is the mean over all draws, no difference.
    effort     as `no effect`, at three levels of effort, over the mean tokens that both arms were seen to take;
               `opposite`: better at the lowest level, worse at the highest, where the axis counts most

Worlds: both arms `alike` and rising; near the `floor` (mean .05) and the `ceiling` (.95); `flat` against rising, rising
against `overthinking`, of equal index (pooled; of one sample, raw); cells `missing` at random (a tenth), and 30 % of
one arm's answers `wrong lost` at the two largest budgets, if wrong.

    nice -n 10 python tests/benchmarks/bench_error_rates.py [--repetitions 300] [--only draws] [--save]

--save writes the rows to anytime_lib/data/error_rates.csv, which notebook 08b shows, in place of those of the same
study that are judged "now": those of "before", by an earlier version that judged the pooled index, stay beside them.
"""

import datetime
import platform
from collections.abc import Callable, Iterable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import options
from scipy.optimize import brentq
from scipy.special import expit, logit

from anytime_lib.index import Floats, anytime_index
from anytime_lib.stats import conclude, estimate, noninferior
from anytime_lib.stats.compare import Comparison, compare_arrays
from anytime_lib.stats.family import Family, Member
from anytime_lib.studies.judge_audit import audit_judge
from anytime_lib.studies.planning import variance_split

BUDGETS = [64, 128, 256, 512, 1024, 2048]
RISING = np.array([0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
FLAT = np.ones(6)
FALLING = np.array([0.3, 0.6, 0.9, 1.0, 0.95, 0.9])
WORLDS = {
    "alike": (RISING, RISING, (1.0, 1.0)),
    "floor": (RISING, RISING, (0.5, 7.0)),
    "ceiling": (FLAT, FLAT, (9.5, 0.5)),
    "flat": (RISING, FLAT, (1.0, 1.0)),
    "overthinking": (RISING, FALLING, (1.0, 1.0)),
    "missing": (RISING, RISING, (1.0, 1.0)),
    "wrong lost": (RISING, RISING, (1.0, 1.0)),
}
"""Curves of baseline and treatment, as shares of a problem's final quality; the beta distribution of that."""
SPREAD = 0.5
"""Of an arm's own ease around the problem's, in logits."""
WITHIN = 0.5
"""Share of budgets at which a trace's answer follows the trace's own luck rather than a fresh one."""
N_RESAMPLES = 300
SAVED = Path(__file__).parents[2] / "anytime_lib" / "data" / "error_rates.csv"
Rows = Iterable[tuple[str, bool]]


@cache
def curves(world: str, order: str) -> Floats:
    """(2, T): the one with the larger index (pooled, or raw) is scaled down to that of the other."""
    pair = np.stack(WORLDS[world][:2])
    ends = np.asarray(anytime_index(BUDGETS, pair, running_max=order != "raw"))
    return np.asarray(pair * (ends.min() / ends)[:, None])


def ease(world: str, n: int, lifts: Floats, rng: np.random.Generator) -> Floats:
    """Each problem's final quality in each arm: (A, n), one lift in logits per arm."""
    common = logit(np.clip(rng.beta(*WORLDS[world][2], n), 1e-6, 1 - 1e-6))
    return np.asarray(expit(common + SPREAD * rng.normal(size=(len(lifts), n)) + lifts[:, None]))


def experiment(world: str, n: int, k: int, rng: np.random.Generator, lift: float = 0.0, arms: int = 2) -> Floats:
    """One experiment's scores: (A, n, N, T), right or wrong, NaN where missing; all arms but the first are treated."""
    shape = curves(world, "raw" if k == 1 else "pooled")[[0] + [1] * (arms - 1)]
    chance = ease(world, n, np.array([0.0] + [lift] * (arms - 1)), rng)[..., None, None] * shape[:, None, None]
    size = (arms, n, k, len(BUDGETS))
    luck = np.where(rng.random(size) < WITHIN, rng.random((*size[:3], 1)), rng.random(size))
    scores = (luck < chance).astype(float)
    gone = rng.random(size) < (0.1 if world == "missing" else 0.3)
    if world == "wrong lost":
        gone[0] = gone[..., :-2] = False
        gone &= scores == 0
    return np.where(gone, np.nan, scores) if world in ("missing", "wrong lost") else scores


@cache
def finals(world: str) -> Floats:
    """The problems' final quality in logits, by a large sample."""
    return np.asarray(logit(ease(world, 200_000, np.zeros(2), np.random.default_rng(99))))


@cache
def difference(world: str, lift: float, order: str = "pooled") -> float:
    """Of the indices of the two true mean curves."""
    mean = expit(finals(world) + np.array([[0.0], [lift]])).mean(axis=1)
    first, second = np.asarray(anytime_index(BUDGETS, mean[:, None] * curves(world, order), running_max=order != "raw"))
    return float(second - first)


@cache
def lift_for(world: str, wanted: float) -> float:
    return float(brentq(lambda lift: difference(world, lift) - wanted, -6, 9, xtol=1e-4))


def cells_of(scores: Floats) -> pd.DataFrame:
    """A table of cells from (A, n, N, T)."""
    method, problem, sample, budget = (i.ravel() for i in np.indices(scores.shape))
    names = np.array(["base", "pdp"])[method]
    at = {"run": "r", "model": "m", "task": "t", "problem_id": problem, "sample": sample, "method": names}
    return pd.DataFrame(at | {"budget": np.array(BUDGETS)[budget], "score": scores.ravel(), "tokens_used": 1})


@cache
def pilot(world: str, lift: float) -> Any:
    return variance_split(cells_of(experiment(world, 800, 10, np.random.default_rng(7), lift)), "base", "pdp")


def compared(scores: Floats, rng: np.random.Generator, draw: Floats | None = None) -> Comparison:
    return compare_arrays(scores, BUDGETS, n_resamples=N_RESAMPLES, seed=rng, draw=draw)


def no_effect(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    return nothing_said(compared(experiment(world, n, k, rng), rng))


def draws(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    """The treatment's sample i is of draw i mod R, which moves all problems alike."""
    n_draws, sd = int(world.split()[0]), float(world.split()[-1])
    of = np.arange(k) % n_draws
    moved = rng.normal(0, 1, n_draws)[of] * sd / (10 * difference("alike", 0.1))
    own = logit(ease("alike", n, np.zeros(2), rng))[:, :, None] + np.stack([np.zeros(k), moved])[:, None]
    chance = expit(own)[..., None] * RISING
    size = (2, n, k, len(BUDGETS))
    luck = np.where(rng.random(size) < WITHIN, rng.random((*size[:3], 1)), rng.random(size))
    return nothing_said(compared((luck < chance).astype(float), rng, of.astype(float)))


def levels(world: str, n: int, k: int, rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Scores (2, n, N, 3) at three levels of effort, and the mean tokens that each took: harder problems take more."""
    hard = rng.normal(size=(n, 1, 1))
    ease = logit([0.25, 0.5, 0.8]) - hard + np.outer([0, world == "opposite"], [1, 0, -1])[:, None, None]
    took = np.array([[200, 900, 4000], [260, 1100, 3800]])[:, None, None] * np.exp(hard)
    took = (took * np.exp(rng.normal(size=(2, n, k, 3)))).mean(axis=(0, 1, 2))
    return (rng.random((2, n, k, 3)) < expit(ease)).astype(float), [round(mean) for mean in took]


@cache
def by_levels(world: str) -> float:
    scores, took = levels(world, 400_000, 1, np.random.default_rng(99))
    return float(np.diff(np.asarray(anytime_index(took, scores.mean(axis=(1, 2)))))[0])


def effort(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    scores, took = levels(world, n, k, rng)
    found = compare_arrays(scores, took, n_resamples=N_RESAMPLES, seed=rng)
    return nothing_said(found) if world == "alike" else covered(found, by_levels(world))


def covered(found: Comparison, true: float) -> Rows:
    low, high = found.confidence_interval()
    yield from (("covers", low <= true <= high), ("too high", low > true), ("too low", high < true))


def nothing_said(found: Comparison) -> Rows:
    yield from covered(found, 0.0)
    yield from (("said", found.direction != 0), ("p < .05", found.pvalue < 0.05))


@cache
def planned(world: str, n: int, k: int) -> tuple[float, float]:
    """The smallest difference that a large pilot of the very pair says is found in .80, and the lift that makes it."""
    lift, sign = 0.0, -1 if world == "ceiling" else 1
    for _ in range(3):  # the spreads move with the difference itself
        least = sign * round(min(pilot(world, round(lift, 2)).detectable(n, k), 0.6), 4)
        lift = lift_for(world, least)
    return least, lift


def effect(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    least, lift = planned(world, n, k)
    found = compared(experiment(world, n, k, rng, lift), rng)
    low, high = found.confidence_interval()
    yield from (("covers", low <= least <= high), ("found", found.pvalue < 0.05))


def margin(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    for loss, says in ((0.05, "shown, loss .05"), (0.0, "shown, no loss")):
        yield says, noninferior(compared(experiment(world, n, k, rng, lift_for(world, -loss)), rng), 0.05).holds


def one_arm(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    scores = experiment(world, n, k, rng)[1:]
    true = expit(finals(world)[1]).mean() * curves(world, "raw" if k == 1 else "pooled")[1]
    row = estimate(cells_of(scores), n_resamples=N_RESAMPLES, seed=rng).iloc[0]
    yield "covers", row.low <= anytime_index(BUDGETS, true) <= row.high


def family(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    scores = experiment(world, n, k, rng, arms=11)
    found = {Member("r", "m", "t", "base", str(a)): compared(scores[[0, a]], rng) for a in range(1, 11)}
    yield "said", bool(conclude(Family(found, 0.05), 0.05).verdict.isin(["better", "worse", "equivalent"]).any())


def judge(world: str, n: int, k: int, rng: np.random.Generator) -> Rows:
    rows = []
    for p in range(n):
        score, tokens = rng.integers(0, 3, k) / 2, rng.integers(10, 60, k)
        for i, j in combinations(range(k), 2):
            ab, ba = rng.normal(size=2)
            said = "first" if ab > ba else "second"
            row = (p, "1", 8, i, j, tokens[i], tokens[j], ab, ba, (ab - ba) / 2, said, score[i], score[j])
            rows.append(row)
    names = ["problem_id", "level", "budget", "first", "second", "tokens_first", "tokens_second", "log_odds_ab"]
    names += ["log_odds_ba", "margin", "outcome", "score_first", "score_second"]
    table = audit_judge(pd.DataFrame(rows, columns=names), n_resamples=N_RESAMPLES, seed=int(rng.integers(2**31)))
    yield "said", bool((table.pvalue_holm < 0.05).any())


Study = Callable[[str, int, int, np.random.Generator], Rows]
STUDIES: list[tuple[Study, list[str], list[int], list[int]]] = [
    (no_effect, ["alike", "floor", "ceiling", "flat", "overthinking"], [12, 30, 198], [1, 4, 10]),
    (no_effect, ["missing", "wrong lost"], [30, 198], [4]),
    (effect, ["alike", "floor", "ceiling"], [12, 30, 198], [1, 4, 10]),
    (margin, ["alike"], [30, 100, 198], [4, 10]),
    (one_arm, ["flat", "floor", "ceiling"], [30, 198], [1, 4]),
    (family, ["alike", "flat"], [30], [4]),
    (judge, ["coins"], [6, 12, 30], [4]),
    (draws, ["1 draw of 0", "1 draw of 0.03"], [30, 198], [4]),
    (draws, ["3 draws of 0", "3 draws of 0.03"], [30, 198], [6]),
    (draws, ["5 draws of 0.03"], [198], [10]),
    (draws, ["8 draws of 0", "8 draws of 0.03"], [30, 198], [16]),
    (effort, ["alike", "opposite"], [30, 198], [1, 4]),
]


def rates(study: Study, world: str, n: int, k: int, repetitions: int) -> pd.DataFrame:
    """One row per measure: its share, and the Monte Carlo standard error of it."""
    found = [dict(study(world, n, k, rng)) for rng in np.random.default_rng([len(world), n, k]).spawn(repetitions)]
    share = pd.DataFrame(found).astype(float).mean()
    about = {"study": study.__name__.replace("_", " "), "world": world, "n": n, "N": k, "measure": share.index}
    error = np.sqrt(share * (1 - share) / repetitions).to_numpy()
    return pd.DataFrame(about | {"share": share.to_numpy(), "error": error, "repetitions": repetitions})


def main() -> None:
    args, tables = options(__doc__, repetitions=300, only="", save=False), []
    for study, worlds, sizes, samples in STUDIES:
        if args.only not in ("", study.__name__):
            continue
        for world, n, k in ((w, n, k) for w in worlds for n in sizes for k in samples):
            tables.append(rates(study, world, n, k, args.repetitions if study is not family else args.repetitions // 2))
            print(tables[-1].to_string(header=False, index=False), flush=True)
    made = f"{datetime.date.today()}, {platform.system()} {platform.machine()}, numpy {np.__version__}"
    only = f" --only {args.only}" if args.only else ""
    command = f"python tests/benchmarks/bench_error_rates.py --repetitions {args.repetitions}{only} --save"
    table = pd.concat(tables, ignore_index=True).round(4).assign(judged="now", command=command, made=made)
    if args.save:
        kept = pd.read_csv(SAVED)
        made_anew = (kept.judged == "now") & kept.study.isin(table.study)
        pd.concat([kept[~made_anew], table]).to_csv(SAVED, index=False)


if __name__ == "__main__":
    main()
