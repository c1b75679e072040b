"""Which AIME problems does a file, a hub set or a `datasets.Dataset` in one of the usual layouts hold?

Copies with wrong answers go round (384 for 385), so those of 2024 and 2025 are compared with the right ones, of which
`data/aime_answers.csv` holds salted hashes: by contest (`2024-I-12`), and by year of its 30 in order.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks.built_in import hub_error, split_source
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

TEXTS = ("prompt", "problem", "question", "instruction")  # in capitals or not, as the others
ANSWERS = ("answer", "expected_answer", "ground_truth", "solution_answer", "final_answer", "solution")
IDS = ("id", "problem_id", "problem_idx")
ANSWERS_FILE = Path(__file__).with_name("data") / "aime_answers.csv"
_INSTRUCTION = re.compile(r"(?i)\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*\Z")
# `2024-I-3`, `1983-1`, and the wiki's `2024_AIME_II_Problems/Problem_3`.
_CONTEST = re.compile(r"(?m)((?:19|20)\d\d)[-_ ](?:AIME[-_ ])?(?:(I{1,2})[-_ ])?(?:Problems/Problem[-_ ])?(\d{1,2})$")
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

    Sources: a file's path, `hub` (the sets of `HUB`) or `hub:OWNER/NAME`, each with years after a `#` (`2024`,
    `1983-2023`) and the last with `config=`, `split=`, `revision=`; or a `datasets.Dataset`. `metadata` holds `source`
    and `row`, and if known `year`, `contest` and `revision`. DataError where it cannot be read or an answer is wrong.
    """
    if not isinstance(source, str | Path):
        return _problems(read_table(source), "dataset", {"source": "dataset"})
    place, options = split_source(source, r"\d{4}|\d{4}-\d{4}|config|split|revision")
    spans = [range(int(name[:4]), int(name[-4:]) + 1) for name in options if name[0].isdigit()]
    years = {year for span in spans for year in span}
    if place.startswith("hub:"):
        found = _of_hub(place.removeprefix("hub:"), options)
    elif place != "hub":
        found = _problems(read_table(place), place, {"source": Path(place).name})
    elif not years & {*range(1983, 2026)}:
        raise ConfigError("name the years: hub#2024, hub#2025 or a range such as hub#1983-2023")
    else:
        sets = [(_of_hub(name, {"revision": commit}), held) for name, commit, held in HUB if years & {*held}]
        problems = [p for of_set, held in sets for p in of_set if p.metadata.get("year") in held]
        found = [replace(p, id=p.metadata.get("contest", p.id)) for p in problems]
    return [p for p in found if not years or p.metadata.get("year") in years]


def _of_hub(name: str, options: Mapping[str, str]) -> list[Problem]:
    """The problems of a hub set, at the commit that a revision (by default the newest) stands for."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    commit = revision = options.get("revision")
    try:
        if not re.fullmatch(r"[0-9a-f]{40}", revision or ""):  # first, so that what is recorded is what is read
            commit = HfApi().dataset_info(name, revision=revision).sha
        rows = load_dataset(name, options.get("config"), split=options.get("split", "train"), revision=commit)
    except Exception as error:  # of the hub's client, its transport or the readers: a dozen types, one answer each
        raise hub_error("aime", name, error) from error
    return _problems(read_table(rows), name, {"source": f"hub:{name}", "revision": commit})


def _problems(table: pd.DataFrame, place: str, origin: Mapping[str, Any]) -> list[Problem]:
    """The problems in the rows of `place`, of its year where its name tells a single one."""
    table = table.rename(columns=str.lower).loc[:, lambda lower: ~lower.columns.duplicated()]
    texts = [name for name in TEXTS if name in table and isinstance(table[name].iloc[0], str)]  # a prompt may be a chat
    text, answer, key = (next((n for n in names if n in table), None) for names in (texts, ANSWERS, IDS))
    if text is None or answer is None:
        raise DataError(f"{place} needs a column of {', '.join(TEXTS)}, and one of {', '.join(ANSWERS)}")
    years = re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", Path(place).name)
    found: dict[str, Problem] = {}
    for number, row in enumerate(table.to_dict("records"), 1):
        where, said, gold = f"row {number} of {place}", _INSTRUCTION.sub("", row[text] or "").strip(), str(row[answer])
        if re.match(r"\s*\d{1,3} or \d{1,3}\b", gold):
            # 2022-II-8, where both were accepted: an answer cannot be judged by one integer.
            log.warning("%s is left out: two answers to it were accepted, %s", where, gold[:60])
            continue
        if not said or not (integer := _GOLD.fullmatch(gold)):
            raise DataError(f"{where} has no text, or its answer is no integer from 0 to 999: {gold[:60]!r}")
        name = str(row[key]) if key and row[key] is not None else f"{Path(place).stem}-{number}"
        metadata = {**origin, "row": number, **_when(row, years[0] if len(years) == 1 else None)}
        problem = Problem(name, "aime", said, int(integer[1]), metadata)
        if found.setdefault(said, problem).gold != problem.gold:
            raise DataError(f"{where} asks what row {found[said].metadata['row']} asks, but the answers differ")
    _check(found.values())
    return list(found.values())


def _when(row: Mapping[Any, Any], only: str | None) -> dict[str, Any]:
    """The year and the contest of a row, as far as its columns or its source's name (the `only` year) tell."""
    tells, index = [str(row.get(name)) for name in (*IDS, "url", "link")], str(row.get("problem_idx"))
    if only and index.isdigit():  # MathArena counts the year's two contests through
        tells.append(f"{only}-{'I' if int(index) <= 15 else 'II'}-{(int(index) - 1) % 15 + 1}")
    if match := _CONTEST.search("\n".join(tells)):
        return {"year": int(match[1]), "contest": "-".join(filter(None, match.groups()))}
    year = str(row.get("year", only))
    return {"year": int(year)} if year.isdigit() else {}


def _check(problems: Iterable[Problem]) -> None:
    """DataError where an answer is not the right one of its contest, or of a year of 30 that name no contest."""
    right = pd.read_csv(ANSWERS_FILE, index_col="contest").answer
    golds: dict[str, list[int]] = {}
    for p in problems:
        contest, year = str(p.metadata.get("contest")), str(p.metadata.get("year"))
        golds.setdefault(contest if contest in right else year, []).append(p.gold)
    wrong = []
    for name in golds.keys() & {*right.index}:
        given, whole_year = sorted(golds[name]), name.isdigit()
        comparable = len(given) == (30 if whole_year else 1)
        if comparable and right[name] != answer_hash(name, given if whole_year else given[0]):
            wrong.append(f"one or more of {name}" if whole_year else f"{name} ({given[0]})")
    if wrong:
        told = "correct them, or take another copy (hub#2024, hub#2025)"
        raise DataError(f"answers to AIME {', '.join(sorted(wrong))} are not the right ones: {told}")


def answer_hash(name: str, answer: object) -> str:
    """What `ANSWERS_FILE` holds of the answer to a contest's problem, or of a year's 30 in order."""
    return hashlib.sha256(f"anytime_lib aime answers v1:{name}:{answer}".encode()).hexdigest()
