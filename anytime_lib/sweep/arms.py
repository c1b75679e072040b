"""What does each arm ask, and what do its cells say? From the preparation to the graded answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError, HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Context, Method, Preparation, Prompted, Sample
from anytime_lib.methods.search import BudgetAnswer, Searching, Session
from anytime_lib.models.limiter import ResizableSemaphore
from anytime_lib.store import Store
from anytime_lib.sweep.client import CachedClient
from anytime_lib.sweep.plan import Arm, PrepTask
from anytime_lib.sweep.progress import Progress
from anytime_lib.tasks.base import grade_answer, user_code
from anytime_lib.types import Completion, Message, Trace

log = logging.getLogger(__name__)

Cell = dict[str, Any]
"""A row of the tidy table on its way to the store."""


@dataclass
class Run:
    """What the parts of one run share.

    Attributes:
        trace_slots: admits as many traces at once as there are slots.
        store: where cells, problems and bills go; None: nothing is kept (an estimate).
        folder: where preparations keep their files; None: nowhere.
    """

    config: RunConfig
    client: CachedClient
    trace_slots: ResizableSemaphore
    progress: Progress
    store: Store | None
    folder: Path | None
    _pending: list[Cell] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)
    _said_fresh: bool = False

    def finish(self, *cells: Cell) -> None:
        """Hand in cells. They are derived from stored requests, so they may share a commit: what a kill takes, the next
        run makes again without a call."""
        self._pending += cells
        self.progress.done(len(cells))
        if len(self._pending) >= 500 or time.monotonic() > self._flushed + 1:
            self.flush()

    def flush(self) -> None:
        pending, self._pending, self._flushed = self._pending, [], time.monotonic()
        if pending and self.store:
            self.store.put_cells(pending)

    def fail(self, cells: Sequence[Cell], error: RequestFailed) -> None:
        """Hand in cells that ended in an error of the machinery."""
        self.finish(*(cell | {"detail": str(error)} for cell in cells))

    def say_fresh(self, why: str) -> None:
        """Say once that reasoning is hidden."""
        if not self._said_fresh:
            words = "%s: %s; each budget gets a run of its own instead (mode: fresh)"
            log.warning(words, self.client.model.name, why)
        self._said_fresh = True


def bill_of(run: str, model: str, task: str, preparation: str) -> str:
    """What the store's note of a preparation's bill is about."""
    return f"{run}, {model}, {task}, {preparation}"


async def prepare(run: Run, on: PrepTask, preparation: Preparation) -> Any:
    """What a preparation makes of a task's pool. Its files are kept in the run's folder, and its bill in the store."""
    if run.store:
        run.store.add_problems(on.problems.pool)
    client = run.client.recording()
    made = await preparation(client, on.task, on.settings, on.problems, run.trace_slots)
    if run.store:
        about = bill_of(run.config.label, client.model.name, on.task.name, preparation.name)
        run.store.note("bill", about, run.store.billed(client.keys or ()))
    if run.folder:
        preparation.save(made, run.folder)
    return made


async def run_arms(run: Run, arms: Sequence[Arm]) -> list[Arm]:
    """Run arms, traces of one after those of another, without waiting for an arm to end; returns those that ran."""
    done: list[Arm] = []
    made: dict[tuple[str, str], asyncio.Task[Any]] = {}
    told: set[tuple[str, str]] = set()
    async with asyncio.TaskGroup() as group:
        for arm in arms:
            if (needed := arm.method.preparation) and (name := _prep_name(arm, needed)) not in made:
                made[name] = group.create_task(prepare(run, arm.prep_task, needed))
        for arm in arms:
            if run.store:
                run.store.add_problems([*arm.problems.test, *arm.problems.shots])
            prepared = None
            if needed := arm.method.preparation:
                name = _prep_name(arm, needed)
                prepared = await made[name]
                if not prepared:
                    if name not in told:
                        log.warning(prepared.summary())
                    told.add(name)
                    run.progress.fewer(arm.n_cells)
                    continue
            done.append(arm)
            context = arm.context(prepared)
            for of in arm.samples:
                await run.trace_slots.acquire()
                group.create_task(_run_sample(run, arm.method, of, context))
    return done


def _prep_name(arm: Arm, needed: Preparation) -> tuple[str, str]:
    return arm.prep_task.task.name, needed.name


async def _run_sample(run: Run, method: Method, of: Sample, context: Context) -> None:
    """One sample of one problem: what is asked for it, its answers at every budget, their cells."""
    named: Cell = {
        "run": run.config.label,
        "model": run.client.model.name,
        "task": of.task.name,
        "problem_id": of.problem.id,
        "method": of.method,
        "sample": of.number,
        "grader": getattr(of.task, "grader_version", 1),
    }
    cells = [named | {"budget": budget, "status": "error", "detail": ""} for budget in context.settings.budgets]
    try:
        if isinstance(method, Searching):
            await _search(run, method, of, context, cells)
        elif isinstance(method, Prompted):
            for part in ([cell] for cell in cells) if method.per_budget else (cells,):
                await _prompted(run, method, of, replace(context, budget=part[-1]["budget"]), part)
    finally:
        run.trace_slots.release()


async def _prompted(run: Run, method: Prompted, of: Sample, context: Context, cells: list[Cell]) -> None:
    """One trace, to the largest budget of these cells, and the answers that are forced at each."""
    messages = _messages(method, of, context)
    try:
        trace = await _trace(run, of, messages, context.budget)
    except RequestFailed as error:
        return run.fail(cells, error)
    for cell in cells:  # ascending: each answer's prompt begins with the one before, so that prefix caches hit
        try:
            await _fill(run, of, messages, trace, cell, context.settings.answer_cap)
        except RequestFailed as error:
            cell["detail"] = str(error)
        run.finish(cell)


def _messages(method: Prompted, of: Sample, context: Context) -> list[Message]:
    """The messages of a method, which may be the user's own.

    Raises:
        DataError: it fails, or what it returns is no conversation.
    """
    with user_code(f"the method {method.name}", of.problem):
        messages = method.messages(of.problem, context)
    if not isinstance(messages, list) or not messages or not all(_is_message(m) for m in messages):
        raise DataError(
            f"a bug of the method {method.name}: `messages` must return a list of chat messages, each with the texts "
            f"`role` and `content`; on {of.problem.id} it returned a {type(messages).__name__} that is none"
        )
    return messages


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))


async def _trace(run: Run, of: Sample, messages: list[Message], budget: int) -> Trace | None:
    """The trace that is cut at every budget; None where each budget needs a run of its own."""
    if of.method == "imported":
        return await run.client.recorded(of, messages)
    if run.config.sampling.mode == "fresh":
        return None
    try:
        return await run.client.trace(of, messages, budget)
    except HiddenReasoning as hidden:
        run.say_fresh(str(hidden))
        return None


async def _fill(run: Run, of: Sample, messages: list[Message], trace: Trace | None, cell: Cell, cap: int) -> None:
    """Fill the cell of one budget: cut the trace there, or have a run of its own, and force an answer."""
    budget = cell["budget"]
    if trace is None:
        fresh = await run.client.fresh(of, messages, budget)
        trace, said = fresh.trace, fresh.said
        cell |= {"tokens_used": fresh.used, "trace_key": trace.key, "stopped_naturally": trace.stopped}
        if fresh.spoken:
            return _grade(of, cell, said, max(0, said.tokens - fresh.used), said.prompt_tokens)
    else:
        stopped = trace.stopped and trace.n_tokens <= budget
        cell |= {"tokens_used": trace.used(budget), "trace_key": trace.key, "stopped_naturally": stopped}
    answer = await run.client.answer(of, trace, budget, cap)
    _grade(of, cell, answer, answer.tokens, trace.prompt_tokens + answer.prompt_tokens)


async def _search(run: Run, method: Searching, of: Sample, context: Context, cells: list[Cell]) -> None:
    """What a method that searches would answer at each budget; it is held to each of them."""
    session, pending, spent = Session(run.client, context, of), list(cells), 0
    with user_code(f"the method {method.name}", of.problem):
        try:
            async for stop in method.answers_by_budget(of.problem, context, session):
                if not pending or stop.budget != pending[0]["budget"] or not spent <= stop.used <= stop.budget:
                    raise DataError(
                        f"a bug of the method {method.name}: on {of.problem.id} it spent {stop.used} tokens at the "
                        f"budget {stop.budget}, after {spent} before; its stops must be the budgets in ascending "
                        "order, and none may spend more than its own"
                    )
                cell, spent = pending.pop(0), stop.used
                _stop(of, cell, stop, session)
                run.finish(cell)
        except RequestFailed as error:
            return run.fail(pending, error)
    if pending:
        raise DataError(f"a bug of the method {method.name}: {of.problem.id} has no stop at {len(pending)} budgets")


def _stop(of: Sample, cell: Cell, stop: BudgetAnswer, session: Session) -> None:
    """Fill the cell of a search that is stopped at a budget."""
    cell |= {"tokens_used": stop.used, "stopped_naturally": stop.stopped}
    if isinstance(stop.answer, RequestFailed):
        cell["detail"] = str(stop.answer)
        return
    cell["trace_key"] = stop.answer.trace_key
    prompts = sum(session.prompts.values()) if stop.prompt_tokens is None else stop.prompt_tokens
    tokens = stop.answer.tokens if stop.answer_tokens is None else stop.answer_tokens
    _grade(of, cell, stop.answer, tokens, prompts)


def _grade(of: Sample, cell: Cell, answer: Completion, answer_tokens: int, prompt_tokens: int) -> None:
    grade = grade_answer(of.task, of.problem, answer.text, answer.finish_reason)
    cell |= {"answer_key": answer.key, "answer_tokens": answer_tokens, "prompt_tokens": prompt_tokens, **asdict(grade)}
