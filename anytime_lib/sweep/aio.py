"""How does asynchronous code run from plain code, in a script and in a notebook cell alike?"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
GO_ON = "stopped; what was stored is kept: run the same again, and it goes on from there"


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
    """Run a coroutine to its end, also inside a notebook cell, where a loop runs already.

    Ctrl-C or a kernel interrupt cancels it, waits for it to end, and raises KeyboardInterrupt.
    """
    try:
        return _in_a_thread(work) if _loop_runs() else asyncio.run(work)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(GO_ON) from None


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own, in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
    finally:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_drain(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        if not thread.is_alive():
            loop.close()


async def _drain() -> None:
    """Wait for the loop's other tasks to end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
