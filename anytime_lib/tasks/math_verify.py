"""What would Math-Verify have said of the same answers, and where does it disagree with `extract_integer`?

A second opinion for the audit. It changes no grade: Math-Verify reads more kinds of mathematics than an integer on an
answer line, but also numbers that are nobody's answer ("80 but will check 81 and 82" is 82 to it). An answer such as
`9^{9^{9^9}}` can keep it busy for ever or fill the memory, and its own time limit needs the main thread; so it runs in
a process of its own, with limits on time and memory, which is started again when an answer has ended it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.integers import extract_integer

KINDS = ("both right", "both wrong", "neither reads", "only ours reads", "only theirs reads", "differ", "timed out")
MEMORY = 2**30
EXCERPT = 60
_START = 120.0
_SCRIPT = Path(__file__).with_name("math_verify_worker.py")


@dataclass(frozen=True)
class Opinion:
    """Both readings of one answer.

    Attributes:
        kind: one of `KINDS`; `timed out` also when the process died of the answer.
        gold: the right integer.
        ours: what `extract_integer` reads, or None.
        theirs: what Math-Verify reads, as text of at most 40 characters (the gold integer where it takes the two to be
            equal), or None.
        seconds: how long Math-Verify took.
        excerpt: the end of the answer, at most 60 characters.
    """

    kind: str
    gold: int
    ours: int | None
    theirs: str | None
    seconds: float
    excerpt: str


def second_opinions(pairs: Sequence[tuple[str, int]], timeout: float = 5.0) -> list[Opinion]:
    """Math-Verify's and our reading of each (answer, gold integer), in order.

    Works in a notebook and from any thread. `timeout` is the seconds that Math-Verify may take over one answer.

    Raises:
        ConfigError: Math-Verify is not installed or does not start.
    """
    with MathVerify(timeout) as judge:
        return [_opinion(judge, text, gold) for text, gold in pairs]


def counts(opinions: Sequence[Opinion]) -> pd.Series[int]:
    """How many opinions there are of each kind, all kinds listed."""
    return pd.Series([o.kind for o in opinions], dtype=object).value_counts().reindex(KINDS, fill_value=0).rename("n")


def disagreements(opinions: Sequence[Opinion]) -> pd.DataFrame:
    """A row per answer on which the two disagree or Math-Verify timed out; the index is its place in `opinions`."""
    columns = ["kind", "gold", "ours", "theirs", "seconds", "excerpt"]
    rows = {i: asdict(o) for i, o in enumerate(opinions) if o.kind in KINDS[3:]}
    frame = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="place"), columns=columns)
    return frame.astype({"ours": "Int64", "theirs": "string"})


class MathVerify:
    """Math-Verify in a process of its own; use it with `with`.

    Starting takes about a second, once; an answer takes milliseconds.
    """

    def __init__(self, timeout: float = 5.0, memory: int = MEMORY) -> None:
        if timeout <= 0:
            raise ConfigError(f"the second opinion's timeout must be positive, not {timeout}")
        self.timeout, self.memory = timeout, memory
        self.process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> MathVerify:
        self.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ready(self) -> None:
        """Start the process unless it runs."""
        if self.process is None or self.process.poll() is not None:
            self._start()

    def ask(self, text: str, gold: int) -> dict[str, Any] | None:
        """`read` (text or None) and `right` of an answer; None if it took too long or the process died of it."""
        line = json.dumps({"text": text, "gold": gold}) + "\n"
        for _ in range(2):
            self.ready()
            assert self.process is not None and self.process.stdin is not None
            try:
                self.process.stdin.write(line)
                self.process.stdin.flush()
            except OSError:  # it died between two answers, so not of this one
                self._stop()
                continue
            if (reply := self._reply(self.timeout + 0.5)) is None:
                self._stop()
            return reply
        return None

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        try:
            line = self._replies.get(timeout=seconds)
        except queue.Empty:
            return None
        return json.loads(line) if line else None

    def _start(self) -> None:
        self._stop()
        self._replies = queue.Queue()
        # -P: the script's folder is not searched for imports. Its own session: a notebook's interrupt is not for it.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_SCRIPT), str(self.timeout), str(self.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
            start_new_session=True,
        )
        threading.Thread(target=_read, args=(self.process, self._replies), daemon=True).start()
        if self._reply(_START) is None:
            self._stop()
            raise ConfigError("Math-Verify does not start: install it with pip install 'math-verify[antlr4_13_2]'")

    def _stop(self) -> None:
        if self.process is None:
            return
        self.process.kill()
        with contextlib.suppress(OSError):  # what was not yet written is written when the pipe is closed
            if self.process.stdin:
                self.process.stdin.close()
        self.process.wait()
        self.process = None


def _read(process: subprocess.Popen[str], replies: queue.Queue[str]) -> None:
    """Hand on each line; an empty one at the end."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            replies.put(line)
    replies.put("")


def _opinion(judge: MathVerify, text: str, gold: int) -> Opinion:
    ours = extract_integer(text)
    judge.ready()  # outside the time taken: a new start is not this answer's doing
    start = time.perf_counter()
    reply = judge.ask(text, gold)
    seconds = time.perf_counter() - start
    theirs = None if reply is None else reply["read"]
    if theirs and re.fullmatch(r"[0-9]+", theirs):
        theirs = theirs.lstrip("0") or "0"
    if reply is None:
        kind = "timed out"
    elif theirs is None:
        kind = "neither reads" if ours is None else "only ours reads"
    elif ours is None:
        kind = "only theirs reads"
    elif str(ours) != theirs:
        kind = "differ"
    else:
        kind = "both right" if ours == gold else "both wrong"
    excerpt = " ".join(text[-2 * EXCERPT :].split())[-EXCERPT:].encode(errors="replace").decode()
    return Opinion(kind, gold, ours, theirs, seconds, excerpt)
