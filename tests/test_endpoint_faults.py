"""A server that misbehaves in every way: what is asked arrives all the same, or fails in one sentence."""

import asyncio
import random
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Config
from misbehaving_server import FAULTS, HARMLESS, MisbehavingServer, answer, canonical

from anytime_lib import run_sweep
from anytime_lib.errors import EndpointError, RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.limiter import Limiter, Timeouts, retry
from anytime_lib.models.reply import Reply, RetryableError
from anytime_lib.models.served import ServedModel

QUICK = Timeouts(connect=0.5, first_token=0.5, whole=20, retries=6, backoff=0.01, longest=0.05)
PATIENT = replace(QUICK, connect=20, first_token=20)  # where nothing stalls: the machine may be slow
LONG: dict[str, Any] = {"max_tokens": 120, "temperature": 0.7, "seed": 3, "tokens": True}
SHORT: dict[str, Any] = {"max_tokens": 16, "temperature": 0.0}


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    found = MisbehavingServer(rate=0.0)
    yield found
    found.close()


def ask(server: MisbehavingServer, *requests: dict[str, Any], timeouts: Timeouts = QUICK, **more: Any) -> list[Any]:
    """The replies, or the errors, of requests sent at once, each with a question of its own."""

    async def everything() -> list[Any]:
        endpoint = Endpoint(server.base_url, "fake", "key", timeouts=timeouts, **more)
        asked = ([{"role": "user", "content": f"question {number}"}] for number in range(len(requests)))
        chats = [endpoint.chat(turns, **settings) for turns, settings in zip(asked, requests, strict=True)]
        try:
            return await asyncio.gather(*chats, return_exceptions=True)
        finally:
            await endpoint.close()

    return asyncio.run(everything())


def said(reply: Reply) -> tuple[object, ...]:
    """What must not depend on how the reply came; counts that the server did not tell do."""
    return reply.text, reply.finish_reason, reply.ends, reply.ends and reply.completion_tokens


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("settings", [LONG, SHORT], ids=["streamed", "whole"])
def test_each_fault_is_survived(server: MisbehavingServer, kind: str, settings: dict[str, Any]) -> None:
    """The first try of each request fails so; the reply is the same as ever, and the reason was told."""
    whole = ask(server, *[settings] * 3, timeouts=PATIENT)
    tries, dice = Counter[str](), random.Random(0)

    def first(body: dict[str, Any]) -> tuple[str, random.Random]:
        tries[key := canonical(body)] += 1
        return kind * (tries[key] == 1), dice

    server.fault = first  # type: ignore[method-assign]
    told: list[str] = []
    stalls = kind.startswith("stall")
    replies = ask(server, *[settings] * 3, timeouts=QUICK if stalls else PATIENT, on_retry=told.append)
    assert all(isinstance(r, Reply) for r in replies), replies
    assert [said(r) for r in replies] == [said(r) for r in whole]
    assert server.sent[kind] == 3 and (len(told) == (0 if kind in HARMLESS else 3) or (stalls and len(told) > 3))
    assert all("\n" not in words and ("rate limited" in words) == kind.startswith("429") for words in told)


@pytest.mark.parametrize("kind", [f for f in FAULTS if f not in HARMLESS])
@pytest.mark.parametrize("settings", [LONG, SHORT], ids=["streamed", "whole"])
def test_what_never_succeeds_is_one_sentence_or_a_part(
    server: MisbehavingServer, kind: str, settings: dict[str, Any]
) -> None:
    server.rate, server.only = 1.0, (kind,)
    first_token = 0.2 if kind.startswith("stall") else 20
    connect = 0.5 if kind == "stall_before" or (kind == "stall_inside" and settings is SHORT) else 20
    wait = {"connect": connect, "first_token": first_token, "limited": 0.3, "backoff": 0.001, "longest": 0.01}
    timeouts = Timeouts(whole=60, retries=2, **wait)
    tries: list[RetryableError] = []

    async def each_try(once: Any) -> Reply:
        try:
            return await once()  # type: ignore[no-any-return]
        except RetryableError as lost:
            tries.append(lost)
            raise

    (found,) = ask(server, settings | {"each_try": each_try}, timeouts=timeouts)
    counted = not kind.startswith(("429", "503"))  # those that ask to wait are bounded by time
    assert server.requests == len(tries) == 3 if counted else server.requests == len(tries) >= 2
    assert type(found) is RequestFailed
    assert "\n" not in str(found) and len(str(found)) < 500 and re.search(r"\d tries", str(found))
    if settings is LONG and (kind.endswith("_inside") or kind in ("malformed_json", "truncated_json")):
        body = {"model": "fake", "messages": [{"role": "user", "content": "question 0"}], "top_p": 1.0,
                "logprobs": True, **{k: LONG[k] for k in ("max_tokens", "temperature", "seed")}}  # fmt: skip
        for part in (lost.partial for lost in tries):
            assert part.finish_reason == "interrupted"
            assert b"".join(answer(body)).decode(errors="ignore").startswith(part.text) and part.text
            assert 0 < part.completion_tokens <= len(answer(body))
            assert part.ends is not None and part.ends[-1] == len(part.text.encode())


def test_the_time_for_waiting_begins_with_the_first_wish_to_wait() -> None:
    """A first try that took longer than that, on a slow machine or in a queue, is followed by another."""
    tries = iter(["limited", "answered"])

    async def once() -> str:
        await asyncio.sleep(0.02)
        if (came := next(tries)) == "limited":
            raise RetryableError("slow down", limited=True)
        return came

    assert asyncio.run(retry(once, "there", Timeouts(limited=0.01, backoff=0.001), Limiter(1))) == "answered"


def test_a_deadline_says_which_and_how_long(server: MisbehavingServer) -> None:
    server.rate, server.only = 1.0, ("stall_before",)
    timeouts = Timeouts(first_token=0.3, connect=0.2, whole=20, retries=0)
    (found,) = ask(server, LONG, timeouts=timeouts)
    assert "no first token within 0.3 s (deadline `first_token`)" in str(found)
    timeouts = Timeouts(first_token=20, whole=0.3, retries=5)
    (found,) = ask(server, LONG, timeouts=timeouts)
    assert "not whole within 0.3 s (deadline `whole`)" in str(found)
    assert server.requests == 2  # a reply that takes too long takes too long again


def test_a_day_s_wait_for_one_request_does_not_hold_the_others_for_a_day(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anytime_lib.models.failures.retry_after", lambda headers, words: 86400.0)
    server.fault = lambda body: ("429_retry_after" * (server.requests == 1), random.Random(0))  # type: ignore[method-assign]
    refused, answered = ask(server, SHORT, SHORT, limiter=Limiter(1))
    assert "asks to wait 86400 s" in str(refused) and isinstance(answered, Reply)


def test_the_cells_of_a_misbehaving_run_equal_those_of_a_well_behaved_one(
    server: MisbehavingServer, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServedModel, "timeouts", QUICK)
    run = config(n_problems=5, n_samples=4, budgets=[20, 50, 80], concurrency=8, timeout=1.5)
    well = run_sweep(run, progress=False)
    server.rate, server.seed = 0.3, 2
    server.only = tuple(kind for kind in FAULTS if kind != "wrong_usage")  # short replies' counts are then not known
    (tmp_path / "run").rename(tmp_path / "well")
    assert run_sweep(run, progress=False).equals(well) and sum(server.sent.values()) > 20


@pytest.mark.skipif(sys.platform != "linux", reason="fills a queue of connections as Linux keeps it")
def test_the_deadline_for_a_connection() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        waiting = [socket.socket() for _ in range(8)]  # nobody accepts them, and no more fit into the queue
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(busy.getsockname())
        stuck = SimpleNamespace(base_url=f"http://127.0.0.1:{busy.getsockname()[1]}/v1")
        timeouts = Timeouts(connect=0.2, first_token=5, retries=1, backoff=0.01)
        (found,) = ask(stuck, SHORT, timeouts=timeouts)  # type: ignore[arg-type]
        for one in waiting:
            one.close()
    assert isinstance(found, EndpointError)
    assert "after 2 tries (no connection in time (deadline `connect`))" in str(found)
