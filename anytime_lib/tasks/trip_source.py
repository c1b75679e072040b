"""Which trip problems does a source hold?

A source is a file in the layout of NATURAL PLAN's `trip_planning.json`, the official file itself, or a
`datasets.Dataset` of its rows; `dataset` gives any of them, or generated problems, as typed rows.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import SPLITS, in_pool, split_source
from anytime_lib.tasks.trip_problem import plan_of, write_plan
from anytime_lib.tasks.trip_problems import NAME, SIZES, generate, parse_problem
from anytime_lib.types import Problem, cache_folder, sha256_of

COMMIT = "ca76db336072ff8931db43bc1ca8d381038cf073"
OFFICIAL = f"https://raw.githubusercontent.com/google-deepmind/natural-plan/{COMMIT}/data/trip_planning.json"
BLOB = "de8f16dd532578efed5de226fbd8a998441b5f13"
"""Git's own hash (SHA-1) of that file at that commit: what is fetched is this file or nothing."""

POOL_ONE_IN = 5
_TEXTS = ("prompt_0shot", "prompt_5shot", "golden_plan", "pred_5shot_pro")
_LAYOUT = 1  # of the rows: part of the cache's key


def dataset(
    source: Any = None, *, limit: int = 30, seed: int = 0, difficulty: Sequence[int] | None = None, unique: bool = False
) -> Any:
    """The rows of a source as a `datasets.DatasetDict`: `test`, `pool` (one in five), and `all`, their union.

    Columns: id, num_cities, cities and durations (lists, in the golden plan's order), prompt_0shot, prompt_5shot,
    golden_plan, pred_5shot_pro, shots (which of the prompts is asked: 0 or 5), source, sha256 (of the file). A column
    that a row has nothing for is None. Any Dataset of such rows (filtered, say) is itself a source.

    A file's rows are cached by `datasets` where the user's other data sets are, under the file's SHA-256.

    Args:
        source: a path, with `#5shot` to ask the five-shot prompts; `official` (see `official_file`); a Dataset; or
            None for the generated problems that `problems` gives for the same limit, seed and difficulty.
        limit: how many are generated.
        seed: of the generator.
        difficulty: numbers of cities of the generated, in turn; 3 to 5 by default.
        unique: whether a generated problem has exactly one valid plan.

    Raises:
        ConfigError: an option is unknown or makes no sense.
        DataError: the source is missing, or is something else.
    """
    from datasets import Dataset, DatasetDict  # slow to import, and of no use to `problems` without a source

    if source is None:
        made = generated(limit, seed, "test", difficulty, unique=unique)
        rows = Dataset.from_list([_row_of(p, seed, i) for i, p in enumerate(made)], features=_features())
    else:
        rows = rows_of(source)
    pool = [in_pool(p, POOL_ONE_IN) for p in (problem_of(row, shots=0) for row in rows)]
    parts = {s: rows.select([i for i, there in enumerate(pool) if there == (s == "pool")]) for s in SPLITS}
    return DatasetDict(parts | {"all": rows})


def rows_of(source: Any) -> Any:
    """All rows of a source as a `datasets.Dataset`."""
    from datasets import Dataset

    if isinstance(source, Dataset):
        return source
    if isinstance(source, str | Path):
        return _of_file(source)
    raise ConfigError(f"source must be a path, 'official', or a datasets.Dataset (one split), not {type(source)!r}")


def problem_of(row: Mapping[str, Any], shots: int | None = None) -> Problem:
    """The problem of a row; `shots` (0 or 5) says which prompt, by default the row's own column `shots`."""
    name = str(row.get("id"))
    shots = (row.get("shots") or 0) if shots is None else shots
    text = row.get(f"prompt_{shots}shot")
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{name} has no prompt_{shots}shot; the layout is that of NATURAL PLAN's trip_planning.json")
    try:
        cities, days = _listed(row.get("cities")), _listed(row.get("durations"))
        gold = list(zip(cities, map(int, days), strict=True)) if cities else None
    except (TypeError, ValueError):
        raise DataError(f"{name}: cities and durations do not match: {row['cities']!r}, {row['durations']!r}") from None
    try:
        problem = parse_problem(text, id=name if shots == 0 else f"{name}_{shots}shot", gold=gold)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    whence = {key: row[key] for key in ("source", "sha256") if row.get(key)}
    return replace(problem, metadata={**problem.metadata, "source": "dataset", **whence})


def generated(
    limit: int, seed: int, split: str, difficulty: Sequence[int] | None, *, unique: bool = False
) -> list[Problem]:
    """New problems; those of `test` and `pool` come from streams of their own."""
    if limit < 1 or seed < 0:
        raise ConfigError(f"limit must be at least 1 and seed not negative, not {limit} and {seed}")
    levels = checked_levels(difficulty) or [3, 4, 5]
    streams = (np.random.SeedSequence([seed, SPLITS[split], i]) for i in range(limit))
    return [generate(levels[i % len(levels)], stream, unique=unique) for i, stream in enumerate(streams)]


def checked_levels(difficulty: Sequence[Any] | None) -> list[int] | None:
    """The numbers of cities asked for, or None; anything but a list of integers from 2 to 10 is a ConfigError."""
    if difficulty is None:
        return None
    if not isinstance(difficulty, list | tuple | range) or not difficulty:
        raise ConfigError(f"difficulty must be a list of numbers of cities from 2 to 10, not {difficulty!r}")
    for level in difficulty:
        if isinstance(level, bool) or not isinstance(level, int) or level not in SIZES:
            raise ConfigError(f"difficulty must hold numbers of cities from 2 to 10, not {level!r}")
    return list(difficulty)


def write_official(rows: Iterable[Mapping[str, Any]], path: str | Path) -> Path:
    """Write rows (a Dataset, or one of `dataset`'s splits) as a JSON file in the official layout; returns its path."""
    out = {}
    for row in rows:
        joined = {name: "**".join(map(str, _listed(row.get(name)))) for name in ("cities", "durations")}
        texts = {name: row[name] for name in _TEXTS if row.get(name) is not None}
        count = row.get("num_cities") or len(_listed(row.get("cities")))
        out[row["id"]] = {"num_cities": str(count), **{k: v for k, v in joined.items() if v}, **texts}
    path = Path(path)
    path.write_text(json.dumps(out, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def official_file() -> Path:
    """The official file, in the user's cache folder: fetched once, its SHA-256 kept beside it and checked ever after.

    Raises:
        DataError: it can be neither found nor fetched, or is no longer what was fetched.
    """
    path = cache_folder() / "natural-plan" / COMMIT[:12] / "trip_planning.json"
    record = path.with_name(path.name + ".sha256")
    if not path.is_file() or not record.is_file():
        content = _fetched()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _put(path, content)
            _put(record, f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
        except OSError as error:
            raise DataError(f"cannot keep {path} ({error.strerror}); set ANYTIME_CACHE to a writable folder") from error
    if record.read_text().split()[:1] != [sha256_of(path)]:
        raise DataError(f"{path} is not the file that was fetched (its SHA-256 differs); delete it to fetch it again")
    return path


def _fetched() -> bytes:
    advice = "give the path of a copy of NATURAL PLAN's trip_planning.json as the source instead"
    try:
        content = httpx.get(OFFICIAL, follow_redirects=True, timeout=60).raise_for_status().content
    except httpx.HTTPStatusError as error:
        raise DataError(f"cannot fetch {OFFICIAL} (HTTP {error.response.status_code}); {advice}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"cannot fetch {OFFICIAL} ({error or type(error).__name__}); {advice}") from error
    if hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() != BLOB:
        raise DataError(f"what {OFFICIAL} gave is not the official file (cut off, or another one); {advice}")
    return content


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, also where another process does the same."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


def _of_file(source: str | Path) -> Any:
    """All rows of a file, from the cache of `datasets` where it has them."""
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    place, options = (str(source), {}) if isinstance(source, Path) else split_source(source, ["5shot"])
    path = official_file() if place == "official" else Path(place).expanduser().absolute()
    try:
        known = {"path": str(path), "sha256": sha256_of(path)[:12], "shots": 5 if "5shot" in options else 0}
    except OSError as error:
        raise DataError(f"cannot read the trip-planning file {place!r}: {error.strerror}") from error
    known["source"] = "official" if place == "official" else path.name
    try:
        return Dataset.from_generator(_rows_in, features=_features(), gen_kwargs=known | {"layout": _LAYOUT})
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from None
        raise
    except OSError as error:
        raise DataError(
            f"datasets cannot keep its cache ({error}); set HF_DATASETS_CACHE to a writable folder"
        ) from error


def _rows_in(path: str, sha256: str, shots: int, source: str, layout: int) -> Iterator[dict[str, Any]]:
    try:
        rows = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"cannot read the trip-planning file {path!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON, or was cut off ({error}); fetch or write it again") from error
    if not isinstance(rows, dict) or not rows or not all(isinstance(r, dict) for r in rows.values()):
        raise DataError(f"{path} is not in the layout of NATURAL PLAN's trip_planning.json (id -> prompt_0shot, ...)")
    for name, row in rows.items():
        row = {**row, "id": name, "shots": shots, "source": source, "sha256": sha256}
        try:
            problem = problem_of(row)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        lists = {"cities": [c for c, _ in problem.gold or ()], "durations": [d for _, d in problem.gold or ()]}
        yield {**{t: row.get(t) for t in _features()}, **lists, "num_cities": problem.metadata["n_cities"]}


def _row_of(problem: Problem, seed: int, index: int) -> dict[str, Any]:
    """A generated problem as a row; its five examples come from a stream that neither split draws from."""
    n, streams = len(problem.gold), np.random.SeedSequence([seed, len(SPLITS), index]).spawn(5)
    return dict.fromkeys(_features()) | {
        "id": problem.id,
        "num_cities": n,
        "cities": [city for city, _ in problem.gold],
        "durations": [days for _, days in problem.gold],
        "prompt_0shot": problem.text,
        "prompt_5shot": few_shot(problem.text, [generate(n, stream) for stream in streams]),
        "golden_plan": golden(problem),
        "shots": 0,
        "source": "generated",
    }


def few_shot(text: str, examples: Iterable[Problem]) -> str:
    """A prompt of worked examples, and then the task: the official five-shot prompts' layout."""
    told = "".join(f"TASK: {e.text}\nSOLUTION:\n{golden(e)}\n\n" for e in examples)
    return prompt(f"{NAME}.examples", examples=told, problem=text)


def golden(problem: Problem) -> str:
    """A problem's golden plan in the official layout."""
    if problem.gold is None:
        raise DataError(f"{problem.id} has no golden plan and cannot be a worked example")
    return write_plan(plan_of([(city, days) for city, days in problem.gold]))


def _listed(value: Any) -> list[Any]:
    """A list as it is, or what the official file writes as "Rome**Nice"."""
    return [x for x in value.split("**") if x] if isinstance(value, str) else list(value or ())


def _features() -> Any:
    from datasets import Features, List, Value

    text = Value("string")
    return Features(
        {"id": text, "num_cities": Value("int32"), "cities": List(text), "durations": List(Value("int32"))}
        | dict.fromkeys(_TEXTS, text)
        | {"shots": Value("int32"), "source": text, "sha256": text}
    )
