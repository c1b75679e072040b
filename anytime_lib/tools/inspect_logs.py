"""How does a run look in Inspect? One eval log for each (run, model, task, method), scored at every budget.

Needs the extra `anytime-lib[inspect]`. A sample is one trace: the problem is its input, the reasoning its output, and
`at_64` the score of the answer forced after 64 tokens. Where a cell is an error there is no score, as Inspect has it
for what was not scored; a sample whose every cell is one has the error. Texts pass the same gate as in every export.
"""

from __future__ import annotations

import re
import statistics
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import inspect_ai.log as logs
import inspect_ai.model as models
from inspect_ai.scorer import Score

from anytime_lib.store import Store
from anytime_lib.tools.gate import Gate, rows_of
from anytime_lib.types import digest, replace_file

_ABOUT = ("budget", "tokens_used", "answer_tokens", "status", "correct", "stopped_naturally", "answer_key")
_ROLES = {"system": models.ChatMessageSystem, "assistant": models.ChatMessageAssistant}
_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


def write_logs(store: Store, folder: Path) -> list[Path]:
    """Write the logs of a store into a folder; returns their paths. Memory is that of the largest arm's texts."""
    gate, paths = Gate(store), []
    problems = {(row["task"], row["id"]): row for rows in rows_of(store, "problems") for row in rows}
    with store.snapshot() as db:
        arms = db.execute("SELECT DISTINCT run, model, task, method FROM cells ORDER BY 1, 2, 3, 4").fetchall()
        about = "SELECT min(created), max(created), max(endpoint) FROM requests WHERE task = ?"
        asked = {task: db.execute(about, (task,)).fetchone() for _, _, task, _ in arms}
    for arm in arms:
        log = _log(store, gate, arm, asked[arm[2]], problems)
        words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{arm[2]}-{arm[3]}")
        paths.append(folder / f"{log.eval.created.replace(':', '-')}_{words}_{log.eval.eval_id}.eval")
        with replace_file(paths[-1]) as part, ThreadPoolExecutor(1) as thread:  # its own loop, also in a notebook
            thread.submit(logs.write_eval_log, log, part, "eval").result()
    return paths


def _log(store: Store, gate: Gate, arm: tuple[str, ...], asked: tuple[Any, ...], problems: Any) -> logs.EvalLog:
    run, model, task, method = map(gate.name, arm)
    cells = store.cells(**dict(zip(("run", "model", "task", "method"), arm, strict=True)))
    cells = cells.astype(object).where(cells.notna(), None)
    samples = [
        _sample(store, gate, task, model, part.to_dict("records"), problems)
        for _, part in cells.groupby(["problem_id", "sample"], sort=False)
    ]
    *times, endpoint = asked
    began, ended = (datetime.fromtimestamp(t or 0, UTC).isoformat(timespec="seconds") for t in times)
    budgets = sorted(set(cells.budget))
    spec = logs.EvalSpec(
        eval_id=digest(list(arm))[:22], run_id=digest(run)[:22], task_id=digest([run, model, task])[:22], created=began,
        task=task, task_args={"run": run, "method": method}, solver=method, model=model,
        model_base_url=gate.name(endpoint), config=logs.EvalConfig(epochs=cells["sample"].nunique()),
        dataset=logs.EvalDataset(name=task, samples=cells.problem_id.nunique()),
        packages={"anytime-lib": version("anytime-lib")}, metadata={"budgets": budgets},
    )  # fmt: skip
    usage = sum((sample.model_usage[model] for sample in samples), models.ModelUsage())
    results = logs.EvalResults(
        total_samples=len(samples), completed_samples=sum(sample.error is None for sample in samples),
        scores=[_summary(f"at_{budget}", samples) for budget in budgets],
    )  # fmt: skip
    stats = logs.EvalStats(started_at=began, completed_at=ended, model_usage={model: usage})
    return logs.EvalLog(status="success", eval=spec, samples=samples, stats=stats, results=results)


def _summary(name: str, samples: list[logs.EvalSample]) -> logs.EvalScore:
    scores = [sample.scores[name] for sample in samples if sample.scores and name in sample.scores]
    values = {"mean": [s.as_float() for s in scores], "correct": [bool((s.metadata or {})["correct"]) for s in scores]}
    metrics = {m: logs.EvalMetric(name=m, value=statistics.fmean(v)) for m, v in values.items() if v}
    counts = {"scored_samples": len(scores), "unscored_samples": len(samples) - len(scores)}
    return logs.EvalScore(name=name, scorer=name, metrics=metrics, **counts)


def _sample(
    store: Store, gate: Gate, task: str, model: str, cells: list[dict[Any, Any]], problems: Any
) -> logs.EvalSample:
    """One trace with the answers forced from it."""
    first, scores, failed = cells[0], {}, {}
    known = problems.get((task, first["problem_id"]), {"text": "", "gold": None})
    answers = {key: (store.get(key) if key else None) or {} for key in {cell["answer_key"] for cell in cells}}
    for cell in cells:
        detail = gate.text(task, cell["detail"])
        if cell["status"] == "error":
            failed[str(cell["budget"])] = detail
            continue
        said, about = gate.text(task, answers[cell["answer_key"]].get("text")), {name: cell[name] for name in _ABOUT}
        scores[f"at_{cell['budget']}"] = Score(value=cell["score"], answer=detail, explanation=said, metadata=about)
    key = first["trace_key"] or ""
    trace = store.get(key) or {}
    messages = [
        _ROLES.get(m["role"], models.ChatMessageUser)(content=gate.text(task, m["content"]))
        for m in (store.request(key) or {}).get("messages", [])
    ]
    choices = []
    if trace:
        reasoning, text = (gate.text(task, trace.get(name)) for name in ("reasoning", "text"))
        content = [models.ContentReasoning(reasoning=reasoning)] if reasoning else []
        said = models.ChatMessageAssistant(content=[*content, models.ContentText(text=text)])
        stop = _STOPS.get(str(trace.get("finish_reason")), "unknown")
        choices, messages = [models.ChatCompletionChoice(message=said, stop_reason=stop)], [*messages, said]
    return logs.EvalSample(
        id=gate.name(first["problem_id"]), epoch=first["sample"] + 1, input=known["text"], target=known["gold"] or "",
        messages=messages, output=models.ModelOutput(model=model, choices=choices), scores=scores,
        model_usage={model: sum(map(_usage, (trace, *answers.values())), models.ModelUsage())},
        metadata={"trace_key": key or None, "errors": failed},
        error=None if scores else logs.EvalError(message=next(iter(failed.values())), traceback="", traceback_ansi=""),
    )  # fmt: skip


def _usage(row: dict[str, Any]) -> models.ModelUsage:
    prompt, completion, cached, reasoning = (
        row.get(f"{name}_tokens") or 0 for name in ("prompt", "completion", "cached", "reasoning")
    )
    return models.ModelUsage(input_tokens=prompt - cached, input_tokens_cache_read=cached, output_tokens=completion,
                             total_tokens=prompt + completion, reasoning_tokens=reasoning)  # fmt: skip
