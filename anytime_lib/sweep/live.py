"""How is a request asked, paid for, and stored before anybody uses it?"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anytime_lib.errors import RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.failures import RetryableError
from anytime_lib.models.model import Model
from anytime_lib.models.reply import Reply
from anytime_lib.models.tokens import ends_of
from anytime_lib.store import Store
from anytime_lib.sweep.client import Request, Row
from anytime_lib.sweep.costs import SpendLimit
from anytime_lib.sweep.progress import Progress

log = logging.getLogger(__name__)

USAGE = ("prompt_tokens", "cached_tokens", "completion_tokens", "seconds")


class LiveBackend:
    """Asks the endpoint of `model`, pays from `spend_limit`, and keeps everything in `store`."""

    def __init__(self, store: Store, model: Model, progress: Progress, spend_limit: SpendLimit | None = None) -> None:
        self.store, self.model, self.progress = store, model, progress
        self.spend_limit = spend_limit or SpendLimit(None)
        self._hides, self._learned, self._learning = False, False, asyncio.Lock()
        self._asking: dict[str, asyncio.Task[Row]] = {}

    def get(self, key: str) -> Row | None:
        row = self.store.get(key)
        if row is not None and "text" in row:
            self.progress.on_reply(0, cached=True)
        return row

    async def complete(self, request: Request) -> Row:
        """The server's reply. Whoever asks the same meanwhile waits for the same reply."""
        endpoint = await self._endpoint()
        if (row := self.store.get(request.key)) is not None:  # another asked while the endpoint was reached
            return row
        asking = self._asking.get(request.key)
        if asking is None:
            asking = self._asking[request.key] = asyncio.create_task(self._ask(endpoint, request))
            asking.add_done_callback(lambda ended: self._ended(request.key, ended))
        try:
            await asyncio.wait([asking])
        except asyncio.CancelledError:
            if asking not in endpoint.sending:  # what was sent is paid for: let it come back
                asking.cancel()
            raise
        return asking.result()

    async def tokenise(self, request: Request, text: str) -> Row:
        endpoint = await self._endpoint()
        pieces, by_file = await endpoint.tokenize(text)
        ends = None if pieces is None else ends_of(pieces, text)
        return await self._put(request, {"ends": ends, "by_file": by_file}, {})

    async def hides_reasoning(self) -> bool:
        await self._endpoint()
        return self._hides

    async def settle(self, seconds: float) -> None:
        """Where a run ends in an error: let requests with the server, paid for, come back for so many seconds."""
        asking = list(self._asking.values())
        try:
            if asking and seconds:
                words = "stopping; %d requests are with the server, and what they bring within %.0f s is stored"
                log.warning(words, len(asking), seconds)
                await asyncio.wait(asking, timeout=seconds)
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    def _ended(self, key: str, asking: asyncio.Task[Row]) -> None:
        del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # looked at: whoever waited has raised it, or nobody waits any more

    async def _ask(self, endpoint: Endpoint, request: Request) -> Row:
        try:
            reply = await endpoint.chat(**request.body, each_try=partial(self._try, request))
        except RequestFailed as error:
            await self._put(request, {"error": str(error)}, {}, "error")
            raise
        self.progress.on_reply(reply.completion_tokens, cached=False)
        return self.store.get(request.key) or reply.to_json()  # another run may have been first

    async def _try(self, request: Request, once: Callable[[], Awaitable[Reply]]) -> Reply:
        """One try, paid for by itself, within the cap; what it was billed is stored before the next."""
        async with self.spend_limit.reserve(request.body["messages"], request.body["max_tokens"]) as bill:
            try:
                reply = await once()
            except RetryableError as lost:
                part = lost.partial.to_json() if lost.partial else {}
                bill.update(part or lost.billed)
                if part:
                    await self._put(request, part, part, "partial")
                elif +Counter(lost.billed):
                    await self._put(request, {"error": str(lost)}, lost.billed, "error")
                raise
            bill.update(said := reply.to_json())
            await self._put(request, said, said)
            return reply

    async def _endpoint(self) -> Endpoint:
        """The live endpoint. What it can do is recalled from the store, or found out once and stored."""
        async with self._learning:
            if not self._learned:
                about = f"{self.model.endpoint_id} {self.model.name}"
                known = self.store.noted("capabilities", about)
                found = await self.model.capabilities(known, self._probing(about))
                self._hides = found is not None and found["reasoning"] == "hidden"
                self._learned = True
                if found is not None and known is None:
                    self.store.note("capabilities", about, found)
        return await self.model.endpoint()

    def _probing(self, about: str) -> Callable[..., Awaitable[Reply]]:
        """Makes the request of a probe: each try is paid for, and stored under a key of its own."""
        tries, began = itertools.count(), time.time()

        async def ask(**body: Any) -> Reply:
            async def each_try(once: Callable[[], Awaitable[Reply]]) -> Reply:
                whole = {"about": about, "probe": next(tries), "at": began}
                return await self._try(Request("probe", "", "probe", body, whole), once)

            return await (await self.model.endpoint()).chat(**body, each_try=each_try)

        return ask

    async def _put(self, request: Request, response: Row, usage: Mapping[str, Any], status: str = "ok") -> Row:
        who = {"task": request.task, "method": request.method, "model": self.model.name}
        billed = {name: usage.get(name, 0) for name in USAGE}
        about = {"key": request.key, "kind": request.kind, "endpoint": self.model.endpoint_id, **who, **billed}
        return await self.store.aput(**about, request=request.whole, response=response, status=status)
