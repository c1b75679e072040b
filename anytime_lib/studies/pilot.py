"""What would a larger study of this run find, and at what cost? Its own cells are the pilot, or simulated ones."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.studies.planning import (
    Sizes,
    VarianceSplit,
    cost_of_a_sample,
    design_table,
    power_table,
    trace_scores,
    variance_split,
)
from anytime_lib.sweep.costs import price_of
from anytime_lib.sweep.plan import on_measured_tokens
from anytime_lib.sweep.run import run_sweep


@dataclass(frozen=True)
class Pilot:
    """The cells that a study is planned from, and in `says` where they come from (see `pilot_of`).

    Of each task the difference is planned for between `base` and the first other method of the pilot; where there is
    none, between two arms like `base` whose difference is the same on every problem, the best case.
    """

    cells: pd.DataFrame = field(repr=False)
    says: str
    config: RunConfig = field(repr=False)

    @cached_property
    def tasks(self) -> dict[str, tuple[pd.DataFrame, str | None]]:
        """The cells of each task, and the method that is compared with `base`; None if it has none."""
        parts = {str(task): part for task, part in self.cells.groupby("task", sort=False)}
        others = {task: part.method[part.method != "base"].unique() for task, part in parts.items()}
        return {task: (part, next(iter(others[task]), None)) for task, part in parts.items()}

    def title(self, task: str) -> str:
        """What a figure of one task is about: the two methods, the model, and how large the pilot is."""
        part, treatment = self.tasks[task]
        size = f"problems: {part.problem_id.nunique()}, samples of each: {part['sample'].nunique()}"
        return f"{task}: {treatment or 'a second method'} against base\npilot of {part.model.iloc[0]}, {size}"

    @cached_property
    def splits(self) -> dict[str, list[VarianceSplit]]:
        """Where the variance lies on each task: that of `base` alone, then that of the difference, if there is one."""
        estimand = self.config.analysis.estimand
        return {
            task: [variance_split(part, "base", other, estimand=estimand) for other in dict.fromkeys([None, treatment])]
            for task, (part, treatment) in self.tasks.items()
        }

    def power(self, *, effect: float, n_problems: Sizes, n_samples: Sizes) -> pd.DataFrame:
        """`power_table` of every task, with a first column task."""
        how: dict[str, Any] = {"effect": effect, "n_problems": [*n_problems], "n_samples": [*n_samples]}
        how |= {"estimand": self.config.analysis.estimand, "seed": self.config.seed}
        return _by_task({task: power_table(part, treatment=m, **how) for task, (part, m) in self.tasks.items()})

    def twice_the_tokens(self) -> pd.DataFrame:
        """What twice the tokens of the study in the settings would find, by what they are spent on (see
        `VarianceSplit.twice_the_tokens`), with a first column task."""
        of, splits = self.config, self.splits.items()
        return _by_task({t: s[-1].twice_the_tokens(of.task(t).n_problems, of.n_samples) for t, s in splits})

    def designs(self, n_problems: Sizes | None = None, n_samples: Sizes | None = None) -> pd.DataFrame:
        """`design_table` of every task, with a first column task; None: so many as the settings say."""
        of, tables = self.config, {}
        price = price_of(of.model, of.endpoint.base_url or "", of.limits.prices)
        for task, (part, treatment) in self.tasks.items():
            sizes = {"n_problems": n_problems or [of.task(task).n_problems], "n_samples": n_samples or [of.n_samples]}
            tokens = cost_of_a_sample(part, ["base", treatment or "treatment"])
            tables[task] = design_table(self.splits[task][-1], **sizes, tokens_per_sample=tokens, price=price)
        return _by_task(tables)


def _by_task(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, names=["task", None]).reset_index("task").reset_index(drop=True)


def pilot_of(config: RunConfig) -> Pilot:
    """The cells that a run has stored, as a pilot. No model is asked.

    A task can be planned from if at least two of its problems have two samples each that were graded at every budget,
    and not all of them came out the same. Where there is none, the simulated respondent runs up to 24 problems of each
    task, into a folder of its own (`<run>-simulated`): unless the config says otherwise, one that takes the tokens of
    the middle budget for middling difficulty, with pdp half as fast again.
    """
    path = config.folder / "store.sqlite"
    with Store(path, read_only=path.is_file()) as store:
        stored = on_measured_tokens(store.cells(run=config.label))
    stored, found = stored[stored.model.isin(stored.model.tail(1))], []  # of one model, where there are several
    levels = [*config.sampling.efforts]
    for name in config.tasks:
        settings = config.task(name)
        planned = stored.method.isin(settings.methods)
        planned &= stored.effort.isin(levels) if levels else stored.effort.isna() & stored.budget.isin(settings.budgets)
        part = stored[planned & (stored.task == name)]
        wholes = {method: trace_scores(part, method, "raw").dropna().to_numpy() for method in part.method.unique()}
        varied = [method for method, whole in wholes.items() if min(whole.shape) > 1 and np.ptp(whole) > 0]
        if "base" in varied:
            found.append(part[part.method.isin(varied)])
    if found:
        cells = pd.concat(found, ignore_index=True)
        told = f"pilot: {len(cells)} stored cells of {cells.model.iloc[0]} in the run {config.label!r}"
        if lost := [task for task in config.tasks if task not in set(cells.task)]:
            told += f"; {', '.join(lost)} left out (nothing stored that varies)"
        return Pilot(cells, told, config)
    tasks, middles = {}, []
    for name in config.tasks:
        own, drawn = config.task(name), load_task(name).problems
        n_test, n_pool = (len(drawn(None, most, config.seed, part)) for part, most in (("test", 24), ("pool", 4)))
        tasks[name] = {"budgets": own.budgets, "n_problems": n_test, "methods": ["base", "pdp"][: 1 + bool(n_pool)]}
        tasks[name]["pool"] = own.pool.model_dump() | {"problems": max(1, n_pool), "samples": 2, "draws": 1}
        middles.append(np.sqrt(own.budgets[0] * own.budgets[-1]))
    simulated = {"solve": 1 / float(np.median(middles)), "effects": {"pdp": 1.5}}
    options = {"simulated": config.options.get("simulated") or simulated}
    asked = {"tasks": tasks, "options": options, "seed": config.seed, "n_samples": 6, "concurrency": 64}
    cells = run_sweep(RunConfig(run=f"{config.run}-simulated", model="simulated", **asked), progress=False)
    told = f"the run {config.label!r} has stored nothing that varies, so the pilot is of the simulated respondent "
    told += f"({cells.model.iloc[0]}): it shows how a study is planned, and its numbers are not those of any model"
    return Pilot(cells, told, config)
