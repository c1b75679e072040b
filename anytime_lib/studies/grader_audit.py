"""Can the graders be trusted? Adversarial responses, grades that disagree, and a person's own labels beside them."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ARM
from anytime_lib.registry import load_task, task_names
from anytime_lib.stats.bootstrap import quality_at
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.family import Family, Member, compare_family, conclude
from anytime_lib.store import Store
from anytime_lib.sweep.grading import stored_answers
from anytime_lib.tasks import trip
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.trip_problem import plan_of, write_plan
from anytime_lib.types import Problem, packaged, shown

LABELS = ("right", "wrong", "none")
"""What a person may say of an answer: it is right, it is wrong, or it states none."""


def _last(pattern: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads the last match in a text: the unanchored extraction that many harnesses use, for comparison only."""
    return lambda text: kind(found[-1]) if (found := re.findall(pattern, text)) else None


EXTRACTORS: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {
    "aime": (extract_integer, _last(r"\d{1,9}", int)),
    "gpqa": (extract_choice, _last(r"(?<![A-Za-z])[ABCD](?![A-Za-z])", str)),
}
"""Task -> our extractor, and the last number or letter of the text."""


def extraction_matrix() -> pd.DataFrame:
    """One row per adversarial response: task, response, why, must_read (None: nothing is stated), what our extractor
    (`ours`) and the last number or letter (`last`) read, and what each reading is: `right`, `invented` (nothing is
    stated), `missed` (something is) or `wrong`."""

    def verdict(read: Any, must: Any) -> str:
        return "right" if read == must else "invented" if must is None else "missed" if read is None else "wrong"

    rows = []
    for task, extractors in EXTRACTORS.items():
        for case in packaged("adversarial.yaml")[task]:
            ours, last = (extract(case["response"]) for extract in extractors)
            said = verdict(ours, case["read"]), verdict(last, case["read"])
            rows.append((task, case["response"], case["why"], case["read"], ours, said[0], last, said[1]))
    columns = ["task", "response", "why", "must_read", "ours", "ours_is", "last", "last_is"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def trip_variants(problem: Problem) -> dict[str, str]:
    """The golden plan of a trip, right and rewritten in ways that graders take differently, and some wrong plans."""
    plan = [(city, int(days)) for city, days in problem.gold]
    stays, gold = plan_of(plan), trip.TASK.gold_answer(problem)
    end, last = stays[-1].last, stays[-1].city
    return {
        "golden plan": gold,
        "en dashes": gold.replace("-", "–"),
        "lower-case day": gold.replace("Day", "day"),
        "prose before": f"I considered days 3-{sum(d for _, d in plan)} at first, then decided.\n\n{gold}",
        "JSON": json.dumps([{"day_range": f"Day {s.first}-{s.last}", "place": s.city} for s in stays]),
        "a table": "\n".join(f"| {s.first}-{s.last} | {s.city} |" for s in stays),
        "extra city after": f"{gold}\n**Day {end}:** Fly from {last} to Atlantis.\n"
        f"**Day {end}-{end + 1}:** Visit Atlantis for 2 days.",
        "last stay missing": "\n".join(gold.splitlines()[:-2]),
        "first and last swapped": write_plan(plan_of([plan[-1], *plan[1:-1], plan[0]])),
        "no plan": "I would need more information about your preferences.",
    }


def trip_grades(answers: Iterable[tuple[str, Problem, str]]) -> pd.DataFrame:
    """The three grades (each in [0, 1]) of trip answers (label, problem, text), a row each."""
    graders = (trip.grade_official, trip.grade_strict, trip.grade_partial)
    rows = [(label, problem.id, *(grade(problem, text) for grade in graders)) for label, problem, text in answers]
    return pd.DataFrame(rows, columns=["label", "problem_id", "official", "strict", "partial"])


def trip_variant_grades() -> pd.DataFrame:
    """The three grades of `trip_variants` of three trips, of 3 to 5 cities, that are always the same."""
    trips = [trip.generate(n, seed) for n, seed in ((3, 1), (4, 2), (5, 3))]
    return trip_grades((label, p, text) for p in trips for label, text in trip_variants(p).items())


def recorded_trip_grades() -> pd.DataFrame:
    """The three grades of the predictions that NATURAL PLAN's authors recorded, if the folder ANYTIME_BENCH_DATA has
    their file; else an empty table."""
    path = Path(os.environ.get("ANYTIME_BENCH_DATA", ""), "trip_planning_subset.json")
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    trips = load_task("natural_plan_trip").problems(path, split="all") if rows else []
    return trip_grades(("recorded", trip, rows[trip.id]["pred_5shot_pro"]) for trip in trips)


def label_sheet(store: Store, path: Path, n: int = 20, seed: int = 0) -> Path:
    """Write a CSV of `n` stored answers, drawn at random, for a person to label, unless it is there already. Columns:
    answer_key, task, gold, response (a JSON string, so that no spreadsheet takes it for a formula; withheld of private
    problems), label (to be filled in with one of `LABELS`). The grade is not in it."""
    if path.exists():
        return path
    answers = {a.cell["answer_key"]: a for a in stored_answers(store)}
    chosen = [answers[key] for key in np.random.default_rng(seed).permutation(sorted(answers))[:n]]
    sheet = pd.DataFrame([a.cell for a in chosen], columns=["answer_key", "task"])
    sheet["gold"] = [json.dumps(a.problem.gold) for a in chosen]
    sheet["response"] = [json.dumps(shown(a.problem, a.text), ensure_ascii=False) for a in chosen]
    sheet.assign(label="").to_csv(path, index=False)
    return path


def labelled(store: Store, path: Path) -> pd.DataFrame:
    """The labels of a sheet beside the graders' own: answer_key, task, label, grader. A label that is none of `LABELS`
    is a DataError."""
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    sheet["label"] = sheet.label.str.strip().str.lower()
    sheet = sheet.loc[sheet.label != "", ["answer_key", "task", "label"]]
    if len(odd := sheet[~sheet.label.isin(LABELS)]):
        raise DataError(f"{path}: label {odd.label.iloc[0]!r} is none of {', '.join(LABELS)}")
    graded = store.cells().drop_duplicates("answer_key")[["answer_key", "status", "correct"]]
    both = sheet.merge(graded, on="answer_key")
    both["grader"] = np.where(both.status != "ok", "none", np.where(both.correct.astype(bool), "right", "wrong"))
    return both[["answer_key", "task", "label", "grader"]]


def echoes(store: Store, n_words: int = 4) -> pd.Series:
    """Which stored answers repeat the prompt that asked for them, by their key: those that share `n_words` words in a
    row with it. A small model copies an instruction rather than heed it; a placeholder in one comes back as an answer.
    """

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"[\w\\{}]+", text.lower())
        return {*zip(*(words[start:] for start in range(n_words)), strict=False)}

    known, found = {*task_names()}, {}
    for cell, problem, text, _ in stored_answers(store):
        if problem.task in known:
            found[cell["answer_key"]] = bool(runs(load_task(problem.task).answer_prompt(problem)) & runs(text))
    return pd.Series(found, dtype=object)


def leaks(store: Store) -> pd.Series:
    """In which stored answers the model goes on reasoning, by their key: those that hit their cap, and those with
    reasoning apart. What a run of its own for a budget said by itself was not asked for, and is left out."""
    cells = store.cells()
    rows = {key: store.get(key) for key in {*cells.answer_key.dropna()} - {*cells.trace_key}}
    found = {
        key: row["finish_reason"] == "length" or bool(row["reasoning"].strip()) for key, row in rows.items() if row
    }
    return pd.Series(found, dtype=object)


def by_budget(cells: pd.DataFrame, *, baseline: str = "base", margin: float = 0.05, **settings: Any) -> pd.DataFrame:
    """Every other method against a baseline at each budget by itself, before any maximum, all judged together (settings
    as of `stats.compare`). One row each: columns of `Family.to_frame`, budget, verdict (of `stats.conclude`)."""
    found, at = dict[Member, Comparison](), list[int]()
    for _, part in cells.groupby(ARM[:3], sort=False):
        for place, budget in enumerate(sorted(part.budget.unique())):
            family = compare_family(part, baseline=baseline, estimand=quality_at(place), **settings)
            for member, comparison in family.comparisons.items():
                found[member._replace(treatment=f"{member.treatment} {budget}")] = comparison
                at.append(int(budget))
    whole = Family(found, round(1 - settings.get("confidence_level", 0.95), 12))
    return whole.to_frame().assign(budget=at, verdict=conclude(whole, margin).verdict)


def cohen_kappa(first: pd.Series, second: pd.Series) -> float:
    """Cohen's kappa of two raters ("A coefficient of agreement for nominal scales", 1960): agreement beyond chance, 1
    at most; 1 too where both only ever say the same thing."""
    shares = first.value_counts(normalize=True) * second.value_counts(normalize=True)
    agreed, by_chance = float((first == second).mean()), float(shares.sum())
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def regraded(cells: pd.DataFrame, store: Store) -> dict[str, pd.DataFrame]:
    """The cells as other graders would have them: grader -> cells of the tasks that it knows.

    A task may have `other_graders`; `right or wrong` counts an answer as 1 if it is wholly right and as 0 otherwise,
    for tasks that give partial credit and have none. Stored answers are read again; no model is called.
    """
    found: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for task, part in cells.groupby("task", sort=False):
        graders = getattr(load_task(task), "other_graders", {}) if task in task_names() else {}
        graded, wanted = part.score.notna(), {*part.answer_key}
        there = [a for a in stored_answers(store, str(task)) if a.cell["answer_key"] in wanted] if graders else []
        for name, grade in graders.items():
            scores = {a.cell["answer_key"]: float(grade(a.problem, a.text)) for a in there}
            found[name].append(part.assign(score=part.answer_key.map(scores).astype(float).where(graded)))
        whole = part.correct.astype("Float64").astype(float).where(graded)
        if not graders and not whole.equals(part.score):
            found["right or wrong"].append(part.assign(score=whole))
    return {name: pd.concat(parts) for name, parts in found.items()}
