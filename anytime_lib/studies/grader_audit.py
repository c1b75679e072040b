"""Can the graders be trusted?

Adversarial responses and what is read from them, grades that disagree, and a person's own labels beside the graders'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from anytime_lib.errors import DataError
from anytime_lib.store import Store
from anytime_lib.sweep.grading import stored_answers
from anytime_lib.tasks import aime, gpqa, trip
from anytime_lib.tasks.trip_problem import plan_of, write_plan
from anytime_lib.types import Problem, shown

LABELS = ("right", "wrong", "none")
"""What a person may say of an answer: it is right, it is wrong, or it states none."""


def _last(pattern: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads the last match in a text: the unanchored extraction that many harnesses use, for comparison only."""
    return lambda text: kind(found[-1]) if (found := re.findall(pattern, text)) else None


EXTRACTORS: dict[str, dict[str, Callable[[str], Any]]] = {
    "aime": {"extract_integer": aime.extract_integer, "last number": _last(r"\d{1,9}", int)},
    "gpqa": {"extract_choice": gpqa.extract_choice, "last letter": _last(r"(?<![A-Za-z])[ABCD](?![A-Za-z])", str)},
}


def extraction_matrix(task: str) -> pd.DataFrame:
    """One row per adversarial response of a task: response, why, must_read (None: nothing), then a column per
    `EXTRACTORS` with what it read."""
    cases = yaml.safe_load((files("anytime_lib") / "data" / "adversarial.yaml").read_text("utf-8"))[task]
    rows = [(case["response"], case["why"], case["read"]) for case in cases]
    matrix = pd.DataFrame(rows, columns=["response", "why", "must_read"], dtype=object)
    for name, extract in EXTRACTORS[task].items():
        matrix[name] = pd.Series(map(extract, matrix.response), dtype=object)
    return matrix


def verdicts(matrix: pd.DataFrame) -> pd.DataFrame:
    """Per response and extractor: `right`, `invented` (nothing is stated), `missed` (something is) or `wrong`."""

    def verdict(read: Any, must: Any) -> str:
        return "right" if read == must else "invented" if must is None else "missed" if read is None else "wrong"

    judged = {name: list(map(verdict, matrix[name], matrix.must_read)) for name in matrix.columns[3:]}
    return pd.DataFrame(judged, index=matrix.response)


def trip_variants(problem: Problem) -> dict[str, str]:
    """The golden plan of a trip, right and rewritten in ways that graders take differently, and some wrong plans."""
    gold = trip.TASK.gold_answer(problem)
    plan = [(city, int(days)) for city, days in problem.gold]
    stays = plan_of(plan)
    end = stays[-1].last
    extra = (
        f"**Day {end}:** Fly from {stays[-1].city} to Atlantis.\n**Day {end}-{end + 1}:** Visit Atlantis for 2 days."
    )
    return {
        "golden plan": gold,
        "en dashes": gold.replace("-", "–"),
        "lower-case day": gold.replace("Day", "day"),
        "prose before": f"I considered days 3-{sum(d for _, d in plan)} at first, then decided.\n\n{gold}",
        "JSON": json.dumps([{"day_range": f"Day {s.first}-{s.last}", "place": s.city} for s in stays]),
        "a table": "\n".join(f"| {s.first}-{s.last} | {s.city} |" for s in stays),
        "extra city after": f"{gold}\n{extra}",
        "last stay missing": "\n".join(gold.splitlines()[:-2]),
        "first and last swapped": write_plan(plan_of([plan[-1], *plan[1:-1], plan[0]])),
        "no plan": "I would need more information about your preferences.",
    }


def trip_grades(answers: Iterable[tuple[str, Problem, str]]) -> pd.DataFrame:
    """The three grades (each in [0, 1]) of trip answers (label, problem, text), a row each."""
    graders = (trip.grade_official, trip.grade_strict, trip.grade_partial)
    rows = [(label, problem.id, *(grade(problem, text) for grade in graders)) for label, problem, text in answers]
    return pd.DataFrame(rows, columns=["label", "problem_id", "official", "strict", "partial"])


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
    chosen = [answers[key] for key in np.random.default_rng(seed).permutation(sorted(answers))[:n]]
    sheet = pd.DataFrame([a.cell for a in chosen], columns=["answer_key", "task"]).assign(
        gold=[json.dumps(a.problem.gold) for a in chosen],
        response=[json.dumps(shown(a.problem, a.text), ensure_ascii=False) for a in chosen],
        label="",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.to_csv(path, index=False)
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
    agreed, by_chance = np.mean(a == b), sum(np.mean(a == c) * np.mean(b == c) for c in {*a, *b})
    return 1.0 if by_chance == 1 else float((agreed - by_chance) / (1 - by_chance))
