"""What does one trace cut at eight budgets save, against a run of its own for each?

    python tests/benchmarks/bench_one_trace.py [--problems 3] [--budgets 32 64 96 128 160 192 224 256]

The embedded model runs the same sweep twice, in stores of their own: `mode: cut` and `mode: fresh`, the server started
anew for each. Printed are the tokens written (reasoning and answers), the seconds (from the first request to the last
reply), and which part of the prompts the server's prefix cache took. Targets: at most a third of the output
tokens and half the time.
"""

from __future__ import annotations

import tempfile
from typing import Any

from common import options

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.sweep.ledger import against_fresh, ledger_table


def run(settings: dict[str, Any], mode: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(outputs=folder, run=mode, mode=mode, **settings)
        run_sweep(config, progress=False)
        with Store(config.folder / "store.sqlite") as store:
            table, asked = ledger_table(store), store.requests()
            seconds = asked.created.max() - (asked.created - asked.seconds).min()  # without the server's start
            total, answers = table.sum(numeric_only=True), table.set_index("kind").loc["answer"]
            reckoned = against_fresh(store).fresh_reasoning_tokens.sum() if mode == "cut" else 0
    return {"seconds": seconds, "output": total.completion_tokens, "prompt": total.prompt_tokens,
            "cached": total.cached_tokens / total.prompt_tokens,
            "answers cached": answers.cached_tokens / answers.prompt_tokens,
            "reasoning": reckoned or table.set_index("kind").completion_tokens["trace"]}  # fmt: skip


def main() -> None:
    asked = options(__doc__, problems=3, budgets=[32, 64, 96, 128, 160, 192, 224, 256])
    settings = {"tasks": ["aime"], "difficulty": {"aime": [1]}, "methods": ["base"], "n_problems": asked.problems,
                "n_samples": 1, "budgets": asked.budgets, "answer_tokens": 16, "concurrency": 2}  # fmt: skip
    run(settings | {"n_problems": 1, "budgets": [2, 4], "seed": 9}, "cut")  # the weights are fetched
    cut, fresh = (run(settings, mode) for mode in ("cut", "fresh"))
    print(f"{'':>8} {'seconds':>8} {'output':>8} {'prompt':>8} {'of it cached':>13} {'of answers':>11}")
    for mode, row in (("cut", cut), ("fresh", fresh)):
        print(f"{mode:>8} {row['seconds']:8.1f} {row['output']:8.0f} {row['prompt']:8.0f} {row['cached']:13.1%} "
              f"{row['answers cached']:11.1%}")  # fmt: skip
    print(f"cut takes {cut['output'] / fresh['output']:.1%} of the output tokens (target 33%) and "
          f"{cut['seconds'] / fresh['seconds']:.1%} of the time (target 50%)")  # fmt: skip
    print(f"reasoning tokens of the fresh runs: {fresh['reasoning']:.0f}; the ledger of the cut run reckons "
          f"{cut['reasoning']:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
