"""Does the whole pipeline find a truth that is known, and how fast is it without a model?

    python tests/benchmarks/bench_pipeline.py [--repetitions 40] [--problems 30] [--samples 4] [--effect 2.0]

The simulated respondent is swept as any model is: traces, cuts, forced answers, grades, store, comparison. First once,
200 problems x 8 samples x 8 budgets: seconds, and how far the curve lies from `truth` in standard errors. Then many
small studies of base against pdp, each on problems and samples of its own, without an effect of pdp and with one: how
often the default 95 % interval of the difference in index holds the truth over all problems (`population_curve`), and
how often p < .05. With 40 repetitions a share is good to about .035; 400 take some minutes and are good to .011.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np

from anytime_lib import RunConfig, anytime_index, run_sweep
from anytime_lib.index import quality_array
from anytime_lib.models.simulated import simulation_of
from anytime_lib.stats import compare
from anytime_lib.studies.calibration import truth

BUDGETS = [16, 32, 64, 128, 256, 512]


def one_sweep() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(model="simulated", outputs=folder, tasks=["aime"], methods=["base"], n_problems=200,
                           n_samples=8, concurrency=64, budgets=[16, 32, 64, 128, 256, 512, 1024, 2048])  # fmt: skip
        start = time.perf_counter()
        cells = run_sweep(config, progress=False)
        seconds = time.perf_counter() - start
        quality, problems, _ = quality_array(cells)
        true = truth(config, "aime")
        quality = quality[[problems.index(p) for p in true.problems]]
        error = np.sqrt(quality.var(axis=1, ddof=1).mean(axis=0) / (200 * 8))
        z = (quality.mean(axis=(0, 1)) - true.curve) / error
        print(f"200 problems x 8 samples x 8 budgets: {seconds:.1f} s; curve from truth, in standard errors: "
              f"{np.round(z, 1).tolist()}")  # fmt: skip


def studies(effect: float, repetitions: int, n: int, k: int) -> None:
    settings = {"effects": {"pdp": effect}, "doubt": 0.0}
    simulation = simulation_of(settings)
    true = [anytime_index(BUDGETS, simulation.population_curve(BUDGETS, e)) for e in (1.0, effect)]
    difference = float(true[1] - true[0])
    held, found, errors = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(repetitions):
            config = RunConfig(model="simulated", simulated=settings, outputs=folder, run=f"study-{effect}-{seed}",
                               tasks=["aime"], methods=["base", "pdp"], n_problems=n, n_samples=k, budgets=BUDGETS,
                               pool_problems=2, pool_samples=2, concurrency=64, seed=seed)  # fmt: skip
            cells = run_sweep(config, progress=False)
            result = compare(cells, baseline="base", treatment="pdp", n_resamples=1_000, seed=seed)
            low, high = result.confidence_interval()
            held += low <= difference <= high
            found += result.pvalue < 0.05
            errors.append(result.statistic - difference)
    print(f"effect x{effect:g} (index {true[0]:.3f} -> {true[1]:.3f}), {n} problems x {k} samples, {repetitions} "
          f"studies: interval holds the truth in {held / repetitions:.3f}, p < .05 in {found / repetitions:.3f}, mean "
          f"error {np.mean(errors):+.4f} (standard error {np.std(errors) / np.sqrt(repetitions):.4f})")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--effect", type=float, default=2.0)
    asked = parser.parse_args()
    one_sweep()
    for times in (1.0, asked.effect):
        studies(times, asked.repetitions, asked.problems, asked.samples)
