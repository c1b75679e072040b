"""Which AIME problems does a file, a hub set or a `datasets.Dataset` in one of the usual layouts hold?

Sources: `PATH`, `hub#YEARS`, `hub:OWNER/NAME`, each with options after `#`: years (`2024`, `1983-2023`), and
`config=`, `split=`, `revision=` of a hub set. Copies with wrong answers go round (384 for 385), so those of 2024 and
2025 are compared with the right ones, each by its contest's name where a row tells it, else a whole year's together.
`data/aime_answers.csv` holds them as salted hashes, none in the clear.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.sources import dataset_rows, hub_error, read_table, split_source
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

TEXTS = ("prompt", "problem", "Problem", "question", "Question")
ANSWERS = ("answer", "Answer", "expected_answer", "solution_answer", "solution")
IDS = ("id", "ID", "problem_id", "problem_idx")
ANSWERS_FILE = Path(__file__).with_name("data") / "aime_answers.csv"
_INSTRUCTION = re.compile(r"(?i)\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*\Z")
# `2024-I-3`, `1983-1`, and the wiki's `2024_AIME_II_Problems/Problem_3`.
_CONTEST = re.compile(r"((?:19|20)\d\d)[-_ ](?:AIME[-_ ])?(?:(I{1,2})[-_ ])?(?:Problems/Problem[-_ ])?(\d{1,2})\Z")
# 25, 25.0 (a CSV column with gaps), "025", "$25$", `\boxed{25}`, `25^\circ`.
_GOLD = re.compile(r"\s*\$?\s*(?:\\boxed\s*\{)?\s*(\d{1,3})(?:\.0{1,9})?\s*(?:\^\\circ)?\}?\s*\$?\s*")
# The copies on the hub that are kept best: name, commit, and the years to take. The first lacks 56 of its years' 975
# problems, and holds only half of 2024.
HUB = (
    ("gneubig/aime-1983-2024", "5d610df981dec508dd93d0a16333a029ac1739d8", range(1983, 2024)),
    ("HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a", range(2024, 2025)),
    ("MathArena/aime_2025", "c94da77eb22bbd6439e62a323bec18493a421302", range(2025, 2026)),
)


def read(source: Any) -> list[Problem]:
    """Every problem of a source, in its order; a row that only repeats an earlier one is left out.

    `metadata` holds `source` and `row`, and where they are known `year`, `contest` (`2024-I-12`) and `revision`.
    ConfigError where the source is not of the form above, DataError where it cannot be read or an answer is wrong.
    """
    if not isinstance(source, str | Path):
        return _checked(_problems(dataset_rows(source), "dataset", {"source": "dataset"}))
    spans = {text: range(int(text[:4]), int(text[-4:]) + 1) for text in re.findall(r"\d{4}(?:-\d{4})?", str(source))}
    of_hub = ("config", "split", "revision") if str(source).startswith("hub:") else ()
    place, options = split_source(source, ["1983-2025", *spans, *of_hub])
    years = [year for option in options for year in spans.get(option, ())]
    if place == "hub":
        found = _of_best_copies(years)
    elif place.startswith("hub:"):
        found = _of_hub(place.removeprefix("hub:"), options)
    else:
        rows = read_table(place, ", hub#YEARS or hub:OWNER/NAME (or left out for the ladder)")
        found = _problems(rows, place, {"source": Path(place).name})
    if years and not (found := [p for p in found if p.metadata.get("year") in years]):
        raise DataError(f"{source} has no problem of the years asked for")
    return _checked(found)


def _of_best_copies(years: Sequence[int]) -> list[Problem]:
    """Those years' problems in the sets of `HUB`, under their contests' names."""
    if not years or not {*years} <= {*range(1983, 2026)}:
        raise ConfigError("name the years: hub#2024, hub#2025 or a range such as hub#1983-2023")
    found = []
    for name, commit, held in HUB:
        if {*held} & {*years}:
            problems = _of_hub(name, {"revision": commit}, held)
            found += [
                replace(p, id=p.metadata.get("contest", p.id)) for p in problems if p.metadata.get("year") in held
            ]
    return found


def _of_hub(name: str, options: Mapping[str, str], years: Sequence[int] = ()) -> list[Problem]:
    """The problems of a hub set, at the commit that a revision (by default the newest) stands for."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    revision = options.get("revision")
    try:
        # The commit is asked for first and then loaded, so that what is recorded is what was read.
        commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision or "") else None
        commit = commit or HfApi().dataset_info(name, revision=revision).sha or "unknown"
        split = options.get("split", "train")
        rows = load_dataset(name, options.get("config"), split=split, revision=commit).to_list()
    except Exception as error:  # of the hub's client, its transport or the readers: a dozen types, one answer each
        raise hub_error(name, error) from error
    return _problems(rows, name, {"source": f"hub:{name}", "revision": commit}, years)


def _problems(
    rows: Sequence[Mapping[str, Any]], place: str, origin: Mapping[str, Any], years: Sequence[int] = ()
) -> list[Problem]:
    """The problems in the rows of `place`; `years`, if it is one, is the year of rows that name none."""
    columns = {name: None for row in rows for name in row}
    text, answer, key = (next(filter(columns.__contains__, names), None) for names in (TEXTS, ANSWERS, IDS))
    if text is None or answer is None:
        wanted = f"one of {', '.join(TEXTS)}, and one of {', '.join(ANSWERS)}"
        raise DataError(f"{place} needs columns with texts and answers: {wanted}; it has {', '.join(columns)}")
    years = years or [int(year) for year in re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", Path(place).name)]
    found: dict[str, Problem] = {}
    for number, row in enumerate(rows, 1):
        where, said, gold = f"row {number} of {place}", row[text], str(row[answer])
        if re.match(r"\s*\d{1,3} or \d{1,3}\b", gold):
            # 2022-II-8, where both were accepted: an answer cannot be judged by one integer.
            log.warning("%s is left out: two answers to it were accepted, %s", where, gold[:60])
            continue
        integer = _GOLD.fullmatch(gold)
        if integer is None or not isinstance(said, str) or not (said := _INSTRUCTION.sub("", said).strip()):
            raise DataError(f"{where} has no text, or its answer is no integer from 0 to 999: {gold[:60]!r}")
        name = f"{Path(place).stem}-{number}" if key is None or row[key] is None else str(row[key])
        metadata = {**origin, "row": number, **_when(row, years[0] if len(years) == 1 else None)}
        problem = Problem(name, "aime", said, int(integer[1]), metadata)
        if found.setdefault(said, problem).gold != problem.gold:
            raise DataError(f"{where} asks what row {found[said].metadata['row']} asks, but the answers differ")
    if len({p.id for p in found.values()}) < len(found):
        raise DataError(f"some rows of {place} have the same id in column {key!r}")
    return list(found.values())


def _when(row: Mapping[str, Any], only: int | None) -> dict[str, Any]:
    """The year and the contest of a row, as far as its columns or its source's name tell."""
    cells = {re.sub(r"[\s_]", "", name).lower(): str(value or "").strip() for name, value in row.items()}
    year, index = cells.get("year", ""), cells.get("problemidx", "")
    tells = ["-".join(filter(None, (year, cells.get("part"), cells.get("problemnumber"))))]
    tells += [cells.get(name, "") for name in ("id", "problemid", "url", "link")]
    if only and index.isdigit():  # MathArena counts the year's two contests through
        tells.append(f"{only}-I-{index}" if int(index) <= 15 else f"{only}-II-{int(index) - 15}")
    if match := next(filter(None, map(_CONTEST.search, tells)), None):
        return {"year": int(match[1]), "contest": "-".join(filter(None, match.groups()))}
    known = int(year) if year.isdigit() else only
    return {} if known is None else {"year": known}


def _hash(name: str, answer: object) -> str:
    return hashlib.sha256(f"anytime_lib aime answers v1:{name}:{answer}".encode()).hexdigest()


def _checked(problems: list[Problem]) -> list[Problem]:
    """The problems, if their answers are the right ones as far as these are known; else a DataError names the wrong.

    `ANSWERS_FILE` has the hash of the right answer by contest (`2024-I-12`), and of a year's 30 in order by year.
    """
    right = pd.read_csv(ANSWERS_FILE, dtype=str).set_index("contest").answer
    golds: dict[str, list[int]] = {}
    for p in problems:
        contest, year = str(p.metadata.get("contest")), str(p.metadata.get("year"))
        golds.setdefault(contest if contest in right else year, []).append(p.gold)
    wrong = []
    for name, given in golds.items():
        whole_year = "-" not in name
        if whole_year and name in right and len(given) != 30:
            log.warning("%d answers of AIME %s are not compared: no row names its contest", len(given), name)
        elif name in right and right[name] != _hash(name, sorted(given) if whole_year else given[0]):
            wrong.append(f"one or more of {name}" if whole_year else f"{name} ({given[0]})")
    if wrong:
        told = "correct them, or take another copy (hub#2024, hub#2025)"
        raise DataError(f"answers to AIME {', '.join(wrong)} are not the right ones: {told}")
    return problems
