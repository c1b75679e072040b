"""When may a request start, and when is it tried again?

Concurrency adapts between 1 and the configured maximum: it grows while all slots are used, shrinks to four fifths when
the server says 429 (once per cool-down, for the refusals of one burst are one piece of news), and holds still on a 5xx,
which says nothing about load. A `Retry-After` holds every start back, whoever heard it. Requests and tokens per minute
are kept by `aiolimiter`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from aiolimiter import AsyncLimiter

from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.failures import RetryableError

log = logging.getLogger(__name__)
T = TypeVar("T")

START = 256
"""Slots at the start, where the maximum is larger: a refusal costs one pause, a slow climb costs every run."""
SHRINK, COOL_DOWN, GROWTH = 0.8, 15.0, 0.05
"""What a 429 leaves of the limit, and for how many seconds; what is added later, as a share of the maximum, each time
that all slots were used once (before the first 429 it doubles)."""


class ResizableSemaphore(asyncio.Semaphore):
    """A semaphore whose width may change. What it loses while it is held, it loses as its holders leave."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width, self._surplus = width, 0

    def resize(self, width: int) -> None:
        more, self.width = width - self.width, width
        self._surplus -= more
        while self._surplus < 0:
            self._surplus += 1
            super().release()

    def release(self) -> None:
        if self._surplus > 0:
            self._surplus -= 1
        else:
            super().release()


class Limiter:
    """The limits of one endpoint.

    Args:
        most: requests in flight at most.
        requests_per_minute, tokens_per_minute: the endpoint's own limits, where known. A tenth of either may start at
            once, so that no minute sees more than 1.1 times the limit.

    Attributes:
        limit: slots now.
        in_flight: requests that hold a slot now.
        trace_slots: a semaphore of the same width for whoever makes one request after the other, such as a trace and
            then its answers: with no more of them at work than there are slots, none waits between its requests.
    """

    def __init__(
        self, most: int, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        self.most, self.limit, self.in_flight = most, float(min(most, START)), 0
        self._slots, self.trace_slots = (ResizableSemaphore(int(self.limit)) for _ in range(2))
        self._requests, self._tokens = _per_minute(requests_per_minute), _per_minute(tokens_per_minute)
        self._not_before = self._calm_until = 0.0
        self._done, self._refused = 0, False

    @asynccontextmanager
    async def slot(self, tokens: int = 0) -> AsyncIterator[None]:
        """Hold one slot; entered when there is one and the rates allow a request of so many tokens."""
        async with self._slots:
            self.in_flight += 1
            try:
                for rate, amount in ((self._requests, 1.0), (self._tokens, float(tokens))):
                    while rate and amount > 0:  # an amount larger than the burst is taken in parts
                        part = min(amount, rate.max_rate)
                        await rate.acquire(part)
                        amount -= part
                while (wait := self._not_before - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - may grow
                    await asyncio.sleep(wait)
                yield
            finally:
                self.in_flight -= 1

    def succeeded(self) -> None:
        """A request was answered; told while its slot is held. When as many were as there are slots, with all of them
        taken, there are more."""
        self._done = self._done + 1 if self._slots.locked() or self.trace_slots.locked() else 0
        if self._done >= int(self.limit) and asyncio.get_running_loop().time() >= self._calm_until:
            more = max(1.0, GROWTH * self.most) if self._refused else self.limit
            self._resize(min(self.most, self.limit + more))

    def rate_limited(self, retry_after: float | None = None) -> None:
        """The server said 429; nobody starts before `retry_after` seconds have passed."""
        now, wait = asyncio.get_running_loop().time(), retry_after or 0.0
        self._not_before = max(self._not_before, now + wait)
        self._refused, self._done = True, 0
        if now >= self._calm_until:
            self._resize(max(1.0, self.limit * SHRINK))
            self._calm_until = now + max(COOL_DOWN, wait)

    def _resize(self, limit: float) -> None:
        self.limit, self._done = limit, 0
        self._slots.resize(int(limit))
        self.trace_slots.resize(int(limit))


def _per_minute(rate: float | None) -> AsyncLimiter | None:
    burst = max(1.0, (rate or 0.0) / 10)
    return AsyncLimiter(burst, 60 * burst / rate) if rate else None


@dataclass(frozen=True)
class Timeouts:
    """How long an endpoint is waited for, in seconds, and how often it is asked again.

    Attributes:
        connect: for a connection.
        first_token: for the first token, and for each sign of life after it; servers that queue need minutes.
        whole: for a whole reply.
        retries: tries after the first, where a try fails in a way that may pass.
        limited: how long a request that is met with 429 is tried again, however often that is.
        backoff: the first pause between tries; each is twice the one before, up to `longest`.
        longest: the longest such pause. A `Retry-After` is honoured up to ten times as long; after a longer one the
            request is given up, and the others hold back for `longest`.
    """

    connect: float = 10.0
    first_token: float = 300.0
    whole: float = 1800.0
    retries: int = 6
    limited: float = 600.0
    backoff: float = 0.5
    longest: float = 30.0


class Retrying:
    """Tries calls of one endpoint (`place`, in messages) until they succeed or are given up; `tell` hears why."""

    def __init__(self, place: str, timeouts: Timeouts, tell: Callable[[str], None], limiter: Limiter | None) -> None:
        self.place, self.timeouts, self.tell, self.limiter = place, timeouts, tell, limiter
        self._answered = False

    async def __call__(self, once: Callable[[], Awaitable[T]]) -> T:
        """What the call returns, in the end; RequestFailed if it is given up, EndpointError if nobody is there."""
        clock, troubles = asyncio.get_running_loop().time, list[RetryableError]()
        until = clock() + self.timeouts.limited
        while True:
            try:
                done = await once()
                self._answered = True
                return done
            except RetryableError as trouble:
                self._answered |= not trouble.unreachable
                troubles.append(trouble)
            await asyncio.sleep(self._pause(troubles, clock() > until))

    def _pause(self, troubles: list[RetryableError], late: bool) -> float:
        """Seconds until the next try, jittered; raises if there is to be none."""
        limits, last, tries = self.timeouts, troubles[-1], len(troubles)
        too_long = (last.wait or 0.0) > 10 * limits.longest
        if last.limited and self.limiter is not None:
            self.limiter.rate_limited(limits.longest if too_long else last.wait)
        retries = limits.retries if self._answered else min(2, limits.retries)  # a server that was never there
        failures = sum(not trouble.limited for trouble in troubles)
        if last.final or too_long or failures > retries or (last.limited and late):
            if all(trouble.unreachable for trouble in troubles):
                raise EndpointError(
                    f"no answer from {self.place} after {tries} tries ({last}); is the server running and the address "
                    "right? What was stored is kept: run again to go on"
                )
            advice = f"; the server asks to wait {last.wait:.0f} s: run again after that" if too_long else ""
            raise RequestFailed(f"{last}{advice}{f' ({tries} tries)' if tries > 1 else ''}")
        pause = min(limits.longest, limits.backoff * 2.0 ** (tries - 1)) * (1 + random.random() / 4)
        if last.wait is not None:
            pause = last.wait + random.random() * limits.backoff
        count = "rate limited" if last.limited else f"retry {failures} of {retries}"
        log.info("%s: %s; %s, in %.1f s", self.place, last, count, pause)
        self.tell(f"{last}; {count}")
        return pause
