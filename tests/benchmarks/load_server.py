"""An OpenAI-compatible server for load tests: answers every chat request after a fixed latency, and does little else.

    python tests/benchmarks/load_server.py [--latency 1.0]

Prints its port. Written on asyncio's protocols, without a web framework, so that it takes a small share of one core at
hundreds of requests a second and is not what a benchmark measures.
"""

import asyncio
import json
import os
from typing import Any

from common import options

BODY = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "fake",
    "choices": [{"index": 0, "finish_reason": "length", "logprobs": None,
                 "message": {"role": "assistant", "content": "so we think on and then " * 4 + "Answer: C"}}],
    "usage": {"prompt_tokens": 80, "completion_tokens": 32, "total_tokens": 112},
}  # fmt: skip


def http(status: str, body: Any) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


CHAT = http("200 OK", BODY)
MODELS = http("200 OK", {"object": "list", "data": [{"id": "fake", "object": "model"}]})
NONE = http("404 Not Found", {})


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are not read beyond their length."""

    transport: asyncio.Transport

    def __init__(self, latency: float) -> None:
        self.latency, self.buffer = latency, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            _, _, rest = head.partition(b"content-length:")
            length = int(rest.split(b"\r\n", 1)[0] or 0)
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            route = head.split(b"\r\n", 1)[0]
            if b"/chat/completions" in route:
                asyncio.get_running_loop().call_later(self.latency, self.transport.write, CHAT)
            else:
                self.transport.write(NONE if route.startswith(b"post") else MODELS)


async def serve(latency: float) -> None:
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(latency), "127.0.0.1", 0, backlog=2048
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - ends with whoever started it
        await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(serve(options(__doc__, latency=1.0).latency))
