"""What do one trace, the judge's verdicts and the pairs made of them show? Sentences read off the numbers."""

from typing import Any

import numpy as np
import pandas as pd

from anytime_lib.index import anytime_index
from anytime_lib.plots.style import count
from anytime_lib.readings.words import few, listed
from anytime_lib.stats.compare import FEW
from anytime_lib.stats.intervals import APART

_MEASURES = {
    "accuracy": "prefers the better-scored attempt in {value:.0%} of {n} pairs in which judge and gold each prefer one",
    "auc": "ranks the better-scored of two attempts higher with an AUC of {value:.2f} over {n} pairs",
    "position_bias": "leans to the attempt shown first by {value:+.2f} nats over {n} pairs",
    "order_consistency": "prefers the same attempt in both orders in {value:.0%} of {n} pairs",
    "longer_wins": "prefers the longer attempt in {value:.0%} of {n} pairs",
    "longer_is_better": "would be right to prefer the longer attempt in {value:.0%} of {n} pairs",
    "cycles": "contradicts itself (A over B over C over A) in {value:.0%} of {n} triads",
}
"""A measure of `studies.judge_audit` in words, after "the judge"."""


def read_trace(table: pd.DataFrame) -> str:
    """How the forced answers of one trace change with the budget, and what the running maximum makes of that (rows of
    `tools.transcripts`, or cells)."""
    known, told = table.dropna(subset="score").sort_values("budget"), []
    if lost := len(table) - len(known):
        told.append(f"{count(lost, 'answer')} could not be had: the request failed, and another run tries again.")
    if len(known) < 2:
        return " ".join([*told, "There is no curve to read, for that takes answers at two budgets."])
    score, budget = known.score.to_numpy(float), known.budget.to_numpy()
    kept, plain = (float(anytime_index(budget, score, running_max=on)) for on in (True, False))
    told.append(f"Stopped after {budget[0]:,} tokens, the answer scores {score[0]:.2f};")
    told.append(f"after {budget[-1]:,} tokens, {score[-1]:.2f}.")
    if np.diff(score).min() < 0:
        told.append(f"The best one, of {score.max():.2f}, comes after {budget[score.argmax()]:,} tokens.")
        told.append("At some budget quality falls below what it was before, and the running maximum hides that:")
    else:
        told.append("Quality never falls, so the running maximum changes nothing:")
    told.append(f"the index is {kept:.3f} with it, and {plain:.3f} without.")
    return " ".join([*told, "This is one trace of one problem, and it does not tell how another would look."])


def read_verdicts(comparisons: pd.DataFrame) -> str:
    """Whether the judge's verdicts follow the attempts or the place in which they are shown (`comparisons` of a
    `Synthesis` by `judge`)."""
    odds = comparisons[["log_odds_ab", "log_odds_ba"]].astype(float).dropna()
    others, told, n = comparisons.outcome.drop(odds.index), ["No verdict of the judge could be read."], len(odds)
    if n:
        ab, ba = odds.to_numpy().T
        first, second = int(((ab > 0) & (ba > 0)).sum()), int(((ab < 0) & (ba < 0)).sum())
        attempt, place = np.abs(ab - ba).mean() / 2, np.abs(ab + ba).mean() / 2
        told = [
            f"The judge gave two verdicts on each of {count(n, 'pair')} of attempts, one in each order. It names",
            f"the attempt shown first in {(odds > 0).sum().sum()} of {2 * n} verdicts.",
            f"In {n - first - second} of {count(n, 'pair')} it prefers the same attempt in both orders;",
            f"in {first} it names the first place both times, and in {second} the second.",
            f"On average the attempt moves the log odds by {attempt:.2f} nats, and the place by {place:.2f}.",
        ]
        if 2 * (first + second) > n:
            told.append("Most of these verdicts tell the place and not the attempt.")
    if len(others):
        why = listed(f"{k} {outcome}" for outcome, k in others.value_counts().items())
        told.append(f"{count(len(others), 'further pair')} got no verdict ({why}).")
    return " ".join([*told, "This describes these verdicts, and tests nothing."])


def read_pairs(table: pd.DataFrame) -> str:
    """Where the pairs in the prompt come from, whether longer attempts are preferred, and whether gold agrees (of
    `Synthesis.to_frame`)."""
    if not len(table):
        return "No pair goes into the prompt, and methods that need pairs are left out."
    longer = np.sign(table.tokens_preferred - table.tokens_rejected)
    better = np.sign(table.score_preferred - table.score_rejected)
    cuts = listed(f"{budget:,}" for budget in sorted(table.budget.unique()))
    return (
        f"{count(len(table), 'pair')} from {count(table.problem_id.nunique(), 'pool problem')}, cut at {cuts} tokens. "
        f"The preferred attempt is longer in {(longer > 0).sum()}, shorter in {(longer < 0).sum()}, and as long as the "
        f"other in {(longer == 0).sum()}. By the gold answer, which the judge does not see, it is better in "
        f"{(better > 0).sum()}, worse in {(better < 0).sum()}, and no different in {(better == 0).sum()}. "
        "These are counts of what the prompt shows, and no test of the judge."
    )


def read_judge(table: pd.DataFrame) -> str:
    """What is shown of the judge, and what is not, all measures together (of `studies.judge_audit.audit_judge`)."""
    rows: list[Any] = list(table.dropna(subset="value").itertuples())
    enough = [row for row in rows if row.n_problems >= APART]
    shown = [row for row in enough if row.pvalue_holm < 0.05]
    told = [f"The judge {_measured(r)}: {'more' if r.value > r.chance else 'less'} than coins give." for r in shown]
    told += [few(row.n_problems).strip() for row in shown[:1] if row.n_problems < FEW]
    if open_ := [_measured(row) for row in enough if row not in shown]:
        told.append("\n- ".join(["Not told from a judge who tosses coins: it", *open_]))
    if bare := [_MEASURES[row.measure].format(value=row.value, n=row.n) for row in rows if row not in enough]:
        told.append(f"On fewer than {APART} problems, from which nothing is concluded, it {'; it '.join(bare)}.")
    if lacking := table.measure[table.value.isna()].str.replace("_", " ").tolist():
        told.append(f"Not measured, for want of pairs: {listed(lacking)}.")
    return "\n".join(told)


def _measured(row: Any) -> str:
    """A row of the audit in words, with its interval (of itself alone) and its adjusted p-value."""
    said = _MEASURES[row.measure].format(value=row.value, n=row.n)
    ends = "" if np.isnan(row.low) else f"[{row.low:.2f}, {row.high:.2f}], "
    return f"{said} ({ends}{row.n_problems} problems; coins give {row.chance:g}; p = {row.pvalue_holm:.2g}, adjusted)"


def read_accuracy(table: pd.DataFrame) -> str:
    """At which checkpoints the judge's accuracy is told from coins (rows of `audit_judge`, with task and budget)."""
    told = []
    for task, part in table.dropna(subset="value").groupby("task", sort=False):
        rows: list[Any] = list(part.itertuples())
        each = listed(f"{row.value:.0%} of {count(row.n, 'pair')} at {row.budget:,} tokens" for row in rows)
        adjusted = part.pvalue_holm * len(part)  # of all checkpoints, by Bonferroni
        stands = part.budget[(adjusted < 0.05) & (part.n_problems >= APART)]
        where = f"at {listed(f'{b:,}' for b in stands)} tokens alone" if len(stands) else "at no checkpoint"
        told.append(f"{task}: gold agrees with the judge in {each}. That is told from coins {where}.")
    return "\n".join(told) or "Judge and gold both prefer an attempt at no checkpoint: there is nothing to compare."
