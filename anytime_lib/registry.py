"""Which tasks and methods are known, by name?

Built-in ones are imported when they are first asked for, so that naming one loads nothing. Objects are `Any` here:
their types, `tasks.base.Task` and `methods.base.Method`, lie further up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any

from anytime_lib.errors import ConfigError, nearest

_TASKS = {"natural_plan_trip": "trip", "aime": "aime", "gpqa": "gpqa"}
_METHODS = {
    **dict.fromkeys(("direct", "base", "budget_prompt", "few_shot"), "simple"),
    "self_consistency": "self_consistency",
    "tree_of_thoughts": "tree_of_thoughts",
    "leap": "leap",
    **dict.fromkeys(("pdp", "pdp_plus"), "pdp"),
    "pdp_per_problem": "pdp_per_problem",
    **dict.fromkeys(("pdp_grader", "pdp_shuffled", "pdp_verifier", "pdp_agreement"), "pdp"),
    "imported": "simple",
}
OLD_NAMES = {"recorded": "imported"}
"""What methods were called before -> what they are called now."""
_NEEDED = ("name", "answer_tokens", "problems", "question", "answer_prompt", "gold_reasoning", "gold_answer", "grade")

_tasks: dict[str, Any] = {}
_methods: dict[str, Any] = {}


def task_names() -> list[str]:
    """Names that `load_task` knows."""
    return [*_TASKS, *_tasks]


def method_names() -> list[str]:
    """Names that `load_method` knows."""
    return [*_METHODS, *_methods]


def load_task(name: Any) -> Any:
    """The task of that name (a task passes through); ConfigError with the nearest name if there is none."""
    if not isinstance(name, str):
        return name
    if name in _TASKS:
        return _found(f"tasks.{_TASKS[name]}", "TASK")
    if name not in _tasks:
        raise ConfigError(f"unknown task {name!r}{nearest(name, task_names())}")
    return _tasks[name]


def load_method(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The method of that name, with the settings of its own that `options` give.

    Raises:
        ConfigError: no method has that name, or it has no such setting; the message gives the nearest.
    """
    name = OLD_NAMES.get(name, name)
    if name not in method_names():
        raise ConfigError(f"unknown method {name!r}{nearest(name, method_names())}")
    method = _methods[name] if name in _methods else _found(f"methods.{_METHODS[name]}", "METHODS")[name]
    known = [field.name for field in fields(method)] if is_dataclass(method) else []
    for option, value in (options or {}).items():
        if option not in known:
            raise ConfigError(f"options: {name} has no setting {option!r}{nearest(option, known) if known else ''}")
        if isinstance(value, bool) or not (isinstance(value, int) and value >= 1):
            raise ConfigError(f"options: {option} of {name} must be a whole number of at least 1, not {value!r:.80}")
    return replace(method, **options) if options else method


def register_task(task: Any) -> Any:
    """Make a task of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it is a class, lacks an attribute of `Task`, or has the name of a built-in task.
    """
    name = _own_name(task, _TASKS, "task")
    if missing := [a for a in _NEEDED if not hasattr(task, a)]:
        raise ConfigError(f"a task needs the attributes of anytime_lib.tasks.base.Task; missing: {', '.join(missing)}")
    _tasks[name] = task
    return task


def register_method(method: Any) -> Any:
    """Make a method of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it is a class, has no name or a taken one (also `synthesis`), or is no `Prompted` or `Searching`.
    """
    name = _own_name(method, _METHODS, "method")
    if not isinstance(method, _found("methods.base", "Method")):
        raise ConfigError(f"a method is an instance of a subclass of Prompted or Searching, not {method!r:.80}")
    if name == "synthesis":
        raise ConfigError("'synthesis' is what the ledger calls attempts at the pool; give your method another name")
    _methods[name] = method
    return method


def _found(module: str, name: str) -> Any:
    return getattr(import_module(f"anytime_lib.{module}"), name)


def _own_name(given: Any, built_in: Mapping[str, str], kind: str) -> str:
    """The name of a task or method of the user's, which must be an instance and not named like a built-in one."""
    if isinstance(given, type):
        raise ConfigError(f"{given.__name__} is a class; give an instance of it, {given.__name__}()")
    name = getattr(given, "name", None)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{type(given).__name__} needs a `name`, for cells and figures")
    if name in built_in:
        raise ConfigError(f"{name!r} is a built-in {kind}; give yours another name")
    return name
