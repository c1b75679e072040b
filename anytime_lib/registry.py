"""Which tasks and methods are known, by name?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from anytime_lib.errors import ConfigError, nearest

if TYPE_CHECKING:
    from anytime_lib.methods.base import Method
    from anytime_lib.tasks.base import Task

_BUILT_IN_TASKS = {"natural_plan_trip": "trip", "aime": "aime", "gpqa": "gpqa"}


_NEEDED = (
    "name",
    "answer_tokens",
    "problems",
    "question",
    "answer_prompt",
    "gold_reasoning",
    "gold_answer",
    "grade",
)


_tasks: dict[str, Task] = {}


def task_names() -> list[str]:
    """Names that `load_task` knows."""
    return [*_BUILT_IN_TASKS, *_tasks]


def register_task(task: Task) -> Task:
    """Make a task of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it lacks an attribute of `Task`, or has the name of a built-in task.
    """
    missing = [a for a in _NEEDED if not hasattr(task, a)]
    if missing:
        raise ConfigError(f"a task needs the attributes of anytime_lib.tasks.base.Task; missing: {', '.join(missing)}")
    if task.name in _BUILT_IN_TASKS:
        raise ConfigError(f"{task.name!r} is a built-in task; give yours another name")
    _tasks[task.name] = task
    return task


def load_task(name: str | Task) -> Task:
    """The task of that name (a `Task` passes through).

    Raises:
        ConfigError: no task has that name; the message gives the nearest.
    """
    if not isinstance(name, str):
        return name
    if name in _tasks:
        return _tasks[name]
    if name not in _BUILT_IN_TASKS:
        raise ConfigError(f"unknown task {name!r}{nearest(name, task_names())}")
    task: Task = import_module(f"anytime_lib.tasks.{_BUILT_IN_TASKS[name]}").TASK
    return task


_MODULES = {
    "direct": "simple",
    "base": "simple",
    "budget_prompt": "simple",
    "few_shot": "simple",
    "self_consistency": "self_consistency",
    "tree_of_thoughts": "tree_of_thoughts",
    "leap": "leap",
    "pdp": "pdp",
    "pdp_plus": "pdp",
    "pdp_per_problem": "pdp_per_problem",
    "pdp_grader": "pdp",
    "pdp_shuffled": "pdp",
    "pdp_verifier": "pdp",
    "pdp_agreement": "pdp",
    "recorded": "simple",
}


_methods: dict[str, Method] = {}


def method_names() -> list[str]:
    """Names that `load_method` knows."""
    return [*_MODULES, *_methods]


def register_method(method: Method) -> Method:
    """Make a method of the user's own known by its name; returns it. Registered again, the newer one counts.

    Raises:
        ConfigError: it is no `Prompted` or `Searching` method, or has no name or one that is taken: that of a
            built-in one, or `synthesis`.
    """
    if isinstance(method, type) or not any(hasattr(method, way) for way in ("messages", "answers_by_budget")):
        raise ConfigError(f"a method is an instance of a subclass of Prompted or Searching, not {method!r:.80}")
    name = getattr(method, "name", None)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{type(method).__name__} needs a `name`, for cells and figures")
    if name in _MODULES:
        raise ConfigError(f"{name!r} is a built-in method; give yours another name")
    if name == "synthesis":
        raise ConfigError("'synthesis' is what the ledger calls attempts at the pool; give your method another name")
    _methods[name] = method
    return method


def load_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The method of that name, with the settings of its own that `options` give.

    Raises:
        ConfigError: no method has that name, or it has no such setting; the message gives the nearest.
    """
    if name not in method_names():
        raise ConfigError(f"unknown method {name!r}{nearest(name, method_names())}")
    method: Method = _methods.get(name) or import_module(f"anytime_lib.methods.{_MODULES[name]}").METHODS[name]
    if not options:
        return method
    known: list[str] = [field.name for field in fields(method)] if is_dataclass(method) else []
    for option, value in options.items():
        if option not in known:
            raise ConfigError(f"options: {name} has no setting {option!r}{nearest(option, known) if known else ''}")
        if isinstance(value, bool) or not (isinstance(value, int) and value >= 1):
            raise ConfigError(f"options: {option} of {name} must be a whole number of at least 1, not {value!r:.80}")
    return replace(method, **options)  # type: ignore[type-var]
