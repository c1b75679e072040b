"""How far is a run, how fast, and how long is left?"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from tqdm import tqdm

from anytime_lib.models.limiter import Limiter
from anytime_lib.sweep.costs import SpendLimit


class _NotebookBar(tqdm):
    """A text bar that rewrites one output of its cell, so that an executed notebook keeps its last line alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        super().__init__(*args, **{**kwargs, "ncols": 160, "file": sys.stdout})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self._handle.update({"text/plain": msg if msg is not None else str(self)}, raw=True)

    def close(self) -> None:
        if not self.disable:
            self.disable = True
            self.display()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell else None
    return found is not None and hasattr(found, "kernel")


class Progress:
    """A bar with the running total: calls in flight, tokens, dollars where they are priced, retries and why.

    It counts cells, told by `done`; with the unit `call`, the replies themselves. `limiter` and `spend_limit`
    are read for what is in flight and what has been spent, where they are given.
    """

    def __init__(
        self, title: str, total: int, show: bool = True, unit: str = "cell", *, limiter: Limiter | None = None,
        spend_limit: SpendLimit | None = None,
    ) -> None:  # fmt: skip
        self._unit, self._limiter, self._purse = unit, limiter, spend_limit
        kind = _NotebookBar if _in_notebook() else tqdm
        self._bar = kind(total=total, desc=title, unit=unit, mininterval=1.0, disable=not show, dynamic_ncols=False)
        self._start = time.perf_counter()
        self._told = 0.0
        self.tokens = self.asked = self.known = self.retries = 0
        self._last, self._until = "", 0.0

    def on_reply(self, tokens: int, cached: bool) -> None:
        self.known += cached
        self.asked += not cached
        self.tokens += tokens
        if self._unit == "call":
            self.done()
        self._tell()

    def event(self, event: Any) -> None:
        """What an endpoint tells of (`Event`: kind, seconds, words): retries show their reason and a countdown."""
        if event.kind in ("retry", "rate_limited", "server_error"):
            self.retries += 1
            self._last, self._until = event.words, time.perf_counter() + (event.seconds or 0.0)
            self._tell()

    def done(self, cells: int = 1) -> None:
        self._bar.update(cells)

    def fewer(self, cells: int) -> None:
        """Some of the total will not be done after all."""
        self._bar.total -= cells

    async def tick(self) -> None:
        """Keep the numbers and the countdown moving while nothing else does; runs until it is cancelled."""
        while not self._bar.disable and (_in_notebook() or sys.stderr.isatty()):
            await asyncio.sleep(1.0)
            self._tell()
            self._bar.refresh()

    def text(self) -> str:
        """The running total, in a few words."""
        rate = self.tokens / max(time.perf_counter() - self._start, 1e-9)
        told = [f"{self.asked} calls, {self.known} known, {self.tokens:,} tokens, {rate:.0f} tok/s"]
        if self._purse and self._purse.price and self._purse.dollars:
            told.append(f"${self._purse.dollars:.2f}")
        if self._limiter:
            told.insert(0, f"{self._limiter.in_flight}/{int(self._limiter.limit)} in flight")
        if self.retries:
            left = self._until - time.perf_counter()
            again = f", again in {left:.0f} s" if left > 0.5 else ""
            told.append(f"{self.retries} retries, last: {self._last[:60]}{again}")
        return ", ".join(told)

    def close(self) -> None:
        self._tell(always=True)
        self._bar.close()

    def _tell(self, always: bool = False) -> None:
        if not self._bar.disable and (always or time.perf_counter() > self._told + 0.5):
            self._told = time.perf_counter()
            self._bar.set_postfix_str(self.text(), refresh=False)
