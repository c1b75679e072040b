"""Endpoints as they are: what each provider's quirks become, and what hostile replies do not do."""

import asyncio
import email.utils
import gzip
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import refused
from fake_server import FakeServer, say_something
from http_server import tokens_of
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_servers import PROVIDERS, ProviderServer
from test_params import FILES

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.embedded import EmbeddedServer
from anytime_lib.models.endpoint import IDLE, Endpoint
from anytime_lib.models.failures import ServerError, failure, retry_after
from anytime_lib.models.limiter import Limiter, Timeouts
from anytime_lib.models.reply import Reply, RetryableError
from anytime_lib.models.reply_parser import ReplyParser, chunks_of
from anytime_lib.models.served import probe
from anytime_lib.models.tokenizers import TextTokenizer
from anytime_lib.sweep.client import trace_of
from anytime_lib.tools.transcripts import stored_trace

HTTPX: Any = sys.modules.get("httpx2") or sys.modules["httpx"]
"""The HTTP library that the installed `openai` stands on."""
CASES = yaml.safe_load(Path(__file__).with_name("endpoint_cases.yaml").read_text(encoding="utf-8"))
QUICK = Timeouts(connect=20, first_token=60, whole=120, retries=2, backoff=0.001, longest=0.01)


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Any]]:
    """Starts a server: a provider's by its name, or one that follows a script."""
    with ExitStack() as stack:
        yield lambda what: stack.enter_context(
            closing(ProviderServer(PROVIDERS[what]) if isinstance(what, str) else FakeServer(what))
        )


def on(server: Any, work: Callable[[Endpoint], Any], model: str = "", **more: Any) -> Any:
    """What `work` makes of an endpoint on a server."""

    async def inside() -> Any:
        name = model or (server.provider.models[0] if isinstance(server, ProviderServer) else "fake")
        endpoint = Endpoint(server.base_url, name, more.pop("key", "sk-key"), **{"timeouts": QUICK, **more})
        try:
            return await work(endpoint)
        finally:
            await endpoint.close()

    return asyncio.run(inside())


async def probed(endpoint: Endpoint) -> dict[str, Any]:
    await endpoint.check()
    return await probe(TextTokenizer(endpoint, None), endpoint.chat)


# What the probe finds at each provider.


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_probe(serve: Callable[[str], ProviderServer], name: str, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(name)
    found = on(server, probed)
    assert found | PROVIDERS[name].found == json.loads(json.dumps(found))
    assert len(server.requests) == 1 + caplog.text.count("does not take")
    asked = len(server.requests)

    async def knowing(endpoint: Endpoint) -> Reply:
        endpoint.dropped, endpoint.owner = set(found["dropped"]), found["owner"]
        return await chat(endpoint, tokens=True)

    on(server, knowing)
    assert len(server.requests) == asked + 1  # what was learnt once is not found out again


# Every file of params/ against a server that behaves as its provider does.

OWN = {"demo", "quick", "study", "study_draws", "embedded_full", "simulated", "cut_or_fresh", "published_vs_ours"}
"""Files whose model needs no endpoint."""
ALSO = {"paper/gpt-oss-120b": ["gpt-oss", "gpt-oss-vllm"], "paper/gpt-oss-20b": ["gpt-oss"],
        "paper/llama-3.3-70b": ["llama-3"], "claim": ["local-vllm"]}  # fmt: skip
SHIPPED = [(file, name) for file, path in FILES.items() if path.stem not in OWN for name in ALSO.get(file, [path.stem])]


@pytest.mark.parametrize(("file", "name"), SHIPPED)
def test_a_tiny_sweep_with_the_params_we_ship(
    serve: Callable[[str], ProviderServer], file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(name)
    shipped = RunConfig.from_yaml(FILES[file])
    assert shipped.task("natural_plan_trip").budgets[-1] == (4096 if name != "local-gguf" else 1024)
    monkeypatch.setenv(shipped.endpoint.api_key_env, "sk-key")
    if name == "local-gguf":
        shipped = shipped.but(model="model.gguf")
    small = {"n_problems": 3, "n_samples": 2, "n_shots": 0, "budgets": [5, 15, 400], "pool": {"draws": 1}}
    small["answer_via"] = "prefill" if file == "claim" else "turn"  # on vLLM, which then tells what its cache took
    config = shipped.but(
        base_url=server.base_url,
        outputs=str(tmp_path),
        run="run",
        tasks=["gpqa"],
        methods=["base"],
        source=None,
        **small,
    )
    cells = run_sweep(config, progress=False)
    assert set(cells.status) == {"ok"} and cells.score.notna().all()
    assert (cells[cells.budget == 400].tokens_used > 15).all()
    with Store(config.folder / "store.sqlite") as store:
        traces = [stored_trace(store, key) for key in cells.trace_key.unique()]
        assert (store.attempts().query("tokens > 0").cached_tokens > 0).all() or PROVIDERS[name].usage == "bare"
    expected = PROVIDERS[name].found["tokens"]
    assert {t.token_mode for t in traces} == {expected}
    for trace in traces:
        assert trace.ends[-1] == len(trace.text.encode())
        if expected != "proportional":  # as many tokens as were said, but for tags and the answer
            assert trace.n_tokens == len(tokens_of(trace.text))
    asked = len(server.requests)
    assert run_sweep(config, progress=False).equals(cells) and len(server.requests) == asked


# Refusals.


def chat(endpoint: Endpoint, asked: str = "a question", **more: Any) -> Any:
    turns = [{"role": "user", "content": asked}]
    return endpoint.chat(turns, **{"max_tokens": 100, "temperature": 0.5, "seed": 1, **more})


@pytest.mark.parametrize("name", ["gpt-oss-vllm", "local-gguf", "ollama"])
def test_an_assistant_s_turn_is_continued_by_those_who_can(serve: Callable[[str], ProviderServer], name: str) -> None:
    server = serve(name)
    turns = [{"role": "user", "content": "Count to nine."}, {"role": "assistant", "content": "1 2 3"}]

    async def go_on(endpoint: Endpoint) -> Reply:
        await endpoint.check()
        return await endpoint.chat(turns, max_tokens=4, temperature=0.0, prefill=True)

    if name == "ollama":
        with pytest.raises(EndpointError, match="set answer_via: turn"):
            on(server, go_on)
    else:
        assert "1 2 3" not in on(server, go_on).text and len(server.requests) == 1


@pytest.mark.parametrize("name", ["grok-3", "gpt-4.1"])
def test_a_wrong_key_whatever_its_status(serve: Callable[[str], ProviderServer], name: str) -> None:
    says = r"refuses the key in MY_KEY, or none is set \(40[01] Incorrect API key.*\); set a valid key"
    with pytest.raises(EndpointError, match=says):
        on(serve(name), chat, key="wrong-key", key_name="MY_KEY")


def test_fewer_alternatives_where_the_server_lists_fewer(serve: Callable[[str], ProviderServer]) -> None:
    server = serve("grok-3")
    reply = on(server, lambda e: chat(e, max_tokens=4, alternatives=20))
    assert reply.first == {"A": -0.1} and [r["top_logprobs"] for r in server.requests] == [20, 5]


@pytest.mark.parametrize(("status", "body", "error", "says"), CASES["refusals"])
def test_refusals(serve: Any, status: int, body: Any, error: str, says: str) -> None:
    with refused(EndpointError if error == "endpoint" else RequestFailed, says):
        on(serve(lambda *_: (status, body)), chat)


@pytest.mark.parametrize(("status", "body", "headers", "wait"), CASES["passing"])
def test_what_passes(serve: Any, status: int, body: Any, headers: dict[str, str], wait: float) -> None:
    """Six times in a row, though two retries are allowed: waits are bounded by time."""
    server = serve(lambda _, n: (status, body, headers) if n <= 6 else "fine")
    start = time.monotonic()
    assert on(server, lambda e: chat(e, max_tokens=9)).text == "fine" and time.monotonic() - start >= wait


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("words", "param", "dropped"), CASES["dropped"])
def test_which_setting_is_dropped(serve: Any, words: str, param: str | None, dropped: str, raw: bool) -> None:
    error = {"message": words, "param": param}
    if raw:
        error = {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": error})}}
    server = serve(lambda body, n: (400, {"error": error}) if dropped in body else "fine")
    on(server, lambda e: chat(e, max_tokens=9, tokens=True, top_p=0.9))
    first, second = (set(body) for body in server.requests)
    assert first - second == {dropped}


@pytest.mark.parametrize("words", CASES["least"])
def test_a_least_number_of_tokens_raises_the_cap(serve: Any, words: str) -> None:
    server = serve(lambda body, n: (400, {"error": {"message": words}}) if body["max_tokens"] < 16 else "fine")
    assert on(server, lambda e: chat(e, max_tokens=4)).text == "fine"
    assert [body["max_tokens"] for body in server.requests] == [4, 16]


@pytest.mark.parametrize(
    ("model", "listed"),
    [("r1:nitro", ["r1"]), ("qwen3", ["qwen3:latest"]), ("o/gpt-4o", ["o/*"]), ("mine", ["gpt-4o", "\x1b[31mo1"])],
)
def test_a_model_that_is_not_listed_is_asked(
    serve: Any, model: str, listed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(lambda body, n: "fine" if n == 1 else (404, {"error": {"message": "model not found"}}))
    server.models = listed

    async def twice(endpoint: Endpoint) -> str:
        await endpoint.check()
        assert (await chat(endpoint)).text == "fine"
        with pytest.raises(EndpointError) as error:
            await chat(endpoint)
        return str(error.value)

    told = on(server, twice, model)
    assert ("known: [31mo1, gpt-4o" in told) is (model == "mine") is ("lists no model" in caplog.text)
    assert told.isprintable()


@pytest.mark.parametrize("status", [200, 307, 400, 500])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_read_of_a_body_is_bounded(serve: Any, status: int, zipped: bool) -> None:
    said = gzip.compress(bytes(100_000_000), 1) if zipped else bytes(100_000_000)
    headers = {"Content_Encoding": "gzip"} if zipped else {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((RequestFailed, EndpointError)) as error:
        on(serve(lambda *_: (status, said, headers)), chat)
    assert len(str(error.value)) < 400 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_setting_is_dropped_once_however_many_requests_meet_it(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    def picky(body: dict[str, Any], number: int) -> Any:
        if "seed" in body:
            return 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}
        return "fine"

    async def many(endpoint: Endpoint) -> list[Reply]:
        return await asyncio.gather(*(chat(endpoint, max_tokens=9) for _ in range(8)))

    assert len(on(serve(picky), many)) == 8
    assert len([r for r in caplog.records if "does not take 'seed'" in r.message]) == 1


def test_a_refusal_narrows_the_limit_and_a_breakdown_does_not(serve: Any) -> None:
    server, limiter = serve(lambda body, n: (429, {}) if n == 1 else (503, {}) if n == 2 else "fine"), Limiter(10)
    on(server, lambda e: chat(e, max_tokens=9), limiter=limiter)
    assert limiter.slots.total_tokens == 8


def test_an_unsendable_request_is_one_sentence(serve: Any) -> None:
    with pytest.raises(RequestFailed, match="could not be sent"):
        on(serve(say_something), lambda e: chat(e, "\ud800"))


def test_retry_after() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7 and 28 < (retry_after({"retry-after": date}) or 0) <= 30
    for nothing in ("", "soon", "nan", "-1", "inf", "Wed, 99 Oct 2026", "0", "Wed, 21 Oct 2015 07:28:30 GMT"):
        assert retry_after({"retry-after": nothing}) is None


# Hostile replies.

words = st.text(st.characters(exclude_categories=()), max_size=8)  # with surrogates, as JSON can carry them
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "choices", "message", "delta", "content", "usage", "logprobs", "token", "bytes", "model", "error", "code",
        "reasoning", "finish_reason", "prompt_tokens", "completion_tokens_details", "top_logprobs", "logprob", "text",
    ]), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def read(raw: bytes, kind: str = "text/event-stream") -> Reply | str:
    """What a reply's bytes come to: a reply, or the sentence in which it is refused."""

    async def work() -> Reply:
        parser, response = ReplyParser(), HTTPX.Response(200, headers={"content-type": kind}, content=raw)
        async for chunk in chunks_of(response, 2**20):
            parser.add(chunk)
        return parser.reply(0.1)

    try:
        return asyncio.run(work())
    except Exception as error:
        return str(failure(error, True, str))


def frames(*chunks: Any) -> bytes:
    texts = (json.dumps(chunk, ensure_ascii=False).encode(errors="backslashreplace") for chunk in chunks)
    return b"".join(b"data: %s\r\n\r\n" % text for text in texts) + b": a comment\n\ndata: [DONE]\n\n"


@given(anything | st.fixed_dictionaries({"choices": st.lists(anything, max_size=2), "usage": anything}), st.booleans())
@settings(max_examples=60)
def test_whatever_is_sent_is_a_reply_or_a_sentence(value: Any, streamed: bool) -> None:
    raw = json.dumps(value).encode()
    reply = read(b"data: " + raw + b"\n\n") if streamed else read(raw, "application/json")
    if isinstance(reply, str):
        assert reply and "\n" not in reply and len(reply) < 300
        return
    json.dumps(reply.to_json() | {"usage": {}}, ensure_ascii=False).encode()
    assert 0 <= reply.cached_tokens <= reply.prompt_tokens and 0 <= reply.reasoning_tokens <= reply.completion_tokens
    assert reply.ends is None or reply.ends == sorted(reply.ends)


@given(st.binary(max_size=200), st.sampled_from(["text/event-stream", "application/json", ""]))
@settings(max_examples=60)
def test_bytes_at_random(data: bytes, kind: str) -> None:
    reply = read(data, kind)
    assert isinstance(reply, str) and "\n" not in reply


@pytest.mark.parametrize("case", CASES["streams"])
@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_what_a_stream_says(case: str, kind: str) -> None:
    chunks, expected = CASES["streams"][case].values()
    reply = read(frames(*chunks), kind)
    assert isinstance(reply, Reply), reply
    assert {name: getattr(reply, name) for name in expected} == expected


@pytest.mark.parametrize(("chunk", "means"), CASES["inside"])
def test_errors_in_the_midst_of_a_reply(chunk: Any, means: str) -> None:
    with pytest.raises(ServerError) as raised:
        ReplyParser().add(chunk)
    meaning = raised.value.meaning("http://x/v1", "m", "KEY")
    kinds = {"failed": RequestFailed, "endpoint": EndpointError}
    assert type(meaning) is kinds.get(means, RetryableError)
    assert getattr(meaning, "limited", False) is (means == "limited")


@pytest.mark.parametrize(("reason", "means"), CASES["reasons"].items())
def test_reasons_for_an_end(reason: str, means: str) -> None:
    parser = ReplyParser()
    chunk = {"choices": [{"delta": {"content": "hm"}, "finish_reason": reason}]}
    if means == "again":
        with pytest.raises(RetryableError, match=f"broke the reply off .{reason}"):
            parser.add(chunk)
        return
    parser.add(chunk)
    reply = parser.reply(0.1)
    assert reply.finish_reason == (reason if means == "kept" else means)
    assert trace_of("key", [], reply.to_json() | {"ends": [2]}, None).stopped is (means == "stop")


def test_the_words_of_odd_errors() -> None:
    for body in (None, "plain", {"error": "text"}, {"message": 5}, [1], {"detail": {"a": "b"}}):
        words = ServerError(body, status=400).words
        assert words.startswith("400 ") and "\n" not in words
    assert ServerError("\x1bred\x07 \u202e" + "x" * 900).words == "red " + "x" * 196


@pytest.mark.model
def test_the_embedded_model(embedded: EmbeddedServer) -> None:
    """What the probe finds of llama.cpp itself, whose replies can be read streamed and whole."""

    async def asked() -> tuple[Any, list[Reply]]:
        endpoint = Endpoint(embedded.base_url, embedded.alias, "none")
        found, replies = await probed(endpoint), []
        for left_out in (set[str](), {"stream"}):
            endpoint.dropped = left_out
            replies.append(await chat(endpoint, max_tokens=70, temperature=0.0, tokens=True))
        await endpoint.close()
        return found, replies

    found, (streamed, whole) = asyncio.run(asked())
    assert (found["owner"], found["reasoning"], found["dropped"]) == ("llamacpp", "none", [])
    assert streamed.ends is not None and len(streamed.ends) - streamed.completion_tokens in (-1, 0)
    assert whole.text and whole.completion_tokens and not (whole.estimated or streamed.estimated)


def test_an_idle_connection_is_given_up_before_a_server_closes_it(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert IDLE < 5
    monkeypatch.setattr("anytime_lib.models.endpoint.IDLE", 0.5)
    server, ports = serve(say_something), []
    chat = server.chat
    monkeypatch.setattr(
        server, "chat", lambda request, body: (ports.append(request.client_address), chat(request, body))
    )

    async def thrice(endpoint: Endpoint) -> None:
        for pause in (0, 0, 1.0):
            await asyncio.sleep(pause)
            await endpoint.chat([{"role": "user", "content": "hello"}], max_tokens=8, temperature=0.0)

    on(server, thrice)
    assert ports[0] == ports[1] != ports[2]
