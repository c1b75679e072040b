"""How are lists and a small number of problems worded, alike in every reading?"""

import textwrap
from collections.abc import Iterable

from anytime_lib.plots.style import count
from anytime_lib.stats.compare import FEW


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *rest, last = parts
    return f"{', '.join(rest)} and {last}" if rest else last


def few(n_problems: int) -> str:
    """A sentence to put behind a reading of fewer than `FEW` problems, with a space before it; else nothing."""
    return f" With {count(n_problems, 'problem')} nothing is proved." if n_problems < FEW else ""


def say(*texts: str) -> None:
    """Print sentences, each on lines of its own of at most 100 letters, broken between words."""
    for line in "\n".join(texts).splitlines():
        print(textwrap.fill(line, 100, break_long_words=False, break_on_hyphens=False))
