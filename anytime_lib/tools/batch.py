"""How does a sweep go through a provider's Batch API, where replies cost less and may take a day?

The run itself is gone through, by the same engine and methods, with a backend that collects what is not known instead
of sending it. What was collected is a wave: traces, then answers, and between them what preparations ask. Its replies
are stored under the keys of live ones, and the run is gone through again, until nothing is missing.
"""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from tempfile import NamedTemporaryFile
from typing import Any, Final

import pandas as pd
from openai.types import Batch

from anytime_lib.config import RunConfig
from anytime_lib.errors import ConfigError, EndpointError, RequestFailed
from anytime_lib.methods.base import Preparation, PrepTask, Prompted
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.model import OWN
from anytime_lib.models.reply import RetryableError
from anytime_lib.models.reply_parser import dicts
from anytime_lib.sweep.arms import Run, run_arms
from anytime_lib.sweep.client import Request, Row
from anytime_lib.sweep.costs import TOKENS, spend_limit_of
from anytime_lib.sweep.live import LiveBackend
from anytime_lib.sweep.plan import Arm
from anytime_lib.sweep.run import first_error, run_async, run_sweep_async, sweep_arms

ROUTE: Final = "/v1/chat/completions"
MOST, LARGEST = 50_000, 190_000_000  # requests and bytes of one batch; OpenAI takes 200 MB
LONGEST = 60.0  # seconds from one look at a batch to the next; the first ones follow each other faster
PLACE = ["key", "kind", "task", "method", "model", "endpoint", "request"]  # columns of the store's requests


def run_batches(config: RunConfig, *, progress: bool = True) -> pd.DataFrame:
    """`run_sweep` through the provider's Batch API. It waits for each wave, and goes on after any stop. The first
    request of each kind goes the ordinary way, so that what the server does not take is known before thousands are
    sent. ConfigError for methods that ask in rounds and models on this machine, EndpointError where it has none."""
    return run_async(run_sweep_async(config, progress=progress, by=partial(_by_waves, config)))


def refuse(arms: Iterable[Arm], model: Any) -> None:
    """ConfigError where a method asks as it goes, or the model has no Batch API."""
    if model.endpoint_id in OWN:
        raise ConfigError(f"{model.name} is served on this machine, which has no Batch API; leave --batch out")
    if names := sorted({arm.method.name for arm in arms if not isinstance(arm.method, Prompted)}):
        raise ConfigError(f"{', '.join(names)}: what asks in many rounds takes a batch for each; leave --batch out")


async def _by_waves(config: RunConfig, run: Run, arms: Sequence[Arm], *same: Any) -> pd.DataFrame:
    """`sweep_arms` by batches."""
    live: Any = run.client.backend
    model = live.model
    refuse(arms, model)
    run.client.backend = waves = BatchBackend(live, await model.endpoint(), run)
    await waves.called(lambda: waves.client.batches.list(limit=1))  # before anything is paid for
    run.make, wave = waves.prepared, list[Request]()
    while True:
        await waves.take(wave)
        waves.collected.clear()
        await first_error(run_arms(run, arms))
        if not waves.collected:
            run.bar.n = 0
            return await sweep_arms(run, arms, *same)
        live.spend_limit = limit = spend_limit_of(config.limits, live.store, model.name, model.endpoint_id)
        async with AsyncExitStack() as reserved:
            wave = []
            with suppress(TimeoutError):  # the rest waits for what these will really cost
                for request in waves.collected.values():
                    worst = request.body["messages"], max(request.body["max_tokens"], model.least_tokens)
                    async with asyncio.timeout(0):
                        await reserved.enter_async_context(limit.reserve(*worst))
                    wave.append(request)
            await waves.submit(wave)


class BatchBackend:
    """Collects what is asked and not known, submits it, and takes the replies. The store's note `batches` has the ids
    of files under way, and of their batches, "" where it is not known whether there is one."""

    def __init__(self, live: LiveBackend, endpoint: Endpoint, run: Run) -> None:
        self.live, self.model, self.store, self.run = live, live.model, live.store, run
        self.get, self.tokenise, self.hides_reasoning = live.get, live.tokenise, live.hides_reasoning
        self.endpoint, self.client = endpoint, endpoint.client
        self.collected, self._first = dict[str, Request](), dict[str, str]()
        self._failed, self._why = dict[str, str](), "no reply came"  # key -> why this process does not ask it again
        self._task: asyncio.Task[Any] | None = None  # of a preparation: in which it runs
        self._waiting = ""  # and the kind of request that it waits for
        self._most, self._about = MOST, f"{live.model.endpoint_id} {live.model.name}"
        self._under_way: dict[str, str] = live.store.noted("batches", self._about) or {}

    async def complete(self, request: Request) -> Row:
        if why := self._failed.get(request.key):
            raise RequestFailed(why)
        kind = "trace" if request.kind == "answer" else request.kind
        # A preparation goes on where requests fail; with the replies that it waits for, it would ask something else.
        if not self._waiting or (kind == self._waiting and asyncio.current_task() is not self._task):
            if self._first.setdefault(f"{request.kind} {request.body.get('effort')}", request.key) == request.key:
                with suppress(RequestFailed):
                    return await self.live.complete(request)
            self.collected[request.key] = request
            self._waiting = kind if self._task else ""
        raise RequestFailed("it waits for its batch; run the same again to go on")

    async def prepared(self, preparation: Preparation, client: Any, on: PrepTask) -> Any:
        """What a preparation makes; None where some of what it asks is not known as yet."""
        client.backend = own = copy.copy(self)
        own._task = asyncio.current_task()
        try:
            made = await preparation(client, on)
        except Exception:  # one of the user's may not stand failures
            if not own._waiting:
                raise
        return None if own._waiting else made

    def _note(self, **change: str) -> None:
        self._under_way |= change
        self.store.note("batches", self._about, self._under_way)

    def _line(self, one: Request) -> bytes:
        sent = {"custom_id": one.key, "method": "POST", "url": ROUTE, "body": self.endpoint.body(**one.body)}
        return json.dumps(sent).encode() + b"\n"

    async def submit(self, requests: Sequence[Request]) -> None:
        """Submit requests, in as many batches as they take if all were as long as the longest."""
        most = min(self._most, max(1, LARGEST // max(len(self._line(one)) for one in requests)))
        for some in (requests[i : i + most] for i in range(0, len(requests), most)):
            for one in some:
                await self.live.put(one, {"error": "it was submitted in a batch"}, status="submitted")
            file = "requests.jsonl", b"".join(map(self._line, some))
            uploaded = await self.called(partial(self.client.files.create, file=file, purpose="batch"))
            self._note(**{uploaded.id: ""})
            await self._created(uploaded.id)

    async def _created(self, file: str) -> str:
        """The id of an uploaded file's batch: of the one that there is, if only the word of it was lost."""

        async def made() -> Batch:
            async for batch in self.client.batches.list(limit=100):
                if batch.input_file_id == file:
                    return batch
            return await self.client.batches.create(input_file_id=file, endpoint=ROUTE, completion_window="24h")

        self._note(**{file: (await self.called(made)).id})
        return self._under_way[file]

    async def take(self, wave: Sequence[Request]) -> None:
        """Wait for what is under way, and store its replies. What was refused is not asked again, nor is a wave that
        brought nothing; of one for which the provider had no room, smaller batches are made."""
        came, crowded = 0, False
        for file, name in [*self._under_way.items()]:
            batch = await self._ended(name or await self._created(file))
            for results in filter(None, (batch.output_file_id, batch.error_file_id)):
                with NamedTemporaryFile() as lines:
                    await self.called(partial(self._fetch, results, lines.name))
                    came += await self._store(lines)
            del self._under_way[file]
            self._note()
            for error in (batch.errors and batch.errors.data) or []:
                self._why = f"{batch.id} {batch.status}: {error.message}"
                crowded |= error.code == "token_limit_exceeded"
            if batch.status == "cancelled":
                raise EndpointError(f"{batch.id} was cancelled, and what it brought is stored; the same again goes on")
        if not came and crowded and (smaller := min(self._most, len(wave)) // 2):
            self._most = smaller
        elif not came:
            self._failed = {request.key: self._why for request in wave} | self._failed

    async def _ended(self, name: str) -> Batch:
        pause, look = LONGEST / 60, partial(self.client.batches.retrieve, name)
        while (batch := await self.called(look)).status not in ("completed", "failed", "expired", "cancelled"):
            done = f", {n.completed + n.failed:,} of {n.total:,} requests" if (n := batch.request_counts) else ""
            self.run.bar.set_description_str(f"{self.run.label}: waiting for {name} ({batch.status}{done})")
            await asyncio.sleep(pause)
            pause = min(LONGEST, 1.5 * pause)
        return batch

    async def _fetch(self, file: str, path: str) -> bool:
        async with self.client.files.with_streaming_response.content(file) as response:
            await response.stream_to_file(path)
        return True

    async def _store(self, lines: Iterable[bytes]) -> int:
        """Store what lines of results say, in whatever order; returns how many of them are replies."""
        with self.store.snapshot() as db:
            known = {key for (key,) in db.execute("SELECT key FROM attempts WHERE status = 'batch'")}
            before = len(known)
            for line in lines:
                said = dict[str, Any]()
                with suppress(ValueError, RecursionError):  # of a line that is broken nothing is known
                    said, *_ = [*dicts([json.loads(line)]), {}]
                key, (response, *_) = str(said.get("custom_id")), [*dicts([said.get("response")]), {}]
                row = db.execute(f"SELECT {', '.join(PLACE)} FROM requests WHERE key = ?", [key]).fetchone()
                if row is None or key in known:
                    continue
                asked, usage = json.loads(row[-1]), dict[str, Any]()
                came = response.get("status_code", 0), response.get("body", said.get("error")), asked["messages"]
                try:
                    found = usage = self.endpoint.reply_in(*came).to_json()
                    known.add(key)
                except RetryableError as error:
                    self._why, usage, found = str(error), error.billed, {"error": str(error)}
                except (RequestFailed, EndpointError) as error:
                    self._failed[key], found = str(error), {"error": str(error)}
                about = dict(zip(PLACE, row, strict=True)) | {"request": asked, "response": found}
                about |= {name: usage.get(name, 0) for name in (*TOKENS, "seconds")}
                await self.store.aput(**about, status="batch" if key in known else "error")
        return len(known) - before

    async def called(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """What the server answers, in the end: who waits for a day stands an hour without it."""
        try:
            if (found := await self.endpoint.call(work, replace(self.endpoint.timeouts, retries=120))) is not None:
                return found
            why = "it has no such route, or another key has"
        except RequestFailed as failed:
            why = str(failed)
        raise EndpointError(f"{self.endpoint.place} takes no batches of OpenAI's kind ({why}); sweep without --batch")
