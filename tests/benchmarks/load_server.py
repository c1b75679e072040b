"""An OpenAI-compatible server for load tests: answers every chat request after a fixed latency, and does little else.

    python tests/benchmarks/load_server.py [--latency 1.0] [--stream]

With `--stream`, replies that may be streamed are as long as they may be, a token every millisecond, with
log-probabilities as vLLM sends them. Prints its port. Written on asyncio's streams, without a web framework, so that it
takes a small share of one core at hundreds of requests a second and is not what a benchmark measures.
"""

import asyncio
import contextlib
import json
import os
import re
from functools import cache
from typing import Any

from common import options

SAID = {"role": "assistant", "content": "so we think on and then " * 4 + "Answer: C"}
CHOICE = {"index": 0, "finish_reason": "length", "logprobs": None, "message": SAID}
USAGE = {"prompt_tokens": 80, "completion_tokens": 32, "total_tokens": 112}
MODEL = {"id": "fake", "object": "model"}


def http(status: str, body: Any) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


@cache
def streamed(n: int) -> list[bytes]:
    """A reply's head and its n tokens."""
    about = {"id": "chatcmpl-0123456789abcdef0123456789abcdef", "object": "chat.completion.chunk", "model": "fake"}
    token = {"token": " so", "logprob": -0.123456789, "bytes": [32, 115, 111], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": " so"}, "logprobs": {"content": [token]}, "finish_reason": None}
    last = {"choices": [choice | {"finish_reason": "length"}], "usage": USAGE | {"completion_tokens": n}}
    texts = [json.dumps(about | {"choices": [choice]})] * (n - 1) + [json.dumps(about | last)]
    events = [f"data: {text}\n\n".encode() for text in texts]
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {sum(map(len, events))}\r\n\r\n"
    return [head.encode(), *events]


CHAT = http("200 OK", {"id": "x", "object": "chat.completion", "created": 0, "model": "fake", "usage": USAGE,
                       "choices": [CHOICE]})  # fmt: skip
MODELS, NONE = http("200 OK", {"object": "list", "data": [MODEL]}), http("404 Not Found", {})


async def serve(latency: float, stream: bool) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One keep-alive connection; requests are not read beyond their length."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client is gone
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                if asked := b"/chat/completions " in head:
                    await asyncio.sleep(latency)
                if asked and stream and b'"stream":true' in body:
                    for piece in streamed(int(re.findall(rb'"max_tokens":(\d+)', body)[-1])):
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0.001)
                else:
                    writer.write(CHAT if asked else NONE if head.startswith(b"POST") else MODELS)

    listening = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=2048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - ends with whoever started it
        await asyncio.sleep(1)


if __name__ == "__main__":
    asked = options(__doc__, latency=1.0, stream=False)
    asyncio.run(serve(asked.latency, asked.stream))
