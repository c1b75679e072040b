"""What did the model write, problem by problem, and how was it graded? One page that needs no network.

The page holds its data: the table of cells in one block, and the texts of each problem in another that is read when the
problem is opened, each gzipped JSON. All drawing is done by `data/explorer.js`, which shows texts as text.
"""

import base64
import gzip
import hashlib
import html
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.files import replace_file
from anytime_lib.index import curve_table
from anytime_lib.methods.base import Prompted
from anytime_lib.models.reply import reasoning_of
from anytime_lib.models.tokens import cut
from anytime_lib.prompts import prompt
from anytime_lib.redact import Redactor
from anytime_lib.registry import load_method, method_names
from anytime_lib.store import Store
from anytime_lib.studies.grader_audit import echoes
from anytime_lib.sweep.costs import price_of
from anytime_lib.sweep.plan import on_measured_tokens
from anytime_lib.tasks.trip_problem import NAME as TRIP
from anytime_lib.tools.export import Gate
from anytime_lib.tools.timeline import trip_asked, trip_kept
from anytime_lib.tools.transcripts import stored_trace
from anytime_lib.types import Message, Problem

NUMBERS = ["problem", "sample", "budget", "score", "correct", "tokens_used", "answer_tokens", "prompt_tokens"]
NUMBERS += ["stopped_naturally"]
"""Columns of the cells that the page has as they are."""


def explore(run: RunConfig | str | Path, path: str | Path | None = None) -> Path:
    """Write the explorer of a run, named by its config or its folder; returns the path of the page.

    By default it is `explorer.html` in the run's folder. All that the store holds is in it, of every method and model;
    of a task with private problems only ids and numbers. No model is called. DataError where there is nothing to show.
    """
    run = run if isinstance(run, RunConfig) else RunConfig(run=str(Path(run).absolute()))
    target = Path(path or run.folder / "explorer.html").expanduser()
    with Store(run.folder / "store.sqlite", read_only=True) as store:
        cells = on_measured_tokens(store.cells())
        if cells.empty:
            raise DataError(f"{store.path} holds no answers yet, so there is nothing to explore; `anytime sweep` asks")
        problems, public = {(p.task, p.id): p for p in store.problems()}, Gate(store).public
        places, names = pd.factorize(pd.MultiIndex.from_frame(cells[["task", "problem_id"]]))
        order, texts = [problems[name] for name in names], _Texts(store, [*problems.values()])
        told = _index(run, store, cells.assign(problem=places))
        told["problems"] = [[p.task, p.id, p.level, p.task in public] for p in order]
        blocks = {"cells": _packed(told)}
        for number, problem in enumerate(order):
            if problem.task in public:  # no problem of its task is private: examples in prompts may be any of them
                blocks[f"texts-{number}"] = _packed(texts.of(problem, cells[places == number]))
    page = Environment(loader=PackageLoader("anytime_lib", "data"), autoescape=True).get_template("explorer.html.jinja")
    parts = {name: (files("anytime_lib") / "data" / f"explorer.{name}").read_text("utf-8") for name in ("js", "css")}
    hashes = {name: base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for name, part in parts.items()}
    with replace_file(target) as part:
        part.write_text(page.render(title=run.label, parts=parts, hashes=hashes, blocks=blocks), encoding="utf-8")
    return target


def show_explorer(run: RunConfig | str | Path, height: int = 720, most: int = 4_000_000) -> Any:
    """The explorer of a run within a notebook, `height` pixels high; of more than `most` bytes, a link to it."""
    from IPython.display import HTML

    path = explore(run)
    link = f'<p>The explorer: <a href="{html.escape(path.resolve().as_uri())}">{html.escape(str(path))}</a></p>'
    if path.stat().st_size > most:
        return HTML(link)
    page = html.escape(path.read_text(encoding="utf-8"))
    how = 'sandbox="allow-scripts" title="Explorer of the run" width="100%"'
    return HTML(f'{link}<iframe {how} height="{height}" srcdoc="{page}"></iframe>')


def _packed(value: Any) -> str:
    """A value as the page holds it: JSON without keys of an API, gzipped, in base64."""
    text = Redactor()(json.dumps(value, separators=(",", ":")))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 6, mtime=0)).decode()


def _index(run: RunConfig, store: Store, cells: pd.DataFrame) -> dict[str, Any]:
    """All that is shown without a text: the curves, and the cells column by column, names as numbers."""
    from matplotlib.colors import to_hex

    from anytime_lib.plots.style import looks_of

    curves = curve_table(cells).drop(columns="order").assign(raw=curve_table(cells, "raw").quality)
    told: dict[str, Any] = {"label": run.label, "curves": json.loads(curves.to_json(orient="records"))}
    columns: dict[str, Any] = {name: cells[name] for name in NUMBERS}
    columns["echoed"] = cells.answer_key.map(echoes(store)).fillna(False).astype(bool)
    columns["dollars"] = _dollars(run, store, cells)
    for name in ("run", "model", "method", "status"):
        columns[name], told[f"{name}s"] = pd.factorize(cells[name])
        told[f"{name}s"] = told[f"{name}s"].tolist()
    told["searching"] = [method for method in told["methods"] if not _prompted(method)]
    told["colours"] = {name: to_hex(look["color"]) for name, look in looks_of(told["methods"]).items()}
    return told | {"cells": {name: _plain(pd.Series(column)) for name, column in columns.items()}}


def _plain(column: pd.Series) -> list[Any]:
    """A column as JSON has it: booleans as 0 and 1, what is missing as null."""
    numbers = pd.to_numeric(column.astype("Float64")).round(6)
    return [None if pd.isna(x) else int(x) if x == int(x) else x for x in numbers]


def _dollars(run: RunConfig, store: Store, cells: pd.DataFrame) -> pd.Series:
    """What each cell would cost by itself, at the list price and without a cache; NaN where no price is known."""
    dollars = pd.Series(float("nan"), index=cells.index)
    for model, endpoint in store.requests()[["model", "endpoint"]].drop_duplicates().itertuples(index=False):
        own = cells[cells.model == model]
        if price := price_of(str(model), str(endpoint), run.limits.prices):
            dollars[own.index] = price.dollars(own.prompt_tokens, 0, own.tokens_used + own.answer_tokens)
    return dollars


@cache
def _prompted(method: str) -> bool:
    """Whether a method's answers are forced after one trace that is cut at every budget."""
    return method in method_names() and isinstance(load_method(method), Prompted)


class _Texts:
    """The texts behind a run's cells, as the page holds them."""

    def __init__(self, store: Store, problems: list[Problem]) -> None:
        self._store, self._private = store, [p.text for p in problems if p.metadata.get("private")]
        self._row, self._trace = lru_cache(8)(store.get), lru_cache(8)(partial(stored_trace, store))  # cells share them

    def of(self, problem: Problem, cells: pd.DataFrame) -> dict[str, Any]:
        """A problem's texts. `strings` has each once, elsewhere their numbers stand; `traces` are what answers were
        forced from (see `_behind`); `cells`, in the order of the table: [trace, UTF-16 units of it that were given,
        answer, grader's reason, the trip that the answer plans], or null where a prompt quotes a private problem."""
        numbers: defaultdict[str, int] = defaultdict(lambda: len(numbers))
        traces: dict[tuple[Any, ...], dict[str, Any]] = {}
        rows, trip = list[list[Any] | None](), problem.task == TRIP
        kept = cache(partial(trip_kept, problem))
        for cell in cells.astype(object).where(cells.notna(), None).to_dict("records"):
            text, given, messages, mode = self._behind(cell)
            if any(hidden in message["content"] for hidden in self._private for message in messages):
                rows.append(None)
                continue
            turns = [[m["role"], numbers[m["content"]]] for m in messages]
            place = (numbers[text], mode, *(number for _, number in turns))
            if place not in traces:
                traces[place] = {"number": len(traces), "text": place[0], "prompt": turns, "mode": mode}
            reply = self._row(cell["answer_key"]) if cell["answer_key"] else None
            answer = reply["text"] if reply else ""
            units, plan = len(given.encode("utf-16-le", "surrogatepass")) // 2, kept(answer) if trip and reply else None
            rows.append([traces[place]["number"], units, numbers[answer], numbers[cell["detail"] or ""], plan])
        told = {"text": problem.text, "gold": problem.gold, "asked": trip_asked(problem) if trip else None}
        return told | {"strings": [*numbers], "traces": [*traces.values()], "cells": rows}

    def _behind(self, cell: Mapping[Any, Any]) -> tuple[str, str, list[Message], str]:
        """A whole reasoning, what of it was given back to force the cell's answer, the messages before it, and where
        its token boundaries come from.

        Of a method that asks as it goes, the request of the answer tells what was given; where that is no beginning
        of a stored trace (thoughts are joined), it stands for the whole.
        """
        key, row = cell["trace_key"], self._row(cell["trace_key"]) if cell["trace_key"] else None
        whole = reasoning_of(row) if row else ""
        if row and (_prompted(cell["method"]) or not cell["answer_key"]):
            try:
                trace = self._trace(key)
                given = cut(trace.text, trace.ends, int(cell["tokens_used"]))
                return trace.text, given, trace.messages, trace.token_mode
            except AnytimeError:  # it was run for this budget alone, and is given whole
                return whole, whole, (self._store.request(key) or {}).get("messages", []), "usage"
        asked = (self._store.request(cell["answer_key"]) if cell["answer_key"] else None) or {}
        turns: list[Message] = asked.get("messages", [])
        if not cell["tokens_used"] or len(turns) < 2:
            return "", "", turns, "usage"
        if asked.get("prefill"):
            given, turns = turns[-1]["content"].removesuffix(prompt("prefill")).rstrip(), turns[:-1]
        else:
            given, turns = turns[-2]["content"], turns[:-2]
        return whole if whole.startswith(given) else given, given, turns, "usage"
