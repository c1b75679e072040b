"""Which of four options is right? GPQA, or 48 science questions of our own in GPQA's layout.

GPQA (Rein et al., arXiv 2311.12022) must be fetched by the user: its authors ask that no question ever appears in plain
text online. So a question and its options stand in `Problem.text` and nowhere else, no error message quotes them, and
the metadata of every such problem says `private: True` to whatever shows or exports problems.
"""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from anytime_lib.errors import ConfigError, DataError
from anytime_lib.prompts import prompt
from anytime_lib.tasks.base import select
from anytime_lib.tasks.built_in import hub_error, levels, right_or_wrong, split_source
from anytime_lib.tasks.choices import extract_choice
from anytime_lib.tasks.sources import read_table
from anytime_lib.types import Grade, Problem

__all__ = ["TASK", "Gpqa", "extract_choice"]

REPO = "Idavidrein/gpqa"
ZIP_PASSWORD = b"deserted-untie-orchid"  # public: it stands in the README of github.com/idavidrein/gpqa
OWN = Path(__file__).with_name("data") / "science.csv"
LEVELS = ("easy", "medium", "hard")
LETTERS = "ABCD"
OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
COLUMNS = ("Record ID", "Question", *OPTIONS, "Subdomain", "High-level domain")


class Gpqa:
    """The task `gpqa`: four options, one right; quality is 1 or 0."""

    name = "gpqa"
    answer_tokens = 32
    grader_version = 6

    def problems(
        self, source: Any = None, limit: int | None = None, seed: int = 0, split: str = "all", difficulty: Any = None
    ) -> list[Problem]:
        """Our own 48 questions (None), or a source's as `read` takes it; see `Task.problems`.

        A third, by content, are `pool`. `seed` never changes the order of the options, which the source's `order`
        does. `difficulty` lists some of `easy`, `medium`, `hard`; official files name no difficulty.
        """
        wanted = levels(difficulty, LEVELS, ", ".join(LEVELS))
        found = [p for p in read(source) if difficulty is None or p.metadata.get("difficulty") in wanted]
        return select(found, split, seed, limit, one_in=3)

    def question(self, problem: Problem) -> str:
        return prompt("gpqa.question", problem=problem.text)

    def gold_reasoning(self, problem: Problem) -> str:
        """The explanation of one of our own questions; empty for others, whose text should not spread."""
        return str(problem.metadata.get("explanation", ""))

    def answer_prompt(self, problem: Problem) -> str:
        return prompt("gpqa.answer")

    def gold_answer(self, problem: Problem) -> str:
        return f"Answer: {problem.gold}"

    def extract_answer(self, problem: Problem, text: str) -> str | None:
        """The option that a response settles on, for votes."""
        options = re.fullmatch(r".*\nA\) (.*)\nB\) (.*)\nC\) (.*)\nD\) (.*)", problem.text, re.DOTALL)
        return extract_choice(text, options and options.groups())

    def grade(self, problem: Problem, text: str) -> Grade:
        """1 if the option that the response settles on is the right one, else 0."""
        choice = self.extract_answer(problem, text)
        return right_or_wrong(problem, text, choice, "no single option is stated as the answer")


TASK = Gpqa()


def read(source: Any) -> list[Problem]:
    """The questions of a source, in its order; DataError where it could not be had or read.

    A source is None for our own 48; the path of a .csv in GPQA's columns; `dataset.zip#diamond`, the official archive;
    `hub#diamond`, the gated set with the user's token (HF_TOKEN or `hf auth login`) and cache, at `revision=...` or the
    newest; or a `datasets.Dataset`. `order=3` after the `#` gives another order of the options than the default 0.
    """
    if not isinstance(source, str | Path | None):
        return _problems(read_table(source), {"source": "datasets.Dataset", "private": True, "order_seed": 0})
    place, options = split_source(source or "", "main|diamond|extended|order|revision")
    subset = next(iter(options.keys() - {"order", "revision"}), None)
    if subset is None and (place == "hub" or place.endswith(".zip")):
        raise ConfigError(f"the hub and a .zip need one subset, as in {place}#diamond")
    path, order_seed = Path(place or OWN), int(options.get("order", 0))
    origin = {"source": path.name, "private": True, "order_seed": order_seed} | ({"subset": subset} if subset else {})
    if place == "hub":
        from huggingface_hub import get_token, hf_hub_download

        # `datasets.load_dataset` would guess types ("1.50" becomes 1.5) and leave a second copy of the text.
        revision, file = options.get("revision"), f"gpqa_{subset}.csv"
        token = True if get_token() else None  # True sends it even where it is not sent unasked: this is asked for
        try:
            path = Path(hf_hub_download(REPO, file, repo_type="dataset", revision=revision, token=token))
        except Exception as error:  # of the hub's client, its HTTP client, or the disk: not shown with its request
            raise hub_error("gpqa", REPO, error) from None
        # It lies in the user's hub cache as snapshots/COMMIT/FILE.
        origin |= {"source": REPO, "revision": path.parent.name}
    elif not place:
        origin = {"source": "anytime_lib science v1", "order_seed": order_seed}
    readers = {".csv": _read_csv, ".zip": lambda file: _read_zip(file, f"dataset/gpqa_{subset}.csv")}
    return _problems(read_table(path, readers), origin)


def _read_zip(file: Path, member: str) -> pd.DataFrame:
    """A member of the archive, if it is no larger than such a file can be: a few bytes may hold gigabytes."""
    with zipfile.ZipFile(file) as archive:
        if (size := archive.getinfo(member).file_size) > 50_000_000:
            raise ValueError(f"{member} would take {size:,} bytes")
        return _read_csv(archive.open(member, pwd=ZIP_PASSWORD))


def _read_csv(file: Any) -> pd.DataFrame:
    """Every cell as its text: "None" and "1.50" are options."""
    return pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")


def _problems(table: pd.DataFrame, origin: Mapping[str, Any]) -> list[Problem]:
    """The problems in a table's rows. No message tells more than columns and numbers."""
    where = origin["source"]
    if missing := [column for column in COLUMNS if column not in table]:
        raise DataError(f"{where} lacks GPQA's column {', '.join(map(repr, missing))}")
    table = table.where(table.notna(), "").astype(str).apply(lambda cells: cells.str.strip())
    if (faults := (table[["Record ID", "Question", *OPTIONS]] == "").any(axis=1)).any():
        raise DataError(f"{where}: record {faults.argmax() + 1} lacks its ID, the question or an option")
    found = []
    # The order depends on record and seed alone: no cache, build, subset or draw ever sees the options reshuffled.
    # Another salt would be another order, and so another meaning of every stored answer.
    salt = "gpqa option order" + (f" {origin['order_seed']}" if origin["order_seed"] else "")
    for row in table.to_dict("records"):
        record = row["Record ID"]
        order = sorted(range(4), key=lambda i: hashlib.sha256(f"{salt}:{record}:{i}".encode()).digest())
        shown = [f"{letter}) {row[OPTIONS[i]]}" for letter, i in zip(LETTERS, order, strict=True)]
        known = {"domain": row["High-level domain"], "subdomain": row["Subdomain"], "order": order, **origin}
        if row.get("Difficulty"):
            known["difficulty"] = row["Difficulty"]
        if row.get("Canary String"):
            known["private"] = True
        if not known.get("private"):
            known["explanation"] = row["Explanation"]
        text = "\n".join([row["Question"], "", *shown])
        found.append(Problem(record, "gpqa", text, LETTERS[order.index(0)], known))
    return found
