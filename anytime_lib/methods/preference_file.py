"""What is kept of the pairs, and how are they handed to others?

Three files in the run's folder: `preferences_<task>.jsonl`, every usable pair with its full lineage;
`preferences_<task>_trl.jsonl`, the same pairs as `prompt`, `chosen` and `rejected`, lists of messages, for preference
trainers such as TRL's; and `preferences_<task>.md`, a card that says how they were made.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from anytime_lib.files import replace_file
from anytime_lib.methods.judge import Attempt, Preference
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.redact import Redactor
from anytime_lib.registry import load_task
from anytime_lib.types import shown


def save(made: Synthesis, folder: Path, answers: bool = False, most: int = 0) -> None:
    """Write the files into the run's folder; those of private problems hold no text, and no file for trainers is made
    of them. Their names end in who preferred, where that was not the judge, in `answers` where these are shown, and in
    how many attempts count at the `most`."""
    name = f"preferences_{made.task}" + ("_answers" if answers else "" if made.by == "judge" else f"_{made.by}")
    name += f"_{most}" if most else ""
    open_ = [p for p in made.usable if not p.problem.metadata.get("private")]
    card = Environment(loader=PackageLoader("anytime_lib", "data"), keep_trailing_newline=True)
    about = {"made": made, "name": name, "n_open": len(open_), "version": version("anytime-lib"), "answers": answers}
    texts = {
        f"{name}.jsonl": _lines(_lineage(made, p) for p in made.usable),
        f"{name}_trl.jsonl": _lines(map(_for_trainers, open_)),
        f"{name}.md": card.get_template("preference_card.md.jinja").render(about),
    }
    for file, text in texts.items():
        with replace_file(folder / file) as part:
            part.write_text(text, encoding="utf-8")
    if not open_:
        (folder / f"{name}_trl.jsonl").unlink()


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return Redactor()(text.encode("utf-8", "replace").decode())


def _lineage(made: Synthesis, pair: Preference) -> dict[str, Any]:
    def attempt(found: Attempt) -> dict[str, Any]:
        texts = {name: shown(pair.problem, getattr(found, name)) for name in ("reasoning", "answer")}
        return asdict(found) | texts | {"grade": found.grade.status, "gold_score": found.grade.score}

    verdicts = zip(("chosen first", "rejected first"), pair.verdict_keys, pair.log_odds, strict=False)
    row: dict[str, Any] = {"task": made.task, "problem_id": pair.problem.id, "problem_hash": pair.problem.content_hash}
    row |= {"prompt": shown(pair.problem), "chosen": attempt(pair.winner), "rejected": attempt(pair.loser)}
    row |= {"by": pair.by, "margin": pair.margin, "budget": pair.budget, "in_context": pair in made.preferences}
    row["verdicts"] = [{"order": o, "key": key, "log_odds_of_first": odds} for o, key, odds in verdicts]
    return row | made.made_with | {"package_version": version("anytime-lib")}


def _for_trainers(pair: Preference) -> dict[str, Any]:
    """One pair: the question, and each attempt as one assistant's turn, reasoning and answer."""
    chosen, rejected = (("assistant", f"{a.reasoning}\n\n{a.answer}".strip()) for a in (pair.winner, pair.loser))
    question = ("user", load_task(pair.problem.task).question(pair.problem))
    turns = {"prompt": question, "chosen": chosen, "rejected": rejected}
    return {name: [{"role": role, "content": content}] for name, (role, content) in turns.items()}
