"""Are the questions of the multiple-choice task loaded whole, kept to themselves, and sound? Are answers graded?"""

import csv
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from fake_gpqa import LOCKED, official
from fake_hub import FakeHub, use_hub

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.registry import load_task
from anytime_lib.tasks import gpqa
from anytime_lib.tasks.base import Task
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.gpqa import COLUMNS, LETTERS, OPTIONS, REPO, TASK
from anytime_lib.types import Problem, digest

SECRET = "whose-text-must-not-spread"
# Of our 48 questions as the first stored runs hold them. If it must change, those runs mean something else.
STORED = "57784abdc9be2c1dd62b1cc265c45d1213e8206f26d063ae6c5494635b7fe80c"


def test_grade() -> None:
    problem = TASK.problems()[0]
    wrong = next(x for x in LETTERS if x != problem.gold)
    for text, score, status in (
        (TASK.gold_answer(problem), 1.0, "ok"),
        (f"I'm sorry for the mess. Answer: {problem.gold}", 1.0, "ok"),
        (f"Answer: {wrong}", 0.0, "ok"),
        ("Hm. (A) or", 0.0, "unparsed"),
        (" ", 0.0, "empty"),
        ("I cannot answer this.", 0.0, "refused"),
        ("I’m sorry, but I can’t.", 0.0, "refused"),
        ("I am unable to help", 0.0, "refused"),
    ):
        grade = TASK.grade(problem, text)
        assert (grade.score, grade.correct, grade.status) == (score, score == 1, status)


def test_question_ends_with_the_instruction() -> None:
    assert isinstance(TASK, Task) and load_task("gpqa") is TASK
    problem = TASK.problems(limit=1)[0]
    assert TASK.question(problem).startswith(problem.text + "\n\n")
    assert len(TASK.gold_reasoning(problem)) > 20 and "explanation" not in problem.text
    assert extract_choice(TASK.answer_prompt(problem)) is None  # a model that only echoes it has answered nothing


def test_splits_and_choosing() -> None:
    test, pool, every = (TASK.problems(split=s, seed=3) for s in ("test", "pool", "all"))
    assert (len(test), len(pool), len(every)) == (32, 16, 48)
    assert {p.id for p in test} | {p.id for p in pool} == {p.id for p in every}
    for split in (test, pool):
        assert len({(p.metadata["domain"], p.metadata["difficulty"]) for p in split}) == 9
    assert TASK.problems(seed=3, limit=7) == every[:7] and TASK.problems(seed=3, limit=999) == every
    assert every != TASK.problems(seed=4)
    assert {p.id: p.text for p in every} == {p.id: p.text for p in TASK.problems(seed=4)}
    assert {p.metadata["difficulty"] for p in TASK.problems(difficulty=["easy", "hard"])} == {"easy", "hard"}
    for bad in ("easy", ["hrad"]):
        with pytest.raises(ConfigError):
            TASK.problems(difficulty=bad)


def _contents(problems: list[Problem]) -> str:
    """A hash of ids, texts and gold answers, in the order of the ids."""
    return digest([[p.id, p.text, p.gold] for p in sorted(problems, key=lambda p: p.id)])


def test_default_order_of_options_is_that_of_stored_runs() -> None:
    assert _contents(TASK.problems(split="all")) == STORED
    (problem,) = [p for p in TASK.problems(split="all") if p.id == "phys-15"]
    assert (problem.metadata["order"], problem.metadata["order_seed"], problem.gold) == ([0, 3, 2, 1], 0, "A")
    assert problem.text.split("\n")[-4:] == ["A) 600 J", "B) 1000 J", "C) 375 J", "D) 400 J"]


def test_order_of_options_depends_on_record_and_order_seed_alone() -> None:
    first, third = TASK.problems(split="all"), TASK.problems("#order=3")
    assert [p.id for p in first] == [p.id for p in third]
    assert 30 < sum(a.text != b.text for a, b in zip(first, third, strict=True)) <= 48  # 1 in 24 stays by chance
    assert all(sorted(p.metadata["order"]) == [0, 1, 2, 3] and p.metadata["order_seed"] == 3 for p in third)
    other = {p.id: p for p in TASK.problems("#order=3", limit=9, seed=7)}
    assert other and all(other[p.id] == p for p in third if p.id in other)


def test_official_file(tmp_path: Path) -> None:
    path = official(tmp_path / "gpqa_diamond.csv")
    parts = [TASK.problems(str(path), split=s) for s in ("test", "pool")]
    assert len({p.id for part in parts for p in part}) == 30 and min(map(len, parts)) > 3
    text = {p.id: (p.text, p.metadata["order"]) for part in parts for p in part}
    few = TASK.problems(official(tmp_path / "few.csv", n=10))  # the order of options is the same in every subset
    assert len(few) == 10 and all(text[p.id] == (p.text, p.metadata["order"]) for p in few)
    problem = parts[0][0]
    number = problem.id.removeprefix("rec")
    known = {"domain": f"High-level domain, {number}", "subdomain": f"Subdomain, {number}", "order_seed": 0}
    known |= {"order": problem.metadata["order"], "source": "gpqa_diamond.csv", "private": True}
    assert problem.metadata == known
    shown = problem.text.split("\n")[-4:]
    assert shown[LETTERS.index(problem.gold)] == f"{problem.gold}) Correct Answer, {number}"
    assert TASK.grade(problem, f"The answer is: Correct Answer, {number}").correct
    assert TASK.grade(problem, f"Answer: Incorrect Answer 2, {number}").status == "ok"
    assert TASK.problems(path, split="test") == parts[0]  # a Path is as good as a string
    with pytest.raises(DataError, match="no problem of that kind"):  # it names no difficulty
        TASK.problems(path, difficulty=["hard"])


def test_only_our_own_questions_may_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(p.metadata.get("private") for p in TASK.problems(split="all"))
    (problem, *_) = TASK.problems(official(tmp_path / "gpqa_main.csv"))
    assert problem.metadata["private"] and TASK.gold_reasoning(problem) == ""
    columns = (*COLUMNS, "Explanation", "Canary String")
    monkeypatch.setattr(gpqa, "OWN", official(tmp_path / "own.csv", columns, change={"Canary String": ""}))
    own = {p.id: p.metadata for p in TASK.problems()}
    assert "private" not in own["rec0"] and own["rec0"]["explanation"] == "Explanation, 0"
    assert own["rec1"]["private"] and "explanation" not in own["rec1"]  # a canary slipped in


def test_an_archive_that_would_fill_the_memory_is_refused_by_its_size(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "bomb.zip", "w", ZIP_DEFLATED) as bomb, bomb.open("dataset/gpqa_main.csv", "w") as member:
        for _ in range(60):
            member.write(bytes(10**6))
    with pytest.raises(DataError, match=r"gpqa_main\.csv would take 60,000,000 bytes"):
        gpqa.read(f"{tmp_path / 'bomb.zip'}#main")


def test_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = official(tmp_path / "gpqa_diamond.csv")
    with ZipFile(tmp_path / "plain.zip", "w") as plain:
        plain.write(path, f"dataset/{path.name}")
    for source in (LOCKED, tmp_path / "plain.zip"):
        for order in ("", "order=3"):
            problems = TASK.problems(f"{source}#diamond,{order}")
            assert _contents(problems) == _contents(TASK.problems(f"{path}#{order}"))
            assert {(p.metadata["source"], p.metadata["private"]) for p in problems} == {(source.name, True)}
            assert problems[0].metadata["subset"] == "diamond"
    monkeypatch.setattr(gpqa, "ZIP_PASSWORD", b"another")
    with pytest.raises(DataError, match="Bad password"):
        TASK.problems(f"{LOCKED}#diamond")


@pytest.mark.parametrize(
    ("source", "message"),
    [("aes.zip#diamond", "not supported"), ("aes.zip#main", "cannot read .*dataset/gpqa_main.csv"),
     ("text.zip#main", "not a zip file"), ("cut.zip#diamond", "cannot read"), ("none.zip#main", "there is no file"),
     ("none.csv", "there is no file"), ("empty.csv", "cannot read"), ("latin.csv", "cannot read .*utf-8"),
     ("no_rows.csv", "holds no rows")],
)  # fmt: skip
def test_unreadable_files(tmp_path: Path, source: str, message: str) -> None:
    good = LOCKED.read_bytes()
    aes, cut = bytearray(good), good[:200] + bytes(60) + good[260:]
    aes[aes.index(b"PK\x01\x02") + 10] = 99  # in the central directory, where the method stands
    latin = b"\xff\xfe\xe9" + SECRET.encode()
    broken = {"aes.zip": aes, "cut.zip": cut, "text.zip": b"no zip at all", "empty.csv": b"", "latin.csv": latin}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    official(tmp_path / "no_rows.csv", n=0)
    with pytest.raises(DataError, match=message) as raised:
        TASK.problems(f"{tmp_path}/{source}")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_dataset(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    path = official(tmp_path / "gpqa_main.csv")
    data = Dataset.from_csv(str(path), cache_dir=str(tmp_path / "cache"))
    problems = TASK.problems(data)
    assert _contents(problems) == _contents(TASK.problems(path))
    assert problems[0].metadata["private"] and problems[0].metadata["source"] == "datasets.Dataset"
    with pytest.raises(ConfigError, match="one split"):
        TASK.problems(DatasetDict({"train": data}))
    with pytest.raises(DataError, match=r"Dataset lacks.*'Question'"):
        TASK.problems(data.remove_columns("Question"))


@pytest.mark.parametrize(
    ("source", "message"),
    [("hub#dimond", "did you mean 'diamond'"), ("hub#gpqa_extended", "did you mean 'extended'"),
     ("hub", "need one subset, as in hub#diamond"), ("gpqa.json", r"\.csv or \.zip")],
)  # fmt: skip
def test_bad_sources(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TASK.problems(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"Record ID": "rec1"}, "share the id 'rec1'"), ({"Question": " "}, "record 1 lacks .* the question"),
     ({"Incorrect Answer 1": ""}, "record 1 lacks .* an option"), (None, "lacks.*'Incorrect Answer 2'")],
)  # fmt: skip
def test_bad_files_are_told_without_their_text(change: dict[str, str] | None, message: str, tmp_path: Path) -> None:
    columns = COLUMNS if change else tuple(c for c in COLUMNS if c != "Incorrect Answer 2")
    path = official(tmp_path / "gpqa_main.csv", columns, change={"Correct Answer": SECRET} | (change or {}))
    with pytest.raises(DataError, match=message) as raised:
        TASK.problems(path)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_our_questions() -> None:
    text = gpqa.OWN.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == text.count("\n") - 1 == 48  # so no cell holds a newline
    count = Counter((r["High-level domain"], r["Difficulty"]) for r in rows)
    wanted = {"easy": 5, "medium": 6, "hard": 5}
    assert count == {(d, level): n for d in ("Physics", "Chemistry", "Biology") for level, n in wanted.items()}
    for row in rows:
        assert len({row[c].casefold() for c in OPTIONS}) == 4
        assert all(v and v == v.strip() and "$" not in v for c, v in row.items() if c != "Canary String")
    longest = sum(len(r[OPTIONS[0]]) > max(len(r[c]) for c in OPTIONS[1:]) for r in rows)
    shortest = sum(len(r[OPTIONS[0]]) < min(len(r[c]) for c in OPTIONS[1:]) for r in rows)
    assert longest <= 12 and shortest <= 12  # a quarter would be chance
    letters = Counter(p.gold for p in TASK.problems())
    assert max(letters.values()) <= 0.34 * 48 and min(letters.values()) >= 0.16 * 48


# The gated set on the hub.

TOKEN = "hf_madeUpForThisTest"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = f"https://huggingface.co/datasets/{REPO}"


@pytest.fixture(scope="module")
def gated_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("csv") / "gpqa_diamond.csv"
    return official(path, change={"Incorrect Answer 1": "None", "Incorrect Answer 2": "1.50"})


@pytest.fixture
def hub(gated_csv: Path) -> Iterator[FakeHub]:
    hub = FakeHub({REPO: {"gpqa_diamond.csv": gated_csv.read_bytes()}}, COMMIT, (REPO,), TOKEN)
    yield hub
    hub.close()


@pytest.fixture
def load(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., Any]:
    """Loads a source: the problems, or the sentence that tells why not; no log and no cache may show the token."""
    caplog.set_level(logging.DEBUG)

    def loaded(source: str, token: str | None = None, url: str = "", **settings: bool) -> Any:
        with monkeypatch.context() as patch:
            use_hub(patch, url or hub.url, tmp_path, **settings)
            if token:
                patch.setenv("HF_TOKEN", token)
            try:
                found: Any = TASK.problems(source, seed=1)
            except DataError as error:
                found = "".join(traceback.format_exception(error))  # with whatever stands behind it
                assert "another exception" not in found and "direct cause" not in found
        assert "madeUp" not in caplog.text and "Correct Answer" not in caplog.text
        assert not any(b"madeUp" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f.name != "token")
        return found

    return loaded


def test_with_a_token(hub: FakeHub, load: Callable[..., Any], gated_csv: Path) -> None:
    expected = [(p.id, p.text, p.gold) for p in TASK.problems(gated_csv, seed=1)]
    found = load("hub#diamond", TOKEN)
    assert [(p.id, p.text, p.gold) for p in found] == expected  # what the file holds: "None" and "1.50" too
    origin = {"source": REPO, "subset": "diamond", "revision": COMMIT, "private": True}
    assert found[0].metadata.items() >= origin.items()
    assert {bearer for *_, bearer in hub.asked} == {f"Bearer {TOKEN}"}
    assert [method for method, *_ in hub.asked].count("GET") == 1

    # The user's cache serves a revision that is named without a request; what is not there is told in a sentence.
    hub.asked.clear()
    assert load(f"hub#diamond,revision={COMMIT}", TOKEN) == found and hub.asked == []
    for missing, said in (("hub#main", "gpqa_main.csv"), ("hub#diamond,revision=v9", "v9")):
        told = load(missing, TOKEN)
        assert f"look at {PAGE}, " in told and said in told

    # Offline it serves what it holds, and the rest is told, as where the hub is down.
    hub.asked.clear()
    assert load("hub#diamond", offline=True) == found
    offline = load("hub#extended", offline=True)
    assert hub.asked == []
    for told in (offline, load("hub#extended", TOKEN, url="http://127.0.0.1:9")):  # where nobody listens
        assert f"{REPO} could not be had from the hub" in told and f"look at {PAGE}, " in told


def test_with_the_token_of_a_login(load: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    found = load("hub#diamond,order=2", implicit=False)
    assert (found[0].metadata["source"], found[0].metadata["order_seed"]) == (REPO, 2)


@pytest.mark.parametrize("token", [None, "hf_madeUpBySomebodyElse"], ids=["no token", "terms not accepted"])
def test_refusals(token: str | None, load: Callable[..., Any]) -> None:
    assert f"look at {PAGE}, accept its terms there with the account of your token" in load("hub#diamond", token)
