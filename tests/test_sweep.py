"""The sweep against a server on a real socket: what is asked, stored, cut, graded, and what happens when it fails."""

import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import Config, refused
from fake_server import FakeServer, say_something
from http_server import frame, usage_of

from anytime_lib import Store, load_task, run_sweep
from anytime_lib.cli import main
from anytime_lib.errors import ConfigError, DataError, EndpointError
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tools.transcripts import stored_trace


def test_one_trace_serves_every_budget_and_nothing_is_asked_twice(server: FakeServer, config: Config) -> None:
    cells = run_sweep(config(), progress=False)
    assert len(cells) == 3 * 2 * 4
    traces = [r for r in server.requests if r.get("logprobs")]
    assert len(traces) == 6 and all(r["max_tokens"] == 500 for r in traces)
    assert len(server.requests) == 6 + cells.answer_key.nunique()
    assert len({r["seed"] for r in traces}) == 6
    with Store(config().folder / "store.sqlite") as store:
        for (_, _), trace in cells.groupby(["problem_id", "sample"]):
            row = stored_trace(store, trace.trace_key.iloc[0])
            assert row.token_mode == "stream"
            assert trace.tokens_used.tolist() == [2, 5, 9, row.n_tokens]
            assert trace.stopped_naturally.tolist() == [False, False, False, True]
            for cell in trace.itertuples():
                asked = (store.request(cell.answer_key) or {})["messages"]
                whole = row.text.encode()[: row.ends[cell.tokens_used - 1]].decode(errors="ignore")
                assert asked[-2] == {"role": "assistant", "content": whole} and row.text.startswith(whole)
                assert sum(r["messages"] == asked for r in server.requests) == 1
    before = len(server.requests)
    assert run_sweep(config(), progress=False).equals(cells) and len(server.requests) == before
    assert len(run_sweep(config(n_samples=3), progress=False)) == 3 * 3 * 4  # which pays for what is new alone
    assert len(server.requests) - before == 3 * (1 + 4)
    assert run_sweep(config(), progress=False).equals(cells)  # the smaller plan's cells alone


def test_an_answer_is_carried_past_a_natural_end(server: FakeServer, config: Config) -> None:
    server.script = lambda body, n: "Answer: B"
    cells = run_sweep(config(budgets=[2, 3, 400], n_samples=1), progress=False)
    assert len(server.requests) == 3 * (1 + 1)  # the trace has two tokens, and so one cut
    assert set(cells.tokens_used) == {2} and cells.answer_key.nunique() == 3


def test_statuses(server: FakeServer, config: Config) -> None:
    says = {
        "": "empty",
        "[THINK]B?[/THINK]": "empty",
        "I am still thinking": "unparsed",
        "I cannot answer this question.": "refused",
        "C": "ok",
    }
    for text, status in says.items():
        server.script = lambda body, n, text=text: "hm " * 20 if body.get("logprobs") else text  # type: ignore[misc]
        cells = run_sweep(config(run=f"run_{status}{len(text)}"), progress=False)
        assert set(cells.status) == {status}, text
    server.script = lambda body, n: "thinking " * 90
    assert set(run_sweep(config(run="cut"), progress=False).status) == {"answer_truncated"}

    def filtered(body: dict[str, Any], n: int) -> Any:
        if body.get("logprobs"):
            return "hm " * 20
        return 200, frame(body, {"message": {"content": None}, "finish_reason": "content_filter"}, usage=usage_of(1))

    server.script = filtered
    with pytest.raises(EndpointError, match="ended the reply with 'content_filter', and it says nothing"):
        run_sweep(config(run="filtered"), progress=False)


def test_failed_requests_are_errors_not_wrong_answers(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses_long(body: dict[str, Any], n: int) -> Any:
        if body.get("logprobs") or len(body["messages"][-2]["content"]) < 20:
            return say_something(body, n)
        return 400, {"error": {"message": "the request exceeds the context size"}}

    server.script = refuses_long
    with caplog.at_level(logging.WARNING):
        cells = run_sweep(config(), progress=False)
    failed = cells[cells.status == "error"]
    assert 0 < len(failed) < len(cells)
    assert failed.score.isna().all() and failed.correct.isna().all()
    assert "exceeds the context size" in caplog.text and "run again" in caplog.text
    server.script = say_something
    before = len(server.requests)
    assert "error" not in set(run_sweep(config(), progress=False).status)
    assert len(server.requests) - before == failed.groupby(["problem_id", "sample"]).tokens_used.nunique().sum()


async def _at_once(seconds: float) -> None:
    assert 0 < seconds < 40


def test_reasoning_returned_apart_is_what_is_cut(server: FakeServer, config: Config) -> None:
    def apart(body: dict[str, Any], n: int) -> Any:
        if not body.get("logprobs"):
            return say_something(body, n)
        whole = server.completion(body, "the answer is B")
        whole["choices"][0] |= {"logprobs": None, "finish_reason": "length"}
        whole["choices"][0]["message"]["reasoning_content"] = "thinking " * 40
        whole["usage"] |= {"completion_tokens": 90, "completion_tokens_details": {"reasoning_tokens": 80}}
        return 200, whole

    server.script = apart
    cells = run_sweep(config(budgets=[20, 40, 500]), progress=False)
    assert cells.tokens_used.unique().tolist() == [20, 40, 80]
    assert cells.stopped_naturally.tolist() == [False, False, True] * 6
    with Store(config().folder / "store.sqlite") as store:
        trace = stored_trace(store, cells.trace_key[0])
    assert trace.text == "thinking " * 40 and trace.token_mode == "proportional"


@pytest.mark.parametrize("reply", [(404, {"error": "nothing here"}), (404, "<html>no such page</html>"),
                                   (200, "<html>welcome</html>")])  # fmt: skip
def test_an_address_that_is_no_api(server: FakeServer, config: Config, reply: Any) -> None:
    server.script = lambda body, n: reply
    with refused(EndpointError, "/v1"):
        run_sweep(config(), progress=False)


def test_a_secret_in_the_address_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:sk-secret-123@127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL carries") as error:
        run_sweep(config(base_url=None), progress=False)
    assert "sk-secret" not in str(error.value)


def test_without_usable_pairs_the_run_goes_on_and_says_so(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda body, n: "Answer: A"
    with caplog.at_level(logging.WARNING):
        cells = run_sweep(config(methods=["base", "pdp"]), progress=False)
    assert set(cells.method) == {"base"}
    assert "preference pairs: none" in caplog.text and "18 made, 48 cuts that read like another" in caplog.text
    with pytest.raises(DataError, match="no method could be run"):
        run_sweep(config(methods=["pdp"]), progress=False)


def test_a_pool_is_drawn_only_where_it_is_needed(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "aime.jsonl"
    path.write_text("".join(f'{{"problem": "What is {i} + 1?", "answer": {i + 1}}}\n' for i in range(12)), "utf-8")
    of = {"tasks": ["aime"], "source": str(path), "n_problems": 4}
    assert len(split_problems(load_task("aime"), config(**of).task("aime"), 0).test) == 4
    with pytest.raises(DataError, match="name a pool_source"):
        split_problems(load_task("aime"), config(**of | {"methods": ["pdp"]}).task("aime"), 0)
    whole = of | {"pool_source": "none", "n_problems": 12}
    assert len(split_problems(load_task("aime"), config(**whole).task("aime"), 0).test) == 12
    with pytest.raises(DataError, match="pool_source is 'none'; name one, or leave out n_shots"):
        split_problems(load_task("aime"), config(**whole | {"n_shots": 1}).task("aime"), 0)


# What a user can get wrong: one sentence, no traceback, and what was stored stays.


def test_wrong_model_no_server(server: FakeServer, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = lambda body, n: (404, {"error": {"message": "model not found"}})
    with pytest.raises(EndpointError, match=r"does not know the model 'fakr'.*; did you mean 'fake'"):
        run_sweep(config(model="fakr"), progress=False)
    monkeypatch.setattr("anytime_lib.models.endpoint.asyncio.sleep", _at_once)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="is the server running"):
        run_sweep(config(base_url=dead), progress=False)


def test_the_command_line_says_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("modle: x\n", "utf-8")
    for name, says in (
        ("bat", "No such file or directory; did you mean 'bad.yaml'"),
        ("gpt-4.1", "mean 'params/paper/gpt-4.1.yaml'"),
        ("bad", "parameter 'modle'; did you mean 'model'"),
    ):
        assert main(["sweep", str(tmp_path / f"{name}.yaml")]) == 2
        told = capsys.readouterr().err
        assert says in told and told.count("\n") == 1
