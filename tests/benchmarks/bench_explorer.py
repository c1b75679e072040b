"""How long does the explorer of 10,000 cells of long traces take to write, and to open?

    python tests/benchmarks/bench_explorer.py [--problems 25] [--tokens 16000]

Each problem has 5 methods x 10 samples x 8 budgets. Opening is from the request of the page to the drawn overview, in
headless Chromium.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import options, seconds
from conftest import chromium
from crash_harness import cell

from anytime_lib import Store
from anytime_lib.tools.explorer import explore
from anytime_lib.types import Problem

METHODS, BUDGETS = ("base", "pdp", "pdp_plus", "leap", "few_shot"), [125 * 2**i for i in range(8)]
WORDS = ("so ", "then ", "hence ", "Zürich ", "17 ", "because ", "the ", "remainder ", "of ", "both ", "is ", "prime ")


def fill(store: Store, problems: list[Problem], n_tokens: int) -> None:
    rng, usage = np.random.default_rng(0), dict.fromkeys(("prompt_tokens", "cached_tokens", "seconds"), 1)
    for number, (problem, method, sample) in enumerate(itertools.product(problems, METHODS, range(10))):
        pieces = rng.choice(WORDS, n_tokens).tolist()
        ends = np.cumsum([len(piece.encode()) for piece in pieces]).tolist()
        said = {"text": "".join(pieces), "reasoning": "", "finish_reason": "length", "completion_tokens": n_tokens}
        about = {"task": "gpqa", "method": method, "model": "x", "endpoint": "e", "status": "ok", **usage}
        about |= {"completion_tokens": 9, "request": {"messages": [{"role": "user", "content": problem.text}]}}
        store.put(key=f"t{number}", kind="trace", response=said | {"ends": ends, "reasoning_tokens": 0}, **about)
        store.put(key=f"a{number}", kind="answer", response={"text": "Answer: A", "finish_reason": "stop"}, **about)
        keys = {"task": "gpqa", "method": method, "trace_key": f"t{number}", "answer_key": f"a{number}"}
        store.put_cells(cell(problem.id, sample) | keys | {"budget": b, "tokens_used": b} for b in BUDGETS)
    store.add_problems(problems)


if __name__ == "__main__":
    asked = options(__doc__, problems=25, tokens=16_000)
    with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/store.sqlite") as store:
        fill(store, [Problem(f"p{i}", "gpqa", f"question {i}", "A") for i in range(asked.problems)], asked.tokens)
        wrote, page = seconds(lambda: explore(folder)), Path(folder, "explorer.html")
        print(f"{len(store.cells()):,} cells: {page.stat().st_size / 1e6:,.0f} MB, written in {wrote:.1f} s")
        with chromium(Path(folder, "profile")) as browser:
            for _ in range(3):
                browser.get(page.as_uri())
                while not (drawn := browser.execute_script("return document.documentElement.dataset.ready")):
                    time.sleep(0.01)
                print(f"opened in {int(drawn):,} ms")
