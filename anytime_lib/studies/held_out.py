"""Does the claim hold, by a criterion written down before, on problems nobody has looked at?

`settle` in the params names two methods, a statistic, budgets, a margin in quality points and held-out problems. Both
methods are run there as in any sweep; what they prepare (pairs, principles) comes from the run's own pool, so nothing
of the held-out problems is seen before. The verdict follows from the interval of the paired difference alone:
`supported` if all of it is above the margin, `refuted` if all of it is below, else `undecided`.

When a criterion is first seen it is noted in the store with its time and with what results were there already, and a
verdict by a criterion that is younger than held-out results says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.config import HeldOutConfig, RunConfig
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.index import quality_array
from anytime_lib.models.model import Model
from anytime_lib.registry import load_method, load_task
from anytime_lib.stats.compare import FEW, compare
from anytime_lib.store import Store
from anytime_lib.sweep.exemplars import split_problems
from anytime_lib.sweep.plan import Arm, Ground
from anytime_lib.types import Problem, ProblemSplit, shared

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Verdict:
    """What the criterion says. Values, ends and difference are in quality points (100 times the score).

    Attributes:
        difference, low, high: treatment minus baseline, and its interval; NaN where nothing could be compared.
        n_problems, n_samples: what both methods have.
        first_seen: when the store first saw this criterion (UTC, ISO).
        after_results: how many held-out answers were there then: anything but 0 means that the criterion was changed
            once results could be known.
        after_run: the same of the run's own answers by the treatment.
        note: why nothing could be compared; empty where it could.
    """

    outcome: Literal["supported", "refuted", "undecided"]
    criterion: HeldOutConfig
    difference: float
    low: float
    high: float
    baseline_value: float
    treatment_value: float
    n_problems: int
    n_samples: int
    first_seen: str
    after_results: int
    after_run: int
    note: str = ""

    @property
    def changed(self) -> bool:
        """Whether held-out results were there before the criterion was."""
        return self.after_results > 0

    def summary(self) -> str:
        """One sentence."""
        c = self.criterion
        claim = f"{c.treatment} beats {c.baseline} on held-out {c.task} by more than {c.margin:g} points of"
        found = self.note or (
            f"difference {self.difference:+.1f} points, {c.confidence_level:.0%} interval [{self.low:+.1f}, "
            f"{self.high:+.1f}], {self.n_problems} problems x {self.n_samples} samples"
            + (", few for an interval" if self.n_problems < FEW else "")
        )
        when = f"criterion first seen {self.first_seen}"
        if self.changed:
            when += f", AFTER {self.after_results} held-out answers were there: it does not count as written before"
        elif self.after_run:
            when += f", after {self.after_run} answers of the run itself, before any held-out one"
        else:
            when += ", before any result"
        return f"{self.outcome}: that {claim} {c.statistic} ({found}; {when})."

    def to_frame(self) -> pd.DataFrame:
        row = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "criterion"}
        return pd.DataFrame([self.criterion.model_dump() | row])


def settle(config: RunConfig, *, progress: bool = True) -> Verdict:
    """Run both methods on the held-out problems (stored answers are used again) and apply the criterion.

    Raises:
        ConfigError: the config has no criterion.
        DataError: a held-out problem is also in the run, or there are too few.
    """
    from anytime_lib.sweep.run import run_async

    return run_async(_settle(config, progress))


def label(config: RunConfig) -> str:
    """The `run` under which held-out cells are stored: they are no part of the run's own table."""
    return f"{config.label} held out"


async def _settle(config: RunConfig, progress: bool) -> Verdict:
    from anytime_lib.sweep.run import sweep_arms

    wanted = _criterion(config)
    arms = held_out_arms(config)
    async with Model(config) as model:
        with Store(config.folder / "store.sqlite", key_env=config.endpoint.api_key_env) as store:
            seen = note_criterion(config, store, model.name)
            there = config.but(run=label(config))
            cells = await sweep_arms(there, arms, store, model, progress, keeps=False)
    assert seen
    return judge(cells, wanted, seen, n_resamples=config.analysis.n_resamples, seed=config.seed)


def judge(
    cells: pd.DataFrame, criterion: HeldOutConfig, seen: dict[str, Any], *, n_resamples: int = 10_000, seed: int = 0
) -> Verdict:
    """The verdict on held-out cells; `seen` is what `note_criterion` returned."""
    told: dict[str, Any] = {"criterion": criterion} | {
        name: seen[name] for name in ("first_seen", "after_results", "after_run")
    }
    values = ("difference", "low", "high", "baseline_value", "treatment_value")
    nothing: dict[str, Any] = dict.fromkeys(values, np.nan) | {"n_problems": 0, "n_samples": 0}
    if missing := [m for m in (criterion.baseline, criterion.treatment) if m not in set(cells.method)]:
        note = f"{' and '.join(missing)} did not run there, for what it needs could not be prepared"
        return Verdict(outcome="undecided", note=note, **told, **nothing)
    measure = _index_difference if criterion.statistic == "index" else _quality_difference
    try:
        found = measure(cells, criterion, n_resamples, seed)
    except DataError as error:
        return Verdict(outcome="undecided", note=str(error), **told, **nothing)
    outcome: Literal["supported", "refuted", "undecided"] = "undecided"
    note = ""
    if np.isnan([found["difference"], found["low"], found["high"]]).any():
        note = "at some budget the two share no answer, or there is one problem alone"
    elif found["low"] == found["high"]:
        note = f"every problem shows the same difference, {found['difference']:+.1f} points, so chance cannot be judged"
    elif found["low"] > criterion.margin:
        outcome = "supported"
    elif found["high"] < criterion.margin:
        outcome = "refuted"
    return Verdict(outcome=outcome, note=note, **told, **found)


def _index_difference(cells: pd.DataFrame, wanted: HeldOutConfig, n_resamples: int, seed: int) -> dict[str, Any]:
    found = compare(
        cells, baseline=wanted.baseline, treatment=wanted.treatment, n_resamples=n_resamples, seed=seed,
        confidence_level=wanted.confidence_level,
    )  # fmt: skip
    low, high = found.confidence_interval() if found.n_problems > 1 else (np.nan, np.nan)
    return {"difference": 100 * found.statistic, "low": 100 * low, "high": 100 * high,
            "baseline_value": 100 * found.baseline_value, "treatment_value": 100 * found.treatment_value,
            "n_problems": found.n_problems, "n_samples": found.n_samples}  # fmt: skip


def _quality_difference(cells: pd.DataFrame, wanted: HeldOutConfig, n_resamples: int, seed: int) -> dict[str, Any]:
    """Mean quality over the budgets, no maximum; a t interval over the problems' differences."""
    keys = ["problem_id", "sample"]
    arms = [cells[cells.method == m].dropna(subset="score") for m in (wanted.baseline, wanted.treatment)]
    both = arms[0][[*keys, "budget"]].merge(arms[1][[*keys, "budget"]])
    if both.empty:
        raise DataError("the two share no graded answer")
    first, second = (quality_array(arm.merge(both))[0] for arm in arms)
    values = [100 * np.nanmean(np.nanmean(q, axis=1), axis=1) for q in (first, second)]
    by_problem = values[1] - values[0]
    n, mean = len(by_problem), float(by_problem.mean())
    half = np.nan
    if n > 1:
        half = distributions.t.isf((1 - wanted.confidence_level) / 2, n - 1) * by_problem.std(ddof=1) / np.sqrt(n)
    return {"difference": mean, "low": mean - half, "high": mean + half, "baseline_value": float(values[0].mean()),
            "treatment_value": float(values[1].mean()), "n_problems": n, "n_samples": first.shape[1]}  # fmt: skip


def held_out_arms(config: RunConfig) -> list[Arm]:
    """Both methods on the held-out problems, with the worked examples and the pool of the run.

    Raises:
        DataError: a held-out problem shares its id or its text with a problem of the run, or there are too few.
    """
    wanted = _criterion(config)
    task, name = load_task(wanted.task), wanted.pool_task
    methods = list(dict.fromkeys([wanted.baseline, wanted.treatment]))
    own, settings = (
        config.task(at).model_copy(update={"methods": list(dict.fromkeys([*config.task(at).methods, *methods]))})
        for at in (name, task.name)
    )
    ground = Ground(load_task(name), own, split_problems(load_task(name), own, config.seed))
    alone = settings.model_copy(update={"methods": ["base"]})
    run = ground.problems if name == task.name else split_problems(task, alone, config.seed)
    source = settings.source if wanted.source is None else wanted.source
    apart = source and (wanted.source is not None or settings.pool_source is not None)
    held = task.problems(
        source, wanted.n_problems, wanted.seed, "all" if apart else "test",
        settings.difficulty if wanted.difficulty is None else wanted.difficulty,
    )  # fmt: skip
    if len(held) < wanted.n_problems:
        raise DataError(f"settle: {wanted.n_problems} held-out problems wanted, {source or 'the built-in set'} holds "
                        f"{len(held)}; ask for fewer")  # fmt: skip
    assert_held_out(held, [*run.test, *run.shots, *run.pool])
    changes = {"methods": methods, "n_problems": len(held), "budgets": wanted.budgets or settings.budgets}
    settings = settings.model_copy(update=changes)
    problems = ProblemSplit(held, run.shots, run.pool)
    samples = [(p, sample) for p in held for sample in range(config.n_samples)]
    arms = [Arm(task, settings, load_method(m, settings.options.get(m)), problems, samples, ground) for m in methods]
    return sorted(arms, key=lambda arm: arm.method.preparation is not None)


def assert_held_out(held: Sequence[Problem], run: Sequence[Problem]) -> None:
    """Raise DataError if a held-out problem shares its id or its text with a problem of the run."""
    if found := shared(held, run):
        raise DataError(
            f"leak: {len(found)} held-out problems are also in the run ({', '.join(found[:3])}); give settle another "
            "seed, difficulty or source"
        )


def note_criterion(config: RunConfig, store: Store, model: str) -> dict[str, Any] | None:
    """Note the criterion, and all else that its outcome depends on, when it is first seen.

    Returns:
        Its note: criterion, first_seen, after_results, after_run (see `Verdict`); None if the config has none, or one
        for a task that it does not run.
    """
    if config.held_out is None or config.held_out.pool_task not in config.tasks:
        return None
    wanted = config.held_out
    design = {name: value for name, value in config.model_dump(mode="json").items() if name not in _NO_MATTER}
    for name in {wanted.task, wanted.pool_task}:
        resolved = config.task(name).model_dump(mode="json")
        design = {field: value for field, value in design.items() if field not in resolved} | {
            f"{field} of {name}": value for field, value in resolved.items() if field not in _NO_MATTER
        }
    criterion = {"settle": wanted.model_dump(mode="json"), "design": design}
    name = f"settle {label(config)} {model}"
    history = list((store.noted(name) or {}).get("seen", []))
    for note in history:
        if note["criterion"] == criterion:
            return dict(note)
    held = store.cells(run=label(config), model=model, task=wanted.task)
    own = store.cells(run=config.label, model=model, task=wanted.task)
    new = {
        "criterion": criterion,
        "first_seen": datetime.now(UTC).isoformat(timespec="seconds"),
        "after_results": int((held.status != "error").sum()),
        "after_run": int(((own.status != "error") & (own.method == wanted.treatment)).sum()),
    }
    if not store.read_only:
        store.note(name, {"seen": [*history, new]})
    return new


_NO_MATTER = frozenset({
    "run", "endpoint", "limits", "analysis", "held_out", "tasks", "methods", "n_problems",
})  # fmt: skip
"""Settings that no held-out answer and no verdict depends on. (The criterion has its own level; the note is of one
model.)"""


def _criterion(config: RunConfig) -> HeldOutConfig:
    if config.held_out is None:
        raise ConfigError(
            "there is no criterion to settle by; write `settle` (task, margin, seed, ...) into the params"
        )
    if (name := config.held_out.pool_task) not in config.tasks:
        raise ConfigError(f"settle: {name!r} is not among the tasks of this run")
    return config.held_out
