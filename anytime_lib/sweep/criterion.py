"""When was the claim of the held-out test written down, and what was known by then?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from anytime_lib.config import RunConfig
from anytime_lib.store import Store
from anytime_lib.types import digest


def held_out_run(config: RunConfig) -> str:
    """The `run` under which held-out cells are stored: they are no part of the run's own table."""
    return f"{config.label} held out"


def note_criterion(config: RunConfig, store: Store, model: str) -> dict[str, Any] | None:
    """Note the criterion, and the hash of all that its verdict depends on, when it is first seen.

    Returns:
        The note: criterion, first_seen (UTC, ISO), after_results and after_run (how many held-out answers, and answers
        of the run's own treatment, were there then); None if the config has no criterion for a task that it runs.
    """
    wanted = config.held_out
    if wanted is None or wanted.pool_task not in config.tasks:
        return None
    tasks = [
        config.task(name).model_dump(exclude={"methods", "n_problems"}) for name in (wanted.task, wanted.pool_task)
    ]
    numbers = [config.seed, config.n_samples, config.analysis.n_resamples, config.endpoint.tokenizer_file]
    design = digest([wanted.model_dump(), tasks, config.sampling.model_dump(), numbers])
    about = f"{held_out_run(config)}, {model}, {design}"
    if (known := store.noted("settle", about)) is not None:
        return known
    held = store.cells(run=held_out_run(config), model=model, task=wanted.task)
    own = store.cells(run=config.label, model=model, task=wanted.task, method=wanted.treatment)
    note = {
        "criterion": wanted.model_dump(mode="json"),
        "first_seen": datetime.now(UTC).isoformat(timespec="seconds"),
        "after_results": int((held.status != "error").sum()),
        "after_run": int((own.status != "error").sum()),
    }
    if not store.read_only:
        store.note("settle", about, note)
    return note
