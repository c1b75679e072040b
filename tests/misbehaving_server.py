"""An OpenAI-compatible server on a real socket that misbehaves at a given rate, in every way that servers do.

What it has to say is a pure function of the request, so that a run against it can be compared item by item with a run
against its well-behaved self (rate 0). Which try of which request fails, and how, is a function of the seed alone: not
of the order in which requests come.
"""

import contextlib
import email.utils
import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from typing import Any

from http_server import ChatServer, Request, frame, limit_of, probabilities, tokens_of, usage_of

HARMLESS = ("wrong_usage", "slow_drip", "duplicate_id", "wrong_model", "keep_alive_comments", "no_end", "sse_as_json",
            "longer_length")  # fmt: skip
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
WHOLE: dict[str, tuple[Any, ...]] = {
    "429": (429, {"error": {"message": "rate limit reached"}}),
    "429_retry_after": (429, {"error": {"message": "slow down"}}, "0.05"),
    "429_retry_after_date": (429, {"error": {"message": "slow down"}}, email.utils.formatdate(usegmt=True)),
    "500": (500, {"error": {"message": "internal error"}}),
    "502_html": (502, "<html><head><title>502 Bad Gateway</title></head></html>"),
    "503_retry_after": (503, {"error": "overloaded"}, "0.05"),
    "error_with_200": (200, {"error": {"message": "the provider broke down", "code": 502}}),
}


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
    return tokens_of(text)[: limit_of(body)]


class MisbehavingServer(ChatServer):
    """Serves until `close`. `rate` may be changed while it runs; `sent` counts faults by kind, `requests` tries."""

    def __init__(self, rate: float = 0.3, seed: int = 0, only: tuple[str, ...] = FAULTS) -> None:
        self.rate, self.seed, self.only = rate, seed, only
        self.sent, self.tries, self.requests = Counter[str](), Counter[str](), 0
        self._lock = threading.Lock()
        super().__init__()

    def fault(self, body: dict[str, Any]) -> tuple[str, random.Random]:
        """The fault of this try of a request ("" for none), and the dice for its details."""
        key = canonical(body)
        self.tries[key] += 1
        dice = random.Random(f"{self.seed} {self.tries[key]} {key}")
        return "" if dice.random() >= self.rate else dice.choice(self.only), dice

    def chat(self, request: Request, body: dict[str, Any]) -> None:
        with self._lock:
            self.requests += 1
            kind, dice = self.fault(body)
            self.sent.update([kind] * bool(kind))
        if kind in WHOLE:
            status, said, *wait = WHOLE[kind]
            return request.reply(status, said, **({"Retry_After": wait[0]} if wait else {}))
        if kind.endswith("_before"):
            return _break(request, kind)
        return (_stream if body.get("stream") else _at_once)(request, kind, dice, body)


def _at_once(request: Request, kind: str, dice: random.Random, body: dict[str, Any]) -> None:
    pieces = answer(body)
    said = None if kind == "null_content" else b"".join(pieces).decode(errors="ignore")
    choice = _end(body, pieces) | {"message": {"role": "assistant", "content": said}} | _probabilities(body, pieces)
    raw = json.dumps(_frame(kind, body, choice, usage=_usage(kind, dice, pieces))).encode()
    if kind == "malformed_json":
        raw = raw.replace(b":", b"=", 3)
    if kind == "truncated_json":
        raw = raw[: len(raw) // 2]
    request.start(200, "application/json", Content_Length=len(raw) + 9 * (kind == "longer_length"))
    request.close_connection |= kind == "longer_length"
    if kind.endswith("_inside"):
        request.wfile.write(raw[: len(raw) // 2])
        return _break(request, kind)
    step = len(raw) // 20 if kind == "slow_drip" else len(raw)
    for at in range(0, len(raw), step):
        request.wfile.write(raw[at : at + step])
        time.sleep(0.01 * (kind == "slow_drip"))


def _stream(request: Request, kind: str, dice: random.Random, body: dict[str, Any]) -> None:
    pieces, held, lines = answer(body), b"", list[str]()
    dies = dice.randrange(1, max(2, len(pieces)))
    called = "application/json" if kind == "sse_as_json" else "text/event-stream"
    request.start(200, called, Transfer_Encoding="chunked")
    for number, piece in enumerate(pieces if kind != "no_choices" else []):
        held += piece
        try:
            said, held = held.decode(), b""
        except UnicodeDecodeError:
            said = ""  # a character that is not whole yet is held back
        delta = {"content": None if kind == "null_content" else said}
        line = _event(_frame(kind, body, {"delta": delta} | _probabilities(body, [piece])))
        if kind == "keep_alive_comments" and number % 5 == 0:
            line = f": still working\n\n{line}"
        if number == dies and kind == "malformed_json":
            line = line.replace(":", "=", 5).replace("data=", "data:")
        if number == dies and kind == "error_inside":
            line = _event({"error": {"message": "the worker died", "code": 500}})
        lines.append(line[:40] if number == dies and kind == "truncated_json" else line)
        if number == dies and (kind == "truncated_json" or kind.endswith("_inside")):
            break
    else:
        lines.append(_event(_frame(kind, body, {"delta": {}} | _end(body, pieces))))
        if (body.get("stream_options") or {}).get("include_usage"):
            lines.append(_event(_frame(kind, body, usage=_usage(kind, dice, pieces))))
        lines += ["data: [DONE]\n\n"] * (kind != "no_end")
    together = 1 if kind == "slow_drip" else 16
    for at in range(0, len(lines), together):
        part = "".join(lines[at : at + together]).encode()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        time.sleep(0.003 * (kind == "slow_drip"))
    if kind in ("reset_inside", "stall_inside", "no_end"):
        return _break(request, kind)
    request.wfile.write(b"0\r\n\r\n")  # a proxy ends a stream whose source has died as if it were whole


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


def _frame(kind: str, body: dict[str, Any], *choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    number = 7 if kind == "duplicate_id" else random.getrandbits(32)
    more |= {"id": f"chatcmpl-{number}"} | ({"model": "another-model-7b"} if kind == "wrong_model" else {})
    return frame(body, *(choices if kind != "no_choices" else []), **more)


def _end(body: dict[str, Any], pieces: list[bytes]) -> dict[str, Any]:
    return {"finish_reason": "length" if len(pieces) == limit_of(body) else "stop"}


def _probabilities(body: dict[str, Any], pieces: list[bytes]) -> dict[str, Any]:
    return {"logprobs": probabilities(pieces) if body.get("logprobs") else None}


def _usage(kind: str, dice: random.Random, pieces: list[bytes]) -> Any:
    return dice.choice(USAGES) if kind == "wrong_usage" else usage_of(len(pieces))


def _break(request: Request, kind: str) -> None:
    """Close the connection, with a reset and not with a proper end, or after the client has given up waiting."""
    request.close_connection = True
    if kind.startswith(("reset", "error")):
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.rfile.close()
        request.connection.close()
    elif kind != "closed_inside":
        with contextlib.suppress(OSError):
            request.connection.settimeout(60)
            request.connection.recv(1)
