"""Does the multiple-choice task read what was answered, and only that? Are its questions sound?"""

from __future__ import annotations

import csv
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.tasks import Task, load_task
from anytime_lib.tasks.gpqa import COLUMNS, LETTERS, OPTIONS, TASK, extract_choice

# What four known graders read wrongly or not at all.
MATRIX = {
    "Answer: C": "C",
    "**Answer:** C": "C",
    "Answer: (C)": "C",
    r"Answer: $\boxed{C}$": "C",
    "The answer is (C).": "C",
    "Therefore option C is correct.": "C",
    "Answer: A ... Wait ... Answer: C": "C",
    "Answer: Don't know yet": None,
    "the answer is Certainly ...": None,
    "(A) with (D): (D) is too big": None,
    "answer: c": "C",
}
# fmt: off
STATED = {
    "C": [
        "C", "(C)", "C.", "**C**", "c", "C)", " C \n", "C) 24 m", "(C) It falls to T/2", "**C. 24 m**", "C - 24 m",
        "Answer:C", "Answer： C", "ANSWER: C", "Answer: **C) 24 m**", "**Final answer**: `C`", "Answer:\n\nC",
        "Answer is C", "My answer would be C", "The correct answer is therefore C, since I = V/R.", "Ans: C",
        "The answer is: **C**", "The answer to this question is C.", "The correct option is (C)", "Answer - C",
        "答案：C", "正确答案是 C。", "Antwort: C", "Die Antwort lautet C.", "Réponse : C", "Re\u0301ponse\u00a0: C",
        r"So \boxed{\text{C}}.", r"$$\boxed{(C)}$$", "<answer>C</answer>", '{"answer": "C"}', "## Answer\n\nC",
        "(C) is the correct answer because q is fixed.", "So C is correct.", "I will go with option C.",
        "C\n\nThe lens bends it.", "Answer: C\n\nA and B have the wrong sign.", "Answer: C. A is too small.",
        "Answer: B or C? No, the answer is C.", "Answer: B\n\nNo: option C is the correct answer.",
        "If the answer is B, it would float. Answer: C", "The answer is not B. The answer is C.", "the answer is c.",
        "The answer is C. I do not think the answer is B.", "answer: c) 24 m", "Answer: “C”", "Answer: C (not B)",
        "Answer: C because it is a good fit", "The answer is most likely C.", "The answer is C and not B.",
        "Answer: C\nAnswer: C", "Answer: C\n\nThe answer is a good one", "Final Answer: The answer is option (C)",
    ],
    "A": ["A", "a", "A) 25 °C", "Answer: A", "answer: a", "The answer is A", "the answer is (a)", "Answer: A because"],
}
UNSTATED = [
    "", " \n", "E", "Answer:", "Answer: E", "Answer: X", "A or B", "A, B", "Both A and C", "so the answers: A",
    "Answer: A or B", "Answer: (A) and (B)", "Answer: A/B/C/D", "The answer is either A or B.",
    "Answer: A. Or rather: the answer is A or D", "Answer: A) 1 B) 2 C) 3 D) 4", "Answer:\nA) 1\nB) 2\nC) 3\nD) 4",
    "answer: a good guess", "Answer: A good guess", "the answer is a", "Answer: D-glucose", "Answer: C₆H₆",
    "Answer: B cells", "Answer: C-14", "Answer: °C", "We know that A = 3 and D", "Vitamin C is correct",
    "The answer is not A.", "Answer: A. The answer is not A", "Answer: (A) is wrong", "Answer: A. Wait, that cannot be",
    "Is the answer C?", "Is option C correct?", "If the answer is C, the sphere floats", "Option C is incorrect.",
    "I don't think the answer is C.", "I doubt that option C is correct.", "Neither B nor C is correct.",
    "Option C is correct only if friction is negligible", "A good start is to list the forces", "A is too big, so",
    "A: Let me think about this", "A\nB\nC\nD", "(A)\nThis one gives 5", "Let us look at C) first",
    "I cannot answer that.", "I'm sorry, but I can't help with it", "The answer is C₁ or so", "I pick a card",
]
# fmt: on


def test_is_a_task() -> None:
    assert isinstance(TASK, Task)
    assert load_task("gpqa") is TASK


@pytest.mark.parametrize(("text", "choice"), MATRIX.items())
def test_matrix(text: str, choice: str | None) -> None:
    assert extract_choice(text) == choice


@pytest.mark.parametrize(("text", "choice"), [(t, c) for c, texts in STATED.items() for t in texts])
def test_reads_what_is_stated(text: str, choice: str) -> None:
    assert extract_choice(text) == choice


@pytest.mark.parametrize("text", UNSTATED)
def test_invents_nothing(text: str) -> None:
    assert extract_choice(text) is None


@given(st.text() | st.text(alphabet="ABCDabcd answer:is()*$\\boxed{}[]'\n,.or/-", max_size=80))
def test_any_text_gives_a_letter_or_nothing(text: str) -> None:
    assert extract_choice(text) in {*LETTERS, None}


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "(",
            "*",
            " ",
            "\n",
            "a",
            "answer:",
            "answer ",
            "answer is the ",
            r"\boxed{",
            "(A) is ",
            "A or ",
            "A) ",
        ),
        *(
            "Answer: A, ",
            "the answer to ",
            "if the ",
            "Option C is correct ",
            "if if that ",
            "e\u0301\u0323",
            "_ ",
        ),
    ],
)
def test_time_is_linear(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    start = time.perf_counter()
    for hostile in (text, "Answer: " + text, text + "Answer: C", "A" + text):
        extract_choice(hostile)
    assert time.perf_counter() - start < 8  # quadratic time would be minutes


def test_grade() -> None:
    problem = TASK.problems()[0]
    wrong = next(x for x in LETTERS if x != problem.gold)
    grades = [TASK.grade(problem, t) for t in (TASK.gold_answer(problem), f"Answer: {wrong}", "Hm. (A) or", " ")]
    assert [(g.score, g.correct, g.status) for g in grades] == [
        (1.0, True, "ok"),
        (0.0, False, "ok"),
        (0.0, False, "unparsed"),
        (0.0, False, "empty"),
    ]
    for text in ("I cannot answer this.", "I’m sorry, but I can’t.", "I am unable to help"):
        assert TASK.grade(problem, text).status == "refused"
    assert TASK.grade(problem, f"I'm sorry for the mess. Answer: {problem.gold}").correct


def test_question_ends_with_the_instruction() -> None:
    problem = TASK.problems(limit=1)[0]
    assert TASK.question(problem).startswith(problem.text + "\n\n")
    assert len(TASK.gold_reasoning(problem)) > 20 and "explanation" not in problem.text
    assert extract_choice(TASK.answer_prompt(problem)) is None  # a model that only echoes it has answered nothing


def test_splits_share_nothing_and_cover_all() -> None:
    test, pool, every = (TASK.problems(split=s) for s in ("test", "pool", "all"))
    assert (len(test), len(pool), len(every)) == (32, 16, 48)
    assert {p.id for p in test} | {p.id for p in pool} == {p.id for p in every}
    assert not {p.content_hash for p in test} & {p.content_hash for p in pool}
    for split in (test, pool):
        assert len({(p.metadata["domain"], p.metadata["difficulty"]) for p in split}) == 9


def test_choosing() -> None:
    every = TASK.problems(seed=3)
    assert TASK.problems(seed=3, limit=7) == every[:7] and TASK.problems(seed=3, limit=999) == every
    assert every != TASK.problems(seed=4)
    assert {p.id: p.text for p in every} == {p.id: p.text for p in TASK.problems(seed=4)}
    assert {p.metadata["difficulty"] for p in TASK.problems(difficulty=["easy", "hard"])} == {"easy", "hard"}
    for bad in ({"split": "train"}, {"difficulty": "easy"}, {"limit": 0}, {"source": "gpqa.json"}):
        with pytest.raises(ConfigError):
            TASK.problems(**bad)
    with pytest.raises(ConfigError, match="did you mean 'hard'"):
        TASK.problems(difficulty=["hrad"])


def test_option_order_never_changes() -> None:
    (problem,) = [p for p in TASK.problems(split="all") if p.id == "phys-15"]
    assert (problem.metadata["order"], problem.gold) == ([0, 3, 2, 1], "A")
    assert problem.text.split("\n")[-4:] == ["A) 600 J", "B) 1000 J", "C) 375 J", "D) 400 J"]


def _official(path: Path, columns: tuple[str, ...] = (*COLUMNS, "Canary String"), n: int = 30) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for i in range(n):
            rows.writerow([f"rec{i}" if c == "Record ID" else f"{c}, {i} \n" for c in columns])
    return path


def test_official_file(tmp_path: Path) -> None:
    path = str(_official(tmp_path / "gpqa_diamond.csv"))
    parts = [TASK.problems(path, split=s) for s in ("test", "pool")]
    assert len({p.id for part in parts for p in part}) == 30 and min(map(len, parts)) > 3
    problem = parts[0][0]
    assert set(problem.metadata) == {"domain", "subdomain", "order", "source"}
    assert problem.metadata["source"] == "gpqa_diamond.csv"
    shown = problem.text.split("\n")[-4:]
    assert shown[LETTERS.index(problem.gold)] == f"{problem.gold}) Correct Answer, {problem.id[3:]}"
    with pytest.raises(ConfigError, match="Difficulty"):
        TASK.problems(path, difficulty=["hard"])


def test_bad_files(tmp_path: Path) -> None:
    lacking = tuple(c for c in COLUMNS if c != "Incorrect Answer 2")
    with pytest.raises(DataError, match="'Incorrect Answer 2'"):
        TASK.problems(str(_official(tmp_path / "lacking.csv", lacking)))
    with pytest.raises(DataError, match="cannot read"):
        TASK.problems(str(tmp_path / "absent.csv"))
    twice = _official(tmp_path / "twice.csv")
    twice.write_text(twice.read_text().replace("rec2", "rec1"))
    with pytest.raises(DataError, match=r"rec1.*twice"):
        TASK.problems(str(twice))
    for name, content in {"empty.csv": b"", "latin.csv": b"\xff\xfe\xe9"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            TASK.problems(str(tmp_path / name))


def test_our_questions() -> None:
    text = files("anytime_lib.tasks").joinpath("data", "science.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == text.count("\n") - 1 == 48  # so no cell holds a newline
    count = Counter((r["High-level domain"], r["Difficulty"]) for r in rows)
    assert count == {
        (domain, level): n
        for domain in ("Physics", "Chemistry", "Biology")
        for level, n in {"easy": 5, "medium": 6, "hard": 5}.items()
    }
    for row in rows:
        assert len({row[c].casefold() for c in OPTIONS}) == 4
        assert all(v and v == v.strip() and "$" not in v for c, v in row.items() if c != "Canary String")
    longest = sum(len(r[OPTIONS[0]]) > max(len(r[c]) for c in OPTIONS[1:]) for r in rows)
    shortest = sum(len(r[OPTIONS[0]]) < min(len(r[c]) for c in OPTIONS[1:]) for r in rows)
    assert longest <= 12 and shortest <= 12  # a quarter would be chance
    for problems in (TASK.problems(), TASK.problems(split="all")):
        letters = Counter(p.gold for p in problems)
        assert max(letters.values()) <= 0.34 * len(problems) and min(letters.values()) >= 0.16 * len(problems)
