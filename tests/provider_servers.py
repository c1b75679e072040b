"""Servers on real sockets that behave as each provider does: what they take, refuse, hide, and where they put it.

Each is a row of facts (providers.yaml); one small server acts on them. A model that reasons says twenty to ninety words
of it and then answers.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from http_server import ChatServer, Request, frame, limit_of, probabilities, tokens_of, usage_of
from misbehaving_server import canonical

REASONED = ("so", "Zürich", "then", "17", "maybe", "日本", "hence", "nö")
Part = tuple[str, bytes]
"""Where a token is said (`reasoning`, `content`, or `tag`: in the token stream alone), and its bytes."""


@dataclass(frozen=True)
class Provider:
    """How one provider's endpoint behaves."""

    models: tuple[str, ...]  # what its list names
    found: Mapping[str, Any]  # by a probe
    owner: str | None = None  # as it says there; None: the list has no owners
    refuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # setting -> status, and the body's fields
    reasoning: str = ""  # none, a field's name, `think`, `think_open` (the template opened the tag), or `hidden`
    # `full`, `content` (not of the reasoning), `marked` (split characters read as U+FFFD), `joined` (llama.cpp), or
    # asked for in vain
    probabilities: str = "full"
    # `apart`: reasoning is billed beside the completion; `cached`: with the prompt's details alone; `bare`: without any
    usage: str = "openai"
    tokenize: str = ""  # whose route it has: `vllm`, `sglang`, `llamacpp`
    prefill: str = ""  # `continue` (with the settings of vLLM), `echo`
    noise: bool = False  # it sends comments to keep a stream alive
    alternatives: int = 20  # at most
    wrong_key: int = 401  # the status of one


FACTS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("providers.yaml").read_text("utf-8"))
PROVIDERS = {name: Provider(**facts) for name, facts in FACTS.items()}


class ProviderServer(ChatServer):
    """Serves one provider's facts until `close`; `requests` holds the body of every chat request."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.models, self.owner = provider, provider.models, provider.owner
        self.requests, self._vocabulary = list[dict[str, Any]](), dict[int, bytes]()
        super().__init__()

    def answer(self, request: Request) -> None:
        if request.command == "POST" and "wrong" in request.headers["Authorization"]:
            words = {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: wr***g."}
            return request.reply(self.provider.wrong_key, words)
        return super().answer(request)

    def route(self, request: Request, body: dict[str, Any]) -> tuple[int, Any]:
        path, kind = request.path, self.provider.tokenize
        if path == "/tokenize" and kind == "llamacpp" and "content" in body:
            return 200, {"tokens": [{"id": 1, "piece": _text_or_bytes(p)} for p in tokens_of(body["content"])]}
        if path == "/tokenize" and kind == "vllm" and body.get("add_special_tokens") is False:
            pieces = tokens_of(body["prompt"])
            spelled = ["".join(_letter(b) for b in p) for p in pieces]
            return 200, {"count": len(pieces), "tokens": [7] * len(pieces), "token_strs": spelled}
        if path == "/tokenize" and kind == "sglang":
            pieces = tokens_of(body["prompt"])
            self._vocabulary |= {zlib.crc32(piece): piece for piece in pieces}
            return 200, {"tokens": [*map(zlib.crc32, pieces)], "count": len(pieces), "max_model_len": 4096}
        if path == "/detokenize" and kind == "sglang":
            return 200, {"text": [self._vocabulary[i].decode(errors="replace") for (i,) in body["tokens"]]}
        return 404, "404 page not found"

    def chat(self, request: Request, body: dict[str, Any]) -> None:
        self.requests.append(body)
        facts, last = self.provider, body["messages"][-1]
        for name, refusal in facts.refuses.items():
            if name in body:
                return request.reply(refusal["status"], {key: refusal[key] for key in refusal.keys() - {"status"}})
        if body.get("top_logprobs", 0) > facts.alternatives:
            return request.reply(400, {"error": f"top_logprobs must be at most {facts.alternatives}"})
        continues = body.get("continue_final_message") and not body.get("add_generation_prompt", True)
        if last["role"] == "assistant" and facts.prefill == "continue" and not continues:
            words = "Cannot set `add_generation_prompt` to True when the last message is from the assistant."
            return request.reply(400, {"error": {"message": words}})
        thought, said = self._said(body)
        inner = tokens_of(thought)[: limit_of(body)]
        outer = tokens_of(said)[: limit_of(body) - len(inner)]
        reason = "length" if len(inner) + len(outer) == limit_of(body) else "stop"
        if facts.prefill == "echo" and last["role"] == "assistant":
            outer = [last["content"].encode(), *outer]
        tags = facts.reasoning.startswith("think")
        parts = [("content" if tags else "reasoning", p) for p in inner] + [("content", p) for p in outer]
        if tags and inner:
            over = [("content", b"</think>\n\n")] if outer else []
            start = [("content", b"<think>")] if facts.reasoning == "think" else []
            parts = [*start, *parts[: len(inner)], *over, *parts[len(inner) :]]
        elif facts.probabilities == "marked" and inner:  # a parser takes the tags away, and the token stream keeps them
            parts = [("tag", b"<think>"), *parts[: len(inner)], ("tag", b"</think>"), *parts[len(inner) :]]
        usage = self._usage(len(inner), len(parts))
        if body.get("stream"):
            return self._stream(request, body, parts, reason, usage)
        message = {"role": "assistant", "content": _joined(parts, "content")}
        if facts.reasoning.startswith("reasoning"):
            message[facts.reasoning] = _joined(parts, "reasoning")
        choice = {"message": message, "finish_reason": reason, "logprobs": self._probabilities(body, parts)}
        request.reply(200, self._frame(body, choice, usage=usage))

    def _said(self, body: dict[str, Any]) -> tuple[str, str]:
        """What the model thinks, and what it says then."""
        seed = hashlib.sha256(canonical(body).encode()).digest()
        answering = len(body["messages"]) > 1
        thought = " ".join(REASONED[b % 8] for b in (seed * 3)[: 8 if answering else 20 + seed[1] % 70]) + "\n"
        said = f"Answer: {'ABCD'[seed[0] % 4]}"
        return (thought, said) if self.provider.reasoning else ("", said if answering else thought + said)

    def _stream(self, request: Request, body: dict[str, Any], parts: list[Part], reason: str, usage: Any) -> None:
        facts, waiting = self.provider, list[Part]()

        def send(*choices: dict[str, Any], **more: Any) -> None:
            chunk = self._frame(body, *choices, object="chat.completion.chunk", **more)
            request.wfile.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())

        request.start(200, "text/event-stream; charset=utf-8", Connection="close")
        send({"delta": {"role": "assistant", "content": ""}})
        for number, (where, piece) in enumerate(parts):
            if facts.noise and number % 7 == 0:
                request.wfile.write(b": OPENROUTER PROCESSING\n\n")
            waiting.append((where, piece))
            try:
                text = b"".join(p for _, p in waiting).decode()
            except UnicodeDecodeError:
                continue  # not a whole character yet
            delta = {"content": text} if where == "content" else {}
            if where == "reasoning" and facts.reasoning.startswith("reasoning"):
                delta = {facts.reasoning: text}
            if where != "reasoning" or facts.reasoning != "hidden":
                send({"delta": delta, "logprobs": self._probabilities(body, waiting)})
            waiting = []
        send({"delta": {}, "finish_reason": reason})
        if (body.get("stream_options") or {}).get("include_usage"):
            send(usage=usage)
        request.wfile.write(b"data: [DONE]\n\n")
        request.close_connection = True

    def _frame(self, body: dict[str, Any], *choices: dict[str, Any], **more: Any) -> dict[str, Any]:
        dated = f"{body['model']}-2025-04-14" if self.provider.owner == "system" else body["model"]
        return frame(body, *choices, model=dated, **more)

    def _usage(self, inner: int, whole: int) -> dict[str, Any]:
        kind, thought = self.provider.usage, inner if self.provider.reasoning else 0
        counts = usage_of(whole, 50)
        if kind == "apart":
            counts["completion_tokens"] -= thought
        if kind != "bare":
            counts["prompt_tokens_details"] = {"cached_tokens": 32}
        if kind not in ("bare", "cached"):
            counts["completion_tokens_details"] = {"reasoning_tokens": thought}
        return counts

    def _probabilities(self, body: dict[str, Any], parts: list[Part]) -> dict[str, Any] | None:
        kind = self.provider.probabilities
        if not body.get("logprobs") or not kind:
            return None
        pieces = [p for where, p in parts if kind != "content" or where == "content"]
        if kind == "marked":
            pieces = [p.decode(errors="replace").encode() for p in pieces]
        if kind != "joined":
            return probabilities(pieces, body.get("top_logprobs", 0))
        joined: list[bytes] = []
        for piece in pieces:
            if joined and isinstance(_text_or_bytes(joined[-1]), list):
                joined[-1] += piece
            else:
                joined.append(piece)
        return probabilities(joined, body.get("top_logprobs", 0), id=5)


def _joined(parts: list[Part], wanted: str) -> str:
    return b"".join(p for where, p in parts if where == wanted).decode(errors="ignore")


def _text_or_bytes(raw: bytes) -> str | list[int]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)


def _letter(byte: int) -> str:
    """A byte as GPT-2's vocabulary writes it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in plain else chr(256 + [b for b in range(256) if b not in plain].index(byte))
