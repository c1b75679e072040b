"""How does asynchronous code run from plain code, in a script and in a notebook cell alike?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def first_error(work: Coroutine[Any, Any, T]) -> T:
    """Await work that may raise a group of errors; raise the first of it alone, so that it reads as one sentence."""
    try:
        return await work
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    raise error  # outside the handler: a group left in its context would make notebooks print the group


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread of its own: in a notebook cell a loop runs already.

    Ctrl-C or a kernel interrupt cancels it, waits for it to end, and raises KeyboardInterrupt.
    """
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def whole() -> T:
        task = asyncio.current_task()
        assert task
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, whole())
        try:
            return done.result()
        except KeyboardInterrupt:
            loop, task = begun.result()
            loop.call_soon_threadsafe(task.cancel)
    raise KeyboardInterrupt("stopped; what was stored is kept: run the same again, and it goes on from there")
