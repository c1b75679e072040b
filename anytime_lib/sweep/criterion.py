"""When was the claim of the held-out test written down, and what was known by then?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from anytime_lib.config import RunConfig
from anytime_lib.store import Store
from anytime_lib.types import digest

MATTERS = ("seed", "n_samples", "n_resamples", "mode", "answer_via", "temperature", "top_p", "tokenizer_file",
           "pool_samples", "pairs_by", "match_length", "rationale_tokens")  # fmt: skip
"""Settings of the run that a verdict depends on, beside those of its tasks."""


def held_out_run(config: RunConfig) -> str:
    """The `run` under which held-out cells are stored: they are no part of the run's own table."""
    return f"{config.run} held out"


def note_criterion(config: RunConfig, store: Store, model: str) -> dict[str, Any] | None:
    """Note the criterion, and the hash of all that its verdict depends on, when it is first seen.

    Returns:
        The note: criterion, first_seen (UTC, ISO), after_results and after_run (how many held-out answers, and answers
        of the run's own treatment, were there then); None if the config has no criterion for a task that it runs.
    """
    wanted = config.settle
    if wanted is None or wanted.pool_task not in config.tasks:
        return None
    criterion = wanted.model_dump(mode="json")
    tasks = [
        asdict(config.at(name)) | {"methods": None, "n_problems": None} for name in (wanted.task, wanted.pool_task)
    ]
    design = {"criterion": criterion, "tasks": tasks, "run": {name: getattr(config, name) for name in MATTERS}}
    about = f"{held_out_run(config)}, {model}, {digest(design)}"
    if (known := store.noted("settle", about)) is not None:
        return known
    held = store.cells(run=held_out_run(config), model=model, task=wanted.task)
    own = store.cells(run=config.run, model=model, task=wanted.task, method=wanted.treatment)
    note = {
        "criterion": criterion,
        "first_seen": datetime.now(UTC).isoformat(timespec="seconds"),
        "after_results": int((held.status != "error").sum()),
        "after_run": int((own.status != "error").sum()),
    }
    if not store.read_only:
        store.note("settle", about, note)
    return note
