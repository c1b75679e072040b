"""Which preference pairs does a config's model make, without a sweep?"""

from anytime_lib.config import RunConfig
from anytime_lib.methods.base import PrepTask
from anytime_lib.methods.judge import PREFERENCE_SOURCES, PreferenceSource
from anytime_lib.methods.pdp import Pairs
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.registry import load_method, load_task
from anytime_lib.sweep.arms import prepare
from anytime_lib.sweep.plan import split_problems
from anytime_lib.sweep.run import first_error, opened, run_async


def preference_sources(config: RunConfig, task: str) -> list[PreferenceSource]:
    """Who prefers, for the methods that a config runs on a task."""
    made = {preparation.name for m in config.task(task).methods if (preparation := load_method(m).preparation)}
    return [by for by in PREFERENCE_SOURCES if f"pairs:{by}" in made]


def run_synthesis(config: RunConfig, *, by: PreferenceSource = "judge", progress: bool = True) -> dict[str, Synthesis]:
    """Synthesise preference pairs for every task of a config, without a sweep: task name -> `Synthesis`. Their files
    are written into the run's folder (see `preference_file`). `by` is who prefers (see `judge.PreferenceSource`)."""

    async def whole() -> dict[str, Synthesis]:
        found = {}
        async with opened(config, progress) as (run, _, model):
            for name in config.tasks:
                task, settings = load_task(name), config.task(name)
                problems = split_problems(task, settings, config.seed)
                model.tell_problems(task, problems.test, [*problems.shots, *problems.pool])
                found[name] = await first_error(prepare(run, PrepTask(task, settings, problems), Pairs(by)))
        return found

    return run_async(whole())
