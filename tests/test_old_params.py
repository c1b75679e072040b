"""Params files of an older version mean what they meant: the same problems, arms and keys of traces.

`tests/data/plans.json` was made by the code of commit dbd8435 from `tests/data/params_old`: of every arm its task,
method, budgets, number of traces, and hashes of its samples, problems, worked examples, pool and traces' keys.
"""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anytime_lib import RunConfig
from anytime_lib.errors import AnytimeError
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.studies.held_out import held_out_arms
from anytime_lib.sweep.client import CachedClient
from anytime_lib.sweep.plan import Arm, plan
from anytime_lib.types import digest

DATA = Path(__file__).parent / "data"
PLANS: dict[str, Any] = json.loads((DATA / "plans.json").read_text("utf-8"))
SMALLER = {"n_problems": 4, "pool_problems": 3}


def short(value: object) -> str:
    return digest(value)[:16]


def pool_of(arm: Arm) -> dict[str, Any]:
    pool = arm.settings.pool.model_dump(exclude={"samples", "opponents", "verdict_tokens", "draws"})
    return {name if "pair" in name else f"pool_{name}": value for name, value in pool.items()}


def keys_of(config: RunConfig, arm: Arm, model: str, endpoint: str) -> str:
    """A hash of the keys of an arm's traces; nothing where they depend on a preparation or on replies."""
    if not isinstance(arm.method, Prompted) or arm.method.preparation:
        return ""
    nobody: Any = SimpleNamespace(model=SimpleNamespace(name=model, endpoint_id=endpoint))
    client, budgets = CachedClient(nobody, config.sampling, config.seed), arm.settings.budgets
    context = Context(arm.task, arm.settings, arm.problems.shots, arm.problems.pool)
    keys = [
        client.trace_request(of, arm.method.messages(of.problem, replace(context, budget=budget)), budget).key
        for of in arm.samples
        for budget in (budgets if arm.method.per_budget else budgets[-1:])
    ]
    return short(sorted(keys))


@pytest.mark.parametrize("name", PLANS)
def test_old_params_give_the_same_plan(name: str, old_wordings: None) -> None:
    then, (file, way) = PLANS[name], name.split(", ")
    config = RunConfig.from_yaml(DATA / "params_old" / file, **(SMALLER if way == "smaller" else {}))
    if then["error"]:
        with pytest.raises(AnytimeError) as error:
            plan(config, None)
        said = f"{type(error.value).__name__}: {error.value}".replace("its own set", "the built-in set")
        assert said.startswith(then["error"])
        return
    arms = plan(config, None) + (held_out_arms(config) if config.held_out else [])
    for arm, (*about, settings, keys) in zip(arms, then["arms"], strict=True):
        samples = [[of.problem.id, of.number] for of in arm.samples]
        contents = [of.problem.content_hash for of in arm.samples]
        parts = [[p.id for p in some] for some in (arm.problems.shots, arm.problems.pool)]
        now = [arm.task.name, arm.method.name, arm.settings.budgets, len(arm.samples)]
        assert [*now, *map(short, (samples, contents, *parts))] == about
        assert {name: getattr(arm.settings, name, None) for name in settings} | pool_of(arm) == settings
        assert keys_of(config, arm, then["model"], then["endpoint"]) == keys
