"""When is a request tried again, when is it given up, and who hears why?"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.failures import Event, RetryableError
from anytime_lib.models.reply import Reply

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """How long an endpoint is waited for, in seconds, and how often it is asked again.

    Attributes:
        connect: for a connection.
        first_token: for the first token, and for each sign of life after it. Servers that queue requests, or reason
            out of sight, need minutes.
        whole: for a whole reply.
        retries: tries after the first, where a try fails in a way that may pass.
        waits: waits after a 429, which do not count as failures.
        backoff: the first pause between tries; each is twice the one before, up to `longest`.
        longest: the longest such pause. A `Retry-After` is honoured up to ten times as long; after a longer one the
            request is given up, and others hold back for `longest` alone before they find out for themselves.
    """

    connect: float = 10.0
    first_token: float = 300.0
    whole: float = 1800.0
    retries: int = 6
    waits: int = 20
    backoff: float = 0.5
    longest: float = 30.0


class Limiter(Protocol):
    """Whoever decides when a request may be sent, and hears how the endpoint takes it."""

    def slot(self, tokens: int) -> AbstractAsyncContextManager[Any]: ...
    def succeeded(self, seconds: float) -> None: ...
    def rate_limited(self, retry_after: float | None) -> None: ...
    def server_error(self) -> None: ...


class Retrying:
    """Tries calls of one endpoint until they succeed or are given up."""

    def __init__(
        self, place: str, timeouts: Timeouts, tell: Callable[[Event], None], limiter: Limiter | None = None
    ) -> None:
        self.timeouts, self._place, self._tell, self.limiter = timeouts, place, tell, limiter
        self._answered = False

    async def __call__(self, once: Callable[[], Awaitable[T]]) -> T:
        """Try until it succeeds; pauses grow and are jittered.

        Returns:
            What the call returns; of replies that died on every try, the longest part that had arrived.

        Raises:
            RequestFailed: it was given up, or failed in a way that does not pass.
            EndpointError: no connection ever came about, or the call says that none can succeed.
        """
        so_far = _SoFar()
        while True:
            try:
                done = await once()
            except RetryableError as trouble:
                self._answered |= not trouble.unreachable
                pause = self._pause(trouble, so_far)
            else:
                self._answered = True
                return done
            if pause is None:
                return cast(T, so_far.best)
            await asyncio.sleep(pause)

    def _pause(self, trouble: RetryableError, so_far: _SoFar) -> float | None:
        """Seconds until the next try; None where a part of a reply is all there will be."""
        limits, words = self.timeouts, str(trouble)
        so_far.add(trouble)
        too_long = trouble.wait is not None and trouble.wait > 10 * limits.longest
        if self.limiter is not None:
            if trouble.kind == "rate_limited":
                self.limiter.rate_limited(limits.longest if too_long else trouble.wait)
            elif trouble.kind == "server_error":
                self.limiter.server_error()
        retries = limits.retries if self._answered else min(2, limits.retries)  # a server that was never there
        if too_long:
            words = f"{words}; the server asks to wait {trouble.wait:.0f} s: run again after that"
        if trouble.final or too_long or so_far.failures > retries or so_far.waits > limits.waits:
            self._give_up(words, so_far)
            return None
        if trouble.kind == "rate_limited":
            number, count = so_far.waits, f"wait {so_far.waits} of {limits.waits}"
        else:
            number, count = so_far.failures, f"retry {so_far.failures} of {retries}"
        pause = min(limits.longest, limits.backoff * 2.0 ** (number - 1)) * (1 + random.random() / 4)
        if trouble.wait is not None:
            pause = trouble.wait + random.random() * limits.backoff
        words = f"{words}; {count} in {pause:.1f} s"
        log.info("%s: %s", self._place, words)
        self._tell(Event(trouble.kind, pause, words))
        return pause

    def _give_up(self, words: str, so_far: _SoFar) -> None:
        """Raise what a call that failed for good is; nothing where a part of its reply is kept."""
        tries = so_far.failures + so_far.waits
        if so_far.best is not None:
            log.warning("%s: %s; the %d tokens that had arrived are kept as a part", self._place, words,
                        so_far.best.completion_tokens)  # fmt: skip
        elif so_far.unreachable == tries:
            raise EndpointError(
                f"no answer from {self._place} after {tries} tries ({words}); is the server running and the address "
                "right? What was stored is kept: run again to go on"
            ) from None
        else:
            raise RequestFailed(f"{words}{f' ({tries} tries)' if tries > 1 else ''}") from None


class _SoFar:
    """What has become of a call so far: failures and waits, and the best part of a reply."""

    def __init__(self) -> None:
        self.failures = self.waits = self.unreachable = 0
        self.best: Reply | None = None

    def add(self, trouble: RetryableError) -> None:
        self.waits += trouble.kind == "rate_limited"
        self.failures += trouble.kind != "rate_limited"
        self.unreachable += trouble.unreachable
        new = trouble.partial
        if new is not None and (self.best is None or new.completion_tokens > self.best.completion_tokens):
            self.best = new
