"""An OpenAI-compatible server on a real socket that misbehaves at a given rate, in every way that servers do.

What it has to say is a pure function of the request, so that a run against it can be compared item by item with a run
against its well-behaved self (rate 0). Which try of which request fails, and how, is a function of the seed alone: not
of the order in which requests come.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from typing import Any, ClassVar

from http_server import probabilities, tokens_of

HARMLESS = ("wrong_usage", "slow_drip", "duplicate_id", "wrong_model", "keep_alive_comments", "no_end")
"""Faults that a client can look through; after all others the request has to be sent again."""
FAULTS = (
    "429", "429_retry_after", "429_retry_after_date", "500", "502_html", "503_retry_after", "error_with_200",
    "reset_before", "reset_inside", "closed_inside", "stall_before", "stall_inside", "error_inside",
    "malformed_json", "truncated_json", "no_choices", "null_content", *HARMLESS,
)  # fmt: skip
USAGES: tuple[Any, ...] = (
    {"prompt_tokens": -5, "completion_tokens": -7},
    {"prompt_tokens": "many", "completion_tokens": "few", "total_tokens": []},
    {"prompt_tokens": 10, "completion_tokens": 10**15, "completion_tokens_details": "none"},
    None,
)


def canonical(body: dict[str, Any]) -> str:
    """What of a request decides the answer; how it is to be sent does not."""
    kept = ("model", "messages", "max_tokens", "seed", "temperature", "top_p", "logprobs", "top_logprobs")
    return json.dumps({k: body[k] for k in kept if k in body}, sort_keys=True)


def answer(body: dict[str, Any]) -> list[bytes]:
    """The tokens of the answer: a long reasoning with multi-byte characters where log-probabilities are asked for,
    else a short answer. Some characters are split between tokens."""
    seed = hashlib.sha256(canonical(body).encode()).digest()
    text = f"Answer: {'ABCD'[seed[0] % 4]}"
    if body.get("logprobs"):
        text = " ".join(("so", "Zürich", "then", "17", "nö", "日本", "😀")[b % 7] for b in seed) * 3
    return tokens_of(text)[: body.get("max_tokens") or body.get("max_completion_tokens")]


class MisbehavingServer:
    """Serves until `close`. `rate` may be changed while it runs; `sent` counts faults by kind, `requests` tries."""

    WHOLE: ClassVar[dict[str, tuple[Any, ...]]] = {
        "429": ({"error": {"message": "rate limit reached"}}, 429),
        "429_retry_after": ({"error": {"message": "slow down"}}, 429, "Retry-After: 0.05"),
        "500": ({"error": {"message": "internal error"}}, 500),
        "502_html": ("<html><head><title>502 Bad Gateway</title></head></html>", 502),
        "503_retry_after": ({"error": "overloaded"}, 503, "Retry-After: 0.05"),
        "error_with_200": ({"error": {"message": "the provider broke down", "code": 502}}, 200),
    }

    def __init__(self, rate: float = 0.3, seed: int = 0, only: tuple[str, ...] = FAULTS) -> None:
        self.rate, self.seed, self.only = rate, seed, only
        self.sent: Counter[str] = Counter()
        self.requests = 0
        self.tries: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024), self._loop
        ).result()
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def fault(self, body: dict[str, Any]) -> tuple[str, random.Random]:
        """The fault of this try of a request ("" for none), and the dice for its details."""
        key = canonical(body)
        self.tries[key] += 1
        dice = random.Random(f"{self.seed} {self.tries[key]} {key}")
        if dice.random() >= self.rate:
            return "", dice
        return dice.choice(self.only), dice

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: *(\d+)", head, re.I)
                raw = await reader.readexactly(int(length[1])) if length else b""
                path = head.split(" ")[1]
                if not await self._answer(path, json.loads(raw) if raw else {}, reader, writer):
                    break
        writer.close()

    async def _answer(
        self, path: str, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False where the connection is over."""
        if path.endswith("/models"):
            return await _whole(writer, {"data": [{"id": "fake", "object": "model", "owned_by": "fake"}]})
        if not path.endswith("/chat/completions"):
            return await _whole(writer, {"error": {"message": "no such route"}}, 404)
        self.requests += 1
        kind, dice = self.fault(body)
        if kind:
            self.sent[kind] += 1
        if kind in self.WHOLE:
            return await _whole(writer, *self.WHOLE[kind])
        if kind == "429_retry_after_date":
            date = email.utils.formatdate(time.time(), usegmt=True)
            return await _whole(writer, {"error": {"message": "slow down"}}, 429, f"Retry-After: {date}")
        if kind == "reset_before":
            return _reset(writer)
        if kind == "stall_before":
            return await _stall(reader)
        if body.get("stream"):
            return await self._stream(kind, dice, body, reader, writer)
        return await self._at_once(kind, dice, body, reader, writer)

    async def _at_once(
        self, kind: str, dice: random.Random, body: dict[str, Any], reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:  # fmt: skip
        pieces = answer(body)
        said: str | None = b"".join(pieces).decode(errors="ignore")
        said = None if kind == "null_content" else said
        whole = self._frame(kind, body, "chat.completion", dice)
        whole["choices"] = [{"index": 0, "finish_reason": _reason(body, pieces),
                             "logprobs": _probabilities(body, pieces),
                             "message": {"role": "assistant", "content": said}}]  # fmt: skip
        whole["usage"] = _usage(kind, dice, pieces)
        if kind == "no_choices":
            whole["choices"] = []
        raw = json.dumps(whole).encode()
        if kind == "malformed_json":
            raw = raw.replace(b":", b"=", 3)
        if kind == "truncated_json":
            raw = raw[: len(raw) // 2]
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
        )
        if kind in ("reset_inside", "closed_inside", "stall_inside", "error_inside"):
            writer.write(raw[: len(raw) // 2])
            await writer.drain()
            if kind == "stall_inside":
                return await _stall(reader)
            return _reset(writer) if kind != "closed_inside" else False
        for part in _slices(raw, 20) if kind == "slow_drip" else [raw]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01 * (kind == "slow_drip"))
        return True

    async def _stream(
        self, kind: str, dice: random.Random, body: dict[str, Any], reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:  # fmt: skip
        pieces = answer(body)
        dies = dice.randrange(1, max(2, len(pieces)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        lines: list[str] = []
        held = b""
        for number, piece in enumerate(pieces if kind != "no_choices" else []):
            held += piece
            try:
                said, held = held.decode(), b""
            except UnicodeDecodeError:
                said = ""  # a character that is not whole yet is held back
            if kind == "null_content":
                said = None  # type: ignore[assignment]
            frame = self._frame(kind, body, "chat.completion.chunk", dice)
            frame["choices"] = [{"index": 0, "delta": {"content": said}, "finish_reason": None,
                                 "logprobs": _probabilities(body, [piece])}]  # fmt: skip
            line = f"data: {json.dumps(frame)}\n\n"
            if number == dies and kind in ("malformed_json", "truncated_json"):
                line = line.replace(":", "=", 5).replace("data=", "data:") if kind == "malformed_json" else line[:40]
            if number == dies and kind == "error_inside":
                line = 'data: {"error": {"message": "the worker died", "code": 500}}\n\n'
            if kind == "keep_alive_comments" and number % 5 == 0:
                line = f": still working\n\n{line}"
            lines.append(line)
            if number == dies and kind in (
                "reset_inside", "closed_inside", "stall_inside", "truncated_json", "error_inside"
            ):  # fmt: skip
                break
        else:
            frame = self._frame(kind, body, "chat.completion.chunk", dice)
            end = {"index": 0, "delta": {}, "finish_reason": _reason(body, pieces)}
            lines.append(f"data: {json.dumps(frame | {'choices': [end] if kind != 'no_choices' else []})}\n\n")
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {"choices": [], "usage": _usage(kind, dice, pieces)}
                lines.append(f"data: {json.dumps(frame | usage)}\n\n")
            lines += ["data: [DONE]\n\n"] * (kind != "no_end")
        together = 1 if kind == "slow_drip" else 16
        for at in range(0, len(lines), together):
            part = "".join(lines[at : at + together]).encode()
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(0.003 * (kind == "slow_drip"))
        if kind == "reset_inside":
            return _reset(writer)
        if kind in ("stall_inside", "no_end"):
            return await _stall(reader)
        writer.write(b"0\r\n\r\n")  # a proxy ends a stream whose source has died as if it were whole
        await writer.drain()
        return True

    def _frame(self, kind: str, body: dict[str, Any], shape: str, dice: random.Random) -> dict[str, Any]:
        number = 7 if kind == "duplicate_id" else self.requests
        model = "another-model-7b" if kind == "wrong_model" else body["model"]
        return {"id": f"chatcmpl-{number}", "object": shape, "created": 0, "model": model}


def _reason(body: dict[str, Any], pieces: list[bytes]) -> str:
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    return "length" if len(pieces) == limit else "stop"


def _probabilities(body: dict[str, Any], pieces: list[bytes]) -> dict[str, Any] | None:
    return probabilities(pieces) if body.get("logprobs") else None


def _usage(kind: str, dice: random.Random, pieces: list[bytes]) -> Any:
    if kind == "wrong_usage":
        return dice.choice(USAGES)
    return {"prompt_tokens": 10, "completion_tokens": len(pieces), "total_tokens": 10 + len(pieces)}


def _slices(raw: bytes, count: int) -> list[bytes]:
    size = -(-len(raw) // count)
    return [raw[i : i + size] for i in range(0, len(raw), size)]


async def _whole(writer: asyncio.StreamWriter, body: Any, status: int = 200, *headers: str) -> bool:
    kind, raw = (
        ("text/html", body.encode()) if isinstance(body, str) else ("application/json", json.dumps(body).encode())
    )
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(raw)}", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
    await writer.drain()
    return True


async def _stall(reader: asyncio.StreamReader) -> bool:
    """Say nothing until the client gives up."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), 60)
    return False


def _reset(writer: asyncio.StreamWriter) -> bool:
    """End the connection with a reset, not with a proper end."""
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
