"""Are the answers that came with the problems of AIME 2024 and 2025 the right ones?

Copies of AIME go round with wrong answers (384 for 385) and with other wordings. So `data/aime_answers.csv` knows
each of the 60 problems by fingerprints that survive a new wording, and holds the right answer as a salted hash: no
problem and no answer stands there in the clear. A copy is taken for the same problem if it has the same numbers and
nearly the same letters (measured on other published wordings: at least half of the letters' sketch in common, and
no other problem of 1983-2025 comes near), or else if its id or address says which one it is and its numbers agree
or its letters resemble it: a new wording or a translation.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from anytime_lib.errors import DataError
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

CHECKED = range(2024, 2026)
COLUMNS = ("contest", "numbers", "sketch", "answer")
SALT = "anytime_lib aime answers v1"
ALIKE, RESEMBLES = 0.4, 0.2
_GRAM, _KEPT, _HEX = 5, 24, 6
_FIGURE = re.compile(r"\[asy\].{0,20000}?\[/asy\]", re.DOTALL | re.IGNORECASE)


def entry(contest: str, text: str, answer: int) -> dict[str, str]:
    """A row of `data/aime_answers.csv`. How the file was made, and how a test proves that it still is what it says."""
    return {
        "contest": contest,
        "numbers": _numbers(text),
        "sketch": _sketch(text),
        "answer": _hash(contest, answer),
    }


def check(problems: Sequence[Problem]) -> None:
    """Compare answers with the right ones, as far as these are known.

    A problem that says it is of a checked year, yet is none of the known ones, is logged as not compared.

    Args:
        problems: with the contest's name (`2024-I-12`) in `metadata["contest"]` where it is known.

    Raises:
        DataError: answers differ; the message names every such problem.
    """
    wrong, unknown = [], []
    for problem in problems:
        named = problem.metadata.get("contest")
        row = _by_text(problem.text) or _by_contest(problem.text, str(named))
        if row is None:
            if problem.metadata.get("year") in CHECKED:
                unknown.append(problem.id)
        elif row["answer"] != _hash(row["contest"], problem.gold):
            wrong.append(f"{problem.id} (AIME {row['contest']}) has {problem.gold}")
    if wrong:
        raise DataError(
            f"{len(wrong)} of the answers are not the right ones: {'; '.join(wrong)}: correct them, take another copy "
            "(hub#2024, hub#2025), or add the option 'unchecked' to the source if they were altered on purpose"
        )
    if unknown:
        log.warning("not compared with the right answers, for their texts are not known: %s", ", ".join(unknown))


@cache
def _by_name() -> dict[str, dict[str, str]]:
    text = files("anytime_lib.tasks").joinpath("data", "aime_answers.csv").read_text(encoding="utf-8")
    return {row["contest"]: row for row in csv.DictReader(io.StringIO(text))}


def _by_text(text: str) -> dict[str, str] | None:
    """The row of the problem that the text puts, if it is one of them."""
    sketch, numbers = _sketch(text), _numbers(text)
    alike = ((_alike(sketch, row["sketch"]), row) for row in _by_name().values() if row["numbers"] == numbers)
    likeness, best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    return best if likeness >= ALIKE else None


def _by_contest(text: str, name: str) -> dict[str, str] | None:
    """The row of that name, unless the text has nothing in common with it."""
    row = _by_name().get(name)
    if row and (row["numbers"] == _numbers(text) or _alike(_sketch(text), row["sketch"]) >= RESEMBLES):
        return row
    return None


def _hash(contest: str, answer: int) -> str:
    return hashlib.sha256(f"{SALT}:{contest}:{answer}".encode()).hexdigest()


def _plain(text: str) -> str:
    """Letters and digits alone are compared: no figure, LaTeX command, space, sign or letter case."""
    text = unicodedata.normalize("NFKC", _FIGURE.sub(" ", text))
    return re.sub(r"\\[A-Za-z]+", " ", text).lower()


def _numbers(text: str) -> str:
    numbers = sorted(set(re.findall(r"[0-9]+", _plain(text))))
    return hashlib.sha256(f"{SALT}:{numbers}".encode()).hexdigest()[:12]


def _sketch(text: str) -> str:
    """The least hashes of the text's runs of letters: of two texts, as many agree as the texts have runs in common."""
    letters = re.sub(r"[^a-z0-9]+", "", _plain(text))
    runs = {letters[i : i + _GRAM].encode() for i in range(max(1, len(letters) - _GRAM + 1))}
    return "".join(sorted({hashlib.sha256(run).hexdigest()[:_HEX] for run in runs})[:_KEPT])


def _alike(a: str, b: str) -> float:
    """An estimate of the share of runs that both texts have (Broder's bottom-k sketch of the Jaccard index)."""
    one, two = ({s[i : i + _HEX] for i in range(0, len(s), _HEX)} for s in (a, b))
    least = sorted(one | two)[:_KEPT]
    return sum(part in one and part in two for part in least) / len(least)
