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

import yaml
from pydantic import Field, ValidationError, model_validator

from anytime_lib.config.flat import FLAT, GROUPS, PER_TASK, grouped, known, task_name
from anytime_lib.config.groups import (
    AnalysisConfig,
    Count,
    EndpointConfig,
    HeldOutConfig,
    LimitsConfig,
    PoolConfig,
    SamplingConfig,
    TaskConfig,
)
from anytime_lib.errors import ConfigError, nearest
from anytime_lib.registry import OLD_NAMES, load_method, load_task, method_names, task_names


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
            super().__init__(**grouped(settings, type(self).model_fields))
        except ValidationError as error:
            raise ConfigError(in_words(error)) from None

    @model_validator(mode="after")
    def _make_sense(self) -> RunConfig:
        if not re.fullmatch(r"([^\x00-\x1f\\]*/)?[^\x00-\x1f\\/\s.][^\x00-\x1f\\/]*", self.run):
            raise ValueError(f"run must be a folder's name or path, not {self.run!r}")
        for name in self.tasks:
            known("tasks", "task", name, task_names())
            for method in self.task(name).methods:
                known("methods", "method", OLD_NAMES.get(method, method), method_names())
        if "simulated" in self.options and self.model != "simulated":
            raise ValueError(f"options: `simulated` is for `model: simulated`, and the model is {self.model!r}")
        for name in set(self.options) - {"simulated"}:
            load_method(known("options", "method", name, method_names()), self.options[name])
        if self.held_out:
            for name in filter(None, (self.held_out.task, self.held_out.prepared_on)):
                known("held_out", "task", name, task_names())
            for name in (self.held_out.baseline, self.held_out.treatment):
                known("held_out", "method", name, method_names())
        family = self.analysis.family
        for name in {self.analysis.baseline, *itertools.chain(*family or ())}:
            known("baseline and family", "method", name, method_names())
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
        kept = self.model_dump()
        if isinstance(changes.get("tasks"), list):
            kept["tasks"] = {name: kept["tasks"].get(name, {}) for name in map(task_name, changes.pop("tasks"))}
        for name in set(changes) & set(PER_TASK):  # a value for all tasks is one for all
            for own in kept["tasks"].values() if not isinstance(changes[name], Mapping) else ():
                *groups, field = PER_TASK[name]
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


def parameter_names() -> set[str]:
    """Every name that a params file may set."""
    return {*RunConfig.model_fields, *FLAT}


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
