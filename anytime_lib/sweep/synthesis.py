"""Which preference pairs does a config's model make, without a sweep?"""

from anytime_lib.config import RunConfig
from anytime_lib.methods.base import PrepTask
from anytime_lib.methods.judge import PreferenceSource
from anytime_lib.methods.pdp import Pairs
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.registry import load_method, load_task
from anytime_lib.sweep.arms import prepare
from anytime_lib.sweep.plan import split_problems
from anytime_lib.sweep.run import first_error, opened, run_async

_JUDGED = {"judge", "agreement", "shuffled"}
"""Who prefers by the model's own verdicts."""


def run_synthesis(
    config: RunConfig, *, by: PreferenceSource | None = None, progress: bool = True
) -> dict[str, Synthesis]:
    """Synthesise preference pairs for the tasks of a config, without a sweep: task name -> `Synthesis`. Their files are
    written into the run's folder (see `preference_file`).

    Args:
        by: who prefers, on every task (see `judge.PreferenceSource`). None: the judge, on those tasks alone that run a
            method which goes by the judge's verdicts, of as many attempts as the one of them that takes most.
    """

    async def whole(by_task: dict[str, Pairs]) -> dict[str, Synthesis]:
        found = {}
        async with opened(config, progress) as (run, _, model):
            for name, pairs in by_task.items():
                task, settings = load_task(name), config.task(name)
                on = PrepTask(task, settings, split_problems(task, settings, config.seed))
                model.tell_problems(task, on.problems)
                found[name] = await first_error(prepare(run, on, pairs))
        return found

    def wanted(task: str) -> Pairs | None:
        every = [load_method(name).preparation for name in config.task(task).methods]
        judged = [of.most for of in every if isinstance(of, Pairs) and of.by in _JUDGED and not of.answers]
        if by:
            return Pairs(by)
        return Pairs("judge", most=max(judged) if all(judged) else 0) if judged else None

    by_task = {task: pairs for task in config.tasks if (pairs := wanted(task))}
    return run_async(whole(by_task)) if by_task else {}
