"""How does a run look in Inspect? One eval log for each (run, model, task, method), scored at every budget.

Needs the extra `anytime-lib[inspect]`. A sample is one trace: the problem is its input, the reasoning its output, and
`at_64` the score of the answer forced after 64 tokens. Where a cell is an error there is no score, as Inspect has it
for what was not scored; a sample whose every cell is one has the error. Texts pass the same gate as in every export.
"""

from __future__ import annotations

import json
import re
import statistics
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, cast

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
    gate = Gate(store)
    problems = {(row["task"], row["id"]): row for rows in rows_of(store, "problems") for row in rows}
    arms = store._rows("SELECT DISTINCT run, model, task, method FROM cells ORDER BY 1, 2, 3, 4")
    paths = []
    for arm in arms:
        log = _log(store, gate, arm, problems)
        words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{arm[2]}-{arm[3]}")
        path = folder / f"{log.eval.created.replace(':', '-')}_{words}_{log.eval.eval_id}.eval"
        with replace_file(path) as part, ThreadPoolExecutor(1) as thread:  # its own loop, also from within a notebook's
            thread.submit(logs.write_eval_log, log, part, "eval").result()
        paths.append(path)
    return paths


def _log(store: Store, gate: Gate, arm: tuple[str, ...], problems: dict[Any, dict[str, Any]]) -> logs.EvalLog:
    run, model, task, method = map(gate.name, arm)
    frame = store.cells(**dict(zip(("run", "model", "task", "method"), arm, strict=True)))
    cells = cast(list[dict[str, Any]], frame.to_dict("records"))
    samples = [
        _sample(store, gate, task, model, list(rows), problems)
        for _, rows in groupby(cells, key=lambda c: (c["problem_id"], c["sample"]))
    ]
    about = "SELECT min(created), max(created), max(endpoint) FROM requests WHERE task = ?"
    ((first, last, endpoint),) = store._rows(about, arm[2])
    moments = [datetime.fromtimestamp(t or 0, UTC).isoformat(timespec="seconds") for t in (first, last)]
    budgets = sorted({c["budget"] for c in cells})
    name = digest(list(arm))[:22]
    spec = logs.EvalSpec(
        eval_id=name, run_id=digest(run)[:22], task_id=digest([run, model, task])[:22], created=moments[0], task=task,
        task_args={"run": run, "method": method}, solver=method, model=model,
        model_base_url=gate.name(endpoint), config=logs.EvalConfig(epochs=len({c["sample"] for c in cells})),
        dataset=logs.EvalDataset(name=task, samples=len({c["problem_id"] for c in cells})),
        packages={"anytime-lib": version("anytime-lib")}, metadata={"budgets": budgets},
    )  # fmt: skip
    usage = sum((used for sample in samples for used in sample.model_usage.values()), models.ModelUsage())
    return logs.EvalLog(
        status="success", eval=spec, samples=samples, stats=logs.EvalStats(
            started_at=moments[0], completed_at=moments[1], model_usage={model: usage}),
        results=logs.EvalResults(
            total_samples=len(samples), completed_samples=sum(s.error is None for s in samples),
            scores=[_summary(budget, samples) for budget in budgets],
        ),
    )  # fmt: skip


def _summary(budget: int, samples: list[logs.EvalSample]) -> logs.EvalScore:
    name = f"at_{budget}"
    scores = [s.scores[name] for s in samples if s.scores and name in s.scores]
    values = {"mean": [s.as_float() for s in scores], "correct": [bool((s.metadata or {})["correct"]) for s in scores]}
    metrics = {m: logs.EvalMetric(name=m, value=statistics.fmean(v)) for m, v in values.items() if v}
    counts = {"scored_samples": len(scores), "unscored_samples": len(samples) - len(scores)}
    return logs.EvalScore(name=name, scorer=name, metrics=metrics, **counts)


def _sample(
    store: Store, gate: Gate, task: str, model: str, cells: list[dict[str, Any]], problems: dict[Any, dict[str, Any]]
) -> logs.EvalSample:
    """One trace with the answers forced from it."""
    first = cells[0]
    known = problems.get((task, first["problem_id"]), {"text": "", "gold": None})
    scores, failed = {}, {}
    answers = {key: _row(store, key) for key in dict.fromkeys(c["answer_key"] for c in cells)}
    for cell in cells:
        answer = answers[cell["answer_key"]]
        if cell["status"] == "error":
            failed[str(cell["budget"])] = gate.text(task, cell["detail"])
            continue
        about = {c: cell[c] for c in _ABOUT}
        scores[f"at_{cell['budget']}"] = Score(
            value=float(cell["score"]), answer=gate.text(task, cell["detail"]),
            explanation=gate.text(task, answer.get("text")), metadata=json.loads(json.dumps(about, default=_plain)),
        )  # fmt: skip
    trace = _row(store, first["trace_key"])
    usage = sum(map(_usage, (trace, *answers.values())), models.ModelUsage())
    asked = (store.request(first["trace_key"]) or {}).get("messages", []) if isinstance(first["trace_key"], str) else []
    messages = [_ROLES.get(m["role"], models.ChatMessageUser)(content=gate.text(task, m["content"])) for m in asked]
    reasoning = gate.text(task, trace.get("reasoning"))
    content = [models.ContentReasoning(reasoning=reasoning)] if reasoning else []
    said = models.ChatMessageAssistant(content=[*content, models.ContentText(text=gate.text(task, trace.get("text")))])
    stop = _STOPS.get(str(trace.get("finish_reason")), "unknown")
    choices = [models.ChatCompletionChoice(message=said, stop_reason=stop)] if trace else []
    return logs.EvalSample(
        id=gate.name(first["problem_id"]), epoch=int(first["sample"]) + 1, input=known["text"],
        target=known["gold"] or "", messages=[*messages, said] if trace else messages,
        output=models.ModelOutput(model=model, choices=choices),
        scores=scores, model_usage={model: usage},
        metadata={"trace_key": first["trace_key"] if trace else None} | ({"errors": failed} if failed else {}),
        error=None if scores else logs.EvalError(message=next(iter(failed.values())), traceback="", traceback_ansi=""),
    )  # fmt: skip


def _row(store: Store, key: object) -> dict[str, Any]:
    return (store.get(key) if isinstance(key, str) else None) or {}


def _usage(row: dict[str, Any]) -> models.ModelUsage:
    count = {n: int(row.get(f"{n}_tokens") or 0) for n in ("prompt", "completion", "cached", "reasoning")}
    return models.ModelUsage(
        input_tokens=count["prompt"] - count["cached"], output_tokens=count["completion"],
        total_tokens=count["prompt"] + count["completion"], input_tokens_cache_read=count["cached"],
        reasoning_tokens=count["reasoning"],
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """A number of numpy's, or a missing value, as JSON has it."""
    return value.item() if hasattr(value, "item") else None
