"""A small OpenAI-compatible server on a real socket, which answers at once and misbehaves on demand."""

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from http_server import ChatServer, Request, frame, limit_of, probabilities, tokens_of, usage_of

from anytime_lib.models.served import QUESTION

Script = Callable[[dict[str, Any], int], Any]
"""(request body, number of the request) -> text to say, (HTTP status, body[, headers]) to fail with, or the chunks of a
stream."""


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


class FakeServer(ChatServer):
    """Serves until `close`; `requests` and `probes` hold the bodies of chat requests, `keys` the keys sent."""

    def __init__(self, script: Script = say_something, models: tuple[str, ...] = ("fake",)) -> None:
        self.script, self.models, self.keys = script, models, set[str]()
        self.requests, self.probes = list[dict[str, Any]](), list[dict[str, Any]]()
        self._lock = threading.Lock()
        super().__init__()

    def chat(self, request: Request, body: dict[str, Any]) -> None:
        probing = body["messages"][0]["content"] == QUESTION
        with self._lock:
            (self.probes if probing else self.requests).append(body)
            self.keys.add(request.headers.get("Authorization", ""))
            number = 0 if probing else len(self.requests)
        said = self.script(body, number)
        if isinstance(said, tuple):
            return request.reply(*said[:2], **dict(*said[2:]))
        if isinstance(said, list):
            return request.reply(200, b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in said))
        return request.reply(200, self.completion(body, said))

    def completion(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """A chat completion of at most max_tokens tokens."""
        pieces = tokens_of(text)
        said = pieces[: limit_of(body)]
        message = {"role": "assistant", "content": b"".join(said).decode(errors="ignore")}
        choice = {"message": message, "finish_reason": "length" if len(pieces) > len(said) else "stop"}
        logprobs = probabilities(said) if body.get("logprobs") else None
        return frame(body, choice | {"logprobs": logprobs}, usage=usage_of(len(said)))
