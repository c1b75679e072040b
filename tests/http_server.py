"""What the fake servers share: an HTTP server on a real socket, and how a text falls into tokens."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request(BaseHTTPRequestHandler):
    """One request, with its `body` (read) and headers in `headers`; answered by `reply`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body: bytes

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
            self.server.owner.answer(self)  # type: ignore[attr-defined]

    do_HEAD = do_POST = do_GET

    def reply(self, status: int, body: Any, **headers: str) -> None:
        """Send JSON, or text or bytes as they are; `X_Name` is the header X-Name."""
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def log_message(self, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    owner: HttpServer


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


def tokens_of(text: str) -> list[bytes]:
    """Words with the space before them; characters that are not ASCII fall into their bytes."""
    return [m.group() for m in re.finditer(rb" ?[\x21-\x7e]+| ?[\x80-\xff]|\s", text.encode())]


def probabilities(pieces: list[bytes], alternatives: int = 0, **more: Any) -> dict[str, Any]:
    """Log-probabilities of tokens as OpenAI writes them."""
    listed = [{"token": "A", "logprob": -0.1}] * alternatives
    return {"content": [{"token": p.decode(errors="replace"), "bytes": list(p), "logprob": -0.1,
                         "top_logprobs": listed, **more} for p in pieces]}  # fmt: skip
