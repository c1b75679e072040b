"""Which config do the parameter cells of a notebook make?"""

from collections.abc import MutableMapping
from os import PathLike
from typing import Any

from anytime_lib.config import RunConfig, parameter_names
from anytime_lib.config.groups import Group
from anytime_lib.errors import ConfigError, nearest

_PLAIN = str | int | float | list | tuple | dict | PathLike | Group | None  # a table or function is no setting


class Parameters:
    """The parameters of a notebook: the names that its parameter cells set.

    Made in the first cell, `parameters = Parameters(globals())`, and read after the cell tagged `parameters` and the
    one that papermill injects, `config = parameters.config()`. A name set in between that is no parameter is misspelt,
    of which papermill only warns: here it is an error.
    """

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self._namespace, self._before, self._checked = namespace, set(namespace), False

    def config(self, **overrides: Any) -> RunConfig:
        """The config those parameters make; running the cell again later reads the same names anew."""
        plain = {name: value for name, value in self._namespace.items() if isinstance(value, _PLAIN)}
        known = parameter_names()
        unknown = [name for name in plain if not (self._checked or name in known | self._before or name[0] == "_")]
        for name in unknown:
            del self._namespace[name]  # so that a second Run All sees misspelt names as new again
        if unknown:
            raise ConfigError(f"unknown parameter {unknown[0]!r}{nearest(unknown[0], known)}")
        self._checked = True
        return RunConfig(**({name: plain[name] for name in plain.keys() & known} | overrides))
