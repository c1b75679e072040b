"""How may settings be written? In their groups, by their flat names, or task by task; here all become groups."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from anytime_lib.config.groups import (
    AnalysisConfig,
    EndpointConfig,
    Group,
    LimitsConfig,
    PoolConfig,
    SamplingConfig,
    TaskConfig,
)
from anytime_lib.errors import ConfigError, nearest
from anytime_lib.registry import register_method, register_task, task_names

GROUPS: dict[str, type[Group]] = {
    "endpoint": EndpointConfig,
    "sampling": SamplingConfig,
    "limits": LimitsConfig,
    "analysis": AnalysisConfig,
}
PER_TASK: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in TaskConfig.model_fields if name not in ("pool", "options")},
    **{name if "pair" in name else f"pool_{name}": ("pool", name) for name in PoolConfig.model_fields},
    "vote_tokens": ("options", "self_consistency", "trace_tokens"),
    "tree_width": ("options", "tree_of_thoughts", "width"),
    "tree_branches": ("options", "tree_of_thoughts", "branches"),
    "tree_step": ("options", "tree_of_thoughts", "step_tokens"),
    "per_problem_tokens": ("options", "pdp_per_problem", "attempt_tokens"),
    "principle_tokens": ("options", "leap", "principle_tokens"),
}
"""Flat names of what a task may have for itself -> where it stands. Their value may be a mapping from task to value."""
FLAT: dict[str, tuple[str, ...]] = {
    **PER_TASK,
    **{name: (group, name) for group, fields in GROUPS.items() for name in fields.model_fields},
    "first_token_deadline": ("endpoint", "timeout"),
    "simulated": ("options", "simulated"),
    "settle": ("held_out",),
    "outputs": ("outputs",),
}
"""Every flat name -> where it stands in `RunConfig`."""
_GONE = {
    "pairs_by": "the method's name says who prefers: pdp_verifier, pdp_grader, pdp_agreement, pdp_shuffled",
    "connect_deadline": "endpoint.timeout is the one deadline",
    "request_deadline": "endpoint.timeout is the one deadline",
}


def grouped(settings: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Settings in their groups, however they were written: grouped, flat, or by task; flat ones count last.

    Args:
        fields: the names of `RunConfig` itself.

    Raises:
        ConfigError: a name is unknown, or what may be a key stands where a name or an address belongs.
    """
    found: dict[str, Any] = {}
    names = {*fields, *FLAT}
    for name in settings:
        if name in _GONE:
            raise ConfigError(f"parameter {name!r} is no more: {_GONE[name]}")
        if name not in names:
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, names)}")
    found["tasks"] = _tasks(settings.get("tasks", ["natural_plan_trip"]))
    for name in sorted(set(settings) - {"tasks"}, key=lambda name: name in FLAT and FLAT[name] != (name,)):
        value, path = settings[name], FLAT.get(name, (name,))
        if name in PER_TASK and isinstance(value, Mapping):
            for task, own in value.items():
                if known(name, "task", task, task_names()) in found["tasks"]:
                    _put(found["tasks"][task], path, own)
        else:
            _put(found, path, value)
    if "outputs" in found:
        found["run"] = f"{found.pop('outputs')}/{Path(found.get('run', 'run')).name}"
    _check_endpoint(found.get("endpoint", {}))
    return found


def _put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set what stands at a path; a mapping or a group that stands there keeps what it has beside."""
    *groups, name = path
    for group in groups:
        inner = into.get(group)
        into[group] = dict(inner) if isinstance(inner, Mapping | BaseModel) else {}
        into = into[group]
    into[name] = _named(value) if name == "methods" else value


def task_name(task: Any) -> Any:
    """A task's name; a task of the user's own is registered."""
    return task if isinstance(task, str) or not hasattr(task, "grade") else register_task(task).name


def _tasks(tasks: Any) -> Any:
    """Tasks as a mapping from name to settings of its own, which are put in their groups as the run's are."""
    if isinstance(tasks, list | tuple):
        names = [task_name(task) for task in tasks]
        if len(set(map(str, names))) < len(names):
            raise ConfigError(f"tasks names one twice: {', '.join(map(str, names))}")
        return {name: {} for name in names}
    if not isinstance(tasks, Mapping):
        return tasks
    found: dict[str, dict[str, Any]] = {name: {} for name in tasks}
    for task, own in tasks.items():
        if not isinstance(own or {}, Mapping):
            raise ConfigError(f"tasks: the settings of {task} must be a mapping, not {own!r:.80}")
        for name, value in (own or {}).items():
            if name not in {*TaskConfig.model_fields, *PER_TASK}:
                raise ConfigError(f"tasks: {task}: unknown setting {name!r}{nearest(name, TaskConfig.model_fields)}")
            _put(found[task], PER_TASK.get(name, (name,)), value)
    return found


def _named(methods: Any) -> Any:
    """Methods by name; those of the user's own are registered."""
    if not isinstance(methods, list | tuple):
        return methods
    return [m if isinstance(m, str | int | float | None) else register_method(m).name for m in methods]


def known(where: str, kind: str, name: Any, names: list[str]) -> str:
    if name not in names:
        raise ConfigError(f"{where}: unknown {kind} {name!r}{nearest(str(name), names)}")
    return str(name)


def _check_endpoint(endpoint: Any) -> None:
    """Refuse what may be a key where a name or an address belongs, without repeating it."""
    endpoint = dict(endpoint) if isinstance(endpoint, Mapping | BaseModel) else {}
    if endpoint.get("base_url") is not None:
        check_url(endpoint["base_url"], "base_url")
    variable = endpoint.get("api_key_env", "OPENAI_API_KEY")
    if not (isinstance(variable, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{1,60}", variable)):
        raise ConfigError(
            "api_key_env must be the name of an environment variable, such as OPENAI_API_KEY: put the key into that "
            "variable, never into the parameters"
        )


def check_url(url: object, name: str) -> str:
    """An endpoint's address as it may be stored: without a password or a key in it, and without a slash at its end.

    Raises:
        ConfigError: it is no http(s) address, or it carries a secret; the message does not repeat it.
    """
    try:
        parts = urlsplit(str(url))
        plain = isinstance(url, str) and parts.scheme in ("http", "https") and bool(parts.hostname)
        secret = parts.username is not None or bool(parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        plain = secret = False
    if secret:
        raise ConfigError(
            f"{name} carries a user name, password or query, which would be stored with every request; give the bare "
            "address, and the key in the environment variable that api_key_env names"
        )
    if not plain:
        raise ConfigError(f"{name} must be an address such as https://api.openai.com/v1, not {str(url)[:80]!r}")
    return str(url).rstrip("/")
