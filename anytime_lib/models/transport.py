"""How does a request reach a server, and what comes back?

The only place that speaks to `openai` and the HTTP library it stands on: objects as the server sent them go up, and
errors of this package.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai

from anytime_lib.errors import RequestFailed
from anytime_lib.models.failures import RetryableError, ServerError, unsent
from anytime_lib.redact import Redactor

LARGEST, LARGEST_ERROR = 100_000_000, 1_000_000
"""Bytes of a reply beyond which it is no answer to anything, and of an error beyond which it is cut."""


class Transport:
    """Connections to one server.

    Args:
        connect: seconds that a connection may take.
    """

    def __init__(self, base_url: str, api_key: str, redact: Redactor, connect: float) -> None:
        self._connect, self._redact = connect, redact
        # On aiohttp, which takes half the processor time of the default at hundreds of connections. No proxy of the
        # user's network stands before a server on this machine.
        http = openai.DefaultAioHttpClient(trust_env=not is_loopback(base_url), event_hooks={"response": [_bounded]})
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            max_retries=0,
            http_client=http,
            timeout=openai.Timeout(None, connect=connect),
        )

    async def close(self) -> None:
        await self._client.close()

    @contextlib.asynccontextmanager
    async def chat(self, body: dict[str, Any]) -> AsyncIterator[AsyncIterator[object]]:
        """The reply to a chat request, its head read and its body not yet: the chunks of a stream, or the one object of
        a reply that comes whole.

        Posted as it is: `chat.completions.create` looks at each message under every type that it may have, which takes
        longer than all else that a request needs.

        Raises:
            ServerError, RetryableError, RequestFailed: on entering, and while it is read.
        """

        def redact(text: str) -> str:
            return self._redact(text, " ".join(str(message["content"]) for message in body["messages"]))

        try:
            stream = await self._client.post(
                "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
            )
        except openai.APIStatusError as error:
            raise _refused(error, redact) from None
        except Exception as error:
            raise unsent(error, self._connect, redact) from None
        try:
            with _translated(redact):
                yield _chunks(stream)
        finally:
            with contextlib.suppress(Exception):  # a connection that broke may break again when it is closed
                await stream.close()

    async def ask(self, url: str, body: object = None) -> Any:
        """What another route answers with, got or (with a body) posted to.

        Raises:
            ServerError, RetryableError, RequestFailed: it is no JSON, or an error.
        """
        try:
            if body is None:
                return await self._client.get(url, cast_to=object)
            return await self._client.post(url, cast_to=object, body=body)
        except openai.APIStatusError as error:
            raise _refused(error, self._redact) from None
        except ValueError:
            raise RequestFailed(f"{url} answers with something that is no JSON") from None
        except Exception as error:
            raise unsent(error, self._connect, self._redact) from None


def _refused(error: openai.APIStatusError, redact: Callable[[str], str]) -> ServerError:
    return ServerError(error.body, redact, error.status_code, error.response.headers)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


@contextlib.contextmanager
def _translated(redact: Callable[[str], str]) -> Iterator[None]:
    """Whatever `openai`, and the HTTP library it stands on, raises in mid-reply, as errors of ours."""
    try:
        yield
    except (RetryableError, RequestFailed, ServerError):
        raise
    except (ValueError, RecursionError):
        raise RetryableError("the reply is not valid JSON, or was cut off") from None
    except Exception as error:
        if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
            raise ServerError(error.body, redact) from None
        kind = type(error.__cause__ or error).__name__
        raise RetryableError(f"the connection broke in mid-reply ({kind})") from None


async def _chunks(stream: openai.AsyncStream[object]) -> AsyncIterator[object]:
    """The objects of a reply: the chunks of a stream, however it is labelled, or the one of a reply that came whole."""
    if "event-stream" not in stream.response.headers.get("content-type", ""):
        body = (await stream.response.aread()).lstrip()
        if body[:1] == b"<":
            raise RequestFailed(
                "the server answered with a web page and not with JSON; is the address right, up to and including its "
                "/v1?"
            )
        if not body.startswith((b"data:", b"event:", b":")):
            yield json.loads(body)
            return
    async for chunk in stream:
        yield chunk


async def _bounded(response: Any) -> None:
    """Lets no more of a body be read than makes sense, whatever the server sends: of an error the beginning."""
    read, largest = response.aiter_bytes, LARGEST_ERROR if response.is_error else LARGEST

    async def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
        size = 0
        async for data in read(chunk_size):
            size += len(data)
            if size > largest:
                await response.aclose()
                if response.is_error:
                    return
                raise RetryableError(f"the reply is larger than {largest // 1_000_000} MB and was given up")
            yield data

    response.aiter_bytes = aiter_bytes
