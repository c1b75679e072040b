"""An OpenAI-compatible server for load tests: answers every chat request after a fixed latency, and does little else.

    python tests/benchmarks/load_server.py [--latency 1.0] [--slots 0]

Prints its port. Written on asyncio's protocols, without a web framework, so that it takes a small share of one core at
hundreds of requests a second and is not what a benchmark measures. GET /stats tells how many requests it has seen and
how many were open at most; with `--slots N` no more than N requests are worked on at once and the others wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import deque
from typing import Any

BODY = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "fake",
    "choices": [{"index": 0, "finish_reason": "length", "logprobs": None,
                 "message": {"role": "assistant", "content": "so we think on and then " * 4 + "Answer: C"}}],
    "usage": {"prompt_tokens": 80, "completion_tokens": 32, "total_tokens": 112},
}  # fmt: skip


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class Server:
    """What all connections share."""

    def __init__(self, latency: float, slots: int) -> None:
        self.latency, self.slots = latency, slots
        self.seen = self.open = self.peak = self.working = 0
        self.waiting: deque[Connection] = deque()
        self.reply = http(json.dumps(BODY).encode())

    def arrived(self, connection: Connection) -> None:
        self.seen += 1
        self.open += 1
        self.peak = max(self.peak, self.open)
        self.waiting.append(connection)
        self.work()

    def work(self) -> None:
        while self.waiting and (not self.slots or self.working < self.slots):
            self.working += 1
            asyncio.get_running_loop().call_later(self.latency, self.done, self.waiting.popleft())

    def done(self, connection: Connection) -> None:
        self.working -= 1
        self.open -= 1
        connection.transport.write(self.reply)
        self.work()


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are not read beyond their length."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server, self.buffer = server, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            route = head.split(b"\r\n", 1)[0]
            if b"/chat/completions" in route:
                self.server.arrived(self)
            elif route.startswith(b"post"):
                self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            elif b"/stats" in route:
                self.transport.write(http(json.dumps({"seen": self.server.seen, "peak": self.server.peak}).encode()))
            else:
                self.transport.write(http(b'{"object": "list", "data": [{"id": "fake", "object": "model"}]}'))


async def serve(latency: float, slots: int) -> None:
    server = Server(latency, slots)
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=2048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - ends with whoever started it
        await asyncio.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--latency", type=float, default=1.0)
    parser.add_argument("--slots", type=int, default=0)
    context = parser.parse_args()
    asyncio.run(serve(context.latency, context.slots))
