"""A small OpenAI-compatible server on a real socket, which answers at once and misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anytime_lib.models.probe import QUESTION

Script = Callable[[dict[str, Any], int], Any]
"""(request body, number of the request) -> text to say, or (HTTP status, body) to fail with."""


def say_something(body: dict[str, Any], number: int) -> str:
    """A long reasoning with multi-byte characters, a short answer, or a verdict that does not depend on order."""
    asked = body["messages"][-1]["content"]
    if "ATTEMPT A: " in asked:
        a, b = asked.split("ATTEMPT A: ")[1].split("Which attempt")[0].split("ATTEMPT B: ")
        return "A" if a.strip() > b.strip() else "B"
    seed = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    if body.get("logprobs"):
        return " ".join(("so", "Zürich", "then", "17", "nö")[b % 5] for b in seed) * 4
    return f"Answer: {'ABCD'[seed[0] % 4]}"


class FakeServer:
    """Serves until `close`; `requests` and `probes` hold the bodies of chat requests, `keys` the keys sent."""

    def __init__(
        self, script: Script = say_something, models: tuple[str, ...] = ("fake",), tokens: bool = True
    ) -> None:
        self.script, self.models, self.tokens = script, models, tokens
        self.requests: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.reply(200, {"object": "list", "data": [
                    {"id": m, "object": "model", "created": 0, "owned_by": "fake"} for m in owner.models]})  # fmt: skip

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.path.endswith("/chat/completions"):
                    self.reply(404, {"error": {"message": "no such route"}})
                    return
                probing = body["messages"][0]["content"] == QUESTION
                with owner._lock:
                    (owner.probes if probing else owner.requests).append(body)
                    owner.keys.add(self.headers.get("Authorization", ""))
                    number = 0 if probing else len(owner.requests)
                said = owner.script(body, number)
                if isinstance(said, tuple):
                    self.reply(*said)
                else:
                    self.reply(200, owner.completion(body, said))

            def reply(self, status: int, body: Any) -> None:
                raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
                    self.wfile.write(raw)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def completion(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """A chat completion of at most max_tokens tokens: words with their leading space, split inside characters."""
        raw = text.encode()
        pieces = [raw[m.start() : m.end()] for m in re.finditer(rb" ?[\x21-\x7e]+| ?[\x80-\xff]|\s", raw)]
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 10**6
        said = pieces[:limit]
        content = b"".join(said).decode(errors="ignore")
        logprobs = None
        if self.tokens and body.get("logprobs"):
            rows = [{"token": p.decode(errors="replace"), "bytes": list(p), "logprob": -0.1,
                     "top_logprobs": []} for p in said]  # fmt: skip
            logprobs = {"content": rows}
        return {
            "id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "length" if len(pieces) > limit else "stop",
                         "message": {"role": "assistant", "content": content}, "logprobs": logprobs}],
            "usage": {"prompt_tokens": 10, "completion_tokens": len(said), "total_tokens": 10 + len(said)},
        }  # fmt: skip

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
