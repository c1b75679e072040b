"""How a sweep runs: own runs per budget, scheduling, caps on spending, interrupts, the bar."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from conftest import Config
from fake_server import FakeServer, say_something
from http_server import frame, limit_of, usage_of
from jupyter_client.manager import start_new_kernel

from anytime_lib import RunConfig, Store, report, run_sweep
from anytime_lib.config import read_yaml
from anytime_lib.errors import ConfigError
from anytime_lib.report import _execute
from anytime_lib.sweep.costs import SpendCapReached, SpendLimit
from anytime_lib.tools.estimate import estimate_run

# Runs of their own for every budget.


def hides(body: dict[str, Any], told: bool = True) -> dict[str, Any]:
    """A model that reasons out of sight for 40 tokens and then answers, all within max_tokens."""
    said, spent = limit_of(body) > 40, min(limit_of(body), 40)
    usage = usage_of(spent + 2 * said) | ({"completion_tokens_details": {"reasoning_tokens": spent}} if told else {})
    message = {"role": "assistant", "content": "Answer: B" if said else ""}
    return frame(body, {"message": message, "finish_reason": "stop" if said else "length"}, usage=usage)


@pytest.mark.parametrize("told", [True, False])
def test_hidden_reasoning_gets_a_run_for_every_budget_and_says_so_once(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture, told: bool
) -> None:
    server.script = lambda body, n: (200, hides(body, told=told))
    settings = config(budgets=[8, 32, 64, 128])
    with caplog.at_level(logging.WARNING):
        cells = run_sweep(settings, progress=False)
    assert len([r for r in caplog.records if "mode: fresh" in r.message]) == 1
    spoken = 40 if told else 42  # without a word on reasoning, the whole bill counts
    assert cells[cells.problem_id == cells.problem_id[0]].tokens_used.tolist() == [8, 32, spoken, spoken] * 2
    assert cells.stopped_naturally.tolist() == [False, False, True, True] * 6
    answered = cells[cells.budget >= 64]
    assert set(answered.status) == {"ok"} and (answered.trace_key == answered.answer_key).all()
    assert set(answered.answer_tokens) == ({2} if told else {0})
    starved = cells[cells.budget < 64]  # stopped there, the model has answered nothing
    assert set(starved.status) == {"empty"} and set(starved.score) == {0.0} and set(starved.answer_tokens) == {0}
    assert (starved.trace_key == starved.answer_key).all()
    runs = [r["max_tokens"] for r in server.requests]  # no answer is forced from what is not shown
    assert sorted(runs) == sorted([8, 32, 64, 128] * 6)  # the trace that was to be cut is the largest run
    assert run_sweep(settings, progress=False).equals(cells) and len(server.requests) == len(runs)
    assert estimate_run(settings).table.calls.sum() == 0


def test_fresh_runs_of_visible_reasoning_are_forced_as_usual(server: FakeServer, config: Config) -> None:
    cells = run_sweep(config(mode="fresh"), progress=False)
    traces = [r for r in server.requests if r.get("logprobs")]
    assert sorted(r["max_tokens"] for r in traces) == sorted([2, 5, 9, 500] * 6)
    assert cells.trace_key.nunique() == 24 and not (cells.trace_key == cells.answer_key).any()
    assert set(cells[cells.budget == 5].tokens_used) == {5}
    assert set(cells.status) <= {"ok", "unparsed"}
    cut = run_sweep(config(), progress=False)  # the run at the largest budget serves as the trace
    assert len([r for r in server.requests if r.get("logprobs")]) == 24
    assert cut[cut.budget == 500].trace_key.tolist() == cells[cells.budget == 500].trace_key.tolist()


def test_reasoning_returned_apart_is_given_back_where_no_answer_was_said(server: FakeServer, config: Config) -> None:
    def apart(body: dict[str, Any], n: int) -> Any:
        if not body.get("logprobs"):
            return say_something(body, n)
        whole = hides(body)
        whole["choices"][0]["message"]["reasoning_content"] = "thinking " * whole["usage"]["completion_tokens"]
        return 200, whole

    server.script = apart
    cells = run_sweep(config(mode="fresh", budgets=[8, 64]), progress=False)
    assert (cells.trace_key == cells.answer_key).tolist() == [False, True] * 6
    forced = [r for r in server.requests if not r.get("logprobs")]
    assert all(r["messages"][-2]["content"] == "thinking " * 8 for r in forced)
    assert set(cells.status) == {"ok"}


# Scheduling.


def test_slots_are_busy_across_problems_and_arms(server: FakeServer, config: Config) -> None:
    together = threading.Barrier(14)  # no arm has more than four traces, no task more than three pool problems

    def script(body: dict[str, Any], n: int) -> Any:
        if 0 < n <= 14:
            together.wait(timeout=600)
        return say_something(body, n)

    server.script = script
    settings = config(methods=["base", "pdp_plus"], n_problems=2, n_samples=2, n_shots=1, pool_problems=3,
                      tasks=["gpqa", "aime"], difficulty={"aime": [1]}, concurrency=14)  # fmt: skip
    cells = run_sweep(settings, progress=False)
    assert len(cells) == 2 * 2 * 2 * 2 * 4
    assert not together.broken


def test_checkpoints_of_a_trace_follow_it_from_the_last_to_the_first(server: FakeServer, config: Config) -> None:
    run_sweep(config(concurrency=1), progress=False)
    sent = iter(server.requests)
    for trace in sent:
        assert trace.get("logprobs")
        lengths = [len(next(sent)["messages"][-2]["content"]) for _ in range(4)]
        assert lengths == sorted(lengths, reverse=True)


# Caps on spending.


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_cap_on_tokens_stops_before_the_call_that_would_break_it(
    server: FakeServer, config: Config, concurrency: int
) -> None:
    cap = 1_000
    for _ in range(2):  # running again spends no further
        with pytest.raises(SpendCapReached, match=r"spend_cap_tokens \(1,000\).*raise the cap and run again") as error:
            run_sweep(config(spend_cap_tokens=cap, concurrency=concurrency), progress=False)
        assert "\n" not in str(error.value)
    with Store(config().folder / "store.sqlite") as store:
        rows = store.requests()
    spent = int((rows.prompt_tokens + rows.completion_tokens).sum())
    assert 0 < spent <= cap and f"{spent:,} tokens" in str(error.value)
    assert len(rows) == len(server.requests) + len(server.probes)  # nothing that was sent is lost
    before = len(server.requests)
    cells = run_sweep(config(spend_cap_tokens=10**6), progress=False)
    assert len(cells) == 24 and len(server.requests) == 30 and before < 30


def test_a_cap_on_dollars_needs_a_price_and_keeps_it(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="spend_cap_dollars needs a price"):
        run_sweep(config(spend_cap_dollars=1.0), progress=False)
    prices = tmp_path / "prices.yaml"
    prices.write_text("- {model: fake, input: 1000, output: 1000}", "utf-8")
    with pytest.raises(SpendCapReached, match=r"spend_cap_dollars \(2.00\).*\(\$[01]\.\d{4}\) spent"):
        run_sweep(config(spend_cap_dollars=2.0, prices=str(prices)), progress=False)
    prices.write_text("- {model: fake}", "utf-8")
    with pytest.raises(ConfigError, match="it must list model, input and output"):
        run_sweep(config(spend_cap_dollars=2.0, prices=str(prices.rename(tmp_path / "p.yaml"))), progress=False)


def test_a_call_waits_for_those_in_flight_before_it_gives_up() -> None:
    """The worst case of two calls breaks the cap; the first costs little, so the second is made."""

    async def check() -> int:
        spend_limit, made = SpendLimit(None, caps=(150, None)), 0

        async def one() -> None:
            nonlocal made
            async with spend_limit.reserve([{"role": "user", "content": "hi"}], 100) as bill:
                await asyncio.sleep(0)
                bill.update(prompt_tokens=5, completion_tokens=5)
                made += 1

        await asyncio.gather(*(one() for _ in range(4)))
        return made

    assert asyncio.run(check()) == 4


# Stopping.


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set where replies that hang are to come; at the end, in any case."""
    yield (event := threading.Event())
    event.set()


@pytest.fixture
def hanging(server: FakeServer, over: threading.Event) -> Callable[[], None]:
    """Six replies come at once, the others not before it is `over`; waits until four of those are asked for."""

    def script(body: dict[str, Any], n: int) -> str:
        if n > 6:
            over.wait(600)
        return say_something(body, n)

    def four_are_waited_for() -> None:
        until = time.monotonic() + 600
        while len(server.requests) < 6 + 4 and time.monotonic() < until:
            time.sleep(0.02)

    server.script = script
    return four_are_waited_for


@pytest.mark.parametrize("sent", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_stop_lets_replies_come_back_for_a_moment_and_a_second_one_does_not(
    server: FakeServer, config: Config, hanging: Callable[[], None], over: threading.Event, tmp_path: Path, sent: Any
) -> None:
    settings, params = config(concurrency=4), tmp_path / "p.yaml"
    params.write_text(yaml.safe_dump(settings.model_dump(exclude_none=True)), "utf-8")
    child = subprocess.Popen(
        [sys.executable, "-m", "anytime_lib.cli", "sweep", str(params)], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    hanging()
    child.send_signal(sent[0])
    assert child.stderr and any("stopping; 4 requests are with the server" in line for line in child.stderr)
    over.set() if len(sent) == 1 else child.send_signal(sent[1])
    _, told = child.communicate(timeout=600)
    assert child.returncode == 130
    assert "what was stored is kept" in told and "Traceback" not in told
    assert ("4 of them were given up" in told) == (len(sent) == 2)
    server.script = say_something
    before = len(server.requests)
    with Store(settings.folder / "store.sqlite") as store:
        stored = len(store.requests().query("kind != 'probe' and status == 'ok'"))
    assert stored == before - 4 * (len(sent) - 1) and len(run_sweep(settings, progress=False)) == 24
    assert len(server.requests) - before == 30 - stored


def test_a_kernel_interrupt_ends_a_notebook_s_sweep(config: Config, hanging: Callable[[], None]) -> None:
    settings = json.dumps(config(concurrency=4).model_dump(exclude_none=True))
    code = f"from anytime_lib import *\nimport json\nrun_sweep(RunConfig(**json.loads({settings!r})))"
    manager, client = start_new_kernel(600, "python3", env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        client.execute(code, stop_on_error=False)
        hanging()
        manager.interrupt_kernel()
        while (message := client.get_shell_msg(timeout=600))["msg_type"] != "execute_reply":
            pass  # a slow kernel answers late what it was asked before
        reply = message["content"]
        assert reply["ename"] == "KeyboardInterrupt" and "it goes on from there" in reply["evalue"]
        client.execute("print(1)")  # the kernel is well
        assert client.get_shell_msg(timeout=600)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# The bar, and what is said at the start.


def test_the_bar_tells_the_running_total_and_retries_with_their_reason(
    server: FakeServer, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = lambda body, n: (429, {"error": {"message": "slow down"}}) if n == 3 else say_something(body, n)
    run_sweep(config(methods=["base", "pdp"], pool_problems=2))
    *during, last = capsys.readouterr().err.strip().split("\r")
    assert "run: preparing pairs:judge on the pool of gpqa: " in "".join(during) and "run: answering: " in "".join(
        during
    )
    assert last.startswith("run: 100%") and "/48" in last and "0 known" in last and "last: 429 slow down" in last


def test_a_notebook_s_bar_is_one_line_of_output(config: Config, tmp_path: Path) -> None:
    """And the kernel has sockets of its own: jupyter_client would give kernels that start in one folder at once the
    first name that is free there."""
    settings = json.dumps(config().model_dump(exclude_none=True))
    code = f"from anytime_lib import *\nimport json\nrun_sweep(RunConfig(**json.loads({settings!r})));"
    code += "\nfrom ipykernel import get_connection_info\nprint(get_connection_info())"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), tmp_path / "in.ipynb")
    _execute(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {})
    outputs = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    (bar,) = [o.data["text/plain"] for o in outputs if o.output_type == "display_data"]
    printed = "".join(o.get("text", "") for o in outputs)
    assert "24/24" in bar and bar.isprintable() and "24/24" not in printed
    about = json.loads(printed[printed.index("{") :])
    assert about["transport"] == "ipc" and Path(about["ip"]).is_absolute()


def test_a_run_says_how_many_problems_go_where(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run_sweep(config(tasks=["aime", "gpqa"], methods=["few_shot"], n_shots=1, pool_problems=3))
    told = capsys.readouterr().out
    assert "aime: problems tested: 3, examples: 1, pool: 3\ngpqa: problems tested: 3" in told


def test_a_run_of_which_nothing_has_changed_stands_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is executed again once its settings, a notebook, the labels, stored cells or the first page are others."""
    executed, folder = list[str](), tmp_path / "run"
    monkeypatch.setattr(report, "_execute", lambda notebook, *_: executed.append(notebook.name))
    monkeypatch.setattr(report, "_write_page", lambda notebook: None)
    monkeypatch.setattr(report, "_write_report", lambda *_: (folder / "index.html").write_text("a page", "utf-8"))
    settings = {"run": str(folder), "model": "simulated", "tasks": ["aime"], "methods": ["base"]}
    settings |= {"n_problems": 2, "n_samples": 1, "budgets": [8, 16], "n_resamples": 100}
    (notebooks := tmp_path / "notebooks").mkdir()
    notebook, params = notebooks / "00_none.ipynb", tmp_path / "params.yaml"

    def again() -> int:
        executed.clear()
        report.run_notebooks(read_yaml(params), notebooks)
        return len(executed)

    for change in (
        lambda: notebook.write_text("1 + 1", "utf-8"),
        lambda: params.write_text(yaml.safe_dump(settings), "utf-8"),
        lambda: params.write_text(yaml.safe_dump(settings | {"seed": 1}), "utf-8"),
        lambda: notebook.write_text("2 + 2", "utf-8"),
        lambda: (folder / "labels.csv").write_text("label", "utf-8"),
        lambda: run_sweep(RunConfig(**settings), progress=False),
        lambda: (folder / "index.html").unlink(),
    ):
        change()
        if params.is_file():
            assert (again(), again()) == (1, 0)
    assert "nothing has changed" in capsys.readouterr().out
