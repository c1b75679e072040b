"""What do the built-in tasks share: names of sources, levels of difficulty, a grade for one right value?"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.tasks.base import no_answer
from anytime_lib.types import Grade, Problem


def split_source(source: str | Path, known: str) -> tuple[str, dict[str, str]]:
    """The place and the options of a source `PLACE#OPTION,NAME=VALUE` (a bare option is ""; in a file's name, none).

    `known` are patterns of the options with `|` between them; another is a ConfigError that names the nearest.
    """
    place, mark, tail = str(source).rpartition("#")
    if not mark or isinstance(source, Path) or Path(source).expanduser().is_file():
        place, tail = str(source), ""
    options = dict(part.strip().partition("=")[::2] for part in tail.split(",") if part.strip())
    for name in options:
        if not re.fullmatch(known, name):
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, known.split('|'))}")
    return place, options


def hub_error(task: str, name: str, error: Exception) -> DataError:
    """What the hub said and what to do; what follows a `?` in an address may be secret and is left out."""
    said = re.sub(r"\?\S*", "", " ".join(str(error).split()))[:200]
    return DataError(
        f"{task}: {name} could not be had from the hub ({type(error).__name__}: {said}); look at "
        f"https://huggingface.co/datasets/{name}, accept its terms there with the account of your token (`hf auth "
        "login`, HF_TOKEN) if it is gated, and name what it has, or download it and set `source: PATH of your copy`"
    )


def levels(difficulty: Any, known: Sequence[Any], what: str) -> list[Any]:
    """The levels asked for, by default all that are `known`; a ConfigError says `what` they may be."""
    wanted = known if difficulty is None else difficulty if isinstance(difficulty, list | tuple) else ()
    if not wanted or any(level not in known for level in wanted):
        raise ConfigError(f"difficulty must be a list of {what}, not {difficulty!r}")
    return list(wanted)


def right_or_wrong(problem: Problem, text: str, value: Any, why: str) -> Grade:
    """1 if the value read in a text is the gold one, else 0; `no_answer` for the reason `why` if it is None."""
    if value is None:
        return no_answer(text, why)
    return Grade(float(value == problem.gold), value == problem.gold, "ok", str(value))
