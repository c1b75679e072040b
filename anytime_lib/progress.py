"""How far is a run, how fast, and how long is left?"""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm


class _NotebookBar(tqdm):
    """A text bar that rewrites one output of its cell, so that an executed notebook keeps its last line alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        super().__init__(*args, **{**kwargs, "ncols": 130, "file": sys.stdout})

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
    """A bar with tokens/s and time left; says at the end what was asked and what was known.

    It counts cells, told by `done`; with the unit `call`, the replies themselves.
    """

    def __init__(self, title: str, total: int, show: bool = True, unit: str = "cell") -> None:
        self._unit = unit
        kind = _NotebookBar if _in_notebook() else tqdm
        self._bar = kind(total=total, desc=title, unit=unit, mininterval=1.0, disable=not show, dynamic_ncols=False)
        self._start = time.perf_counter()
        self.tokens = self.asked = self.known = 0

    def heard(self, tokens: int, cached: bool) -> None:
        self.known += cached
        self.asked += not cached
        self.tokens += tokens
        rate = self.tokens / max(time.perf_counter() - self._start, 1e-9)
        text = f"{self.asked} calls, {self.known} known, {self.tokens:,} tokens, {rate:.0f} tok/s"
        self._bar.set_postfix_str(text, refresh=False)
        if self._unit == "call":
            self.done()

    def done(self, cells: int = 1) -> None:
        self._bar.update(cells)

    def close(self) -> None:
        self._bar.close()
