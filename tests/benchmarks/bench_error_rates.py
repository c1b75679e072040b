"""Do the intervals hold the truth, and do the tests cry wolf, as often as they say? A study against known truth.

Problems have a difficulty drawn from one of several shapes, and each arm its own ease on each problem around it; traces
are right or wrong at each of six budgets, dependent within a trace. Everything measured is the library's own, with its
defaults but for 1,000 resamples. For each number of problems n, samples K and shape:

    coverage  of the default 95 % interval of the difference in Anytime Index, with and without an effect; the truth is
              the difference of the indices of the true mean curves. `percentile` is read off the same draws
    alarms_p  share of experiments without effect that have p < .05; `disagree`: where that p-value and the interval
              say different things
    family    share of experiments without effect in which any of 3 methods against one baseline is significant (Holm)
    power     share found, by the index without maximum, with the effect in mean quality that `min_detectable_effect`
              says is found in 80 %; `power_pooled` by the index with the pooled maximum, which makes noise of its own

In all of these both arms have a curve of the same shape. The adverse part (`ADVERSE`, the column `shape_of_curves`) has
others: equal true (pooled) indices, and both arms near the ceiling. There `coverage` and `bias` (the mean
difference less the true one) are of the pooled index, `.._raw` and `.._crossfit` of those, each by its own truth.

    nice -n 10 python tests/benchmarks/bench_error_rates.py [--repetitions 2000] [--save]

--save writes the table to anytime_lib/data/error_rates.csv, which notebook 08 shows. One process.
"""

import datetime
import itertools
import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import options
from scipy.optimize import brentq
from scipy.special import expit, logit

from anytime_lib.index import Floats
from anytime_lib.stats import min_detectable_effect
from anytime_lib.stats.bootstrap import CurveStatistic, index_of
from anytime_lib.stats.compare import compare_arrays
from anytime_lib.stats.family import holm

BUDGETS = [64, 128, 256, 512, 1024, 2048]
RISING = np.array([0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
FALLING = np.array([0.3, 0.6, 0.9, 1.0, 0.95, 0.9])
"""Overthinking: the running maximum matters, and is biased. Shown, not promised."""
FLAT = np.ones(6)
SHAPES = {"uniform": (1.0, 1.0), "bimodal": (0.4, 0.4), "hard": (0.4, 1.6), "easy": (99.0, 1.0)}
PROMISED_SHAPES = ("uniform", "bimodal", "hard")
ADVERSE = {
    "flat against rising": (FLAT, RISING, PROMISED_SHAPES),
    "rising against overthinking": (RISING, FALLING, PROMISED_SHAPES),
    "both near the ceiling": (FLAT, FLAT, ("easy",)),
}
"""Curves of the two arms, of which the one with the larger index is scaled down to that of the other; shapes."""
SAME = "same in both arms"
SPREAD = 0.5
"""Of an arm's own ease around the problem's, in logits."""
WITHIN = 0.5
"""Share of budgets at which a trace's answer follows the trace's own luck rather than a fresh one."""
N_RESAMPLES = 1_000
SAVED = Path(__file__).parents[2] / "anytime_lib" / "data" / "error_rates.csv"


def ease(shape: str, n: int, lifts: Floats, rng: np.random.Generator) -> Floats:
    """Each problem's final quality in each arm: (A, n), one lift in logits per arm."""
    common = logit(np.clip(rng.beta(*SHAPES[shape], n), 1e-6, 1 - 1e-6))
    return np.asarray(expit(common + SPREAD * rng.normal(size=(len(lifts), n)) + np.asarray(lifts)[:, None]))


def experiment(shape: str, n: int, k: int, lifts: Floats, rng: np.random.Generator, curve: Floats = RISING) -> Floats:
    """One experiment's scores: (A, n, K, T), right or wrong. `curve`: (T,), or (A, 1, 1, T) of each arm its own."""
    chance = ease(shape, n, lifts, rng)[:, :, None, None] * curve
    size = (len(lifts), n, k, curve.shape[-1])
    luck = np.where(rng.random(size) < WITHIN, rng.random((*size[:3], 1)), rng.random(size))
    return np.asarray((luck < chance).astype(float))


@dataclass
class Truth:
    """The population an experiment is drawn from, by a large sample of problems."""

    shape: str
    curve: Floats

    @cached_property
    def logits(self) -> Floats:
        return np.asarray(logit(ease(self.shape, 200_000, np.zeros(2), np.random.default_rng(99))))

    def difference(self, lift: float) -> float:
        """Of the indices of the two true mean curves."""
        mean = expit(np.add(self.logits, [[0.0], [lift]])).mean(axis=1)
        first, second = np.atleast_1d(index_of().of(np.maximum.accumulate(mean[:, None] * self.curve, axis=1), BUDGETS))
        return float(second - first)

    def lift_for(self, difference: float) -> float:
        return float(brentq(lambda lift: self.difference(lift) - difference, 0, 6, xtol=1e-4))

    def spreads(self, lift: float) -> tuple[float, float]:
        """sd_between and sd_within of a trace's index, as `min_detectable_effect` takes them."""
        rng = np.random.default_rng(98)
        chance = ease(self.shape, 20_000, np.array([0.0, lift]), np.random.default_rng(99))
        weight = np.asarray([index_of("raw").of(row, BUDGETS) for row in np.eye(len(BUDGETS))]) @ self.curve
        between = float(np.std((chance[1] - chance[0]) * weight))
        scores = experiment(self.shape, 20_000, 2, np.array([0.0, lift]), rng, self.curve)
        traces = np.asarray(index_of("raw").of(scores, BUDGETS))
        return between, float(np.sqrt(np.mean((traces[..., 0] - traces[..., 1]) ** 2) / 2))


def study(n: int, k: int, shape: str, repetitions: int, seed: int = 0, curve: Floats = RISING) -> dict[str, Any]:
    """All rates of one cell of the study; the figures of the module's docstring."""
    truth, lift = Truth(shape, curve), 0.0
    for _ in range(3):  # the spreads move a little with the effect itself
        between, within = truth.spreads(lift)
        effect = float(min_detectable_effect(n, k, sd_between=between, sd_within=within))
        lift = truth.lift_for(effect)
    exact = truth.difference(lift)
    hits: list[dict[str, Any]] = []
    for rng in np.random.default_rng([seed, n, k]).spawn(repetitions):
        draws: dict[str, Any] = {"n_resamples": N_RESAMPLES, "seed": rng}
        null = experiment(shape, n, k, np.zeros(4), rng, curve)
        found = [compare_arrays(null[[0, a]], BUDGETS, index_of(), **draws, with_raw=False) for a in (1, 2, 3)]
        low, high = found[0].confidence_interval()
        alarm = found[0].pvalue < 0.05
        arms = experiment(shape, n, k, np.array([0.0, lift]), rng, curve)
        seen = compare_arrays(arms, BUDGETS, index_of(), **draws)
        assert seen.raw is not None
        ends, percentiles = seen.confidence_interval(), np.nanquantile(seen.draws, [0.025, 0.975])
        hits.append({
            "alarms_p": alarm, "coverage_null": low <= 0 <= high, "disagree": alarm != (not low <= 0 <= high),
            "family": holm([c.pvalue for c in found]).min() < 0.05, "power": seen.raw.pvalue < 0.05,
            "power_pooled": seen.pvalue < 0.05, "coverage": ends.low <= exact <= ends.high,
            "percentile": percentiles[0] <= exact <= percentiles[1],
        })  # fmt: skip
    about = {"n": n, "K": k, "shape": shape, "effect": effect, "repetitions": repetitions}
    return about | pd.DataFrame(hits).mean().to_dict()


def adverse(n: int, k: int, shape: str, curves: tuple[Floats, Floats], repetitions: int) -> dict[str, Any]:
    """Coverage where the arms' curves differ in shape and not in their true index: (T,) twice, baseline first."""
    ends = np.array([index_of("raw").of(np.maximum.accumulate(c), BUDGETS) for c in curves])
    pair = np.stack([c * ends.min() / end for c, end in zip(curves, ends, strict=True)])
    final = ease(shape, 200_000, np.zeros(1), np.random.default_rng(99)).mean()
    raw = np.atleast_1d(index_of("raw").of(final * pair, BUDGETS))
    exact = {"pooled": 0.0, "raw": float(raw[1] - raw[0]), "crossfit": 0.0}
    if k == 1:
        del exact["crossfit"]
    rows: list[dict[str, Any]] = []
    for rng in np.random.default_rng([0, n, k]).spawn(repetitions):
        arms, row = experiment(shape, n, k, np.zeros(2), rng, pair[:, None, None, :]), {}
        for order, truth in exact.items():
            of: CurveStatistic = index_of(order)  # type: ignore[arg-type]
            seen = compare_arrays(arms, BUDGETS, of, n_resamples=N_RESAMPLES, seed=rng, with_raw=False)
            name, (low, high) = order.replace("pooled", ""), seen.confidence_interval()
            row |= {f"coverage_{name}": low - 1e-12 <= truth <= high + 1e-12, f"bias_{name}": seen.statistic - truth}
            if order == "pooled":
                low, high = np.nanquantile(seen.draws, [0.025, 0.975])
                row |= {"percentile": low - 1e-12 <= truth <= high + 1e-12, "alarms_p": seen.pvalue < 0.05}
        rows.append({which.rstrip("_"): value for which, value in row.items()})
    about = {"n": n, "K": k, "shape": shape, "effect": 0.0, "repetitions": repetitions}
    return about | pd.DataFrame(rows).astype(float).mean().to_dict()


def main() -> None:
    args, rows = options(__doc__, repetitions=2_000, save=False), []
    for n, k, shape in itertools.product((30, 198), (1, 4, 10), PROMISED_SHAPES):
        rows.append(study(n, k, shape, args.repetitions) | {"curve": "rising", "shape_of_curves": SAME})
    for n in (30, 198):
        found = study(n, 4, "uniform", args.repetitions, curve=FALLING)
        rows.append(found | {"curve": "overthinking", "shape_of_curves": SAME})
    for name, (one, other, shapes) in ADVERSE.items():
        for n, k, shape in itertools.product((30, 198), (1, 4), shapes):
            found = adverse(n, k, shape, (one, other), args.repetitions)
            rows.append(found | {"curve": "adverse", "shape_of_curves": name})
    table = pd.DataFrame(rows).round(4).assign(
        command=f"python tests/benchmarks/bench_error_rates.py --repetitions {args.repetitions} --save",
        date=datetime.date.today().isoformat(),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}",
    )  # fmt: skip
    print(table.iloc[:, :-3].to_string())
    if args.save:
        table.to_csv(SAVED, index=False)


if __name__ == "__main__":
    main()
