"""How many requests a second do several Ray workers make, against one?

    python tests/benchmarks/bench_ray.py [--slots 20] [--seconds 40] [--most 4]

A local server answers every request after one second, so what is measured is whether workers get in each other's way.
Each worker has as many slots and as much to do as the one; `steady` is the rate in the middle half of the requests.
Without Ray there is nothing to measure.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench_engine import HERE, LATENCY, QUESTION
from common import options, seconds

from anytime_lib import RunConfig, Store
from anytime_lib.tools.on_ray import sweep_on_ray


def steady(url: str, folder: Path, workers: int, slots: int, n: int) -> float:
    """Requests a second of a sweep of n problems, ten requests each, in the middle half of it."""
    rows = [{"problem": QUESTION.format(i), "answer": i % 1000} for i in range(n)]
    (path := folder / "aime.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    config = RunConfig(outputs=str(folder), model="fake", base_url=url, tasks=["aime"], source=str(path),
                       pool_source="none", methods=["base"], n_problems=n, n_samples=2, budgets=[4, 8, 16, 32],
                       concurrency=slots * workers)  # fmt: skip
    wall = seconds(lambda: sweep_on_ray(config, workers=workers))
    with Store(config.folder / "store.sqlite") as store:
        ended = store.requests().query("kind in ('trace', 'answer')").created.sort_values()
    middle = ended[ended.between(ended.quantile(0.25), ended.quantile(0.75))]
    rate = len(middle) / (middle.max() - middle.min())
    print(f"{workers:>7} {slots * workers:>6} {len(ended):>5} of {n * 10:>5} {wall:>8.1f} {rate:>9.1f}", flush=True)
    return rate


def main() -> None:
    asked, rates = options(__doc__, slots=20, seconds=40.0, most=4), list[float]()
    try:
        import ray
    except ImportError:
        return print("Ray is not installed (pip install 'anytime-lib[ray]')")
    print(f"{'workers':>7} {'slots':>6} {'requests':>14} {'wall, s':>8} {'steady/s':>9}")
    for workers in range(1, asked.most + 1):
        command = [sys.executable, str(HERE / "load_server.py"), "--latency", str(LATENCY)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
                n = round(asked.slots * workers * asked.seconds / LATENCY / 10)
                with tempfile.TemporaryDirectory() as folder, ray.init(num_cpus=workers, include_dashboard=False):
                    rates.append(steady(url, Path(folder), workers, asked.slots, n))
            finally:
                server.kill()
    shares = ", ".join(f"{n} workers {rate / n / rates[0]:.0%}" for n, rate in enumerate(rates, 1))
    print(f"efficiency (of so many times one worker's rate): {shares}; target 90%")


if __name__ == "__main__":
    main()
