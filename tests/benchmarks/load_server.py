"""An OpenAI-compatible server for load tests: answers every chat request after a fixed latency, and does little else.

    python tests/benchmarks/load_server.py [--latency 1.0]

Prints its port. Written on asyncio's streams, without a web framework, so that it takes a small share of one core at
hundreds of requests a second and is not what a benchmark measures.
"""

import asyncio
import contextlib
import json
import os
import re
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


CHAT = http("200 OK", {"id": "x", "object": "chat.completion", "created": 0, "model": "fake", "usage": USAGE,
                       "choices": [CHOICE]})  # fmt: skip
MODELS, NONE = http("200 OK", {"object": "list", "data": [MODEL]}), http("404 Not Found", {})


async def serve(latency: float) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One keep-alive connection; requests are not read beyond their length."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client is gone
            while head := await reader.readuntil(b"\r\n\r\n"):
                if length := re.search(rb"(?i)content-length: *(\d+)", head):
                    await reader.readexactly(int(length[1]))
                if asked := b"/chat/completions " in head:
                    await asyncio.sleep(latency)
                writer.write(CHAT if asked else NONE if head.startswith(b"POST") else MODELS)

    listening = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=2048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - ends with whoever started it
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(serve(options(__doc__, latency=1.0).latency))
