"""Which preference pairs does a config's model make, without a sweep?"""

from __future__ import annotations

from anytime_lib.config import RunConfig
from anytime_lib.methods.base import PrepTask
from anytime_lib.methods.judge import PreferenceSource
from anytime_lib.methods.pdp import Pairs
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.registry import load_task
from anytime_lib.sweep.arms import prepare
from anytime_lib.sweep.plan import split_problems
from anytime_lib.sweep.run import first_error, opened, run_async


def run_synthesis(
    config: RunConfig, *, by: PreferenceSource = "judge", keep: bool = True, progress: bool = True
) -> dict[str, Synthesis]:
    """Synthesise preference pairs for every task of a config: task name -> `Synthesis`.

    Args:
        by: who prefers, as the methods name it (see `judge.PreferenceSource`).
        keep: write the preference files (see `preference_file`).
    """
    return run_async(_synthesis(config, by, keep, progress))


async def _synthesis(config: RunConfig, by: PreferenceSource, keep: bool, progress: bool) -> dict[str, Synthesis]:
    found = {}
    async with opened(config, progress) as (run, _, model):
        run.folder = run.folder if keep else None
        for name in config.tasks:
            task, settings = load_task(name), config.task(name)
            problems = split_problems(task, settings, config.seed)
            model.tell_problems(task, problems.test, [*problems.shots, *problems.pool])
            found[name] = await first_error(prepare(run, PrepTask(task, settings, problems), Pairs(by)))
    return found
