"""How far is a run, how fast, and how long is left?"""

from __future__ import annotations

import time

from tqdm import tqdm

from anytime_lib.models.limiter import Limiter
from anytime_lib.sweep.costs import SpendLimit


class Progress:
    """A bar of cells with the running total: calls in flight, tokens, dollars where they are priced, retries."""

    def __init__(
        self, title: str, show: bool, limiter: Limiter | None = None, spend_limit: SpendLimit | None = None
    ) -> None:
        self._bar = tqdm(desc=title, unit="cell", mininterval=1.0, delay=0.5, disable=not show)
        self._start = self._told = time.monotonic()
        self.limiter, self.spend_limit, self._last = limiter, spend_limit, ""
        self.tokens = self.asked = self.known = self.retries = 0

    def expect(self, cells: int) -> None:
        self._bar.total = cells

    def on_reply(self, tokens: int, cached: bool) -> None:
        self.known += cached
        self.asked += not cached
        self.tokens += tokens
        self.done(0)

    def retry(self, why: str) -> None:
        """A request is tried again."""
        self.retries += 1
        self._last = f", last: {why[:60]}"

    def done(self, cells: int) -> None:
        self._bar.update(cells)
        if time.monotonic() > self._told + 1:
            self._told = time.monotonic()
            self._bar.set_postfix_str(self.text())

    def text(self) -> str:
        """The running total, in a few words."""
        rate = self.tokens / max(time.monotonic() - self._start, 1e-9)
        told = [f"{self.asked} calls, {self.known} known, {self.tokens:,} tokens, {rate:.0f} tok/s"]
        if self.spend_limit and self.spend_limit.dollars:
            told.append(f"${self.spend_limit.dollars:.2f}")
        if self.limiter:
            slots = self.limiter.slots
            told.insert(0, f"{slots.borrowed_tokens}/{slots.total_tokens} in flight")
        return ", ".join(told) + (f", {self.retries} retries{self._last}" if self.retries else "")

    def close(self) -> None:
        self._bar.set_postfix_str(self.text())
        self._bar.close()
