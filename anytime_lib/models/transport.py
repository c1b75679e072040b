"""How do requests reach an endpoint with the least work?"""

from __future__ import annotations

from typing import Any

import openai


def http_client(trust_env: bool) -> Any:
    """The HTTP client for `openai.AsyncOpenAI`.

    On aiohttp, which takes half the processor time of the package's default at hundreds of connections (its pool looks
    at every connection for every request); the default where the installed `openai` cannot use aiohttp.

    Args:
        trust_env: whether the environment's proxies count.
    """
    try:
        return openai.DefaultAioHttpClient(trust_env=trust_env)
    except RuntimeError:  # an older openai, or aiohttp is not there
        return openai.DefaultAsyncHttpxClient(trust_env=trust_env)


def as_sent(model: str, messages: list[dict[str, str]], settings: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `chat.completions.create` that send exactly these messages and settings.

    All travel in `extra_body`, as they are: given by name, each message would first be looked at under every type that
    a message may have, which takes longer than everything else that a request needs.
    """
    extra = settings.get("extra_body") or {}
    body = {name: value for name, value in settings.items() if name != "extra_body"}
    return {"model": model, "messages": [], "extra_body": {**body, "messages": messages, **extra}}
