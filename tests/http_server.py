"""What the fake servers share: an HTTP server on a real socket, chat completions, and how a text falls into tokens."""

import contextlib
import json
import re
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request(BaseHTTPRequestHandler):
    """One request, with its `body` (read) and headers in `headers`; answered by `reply`, or after `start`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body: bytes

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
            self.server.owner.answer(self)  # type: ignore[attr-defined]

    do_HEAD = do_POST = do_GET

    def start(self, status: int, kind: str, **headers: object) -> None:
        """Send the head; `X_Name` is the header X-Name."""
        self.send_response(status)
        for name, value in ({"Content_Type": kind} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def reply(self, status: int, body: Any, **headers: str) -> None:
        """Send JSON, or text or bytes as they are."""
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        kind = "text/html" if isinstance(body, str) else "application/json"
        self.start(status, kind, Content_Length=len(raw), **headers)
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    owner: "HttpServer"


class HttpServer:
    """Serves at `url` until `close`; a subclass says what it answers."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), Request)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.base_url = f"{self.url}/v1"

    def answer(self, request: Request) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class ChatServer(HttpServer):
    """An OpenAI-compatible server of `models`; a subclass says what it answers to a chat request, and what other routes
    it has."""

    models: tuple[str, ...] = ("fake",)
    owner: str | None = "fake"

    def answer(self, request: Request) -> None:
        if request.command == "GET":
            about = {"object": "model", "owned_by": self.owner} if self.owner else {}
            return request.reply(200, {"object": "list", "data": [{"id": model} | about for model in self.models]})
        body = json.loads(request.body)
        if request.path.endswith("/chat/completions"):
            return self.chat(request, body)
        return request.reply(*self.route(request, body))

    def route(self, request: Request, body: dict[str, Any]) -> tuple[int, Any]:
        return 404, {"error": {"message": "no such route"}}

    def chat(self, request: Request, body: dict[str, Any]) -> None:
        raise NotImplementedError


def limit_of(body: dict[str, Any]) -> int:
    """The most tokens that a request allows."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 10**6)


def frame(body: dict[str, Any], *choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A reply, or a chunk of one."""
    listed = [{"index": 0, "finish_reason": None, **choice} for choice in choices]
    return {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": listed} | more


def usage_of(completion: int, prompt: int = 10) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def tokens_of(text: str) -> list[bytes]:
    """Words with the space before them; characters that are not ASCII fall into their bytes."""
    return [m.group() for m in re.finditer(rb" ?[\x21-\x7e]+| ?[\x80-\xff]|\s", text.encode())]


def probabilities(pieces: Iterable[bytes], alternatives: int = 0, **more: Any) -> dict[str, Any]:
    """Log-probabilities of tokens as OpenAI writes them."""
    more |= {"logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": -0.1}] * alternatives}
    return {"content": [{"token": p.decode(errors="replace"), "bytes": list(p), **more} for p in pieces]}
