"""How many requests may be in flight, and may the next one start now?

Concurrency adapts between 1 and the configured maximum: it grows while more slots finish more requests, shrinks to
four fifths when the server says 429 (once per cool-down, for the refusals of one burst are one piece of news), and
holds still on a 5xx, which says nothing about load. A `Retry-After` holds every start back, whoever heard it. Requests
and tokens per minute are kept by `aiolimiter`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

START = 64
"""Slots at the start, where the maximum is larger: a refusal costs one pause, a slow climb costs every run."""
SHRINK, COOL_DOWN = 0.8, 15.0
FAST, SLOW = 2.0, 1.25
"""Factors of growth: until the first sign of a limit, and after it."""
GAIN = 1.02
"""What a larger limit must finish more of, or it is taken back."""
HOLD = 30.0
"""Seconds until growth is tried again where it did not pay."""
PATIENCE = 3.0
"""Seconds of silence after which growth goes on: long requests finish late, but refusals come at once."""


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
        self.most = most
        self.limit = float(min(most, START))
        self._slots, self.trace_slots = ResizableSemaphore(lambda: self.limit), ResizableSemaphore(lambda: self.limit)
        self._requests, self._tokens = _per_minute(requests_per_minute), _per_minute(tokens_per_minute)
        self._factor = FAST
        self._before: tuple[float, float] | None = None  # limit and rate before the last growth
        self._not_before = self._calm_until = self._since = 0.0
        self._done = 0
        self._full = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Requests that hold a slot now."""
        return self._slots.inside

    def idle(self) -> bool:
        """Whether slots are free and nobody waits for one."""
        return not (self.trace_slots.waiting or self._slots.waiting) and self._slots.inside + 1 < int(self.limit)

    def paused(self) -> float:
        """Seconds until the server wants to hear from anybody again; 0 if it does now."""
        return max(0.0, self._not_before - asyncio.get_running_loop().time())

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[None]:
        """Hold one slot; entered when there is one and the rates allow a request of so many tokens."""
        if self._slots.inside + 1 >= int(self.limit):
            self._expect_growth()
        await self._slots.acquire()
        try:
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                await _acquire(self._tokens, tokens)
            while wait := self.paused():  # noqa: ASYNC110 - it may grow meanwhile
                await asyncio.sleep(wait)
            if not self._since:
                self._since = asyncio.get_running_loop().time()
            yield
        finally:
            self._slots.release()

    def succeeded(self, seconds: float) -> None:
        """A request was answered, `seconds` after it was sent."""
        self._done += 1
        wanted = bool(self._slots.waiting or self.trace_slots.waiting)
        self._full |= wanted or self._slots.inside + 1 >= int(self.limit)
        if self._done >= int(self.limit):
            self._review()

    def rate_limited(self, retry_after: float | None = None) -> None:
        """The server said 429; nobody starts before `retry_after` seconds have passed."""
        now = asyncio.get_running_loop().time()
        self._not_before = max(self._not_before, now + (retry_after or 0.0))
        self._factor, self._before = SLOW, None
        if now >= self._calm_until:
            self.limit = max(1.0, self.limit * SHRINK)
            self._calm_until = now + max(COOL_DOWN, retry_after or 0.0)
        self._restart(now)

    def server_error(self) -> None:
        """The server said 5xx: a retry, and no reason to shrink."""

    def close(self) -> None:
        """Forget the timer, so that a loop can end."""
        if self._timer:
            self._timer.cancel()

    def _review(self) -> None:
        """As many requests as there are slots have ended: did the last growth pay, and should there be another?"""
        now = asyncio.get_running_loop().time()
        rate = self._done / max(now - self._since, 1e-9)
        full = self._full
        self._restart(now)
        if now < self._calm_until or not full:
            return
        if self._before and rate < self._before[1] * GAIN:
            self.limit, self._before, self._factor = self._before[0], None, SLOW
            self._calm_until = now + HOLD
            return
        self._before = (self.limit, rate)
        self._grow()

    def _grow(self) -> None:
        self.limit = min(float(self.most), max(self.limit + 1, self.limit * self._factor))
        self._slots.wake()
        self.trace_slots.wake()

    def _restart(self, now: float) -> None:
        self._done, self._since, self._full = 0, now, False

    def _expect_growth(self) -> None:
        if self._timer is None and self.limit < self.most and self._factor == FAST:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._silence, self._done)

    def _silence(self, done_then: int) -> None:
        """Some seconds with all slots taken: if none came back and none was refused, there is room for more."""
        self._timer = None
        if self._factor == FAST and self._done == done_then and self._slots.inside >= int(self.limit):
            self._grow()
        if self._slots.inside >= int(self.limit) or self._slots.waiting:
            self._expect_growth()


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
