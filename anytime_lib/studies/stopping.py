"""When should a model stop thinking? What would each rule have spent and earned, by stored answers, without a call?

A rule is given the problem without its gold answer, and the checkpoints so far: it cannot look ahead. It is charged for
what a run under it would have written: the reasoning so far, and every answer that was forced for it to look at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from anytime_lib.errors import DataError
from anytime_lib.index import ARM, Floats, halvings
from anytime_lib.methods.judge import verified
from anytime_lib.methods.self_consistency import elected, reader_of
from anytime_lib.registry import load_task
from anytime_lib.stats.compare import Comparison
from anytime_lib.stats.family import Family, Member, conclude
from anytime_lib.stats.intervals import alpha_of
from anytime_lib.stats.measures import compare_values
from anytime_lib.store import Store
from anytime_lib.sweep.grading import stored_answers
from anytime_lib.tasks.base import Task, user_code
from anytime_lib.types import Problem


class Checkpoint(NamedTuple):
    """What is known of a trace that is stopped at a budget, or of all traces of a problem at once: the answer forced
    there, as the task reads it in one spelling (None: unread), and in words; the share of the traces that give it; and
    whether they have ended by themselves. Of several traces the answer is their vote's."""

    budget: int
    answer: Any
    text: str
    agreement: float
    ended: bool


Stop = Callable[[Problem, Sequence[Checkpoint]], bool]
"""Whether to stop now, at the last of the checkpoints so far."""


@dataclass(frozen=True)
class Rule:
    """When to stop: a function for each of its settings, of which one is chosen by problems that it is not judged on.
    With `votes` it watches all samples of a problem at once, pays for all of them, and answers by their vote."""

    name: str
    stops: Mapping[Any, Stop]
    votes: bool = False


def agreeing(k: int) -> Stop:
    """Stop when the last k checkpoints give the same answer."""
    if k < 1:
        raise DataError(f"a rule looks at one checkpoint or more, not at {k}")
    return lambda _, seen: len(seen) >= k and seen[-1].answer is not None and len({c.answer for c in seen[-k:]}) == 1


def of_one_mind(share: float) -> Stop:
    """Stop when this share of the samples, or more, gives the same answer."""
    if not 0 < share <= 1:
        raise DataError(f"a share must lie above 0 and be at most 1, not {share}")
    return lambda _, seen: seen[-1].answer is not None and seen[-1].agreement >= share


def content(task: Task, least: float) -> Stop:
    """Stop when the task's checker, which reads the problem's text alone, gives the answer this score or more."""
    return lambda problem, seen: (verified(task, problem, seen[-1].text) or 0.0) >= least


def rules_of(task: Task) -> list[Rule]:
    """The rules by which any task can be stopped, and that of its checker, if it has one."""
    found = [Rule("answers agree", {k: agreeing(k) for k in (2, 3, 4)})]
    found.append(Rule("samples agree", {share: of_one_mind(share) for share in (0.5, 0.75, 1.0)}, votes=True))
    checked = Rule("checker content", {least: content(task, least) for least in (0.8, 0.9, 1.0)})
    return [*found, checked] if getattr(task, "verify", None) else found


SINGLE = "one budget for all"
SOLUTIONS = ("reasoning", "explanation")
"""Metadata of a problem that may tell its answer."""
MEASURED = ["quality", "tokens", "futile", "overthought", "lost"]


@dataclass(frozen=True)
class Watched:
    """Traces as a rule would have watched them: the checkpoints `seen` of each of n traces (or votes), T of each; the
    cells behind them, in the same order (`rows`; `new` are the tokens of an answer that was not asked before, for what
    larger budgets carry on is paid once); `problems` by id; and how many traces lack a graded answer and are left out.
    """

    seen: list[list[Checkpoint]]
    rows: pd.DataFrame
    problems: Mapping[str, Problem]
    n_missing: int

    def array(self, column: str) -> Floats:
        """A column of numbers as (n, T)."""
        return self.rows[column].to_numpy(float).reshape(len(self.seen), -1)

    def places(self, stop: Stop, name: str = "given") -> list[int]:
        """At which checkpoint a rule stops each trace, at the latest where it has ended or none is left: n of them. The
        rule is given the problem's text, and neither gold nor solution."""
        found = []
        for id, seen in zip(self.rows.problem_id[:: len(self.seen[0])], self.seen, strict=True):
            told = {key: value for key, value in self.problems[id].metadata.items() if key not in SOLUTIONS}
            problem = replace(self.problems[id], gold=None, metadata=told)
            with user_code(f"the rule {name!r}", problem):
                ends = (t for t, now in enumerate(seen) if now.ended or stop(problem, seen[: t + 1]))
                found.append(next(ends, len(seen) - 1))
        return found

    def spent(self, at: Any, *, looked: bool) -> Floats:
        """What is had and paid where traces are stopped `at` checkpoints, (P, 5): `MEASURED`, means over the traces of
        each problem. Tokens are of the reasoning, and of each answer so far if it `looked` at them, else of the last;
        `futile` are those of traces that are never right; `overthought`: right before and not now; `lost`: right at the
        largest budget and not now."""
        right, asked = self.array("correct"), self.array("new" if looked else "answer_tokens")
        ever = np.maximum.accumulate(right, axis=1)
        tokens = self.array("tokens_used") + (asked.cumsum(axis=1) if looked else asked)
        lost = np.maximum(right[:, -1:] - right, 0.0)
        every = np.stack([self.array("score"), tokens, tokens * (ever[:, -1:] == 0), ever - right, lost], axis=-1)
        there = pd.DataFrame(every[np.arange(len(every)), at])
        return there.groupby(self.rows.problem_id.to_numpy()[:: right.shape[1]]).mean().to_numpy()


def watch(cells: pd.DataFrame, store: Store, *, votes: bool = False) -> Watched:
    """The traces of one arm, or the votes of all samples of each problem. DataError where there is nothing to watch."""
    if len(cells[ARM].drop_duplicates()) != 1:
        raise DataError("a rule watches the traces of one run, model, task and method: filter the cells first")
    task, trace, n_budgets = load_task(cells.task.iloc[0]), ["problem_id", "sample"], cells.budget.nunique()
    told = {answer.cell["answer_key"]: answer.text for answer in stored_answers(store, task.name)}
    rows = cells.sort_values([*trace, "budget"]).assign(text=cells.answer_key.map(told))
    rows = rows[rows.groupby(trace).score.transform("count") == n_budgets].reset_index(drop=True)
    wrong = {
        "no trace has a graded answer at every budget": rows.empty,
        "a sample has several traces, and a rule goes on with one": rows.groupby(trace).trace_key.nunique().max() > 1,
        "its answers are not in this store": bool(rows.text.isna().any()),
    }
    for why in (why for why, holds in wrong.items() if holds):
        raise DataError(f"{cells.method.iloc[0]} on {task.name} cannot be watched: {why}")
    rows["new"] = rows.answer_tokens.mask(rows.duplicated([*trace, "answer_key"]), 0)
    problems, read = {problem.id: problem for problem in store.problems(task.name)}, reader_of(task)
    groups, checkpoints, best = rows.groupby([*trace[: 2 - votes], "budget"]), list[Checkpoint](), []
    for _, group in groups:
        problem, texts = problems[group.problem_id.iloc[0]], group.text.tolist()
        with user_code(f"the reader of {task.name}", problem):
            answers = [read(problem, text) for text in texts]
            first = elected(task, problem, texts) if votes else 0
        share = 0.0 if answers[first] is None else answers.count(answers[first]) / len(answers)
        ended, budget = bool(group.stopped_naturally.all()), int(group.budget.iloc[0])
        checkpoints.append(Checkpoint(budget, answers[first], texts[first], share, ended))
        best.append(group.index[first])
    n_missing = len(cells.drop_duplicates(trace)) - len(rows) // n_budgets
    sums = {name: groups[name].sum().to_numpy() for name in ("tokens_used", "answer_tokens", "new")}
    seen = [checkpoints[start : start + n_budgets] for start in range(0, len(checkpoints), n_budgets)]
    return Watched(seen, rows.loc[best].assign(**sums), problems, n_missing)


def crossfitted(by_setting: Mapping[Any, Floats], full: Floats, margin: float) -> tuple[Any, Floats, Floats]:
    """The setting that spends least, of those that lose no more than the margin against the full budget; that itself,
    where none does. Chosen on one half of the problems and judged on the other, both ways round, over ways to halve
    them: (P, 5) of each setting and of the full budget -> the setting chosen on all problems, what is had and paid as
    judged, and as it seems where it was chosen, which is too good. A single setting is no choice."""
    settings, every = ["full budget", *by_setting], np.stack([full, *by_setting.values()])
    if len(by_setting) == 1:
        return settings[1], every[1], every[1]
    held, times = np.zeros_like(full), np.zeros((len(full), 1))

    def chosen(here: Any) -> int:
        quality, tokens = every[:, here, :2].mean(axis=1).T
        return int(np.where(quality >= quality[0] - margin, tokens, np.inf).argmin())

    for here in (mask for half in halvings(len(full)) for mask in (half, ~half)):
        held[~here] += every[chosen(here)][~here]
        times[~here] += 1
    return settings[place := chosen(slice(None))], np.round(held / times, 12), every[place]


def best_mix(costs: Floats, quality: Floats, tokens: float) -> Floats:
    """The shares of single budgets, of growing cost (T,), that together have the most quality at a mean cost of at most
    so many tokens (of the cheapest, where nothing costs so little): two budgets at most. (T,)."""
    n, best, shares = len(costs), -np.inf, np.eye(len(costs))[0]
    for low in range(n):
        for high in range(low, n):
            part = np.clip((tokens - costs[low]) / max(costs[high] - costs[low], 1e-12), 0.0, 1.0)
            mix = (1 - part) * np.eye(n)[low] + part * np.eye(n)[high]
            if mix @ costs <= tokens + 1e-9 and mix @ quality > best + 1e-12:
                best, shares = mix @ quality, mix
    return shares


def stopping_table(
    cells: pd.DataFrame, store: Store, rules: Sequence[Rule] | None = None, *, margin: float = 0.05, **settings: Any
) -> pd.DataFrame:
    """What every rule (by default those of `rules_of`) has and pays on one arm, against its full budget and against
    single budgets for all. Rules that vote stand beside the votes of all samples, and need two samples or more.

    Args:
        margin: the loss of quality that counts as nothing.
        settings: of `stats.compare`: n_resamples (2,000), seed (0), confidence_level (.95).

    One row for each `what`: a single `budget`; a `rule`, the first of which is the best single budget; the `oracle`,
    which sees the scores and stops at the earliest best one. Columns: of (`traces` or `votes`), rule, setting_on_all
    (the one that all problems would choose; what follows is of the settings that halves chose, see `crossfitted`),
    quality, tokens (of reasoning and answers), saved (share of the full budget's tokens), regret (quality under the
    oracle's), difference (from the full budget), in_sample (the same of `setting_on_all`: too good), lost, overthought
    (shares of traces) and futile (share of its tokens; all three: see `Watched.spent`), n_problems, n_samples,
    n_missing (traces left out). Of rules also verdict and reading (against the full budget, all rules together, see
    `stats.conclude`), and, but for the single budget, above, low, high, beats: quality over the best that single
    budgets have at that cost (see `best_mix`), its interval, and (adjusted) whether it is more (1), less (-1), or
    undecided (0). Intervals take choices and costs as they are.
    """
    settings = {"n_resamples": 2_000, "seed": 0, "confidence_level": 0.95} | settings
    traces, n_samples = watch(cells, store), cells["sample"].nunique()
    own = rules_of(load_task(cells.task.iloc[0])) if rules is None else rules
    rows, at_full, at_cost = list[dict[str, Any]](), dict[Member, Comparison](), dict[Member, Comparison]()
    if len({rule.name for rule in own}) < len(own):
        raise DataError("two rules have the same name, by which they could not be told apart")
    for votes in [False, True][: 1 + (n_samples > 1 and any(rule.votes for rule in own))]:
        watched, of = (watch(cells, store, votes=True), "votes") if votes else (traces, "traces")
        curve = {now.budget: watched.spent(t, looked=False) for t, now in enumerate(watched.seen[0])}
        every, tried = [*curve.values()], {SINGLE: curve}
        if len(every[0]) < 2:
            raise DataError("a rule is judged on other problems than it is chosen by: two problems or more are needed")
        for rule in (rule for rule in own if rule.votes == votes):
            places = {setting: watched.places(stop, rule.name) for setting, stop in rule.stops.items()}
            tried[rule.name] = {setting: watched.spent(at, looked=True) for setting, at in places.items()}
        best = watched.spent(watched.array("score").argmax(axis=1), looked=False)
        found: list[tuple[Any, ...]] = [("budget", "", budget, each, each) for budget, each in curve.items()]
        found += [("rule", name, *crossfitted(each, every[-1], margin)) for name, each in tried.items()]
        costs = np.maximum.accumulate([each[:, 1].mean() for each in every])
        for what, name, setting, held, seems in [*found, ("oracle", "", "", best, best)]:
            quality, tokens, futile, overthought, lost = held.mean(axis=0)
            row = {"of": of, "what": what, "rule": name, "setting_on_all": setting}
            row |= {"quality": quality, "tokens": tokens, "saved": 1 - tokens / costs[-1]}
            row |= {"regret": best[:, 0].mean() - quality, "difference": round((held - every[-1])[:, 0].mean(), 9)}
            row |= {"in_sample": (seems - every[-1])[:, 0].mean(), "lost": lost, "overthought": overthought}
            row |= {"futile": futile / tokens, "n_problems": len(held)}
            rows.append(row | {"n_samples": n_samples, "n_missing": watched.n_missing})
            mixed = np.tensordot(best_mix(costs, np.mean([e[:, 0] for e in every], axis=1), tokens), every, axes=1)
            names: dict[str, Any] = {"baseline": f"the full budget of {of}", "treatment": name}
            against = [(at_full, every[-1]), (at_cost, mixed)] if what == "rule" else []
            for family, other in against[: 1 if name == SINGLE else 2]:
                comparison = compare_values(np.stack([other, held])[..., :1], **names, **settings)
                member = Member._make([*map(str, cells[ARM[:3]].iloc[0]), *names.values()])
                family[member] = replace(comparison, n_samples=n_samples)
    table, alpha = pd.DataFrame(rows), alpha_of(settings["confidence_level"])
    judged, told = table.what == "rule", conclude(Family(at_full, alpha), margin)
    table.loc[judged, ["verdict", "reading"]] = told[["verdict", "reading"]].to_numpy()
    spans = [(c.statistic, *c.confidence_interval()) for c in at_cost.values()]
    table.loc[judged & (table.rule != SINGLE), ["above", "low", "high"]] = np.reshape(spans, (-1, 3))
    table.loc[judged & (table.rule != SINGLE), "beats"] = Family(at_cost, alpha).directions
    return table
