"""Servers on real sockets that behave as each provider does: what they take, refuse, hide, and where they put it.

Each is a row of facts (`PROVIDERS`), read from the providers' documentation and their users' bug reports; one small
server acts on them. A model that reasons says twenty to ninety words of it and then answers.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from http_server import HttpServer, Request, probabilities, tokens_of
from misbehaving_server import canonical

REASONED = ("so", "Zürich", "then", "17", "maybe", "日本", "hence", "nö")


@dataclass(frozen=True)
class Provider:
    """How one provider's endpoint behaves."""

    models: tuple[str, ...]  # what its list names
    owner: str | None = None  # as it says there; None: the list has no owners
    refuses: Mapping[str, tuple[int, Any]] = field(default_factory=dict)  # setting -> (status, body)
    reasoning: str = ""  # none, a field's name, `think`, `think_open` (the template opened the tag), or `hidden`
    # `full`, `content` (not of the reasoning), `marked` (split characters read as U+FFFD), `joined` (llama.cpp), or
    # asked for in vain
    probabilities: str = "full"
    usage: str = "openai"  # `apart`: reasoning is billed beside the completion; `bare`: without details
    tokenize: str = ""  # whose route it has: `vllm`, `sglang`, `llamacpp`
    prefill: str = ""  # `continue` (with the settings of vLLM), `echo`
    noise: bool = False  # it sends comments to keep a stream alive
    alternatives: int = 20  # at most
    wrong_key: int = 401  # the status of one


def _openai(name: str, words: str, code: str, status: int = 400) -> tuple[int, Any]:
    return status, {"error": {"message": words, "type": "invalid_request_error", "param": name, "code": code}}


_GPT5 = {
    "max_tokens": _openai(
        "max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.", "unsupported_parameter"),
    "temperature": _openai(
        "temperature", "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) "
        "value is supported.", "unsupported_value"),
    "top_p": _openai("top_p", "Unsupported parameter: 'top_p' is not supported with this model.",
                     "unsupported_parameter"),
    "logprobs": (403, {"error": {"message": "You are not allowed to request logprobs from this model",
                                 "type": "invalid_request_error", "param": None, "code": None}}),
}  # fmt: skip
_NO_LOGPROBS = (400, {"code": "Client specified an invalid argument",
                      "error": "Model grok-3-mini does not support parameter logprobs."})  # fmt: skip

PROVIDERS = {
    "gpt-4.1": Provider(("gpt-4.1", "gpt-4o"), "system"),
    "gpt-4o": Provider(("gpt-4.1", "gpt-4o"), "system"),
    "gpt-5": Provider(("gpt-5",), "system", _GPT5, "hidden", ""),
    "grok-3": Provider(("grok-3", "grok-3-mini"), "xai", alternatives=8, wrong_key=400),
    "grok-3-mini": Provider(
        ("grok-3", "grok-3-mini"), "xai", {"logprobs": _NO_LOGPROBS}, "reasoning_content", "", "apart", wrong_key=400
    ),
    "gpt-oss": Provider(("openai/gpt-oss-120b", "openai/gpt-oss-20b"), None, {}, "reasoning", "", noise=True),
    "gpt-oss-vllm": Provider(
        ("openai/gpt-oss-120b",), "vllm", {}, "reasoning_content", "content", "bare", "vllm", "continue"
    ),
    "llama-3": Provider(("meta-llama/llama-3.3-70b-instruct",), None, {}, "", "", noise=True),
    "local-vllm": Provider(("Qwen/Qwen3-8B",), "vllm", {}, "reasoning", "marked", "bare", "vllm", "continue"),
    "vllm-without-parser": Provider(
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",), "vllm", {}, "think_open", "full", "bare", "vllm", "continue"
    ),
    "sglang": Provider(("Qwen/Qwen3-8B",), "sglang", {}, "reasoning_content", "content", "bare", "sglang", "continue"),
    "local-gguf": Provider(("model.gguf",), "llamacpp", {}, "", "joined", "openai", "llamacpp", "echo"),
    "ollama": Provider(("qwen3:8b",), "library", {}, "reasoning", "", "bare"),
    "ollama-old": Provider(("deepseek-r1:7b",), "library", {}, "think", "", "bare"),
}


class ProviderServer(HttpServer):
    """Serves one provider's facts until `close`; `requests` holds the body of every chat request."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.requests, self._vocabulary = provider, list[dict[str, Any]](), dict[int, bytes]()
        super().__init__()

    def answer(self, request: Request) -> None:
        if request.command == "GET":
            owner = {"owned_by": self.provider.owner} if self.provider.owner else {}
            return request.reply(200, {"object": "list", "data": [{"id": m} | owner for m in self.provider.models]})
        if "wrong" in request.headers["Authorization"]:
            words = {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: wr***g."}
            return request.reply(self.provider.wrong_key, words)
        body = json.loads(request.body)
        if request.path != "/v1/chat/completions":
            return request.reply(*self.route(request.path, body))
        self.requests.append(body)
        return self.chat(body, request)

    def route(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        kind = self.provider.tokenize
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

    def chat(self, body: dict[str, Any], handler: Any) -> None:
        facts = self.provider
        for name, (status, words) in facts.refuses.items():
            if name in body:
                return handler.reply(status, words)
        if body.get("top_logprobs", 0) > facts.alternatives:
            return handler.reply(400, {"error": f"top_logprobs must be at most {facts.alternatives}"})
        last = body["messages"][-1]
        if last["role"] == "assistant" and facts.prefill == "continue" and not body.get("continue_final_message"):
            return handler.reply(400, {"error": {"message": "Cannot set `add_generation_prompt` to True when the last "
                                                            "message is from the assistant."}})  # fmt: skip
        seed = hashlib.sha256(canonical(body).encode()).digest()
        answering = len(body["messages"]) > 1
        words = 8 if answering else 20 + seed[1] % 70
        thought = " ".join(REASONED[b % 8] for b in (seed * 3)[:words]) + "\n"
        said = f"Answer: {'ABCD'[seed[0] % 4]}"
        if not facts.reasoning:
            thought, said = "", (said if answering else thought + said)
        opened = b"<think>" if facts.reasoning == "think" or facts.probabilities == "marked" else b""
        closed = b"</think>"
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        inner = tokens_of(thought)[:limit]
        outer = tokens_of(said)[: limit - len(inner)]
        reason = "length" if len(inner) + len(outer) == limit else "stop"
        if facts.prefill == "echo" and last["role"] == "assistant":
            outer = [last["content"].encode(), *outer]
        parts = [("reasoning", p) for p in inner] + [("content", p) for p in outer]
        if facts.reasoning.startswith("think") and inner:
            over = [("content", closed + b"\n\n")] if outer else []
            start = [("content", opened)] if facts.reasoning == "think" else []
            parts = [*start, *(("content", p) for p in inner), *over, *(("content", p) for p in outer)]
        elif opened and inner:  # a parser takes the tags away, and the token stream keeps them
            parts = [("tag", opened), *parts[: len(inner)], ("tag", closed), *parts[len(inner) :]]
        usage = self._usage(len(inner), len(parts))
        if body.get("stream"):
            return self._stream(body, handler, parts, reason, usage)
        message: dict[str, Any] = {"role": "assistant", "content": _joined(parts, "content")}
        if facts.reasoning.startswith("reasoning"):
            message[facts.reasoning] = _joined(parts, "reasoning")
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": self._probabilities(body, parts)}
        handler.reply(200, self._frame(body, "chat.completion") | {"choices": [choice], "usage": usage})

    def _stream(
        self, body: dict[str, Any], handler: Any, parts: list[tuple[str, bytes]], reason: str, usage: Any
    ) -> None:
        facts, held = self.provider, b""
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Connection", "close")
        handler.end_headers()
        frame = self._frame(body, "chat.completion.chunk")

        def send(**more: Any) -> None:
            handler.wfile.write(f"data: {json.dumps(frame | more, ensure_ascii=False)}\n\n".encode())

        send(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        waiting: list[tuple[str, bytes]] = []
        for number, (where, piece) in enumerate(parts):
            if facts.noise and number % 7 == 0:
                handler.wfile.write(b": OPENROUTER PROCESSING\n\n")
            held += piece
            waiting.append((where, piece))
            try:
                text, held = held.decode(), b""
            except UnicodeDecodeError:
                continue  # not a whole character yet
            delta = {"content": text} if where == "content" else {}
            if where == "reasoning" and facts.reasoning.startswith("reasoning"):
                delta = {facts.reasoning: text}
            if where != "reasoning" or facts.reasoning != "hidden":
                send(choices=[{"index": 0, "delta": delta, "finish_reason": None,
                               "logprobs": self._probabilities(body, waiting)}])  # fmt: skip
            waiting = []
        send(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])
        if (body.get("stream_options") or {}).get("include_usage"):
            send(choices=[], usage=usage)
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    def _frame(self, body: dict[str, Any], shape: str) -> dict[str, Any]:
        dated = f"{body['model']}-2025-04-14" if self.provider.owner == "system" else body["model"]
        return {"id": "x", "object": shape, "created": 0, "model": dated}

    def _usage(self, inner: int, whole: int) -> dict[str, Any]:
        facts = self.provider
        thought = inner if facts.reasoning else 0
        counts: dict[str, Any] = {"prompt_tokens": 50, "completion_tokens": whole, "total_tokens": 50 + whole}
        if facts.usage == "apart":
            counts |= {"completion_tokens": whole - thought}
        if facts.usage != "bare":
            counts |= {"prompt_tokens_details": {"cached_tokens": 32},
                       "completion_tokens_details": {"reasoning_tokens": thought}}  # fmt: skip
        return counts

    def _probabilities(self, body: dict[str, Any], parts: list[tuple[str, bytes]]) -> dict[str, Any] | None:
        kind = self.provider.probabilities
        if not body.get("logprobs") or not kind:
            return None
        pieces = [p for where, p in parts if kind != "content" or where == "content"]
        if kind == "marked":
            pieces = [p.decode(errors="replace").encode() for p in pieces]
        if kind == "joined":
            joined: list[bytes] = []
            for piece in pieces:
                if joined and isinstance(_text_or_bytes(joined[-1]), list):
                    joined[-1] += piece
                else:
                    joined.append(piece)
            pieces = joined
        more = {"id": 5} if kind == "joined" else {}
        return probabilities(pieces, body.get("top_logprobs", 0), **more)


def _joined(parts: list[tuple[str, bytes]], wanted: str) -> str:
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
