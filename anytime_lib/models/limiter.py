"""How many requests may be in flight, and may the next one start now?

Concurrency adapts between 1 and the configured maximum: it grows while all slots are used, shrinks to four fifths when
the server says 429 (once per cool-down, for the refusals of one burst are one piece of news), and holds still on a 5xx,
which says nothing about load. A `Retry-After` holds every start back, whoever heard it. Requests and tokens per minute
are kept by `aiolimiter`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

START = 256
"""Slots at the start, where the maximum is larger: a refusal costs one pause, a slow climb costs every run."""
SHRINK, COOL_DOWN = 0.8, 15.0
GROWTH = 0.05
"""What is added to the limit after a 429, as a share of the maximum, each time that all slots were used once. Before
the first 429 it doubles."""


class ResizableSemaphore:
    """Admits `limit()` holders at once, first come first served."""

    def __init__(self, limit: Callable[[], float]) -> None:
        self._limit = limit
        self.inside = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        if not self.waiting and self.inside < int(self._limit()):
            self.inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted and cancelled in one breath
                self.release()
            raise

    def release(self) -> None:
        self.inside -= 1
        self.wake()

    def wake(self) -> None:
        """Admit whom the limit allows; to be called when it has grown."""
        while self.waiting and self.inside < int(self._limit()):
            turn = self.waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)


class Limiter:
    """The limits of one endpoint.

    Args:
        most: requests in flight at most.
        requests_per_minute, tokens_per_minute: the endpoint's own limits, where known. A tenth of either may start at
            once, so that no minute sees more than 1.1 times the limit.

    Attributes:
        limit: slots now.
        trace_slots: a semaphore of the same width for whoever makes one request after the other, such as a trace and
            then its answers: with no more of them at work than there are slots, none waits between its requests.
    """

    def __init__(
        self, most: int, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self.most, self.limit = most, float(min(most, START))
        self._slots, self.trace_slots = (ResizableSemaphore(lambda: self.limit) for _ in range(2))
        self._requests, self._tokens = _per_minute(requests_per_minute), _per_minute(tokens_per_minute)
        self._not_before = self._calm_until = 0.0
        self._done, self._refused = 0, False

    @property
    def in_flight(self) -> int:
        """Requests that hold a slot now."""
        return self._slots.inside

    def paused(self) -> float:
        """Seconds until the server wants to hear from anybody again; 0 if it does now."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[None]:
        """Hold one slot; entered when there is one and the rates allow a request of so many tokens."""
        await self._slots.acquire()
        try:
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                await _acquire(self._tokens, tokens)
            while wait := self.paused():  # noqa: ASYNC110 - it may grow meanwhile
                await asyncio.sleep(wait)
            yield
        finally:
            self._slots.release()

    def succeeded(self) -> None:
        """A request was answered. When as many were as there are slots, with all of them taken, there are more."""
        wanted = self._slots.waiting or self.trace_slots.waiting or self._slots.inside + 1 >= int(self.limit)
        self._done = self._done + 1 if wanted else 0
        if self._done >= int(self.limit) and asyncio.get_running_loop().time() >= self._calm_until:
            self.limit = min(self.most, self.limit + max(1.0, GROWTH * self.most) if self._refused else 2 * self.limit)
            self._done = 0
            self._slots.wake()
            self.trace_slots.wake()

    def rate_limited(self, retry_after: float | None = None) -> None:
        """The server said 429; nobody starts before `retry_after` seconds have passed."""
        now, wait = asyncio.get_running_loop().time(), retry_after or 0.0
        self._not_before = max(self._not_before, now + wait)
        self._refused, self._done = True, 0
        if now >= self._calm_until:
            self.limit = max(1.0, self.limit * SHRINK)
            self._calm_until = now + max(COOL_DOWN, wait)


def _per_minute(rate: float | None) -> AsyncLimiter | None:
    if rate is None:
        return None
    burst = max(1.0, rate / 10)
    return AsyncLimiter(burst, 60 * burst / rate)


async def _acquire(limiter: AsyncLimiter, amount: float) -> None:
    """Take an amount that may be larger than the burst, in parts."""
    while amount > 0:
        part = min(amount, limiter.max_rate)
        await limiter.acquire(part)
        amount -= part
