"""What is kept of the pairs, and how are they handed to others?

Three files in the run's folder: `preferences_<task>.jsonl`, every usable pair with its full lineage;
`preferences_<task>_trl.jsonl`, the same pairs in the `prompt` / `chosen` / `rejected` layout, as lists of messages,
that preference trainers such as TRL's read; and `preferences_<task>.md`, a card that says how they were made. Both
files of pairs open with `datasets.load_dataset("json", data_files=...)`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from anytime_lib.methods.pairs import lengths
from anytime_lib.methods.synthesis import Synthesis
from anytime_lib.redact import Redactor
from anytime_lib.registry import load_task
from anytime_lib.types import Attempt, Preference, shown

_FEW = 100
"""With fewer pairs than this, a card says that they are too few to train on."""


def save(made: Synthesis, folder: Path, name: str | None = None) -> list[Path]:
    """Write the files; those of private problems hold no text, and no file for trainers is made of them.

    Args:
        folder: the run's.
        name: of the files; by default `preferences_<task>`, with `_<by>` where the judge did not prefer.

    Returns:
        The paths written, the card last.
    """
    name = name or f"preferences_{made.task}" + ("" if made.by == "judge" else f"_{made.by}")
    folder.mkdir(parents=True, exist_ok=True)
    open_ = [p for p in made.usable if not p.problem.metadata.get("private")]
    whole, trl, card = folder / f"{name}.jsonl", folder / f"{name}_trl.jsonl", folder / f"{name}.md"
    whole.write_text(_lines(_lineage(made, p) for p in made.usable), encoding="utf-8")
    if open_:
        trl.write_text(_lines(_for_trainers(p) for p in open_), encoding="utf-8")
    else:
        trl.unlink(missing_ok=True)
    card.write_text(_card(made, name, len(open_)), encoding="utf-8")
    return [whole, *([trl] if open_ else []), card]


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    redact = Redactor()
    texts = (json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode() for row in rows)
    return "".join(redact(text) + "\n" for text in texts)


def _lineage(made: Synthesis, pair: Preference) -> dict[str, Any]:
    scores: dict[int, float] = {}
    here = made.comparisons[made.comparisons.problem_id == pair.problem.id]
    for side in ("first", "second"):
        scores |= dict(zip(here[side], here[f"score_{side}"], strict=True))

    def attempt(found: Attempt) -> dict[str, Any]:
        return {"reasoning": shown(pair.problem, found.reasoning), "answer": shown(pair.problem, found.answer),
                "trace_key": found.trace_key, "answer_key": found.answer_key, "sample": found.sample,
                "tokens": found.tokens, "gold_score": float(scores[found.sample])}  # fmt: skip

    return {
        "task": made.task, "problem_id": pair.problem.id, "problem_hash": pair.problem.content_hash,
        "prompt": shown(pair.problem), "chosen": attempt(pair.winner), "rejected": attempt(pair.loser),
        "by": pair.by, "margin": pair.margin, "in_context": pair in made.preferences,
        "verdicts": [
            {"order": order, "key": key, "log_odds_of_first": odds}
            for order, key, odds in zip(("chosen first", "rejected first"), pair.verdict_keys, pair.log_odds,
                                        strict=True)
        ] if pair.verdict_keys else [],
        **made.made_with, "package_version": version("anytime-lib"),
    }  # fmt: skip


def _for_trainers(pair: Preference) -> dict[str, Any]:
    """One pair as TRL's preference trainers take it: the attempt is one assistant's turn, reasoning and answer."""

    def said(found: Attempt) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": f"{found.reasoning}\n\n{found.answer}".strip()}]

    question = load_task(pair.problem.task).question(pair.problem)
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": said(pair.winner),
        "rejected": said(pair.loser),
    }


_WHO = {
    "judge": "the model itself, asked in both orders of presentation; its log-odds are averaged over the two",
    "grader": "the grader, by the gold answers of the pool problems",
    "verifier": "a checker that reads the problem alone, without its gold answer",
    "agreement": "the model as judge, where a checker (or else the grader) comes to the same",
    "shuffled": "nobody: these are the judge's pairs with better and worse swapped in half of them, as a placebo",
}


def _card(made: Synthesis, name: str, n_open: int) -> str:
    header: dict[str, Any] = {"pretty_name": f"Self-preference pairs on {made.task}", "tags": ["preference", "dpo"]}
    if n_open:
        header["configs"] = [{"config_name": "default", "data_files": f"{name}_trl.jsonl"}]
    long, outcomes = lengths(made.usable), made.comparisons.outcome.value_counts().to_dict()
    with_, problems = made.made_with, len({p.problem.id for p in made.usable})
    warnings = [
        "The better attempt is better by the verdict named above, not by truth: `gold_score` in the lineage file says "
        "what the grader thinks, and notebook 05 how far the two agree."
    ]
    if made.by == "shuffled":
        warnings.append("A placebo: do not train on it.")
    if len(made.usable) < _FEW:
        warnings.append(f"{len(made.usable)} pairs are enough for a prompt, too few to train on.")
    if n_open < len(made.usable):
        warnings.append(
            f"{len(made.usable) - n_open} pairs are on private problems: their texts are withheld from the lineage "
            "file, and they are left out of the file for trainers. The texts stay in the run's store."
        )
    if made.by in ("grader", "agreement"):
        warnings.append("Gold answers of the pool were used; none of the problems under test were.")
    lines = [
        f"# Self-preference pairs on {made.task}", "",
        "Pairs of a better and a worse attempt of one model at the same problem, synthesised for Preference Data "
        "Prompting (arXiv 2601.11038).", "",
        "## How they were made", "",
        f"- model: `{with_['model']}` at `{with_['endpoint']}`, temperature {with_['temperature']}, top_p "
        f"{with_['top_p']}, seed {with_['seed']}; anytime-lib {version('anytime-lib')}",
        f"- attempts: {with_['pool_samples']} at each of {with_['pool_problems']} pool problems, "
        f"{with_['pool_budget']} reasoning tokens, then a forced answer",
        f"- preferred by: {_WHO[made.by]}",
        "- the pool shares no problem with the test set, by id and by text", "",
        "## Counts", "",
        f"- {len(made.comparisons)} comparisons: " + (", ".join(f"{n} {o}" for o, n in outcomes.items()) or "none"),
        f"- {len(made.usable)} usable pairs from {problems} problems, {len(made.preferences)} of them in the prompt"
        + "".join(f"; {n} {why}" for why, n in made.left_out.items()),
        f"- mean length: better {long.winners:.1f} tokens, worse {long.losers:.1f}" if made.usable
        else "- no pair, and so no length",
        f"- `{name}.jsonl`: lineage (keys of traces, answers and verdicts in the run's store)",
        f"- `{name}_trl.jsonl`: {n_open} rows of `prompt`, `chosen`, `rejected`, as lists of messages" if n_open
        else "- no file for trainers: there is no pair that may be shown", "",
        "## Warnings", "", *(f"- {w}" for w in warnings), "",
    ]  # fmt: skip
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n" + "\n".join(lines)
