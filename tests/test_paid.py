"""What is paid for is stored and counted, whatever ends a try or the run; and the key that pays is never written."""

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Config
from fake_server import FakeServer, say_something
from misbehaving_server import MisbehavingServer

from anytime_lib import RunConfig, Store, make_task, run_sweep, run_sweep_async
from anytime_lib.errors import AnytimeError, ConfigError, DataError
from anytime_lib.models.failures import unquoted
from anytime_lib.models.limiter import Timeouts
from anytime_lib.models.served import ServedModel, api_key
from anytime_lib.redact import MARK, Key, Redactor, public_address
from anytime_lib.sweep.costs import SpendCapReached
from anytime_lib.sweep.ledger import ledger_summary, ledger_table
from anytime_lib.sweep.live import LiveBackend
from anytime_lib.tasks.custom import CustomTask
from anytime_lib.types import Grade, Problem, shown, withheld


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServedModel, "timeouts", Timeouts(backoff=0.001, longest=0.01))


# Tries that fail and are billed.


@pytest.mark.parametrize("kind", ["closed_inside", "reset_inside", "stall_before", "truncated_json"])
def test_failing_tries_that_are_billed_cannot_break_the_cap(
    config: Config, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor can those that a server may have billed in full, though their replies were lost."""
    if kind == "stall_before":
        monkeypatch.setattr(ServedModel, "timeouts", replace(ServedModel.timeouts, connect=2))
    dice: Any = SimpleNamespace(randrange=lambda *_: 99)  # every stream dies after a hundred tokens
    with closing(MisbehavingServer()) as server:
        server.fault = lambda body: (kind * (body["max_tokens"] == 110), dice)  # type: ignore[method-assign]
        settings = config(base_url=server.base_url, budgets=[20, 110], spend_cap_tokens=(cap := 2_000), concurrency=2,
                          timeout=0.2 if kind == "stall_before" else 60)  # fmt: skip
        for _ in range(2):  # what the first run was billed binds the second
            with pytest.raises(SpendCapReached, match="raise the cap"):
                run_sweep(settings, progress=False)
        tries = server.requests - 1  # the probe's
    assert tries > 2 and (10 + 110) * tries < cap
    with Store(settings.folder / "store.sqlite") as store:
        attempts, table = store.attempts(), ledger_table(store)
        parts = store.requests().query("kind == 'trace'")
    lost = attempts[attempts.status == "unconfirmed"]
    assert len(lost) == tries and cap / 2 < attempts.tokens.sum() <= cap
    assert table[table.kind == "unconfirmed"].requests.sum() == tries
    assert f"at most {lost.tokens.sum():,} more may have been billed" in ledger_summary(table)
    arrived = 100 - (kind == "truncated_json")
    if kind != "stall_before":
        assert set(parts.status) == {"partial"} and set(parts.completion_tokens) == {arrived}
        assert set(lost.completion_tokens) == {110 - arrived}
    else:
        assert set(parts.status) == {"error"} and set(lost.completion_tokens) == {110}


def test_what_is_given_up_may_have_been_billed(
    server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, over = LiveBackend.settle, threading.Event()
    monkeypatch.setattr(LiveBackend, "settle", lambda backend, seconds: settle(backend, 0.1))
    server.script = lambda body, n: (n == 0 or over.wait(600)) and say_something(body, n)

    async def stopped() -> None:
        run = asyncio.create_task(run_sweep_async(config(concurrency=4), progress=False))
        while len(server.requests) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(stopped())
    over.set()
    with Store(config().folder / "store.sqlite", read_only=True) as store:
        lost = store.attempts().query("status == 'unconfirmed'")
    assert lost.completion_tokens.tolist() == [500] * 4


def test_a_server_that_bills_more_than_it_may_is_noticed(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    def thrice(body: dict[str, Any], n: int) -> Any:
        reply = server.completion(body, "hm " * 500)
        return 200, reply | {"usage": {"prompt_tokens": 10, "completion_tokens": 3 * body["max_tokens"]}}

    server.script = thrice
    with pytest.raises(SpendCapReached):
        run_sweep(config(spend_cap_tokens=(cap := 9_000), n_problems=9, concurrency=1), progress=False)
    with Store(config().folder / "store.sqlite") as store:
        assert cap / 2 < store.attempts().tokens.sum() <= cap
    assert caplog.text.count("the server bills 480 tokens for a reply of 160 at most") == 1


def test_tries_of_a_probe_are_on_the_ledger_too(server: FakeServer, config: Config) -> None:
    failed = threading.Event()

    def once(body: dict[str, Any], n: int) -> Any:
        if n == 0 and not failed.is_set():
            failed.set()
            return 200, server.completion(body, "hm hm") | {"choices": []}
        return say_something(body, n)

    server.script = once
    run_sweep(config(n_problems=1, n_samples=1), progress=False)
    with Store(config().folder / "store.sqlite") as store:
        probes = store.attempts().query("kind == 'probe'")
    assert probes.status.tolist() == ["error", "ok"] and (probes.tokens > 0).all()


# A run that ends in an error.


def broken(problem: Problem, text: str) -> bool:
    raise ValueError(f"cannot read {text} of {problem.text}")


class OwnClass:
    """A task of the user's own class, whose `grade` is not guarded by `make_task`."""

    def __init__(self, grade: Callable[[Problem, str], Any]) -> None:
        self._inner = make_task("guarded", numbers, lambda problem, text: True)
        self.name, self.answer_tokens, self.grade = "plain", 64, grade

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def numbers(rng: Any) -> dict[str, Any]:
    return {"text": f"What is {rng.integers(10**6)}?", "gold": 0}


def test_a_grader_that_raises_loses_nothing_in_flight(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, settling, settle = itertools.count(), threading.Event(), LiveBackend.settle

    def slow(body: dict[str, Any], n: int) -> Any:
        """All answers but the first come once the run waits for what is with the server."""
        if not body.get("logprobs") and next(answers):
            settling.wait(600)
        return say_something(body, n)

    monkeypatch.setattr(LiveBackend, "settle", lambda *about: settling.set() or settle(*about))
    server.script = slow
    settings = config(tasks=[OwnClass(broken)], n_problems=4, budgets=[3, 6], concurrency=6)
    with pytest.raises(DataError, match=r"of plain failed on guarded-\w+") as error:
        run_sweep(settings, progress=False)
    words = str(error.value)
    assert "(ValueError)" in words and "cannot read" not in words and "What is" not in words and "\n" not in words
    assert "requests are with the server" in caplog.text
    asked = len(server.requests)
    with Store(settings.folder / "store.sqlite") as store:
        stored = store.requests().query("kind in ('trace', 'answer') and status == 'ok'")
    assert 6 < asked == len(stored) < 24
    server.script = say_something
    mended = OwnClass(lambda problem, text: Grade(1.0, True, "ok"))
    cells = run_sweep(config(tasks=[mended], n_problems=4, budgets=[3, 6]), progress=False)
    assert len(cells) == 16 and len(server.requests) == 24


def test_problems_of_the_same_content_are_paid_for_once(server: FakeServer, config: Config) -> None:
    class Twins(CustomTask):
        def problems(self, *args: Any, **kwargs: Any) -> list[Problem]:
            return [Problem(i, "twins", "What is 0?", 0) for i in "ab"]

    task = Twins("twins", [], lambda problem, text: True)
    cells = run_sweep(config(tasks=[task], n_problems=2, n_samples=1, budgets=[3, 6]), progress=False)
    assert sorted(cells.problem_id) == ["a", "a", "b", "b"] and len(server.requests) == 3


# The key.


def test_a_key_that_the_server_quotes_is_found_nowhere(
    server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XAI_KEY_2", key := "canarywithoutdigits")
    said = f"{'x ' * 140}{key} is over its limit"  # where words are shortened, no part of it is left

    def quotes(body: dict[str, Any], n: int) -> Any:
        whole = server.completion(body, f"Answer: {key}")
        if "seed" in body:
            return 400, {"error": {"message": f"seed is not supported for {key}", "param": "seed"}}
        return [
            (500, {"error": {"message": said}}), (429, {"error": {"message": f"slow down, {key}"}}),
            (200, {"error": {"message": said, "code": 500}}), (200, whole | {"model": key}), (400, {"detail": [key]}),
            (500, f"<html><title>{key}</title></html>"),
            (200, whole | {"choices": [whole["choices"][0] | {"finish_reason": f"{'x' * 40}{key}"}]}),
        ][n % 7]  # fmt: skip

    server.script = quotes
    settings = config(api_key_env="XAI_KEY_2", retries=1, concurrency=1)
    told: list[str] = []
    with caplog.at_level(logging.DEBUG, logger="anytime_lib"):
        try:
            told += run_sweep(settings, progress=False).status.tolist()
            told.append("ran")
        except AnytimeError as error:
            told.append(str(error))
        for refusal in ((400, {"error": {"message": f"no {key}"}}), (200, {"error": f"bad {key}"})):
            server.script = lambda body, n, refusal=refusal: refusal
            with pytest.raises(AnytimeError, match=r"\[key withheld\]") as refused:
                run_sweep(settings.but(run=f"{settings.run}-refused"), progress=False)
            told.append(str(refused.value))
    assert server.keys == {f"Bearer {key}"}
    assert "[key withheld]" in caplog.text and "does not take 'seed' (400 seed is not supported for [key" in caplog.text
    files = b"".join(f.read_bytes() for f in settings.folder.rglob("*") if f.is_file())
    for part in (key, key[:9], key[-9:]):
        assert part not in caplog.text and part not in " ".join(told) and part.encode() not in files
    assert b"[key withheld]" in files


def test_keys_of_the_environment_keys_in_use_and_whatever_looks_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", 'quoted"1234567')
    monkeypatch.setenv("A_TOKEN_COUNT", "128000")
    redact = Redactor("inuse-key", "none")
    quoted = json.dumps('quoted"1234567')[1:-1]
    for secret in ('quoted"1234567', quoted, "inuse-key", "sk-" + "a1" * 10, "hf_" + "b" * 20):
        assert redact(f"a {secret} b") == f"a {MARK} b"
    for plain in ("128000", "none", "task-aaaaaaaaaaaaaaaaaaaa", "sk-short"):
        assert redact(f"a {plain} b") == f"a {plain} b"


def test_a_key_is_stripped_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret\n")
    key = api_key("MY_KEY", "https://host/v1")
    assert key == "sk-secret" and isinstance(key, Key) and repr(key) == MARK and "secret" not in repr({"key": key})
    monkeypatch.setenv("MY_KEY", "sk-first\nsk-second")
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        api_key("MY_KEY", "https://host/v1")
    monkeypatch.delenv("MY_KEY")
    assert api_key("MY_KEY", "http://127.0.0.1:8000/v1") == "none"
    with pytest.raises(ConfigError, match="no API key: set the environment variable MY_KEY"):
        api_key("MY_KEY", "https://host/v1")


@pytest.mark.parametrize(
    ("name", "url", "sent"),
    [
        ("XAI_API_KEY", "https://api.x.ai/v1", True),
        ("XAI_API_KEY", "https://max.ai/v1", False),
        ("LAB_API_KEY", "https://llm.lab.edu/v1", True),
        ("AWS_SECRET_ACCESS_KEY", "https://bedrock.us-east-1.amazonaws.com/v1", False),
        ("HF_TOKEN", "https://evil.example/huggingface.co/v1", False),
        ("HF_TOKEN", "https://router.huggingface.co/v1", True),
        ("GITHUB_TOKEN", "http://127.0.0.1:8000/v1", True),
    ],
)
def test_a_key_goes_to_its_own_host(monkeypatch: pytest.MonkeyPatch, name: str, url: str, sent: bool) -> None:
    monkeypatch.setenv(name, "sk-secret")
    with nullcontext() if sent else pytest.raises(ConfigError, match=f"{name} is not sent to"):
        assert api_key(name, url) == "sk-secret"
    with pytest.raises(ConfigError, match="KEY or TOKEN in its name"):
        RunConfig(api_key_env="DATABASE_PASSWORD")


def test_a_key_in_the_path_of_an_address_is_not_stored(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    key, settings = "a1b2c3d4e5f6a7b8c9d0", config(base_url=f"{server.url}/x-a1b2c3d4e5f6a7b8c9d0/v1", retries=1)
    server.script = lambda body, n: say_something(body, n) if n % 5 else (500, {"error": {"message": "busy"}})
    with caplog.at_level(logging.INFO, logger="anytime_lib"):
        assert len(run_sweep(settings, progress=False))
    files = b"".join(f.read_bytes() for f in settings.folder.rglob("*") if f.is_file())
    assert key.encode() not in files and b"/[key withheld]/v1" in files
    told = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("anytime"))
    assert key not in told and "/[key withheld]/v1: 500 busy" in told
    plain = "https://gateway.ai.cloudflare.com/openai/deployments/gpt-4o-2024-08-06/v1"
    assert public_address(plain) == plain


def test_a_withheld_text_reads_the_same_everywhere() -> None:
    problem = Problem("p-1", "t", "What is 1 + 1?", 2, {"private": True})
    assert shown(problem) == withheld("p-1", problem.text) and "1 + 1" not in shown(problem) + repr(problem)
    assert "1 + 1" not in shown(problem, "of 1 + 1") and shown(Problem("p", "t", "open", 1)) == "open"


def test_what_a_text_quotes_of_the_request_is_left_out() -> None:
    sent = "The chartreuse zeppelin\nflies over Ouagadougou at noon."
    quoting = "cannot take 'The chartreuse zeppelin flies over Ouagadougou at noon.', sorry"
    assert unquoted(quoting, sent) == "cannot take '[...]', sorry"
    assert unquoted("cannot take 'zeppelin'", sent) == "cannot take 'zeppelin'"  # too short to tell anything
