"""Which parameters did a notebook's cells set?"""

from __future__ import annotations

from collections.abc import MutableMapping
from types import ModuleType
from typing import Any

from anytime_lib.config.run import RunConfig, parameter_names
from anytime_lib.errors import ConfigError, nearest

_READ = "_anytime_parameters"
"""Where a notebook's namespace keeps the names that were parameters when its cells were last run."""


class Parameters:
    """The parameters of a notebook: the names that its parameter cells set.

    Made in the first cell, `parameters = Parameters(globals())`, and read after the cell tagged `parameters` and the
    one that papermill injects, `config = parameters.config()`, it sees every name set in between. So a misspelt one,
    of which papermill only warns, is an error.
    """

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self._namespace, self._before = namespace, dict(namespace)
        self._names: list[str] = []

    def config(self, **overrides: Any) -> RunConfig:
        """The config those parameters make; running the cell again later reads the same names anew."""
        self._names = self._names or self._found()
        self._namespace[_READ] = self._names
        return RunConfig(**({name: self._namespace[name] for name in self._names} | overrides))

    def _found(self) -> list[str]:
        """Names set in between, those that were parameters when the cells were last run, and all of `RunConfig`."""
        known, read = parameter_names(), {*RunConfig.model_fields, *self._namespace.get(_READ, ())}
        found = []
        for name, value in list(self._namespace.items()):
            if name.startswith("_") or isinstance(value, ModuleType | Parameters) or callable(value):
                continue
            if name not in known and name not in self._before:
                del self._namespace[name]  # so that a second Run All sees a misspelt name as new again
                raise ConfigError(f"unknown parameter {name!r}{nearest(name, known)}")
            if name in known and (name in read or value is not self._before.get(name, _READ)):
                found.append(name)
        return found
