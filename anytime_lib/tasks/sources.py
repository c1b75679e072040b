"""What does a `source` name, and with which options?

A source is `PLACE` or `PLACE#OPTION,NAME=VALUE`: a file's path, or a place that the task knows by name (`hub`,
`official`), and after `#` what to take from it: `trip_planning.json#5shot`, `hub#2024`, `dataset.zip#diamond,order=1`.
"""

from __future__ import annotations

from collections.abc import Iterable

from anytime_lib.errors import ConfigError, nearest


def split_source(source: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """A source's place and its options (a bare option has the value "").

    Raises:
        ConfigError: an option is not among `known`; the message names the nearest.
    """
    place, _, tail = source.partition("#")
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in tail.split(","))):
        name, _, value = part.partition("=")
        if name not in (names := list(known)):
            raise ConfigError(f"source {source!r}: unknown option {name!r}{nearest(name, names)}")
        options[name] = value
    return place, options
