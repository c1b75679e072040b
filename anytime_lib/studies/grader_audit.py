"""Can the graders be trusted? What the audit notebook shows: readings of adversarial responses, grades that disagree,
and how far a person's own labels agree with the graders.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.registry import load_task
from anytime_lib.store import Store
from anytime_lib.sweep.grading import stored_answers
from anytime_lib.tasks import aime, gpqa, trip
from anytime_lib.tasks.trip_problem import plan_of, write_plan
from anytime_lib.types import Problem, shown

LABELS = ("right", "wrong", "none")
"""What a person may say of an answer: it is right, it is wrong, or it states none."""

Reader = Callable[[str], Any]


def last_number(text: str) -> int | None:
    """The last number of a text: the unanchored extraction that many harnesses use, for comparison only."""
    found = re.findall(r"\d{1,9}", text)
    return int(found[-1]) if found else None


def last_letter(text: str) -> str | None:
    """The last capital A to D that stands alone: unanchored extraction, for comparison only."""
    found = re.findall(r"(?<![A-Za-z])[ABCD](?![A-Za-z])", text)
    return found[-1] if found else None


READERS: Mapping[str, Mapping[str, Reader]] = {
    "aime": {"extract_integer": aime.extract_integer, "last number": last_number},
    "gpqa": {"extract_choice": gpqa.extract_choice, "last letter": last_letter},
}


def adversarial(task: str) -> list[dict[str, Any]]:
    """Adversarial responses of a task: mappings with `response`, what must be `read` from it (None: nothing), `why`."""
    text = files("anytime_lib").joinpath("data", "adversarial.yaml").read_text(encoding="utf-8")
    cases: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    return cases[task]


def reading_matrix(task: str, readers: Mapping[str, Reader] | None = None) -> pd.DataFrame:
    """What each extractor reads from each adversarial response.

    Returns:
        One row per response: response, why, must_read, then a column per reader with what it read (None: nothing).
    """
    readers = READERS[task] if readers is None else readers
    return pd.DataFrame(
        [
            {"response": case["response"], "why": case["why"], "must_read": case["read"]}
            | {name: read(case["response"]) for name, read in readers.items()}
            for case in adversarial(task)
        ],
        dtype=object,
    )


def verdicts(matrix: pd.DataFrame) -> pd.DataFrame:
    """Per response and reader: `right`, `invented` (nothing is stated), `missed` (something is) or `wrong`."""

    def verdict(read: Any, must: Any) -> str:
        if read == must:
            return "right"
        return "invented" if must is None else "missed" if read is None else "wrong"

    readers = matrix.columns[3:]
    return pd.DataFrame(
        {name: [verdict(r, m) for r, m in zip(matrix[name], matrix.must_read, strict=True)] for name in readers},
        index=matrix.response,
    )


def trip_variants(problem: Problem) -> dict[str, str]:
    """The golden plan of a trip, right and rewritten in ways that graders take differently, and some wrong plans."""
    gold = load_task("natural_plan_trip").gold_answer(problem)
    lines = gold.splitlines()
    plan = [(city, int(days)) for city, days in problem.gold]
    swapped = [plan[-1], *plan[1:-1], plan[0]]
    end = plan_of(plan)[-1].last
    return {
        "golden plan": gold,
        "en dashes": gold.replace("-", "–"),
        "lower-case day": gold.replace("Day", "day"),
        "prose before": f"I considered days 3-{sum(d for _, d in plan)} at first, then decided.\n\n{gold}",
        "JSON": json.dumps([{"day_range": f"Day {s.first}-{s.last}", "place": s.city} for s in plan_of(plan)]),
        "a table": "\n".join(f"| {s.first}-{s.last} | {s.city} |" for s in plan_of(plan)),
        "extra city after": f"{gold}\n**Day {end}:** Fly from {plan[-1][0]} to Atlantis.\n"
        f"**Day {end}-{end + 1}:** Visit Atlantis for 2 days.",
        "last stay missing": "\n".join(lines[:-2]),
        "first and last swapped": write_plan(plan_of(swapped)),
        "no plan": "I would need more information about your preferences.",
    }


def trip_grades(answers: Iterable[tuple[str, Problem, str]]) -> pd.DataFrame:
    """The three grades of trip answers.

    Args:
        answers: (label, problem, text) each.

    Returns:
        One row per answer: label, problem_id, official, strict, partial (each in [0, 1]).
    """
    return pd.DataFrame(
        [
            {"label": label, "problem_id": problem.id, "official": trip.grade_official(problem, text),
             "strict": trip.grade_strict(problem, text), "partial": trip.grade_partial(problem, text)}
            for label, problem, text in answers
        ]
    )  # fmt: skip


def real_predictions(path: str | Path | None = None) -> list[tuple[str, Problem, str]]:
    """Recorded answers to real trips, as `trip_grades` takes them, from a file in the official layout that has them.

    Args:
        path: the file; by default `trip_planning_subset.json` or `trip_planning.json` in the folder that the
            environment variable ANYTIME_BENCH_DATA names. Without either: an empty list.
    """
    folder = Path(os.environ.get("ANYTIME_BENCH_DATA") or ".")
    named = [Path(path)] if path else [folder / f"trip_planning{end}.json" for end in ("_subset", "")]
    found = next((p for p in named if p.is_file()), None)
    if found is None:
        return []
    problems = {p.id: p for p in load_task("natural_plan_trip").problems(str(found), split="all")}
    rows = json.loads(found.read_text(encoding="utf-8"))
    names = sorted({n for row in rows.values() for n in row if n.startswith("pred_")})
    return [(n, problems[i], row[n]) for i, row in rows.items() for n in names if row.get(n)]


def label_sheet(store: Store, path: str | Path, n: int = 20, seed: int = 0) -> Path:
    """Write a CSV of `n` stored answers, drawn at random, for a person to label; the grade is not in it.

    Columns: answer_key, task, gold, response (a JSON string, so that no spreadsheet takes it for a formula), label
    (to be filled in with one of `LABELS`). A sheet that is there already is left alone, labels and all. Responses to
    private problems are withheld.
    """
    path = Path(path)
    if path.exists():
        return path
    answers = {a.cell["answer_key"]: a for a in stored_answers(store)}
    chosen = np.random.default_rng(seed).permutation(sorted(answers))[:n]
    rows = [
        {"answer_key": key, "task": (a := answers[key]).cell["task"], "gold": json.dumps(a.problem.gold),
         "response": json.dumps(shown(a.problem, a.text), ensure_ascii=False), "label": ""}
        for key in chosen
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["answer_key", "task", "gold", "response", "label"]).to_csv(path, index=False)
    return path


def labelled(store: Store, path: str | Path) -> pd.DataFrame:
    """The labels of a sheet beside the graders' own: answer_key, task, label, grader.

    Raises:
        DataError: a label is none of `LABELS`.
    """
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    sheet["label"] = sheet.label.str.strip().str.lower()
    sheet = sheet[sheet.label != ""]
    if len(odd := sheet[~sheet.label.isin(LABELS)]):
        raise DataError(f"{path}: label {odd.label.iloc[0]!r} is none of {', '.join(LABELS)}")
    cells = store.cells().drop_duplicates("answer_key").set_index("answer_key")
    sheet = sheet[sheet.answer_key.isin(cells.index)]
    graded = cells.loc[sheet.answer_key]
    grader = np.where(graded.status != "ok", "none", np.where(graded.correct.astype(bool), "right", "wrong"))
    return sheet[["answer_key", "task", "label"]].assign(grader=grader).reset_index(drop=True)


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's kappa of two raters: agreement beyond chance, 1 at most; 1 too where both only ever say the same thing.

    Source: Cohen, "A coefficient of agreement for nominal scales" (1960).
    """
    a, b = np.asarray(first), np.asarray(second)
    if not len(a) or len(a) != len(b):
        raise DataError(f"kappa needs two ratings of the same answers, at least one: {len(a)} and {len(b)} given")
    agreed = float(np.mean(a == b))
    by_chance = float(sum(np.mean(a == c) * np.mean(b == c) for c in {*a, *b}))
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
