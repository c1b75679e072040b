"""What is to be run? One class, `RunConfig`.

Settings that belong together form groups (`endpoint`, `sampling`, `pool`, `limits`, `analysis`, `held_out`,
`options`); what a task needs for itself stands under its name in `tasks`. Every setting of a group can also be given by
its flat name (`concurrency=8`, `pool_budget=64`), beside what the group has: so `papermill -f x.yaml -p concurrency 8`
keeps the file's `base_url`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from anytime_lib.config.groups import (
    AnalysisConfig,
    Count,
    EndpointConfig,
    Group,
    HeldOutConfig,
    LimitsConfig,
    PoolConfig,
    SamplingConfig,
    TaskConfig,
)
from anytime_lib.errors import ConfigError, nearest
from anytime_lib.registry import load_method, load_task, method_names, register_method, register_task, task_names


class RunConfig(TaskConfig):
    """One experiment. Every field can be set in a YAML file of params/ or with `papermill -p`.

    Raises:
        ConfigError: a setting is unknown (the message names the nearest), of the wrong type, or makes no sense.
    """

    run: str = Field("run", description="the run's folder: a path, or a bare name for one in `outputs`")
    model: str = Field(
        "embedded", description="`embedded`, `simulated`, the path of a .gguf file, or a model's name at `base_url`"
    )
    seed: int = Field(0, ge=0, description="of problems, samples and resamples")
    n_samples: Count = Field(2, description="reasoning traces per problem")
    tasks: dict[str, dict[str, Any]] = Field(
        {"natural_plan_trip": {}}, min_length=1, description="names, or name -> settings of its own (TaskConfig)"
    )
    endpoint: EndpointConfig = Field(EndpointConfig(), description="how the model is reached (EndpointConfig)")
    sampling: SamplingConfig = Field(SamplingConfig(), description="how traces are sampled (SamplingConfig)")
    limits: LimitsConfig = Field(LimitsConfig(), description="what the run may cost (LimitsConfig)")
    analysis: AnalysisConfig = Field(AnalysisConfig(), description="how the run is read (AnalysisConfig)")
    held_out: HeldOutConfig | None = Field(None, description="a criterion for the verdict (HeldOutConfig)")

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**_grouped(settings))
        except ValidationError as error:
            raise ConfigError(in_words(error)) from None

    @model_validator(mode="after")
    def _make_sense(self) -> RunConfig:
        if not re.fullmatch(r"([^\x00-\x1f\\]*/)?[^\x00-\x1f\\/\s.][^\x00-\x1f\\/]*", self.run):
            raise ValueError(f"run must be a folder's name or path, not {self.run!r}")
        for name in self.tasks:
            _known("tasks", "task", name, task_names())
            for method in self.task(name).methods:
                _known("methods", "method", method, method_names())
        if "simulated" in self.options and self.model != "simulated":
            raise ValueError(f"options: `simulated` is for `model: simulated`, and the model is {self.model!r}")
        for name in set(self.options) - {"simulated"}:
            load_method(_known("options", "method", name, method_names()), self.options[name])
        if self.held_out:
            for name in filter(None, (self.held_out.task, self.held_out.prepared_on)):
                _known("held_out", "task", name, task_names())
            for name in (self.held_out.baseline, self.held_out.treatment):
                _known("held_out", "method", name, method_names())
        family = self.analysis.family
        for name in {self.analysis.baseline, *itertools.chain(*family or ())}:
            _known("baseline and family", "method", name, method_names())
        if family is not None and (not family or any(len(set(p)) != 2 or len(p) != 2 for p in family)):
            raise ValueError("family must list pairs of two different methods, or be None for all against the baseline")
        return self

    def task(self, name: str) -> TaskConfig:
        """The settings of one task, its own before the run's; `answer_tokens` is the task's own where none is set."""
        whole = {field: getattr(self, field) for field in TaskConfig.model_fields}
        own = self.tasks.get(name, {})
        for group in ("pool", "options"):
            if group in own:
                dumped = whole[group].model_dump() if group == "pool" else whole[group]
                own = own | {group: dumped | own[group]}
        try:
            found = TaskConfig(**(whole | own))
        except ValidationError as error:
            raise ConfigError(f"{name}: {in_words(error)}") from None
        if found.answer_tokens is None:
            found = found.model_copy(update={"answer_tokens": load_task(name).answer_tokens})
        return found

    def but(self, **changes: Any) -> RunConfig:
        """The same config with some settings changed, checked again. Tasks that are only named keep their settings."""
        if isinstance(changes.get("tasks"), list):
            changes["tasks"] = {name: self.tasks.get(name, {}) for name in map(_task_name, changes["tasks"])}
        kept = self.model_dump()
        for name in set(changes) & set(_PER_TASK):  # a value for all tasks is one for all
            for own in kept["tasks"].values() if not isinstance(changes[name], Mapping) else ():
                *groups, field = _PER_TASK[name]
                functools.reduce(lambda inner, group: inner.get(group, {}), groups, own).pop(field, None)
        return type(self)(**{**kept, **changes})

    @property
    def resampling(self) -> dict[str, Any]:
        """What the statistics take: n_resamples, seed, confidence_level."""
        found = self.analysis
        return {"n_resamples": found.n_resamples, "seed": self.seed, "confidence_level": found.confidence_level}

    @property
    def folder(self) -> Path:
        """Where the run's files are; from within the folder `notebooks`, the one beside it."""
        here = Path("..") if Path.cwd().name == "notebooks" else Path()
        run = Path(self.run).expanduser()
        return here / (run if len(run.parts) > 1 else Path("outputs", run))

    @property
    def label(self) -> str:
        """The run's name in the cells table."""
        return Path(self.run).name

    @classmethod
    def from_yaml(cls, path: str | Path, **overrides: Any) -> RunConfig:
        """A config from a YAML file, `overrides` on top."""
        return cls(**{**read_yaml(path), **overrides})


GROUPS: dict[str, type[Group]] = {
    "endpoint": EndpointConfig,
    "sampling": SamplingConfig,
    "limits": LimitsConfig,
    "analysis": AnalysisConfig,
}
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
FLAT: dict[str, tuple[str, ...]] = {
    **_PER_TASK,
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


def parameter_names() -> set[str]:
    """Every name that a params file may set."""
    return {*RunConfig.model_fields, *FLAT}


def _grouped(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in their groups, however they were written: grouped, flat, or by task; flat ones count last."""
    found: dict[str, Any] = {}
    for name in sorted(settings, key=lambda name: name not in RunConfig.model_fields):
        if name in _GONE:
            raise ConfigError(f"parameter {name!r} is no more: {_GONE[name]}")
        if name not in parameter_names():
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, parameter_names())}")
    found["tasks"] = _tasks(settings.get("tasks", ["natural_plan_trip"]))
    for name in sorted(set(settings) - {"tasks"}, key=lambda name: name in FLAT and FLAT[name] != (name,)):
        value, path = settings[name], FLAT.get(name, (name,))
        if name in _PER_TASK and isinstance(value, Mapping):
            for task, own in value.items():
                if _known(name, "task", task, task_names()) in found["tasks"]:
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


def _task_name(task: Any) -> Any:
    """A task's name; a task of the user's own is registered."""
    return task if isinstance(task, str) or not hasattr(task, "grade") else register_task(task).name


def _tasks(tasks: Any) -> Any:
    """Tasks as a mapping from name to settings of its own, which are put in their groups as the run's are."""
    if isinstance(tasks, list | tuple):
        names = [_task_name(task) for task in tasks]
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
            if name not in {*TaskConfig.model_fields, *_PER_TASK}:
                raise ConfigError(f"tasks: {task}: unknown setting {name!r}{nearest(name, TaskConfig.model_fields)}")
            _put(found[task], _PER_TASK.get(name, (name,)), value)
    return found


def _named(methods: Any) -> Any:
    """Methods by name; those of the user's own are registered."""
    if not isinstance(methods, list | tuple):
        return methods
    return [m if isinstance(m, str | int | float | None) else register_method(m).name for m in methods]


def _known(where: str, kind: str, name: Any, known: list[str]) -> str:
    if name not in known:
        raise ConfigError(f"{where}: unknown {kind} {name!r}{nearest(str(name), known)}")
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


def in_words(error: ValidationError) -> str:
    """The first complaint of a validation error, in one sentence."""
    first = error.errors()[0]
    words = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return words
    *groups, name = [str(part) for part in first["loc"] if not isinstance(part, int)]
    value = first["input"]
    if first["type"] == "extra_forbidden":
        group = GROUPS.get(groups[0]) or (PoolConfig if groups[0] == "pool" else HeldOutConfig)
        return f"{'.'.join(groups)}: unknown setting {name!r}{nearest(name, group.model_fields)}"
    name = ".".join([*groups, name])
    hint = ""
    if isinstance(value, float) and "string" in words:
        hint = f" (papermill's -p turns what looks like a number into one; use -r {name} instead)"
    return f"parameter {name!r}: {words[0].lower()}{words[1:]}, got {value!r:.200}{hint}"


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError in one sentence if there is none."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{path} must hold parameters, one 'name: value' a line")
    return found
