"""When is a request tried again, when is it given up, and who hears why?"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.failures import Event, RetryableError
from anytime_lib.models.limiter import Limiter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timeouts:
    """How long an endpoint is waited for, in seconds, and how often it is asked again.

    Attributes:
        connect: for a connection.
        first_token: for the first token, and for each sign of life after it. Servers that queue requests, or reason
            out of sight, need minutes.
        whole: for a whole reply.
        retries: tries after the first, where a try fails in a way that may pass.
        limited: how long a request that is met with 429 is tried again, however often that is.
        backoff: the first pause between tries; each is twice the one before, up to `longest`.
        longest: the longest such pause. A `Retry-After` is honoured up to ten times as long; after a longer one the
            request is given up, and others hold back for `longest` alone before they find out for themselves.
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

    def __init__(
        self, place: str, timeouts: Timeouts, tell: Callable[[Event], None], limiter: Limiter | None = None
    ) -> None:
        self.timeouts, self.limiter, self._place, self._tell = timeouts, limiter, place, tell
        self._answered = False

    async def __call__(self, once: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it succeeds; pauses grow and are jittered.

        Returns:
            What the call returns; of replies that died on every try, the longest part that had arrived.

        Raises:
            RequestFailed: it was given up, or failed in a way that does not pass.
            EndpointError: no connection ever came about, or the call says that none can succeed.
        """
        troubles, until = list[RetryableError](), asyncio.get_running_loop().time() + self.timeouts.limited
        while True:
            try:
                done = await once()
            except RetryableError as trouble:
                self._answered |= not trouble.unreachable
                troubles.append(trouble)
            else:
                self._answered = True
                return done
            if (pause := self._pause(troubles, until)) is None:
                return self._part_of(troubles)
            await asyncio.sleep(pause)

    def _pause(self, troubles: list[RetryableError], until: float) -> float | None:
        """Seconds until the next try; None where there is to be none."""
        limits, last = self.timeouts, troubles[-1]
        limited, too_long = last.kind == "rate_limited", (last.wait or 0.0) > 10 * limits.longest
        if limited and self.limiter is not None:
            self.limiter.rate_limited(limits.longest if too_long else last.wait)
        retries = limits.retries if self._answered else min(2, limits.retries)  # a server that was never there
        failures = sum(trouble.kind != "rate_limited" for trouble in troubles)
        if last.final or too_long or failures > retries or (limited and asyncio.get_running_loop().time() > until):
            return None
        pause = min(limits.longest, limits.backoff * 2.0 ** (len(troubles) - 1)) * (1 + random.random() / 4)
        if last.wait is not None:
            pause = last.wait + random.random() * limits.backoff
        count = "rate limited" if limited else f"retry {failures} of {retries}"
        words = f"{last}; {count}, in {pause:.1f} s"
        log.info("%s: %s", self._place, words)
        self._tell(Event(last.kind, pause, words))
        return pause

    def _part_of(self, troubles: list[RetryableError]) -> Any:
        """The longest part of a reply that had arrived; if there is none, what a call that failed for good is."""
        tries, last, words = len(troubles), troubles[-1], str(troubles[-1])
        if (last.wait or 0.0) > 10 * self.timeouts.longest:
            words = f"{words}; the server asks to wait {last.wait:.0f} s: run again after that"
        if parts := [trouble.partial for trouble in troubles if trouble.partial is not None]:
            best = max(parts, key=lambda part: part.completion_tokens)
            log.warning(
                "%s: %s; the %d tokens that had arrived are kept as a part", self._place, words, best.completion_tokens
            )
            return best
        if all(trouble.unreachable for trouble in troubles):
            raise EndpointError(
                f"no answer from {self._place} after {tries} tries ({words}); is the server running and the address "
                "right? What was stored is kept: run again to go on"
            ) from None
        raise RequestFailed(f"{words}{f' ({tries} tries)' if tries > 1 else ''}") from None
