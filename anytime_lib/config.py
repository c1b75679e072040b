"""What is to be run? One class, `RunConfig`, read from a YAML file or from a notebook's parameters."""

from __future__ import annotations

import itertools
import re
import types
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from anytime_lib.errors import ConfigError, nearest
from anytime_lib.registry import load_method, load_task, method_names, register_method, register_task, task_names

T = TypeVar("T")
PerTask: TypeAlias = T | dict[str, T]
"""One value for every task, or a mapping from a task's name to its value."""


@dataclass(frozen=True)
class TaskSettings:
    """The settings of one task, with every mapping resolved."""

    task: str
    methods: list[str]
    source: str | None
    pool_source: str | None
    difficulty: list[Any] | None
    n_problems: int
    n_shots: int
    budgets: list[int]
    answer_tokens: int
    pool_problems: int
    pool_budget: int
    n_pairs: int
    pair_tokens: int | None
    vote_tokens: int
    tree_width: int
    tree_branches: int
    tree_step: int
    per_problem_tokens: int
    principle_tokens: int


_COUNTS = ("n_problems", "n_shots", "pool_problems", "pool_budget", "n_pairs", "answer_tokens", "vote_tokens",
           "tree_width", "tree_branches", "tree_step", "per_problem_tokens", "principle_tokens")  # fmt: skip


class HeldOutSettings(BaseModel):
    """A criterion for the claim that one method beats another, written down before the run (see `settling`).

    What is held out is drawn with these `difficulty`, `source`, `seed` and `n_problems`; everything else, the methods'
    preparation included, is the run's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: str = Field(
        description="held out: a task of the run, or, with `prepared_on`, one that the run does not touch"
    )
    prepared_on: str | None = Field(
        None, description="the run's task whose pool the methods are prepared on; None: `task` itself"
    )
    baseline: str = "base"
    treatment: str = "pdp"
    statistic: Literal["index", "quality"] = Field("index", description="Anytime Index, or mean quality over budgets")
    budgets: list[int] | None = Field(None, description="at which; None: the run's")
    margin: float = Field(0.0, ge=0, lt=100, description="by how many points of 100 it must be better")
    confidence_level: float = Field(0.95, gt=0.5, lt=1)
    difficulty: list[Any] | None = Field(None, description="of the held-out problems; None: the run's")
    source: str | None = Field(None, description="of the held-out problems; None: the run's")
    seed: int = Field(ge=0, description="of the held-out problems; another than the run's where the source is the same")
    n_problems: int = Field(ge=2, description="held out")

    @property
    def pool_task(self) -> str:
        """The run's task whose pool the methods are prepared on."""
        return self.prepared_on or self.task


class RunConfig(BaseModel):
    """One experiment. Every field can be set in a YAML file of params/ or with `papermill -p`.

    Fields typed `PerTask` take one value for all tasks or a mapping from task to value.

    Raises:
        ConfigError: a field is unknown (the message names the nearest), of the wrong type, or makes no sense.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    run: str = Field("run", pattern=r"^[^\\/\s.][^\\/]*$", description="name of the run: its folder in `outputs`")
    outputs: str = Field("outputs", description="folder that holds the runs")
    model: str = Field(
        "embedded", description="`embedded`, `simulated`, the path of a .gguf file, or a model's name at `base_url`"
    )
    simulated: dict[str, Any] | None = Field(
        None, description="how the simulated respondent reasons (fields of `Simulation`); None: its defaults"
    )
    base_url: str | None = Field(None, description="OpenAI-compatible endpoint; None: OPENAI_BASE_URL")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable that holds the key (never the key)")
    concurrency: int = Field(4, ge=1, le=1024, description="requests in flight at most; adapts to the server below it")
    requests_per_minute: float | None = Field(None, gt=0, description="the endpoint's own limit; None: none known")
    tokens_per_minute: float | None = Field(None, gt=0, description="the same of prompt and completion tokens together")
    spend_cap_tokens: int | None = Field(None, ge=1, description="the run stops before the call that could break it")
    spend_cap_dollars: float | None = Field(None, gt=0, description="the same in dollars, by the table of prices")
    prices: str | None = Field(None, description="file of prices; None: the package's own dated table")
    retries: int = Field(6, ge=0, le=100, description="further tries of a request that failed in passing")
    connect_deadline: float = Field(10.0, gt=0, description="seconds until a connection stands")
    first_token_deadline: float = Field(300.0, gt=0, description="seconds of silence before the first token")
    request_deadline: float = Field(1800.0, gt=0, description="seconds for a whole request")
    mode: Literal["cut", "fresh"] = Field(
        "cut", description="`cut`: one trace serves every budget; `fresh`: a run of its own for each"
    )
    tokenizer_file: str | None = Field(
        None, description="a `tokenizer.json`, for servers that tell no tokens; scaled to what they bill"
    )
    temperature: float = Field(0.7, ge=0, le=2, description="of the reasoning; answers and verdicts use 0")
    top_p: float = Field(0.95, gt=0, le=1, description="of the reasoning")
    answer_via: Literal["turn", "prefill"] = Field("turn", description="how an answer is forced")
    tasks: list[str] = Field(["natural_plan_trip"], min_length=1, description="names of tasks, or tasks of your own")
    methods: PerTask[list[str]] = Field(
        ["base", "pdp", "pdp_plus"], description="names of methods, or methods of your own"
    )
    source: PerTask[str | None] = Field(None, description="None: problems of our own; else a file or data set")
    pool_source: PerTask[str | None] = Field(
        None,
        description="None: a split of `source`; `none`: no pool, and all of `source` under test; else another source",
    )
    difficulty: PerTask[list[Any] | None] = Field(None, description="levels wanted, in the task's own terms")
    n_problems: PerTask[int] = Field(8, description="problems under test")
    n_samples: int = Field(2, ge=1, description="reasoning traces per problem")
    n_shots: PerTask[int] = Field(0, description="worked examples in context, from the pool")
    budgets: PerTask[list[int]] = Field([16, 32, 64, 128], description="reasoning tokens, increasing")
    answer_tokens: PerTask[int | None] = Field(None, description="cap on the answer turn; None: the task's own")
    pool_problems: PerTask[int] = Field(6, description="pool problems on which preferences are synthesised")
    pool_samples: int = Field(3, ge=2, description="traces per pool problem")
    pool_budget: PerTask[int] = Field(64, description="reasoning tokens of the pool's traces")
    n_pairs: PerTask[int] = Field(2, description="preference pairs put in context")
    pairs_by: Literal["judge", "grader", "verifier", "agreement", "shuffled"] = Field(
        "judge", description="who prefers, for `pdp` and `pdp_plus`; see anytime_lib/judging.py"
    )
    pair_tokens: PerTask[int | None] = Field(None, description="tokens that the pairs in context may take; None: any")
    match_length: bool = Field(False, description="only pairs whose attempts are about equally long")
    rationale_tokens: int = Field(0, ge=0, description="of the judge's words beside its letter; 0: none, and quicker")
    vote_tokens: PerTask[int | None] = Field(
        None, description="cap of one trace of `self_consistency`; None: a quarter of the largest budget"
    )
    tree_width: PerTask[int] = Field(2, description="partial reasonings that `tree_of_thoughts` goes on with")
    tree_branches: PerTask[int] = Field(2, description="thoughts it proposes from each")
    tree_step: PerTask[int | None] = Field(
        None, description="tokens of a thought; None: an eighth of the largest budget"
    )
    per_problem_tokens: PerTask[int | None] = Field(
        None, description="of one attempt of `pdp_per_problem`; None: an eighth of the largest budget"
    )
    principle_tokens: PerTask[int] = Field(
        256, description="of each explanation, each principle and the summary of `leap`"
    )
    settle: HeldOutSettings | None = Field(None, description="a criterion for the verdict; see SettleSettings")
    exclude: list[str] = Field([], description="rules of exclusion for the analysis, declared before the run")
    confidence_level: float = Field(0.95, gt=0.5, lt=1, description="of intervals")
    n_resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    margin: float = Field(0.05, gt=0, lt=1, description="a difference in index, or a loss of quality, that is nothing")
    seed: int = Field(0, ge=0, description="of problems, samples and resamples")
    baseline: str = Field("base", description="the method that others are compared with")
    family: list[list[str]] | None = Field(
        None, description="[baseline, treatment] pairs judged together (Holm); None: every method against `baseline`"
    )

    def __init__(self, **settings: Any) -> None:
        for name in settings:
            if name not in type(self).model_fields:
                raise ConfigError(f"unknown parameter {name!r}{nearest(name, type(self).model_fields)}")
        if isinstance(settings.get("tasks"), list):  # tasks of the user's own may be passed themselves
            names = [t if isinstance(t, str) or not hasattr(t, "grade") else register_task(t).name
                     for t in settings["tasks"]]  # fmt: skip
            settings = settings | {"tasks": names}
        if "methods" in settings:  # so may methods
            settings = settings | {"methods": _named(settings["methods"])}
        if settings.get("base_url") is not None:
            check_url(settings["base_url"], "base_url")
        variable = settings.get("api_key_env", "OPENAI_API_KEY")
        if not (isinstance(variable, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{1,60}", variable)):
            raise ConfigError(  # the value is not repeated: it may be the key itself
                "api_key_env must be the name of an environment variable, such as OPENAI_API_KEY: put the key into "
                "that variable, never into the parameters"
            )
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise ConfigError(_in_words(error)) from None

    @model_validator(mode="after")
    def _make_sense(self) -> RunConfig:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks names one twice: {', '.join(self.tasks)}")
        for task in self.tasks:
            if task not in task_names():
                raise ValueError(f"tasks: unknown task {task!r}{nearest(task, task_names())}")
            settings = self.at(task)
            _check_budgets(task, settings.budgets)
            for name in _COUNTS:
                least = 0 if name == "n_shots" else 1
                if getattr(settings, name) < least:
                    raise ValueError(f"{name} must be at least {least}, not {getattr(settings, name)}")
            if not settings.methods:
                raise ValueError(f"methods of {task} must name at least one of {', '.join(method_names())}")
            for method in settings.methods:
                if method not in method_names():
                    raise ValueError(f"methods: unknown method {method!r}{nearest(method, method_names())}")
            for method in settings.methods:
                by = getattr(load_method(method).preparation, "name", "").removeprefix("pairs:")
                by = self.pairs_by if by == "judge" else by
                if by == "verifier" and not getattr(load_task(task), "verify", None):
                    raise ValueError(f"methods: {method} on {task} needs a checker, and {task} has none (`verify`)")
        if self.settle:
            for name in filter(None, (self.settle.task, self.settle.prepared_on)):
                if name not in task_names():
                    raise ValueError(f"settle: unknown task {name!r}{nearest(name, task_names())}")
            if self.settle.budgets is not None:
                _check_budgets(f"settle of {self.settle.task}", self.settle.budgets)
            for method in (self.settle.baseline, self.settle.treatment):
                if method not in method_names():
                    raise ValueError(f"settle: unknown method {method!r}{nearest(method, method_names())}")
        from anytime_lib.stats.sensitivity import check_rules

        check_rules(self.exclude)
        if self.simulated is not None and self.model != "simulated":
            raise ValueError(f"simulated: these settings are for `model: simulated`, and the model is {self.model!r}")
        for method in {self.baseline, *itertools.chain(*self.family or ())}:
            if method not in method_names():
                raise ValueError(f"baseline and family: unknown method {method!r}{nearest(method, method_names())}")
        if self.family is not None and (not self.family or any(len(set(p)) != 2 or len(p) != 2 for p in self.family)):
            raise ValueError("family must list pairs of two different methods, or be None for all against the baseline")
        for name, value in self:
            for task in value if isinstance(value, dict) and name != "simulated" else ():
                if task not in task_names():
                    raise ValueError(f"{name}: unknown task {task!r}{nearest(task, task_names())}")
        return self

    def at(self, task: str) -> TaskSettings:
        """The settings of one task."""

        def of(name: str) -> Any:
            value = getattr(self, name)
            if not isinstance(value, dict):
                return value
            if task in value:
                return value[task]
            default = type(self).model_fields[name].default
            return default if not isinstance(default, dict) else None

        def share(name: str, parts: int) -> int:
            return max(1, of("budgets")[-1] // parts) if of(name) is None else of(name)

        return TaskSettings(
            task=task,
            methods=of("methods"),
            source=of("source"),
            pool_source=of("pool_source"),
            difficulty=of("difficulty"),
            n_problems=of("n_problems"),
            n_shots=of("n_shots"),
            budgets=of("budgets"),
            answer_tokens=load_task(task).answer_tokens if of("answer_tokens") is None else of("answer_tokens"),
            pool_problems=of("pool_problems"),
            pool_budget=of("pool_budget"),
            n_pairs=of("n_pairs"),
            pair_tokens=of("pair_tokens"),
            vote_tokens=share("vote_tokens", 4),
            tree_width=of("tree_width"),
            tree_branches=of("tree_branches"),
            tree_step=share("tree_step", 8),
            per_problem_tokens=share("per_problem_tokens", 8),
            principle_tokens=of("principle_tokens"),
        )

    def but(self, **changes: Any) -> RunConfig:
        """The same config with some fields changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})

    @property
    def folder(self) -> Path:
        """Where the run's files are: `outputs/run`; from within the folder `notebooks`, the one beside it."""
        here = Path("..") if Path.cwd().name == "notebooks" else Path()
        return here / self.outputs / self.run

    @classmethod
    def parameters_cell(cls) -> str:
        """The source of the notebooks' `parameters` cell: every field with its default."""
        return "\n".join(f"{name} = {field.default!r}" for name, field in cls.model_fields.items()).replace("'", '"')

    @classmethod
    def from_yaml(cls, path: str | Path, **overrides: Any) -> RunConfig:
        """A config from a YAML file, `overrides` on top."""
        return cls(**{**read_yaml(path), **overrides})


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


def _named(methods: Any) -> Any:
    """Methods by name; those of the user's own are registered."""
    if isinstance(methods, dict):
        return {task: _named(some) for task, some in methods.items()}
    if not isinstance(methods, list):
        return methods
    return [register_method(m).name if hasattr(m, "needs_pool") else m for m in methods]


def _check_budgets(task: str, budgets: list[int]) -> None:
    if len(budgets) < 2:
        raise ValueError(f"budgets of {task} need at least two values: the index is an area between budgets")
    if budgets[0] < 1 or any(b <= a for a, b in itertools.pairwise(budgets)):
        raise ValueError(f"budgets of {task} must be positive and increasing, not {budgets}")


def _in_words(error: ValidationError) -> str:
    """The first complaint of a validation error, in one sentence."""
    first = error.errors()[0]
    words = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return words
    name, value = first["loc"][0], first["input"]
    hint = ""
    if isinstance(value, float) and "string" in words:
        hint = f" (papermill's -p turns what looks like a number into one; use -r {name} instead)"
    return f"parameter {name!r}: {words[0].lower()}{words[1:]}, got {value!r}{hint}"


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
        self._before = set(namespace)
        self._checked = False

    def config(self, **overrides: Any) -> RunConfig:
        """The config those parameters make; running the cell again later reads the same names anew."""
        values = {
            name: value
            for name, value in self._namespace.items()
            if not (name.startswith("_") or value is self or isinstance(value, types.ModuleType) or callable(value))
        }
        if not self._checked:
            for name in sorted(set(values) - self._before - set(RunConfig.model_fields)):
                raise ConfigError(f"unknown parameter {name!r}{nearest(name, RunConfig.model_fields)}")
            self._checked = True
        names = [name for name in RunConfig.model_fields if name in values]
        return RunConfig(**({name: self._namespace[name] for name in names} | overrides))
