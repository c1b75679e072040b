"""Which tasks, methods and rules of exclusion are known, by name?

Built-in ones are imported when first asked for. Their types lie further up: `tasks.base.Task`, `methods.base.Method`.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from pkgutil import resolve_name
from typing import Any

from anytime_lib.errors import ConfigError, nearest

_TASKS = {"natural_plan_trip": "trip", "aime": "aime", "gpqa": "gpqa"}
_METHODS = {
    **dict.fromkeys(("direct", "base"), "simple"),
    **dict.fromkeys(("budget_prompt", "few_shot", "imported"), "controls"),
    **dict.fromkeys(("base_fresh", "base_prefill", "base_reworded"), "controls"),
    **{name: name for name in ("self_consistency", "tree_of_thoughts", "leap", "pdp_per_problem")},
    **dict.fromkeys(("pdp", "pdp_plus", "pdp_minus", "pdp_4", "pdp_16", "pdp_at_budget", "pdp_answers"), "pdp"),
    **dict.fromkeys(("pdp_grader", "pdp_shuffled", "pdp_verifier", "pdp_agreement", "pdp_answers_16"), "pdp"),
}
_NEEDED = ("name", "answer_tokens", "problems", "question", "answer_prompt", "gold_reasoning", "gold_answer", "grade")

_tasks: dict[str, Any] = {}
_methods: dict[str, Any] = {}


def task_names() -> list[str]:
    return [*_TASKS, *_tasks]


def method_names() -> list[str]:
    return [*_METHODS, *_methods]


def task_name(task: Any) -> str:
    """A task's name: ConfigError with the nearest if it is unknown; a task of the user's own is registered."""
    return _known(task, task_names(), "task") if isinstance(task, str) else register_task(_instance(task)).name


def method_name(method: Any) -> str:
    """As `task_name`, of a method."""
    if isinstance(method, str):
        return _known({"recorded": "imported"}.get(method, method), method_names(), "method")  # its name in old runs
    return register_method(_instance(method)).name


def _instance(given: Any) -> Any:
    if isinstance(given, type):
        raise ConfigError(f"{given.__name__} is a class: give an instance of it, {given.__name__}()")
    return given


def rule_name(rule: Any) -> str:
    """As `task_name`, of a rule of exclusion; they stand in `stats.sensitivity`."""
    return _known(rule, [*resolve_name("anytime_lib.stats.sensitivity:RULES")], "rule")


def load_task(name: Any) -> Any:
    """The task of that name; ConfigError with the nearest name if there is none."""
    name = task_name(name)
    return _tasks[name] if name in _tasks else resolve_name(f"anytime_lib.tasks.{_TASKS[name]}:TASK")


def load_method(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The method of that name, with what `options` set of it; ConfigError, with the nearest, if there is no such."""
    name = method_name(name)
    method = _methods[name] if name in _methods else resolve_name(f"anytime_lib.methods.{_METHODS[name]}:METHODS")[name]
    known = [field.name for field in fields(method)] if is_dataclass(method) else []
    for option, value in (options or {}).items():
        if option not in known:
            raise ConfigError(f"options: {name} has no setting {option!r}{nearest(option, known)}")
        if type(value) is not int or value < 1:
            raise ConfigError(f"options: {option} of {name} must be a whole number of at least 1, not {value!r:.80}")
    return replace(method, **options) if options else method


def register_task(task: Any) -> Any:
    """Make a task of the user's own known by its name; returns it. Registered again, the newer one counts. ConfigError
    if it lacks an attribute of `Task`, or has the name of a built-in one."""
    if missing := [attribute for attribute in _NEEDED if not hasattr(task, attribute)]:
        raise ConfigError(f"a task needs the attributes of anytime_lib.tasks.base.Task; missing: {', '.join(missing)}")
    _tasks[_own_name(task, _TASKS)] = task
    return task


def register_method(method: Any) -> Any:
    """As `register_task`, for an instance of a subclass of `Prompted` or `Searching`."""
    if not isinstance(method, resolve_name("anytime_lib.methods.base:Method")):
        raise ConfigError(f"a method is an instance of a subclass of Prompted or Searching, not {method!r:.80}")
    _methods[_own_name(method, [*_METHODS, "synthesis"])] = method  # so the ledger calls attempts at the pool
    return method


def _own_name(given: Any, taken: Collection[str]) -> str:
    name = getattr(_instance(given), "name", None)
    if isinstance(name, str) and name in taken:
        raise ConfigError(f"{name!r} is the name of a built-in one: choose another")
    if not (isinstance(name, str) and name.strip() and name.isprintable()) or {*name} & {*"/\\"}:
        raise ConfigError(f"{type(given).__name__} has no plain `name` ({name!r:.80}): set one, as `name = 'mine'`")
    return name


def _known(name: str, names: Collection[str], kind: str) -> str:
    if name not in names:
        raise ConfigError(f"unknown {kind} {name!r}{nearest(str(name), names)}")
    return name
