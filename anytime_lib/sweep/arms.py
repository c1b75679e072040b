"""What does each arm ask, and what do its cells say? From the preparation to the graded answer."""

import asyncio
import copy
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from anytime_lib.errors import DataError, HiddenReasoning, RequestFailed
from anytime_lib.methods.base import Context, Method, Preparation, PrepTask, Prompted, Sample, Session
from anytime_lib.store import CELL_KEY, Store
from anytime_lib.sweep.client import CachedClient
from anytime_lib.sweep.costs import TOKENS
from anytime_lib.sweep.plan import Arm, pool_of
from anytime_lib.tasks.base import grade_answer, user_code
from anytime_lib.types import Completion, Message, Trace

log = logging.getLogger(__name__)

Cell = dict[str, Any]  # a row of the tidy table on its way to the store
Made = dict[tuple[str, str, int], asyncio.Task[Any]]  # (task, preparation, draw) -> what is made for it


@dataclass
class Run:
    """What the parts of one run share."""

    label: str  # the run's name in its cells
    client: CachedClient
    bar: "tqdm[Any]"  # counts cells
    store: Store | None = None  # where cells, problems and bills go; None: nothing is kept (an estimate)
    folder: Path | None = None  # where preparations keep their files; None: nowhere
    said_fresh: bool = False
    make: Callable[..., Awaitable[Any]] | None = None  # what a preparation makes; None in place of it: nothing as yet
    _pending: list[Cell] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)

    def finish(self, *cells: Cell) -> None:
        """Hand in cells. They may share a commit: what a kill takes, the next run makes again without a call."""
        self._pending += cells
        self.bar.update(len(cells))
        if len(self._pending) >= 500 or time.monotonic() > self._flushed + 1:
            self.flush()

    def flush(self) -> None:
        pending, self._pending, self._flushed = self._pending, [], time.monotonic()
        if pending and self.store:
            self.store.put_cells(pending)


def bill_of(run: str, model: str, task: str, preparation: str, draw: int = 0) -> str:
    """What the store's note of a preparation's bill is about."""
    return f"{run}, {model}, {task}, {preparation}{f', draw {draw}' * (draw > 0)}"


async def prepare(run: Run, on: PrepTask, preparation: Preparation, draw: int = 0) -> Any:
    """What a preparation makes of one draw from a task's pool. Its bill is kept in the store, and its files in the
    run's folder, those of a further draw in the folder `draw_1` within, and so on."""
    client, on = copy.copy(run.client), pool_of(on, run.client.seed, draw)
    client.keys = set()
    if run.store:
        run.store.add_problems(on.problems.pool)
    which = f"{on.task.name}{f', draw {draw}' * (draw > 0)}"
    run.bar.set_description_str(f"{run.label}: preparing {preparation.name} on the pool of {which}")
    made = await (run.make(preparation, client, on) if run.make else preparation(client, on))
    run.bar.set_description_str(f"{run.label}: answering")
    if made is None:
        return made
    if run.store:
        about = bill_of(run.label, client.model.name, on.task.name, preparation.name, draw)
        attempts = run.store.attempts().query("status != 'unconfirmed'")
        spent = attempts.loc[attempts.key.isin(client.keys), TOKENS].sum().tolist()
        run.store.note("bill", about, dict(zip(TOKENS, spent, strict=True)))
    if run.folder:
        preparation.save(made, run.folder / f"draw_{draw}" if draw else run.folder)
    if not made:
        log.warning(made.summary())
    return made


async def run_arms(run: Run, arms: Sequence[Arm]) -> list[Arm]:
    """Run arms, traces of one after those of another, without waiting for an arm to end; returns those that ran. The
    samples of a draw of exemplars for which nothing could be prepared are left out."""
    done, made = list[Arm](), Made()
    async with asyncio.TaskGroup() as group:
        for arm in arms:
            needed, on = arm.method.preparation, arm.prep_task
            for draw in range(arm.n_draws if needed else 0):
                if needed and (on.task.name, needed.name, draw) not in made:
                    made[on.task.name, needed.name, draw] = group.create_task(prepare(run, on, needed, draw))
        for arm in arms:
            if run.store:
                run.store.add_problems([*arm.problems.test, *arm.problems.shots])
            contexts = [await _context(run, arm, draw, made) for draw in range(arm.n_draws or 1)]
            if not any(contexts):
                continue
            done.append(arm)
            for of in arm.samples:
                if context := contexts[of.number % len(contexts)]:
                    await run.client.trace_slots.acquire()
                    group.create_task(_run_sample(run, arm.method, of, context))
    return done


async def _context(run: Run, arm: Arm, draw: int, made: Made) -> Context | None:
    """What an arm is given after one draw of exemplars; None where nothing could be prepared."""
    needed, prepared, on = arm.method.preparation, None, arm.prep_task
    if needed and not (prepared := await made[on.task.name, needed.name, draw]):
        return None
    pool = pool_of(on._replace(problems=arm.problems), run.client.seed, draw).problems.pool
    most = arm.settings.budgets[-1]
    return Context(arm.task, arm.settings, arm.problems.shots, pool, prepared, most, draw if arm.n_draws else None)


async def _run_sample(run: Run, method: Method, of: Sample, context: Context) -> None:
    """One sample of one problem: what is asked for it, its answers at every budget, their cells."""
    place = run.label, run.client.model.name, of.task.name, of.problem.id, of.method, of.number
    failed = {"grader": getattr(of.task, "grader_version", 1), "status": "error", "detail": "", "draw": context.draw}
    at: list[Any] = [*enumerate(run.client.sampling.efforts, 1)] or [(b, None) for b in context.settings.budgets]
    cells: list[Cell] = [dict(zip(CELL_KEY, (*place, b), strict=True)) | failed | {"effort": e} for b, e in at]
    try:
        if not isinstance(method, Prompted):
            return await _ask_as_it_goes(run, method, of, context, cells)
        if not method.per_budget:
            return await _cut_and_answer(run, method, of, context, cells)
        for cell in cells:
            await _cut_and_answer(run, method, of, replace(context, budget=cell["budget"]), [cell])
    finally:
        run.client.trace_slots.release()


async def _cut_and_answer(run: Run, method: Prompted, of: Sample, context: Context, cells: list[Cell]) -> None:
    """One trace, to the largest of these cells' budgets, and the answers forced at each; or a fresh run for each."""
    with user_code(f"the method {method.name}", of.problem):
        messages = method.messages(of.problem, context)
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        must = "`messages` must return a list of chat messages, each with the texts `role` and `content`"
        did = f"on {of.problem.id} it returned a {type(messages).__name__} that is none"
        raise DataError(f"a bug of the method {method.name}: {must}; {did}")
    try:
        whole = await _trace(run, of, messages, context.budget)
    except RequestFailed as error:
        return run.finish(*(cell | {"detail": str(error)} for cell in cells))
    for cell in reversed(cells):  # the longest first: what a server keeps of a prompt, all shorter ones begin with
        budget, trace, answer = cell["budget"], whole, None
        try:
            if trace is None:
                level = cell["effort"]
                trace, used, answer = await run.client.fresh(of, messages, context.budget if level else budget, level)
            else:
                used = trace.used(budget)
            ended = trace.stopped and trace.n_tokens <= budget
            cell |= {"tokens_used": used, "trace_key": trace.key, "stopped_naturally": ended}
            if answer:
                _grade(of, cell, answer, max(0, answer.tokens - used), answer.prompt_tokens)
            else:
                cap, way = context.settings.answer_cap, (method.answer_via, method.answer_preface)
                answer = await run.client.answer(of, trace, budget, cap, *way)
                _grade(of, cell, answer, answer.tokens, trace.prompt_tokens + answer.prompt_tokens)
        except RequestFailed as error:
            cell["detail"] = str(error)
        run.finish(cell)


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))


async def _trace(run: Run, of: Sample, messages: list[Message], budget: int) -> Trace | None:
    """The trace that is cut at every budget; None where each budget needs a run of its own, which is told once."""
    if of.method == "imported":
        return await run.client.recorded(of, messages)
    if run.client.sampling.mode != "cut":
        return None
    try:
        return await run.client.trace(of, messages, budget)
    except HiddenReasoning as hidden:
        if not run.said_fresh:
            words = "%s: %s; each budget gets a run of its own instead (mode: fresh)"
            log.warning(words, run.client.model.name, hidden)
        run.said_fresh = True
        return None


async def _ask_as_it_goes(run: Run, method: Method, of: Sample, context: Context, cells: list[Cell]) -> None:
    """What any other method would answer at each budget; it is held to each of them."""
    session, spent, bug = Session(run.client, context, of), 0, f"a bug of the method {method.name}: on {of.problem.id}"
    with user_code(f"the method {method.name}", of.problem):
        try:
            async for stop in method.answers_by_budget(of.problem, context, session):
                if not cells or stop.budget != cells[0]["budget"] or not spent <= stop.used <= stop.budget:
                    must = "its stops must be the budgets in ascending order, and none may spend more than its own"
                    did = f"it spent {stop.used} tokens at the budget {stop.budget}, after {spent} before"
                    raise DataError(f"{bug} {did}; {must}")
                cell, spent, answer = cells.pop(0), stop.used, stop.answer
                cell |= {"tokens_used": spent, "stopped_naturally": stop.stopped}
                if isinstance(answer, RequestFailed):
                    cell["detail"] = str(answer)
                else:
                    cell["trace_key"] = answer.trace_key
                    read = stop.votes or [answer]
                    tokens = sum(vote.tokens for vote in read)
                    _grade(of, cell, answer, tokens, session.prompt_tokens(stop.budget, read))
                run.finish(cell)
        except RequestFailed as error:
            return run.finish(*(cell | {"detail": str(error)} for cell in cells))
    if cells:
        raise DataError(f"{bug} it has no stop at {len(cells)} budgets")


def _grade(of: Sample, cell: Cell, answer: Completion, answer_tokens: int, prompt_tokens: int) -> None:
    grade = grade_answer(of.task, of.problem, answer.text, answer.finish_reason)
    cell |= {"answer_key": answer.key, "answer_tokens": answer_tokens, "prompt_tokens": prompt_tokens, **asdict(grade)}
