"""Which AIME problems does a file, a hub set or a `datasets.Dataset` in one of the usual layouts hold?

Sources: `PATH`, `hub#YEARS`, `hub:OWNER/NAME`, each with options after `#`: years (`2024`, `1983-2023`), `config=`,
`split=`, `revision=` of a hub set, and `unchecked` for problems altered on purpose: copies with wrong answers go round
(384 for 385), so those of 2024 and 2025 are compared with the right ones, each by its contest's name where a row tells
it, else a whole year's together. `data/aime_answers.csv` holds them as salted hashes, none in the clear.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.sources import hub_error, read_table, split_source
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

YEARS = range(1983, 2026)
TEXT_COLUMNS = ("prompt", "problem", "Problem", "question", "Question")
ANSWER_COLUMNS = ("answer", "Answer", "expected_answer", "solution_answer", "solution")
ID_COLUMNS = ("id", "ID", "problem_id", "problem_idx")
_OF_HUB = ("config", "split", "revision")
_INSTRUCTION = re.compile(r"(?i)\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*\Z")
# `2024-I-3`, `1983-1`, and the wiki's `2024_AIME_II_Problems/Problem_3`.
_CONTEST = re.compile(r"((?:19|20)\d\d)[-_ ](?:AIME[-_ ])?(?:(I{1,2})[-_ ])?(?:Problems/Problem[-_ ])?(\d{1,2})\Z")
# 25, 25.0 (a CSV column with gaps), "025", "$25$", `\boxed{25}`, `25^\circ`.
_GOLD = re.compile(r"\s*\$?\s*(?:\\boxed\s*\{)?\s*(\d[\d,]{0,8})(?:\.0{1,9})?\s*(?:\^\\circ)?\}?\s*\$?\s*")
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

    Raises:
        ConfigError: the source is not of the form above.
        DataError: it cannot be had or read, or an answer of 2024 or 2025 is wrong.
    """
    place, options, years = _parsed(source) if isinstance(source, str) else (str(source), {}, [])
    if set(options) & set(_OF_HUB) and not place.startswith("hub:"):
        raise ConfigError(f"{source}: config, split and revision are options of hub:OWNER/NAME")
    if place == "hub":
        found = _of_best_copies(years)
    elif place.startswith("hub:"):
        found = _hub_problems(place.removeprefix("hub:"), options)
    elif isinstance(source, str | Path):
        rows = read_table(place, ", hub#YEARS or hub:OWNER/NAME (or left out for the ladder)")
        found = _problems(rows, place, {"source": Path(place).name})
    elif hasattr(source, "to_list"):
        found, place = _problems(source.to_list(), "dataset", {"source": "dataset"}), "dataset"
    else:
        raise ConfigError(f"source must be a path, a source's text or a datasets.Dataset, not {source!r}")
    found = _of_years(found, years, place)
    if "unchecked" not in options:
        _check(found)
    return found


def _parsed(source: str) -> tuple[str, dict[str, str], list[int]]:
    """A source's place, its options, and the years among them."""
    spans = {text: range(int(text[:4]), int(text[-4:]) + 1) for text in re.findall(r"\d{4}(?:-\d{4})?", source)}
    spans = {text: span for text, span in spans.items() if span and {span[0], span[-1]} <= {*YEARS}}
    place, options = split_source(source, [*_OF_HUB, "unchecked", "a year or range of 1983-2025", *spans])
    return place, options, [year for text in options for year in spans.get(text, ())]


def _of_best_copies(years: Sequence[int]) -> list[Problem]:
    """Those years' problems in the sets of `HUB`, under their contests' names."""
    if not years:
        raise ConfigError("name the years: hub#2024, hub#2025 or a range such as hub#1983-2023")
    found: list[Problem] = []
    for name, commit, held in HUB:
        if wanted := [year for year in held if year in years]:
            problems = _of_years(_hub_problems(name, {"revision": commit}, held), wanted, name)
            whole = sum(15 if year < 2000 else 30 for year in wanted)
            if len(problems) < whole:
                log.warning("%s has %d of the %d problems of the years asked for", name, len(problems), whole)
            found += [replace(p, id=p.metadata.get("contest", p.id)) for p in problems]
    return found


def _of_years(problems: list[Problem], years: Sequence[int], place: str) -> list[Problem]:
    """Those of the years asked for; all where none was."""
    chosen = [p for p in problems if not years or p.metadata.get("year") in years]
    if not chosen:
        known = sorted({p.metadata["year"] for p in problems if "year" in p.metadata})
        raise DataError(f"{place} has no problem of the years asked for; it has {known or 'no years'}")
    return chosen


def _hub_problems(name: str, options: Mapping[str, str], years: range | None = None) -> list[Problem]:
    """The problems of a hub set, at the commit that a revision (by default the newest) stands for."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    revision, split = options.get("revision"), options.get("split")
    try:
        # The commit is asked for first and then loaded, so that what is recorded is what was read.
        commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision or "") else None
        commit = commit or HfApi().dataset_info(name, revision=revision).sha or "unknown"
        splits = load_dataset(name, options.get("config"), revision=commit)
    except Exception as error:  # of the hub's client, its transport or the readers: a dozen types, one answer each
        raise hub_error(name, error) from error
    if split not in splits and (split or len(splits) > 1):
        told = f"has no split {split!r}" if split else "has several splits"
        raise DataError(f"{name} {told}: name one of {', '.join(splits)}, as in hub:{name}#split={next(iter(splits))}")
    log.info("%s at revision %s", name, commit)
    rows = splits[split or next(iter(splits))].to_list()
    return _problems(rows, name, {"source": f"hub:{name}", "revision": commit}, years)


def _problems(
    rows: Sequence[Mapping[str, Any]], place: str, origin: Mapping[str, Any], years: range | None = None
) -> list[Problem]:
    """The problems in the rows of `place`; `years`, if it is one, is the year of rows that name none."""
    if not rows:
        raise DataError(f"{place} holds no problems")
    text_column = _column(rows[0], TEXT_COLUMNS, f"{place} has no column with the problem text")
    answer_column = _column(rows[0], ANSWER_COLUMNS, f"{place} has no column with the answer")
    id_column = next((name for name in ID_COLUMNS if name in rows[0]), None)
    named = years or [int(year) for year in re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", Path(place).name)]
    by_id: dict[str, Problem] = {}
    by_text: dict[str, Problem] = {}
    for number, row in enumerate(rows, 1):
        where, answer, text = f"row {number} of {place}", row[answer_column], row[text_column]
        text = _INSTRUCTION.sub("", text).strip() if isinstance(text, str) else ""
        if not text:
            raise DataError(f"{where} has no problem text in column {text_column!r}")
        if re.match(r"\s*\d{1,3} or \d{1,3}\b", str(answer)):
            # 2022-II-8, where both were accepted: an answer cannot be judged by one integer.
            log.warning("%s is left out: two answers to it were accepted, %s", where, str(answer)[:60])
            continue
        digits = _GOLD.fullmatch(str(answer)) if isinstance(answer, int | float | str) else None
        if digits is None or (gold := int(digits[1].replace(",", ""))) > 999:
            raise DataError(f"{where} has the answer {repr(answer)[:60]}, which is no integer from 0 to 999")
        if first := by_text.get(text):
            if first.gold != gold:
                told = f"the answers differ: {gold}, {first.gold}"
                raise DataError(f"{where} asks what row {first.metadata['row']} asks, but {told}")
            continue
        key = f"{Path(place).stem}-{number}" if id_column is None or row[id_column] is None else str(row[id_column])
        if key in by_id:
            raise DataError(f"{where} has the id {key!r} of an earlier row")
        metadata = {**origin, "row": number, **_when(row, named[0] if len(named) == 1 else None)}
        by_text[text] = by_id[key] = Problem(key, "aime", text, gold, metadata)
    return list(by_id.values())


def _column(row: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    """The first of some names that a row has as a column."""
    if found := [name for name in names if name in row]:
        return found[0]
    raise DataError(f"{what}: one of {', '.join(names)}; it has {', '.join(row)}")


def _when(row: Mapping[str, Any], only: int | None) -> dict[str, Any]:
    """The year and the contest of a row, as far as its columns or its source's name tell."""
    fields = {re.sub(r"[\s_]", "", name).lower(): str(value or "").strip() for name, value in row.items()}
    year, index = fields.get("year", ""), fields.get("problemidx", "")
    tells = ["-".join(filter(None, (year, fields.get("part"), fields.get("problemnumber"))))]
    tells += [fields.get(name, "") for name in ("id", "problemid", "url", "link")]
    if only and index.isdigit() and 1 <= int(index) <= 30:  # MathArena counts the year's two contests through
        tells.append(f"{only}-I-{index}" if int(index) <= 15 else f"{only}-II-{int(index) - 15}")
    if match := next(filter(None, map(_CONTEST.search, tells)), None):
        return {"year": int(match[1]), "contest": "-".join(filter(None, match.groups()))}
    known = int(year) if re.fullmatch(r"\d{4}", year) else only
    return {} if known is None else {"year": known}


@cache
def _answers() -> dict[str, str]:
    """The hash of the right answer by contest (`2024-I-12`), and of a whole year's by year (`2024`)."""
    table = pd.read_csv(Path(__file__).with_name("data") / "aime_answers.csv", dtype=str)
    return dict(zip(table.contest, table.answer, strict=True))


def _hash(name: str, answer: object) -> str:
    return hashlib.sha256(f"anytime_lib aime answers v1:{name}:{answer}".encode()).hexdigest()


def _check(problems: Sequence[Problem]) -> None:
    """Raise DataError, naming every wrong one, where answers are not the right ones, as far as these are known."""
    right, unnamed, wrong = _answers(), dict[str, list[int]](), []
    for problem in problems:
        contest, year = problem.metadata.get("contest"), str(problem.metadata.get("year"))
        if contest in right and right[contest] != _hash(contest, problem.gold):
            wrong.append(f"{problem.id} (AIME {contest}) has {problem.gold}")
        if contest not in right and year in right:
            unnamed.setdefault(year, []).append(problem.gold)
    for year, golds in unnamed.items():
        if len(golds) != 30:
            told = "%d answers of AIME %s are not compared with the right ones: no contest named"
            log.warning(told, len(golds), year)
        elif right[year] != _hash(year, sorted(golds)):
            wrong.append(f"at least one of the 30 of AIME {year} (no row names its contest)")
    if wrong:
        raise DataError(
            f"answers are not the right ones: {'; '.join(wrong)}: correct them, take another copy "
            "(hub#2024, hub#2025), or add the option 'unchecked' to the source if they were altered on purpose"
        )
