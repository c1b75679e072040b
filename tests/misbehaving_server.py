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

from http_server import HttpServer, Request, probabilities, tokens_of

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
WHOLE: dict[str, tuple[Any, ...]] = {
    "429": (429, {"error": {"message": "rate limit reached"}}),
    "429_retry_after": (429, {"error": {"message": "slow down"}}, "0.05"),
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
    return tokens_of(text)[: body.get("max_tokens") or body.get("max_completion_tokens")]


class MisbehavingServer(HttpServer):
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
        if dice.random() >= self.rate:
            return "", dice
        return dice.choice(self.only), dice

    def answer(self, request: Request) -> None:
        if request.command == "GET":
            return request.reply(200, {"data": [{"id": "fake", "object": "model", "owned_by": "fake"}]})
        if not request.path.endswith("/chat/completions"):
            return request.reply(404, {"error": {"message": "no such route"}})
        body = json.loads(request.body)
        with self._lock:
            self.requests += 1
            kind, dice = self.fault(body)
            self.sent.update([kind] * bool(kind))
        if kind in WHOLE:
            status, said, *wait = WHOLE[kind]
            return request.reply(status, said, **({"Retry_After": wait[0]} if wait else {}))
        if kind == "429_retry_after_date":
            date = email.utils.formatdate(time.time(), usegmt=True)
            return request.reply(429, {"error": {"message": "slow down"}}, Retry_After=date)
        if kind == "reset_before":
            return _reset(request)
        if kind == "stall_before":
            return _stall(request)
        return (_stream if body.get("stream") else _at_once)(request, kind, dice, body)


def _at_once(request: Request, kind: str, dice: random.Random, body: dict[str, Any]) -> None:
    pieces = answer(body)
    said = b"".join(pieces).decode(errors="ignore")
    choice = {"index": 0, "finish_reason": _reason(body, pieces), "logprobs": _probabilities(body, pieces),
              "message": {"role": "assistant", "content": None if kind == "null_content" else said}}  # fmt: skip
    usage = _usage(kind, dice, pieces)
    whole = _frame(kind, body) | {"choices": [choice] * (kind != "no_choices"), "usage": usage}
    raw = json.dumps(whole).encode()
    if kind == "malformed_json":
        raw = raw.replace(b":", b"=", 3)
    if kind == "truncated_json":
        raw = raw[: len(raw) // 2]
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(raw)))
    request.end_headers()
    if kind == "slow_drip":
        for at in range(0, len(raw), len(raw) // 20):
            request.wfile.write(raw[at : at + len(raw) // 20])
            time.sleep(0.01)
    elif kind.endswith("_inside"):
        request.wfile.write(raw[: len(raw) // 2])
        request.close_connection = True
        if kind != "closed_inside":
            (_stall if kind == "stall_inside" else _reset)(request)
    else:
        request.wfile.write(raw)


def _stream(request: Request, kind: str, dice: random.Random, body: dict[str, Any]) -> None:
    pieces, held, lines = answer(body), b"", list[str]()
    dies = dice.randrange(1, max(2, len(pieces)))
    request.send_response(200)
    request.send_header("Content-Type", "text/event-stream")
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    frame = _frame(kind, body)
    for number, piece in enumerate(pieces if kind != "no_choices" else []):
        held += piece
        try:
            said, held = held.decode(), b""
        except UnicodeDecodeError:
            said = ""  # a character that is not whole yet is held back
        choice = {"index": 0, "delta": {"content": None if kind == "null_content" else said}, "finish_reason": None,
                  "logprobs": _probabilities(body, [piece])}  # fmt: skip
        line = f"data: {json.dumps(frame | {'choices': [choice]})}\n\n"
        if kind == "keep_alive_comments" and number % 5 == 0:
            line = f": still working\n\n{line}"
        if number == dies and kind == "malformed_json":
            line = line.replace(":", "=", 5).replace("data=", "data:")
        if number == dies and kind == "error_inside":
            line = 'data: {"error": {"message": "the worker died", "code": 500}}\n\n'
        lines.append(line[:40] if number == dies and kind == "truncated_json" else line)
        if number == dies and (kind == "truncated_json" or kind.endswith("_inside")):
            break
    else:
        end = {"index": 0, "delta": {}, "finish_reason": _reason(body, pieces)}
        lines.append(f"data: {json.dumps(frame | {'choices': [end] * (kind != 'no_choices')})}\n\n")
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"choices": [], "usage": _usage(kind, dice, pieces)}
            lines.append(f"data: {json.dumps(frame | usage)}\n\n")
        lines += ["data: [DONE]\n\n"] * (kind != "no_end")
    together = 1 if kind == "slow_drip" else 16
    for at in range(0, len(lines), together):
        part = "".join(lines[at : at + together]).encode()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        time.sleep(0.003 * (kind == "slow_drip"))
    if kind == "reset_inside":
        return _reset(request)
    if kind in ("stall_inside", "no_end"):
        return _stall(request)
    request.wfile.write(b"0\r\n\r\n")  # a proxy ends a stream whose source has died as if it were whole


def _frame(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    model = "another-model-7b" if kind == "wrong_model" else body["model"]
    number = 7 if kind == "duplicate_id" else random.getrandbits(32)
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 0, "model": model}


def _reason(body: dict[str, Any], pieces: list[bytes]) -> str:
    return "length" if len(pieces) == (body.get("max_tokens") or body.get("max_completion_tokens")) else "stop"


def _probabilities(body: dict[str, Any], pieces: list[bytes]) -> dict[str, Any] | None:
    return probabilities(pieces) if body.get("logprobs") else None


def _usage(kind: str, dice: random.Random, pieces: list[bytes]) -> Any:
    if kind == "wrong_usage":
        return dice.choice(USAGES)
    return {"prompt_tokens": 10, "completion_tokens": len(pieces), "total_tokens": 10 + len(pieces)}


def _stall(request: Request) -> None:
    """Say nothing until the client gives up."""
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.connection.settimeout(60)
        request.connection.recv(1)


def _reset(request: Request) -> None:
    """End the connection with a reset, not with a proper end."""
    request.close_connection = True
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.rfile.close()
    request.connection.close()
