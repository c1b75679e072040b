"""Levels of effort in place of budgets: what is sent, billed and stored, and the index on measured tokens."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Config, refused
from fake_server import FakeServer, say_something
from http_server import frame, usage_of
from test_index import cells_of
from test_notebooks import told

from anytime_lib import Store, anytime_index, run_sweep
from anytime_lib.errors import ConfigError, EndpointError
from anytime_lib.stats import compare, efforts, estimate
from anytime_lib.stats.bootstrap import resampled
from anytime_lib.stats.estimate import index_by_tokens, with_tokens
from anytime_lib.sweep.plan import on_measured_tokens
from anytime_lib.tools.estimate import estimate_run
from anytime_lib.tools.transcripts import transcripts

LEVELS = {"low": 20, "medium": 60, "high": 200}
THINKING = {name: {"thinking": {"type": "enabled", "budget_tokens": n}} for name, n in LEVELS.items()}


def thought(body: dict[str, Any], level: str, shown: str = "") -> tuple[int, dict[str, Any]]:
    """A reasoning as long as its level, more or less, and an answer of two tokens."""
    n = LEVELS[level] + body["seed"] % 9
    message = {"role": "assistant", "content": "Answer: B"} | ({shown: "so " * n} if shown else {})
    whole = usage_of(2 if shown else n + 2) | {"completion_tokens_details": {"reasoning_tokens": n}}
    return 200, frame(body, {"message": message, "finish_reason": "stop"}, usage=whole)


def hides(body: dict[str, Any], n: int) -> Any:
    """Reasons out of sight, at three levels, named as OpenAI or as Claude names them, under a cap of another name."""
    own = next((name for name, sent in THINKING.items() if sent["thinking"] == body.get("thinking")), "medium")
    level, words = body.get("reasoning_effort", own), ""
    if "max_tokens" in body:
        words = "'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    elif level not in LEVELS:
        words = f"Unsupported value: 'reasoning_effort' does not support {level!r} with this model."
    return (400, {"error": {"message": words}}) if words else thought(body, level)


def takes_no_cap(body: dict[str, Any], n: int) -> Any:
    """Refuses whatever limits tokens; its reasoning comes apart, and is billed beside the completion."""
    if caps := [name for name in body if "max_" in name]:
        return 400, {"error": f"Argument not supported on this model: {caps[0]}"}
    return thought(body, body["reasoning_effort"], "reasoning_content")


@pytest.mark.parametrize(("script", "levels"), [(hides, ["low", "high"]), (hides, THINKING), (takes_no_cap, [*LEVELS])])
def test_each_level_is_a_run_and_counts_as_billed(server: FakeServer, config: Config, script: Any, levels: Any) -> None:
    server.script = script
    run = config(mode="effort", efforts=levels)
    cells, names = run_sweep(run, progress=False), [*levels]
    assert cells.effort.tolist() == names * 6 and set(cells.status) == {"ok"} and set(cells.answer_tokens) == {0}
    assert (cells.trace_key == cells.answer_key).all() and cells.stopped_naturally.all()
    took = cells.groupby("effort").tokens_used
    assert (cells.budget == took.transform("mean").round()).all() and took.nunique().min() > 1
    assert took.min().sub(pd.Series(LEVELS)).dropna().between(2, 10).all()
    assert run_sweep(run, progress=False).equals(cells)
    sent = [r for r in server.requests if script(r, 0)[0] == 200]
    assert len(sent) == len(cells) and {len(r["messages"]) for r in sent} == {1}
    with Store(run.folder / "store.sqlite", read_only=True) as store:
        assert store.cells().budget.tolist() == [*range(1, len(names) + 1)] * 6
        assert store.requests().query("kind == 'trace'").completion_tokens.sum() == cells.tokens_used.sum()
        texts = transcripts(store, cells)
    assert set(texts.reason) == {"B"} and texts.answer.eq("Answer: B").all() and len(texts) == len(cells)
    assert estimate_run(run).table.calls.sum() == 0


def test_what_cannot_be_is_said(server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """A level that a server refuses is an error in its words; a method that is held to tokens is not run."""
    server.script = hides
    cells = run_sweep(config(mode="effort", efforts=["minimal", "low"]), progress=False)
    assert cells.status.tolist() == ["error", "ok"] * 6 and "does not support 'minimal'" in caplog.text
    with refused(EndpointError, "every request failed.*'reasoning_effort' does not support"):
        run_sweep(config(run="none", mode="effort", efforts=["minimal", "none"]), progress=False)
    for method in ("budget_prompt", "self_consistency", "direct", "pdp_at_budget"):
        with refused(ConfigError, f"{method} is held to tokens, and a level of effort is none"):
            run_sweep(config(methods=[method], mode="effort", efforts=["low", "high"]), progress=False)


def by_level(quality: np.ndarray, tokens: np.ndarray, method: str = "base") -> pd.DataFrame:
    """Cells of (P, S, 3) quality and tokens, as a store has them."""
    cells, n = cells_of(quality, method), quality.size // 3
    return cells.assign(tokens_used=tokens.ravel(), effort=[*LEVELS] * n, budget=[1, 2, 3] * n)


def drawn(seed: int, method: str = "base") -> pd.DataFrame:
    rng, size = np.random.default_rng(seed), (12, 2, 3)
    tokens = rng.lognormal(np.log([100, 400, 1600]), 0.3, size).round()
    return by_level((rng.random(size) < [0.3, 0.5, 0.8]).astype(float), tokens, method)


def test_the_index_is_of_the_tokens_that_a_resample_took() -> None:
    arm, how = on_measured_tokens(drawn(3)), ([1, 2, 3], index_by_tokens())
    quality, tokens = with_tokens(arm)
    found = estimate(arm, n_resamples=400, seed=5).iloc[0]
    assert found["index"] == pytest.approx(anytime_index(tokens.mean((0, 1)), quality.mean((0, 1))))
    assert found.low < found["index"] < found.high and found.n_problems == 12
    rows = np.random.default_rng(5).integers(12, size=(40, 12))
    by_hand = [anytime_index(tokens[which].mean((0, 1)), quality[which].mean((0, 1))) for which in rows]
    assert resampled(np.stack([quality, tokens]), *how, 40, 5) == pytest.approx(np.array(by_hand))
    same = by_level(np.tile([0.0, 0.5, 1.0], (12, 2, 1)), tokens)  # quality does not vary, what levels take does
    assert resampled(with_tokens(same), *how, 200, 0).std() > 0.005


def test_what_levels_took_stands_in_their_place() -> None:
    """Of all methods of a task; ties are kept apart, and a level that failed took nothing."""
    failed = by_level(np.tile([0.5, 0.5, np.nan], (2, 2, 1)), np.tile([500.0, 499.6, np.nan], (2, 2, 1)))
    assert on_measured_tokens(failed).budget.tolist() == [501, 500, 1] * 4
    both = on_measured_tokens(pd.concat([drawn(1), drawn(2, "pdp")], ignore_index=True))
    assert (both.budget == both.groupby("effort").tokens_used.transform("mean").round()).all()
    assert compare(both, "base", "pdp", n_resamples=100).n_problems == 12
    table, low = efforts(both, n_resamples=100), both[(both.method == "base") & (both.effort == "low")]
    assert table.effort.tolist() == [*LEVELS] * 2 and (table.tokens_low < table.tokens).all()
    assert table.tokens[0] == pytest.approx(low.tokens_used.mean()) and table.low.notna().all()


def test_notebooks_say_what_levels_took(server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    level = "reasoning_effort"
    server.script = lambda body, n: thought(body, body[level], "reasoning") if level in body else say_something(body, n)
    own = {"methods": ["base", "pdp"], "budgets": [4, 8, 500], "pool_problems": 2, "n_resamples": 100}
    run = config(mode="effort", efforts=[*LEVELS], **own)
    stems = "01_baseline_sweeps", "03_improved_runs", "04_statistical_analysis", "11_when_to_stop"
    curves, gained, judged, stop = (told(stem, run.model_dump(exclude_none=True), monkeypatch) for stem in stems)
    assert "gpqa, base: a run took low 2" in curves and "pdp: a run took low 2" in gained
    assert "pdp against base is" in judged and "nan" not in f"{curves} {gained} {judged}".split()
    assert "a sample has several traces, and a rule goes on with one" in stop
