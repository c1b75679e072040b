"""What must a task offer, and how are its problems read and split?

A task is any object with the attributes of `Task`; the built-in ones are found by name with `load_task`, and
`make_task` makes one of the user's own.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.types import Grade, Problem, unread

SPLITS = {"test": 0, "pool": 1}
LOADERS = {".jsonl": "from_json", ".json": "from_json", ".csv": "from_csv", ".parquet": "from_parquet"}
_REFUSAL = re.compile(
    r"\bI(?:['’]m| am) (?:sorry|unable|not able)\b"
    r"|\bI (?:cannot|can['’]t|can not|won['’]t|will not) (?:answer|help|assist|provide)"
    r"|\bI (?:must )?(?:decline|refuse) to\b",
    re.IGNORECASE,
)


@runtime_checkable
class Task(Protocol):
    """What a task must offer.

    A task may also have `extract_answer(problem, text)`, what a response states in one spelling, or None, so that votes
    can be counted; `vote(problem, texts)`, the place of the winner where the most frequent answer is not the way;
    `verify(problem, text)`, a score in [0, 1] from the problem's text alone, or None; and `grader_version` (else 1),
    which is stored with every cell: raise it with every change of the grader that can change a grade.

    Attributes:
        name: its name in configs, cells and figures.
        answer_tokens: cap on the answer turn (64 for an integer, 32 for a letter, 512 for a trip).
    """

    name: str
    answer_tokens: int

    def problems(
        self,
        source: Any = None,
        limit: int | None = None,
        seed: int = 0,
        split: str = "all",
        difficulty: Sequence[Any] | None = None,
    ) -> list[Problem]:
        """Problems in a stable order, by default all there are.

        Args:
            source: None for the task's own problems, else a path or another source the task names (text), a
                `pathlib.Path`, or a `datasets.Dataset` with the columns of the task's files.
            limit: at most this many; the same `seed` gives the same ones, and more extend fewer.
            seed: for generating or choosing problems.
            split: `test`, or `pool` for exemplars, which never share a problem; or `all`. A generated set is as large
                as one asks: its `all` is `limit` problems of test, without a limit 30 of test and then 30 of pool.
            difficulty: the levels wanted, in the task's own terms; None for its default mix.
        """
        ...

    def question(self, problem: Problem) -> str:
        """The user turn that asks for reasoning."""
        ...

    def answer_prompt(self, problem: Problem) -> str:
        """The user turn that asks for the final answer only."""
        ...

    def gold_reasoning(self, problem: Problem) -> str:
        """A short right reasoning, for worked examples; empty where none is known."""
        ...

    def gold_answer(self, problem: Problem) -> str:
        """The gold answer as a model should write it: for worked examples, and graded `correct`."""
        ...

    def grade(self, problem: Problem, text: str) -> Grade:
        """The grade of a response. Never evaluates it, never raises on it, whatever it holds."""
        ...


def check_split(split: str, limit: int | None = None, seed: int = 0) -> None:
    """Raise ConfigError unless `split` is `test`, `pool` or `all`, `limit` is positive and `seed` not negative."""
    if split not in (known := [*SPLITS, "all"]):
        raise ConfigError(f"unknown split {split!r}{nearest(str(split), known)}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit must be at least 1, not {limit}")
    if seed < 0:
        raise ConfigError(f"seed must not be negative, but it is {seed}")


def select(problems: Iterable[Problem], split: str, seed: int, limit: int | None, one_in: int = 5) -> list[Problem]:
    """The problems of a split, shuffled by `seed`, at most `limit`.

    A problem's content decides its split: one in `one_in` is in `pool`, the rest in `test`; `all` takes both. Its id
    and the seed decide its place, so that a larger limit extends a smaller one.
    """
    check_split(split, limit)
    found = [p for p in problems if split == "all" or (split == "pool") == in_pool(p, one_in)]
    return sorted(found, key=lambda p: hashlib.sha256(f"{seed}:{p.id}".encode()).digest())[:limit]


def in_pool(problem: Problem, one_in: int) -> bool:
    """Whether a problem's content puts it in the pool."""
    return int(problem.content_hash[:8], 16) % one_in == 0


def from_generator(
    make: Callable[[str, int], list[Problem]], split: str, limit: int | None, seed: int
) -> list[Problem]:
    """The problems of a generated set (see `Task.problems`); `make(split, n)` gives n problems of test or of pool."""
    check_split(split, limit, seed)
    if split == "all":
        return make("test", limit) if limit else make("test", 30) + make("pool", 30)
    return make(split, limit or 30)


def levels(difficulty: Any, known: Sequence[Any], what: str) -> list[Any]:
    """The levels asked for, all that are `known` by default; anything but a list of such is a ConfigError."""
    if difficulty is None:
        return list(known)
    if isinstance(difficulty, str) or not isinstance(difficulty, Sequence) or not difficulty:
        raise ConfigError(f"difficulty must be a list of {what}, not {difficulty!r}")
    for level in difficulty:
        if type(level) is not type(known[0]) or level not in known:
            raise ConfigError(f"difficulty must hold {what}, not {level!r}{nearest(str(level), map(str, known))}")
    return list(difficulty)


def no_answer(text: str, why: str) -> Grade:
    """The grade of a response in which no answer was found: `empty`, `refused`, or `unparsed` with the reason `why`."""
    if not text.strip():
        return unread("nothing was said", "empty")
    return unread("declined to answer", "refused") if _REFUSAL.search(text) else unread(why)


def right_or_wrong(problem: Problem, text: str, value: Any, why: str) -> Grade:
    """1 if the value read in a text is the gold one, else 0; `no_answer` for the reason `why` if it is None."""
    if value is None:
        return no_answer(text, why)
    return Grade(float(value == problem.gold), value == problem.gold, "ok", str(value))


def split_source(source: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The place and the options of a source `PLACE#OPTION,NAME=VALUE` (a bare option has the value "").

    Raises:
        ConfigError: an option is not among `known`; the message names the nearest.
    """
    place, _, tail = source.partition("#")
    parts = [part.strip().partition("=") for part in tail.split(",") if part.strip()]
    for name, _, _ in parts:
        if name not in known:
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, known)}")
    return place, {name: value for name, _, value in parts}


def read_table(path: str | Path, others: str = "") -> list[Mapping[str, Any]]:
    """The rows of a .jsonl, .json, .csv or .parquet file, in its order; `others` says what else a source may be.

    Raises:
        ConfigError: another kind of file.
        DataError: there is no such file, or it cannot be read, or it is empty.
    """
    path = Path(path).expanduser()
    kind = path.suffix.lower()
    if kind not in LOADERS:
        raise ConfigError(f"source must be a {', '.join(LOADERS)} file{', ' * bool(others)}{others}, not {path}")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    from datasets import Dataset  # slow to import

    # A cache that lasts a moment: an edited file is read again, and no problem text stays behind.
    with tempfile.TemporaryDirectory() as cache:
        try:
            load = getattr(Dataset, LOADERS[kind])  # unlike `load_dataset`, it sends no request that counts the load
            rows: list[Mapping[str, Any]] = load(str(path), cache_dir=cache, keep_in_memory=True).to_list()
        except Exception as error:  # of pyarrow, pandas or datasets: whatever it is, the file is at fault
            raise DataError(f"{path} could not be read: {error.__cause__ or error}") from error
    if not rows:
        raise DataError(f"{path} holds no problems")
    return rows
