"""A sweep through a Batch API makes the store of a live one, whatever happens meanwhile."""

import email
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import Config, refused
from fake_server import FakeServer, say_something
from http_server import Request

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.errors import ConfigError, EndpointError
from anytime_lib.sweep.costs import SpendCapReached, price_of
from anytime_lib.sweep.ledger import ledger_table
from anytime_lib.tools import batch
from anytime_lib.tools.batch import run_batches
from anytime_lib.tools.estimate import estimate_run

STEPS = ["validating", "in_progress", "finalizing", "completed"]
NOISE = b'{"custom_id": "not ours", "response": {"status_code": 200, "body": {}}}\n{"cut o\n[]\n\n'


class BatchServer(FakeServer):
    """Has files and batches as OpenAI's reference tells of them. A batch goes a step on whenever it is looked at; its
    results come in another order, errors in a file of their own. `stop` names the request that is done and not
    answered before it `goes_on`, `lacks` those that are refused; `ends` has how a batch ends, and after how many
    requests, and `room` how many may be under way. `done` counts what was answered."""

    def __init__(self) -> None:
        self.files, self.batches, self.done = dict[str, bytes](), dict[str, dict[str, Any]](), Counter[str]()
        self.stop, self.stopped, self.goes_on = "", threading.Event(), threading.Event()
        self.lacks, self.ends, self.room = dict[str, int](), dict[str, tuple[str, int]](), 10**6
        super().__init__()

    def answer(self, request: Request) -> None:
        _, _, what, *rest = request.path.partition("?")[0].split("/")
        if what not in ("files", "batches"):
            return super().answer(request)
        asked = " ".join([request.command if rest or request.command == "POST" else "LIST", what, *rest[1:]])
        if asked in self.lacks:
            return request.reply(self.lacks[asked], {"error": {"message": "missing field `name`"}})
        found = self.do(asked, "".join(rest[:1]), request)
        if asked == self.stop:
            self.stopped.set()
            self.goes_on.wait(600)
        request.reply(200, found)

    def do(self, asked: str, name: str, request: Request) -> Any:
        if asked == "POST files":
            head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
            parts: Any = email.message_from_bytes(head + request.body).get_payload()
            sent = {p.get_param("name", header="content-disposition"): p.get_payload(decode=True) for p in parts}
            assert sent["purpose"] == b"batch"
            return {"id": self.keep(sent["file"]), "object": "file", "purpose": "batch"}
        if asked == "GET files content":
            return self.files[name]
        if asked == "POST batches":
            body = json.loads(request.body)
            assert body["completion_window"] == "24h" and body["endpoint"] == "/v1/chat/completions"
            name = f"batch_{len(self.batches)}"
            self.batches[name] = body | {"id": name, "object": "batch", "status": "validating", "created_at": 1}
        if asked == "LIST batches":  # the newest first, two on a page
            ids, (_, after, last) = sorted(self.batches, reverse=True), request.path.rpartition("after=")
            ids = ids[ids.index(last) + 1 :] if after else ids
            return {"object": "list", "data": [self.batches[i] for i in ids[:2]], "has_more": len(ids) > 2}
        if asked == "GET batches" and self.batches[name]["status"] in STEPS[:-1]:
            self.go_on(self.batches[name])
        return self.batches[name]

    def go_on(self, found: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.files[found["input_file_id"]].splitlines()]
        found["status"] = STEPS[STEPS.index(found["status"]) + 1]
        found["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        if found["status"] == "in_progress":
            ids = {line["custom_id"] for line in lines}
            fine = len(ids) == len(lines) and not any("stream" in line["body"] for line in lines)
            if not fine or len(lines) > self.room:
                error = {"code": "token_limit_exceeded" if fine else "invalid", "message": "Enqueued token limit"}
                found |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        if found["status"] == "completed":
            found["status"], most = self.ends.get(found["id"], ("completed", len(lines)))
            made = [self.result(line, n < most) for n, line in enumerate(lines)][::-1]
            well = [line for line in made if line["response"] and line["response"]["status_code"] == 200]
            for kind, some in (("output", well), ("error", [line for line in made if line not in well])):
                text = NOISE + b"\n".join(json.dumps(line, ensure_ascii=False).encode() for line in some)
                found[f"{kind}_file_id"] = self.keep(text) if some else None

    def result(self, line: dict[str, Any], in_time: bool) -> dict[str, Any]:
        made = {"id": "batch_req", "custom_id": line["custom_id"], "response": None, "error": None}
        if not in_time:
            return made | {"error": {"code": "batch_expired", "message": "not executed before the window expired"}}
        self.done[line["custom_id"]] += 1
        said = self.script(line["body"], 0)
        status, body = said if isinstance(said, tuple) else (200, self.completion(line["body"], said))
        return made | {"response": {"status_code": status, "request_id": "x", "body": body}}

    def keep(self, content: bytes) -> str:
        self.files[name := f"file-{len(self.files)}"] = content
        return name


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    monkeypatch.setattr(batch, "LONGEST", 0.06)
    with closing(BatchServer()) as found:
        yield found
        found.goes_on.set()


Made = tuple[pd.DataFrame, dict[str, Any], pd.DataFrame, pd.DataFrame]


def made(config: RunConfig, cells: pd.DataFrame) -> Made:
    """Cells, replies by their keys, attempts, and the ledger."""
    with Store(config.folder / "store.sqlite") as store:
        keys = store.requests().query("status == 'ok' and kind != 'probe'").key
        replies = {key: {**(store.get(key) or {}), "seconds": 0} for key in keys}
        return cells, replies, store.attempts(), ledger_table(store, config.limits.prices)


@pytest.fixture
def live(server: BatchServer, config: Config, tmp_path: Path) -> Callable[..., Made]:
    """What a live sweep of the same settings makes."""

    def swept(**settings: Any) -> Made:
        other = config(outputs=str(tmp_path / "live"), **settings)
        found = made(other, run_sweep(other, progress=False))
        server.requests.clear()
        return found

    return swept


def same(one: Made, other: Made) -> bool:
    return one[0].equals(other[0]) and one[1] == other[1]


def test_the_store_is_that_of_a_live_sweep_at_the_price_of_batches(
    server: BatchServer, config: Config, live: Callable[..., Made], tmp_path: Path
) -> None:
    (prices := tmp_path / "prices.yaml").write_text("- {model: fake, input: 1000, output: 1000, batch: 0.5}", "utf-8")
    many = {"methods": ["base", "budget_prompt", "leap", "pdp", "pdp_answers"], "pool_problems": 3, "n_shots": 1}
    many |= {"prices": str(prices), "pool": {"draws": 2}}
    settings, lived = config(**many), live(**many)
    whole, half = (estimate_run(settings, batch=by).table.dollars_high.sum() for by in (False, True))
    assert half == pytest.approx(whole / 2) and half > 0
    swept = made(settings, run_batches(settings, progress=False))
    # Attempts, their answers, explanations, principles, their summary, traces, answers; the first of each kind is live.
    assert same(swept, lived) and len(server.batches) == 7 and set(server.done.values()) == {1}
    assert len(server.requests) == len(swept[1]) - len(server.done) <= 6
    told = [sorted(map(tuple, ledger.iloc[:, :7].to_numpy())) for *_, ledger in (swept, lived)]
    by_batch = swept[2].query("status == 'batch'").tokens.sum() / 1000
    assert told[0] == told[1] and swept[3].dollars.sum() == pytest.approx(lived[3].dollars.sum() - by_batch / 2)
    asked = len(server.requests), len(server.batches)
    for again in (run_batches, run_sweep):
        assert again(settings, progress=False).equals(lived[0]) and (len(server.requests), len(server.batches)) == asked


def test_what_expires_or_fails_is_asked_again_and_what_is_refused_is_not(server: BatchServer, config: Config) -> None:
    """Of eight traces the first goes the ordinary way, four are done in time; the next wave brings nothing at all."""
    order, tries = dict[str, int](), Counter[int]()

    def script(body: dict[str, Any], number: int) -> Any:
        if body.get("logprobs") and (nth := order.setdefault(json.dumps(body), len(order))) in (3, 4):
            tries[nth] += 1
            if nth == 3:
                return 400, {"error": {"message": f"too long: {body['messages'][0]['content']}"}}
            if tries[nth] == 1:
                return 500, {"error": {"message": "overloaded"}}
        return say_something(body, number)

    def errors() -> list[str]:
        cells = run_batches(config(n_problems=4), progress=False)
        with Store(config().folder / "store.sqlite") as store:
            details: list[str] = store.cells().query("status == 'error'").detail.tolist()
        assert len(details) == (cells.status == "error").sum()
        return details

    server.script, server.ends = script, {"batch_0": ("expired", 4), "batch_1": ("expired", 0)}
    assert "not executed before the window expired" in errors() and len(server.batches) == 2 and tries == {3: 1, 4: 1}
    assert {*errors()} == {"the server refused the request: 400 too long: [...]"} and tries[4] == 2
    assert len(errors()) == 4 and sum(n > 1 for n in server.done.values()) <= 2


def test_who_is_killed_at_any_moment_goes_on_and_submits_nothing_twice(
    server: BatchServer, config: Config, live: Callable[..., Made], tmp_path: Path
) -> None:
    lived, settings = live(), config()
    (params := tmp_path / "p.yaml").write_text(yaml.safe_dump(settings.model_dump(exclude_none=True)), "utf-8")
    command = [sys.executable, "-m", "anytime_lib.cli", "sweep", str(params), "--batch"]
    for server.stop in ("POST files", "POST batches", "GET batches", "GET files content"):
        server.stopped.clear()
        server.goes_on.clear()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert server.stopped.wait(600)
        child.kill()
        child.wait()
        server.goes_on.set()
    server.stop = ""
    assert same(made(settings, run_batches(settings, progress=False)), lived)
    assert len(server.batches) == 2 and set(server.done.values()) == {1}


def test_a_live_sweep_is_gone_on_with_by_parts_of_waves_that_a_cap_allows(
    server: BatchServer, config: Config, live: Callable[..., Made]
) -> None:
    lived = live()
    for sweep in (run_sweep, run_batches):
        with pytest.raises(SpendCapReached, match="raise the cap"):
            sweep(config(spend_cap_tokens=1_000), progress=False)
    n, settings = len(server.batches), config(spend_cap_tokens=int(lived[2].tokens.sum()) + 1_500)
    assert same(made(settings, run_batches(settings, progress=False)), lived)
    assert len(server.batches) > n + 2 and set(server.done.values()) == {1}


def test_batches_become_smaller_where_there_is_no_room_and_a_cancelled_one_ends_the_run(
    server: BatchServer, config: Config, live: Callable[..., Made]
) -> None:
    lived, server.room, server.ends = live(), 3, {"batch_3": ("cancelled", 1)}
    with refused(EndpointError, "batch_3 was cancelled, and what it brought is stored; the same again goes on"):
        run_batches(config(), progress=False)
    sizes = [len(server.files[one["input_file_id"]].splitlines()) for one in server.batches.values()]
    assert sizes[:4] == [8, 4, 4, 2]
    assert same(made(config(), run_batches(config(), progress=False)), lived) and set(server.done.values()) == {1}


def test_what_cannot_go_by_batches(server: BatchServer, config: Config) -> None:
    rounds = {"methods": ["base", "tree_of_thoughts", "self_consistency"]}
    for wrong, kind, says, lacks in (
        (rounds, ConfigError, "self_consistency, tree_of_thoughts: what asks in many rounds", {}),
        ({"model": "simulated", "base_url": None}, ConfigError, "is served on this machine", {}),
        ({}, EndpointError, "takes no batches of OpenAI's kind .it has no such route", {"LIST batches": 404}),
        ({}, EndpointError, "refused the request: 422 missing field `name`", {"POST batches": 422}),
    ):
        assert not server.requests  # nothing was paid for
        server.lacks = lacks
        with refused(kind, says):
            run_batches(config(**wrong), progress=False)
    at = [price_of("gpt-4o", url) for url in ("https://api.openai.com/v1", "https://elsewhere.com/v1")]
    assert [price.batch for price in at if price] == [0.5, 1.0]
