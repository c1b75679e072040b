"""Which parameters did a notebook's cells set?"""

from __future__ import annotations

import types
from collections.abc import MutableMapping
from typing import Any

from anytime_lib.config.run import RunConfig, parameter_names
from anytime_lib.errors import ConfigError, nearest

_READ = "_anytime_parameters"
"""Where a notebook's namespace keeps the names that were parameters when its cells were last run."""


class Parameters:
    """The parameters of a notebook: the names that its parameter cells set.

    papermill only warns about a parameter that a notebook does not know. Made before the cell tagged `parameters`
    and read after it (and after the cell papermill injects), this sees every name set in between, so a misspelt
    one is an error:

        parameters = Parameters(globals())     # first cell
        model = "embedded"                     # the cell tagged `parameters`; papermill adds its own below
        config = parameters.config()           # the next cell
    """

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self._namespace = namespace
        self._before = dict(namespace)
        self._names: set[str] | None = None

    def config(self, **overrides: Any) -> RunConfig:
        """The config those parameters make; running the cell again later reads the same names anew."""
        if self._names is None:
            self._names = self._found()
            self._namespace[_READ] = sorted(self._names)
        return RunConfig(**({name: self._namespace[name] for name in sorted(self._names)} | overrides))

    def _found(self) -> set[str]:
        """The parameters that the cells set: names that are new or have a new value, those that were parameters when
        the cells were last run, and every name of `RunConfig` itself, whenever it was set."""
        now = {
            name: value
            for name, value in self._namespace.items()
            if not (name.startswith("_") or value is self or isinstance(value, types.ModuleType) or callable(value))
        }
        for name in sorted(set(now) - set(self._before) - parameter_names()):
            del self._namespace[name]  # so that a second Run All sees a misspelt name as new again
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, parameter_names())}")
        known = {*RunConfig.model_fields, *self._namespace.get(_READ, ())}
        new = {name for name, value in now.items() if value is not self._before.get(name, _READ)}
        return set(now) & parameter_names() & (known | new)
