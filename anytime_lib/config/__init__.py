"""What is to be run? One class, `RunConfig`, and the ways in which its settings may be written.

Settings that belong together form groups; what a task needs for itself stands under its name in `tasks`. Every setting
of a group can also be given by its flat name (`concurrency=8`, `pool_budget=64`), beside what the group has: so
`papermill -f x.yaml -p concurrency 8` keeps the file's `base_url`.
"""

import re
from collections.abc import Iterable, Mapping
from inspect import Parameter, Signature, getdoc
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, model_validator

from anytime_lib.config.groups import Group, HeldOutConfig, PoolConfig, Settings, TaskConfig, explained
from anytime_lib.errors import ConfigError, nearest
from anytime_lib.registry import load_method, load_task, method_names, task_name


class RunConfig(Settings):
    """One experiment. Every field can be set in a YAML file of params/ or with `papermill -p`; ConfigError where one is
    unknown (the message names the nearest), of the wrong type, or makes no sense."""

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**_grouped(settings))
        except ValidationError as error:
            raise ConfigError(in_words(error)) from None

    @model_validator(mode="after")
    def _check_tasks(self) -> "RunConfig":
        if "simulated" in self.options and self.model != "simulated":
            raise ConfigError(f"options: `simulated` is for `model: simulated`, and the model is {self.model!r}")
        n_levels, of_effort = len(self.sampling.efforts), self.sampling.mode == "effort"
        if (n_levels < 2 or self.model == "simulated") if of_effort else n_levels:
            raise ConfigError("`mode: effort` takes `efforts: [low, high]`, two or more, and a model that knows them")
        for settings in map(self.task, self.tasks):
            if (n := self.n_samples * settings.n_problems) > 10**7:
                raise ConfigError(f"n_samples times n_problems are {n:,} traces of every method; ask for fewer")
            if self.n_samples % settings.pool.draws:
                must = f"n_samples ({self.n_samples}) must be a multiple of pool.draws ({settings.pool.draws})"
                raise ConfigError(f"{must}: samples are dealt to the draws in turn")
            for method in settings.options.keys() - {"simulated"}:
                if method not in method_names():
                    raise ConfigError(f"options: unknown {method!r}{nearest(method, [*method_names(), 'simulated'])}")
                load_method(method, settings.options[method])
        return self

    def task(self, name: str) -> TaskConfig:
        """The settings of one task, its own before the run's; `answer_tokens` is the task's own where none is set."""
        settings = _merged(self.model_dump(include={*TaskConfig.model_fields}), self.tasks.get(name, {}))
        if settings["answer_tokens"] is None:
            settings["answer_tokens"] = load_task(name).answer_tokens
        try:
            return TaskConfig(**settings)
        except ValidationError as error:
            raise ConfigError(f"{name}: {in_words(error)}") from None

    def but(self, **changes: Any) -> "RunConfig":
        """The same config with some settings changed, checked again. A value for all tasks takes the place of what
        tasks have of their own; tasks that are only listed keep the rest of theirs."""
        tasks = changes.pop("tasks", list(self.tasks))
        if isinstance(tasks, list):
            kept = {name: self.tasks.get(name, {}) for name in map(task_name, tasks)}
            for_all = {name for name, value in changes.items() if not isinstance(value, Mapping)}
            tasks = {task: {name: own[name] for name in own.keys() - for_all} for task, own in kept.items()}
        return type(self)(**{**self.model_dump(), **changes, "tasks": tasks})

    @property
    def resampling(self) -> dict[str, Any]:
        """What the statistics take: n_resamples, seed, confidence_level."""
        return {"seed": self.seed, **self.analysis.model_dump(include={"n_resamples", "confidence_level"})}

    @property
    def declared(self) -> dict[str, Any]:
        """What conclusions follow from, and is declared before a run: family, margins, exclusions, criterion."""
        held_out = self.held_out and self.held_out.model_dump(mode="json")
        return {"held_out": held_out, **self.analysis.model_dump(exclude={"n_resamples"})}

    @property
    def folder(self) -> Path:
        """Where the run's files are; from within the folder `notebooks`, the one beside it."""
        run = Path(self.run).expanduser()
        within = ".." if Path.cwd().name == "notebooks" else ""
        return Path(within, run if len(run.parts) > 1 else Path("outputs", run))

    @property
    def label(self) -> str:
        """The run's name in the cells table."""
        return Path(self.run).name

    @classmethod
    def from_yaml(cls, path: str | Path, **overrides: Any) -> "RunConfig":
        """A config from a YAML file, `overrides` on top."""
        return cls(**{**read_yaml(path), **overrides})


_PER_TASK: dict[str, tuple[str, ...]] = {
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
_GROUPS = {name: type(of.default) for name, of in RunConfig.model_fields.items() if isinstance(of.default, Group)}
_FLAT: dict[str, tuple[str, ...]] = {
    **_PER_TASK,
    **{name: (group, name) for group, fields in _GROUPS.items() if group != "pool" for name in fields.model_fields},
    "simulated": ("options", "simulated"),
    "settle": ("held_out",),
    "outputs": ("outputs",),
}
"""Every flat name -> where it stands in `RunConfig`."""


def _grouped(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in their groups, however they were written: grouped, flat, or by task; flat ones count last."""
    found: dict[str, Any] = {}
    tasks = _tasks(settings.get("tasks", ["natural_plan_trip"]))
    for name in sorted(settings.keys() - {"tasks"}, key=lambda name: len(_FLAT.get(name, ()))):
        path, value = _FLAT.get(name, (name,)), settings[name]
        if name in _PER_TASK and isinstance(value, Mapping):
            for task in {task_name(task) for task in value} & tasks.keys():
                tasks[task] = _merged(tasks[task], _nested(path, value[task]))
        else:
            found = _merged(found, _nested(path, value))
    if "outputs" in found:
        found["run"] = f"{found.pop('outputs')}/{Path(found.get('run', 'run')).name}"
    return {**found, "tasks": tasks}


def _tasks(tasks: Any) -> dict[str, dict[str, Any]]:
    """Tasks as a mapping from name to settings of its own, which are put in their groups as the run's are."""
    if isinstance(tasks, list | tuple):
        return {task_name(task): {} for task in tasks}
    if not isinstance(tasks, Mapping) or not all(isinstance(own or {}, Mapping) for own in tasks.values()):
        raise ConfigError(f"tasks must be a list of names, or a mapping from names to mappings, not {tasks!r:.80}")
    found: dict[str, dict[str, Any]] = {task: {} for task in tasks}
    for task, own in tasks.items():
        for name, value in (own or {}).items():
            found[task] = _merged(found[task], _nested(_PER_TASK.get(name, (name,)), value))
    return found


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Groups around a value, so that it stands at a path."""
    for name in reversed(path[1:]):
        value = {name: value}
    return {path[0]: value.model_dump() if isinstance(value, Group) else value}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others on top; a group keeps what it has beside."""
    both = {name: (under[name], over[name]) for name in under.keys() & over.keys()}
    groups = {name: _merged(*pair) for name, pair in both.items() if all(isinstance(part, Mapping) for part in pair)}
    return {**under, **over, **groups}


def parameter_names() -> set[str]:
    """Every name that a params file may set."""
    return {*RunConfig.model_fields, *_FLAT}


def in_words(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """The first complaint of a validation error, in one sentence; `fields` are the names known there, if not ours."""
    first = error.errors()[0]
    words, value = first["msg"], first["input"]
    if first["type"] == "value_error":
        return words.removeprefix("Value error, ")
    *groups, name = [part for part in first["loc"] if isinstance(part, str)]
    if first["type"] == "extra_forbidden":
        ours = (_GROUPS | {"held_out": HeldOutConfig})[groups[0]].model_fields if groups else parameter_names()
        return f"unknown parameter {'.'.join([*groups, name])!r}{nearest(name, fields or ours)}"
    listed = f"[{' '.join(str(value).split()).strip('[]() ')}]" if isinstance(value, str | int | float) else "[...]"
    whole = "int(...) makes of numpy's" if type(value).__module__ == "numpy" else "4, without quotes"
    advice = {
        "string_type": "; papermill's -r keeps words as they are",
        "list_type": f"; write a list, as {listed:.80} (with papermill: -y '{name}: {listed:.80}')",
        "int_type": f"; give a plain whole number, as {whole}",
    }.get(first["type"], "")
    return f"parameter {'.'.join([*groups, name])!r}: {words[0].lower()}{words[1:]}, got {value!r:.200}{advice}"


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [name.value for name, _ in node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]!r:.80} is given twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError in one sentence if there is none, or if it is not read as it looks."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        for event in yaml.parse(text):
            if isinstance(event, yaml.AliasEvent):  # with which a few lines make terabytes
                raise yaml.YAMLError("it has an alias (*name); write out what that stands for")
            if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _ODD_NUMBER.fullmatch(event.value):
                raise yaml.YAMLError(f"{event.value!r:.80} is read in several ways: as a number write 10, else '010'")
        found = yaml.load(text, _Loader)
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        place, shipped = Path(path).expanduser().absolute(), sorted(map(str, Path("params").rglob("*.yaml")))
        others = [file.name for file in place.parent.glob("*.yaml")] or shipped
        same = [file for file in shipped if Path(file).stem == place.name.removesuffix(".yaml")]
        near = f"; did you mean {same[0]!r}?" if same else nearest(place.name, others) if others else ""
        near *= isinstance(error, FileNotFoundError)
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot read {str(path)!r}: {' '.join(why.split())}{near}") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{path} must hold parameters, one 'name: value' a line")
    return found


_ODD_NUMBER = re.compile(r"[-+]?(0[box]?[\da-fA-F_]+|\d+(:\d+)+)|[\d_]{100,}")
RunConfig.__doc__ = f"{getdoc(RunConfig)}\n\nEvery setting, with its default and what it is:\n\n{explained(RunConfig)}"
RunConfig.__signature__ = Signature([Parameter("settings", Parameter.VAR_KEYWORD)])
