"""How is a request asked, paid for, and stored before anybody uses it? And how many were there?"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

from anytime_lib.errors import RequestFailed
from anytime_lib.models.model import Model
from anytime_lib.models.reply import Once, Reply, RetryableError
from anytime_lib.store import Store
from anytime_lib.sweep.client import Request, Row
from anytime_lib.sweep.costs import TOKENS, SpendLimit

log = logging.getLogger(__name__)


class LiveBackend:
    """Asks the endpoint of `model`, pays from `spend_limit`, and keeps everything in `store`."""

    def __init__(self, store: Store, model: Model, spend_limit: SpendLimit) -> None:
        self.store, self.model, self.spend_limit = store, model, spend_limit
        model.on_retry = self._retry
        self._hides: bool | None = None
        self._learning = asyncio.Lock()
        self._asking: dict[str, asyncio.Task[Row]] = {}
        self._asked = self._known = self._tokens = self._retries = 0
        self._last, self._began = "", time.monotonic()

    def get(self, key: str) -> Row | None:
        row = self.store.get(key)
        if row is not None and "text" in row:
            self._known += 1
        return row

    async def complete(self, request: Request) -> Row:
        """The server's reply. Whoever asks the same meanwhile waits for the same reply."""
        await self.hides_reasoning()  # so what the server does not take is known before it is sent
        if (row := self.store.get(request.key)) is not None:  # another asked while the endpoint was reached
            return row
        if (asking := self._asking.get(request.key)) is None:
            asking = self._asking[request.key] = asyncio.create_task(self._ask(request))
            asking.add_done_callback(lambda ended: self._ended(request.key, ended))
        try:
            await asyncio.wait([asking])
        except asyncio.CancelledError:
            if asking not in self.model.sending:  # what was sent is paid for: let it come back
                asking.cancel()
            raise
        return asking.result()

    async def tokenise(self, request: Request, text: str, billed: int) -> Row:
        await self.hides_reasoning()
        ends, by_file = await self.model.tokenize(text)
        row = {"ends": ends, "by_file": by_file}
        return row if ends is None and not billed else await self.put(request, row)

    async def hides_reasoning(self) -> bool:
        """As the model's server is known to do from the store, or found out once, which is stored."""
        async with self._learning:
            if self._hides is None:
                about = f"{self.model.endpoint_id} {self.model.name}"
                known = self.store.noted("capabilities", about)
                found = await self.model.capabilities(known, partial(self._probe, {"at": time.time()}))
                self._hides = found is not None and found["reasoning"] == "hidden"
                if found is not None and known is None:
                    self.store.note("capabilities", about, found)
        return self._hides

    async def settle(self, seconds: float) -> None:
        """Where a run ends early: let what is with the server, and paid for, come back for so many seconds."""
        asking = list(self._asking.values())
        if not asking:
            return
        log.warning("stopping; %d requests are with the server, and get %.0f s to come back", len(asking), seconds)
        with suppress(asyncio.CancelledError):
            await asyncio.wait(asking, timeout=seconds)
        if lost := sum(one.cancel() for one in asking):
            log.warning("%d of them were given up: they are asked again, and may have been billed", lost)
        await asyncio.gather(*asking, return_exceptions=True)

    def total(self) -> str:
        """The running total, in a few words."""
        seconds, dollars = time.monotonic() - self._began + 1e-9, self.spend_limit.spent[1]
        return (
            (f"{len(self._asking)} in flight, " if self._asking else "")
            + f"{self._asked} calls, {self._known} known, {self._tokens:,} tokens, {self._tokens / seconds:.0f} tok/s"
            + (f", ${dollars:.2f}" if dollars else "")
            + (f", {self._retries} retries, last: {self._last:.60}" if self._retries else "")
        )

    def _retry(self, why: str) -> None:
        self._retries, self._last = self._retries + 1, why

    def _ended(self, key: str, asking: asyncio.Task[Row]) -> None:
        del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # looked at: whoever waited has raised it, or nobody waits any more

    async def _ask(self, request: Request) -> Row:
        stored: Row = {}  # what counts: another run may have been first
        try:
            reply = await self.model.chat(**request.body, each_try=partial(self._try, request, stored))
        except RequestFailed as error:
            await self.put(request, {"error": str(error)}, status="error")
            raise
        self._asked, self._tokens = self._asked + 1, self._tokens + reply.completion_tokens
        return stored

    async def _try(self, request: Request, stored: Row, once: Once) -> Reply:
        """One try, paid for by itself, within the cap; what it was billed is stored before the next."""
        asked = request.body["messages"], max(request.body["max_tokens"], self.model.least_tokens)
        async with self.spend_limit.reserve(*asked) as bill:
            try:
                reply = await once()
            except RetryableError as lost:
                part = lost.partial.to_json() if lost.partial else {}
                bill.update(part or lost.billed)
                if part:
                    await self.put(request, part, bill, "partial")
                elif +Counter(bill):
                    await self.put(request, {"error": str(lost)}, bill, "error")
                if lost.lost:
                    await self._lose(request, asked, bill, str(lost))
                raise
            except asyncio.CancelledError:
                if asyncio.current_task() in self.model.sending:
                    await self._lose(request, asked, bill, "given up")
                raise
            bill.update(said := reply.to_json())
            stored |= await self.put(request, said, bill)
            return reply

    async def _lose(self, request: Request, asked: tuple[Any, int], bill: dict[str, Any], why: str) -> None:
        """Book the rest of what a reply that was lost may have been billed at most."""
        worst = self.spend_limit.worst(*asked)
        if rest := Counter(worst) - Counter({name: bill.get(name, 0) for name in worst}):
            await self.put(request, {"error": why}, rest, "unconfirmed")
            bill |= {name: bill.get(name, 0) + rest[name] for name in rest}

    async def _probe(self, at: dict[str, float], **body: Any) -> Reply:
        """The request of a probe, paid for as any; another probe is another request."""
        request = Request("probe", "", "probe", at | body)
        return await self.model.chat(**body, each_try=partial(self._try, request, {}))

    async def put(self, request: Request, response: Row, usage: Row | None = None, status: str = "ok") -> Row:
        who = {"task": request.task, "method": request.method, "model": self.model.name}
        billed = {name: (usage or {}).get(name, 0) for name in (*TOKENS, "seconds")}
        about = {"key": request.key, "kind": request.kind, "endpoint": self.model.endpoint_id, **who, **billed}
        return await self.store.aput(**about, request=request.whole, response=response, status=status)
