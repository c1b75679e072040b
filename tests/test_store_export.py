"""What leaves a store: everything that may, nothing that must not, whoever wrote the texts."""

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from anytime_lib import Store
from anytime_lib.cli import main
from anytime_lib.errors import DataError
from anytime_lib.store import CELL_COLUMNS, COLUMNS, tidy
from anytime_lib.tools.explain import explain
from anytime_lib.tools.export import FORMATS, export
from anytime_lib.types import Problem, digest

CANARY = "CANARY-7f3a"
KEY = "qz-canary-9911-key"
SHAPED = "sk-" + "a1" * 12
HOSTILE = "</script><script>alert(1)</script>\u2028=cmd|' /C calc'!A0\x00\x1b[2J \ud800 | # ![x](y)"


def ask(store: Store, task: str, kind: str, content: str, said: str, **more: Any) -> str:
    who = {"kind": kind, "model": "m/1", "endpoint": "https://e/v1"}
    usage = {"prompt_tokens": 5, "cached_tokens": 1, "completion_tokens": 3}
    request = who | {"temperature": 0.5, "messages": [{"role": "user", "content": content}], "stop": [content]}
    reply = {"text": said, "reasoning": said, "finish_reason": "stop", "ends": [1, 2], "first": {said: 0.0},
             "usage": {"echo": said}, **usage}  # fmt: skip
    row = {"key": digest([task, kind, content]), "task": task, "method": "base", "request": request, "response": reply,
           "status": "ok", "seconds": 0.5, "created": 1.7e9, **who, **usage}  # fmt: skip
    store.put(**row | more)
    return str(row["key"])


def cells(task: str, problem: str, trace: str, answer: str, detail: str) -> list[dict[str, Any]]:
    plain = {"run": "r", "model": "m/1", "task": task, "problem_id": problem, "method": "base", "sample": 0,
             "answer_tokens": 3, "score": 0.25, "correct": False, "status": "ok", "stopped_naturally": True,
             "trace_key": trace, "answer_key": answer, "detail": detail}  # fmt: skip
    failed = {"score": None, "correct": None, "status": "error", "answer_key": None, "detail": f"server: {detail}"}
    return [plain | {"budget": b, "tokens_used": b} | (failed if b == 256 else {}) for b in (16, 64, 256)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A public task with hostile and key-bearing texts, one with a private problem, one that the run does not know."""
    with Store(tmp_path / "run" / "store.sqlite") as found:
        found.add_problems([
            Problem("p1", "open", f"How far is it? {SHAPED}", {"km": 5}, {"level": 1}),
            Problem("s1", "secret", f"{CANARY} question", f"{CANARY} gold", {"private": True, "explanation": CANARY}),
            Problem("s2", "secret", "an open one of that task", "B"),
        ])  # fmt: skip
        trace = ask(found, "open", "trace", f"How far? {KEY}", f"{HOSTILE} {SHAPED}")
        answer = ask(found, "open", "answer", "Answer now.", f"5 km {KEY}")
        found.put_cells(cells("open", "p1", trace, answer, f"5 km {HOSTILE}"))
        failed = {"response": {"error": f"cannot read {CANARY}"}, "status": "error"}
        for task in ("secret", "unknown"):
            trace = ask(found, task, "trace", f"{CANARY} question", f"I think {CANARY}")
            ask(found, task, "judge", f"compare {CANARY}", f"{CANARY} is best")
            answer = ask(found, task, "answer", f"{CANARY} again", CANARY)
            ask(found, task, "answer", f"{CANARY} failing", "", **failed)
            found.put_cells(cells(task, "s1", trace, answer, CANARY))
        found.put_cells([cells("open", "p2", "", "", "gone")[2] | {"trace_key": None, "effort": "low"}])
        yield found


def bytes_of(paths: list[Path]) -> bytes:
    """Everything in the files, decompressed: Parquet as its values, archives as their members."""
    parts = [path.name.encode() + path.read_bytes() for path in paths]
    parts += [pd.read_parquet(path).to_json().encode() for path in paths if path.suffix == ".parquet"]
    for archive in [zipfile.ZipFile(path) for path in paths if path.suffix == ".eval"]:
        with archive:
            parts += map(archive.read, archive.namelist())
    return b"".join(parts)


@pytest.mark.parametrize("format", FORMATS)
def test_private_texts_and_keys_never_leave(
    store: Store, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "inspect":
        pytest.importorskip("inspect_ai", reason="the extra anytime-lib[inspect] is not installed")
    monkeypatch.setenv("SOME_PROVIDER_KEY", KEY)  # stored before it was known: found on the way out
    paths = export(store, tmp_path / "out", format)
    assert sorted(p for p in (tmp_path / "out").rglob("*") if p.is_file()) == sorted(paths)
    whole = bytes_of(paths)
    assert b"withheld: " in whole and b"[key withheld]" in whole and b"How far" in whole
    for canary in (CANARY, KEY, SHAPED):
        assert canary.encode() not in whole


def test_without_a_private_problem_the_canaries_would_be_seen(store: Store, tmp_path: Path) -> None:
    """The test above can fail."""
    store.add_problems([Problem("s1", "secret", f"{CANARY} question", 0), Problem("u", "unknown", "", 0)])
    whole = bytes_of(export(store, tmp_path, "parquet"))
    assert whole.count(CANARY.encode()) > 8 and KEY.encode() in whole


def test_parquet_and_json_lines_hold_the_same_tables(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path, "parquet")
    export(store, tmp_path, "jsonl")
    tables = {}
    for name, columns in COLUMNS.items():
        frame = pd.read_parquet(tmp_path / f"{name}.parquet")
        lines = (tmp_path / f"{name}.jsonl").read_bytes().decode("ascii").splitlines()
        rows = tables[name] = [json.loads(line) for line in lines]
        assert len(frame) == len(rows) > 0 and list(frame.columns) == list(columns) == list(rows[0])
        assert frame.iloc[:, 0].tolist() == [row[frame.columns[0]] for row in rows]
    cells = tidy(pd.read_parquet(tmp_path / "cells.parquet"))
    assert cells.score.isna().sum() == 4
    pd.testing.assert_frame_equal(cells.drop(columns="detail"), store.cells().drop(columns="detail"), check_dtype=False)
    request = next(r for r in tables["requests"] if r["task"] == "open" and r["kind"] == "trace")
    assert request["messages"][0]["content"].startswith("How far") and request["ends"] == [1, 2]
    assert json.loads(request["settings"])["temperature"] == 0.5
    (problem,) = [p for p in tables["problems"] if p["task"] == "open"]
    assert json.loads(problem["gold"]) == {"km": 5} and json.loads(problem["metadata"]) == {"level": 1}


def test_the_hugging_face_folder_loads_offline(store: Store, tmp_path: Path) -> None:
    store.put_cells([c | {"model": "<b>m</b>|`x`\n# _H_"} for c in cells("open", "p1", "t", "a", "")])
    export(store, folder := tmp_path / "hub folder", "huggingface")
    loading = "\n".join([
        "import sys, datasets",
        f"for name in {[*COLUMNS]}:",
        "    print(name, datasets.load_dataset(sys.argv[1], name, cache_dir=sys.argv[2])['train'].num_rows)",
        "print(datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])['train'].column_names)",
    ])  # fmt: skip
    command = [sys.executable, "-c", loading, str(folder), str(tmp_path / "cache")]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    *counts, columns = done.stdout.splitlines()
    assert counts == ["cells 13", "problems 3", "requests 10", "attempts 10"], done.stderr[-2000:]
    assert columns == str(CELL_COLUMNS)
    _, front, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "other"
    assert "texts of secret, unknown are withheld" in body and "store schema" in body
    assert "| r | m/1 | open | base | 2 | 1 | 3 | 4 | 2 |" in body
    assert "| r | &lt;b&gt;m&lt;/b&gt;\\|\\`x\\` \\# \\_H\\_ | open |" in body and "<b>" not in body


def test_inspect_opens_the_logs(store: Store, tmp_path: Path) -> None:
    log_reader = pytest.importorskip("inspect_ai.log", reason="the extra anytime-lib[inspect] is not installed")

    async def from_a_notebook() -> list[Path]:
        return export(store, tmp_path / "logs", "inspect")

    paths = asyncio.run(from_a_notebook())
    assert len(log_reader.list_eval_logs(str(tmp_path / "logs"))) == len(paths) == 3
    log = {log.eval.task: log for log in map(log_reader.read_eval_log, map(str, paths))}["open"]
    assert log.status == "success" and log.eval.model == "m/1" and log.eval.solver == "base"
    sample, failed = log.samples
    assert sample.id == "p1" and sample.epoch == 1 and sample.input.startswith("How far")
    assert {name: score.value for name, score in sample.scores.items()} == {"at_16": 0.25, "at_64": 0.25}
    assert sample.scores["at_16"].explanation.startswith("5 km") and sample.metadata["errors"]["256"]
    usage = sample.model_usage["m/1"]  # the trace and one answer, which two budgets share
    assert (usage.input_tokens, usage.input_tokens_cache_read, usage.output_tokens) == (8, 2, 6)
    assert failed.id == "p2" and failed.error.message == "server: gone" and not failed.scores
    at_16, _, at_256 = log.results.scores
    assert at_16.metrics["mean"].value == 0.25 and at_16.scored_samples == 1 and at_256.metrics == {}


def test_mistakes_are_one_sentence(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="unknown export format 'parkett'; did you mean 'parquet'"):
        export(store, tmp_path, "parkett")
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(DataError, match="cannot export to"):
        export(store, tmp_path / "file" / "x")
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    monkeypatch.delitem(sys.modules, "anytime_lib.tools.inspect_logs", raising=False)
    with pytest.raises(DataError, match=r"pip install 'anytime-lib\[inspect\]'"):
        export(store, tmp_path / "logs", "inspect")
    assert main(["export", str(store.path), str(tmp_path / "out"), "--format", "jsonl"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / f"{t}.jsonl") for t in COLUMNS]
    with Store(tmp_path / "store.sqlite") as other, pytest.raises(DataError, match="of the run r, and these are of"):
        export(other, tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_what_cannot_be_written_leaves_no_half_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cells.jsonl.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left"):
        export(store, tmp_path / "out", "jsonl")
    assert list((tmp_path / "out").iterdir()) == []


# Why was that not cached? The fields are named, and nothing private is shown.


def put(store: Store, problem: int = 0, sample: int = 0, status: str = "ok", **more: Any) -> str:
    text = f"Canary question number {problem} about a very long trip through Europe, please plan it."
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    about = {"kind": "trace", "model": "m", "endpoint": "e"}
    request = about | {"sample": sample, "messages": messages, "max_tokens": 64, "temperature": 0.7} | more
    usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 1)
    row = about | {"kind": request["kind"], "task": "open", "method": "base", "status": status}
    store.put(key=(key := digest(request)), request=request, response={}, **row, **usage)
    return key


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite") as found:
        for problem in range(3):
            for sample in range(2):
                put(found, problem, sample)
        yield found


def test_a_changed_setting_is_named(asked: Store) -> None:
    key = put(asked, 2, 1, "error", temperature=0.6, top_p=0.9)
    told = explain(asked, key).splitlines()
    assert "is asked again" in told[0] and put(asked, 2, 1)[:12] in told[1]
    assert told[2:] == ["  temperature: here 0.6, there 0.7", "  top_p: here 0.9, there (not there)"]


def test_texts_are_told_by_length_and_hash(asked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "canary-4711-canary")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Canary of another kind"}]
    told = explain(asked, key := put(asked, 1, 1, model="canary-4711-canary", messages=messages))
    assert "messages[1]: here '[text of open withheld: 28 characters, sha256 " in told and "model: here" in told
    assert not any(word in told for word in ("Canary", "trip", "4711"))
    asked.add_problems([Problem("p", "open", "known by now", "?")])
    assert "]: here 'user: Canary of another kind', there 'user: Canary question" in explain(asked, key)


def test_by_the_start_of_a_key(asked: Store, capsys: pytest.CaptureFixture[str]) -> None:
    key = put(asked, kind="judge")
    main(["explain", key[:20], str(asked.path)])
    assert "no other request of its kind" in capsys.readouterr().out
    for start, match in (("zz", "no request whose key starts"), ("", "more than one"), ("%", "no request")):
        with pytest.raises(DataError, match=match):
            explain(asked, start)
