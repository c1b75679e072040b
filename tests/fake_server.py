"""A small OpenAI-compatible server on a real socket, which answers at once and misbehaves on demand."""

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from http_server import HttpServer, Request, probabilities, tokens_of

from anytime_lib.models.model import QUESTION

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


class FakeServer(HttpServer):
    """Serves until `close`; `requests` and `probes` hold the bodies of chat requests, `keys` the keys sent."""

    def __init__(
        self, script: Script = say_something, models: tuple[str, ...] = ("fake",), tokens: bool = True
    ) -> None:
        self.script, self.models, self.tokens = script, models, tokens
        self.requests: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self._lock = threading.Lock()
        super().__init__()

    def answer(self, request: Request) -> None:
        if request.command == "GET":
            rows = [{"id": m, "object": "model", "created": 0, "owned_by": "fake"} for m in self.models]
            return request.reply(200, {"object": "list", "data": rows})
        if not request.path.endswith("/chat/completions"):
            return request.reply(404, {"error": {"message": "no such route"}})
        body = json.loads(request.body)
        probing = body["messages"][0]["content"] == QUESTION
        with self._lock:
            (self.probes if probing else self.requests).append(body)
            self.keys.add(request.headers.get("Authorization", ""))
            number = 0 if probing else len(self.requests)
        said = self.script(body, number)
        return request.reply(*said) if isinstance(said, tuple) else request.reply(200, self.completion(body, said))

    def completion(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """A chat completion of at most max_tokens tokens."""
        pieces = tokens_of(text)
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 10**6
        said = pieces[:limit]
        message = {"role": "assistant", "content": b"".join(said).decode(errors="ignore")}
        return {
            "id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "length" if len(pieces) > limit else "stop", "message": message,
                         "logprobs": probabilities(said) if self.tokens and body.get("logprobs") else None}],
            "usage": {"prompt_tokens": 10, "completion_tokens": len(said), "total_tokens": 10 + len(said)},
        }  # fmt: skip
