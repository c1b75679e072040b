"""Which problems does a file, a hub set or a `datasets.Dataset` in one of AIME's usual layouts hold?

Sources: `PATH`, `hub#YEARS`, `hub:OWNER/NAME`, each with options after `#`: years (`2024`, `1983-2023`) from any of
them, `config=`, `split=`, `revision=` of a hub set, and `unchecked` for problems altered on purpose.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import aime_answers
from anytime_lib.tasks.base import read_table, split_source
from anytime_lib.types import Problem

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)

TEXT_COLUMNS = ("prompt", "problem", "Problem", "question", "Question")
ANSWER_COLUMNS = ("answer", "Answer", "expected_answer", "solution_answer", "solution")
ID_COLUMNS = ("id", "ID", "problem_id", "problem_idx")
YEARS = range(1983, 2026)
_OPTIONS = ("config", "split", "revision", "unchecked")
_SPANS = frozenset([*map(str, YEARS), *(f"{a}-{b}" for a in YEARS for b in YEARS if a < b)])

_INSTRUCTION = re.compile(
    r"\s*Please reason step by step, and put your final answer within \\boxed\{\}\.?\s*\Z", re.IGNORECASE
)
# `2024-I-3`, `1983-1`, and the wiki's `2024_AIME_II_Problems/Problem_3`.
_CONTEST = re.compile(r"((?:19|20)\d\d)[-_ ](?:AIME[-_ ])?(?:(I{1,2})[-_ ])?(?:Problems/Problem[-_ ])?(\d{1,2})\Z")


@dataclass(frozen=True)
class HubSet:
    """A set of the Hugging Face hub, at a fixed commit.

    Attributes:
        name, revision: the set and its commit.
        years: those to take from it.
    """

    name: str
    revision: str
    years: range


# The copies that are kept best. The first lacks 56 of its years' 975 problems, and holds only half of 2024.
HUB = (
    HubSet("gneubig/aime-1983-2024", "5d610df981dec508dd93d0a16333a029ac1739d8", range(1983, 2024)),
    HubSet("HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a", range(2024, 2025)),
    HubSet("MathArena/aime_2025", "c94da77eb22bbd6439e62a323bec18493a421302", range(2025, 2026)),
)


def read(source: str | Path | Dataset) -> list[Problem]:
    """Every problem of a source, in its order; a row that only repeats an earlier one is left out.

    `metadata` holds `source` and `row`, and where they are known `year`, `contest` (`2024-I-12`) and `revision`.

    Raises:
        ConfigError: the source is not of the form above.
        DataError: it cannot be had or read, or an answer of 2024 or 2025 is wrong.
    """
    options: dict[str, str] = {}
    if isinstance(source, str):
        place, options = split_source(source, (*_OPTIONS, *_SPANS))
    elif isinstance(source, Path):
        place = str(source)
    elif hasattr(source, "to_list"):
        return _checked(_problems(source.to_list(), "dataset", {"source": "dataset"}), options)
    else:
        raise ConfigError(f"source must be a path, a source's text or a datasets.Dataset, not {source!r}")
    years = [year for span in options if span in _SPANS for year in _span(span)]
    if place == "hub":
        if not years or set(options) & {"config", "split", "revision"}:
            raise ConfigError("hub takes years alone: hub#2024, hub#2025 or a range such as hub#1983-2023")
        found = [p for known in HUB if set(known.years) & set(years) for p in _known(known, years)]
    elif place.startswith("hub:"):
        name = place.removeprefix("hub:")
        found = _of_years(_hub_problems(name, options), years, place)
    else:
        if set(options) & {"config", "split", "revision"}:
            raise ConfigError(f"{source}: config, split and revision are options of hub:OWNER/NAME")
        path = Path(place)
        found = _of_years(
            _problems(
                read_table(path, "hub#YEARS or hub:OWNER/NAME (or left out for the ladder)"),
                str(path),
                {"source": path.name},
            ),
            years,
            place,
        )
    return _checked(found, options)


def _checked(problems: list[Problem], options: Mapping[str, str]) -> list[Problem]:
    if "unchecked" not in options:
        aime_answers.check(problems)
    return problems


def _span(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _known(known: HubSet, years: Sequence[int]) -> list[Problem]:
    """The wanted years' problems of a set that we name, under their contests' names."""
    wanted = [year for year in known.years if year in years]
    found = _of_years(_hub_problems(known.name, {"revision": known.revision}, known.years), wanted, known.name)
    whole = sum(15 if year < 2000 else 30 for year in wanted)
    if len(found) < whole:
        log.warning("%s has %d of the %d problems of the years asked for", known.name, len(found), whole)
    names = [p.metadata.get("contest", p.id) for p in found]
    return [Problem(name, p.task, p.text, p.gold, p.metadata) for name, p in zip(names, found, strict=True)]


def _hub_problems(name: str, options: Mapping[str, str], years: range | None = None) -> list[Problem]:
    rows, revision = _hub_rows(name, options.get("revision"), options.get("config"), options.get("split"))
    log.info("%s at revision %s", name, revision)
    return _problems(rows, name, {"source": f"hub:{name}", "revision": revision}, years)


def _of_years(problems: list[Problem], years: Sequence[int], place: str) -> list[Problem]:
    """Those of the years asked for; all where none was."""
    if not years:
        return problems
    chosen = [p for p in problems if p.metadata.get("year") in years]
    if not chosen:
        known = sorted({p.metadata["year"] for p in problems if "year" in p.metadata})
        raise DataError(f"{place} has no problem of the years asked for; it has {known or 'no years'}")
    return chosen


def _hub_rows(
    name: str, revision: str | None, config: str | None, split: str | None
) -> tuple[list[Mapping[str, Any]], str]:
    """The rows of a hub set and the commit they are from."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    try:
        # The commit is asked for first and then loaded, so that what is recorded is what was read.
        commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision or "") else None
        commit = commit or HfApi().dataset_info(name, revision=revision).sha or "unknown"
        splits = load_dataset(name, config, revision=commit)
    except Exception as error:  # of the hub's client, its transport or the readers: a dozen types, one answer each
        raise DataError(_hub_trouble(name, revision, error)) from error
    if split is None and len(splits) > 1:
        raise DataError(f"{name} has the splits {', '.join(splits)}: name one, hub:{name}#split=...")
    if split is not None and split not in splits:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(splits)}")
    return splits[split or next(iter(splits))].to_list(), commit


def _hub_trouble(name: str, revision: str | None, error: BaseException) -> str:
    """What went wrong with a hub set, and what to do about it, in one sentence."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    types = {kind.__name__ for e in chain for kind in type(e).__mro__}
    page = f"https://huggingface.co/datasets/{name}"
    if "GatedRepoError" in types or "is a gated dataset" in str(error):
        return f"{name} is gated: accept its terms on {page} and log in with `hf auth login` (or set HF_TOKEN)"
    if "RevisionNotFoundError" in types:
        return f"{name} has no revision {revision!r}: see {page}/commits/main, or take the set without one"
    if "HFValidationError" in types:
        return f"{name!r} is no name of a hub set: write hub:OWNER/NAME"
    if types & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return f"the hub has no data set {name} that you may read: check {page}, take another, or a local file"
    reason = " ".join(str(error).split())[:200]
    if "Config name is missing" in reason or ("BuilderConfig" in reason and "not found" in reason):
        return f"{name} has several configs or not this one: name one, hub:{name}#config=... ({reason})"
    if types & {"ConnectionError", "TransportError", "OfflineModeIsEnabled"}:
        return (
            f"the hub could not be reached for {name} ({type(chain[-1]).__name__}): go online, give a local file, or, "
            f"if it was loaded before, its commit (hub:{name}#revision=COMMIT), which is read from the cache"
        )
    return f"{name} could not be loaded from the hub, so take another set or a local file: {reason}"


def _problems(
    rows: Sequence[Mapping[str, Any]], place: str, origin: dict[str, Any], years: range | None = None
) -> list[Problem]:
    """The problems in the rows of `place`; `years`, if it is one, is the year of rows that name none."""
    if not rows:
        raise DataError(f"{place} holds no problems")
    text_column = _column(place, rows[0], TEXT_COLUMNS, "problem text")
    answer_column = _column(place, rows[0], ANSWER_COLUMNS, "answer")
    id_column = next((c for c in ID_COLUMNS if c in rows[0]), None)
    named = re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", Path(place).name)
    years = years or (range(int(named[0]), int(named[0]) + 1) if len(named) == 1 else None)
    only = years[0] if years is not None and len(years) == 1 else None
    problems: dict[str, Problem] = {}
    texts: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows, 1):
        where = f"row {number} of {place}"
        text = row[text_column]
        text = _INSTRUCTION.sub("", text).strip() if isinstance(text, str) else ""
        if not text:
            raise DataError(f"{where} has no problem text in column {text_column!r}")
        gold = _gold(row[answer_column])
        if gold is None and re.match(r"\s*\d{1,3} or \d{1,3}\b", str(row[answer_column])):
            # 2022-II-8, where both were accepted: an answer cannot be judged by one integer.
            log.warning("%s is left out: two answers to it were accepted, %s", where, str(row[answer_column])[:60])
            continue
        if gold is None:
            shown = repr(row[answer_column])[:60]
            raise DataError(f"{where} has the answer {shown}, which is no integer from 0 to 999")
        first, first_gold = texts.setdefault(text, (number, gold))
        if first_gold != gold:
            raise DataError(f"{where} asks what row {first} asks, but the answers differ: {gold}, {first_gold}")
        if first != number:
            continue
        own = row[id_column] if id_column else None
        key = f"{Path(place).stem}-{number}" if own is None else str(own)
        if key in problems:
            raise DataError(f"{where} has the id {key!r} of an earlier row")
        metadata = origin | {"row": number} | _when(row, only)
        problems[key] = Problem(key, "aime", text, gold, metadata)
    return list(problems.values())


def _when(row: Mapping[str, Any], only: int | None) -> dict[str, Any]:
    """The year and the contest of a row, as far as its columns or its source's name tell."""
    fields = {re.sub(r"[\s_]", "", name).lower(): value for name, value in row.items()}
    year, part, number = fields.get("year"), fields.get("part"), fields.get("problemnumber")
    tells = [str(fields.get(name) or "").strip() for name in ("id", "problemid", "url", "link")]
    tells.insert(0, "-".join(str(x) for x in (year, part, number) if x not in (None, "")) if number else "")
    if only is not None and str(fields.get("problemidx")).isdigit() and 1 <= int(fields["problemidx"]) <= 30:
        index = int(fields["problemidx"])  # MathArena counts the year's two contests through
        tells.append(f"{only}-{'I' if index <= 15 else 'II'}-{index if index <= 15 else index - 15}")
    match = next(filter(None, map(_CONTEST.search, tells)), None)
    if match:
        return {"year": int(match[1]), "contest": "-".join(filter(None, match.groups()))}
    digits = re.fullmatch(r"\d{4}", str(year))
    known = int(digits[0]) if digits else only
    return {} if known is None else {"year": known}


def _column(place: str, row: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in row:
            return name
    raise DataError(f"{place} has no column with the {what}: one of {', '.join(names)}; it has {', '.join(row)}")


def _gold(value: object) -> int | None:
    r"""The answer in `value`: 25, 25.0 (a CSV column with gaps), "025", "$25$", `\boxed{25}`, `25^\circ`; else None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    digits = re.fullmatch(
        r"\s*\$?\s*(?:\\boxed\s*\{)?\s*(\d[\d,]{0,8})(?:\.0{1,9})?\s*(?:\^\\circ)?\}?\s*\$?\s*", str(value)
    )
    number = int(digits[1].replace(",", "")) if digits else -1
    return number if 0 <= number <= 999 else None
