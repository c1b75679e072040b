"""Which settings are there? They stand in groups; each group is a small class whose fields say what they mean."""

from collections.abc import Mapping
from html import escape
from os.path import expanduser
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl, ValidationError

from anytime_lib.errors import ConfigError
from anytime_lib.registry import method_name, rule_name, task_name


def _increasing(budgets: list[int]) -> list[int]:
    if budgets != sorted(set(budgets)):
        raise ConfigError(f"budgets must be increasing, not {budgets}")
    return budgets


def _folder(run: str) -> str:
    if not run.isprintable() or "\\" in run or not any(map(str.isalnum, Path(run).name)):
        raise ConfigError(f"run must name a folder, without backslashes or invisible letters, not {run!r:.80}")
    return run


def _variable(name: str) -> str:
    if not (name.isupper() and name.isidentifier() and ("KEY" in name or "TOKEN" in name)):
        must = "must name an environment variable that holds the key, with KEY or TOKEN in its name"
        raise ConfigError(f"api_key_env {must}, never be the key itself")
    return name


def _levels(efforts: Any) -> Any:
    return {level: {"reasoning_effort": level} for level in efforts} if isinstance(efforts, list) else efforts


def check_url(url: str, name: str = "base_url") -> str:
    """An address without its last slash; ConfigError, which does not quote it, if it is none or has a key."""
    try:
        parts = HttpUrl(url if url.isprintable() else "")
    except ValidationError:
        raise ConfigError(f"{name} must be an address such as https://api.openai.com/v1") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{name} carries a password or query: a key belongs in an environment variable")
    return url.rstrip("/")


Count = Annotated[int, Field(ge=1, le=1_000_000)]
Budgets = Annotated[list[Count], Field(min_length=2, max_length=1_000), AfterValidator(_increasing)]
Efforts = Annotated[dict[str, dict[str, Any]], BeforeValidator(_levels)]
"""Levels of effort, from least to most, each with what is sent for it; of a list of names, as `reasoning_effort`."""
Folder = Annotated[str, AfterValidator(_folder)]
Place = Annotated[str, AfterValidator(expanduser)]
"""What may be a path: `~` is the user's folder."""
Url = Annotated[str, AfterValidator(check_url)]
Variable = Annotated[str, AfterValidator(_variable)]
TaskName = Annotated[str, BeforeValidator(task_name)]
MethodName = Annotated[str, BeforeValidator(method_name)]
"""The name of a task or method, or one of the user's own, which is registered."""
RuleName = Annotated[str, BeforeValidator(rule_name)]
Pair = Annotated[list[MethodName], Field(min_length=2, max_length=2)]
"""A baseline and a treatment."""


class Group(BaseModel):
    """Settings that belong together. It shows those that differ from their defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def __repr_args__(self) -> Any:
        return self.model_dump(exclude_defaults=True).items()

    __str__ = BaseModel.__repr__

    def _repr_html_(self) -> str:
        changed, every = (escape(explained(type(self), self.model_dump(), only)) for only in (True, False))
        return f"<pre>{changed}</pre><details><summary>every setting</summary><pre>{every}</pre></details>"

    def to_yaml(self) -> str:
        """Every setting as a params file has it, with what it is and, where the value is another, its default."""
        return explained(type(self), self.model_dump(mode="json"))


def explained(of: type[Group], values: Mapping[str, Any] | None = None, changed: bool = False, indent: str = "") -> str:
    """The settings of a group as YAML, with what each is: all of them, as they are by default where `values` have none,
    or only those that are `changed`. A group that is not set is commented out."""
    lines, first = list[str](), ("run", "model", "tasks", "n_samples")  # are listed before the others
    for name, field in sorted(of.model_fields.items(), key=lambda field: field[0] not in first):
        kinds = (kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type))
        inner = next((kind for kind in kinds if issubclass(kind, Group)), None)
        default = None if field.is_required() else field.default
        value, says, within = (values or {}).get(name, default), field.description, ""
        if inner is not None:
            value, default = (given.model_dump() if isinstance(given, Group) else given for given in (value, default))
            mark = indent or "# " * (value is None)
            start, within = f"{mark}{name}:", explained(inner, value, changed, f"{mark}  ")
            says = says or (inner.__doc__ or "").partition("\n")[0]
        else:
            start = f"{indent}{name}: {_yaml(value)}"
            says = f"{says}{f' (by default {_yaml(default)})' * (value != default)}"
        if not changed or value != default:
            lines += [f"{start:<36}  # {says}\n", within]
    return "".join(lines)


def _yaml(value: Any) -> str:
    """A value on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).split("\n")[0]


class EndpointConfig(Group):
    """How the model is reached."""

    base_url: Url | None = Field(None, description="OpenAI-compatible endpoint; None: OPENAI_BASE_URL")
    api_key_env: Variable = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    concurrency: int = Field(4, ge=1, le=1024, description="requests in flight at most; adapts to the server below it")
    requests_per_minute: float | None = Field(None, gt=0, description="the endpoint's own limit; None: none known")
    tokens_per_minute: float | None = Field(None, gt=0, description="the same of prompt and completion tokens together")
    retries: int = Field(6, ge=0, le=100, description="further tries where one fails in passing; 2 where none connects")
    timeout: float = Field(300.0, gt=0, description="seconds of silence after which a request is tried again")
    tokenizer_file: Place | None = Field(None, description="a `tokenizer.json`, for servers that tell no tokens")


class SamplingConfig(Group):
    """How a trace is sampled and an answer forced."""

    temperature: float = Field(0.7, ge=0, le=2, description="of the reasoning; answers and verdicts use 0")
    top_p: float = Field(0.95, gt=0, le=1, description="of the reasoning")
    mode: Literal["cut", "fresh", "effort"] = Field("cut", description="cut, fresh (a trace for each budget) or effort")
    efforts: Efforts = Field({}, description="of `mode: effort`: [low, high], or {low: {what is: sent}, ...}")
    answer_via: Literal["turn", "prefill"] = Field("turn", description="how an answer is forced: turn or prefill")


class PoolConfig(Group):
    """What methods prepare from: attempts at problems that are not under test."""

    problems: Count = Field(6, description="pool problems on which preferences are synthesised")
    samples: int = Field(3, ge=2, le=1_000_000, description="attempts per pool problem (64 in the paper)")
    draws: int = Field(1, ge=1, le=1_000, description="times that exemplars are drawn, each from pool problems anew")
    budget: Count | None = Field(None, description="reasoning tokens of an attempt at most; None: the largest budget")
    opponents: Count = Field(2, description="other attempts that the judge compares each with; odd: one more")
    verdict_tokens: Count = Field(4, description="cap on a verdict; as `answer_tokens` where a model reasons first")
    n_pairs: Count = Field(2, description="pairs that pdp_answers shows, and further worked examples of few_shot")
    pair_tokens: int | None = Field(None, description="tokens that the pairs in context may take; None: any")


class LimitsConfig(Group):
    """What the run may cost."""

    spend_cap_tokens: int | None = Field(None, ge=1, description="the run stops before the call that could break it")
    spend_cap_dollars: float | None = Field(None, gt=0, description="the same in dollars, by the table of prices")
    prices: Place | None = Field(None, description="file of prices; None: the package's own dated table")


class AnalysisConfig(Group):
    """How the run is read."""

    baseline: MethodName = Field("base", description="the method that others are compared with")
    estimand: Literal["crossfit", "raw"] = Field("crossfit", description="judged: crossfit or raw (see stats.compare)")
    family: list[Pair] | None = Field(None, min_length=1, description="judged together; None: all against `baseline`")
    confidence_level: float = Field(0.95, gt=0.5, lt=1, description="of intervals")
    n_resamples: int = Field(10_000, ge=100, le=1_000_000, description="bootstrap resamples")
    margin: float = Field(0.05, gt=0, lt=1, description="a difference in index, or a loss of quality, that is nothing")
    exclude: list[RuleName] = Field([], description="rules of exclusion, declared beforehand (see stats.sensitivity)")


class HeldOutConfig(Group):
    """A criterion for the claim that one method beats another, written down before the run (see studies/held_out).

    Held-out problems have these `difficulty`, `source`, `seed` and `n_problems`; all else is as in the run.
    """

    task: TaskName = Field(description="held out: of the run, or, with `prepared_on`, one that it does not touch")
    prepared_on: TaskName | None = Field(None, description="the run's task whose pool is used; None: `task` itself")
    baseline: MethodName = Field("base", description="the method that it must beat")
    treatment: MethodName = Field("pdp", description="the method that is claimed to be better")
    statistic: Literal["index", "raw", "quality"] = Field(
        "index", description="index: crossfit (of one sample: raw); raw: without a maximum; quality: mean over budgets"
    )
    budgets: Budgets | None = Field(None, description="at which; None: the run's")
    margin: float = Field(0.0, ge=0, lt=100, description="by how many points of 100 it must be better")
    confidence_level: float = Field(0.95, gt=0.5, lt=1, description="of the interval that decides")
    difficulty: list[Any] | None = Field(None, description="of the held-out problems; None: the run's")
    source: Place | None = Field(None, description="of the held-out problems; None: the run's")
    seed: int = Field(ge=0, description="of the held-out problems; another than the run's where the source is the same")
    n_problems: int = Field(ge=2, le=1_000_000, description="problems that are held out")

    @property
    def pool_task(self) -> str:
        """The run's task whose pool the methods are prepared on."""
        return self.prepared_on or self.task


class TaskConfig(Group):
    """The settings of one task: the run's, with what the task has of its own."""

    methods: list[MethodName] = Field(["base", "pdp", "pdp_plus"], min_length=1, description="docs/methods.md has them")
    source: Place | None = Field(None, description="None: problems of our own; else a file or data set")
    pool_source: Place | None = Field(None, description="None: a split of `source`; `none`: no pool; else another")
    difficulty: list[Any] | None = Field(None, description="levels wanted, in the task's own terms")
    n_problems: Count = Field(8, description="problems under test")
    n_shots: int = Field(0, ge=0, le=1_000_000, description="worked examples in context, from the pool")
    budgets: Budgets = Field([16, 32, 64, 128], description="reasoning tokens, increasing")
    answer_tokens: Count | None = Field(None, description="cap on the answer turn; None: the task's own")
    pool: PoolConfig = Field(PoolConfig(), description="what methods prepare from (PoolConfig)")
    options: dict[str, dict[str, Any]] = Field({}, description="of methods, `simulated`: {leap: {principle_tokens: 9}}")

    @property
    def answer_cap(self) -> int:
        """`answer_tokens`, once `RunConfig.task` has filled it in."""
        assert self.answer_tokens is not None
        return self.answer_tokens

    @property
    def pool_budget(self) -> int:
        """Reasoning tokens of an attempt at the pool: `pool.budget`, or else the largest budget."""
        return self.pool.budget or self.budgets[-1]


class Settings(TaskConfig):
    """Everything that can be set; `RunConfig` is what is made of it."""

    run: Folder = Field("run", description="the run's folder: a path, or a bare name for one in `outputs`")
    model: Place = Field("embedded", description="an embedded one, `simulated`, a .gguf file, or a name at `base_url`")
    seed: int = Field(0, ge=0, description="of problems, samples and resamples")
    n_samples: Count = Field(2, description="reasoning traces per problem")
    tasks: dict[TaskName, dict[str, Any]] = Field(
        {"natural_plan_trip": {}}, min_length=1, description="with their settings"
    )
    endpoint: EndpointConfig = EndpointConfig()
    sampling: SamplingConfig = SamplingConfig()
    limits: LimitsConfig = LimitsConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    held_out: HeldOutConfig | None = Field(None, description="a criterion for the verdict")
