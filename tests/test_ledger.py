"""What a run costs, before and after: the estimate, the ledger, prices, and the smallest effect a design finds."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Config
from fake_server import FakeServer, say_something
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError
from anytime_lib.models.tokens import cut
from anytime_lib.sweep.costs import Price, load_prices, price_of
from anytime_lib.sweep.ledger import against_fresh, ledger_summary, ledger_table
from anytime_lib.tools.estimate import estimate_run, made_up_reply, marks_in


@pytest.fixture
def config(config: Config) -> Config:
    return lambda **settings: config(**({"methods": ["base", "pdp"], "pool_problems": 2, "pool_samples": 3} | settings))


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.yaml"
    path.write_text("- {model: fake, input: 2, cached: 1, output: 10, date: 2026-01-01, source: a test}", "utf-8")
    return str(path)


def calls(config: RunConfig) -> int:
    return int(estimate_run(config).table.calls.sum())


def test_an_estimate_sends_nothing_and_counts_what_the_run_then_asks(
    server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as sealed:
        for way in ("connect", "connect_ex", "bind", "sendto"):
            sealed.setattr(socket.socket, way, lambda *a, **k: pytest.fail("a socket was used"))
        found = estimate_run(config(), tokens_per_second=100)
    assert not server.requests and not config().folder.exists()
    t = found.table.set_index(["method", "kind"])
    assert t.calls["base", "trace"] == t.calls["pdp", "trace"] == 6
    assert t.calls["base", "answer"] == 24
    assert (t.calls["synthesis", "synthesis"], t.calls["synthesis", "judge"]) == (2 * 3 * 5, 2 * 3 * 2 * 4)
    assert t.output_high["base", "trace"] == 6 * 500
    assert "no price is known for 'fake'" in found.summary and "time: 0:00:" in found.summary
    run_sweep(config(), progress=False)
    assert len(server.requests) <= t.calls.sum()
    assert repr(estimate_run(config())).startswith("nothing is left to ask (138 requests are stored)\ngpqa: ")


def test_an_estimate_fetches_no_weights(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANYTIME_GGUF", raising=False)
    monkeypatch.setattr("anytime_lib.models.weights.fetch", lambda model: pytest.fail("the weights were fetched"))
    found = estimate_run(config(model="embedded", base_url=None, methods=["base"]))
    assert found.table.calls.sum() == 30 and "price of embedded" in found.summary


def test_an_estimate_subtracts_what_is_stored(server: FakeServer, config: Config) -> None:
    run_sweep(config(), progress=False)
    for more, new in (({"n_samples": 3}, 2 * 3 * 5), ({"budgets": [2, 5, 9, 12, 500], "methods": ["base"]}, 6)):
        before = len(server.requests)
        told = calls(config(**more))
        run_sweep(config(**more), progress=False)
        assert told == len(server.requests) - before == new
    with Store(config().folder / "store.sqlite") as store:
        traces = store.attempts().query("kind == 'trace' and method == 'base'")
        of = traces[["kind", "method", "model", "endpoint", "status"]].iloc[0].to_dict() | {"task": "unknown here"}
        of |= dict.fromkeys(["prompt_tokens", "cached_tokens", "completion_tokens", "seconds"], 1)
        store.put(key="another", request={}, response={}, **of)
    found = estimate_run(config(n_samples=4))
    assert "time: 0:" in found.summary and "(0 of the plan" not in found.summary  # at the rate that was measured
    t = found.table.set_index(["method", "kind"]).loc[("base", "trace")]
    assert t.output_middle == pytest.approx(t.output_high * traces.completion_tokens.mean() / 500)
    assert "as long as stored traces of gpqa" in found.summary


@pytest.mark.parametrize("stopped_at", [3, 17, 29])
def test_an_estimate_of_a_run_that_was_stopped(server: FakeServer, config: Config, stopped_at: int) -> None:
    server.script = lambda body, n: say_something(body, n) if n <= stopped_at else (401, {"error": {"message": "no"}})
    settings = config(methods=["base"], concurrency=2)
    with pytest.raises(Exception, match="refuses the key"):
        run_sweep(settings, progress=False)
    server.script = say_something
    told, before = calls(settings), len(server.requests)
    run_sweep(settings, progress=False)
    assert len(server.requests) - before == told == 30 - stopped_at


def test_dollars_are_a_range_by_the_table(config: Config, prices: str) -> None:
    found = estimate_run(config(methods=["base"], prices=prices))
    t = found.table
    assert t.dollars_high.sum() == pytest.approx((2 * t.prompt_high.sum() + 10 * t.output_high.sum()) / 1e6)
    assert 0 < t.dollars_low.sum() < t.dollars_middle.sum() < t.dollars_high.sum()
    cached = t.prompt_middle[t.kind == "answer"].sum()  # at half the price
    paid = 2 * t.prompt_middle.sum() - cached + 10 * t.output_middle.sum()
    assert t.dollars_middle.sum() == pytest.approx(paid / 1e6) and (t.output_middle == t.output_high / 2).all()
    assert "(price of fake, 2026-01-01)" in found.summary


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_made_up_reply_is_short_and_as_long_as_it_says(cap: int, budget: int) -> None:
    text, ends = made_up_reply(cap)
    so_far = cut("12345678" + text, ends, budget)
    tokens = int((2 ** marks_in(so_far)).sum())
    assert len(ends) == cap and len(text) < 128 + 64 * 8
    assert tokens == pytest.approx(min(cap, budget), rel=1 / 64)
    assert tokens == budget or budget > cap or budget & (budget - 1)  # exact at powers of two


@pytest.mark.parametrize("n", [1, 2])
def test_a_design_that_can_find_nothing_says_so(config: Config, n: int) -> None:
    told = estimate_run(config(methods=["base"], n_problems=n)).summary
    assert f"gpqa: no difference could be found with n = {n}" in told and "would be found" not in told


def test_the_command_line(
    server: FakeServer, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(yaml.safe_dump(config(methods=["base"]).model_dump(exclude_none=True)), "utf-8")

    def anytime(command: str) -> str:
        code, told = main([command, str(params)]), capsys.readouterr()
        assert code == (2 if "no run at" in told.err else 0), told.err
        return told.out + told.err

    assert "30 calls to make" in anytime("estimate") and not server.requests
    assert "no run at" in anytime("ledger")
    assert "tokens:" in anytime("sweep")
    told = anytime("ledger")
    assert "fresh_total" in told and "of them reasoning" in told


def test_the_ledger_adds_up(server: FakeServer, config: Config, prices: str) -> None:
    def sometimes(body: dict[str, Any], n: int) -> Any:
        if n == 5:  # billed, and nothing came of it
            return 200, server.completion(body, "hm hm") | {"choices": []}
        return say_something(body, n)

    server.script = sometimes
    run_sweep(config(concurrency=1), progress=False)
    run_sweep(config(concurrency=1), progress=False)
    with Store(config().folder / "store.sqlite") as store:
        table, fresh = ledger_table(store, prices), against_fresh(store, prices)
        kinds = table.groupby("kind").requests.sum()
    assert set(kinds.index) == {"trace", "answer", "synthesis", "judge", "probe", "retry"}
    assert len(server.requests) + len(server.probes) == table.requests.sum()
    assert kinds["retry"] == kinds["probe"] == len(server.probes) == 1
    assert table.share.sum() == pytest.approx(1)
    spent = 2 * table.prompt_tokens.sum() + 10 * table.completion_tokens.sum()
    assert table.dollars.sum() == pytest.approx(spent / 1e6)
    base = fresh.set_index("method").loc["base"]
    assert base.fresh_reasoning_tokens == 6 * (2 + 5 + 9) + base.reasoning_tokens  # all traces ended by themselves
    answers = table.set_index(["method", "kind"]).completion_tokens["base", "answer"]
    assert base.total == 6 * 10 * (1 + 4) + base.reasoning_tokens + answers
    assert base.fresh_total == 6 * 10 * (4 + 4) + base.fresh_reasoning_tokens + answers
    assert base.ratio == pytest.approx(base.total / base.fresh_total) and base.ratio < 1
    assert base.dollars < base.fresh_dollars
    assert "of them reasoning" in ledger_summary(table) and "$" in ledger_summary(table)


# Prices.


def test_the_table_that_comes_with_the_package() -> None:
    table = load_prices()
    named = {p.model for p in table}
    assert {"grok-3", "grok-3-mini", "gpt-4.1", "gpt-4o", "gpt-oss-120b"} <= named
    assert any("llama" in name for name in named)
    for p in table:
        assert 0 <= (p.cached or 0) <= p.input <= p.output and p.date and p.source


@pytest.mark.parametrize(
    ("model", "endpoint", "host"),
    [
        ("gpt-4o-2024-08-06", "https://api.openai.com/v1", "api.openai.com"),
        ("openai/gpt-oss-120b", "https://api.groq.com/openai/v1", "api.groq.com"),
        ("gpt-oss-120b", "https://api.cerebras.ai/v1", "api.cerebras.ai"),
        ("x-ai/grok-3-mini", "https://openrouter.ai/api/v1", "api.x.ai"),
        ("Grok-3", "https://api.x.ai/v1", "api.x.ai"),
    ],
)
def test_names_with_dates_and_prefixes(model: str, endpoint: str, host: str) -> None:
    found = price_of(model, endpoint)
    assert found is not None and found.host == host


def test_what_has_no_price() -> None:
    assert price_of("gpt-4o-audio-preview", "https://api.openai.com/v1") is None
    assert price_of("nobody-knows-me", "http://127.0.0.1:1/v1") is None
    free = price_of("SmolLM2", "embedded")
    assert free is not None and free.dollars(1e6, 0, 1e6) == 0
    with pytest.raises(ConfigError, match="cannot read the prices"):
        load_prices("/nowhere/prices.yaml")


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_cached_tokens_are_part_of_the_prompt(prompt: int, cached: int, completion: int) -> None:
    cached = min(cached, prompt)
    price = Price("m", 2.0, 10.0, 0.5)
    whole = price.dollars(prompt, 0, completion)
    assert price.dollars(prompt, cached, completion) == pytest.approx(whole - cached * 1.5e-6, abs=1e-9)
