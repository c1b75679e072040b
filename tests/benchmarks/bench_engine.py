"""How many requests a second does the engine make, against what the slots allow, a bare client loop, and inspect_ai?

    python tests/benchmarks/bench_engine.py [--seconds 24] [--peer-python PYTHON] [--only ours --slots 256]

A local server answers every request after one second, from a process of its own. Contenders take turns in processes of
their own, on the same requests: `ours`, a whole sweep (traces, four checkpoints each, graded, everything stored);
`bare`, `openai.AsyncOpenAI` in a loop with as many workers as slots; `inspect`, `inspect_ai`, where it is installed (or
in the environment of `--peer-python`). The machine may be shared, so ratios within one run are what counts. The rate is
over the whole sweep, the climb and the last stragglers included; `steady` is that of the middle half. `long` is a sweep
of traces of 16,384 tokens, streamed one by one, with seven checkpoints each. What a cell took of a core and of the disk
is told below; docs/scaling.md has it.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from common import options, seconds

HERE = Path(__file__).parent
LATENCY = 1.0
LONG = [256, 512, 1024, 2048, 4096, 8192, 16_384]
QUESTION = "What is {0} plus one? Think before you answer, and give a whole number between 0 and 999. " * 4
TURNS = (("ours", 128, 240), ("bare", 256, 150), ("ours", 256, 160), ("inspect", 256, 35), ("bare", 256, 150),
         ("long", 8, 3))  # fmt: skip
"""Contender, slots, and requests for each second that it may take."""


def bare(url: str, slots: int, n: int) -> dict[str, float]:
    import openai

    async def run() -> None:
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)
        numbers = iter(range(n))

        async def worker() -> None:
            for i in numbers:
                turns = [{"role": "user", "content": QUESTION.format(i)}]
                asked = {"messages": turns, "max_tokens": 32, "temperature": 0.7, "seed": i}
                await client.chat.completions.create(model="fake", **asked)

        await asyncio.gather(*(worker() for _ in range(slots)))
        await client.close()

    return measured(n, lambda: asyncio.run(run()))


def ours(url: str, slots: int, n: int, budgets: Sequence[int] = (4, 8, 16, 32)) -> dict[str, float]:
    from anytime_lib import RunConfig, Store, run_sweep
    from anytime_lib.sweep.plan import plan

    with tempfile.TemporaryDirectory() as folder:
        of_one = 2 * (1 + len(budgets))
        problems = max(1, round(n / of_one))
        path = Path(folder) / "aime.jsonl"
        rows = [{"problem": QUESTION.format(i), "answer": i % 1000} for i in range(problems)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        config = RunConfig(outputs=folder, model="fake", base_url=url, tasks=["aime"], source=str(path),
                           pool_source="none", methods=["base"], n_problems=problems, n_samples=2,
                           budgets=[*budgets], concurrency=slots)  # fmt: skip
        plan(config, None)  # what reads problems is imported, and they are in its cache
        result = measured(problems * of_one, lambda: run_sweep(config, progress=False))
        with Store(config.folder / "store.sqlite") as store:
            asked, cells = store.requests().query("kind in ('trace', 'answer')"), len(store.cells())
        if len(asked) != problems * of_one or cells != problems * (of_one - 2):
            raise SystemExit(f"stored {len(asked)} of {problems * 10} requests and {cells} cells")
        ended = asked.created.sort_values()
        middle = ended[ended.between(ended.quantile(0.25), ended.quantile(0.75))]
        steady = len(middle) / (middle.max() - middle.min())
        kept = (config.folder / "store.sqlite").stat().st_size / cells / 1e3
        hours = result["cpu_ms"] * len(asked) / cells / 3.6e6
        return result | {"steady": steady, "kb": kept, "cells_an_hour": 1 / hours}


def inspect(url: str, slots: int, n: int) -> dict[str, float]:
    os.environ |= {"FAKE_API_KEY": "none", "FAKE_BASE_URL": url}
    from inspect_ai import Task, eval  # type: ignore[import-not-found,unused-ignore]
    from inspect_ai.dataset import MemoryDataset, Sample  # type: ignore[import-not-found,unused-ignore]
    from inspect_ai.model import GenerateConfig, get_model  # type: ignore[import-not-found,unused-ignore]
    from inspect_ai.scorer import includes  # type: ignore[import-not-found,unused-ignore]

    model = get_model("openai-api/fake/fake", config=GenerateConfig(max_connections=slots, max_tokens=32))
    samples = MemoryDataset([Sample(input=QUESTION.format(i), target="C") for i in range(n)])

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            (log,) = eval(Task(dataset=samples, scorer=includes()), model=model, display="none", log_dir=folder,
                          max_samples=slots, max_tasks=1)  # fmt: skip
            if log.status != "success":
                raise SystemExit(f"inspect_ai: {log.status}: {log.error}")

    return measured(n, run)


def measured(n: int, run: Any) -> dict[str, float]:
    begun = time.process_time()
    wall = seconds(run)
    cpu, peak = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"requests": n, "rate": n / wall, "cpu_ms": 1e3 * cpu / n, "mb": peak}


CONTENDERS: dict[str, Any] = {"bare": bare, "ours": ours, "inspect": inspect, "long": partial(ours, budgets=LONG)}


def contest(name: str, slots: int, n: int, python: str = sys.executable) -> dict[str, float] | None:
    """One contender in a process of its own against a server of its own; None if it is not installed."""
    how = ["--latency", str(LATENCY), *["--stream"] * (name == "long")]
    server = subprocess.Popen([sys.executable, str(HERE / "load_server.py"), *how], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        done = subprocess.run([python, __file__, "--only", name, "--slots", str(slots), "--requests", str(n),
                               "--url", url], capture_output=True, text=True, check=False)  # fmt: skip
    finally:
        server.kill()
        server.wait()
    if "No module named 'inspect_ai'" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    asked = options(__doc__, seconds=24.0, peer_python=sys.executable, only="", slots=256, requests=2000, url="")
    if asked.only:
        print(json.dumps(CONTENDERS[asked.only](asked.url, asked.slots, asked.requests)))
        return
    best: dict[tuple[str, int], dict[str, float]] = {}
    print(f"{'':>12} {'requests':>9} {'rate/s':>8} {'steady/s':>9} {'CPU ms':>7} {'MB':>6}")
    for name, slots, guess in TURNS:
        python = asked.peer_python if name == "inspect" else sys.executable
        row = contest(name, slots, int(guess * asked.seconds), python)
        if row is None:
            print(f"{name:>8} {slots:>3}  not installed (pip install 'anytime-lib[bench]', or --peer-python)")
            continue
        shown = f"{row['requests']:9.0f} {row['rate']:8.1f} {row.get('steady', float('nan')):9.1f} {row['cpu_ms']:7.2f}"
        print(f"{name:>8} {slots:>3} {shown} {row['mb']:6.0f}", flush=True)
        if "kb" in row:
            print(f"{'':>12} {row['cells_an_hour']:,.0f} cells in an hour of a core, {row['kb']:.1f} kB of disk each")
        best[name, slots] = max(row, best.get((name, slots), row), key=lambda found: found["rate"])
    many = best["ours", 256]["rate"]
    print(f"ours with 128 slots: {best['ours', 128]['rate'] * LATENCY / 128:.1%} of slots/latency; target 90%")
    print(f"ours with 256 slots: {many / best['bare', 256]['rate']:.1%} of the bare loop; target 95%")
    if ("inspect", 256) in best:
        print(f"ours with 256 slots: {many / best['inspect', 256]['rate']:.1f} times inspect_ai; target 4")


if __name__ == "__main__":
    main()
