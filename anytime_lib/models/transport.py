"""How do requests reach an endpoint with the least work?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import aiohttp
import openai


class _AioHttp(openai.DefaultAioHttpClient):
    """The package's client on aiohttp, whose errors say what happened: it calls every lost connection a timeout."""

    async def send(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().send(*args, **options)
        except Exception as error:
            cause = error.__cause__
            if not isinstance(cause, aiohttp.ClientConnectionError) or isinstance(cause, aiohttp.ServerTimeoutError):
                raise
            kind = "ConnectError" if isinstance(cause, aiohttp.ClientConnectorError) else "ReadError"
            library = import_module(type(error).__module__.partition(".")[0])  # httpx, or what openai puts in its place
            raise getattr(library, kind)(str(cause)) from cause


def http_client(trust_env: bool) -> Any:
    """The HTTP client for `openai.AsyncOpenAI`; to be closed with it.

    On aiohttp, which takes half the processor time of the package's default at hundreds of connections (its pool looks
    at every connection for every request); the default where the installed `openai` cannot use aiohttp.

    Args:
        trust_env: whether the environment's proxies count.
    """
    try:
        return _AioHttp(trust_env=trust_env)
    except RuntimeError:  # an openai that wants more than aiohttp for it
        return openai.DefaultAsyncHttpxClient(trust_env=trust_env)


def as_sent(model: str, messages: list[dict[str, str]], settings: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `chat.completions.create` that send exactly these messages and settings.

    All travel in `extra_body`, as they are: given by name, each message would first be looked at under every type that
    a message may have, which takes longer than everything else that a request needs.
    """
    extra = settings.get("extra_body") or {}
    body = {name: value for name, value in settings.items() if name != "extra_body"}
    return {"model": model, "messages": [], "extra_body": {**body, "messages": messages, **extra}}
