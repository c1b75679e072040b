"""How long does the explorer of 10,000 cells of long traces take to write, and to open?

    python tests/benchmarks/bench_explorer.py [--problems 25] [--tokens 16000]

Each problem has 5 methods x 10 samples x 8 budgets. Opening is from the request of the page to the drawn overview, in
headless Chromium; then a problem is opened, whose texts are unpacked only then.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from common import options, seconds
from conftest import chromium
from crash_harness import cell

from anytime_lib import Store
from anytime_lib.tools.explorer import explore
from anytime_lib.types import Problem

METHODS, SAMPLES, BUDGETS = ("base", "pdp", "pdp_plus", "leap", "few_shot"), 10, [125 * 2**i for i in range(8)]
WORDS = ("so", "then", "hence", "Zürich", "17", "because", "the", "remainder", "of", "both", "is", "not", "prime")


def fill(store: Store, n_problems: int, n_tokens: int) -> int:
    rng, cells = np.random.default_rng(0), []
    usage = {"prompt_tokens": 90, "cached_tokens": 0, "completion_tokens": n_tokens, "seconds": 1.0}
    places = itertools.product([f"p{i}" for i in range(n_problems)], METHODS, range(SAMPLES))
    for number, (problem, method, sample) in enumerate(places):
        pieces = [f"{word} " for word in rng.choice(WORDS, n_tokens)]
        said = {"text": "".join(pieces), "reasoning": "", "finish_reason": "length", **usage, "reasoning_tokens": 0}
        said["ends"] = np.cumsum([len(piece.encode()) for piece in pieces]).tolist()
        about = {"task": "gpqa", "method": method, "model": "fake", "endpoint": "fake", "status": "ok"} | usage
        turns = {"messages": [{"role": "user", "content": f"question {problem}"}]}
        store.put(key=f"t{number}", kind="trace", request=turns, response=said, **about)
        for budget in BUDGETS:
            key, answer = f"a{number}-{budget}", {"text": f"Answer: {'ABCD'[budget % 4]}", "finish_reason": "stop"}
            store.put(key=key, kind="answer", request=turns, response=answer, **about)
            told = {"task": "gpqa", "method": method, "budget": budget, "tokens_used": budget, "detail": "A"}
            cells.append(cell(problem, sample) | told | {"trace_key": f"t{number}", "answer_key": key})
    store.add_problems(Problem(f"p{i}", "gpqa", f"question p{i}", "A") for i in range(n_problems))
    store.put_cells(cells)
    return len(cells)


def wait_for(browser: Any) -> None:
    while not browser.find_elements("css selector", ".trace"):
        time.sleep(0.01)


if __name__ == "__main__":
    asked = options(__doc__, problems=25, tokens=16_000)
    with tempfile.TemporaryDirectory() as folder:
        with Store(f"{folder}/store.sqlite") as store:
            n = fill(store, asked.problems, asked.tokens)
        page, ready = Path(folder, "explorer.html"), "return document.documentElement.dataset.ready"
        wrote = seconds(lambda: explore(folder))
        print(f"{n:,} cells: {page.stat().st_size / 1e6:,.0f} MB, written in {wrote:.1f} s")
        with chromium(Path(folder, "profile")) as browser:
            for _ in range(3):
                browser.get("about:blank")
                browser.get(page.as_uri())
                while not (drawn := browser.execute_script(ready)):
                    time.sleep(0.01)
                print(f"opened in {int(drawn):,} ms")
            browser.find_element("css selector", "#heat a").click()
            opened = seconds(lambda: wait_for(browser))
            print(f"a problem opened in {1000 * opened:,.0f} ms")
