"""How does a run look in Inspect? One eval log for each (run, model, task, method), scored at every budget.

Needs the extra `anytime-lib[inspect]`. A sample is one trace: the problem is its input, the reasoning its output, and
`at_64` the score of the answer forced after 64 tokens. Where a cell is an error there is no score, as Inspect has it
for what was not scored; a sample whose every cell is one has the error. Texts pass the same gate as in every export.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from inspect_ai.log import EvalLog, write_eval_log

from anytime_lib.files import replace_file
from anytime_lib.index import ARM
from anytime_lib.store import Store
from anytime_lib.sweep.plan import on_measured_tokens
from anytime_lib.tools.export import Gate
from anytime_lib.types import digest

_ABOUT = ["budget", "tokens_used", "answer_tokens", "status", "correct", "stopped_naturally", "answer_key"]
_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


def write_logs(store: Store, folder: Path) -> list[Path]:
    """Write the logs of a store into a folder; returns their paths. Memory is that of the largest arm's texts."""
    gate, paths = Gate(store), []
    asked = {str(task): (own.min(), own.max()) for task, own in store.requests().groupby("task").created}
    problems = {(row["task"], row["id"]): row for rows in gate.rows("problems") for row in rows}
    for arm, cells in on_measured_tokens(store.cells()).groupby(ARM, sort=False):
        run, model, task, method = map(gate.name, arm)
        cells = cells.astype(object).where(cells.notna(), None)
        samples = [
            _sample(gate, task, model, own, problems.get((task, id), {"text": "", "gold": None}))
            for (id, _), own in cells.groupby(["problem_id", "sample"], sort=False)
        ]
        began, ended = (datetime.fromtimestamp(t, UTC).isoformat(timespec="seconds") for t in asked.get(task, (0, 0)))
        scores = []
        for budget, answers in cells.groupby("budget"):
            graded = answers[answers.status != "error"].rename(columns={"score": "mean"})
            own = graded[["mean", "correct"]].astype(float)
            metrics = {name: {"name": name, "value": value} for name, value in own.mean().dropna().items()}
            counts = {"scored_samples": len(own), "unscored_samples": len(samples) - len(own)}
            scores.append({"name": f"at_{budget}", "scorer": f"at_{budget}", "metrics": metrics} | counts)
        ids = {"eval_id": digest(list(arm))[:22], "task_id": digest(list(arm[:3]))[:22], "created": began}
        who = {"task": task, "task_args": {"run": run, "method": method}, "solver": method, "model": model}
        dataset, epochs = {"name": task, "samples": cells.problem_id.nunique()}, cells["sample"].nunique()
        whole: dict[str, Any] = {"status": "success", "samples": samples}
        whole["eval"] = ids | who | {"dataset": dataset, "config": {"epochs": epochs}}
        whole["stats"] = {"started_at": began, "completed_at": ended}
        completed = sum(not sample["error"] for sample in samples)
        whole["results"] = {"total_samples": len(samples), "completed_samples": completed, "scores": scores}
        log = EvalLog.model_validate(whole)
        words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{task}-{method}")
        paths.append(folder / f"{began.replace(':', '-')}_{words}_{log.eval.eval_id}.eval")
        with replace_file(paths[-1]) as part, ThreadPoolExecutor(1) as thread:  # its own loop, also in a notebook
            thread.submit(write_eval_log, log, part, "eval").result()
    return paths


def _sample(gate: Gate, task: str, model: str, cells: pd.DataFrame, problem: dict[str, Any]) -> dict[str, Any]:
    """One trace with the answers forced from it."""
    store, first = gate.store, cells.iloc[0].to_dict()
    key, scores, failed = first["trace_key"] or "", {}, {}
    answers = {key: store.get(key) or {} for key in cells.answer_key.unique() if key}
    for cell in cells.to_dict("records"):
        detail, said = gate.text(task, cell["detail"]), answers.get(cell["answer_key"], {}).get("text")
        if cell["status"] == "error":
            failed[str(cell["budget"])] = detail
        else:
            about = {name: cell[name] for name in _ABOUT}
            score = {"value": cell["score"], "answer": detail, "explanation": gate.text(task, said), "metadata": about}
            scores[f"at_{cell['budget']}"] = score
    trace, asked = store.get(key), (store.request(key) or {}).get("messages", [])
    messages = [{"role": turn["role"], "content": gate.text(task, turn["content"])} for turn in asked]
    choices = []
    if trace:
        parts = [{"type": kind, kind: gate.text(task, trace[kind])} for kind in ("reasoning", "text") if trace[kind]]
        messages.append({"role": "assistant", "content": parts})
        choices.append({"message": messages[-1], "stop_reason": _STOPS.get(trace["finish_reason"], "unknown")})
    prompt, cached, written, reasoning = (
        sum(row.get(f"{name}_tokens") or 0 for row in (trace or {}, *answers.values()))
        for name in ("prompt", "cached", "completion", "reasoning")
    )
    usage = {"input_tokens": prompt - cached, "input_tokens_cache_read": cached, "output_tokens": written}
    usage |= {"total_tokens": prompt + written, "reasoning_tokens": reasoning}
    error = None if scores else {"message": next(iter(failed.values())), "traceback": "", "traceback_ansi": ""}
    sample = {"id": gate.name(first["problem_id"]), "epoch": first["sample"] + 1, "input": problem["text"]}
    sample |= {"target": problem["gold"] or "", "messages": messages, "scores": scores, "model_usage": {model: usage}}
    sample |= {"output": {"model": model, "choices": choices}, "metadata": {"trace_key": key, "errors": failed}}
    return sample | {"error": error}
