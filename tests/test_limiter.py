"""The limiter against simulated servers, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from anytime_lib.models.limiter import COOL_DOWN, SHRINK, Limiter


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer: minutes pass in milliseconds, and always in the same way."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._really_select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now

    def _select(self, timeout: float | None) -> Any:
        self._now += timeout or 0
        return self._really_select(0 if timeout is not None else None)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on such a loop."""

    @wraps(test)
    def run(*args: Any, **more: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **more))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


async def drive(limiter: Limiter, requests: int) -> float:
    """Send requests of a second each as fast as the limiter lets them start; how many seconds that takes."""

    async def one() -> None:
        async with limiter.slot(10):
            await asyncio.sleep(1.0)
            limiter.succeeded()

    start = now()
    await asyncio.gather(*(one() for _ in range(requests)))
    return now() - start


@virtual
async def test_one_burst_of_refusals_shrinks_once_and_a_cool_down_later_again() -> None:
    limiter = Limiter(20)
    for _ in range(15):
        limiter.rate_limited()
    assert limiter.slots.total_tokens == 20 * SHRINK
    await asyncio.sleep(COOL_DOWN + 1)
    limiter.rate_limited()
    assert limiter.slots.total_tokens == int(20 * SHRINK**2)
    await asyncio.sleep(COOL_DOWN + 1)
    await drive(limiter, int(20 * SHRINK**2) - 1)  # it does not grow while slots are free
    assert limiter.slots.total_tokens == int(20 * SHRINK**2)
    await drive(limiter, 40)
    assert int(20 * SHRINK**2) < limiter.slots.total_tokens < 20  # and back, in small steps
    await drive(limiter, 200)
    assert limiter.slots.total_tokens == 20


@virtual
async def test_it_never_shrinks_to_nothing() -> None:
    limiter = Limiter(2)
    for _ in range(50):
        limiter.rate_limited()
        await asyncio.sleep(COOL_DOWN + 1)
    assert limiter.slots.total_tokens == 1
    assert await drive(limiter, 1) == pytest.approx(1)


@virtual
async def test_retry_after_holds_everybody_back() -> None:
    limiter = Limiter(8)
    limiter.rate_limited(retry_after=42)
    start = now()
    await drive(limiter, 3)
    assert now() - start == pytest.approx(43)


@pytest.mark.parametrize(("kind", "rate"), [("requests_per_minute", 60), ("tokens_per_minute", 600)])
@virtual
async def test_no_minute_sees_much_more_than_the_limit(kind: str, rate: float) -> None:
    limiter, starts = Limiter(1000, **{kind: rate}), list[float]()

    async def one() -> None:
        async with limiter.slot(10):
            starts.append(now())

    begun = now()
    await asyncio.gather(*(one() for _ in range(240)))
    assert max(starts) - begun == pytest.approx(240 - 6, abs=2)
    assert all(sum(t <= s < t + 60 for s in starts) <= 1.1 * 60 + 1 for t in starts)


@virtual
async def test_a_request_larger_than_the_burst_still_starts() -> None:
    limiter = Limiter(4, tokens_per_minute=100)
    start = now()
    async with limiter.slot(150):
        assert now() - start == pytest.approx(60 * (150 - 10) / 100, rel=0.02)
