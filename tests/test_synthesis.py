"""Preference pairs: who prefers, which pairs are chosen, what is written of them, and what is counted, not guessed."""

import json
import math
import re
import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Config
from datasets import load_dataset
from fake_server import FakeServer, say_something
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib import RunConfig, Store, load_task, make_task, run_sweep, run_synthesis
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import Context
from anytime_lib.methods.judge import (
    PREFERENCE_SOURCES,
    Attempt,
    Judgement,
    Preference,
    agreed,
    log_odds,
    scored,
    verified,
)
from anytime_lib.methods.leap import Principles
from anytime_lib.methods.pdp import choose, shuffled
from anytime_lib.methods.preference_file import save
from anytime_lib.methods.synthesis import ring, strengths, widest_of
from anytime_lib.readings import read_pairs
from anytime_lib.registry import load_method
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.custom import CustomTask
from anytime_lib.types import Problem, assert_disjoint


def sums(name: str = "sums", private: bool = False, **options: Any) -> CustomTask:
    rows = [{"text": f"What is {i} + 1?", "gold": i + 1, "difficulty": i % 3, "private": private} for i in range(60)]

    def right(problem: Problem, text: str) -> bool | None:
        found = re.search(r"\d+", text)
        return None if found is None else int(found[0]) == problem.gold

    return make_task(name, rows, right, **options)


def checked(problem: Problem, text: str) -> float | None:
    """A checker that reads the problem alone."""
    asked, found = re.search(r"is (\d+)", problem.text), re.search(r"\d+", text)
    return float(int(found[0]) == int(asked[1]) + 1) if asked and found else None


def solver(body: dict[str, Any], number: int) -> Any:
    """Reasons in words of chance; answers right where they begin with an even letter; judges by the answers, with its
    letters' log-probabilities, and a liking for A."""
    asked = body["messages"][-1]["content"]
    if judges(body):
        n = int(re.search(r"is (\d+)", asked)[1]) + 1  # type: ignore[index]
        a, b = asked.split("ATTEMPT A: ")[1].split("Which attempt")[0].split("ATTEMPT B: ")
        better = a.strip().endswith(f" {n}") - b.strip().endswith(f" {n}")
        return judge_says("A" if better >= 0 else "B", 0.5 + 2 * better)
    if body.get("logprobs"):
        return say_something(body, number)
    n = int((re.findall(r"is (\d+)", " ".join(m["content"] for m in body["messages"])) or ["0"])[-1]) + 1
    context = body["messages"][-2]["content"] if len(body["messages"]) > 1 else ""
    return f"Sum: {n + len(context) % 2}"


def judge_says(letter: str, odds: float) -> tuple[int, dict[str, Any]]:
    top = [{"token": t, "logprob": v, "bytes": list(t.encode())} for t, v in (("A", odds - 3), ("B", -3.0))]
    content = [{"token": letter, "logprob": -0.1, "bytes": list(letter.encode()), "top_logprobs": top}]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": letter},
              "logprobs": {"content": content}}  # fmt: skip
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    about = {"id": "x", "object": "chat.completion", "created": 0, "model": "fake"}
    return 200, about | {"choices": [choice], "usage": usage}


def judges(body: dict[str, Any]) -> bool:
    return "ATTEMPT A: " in body["messages"][-1]["content"]


SMALL = {"tasks": [sums(verify=checked)], "pool_budget": 12, "n_shots": 1, "answer_tokens": 16}


@pytest.fixture
def run(server: FakeServer, config: Config) -> Config:
    server.script, own = solver, SMALL | {"methods": ["base", "pdp"], "pool_problems": 4, "pool_samples": 4}
    return lambda **settings: config(**(own | settings))


def synthesised(config: RunConfig, by: Any = None) -> Any:
    return run_synthesis(config, by=by or "judge", progress=False)[next(iter(config.tasks))]


def test_pairs_are_made_where_a_method_shows_the_judge_s_and_stand_in_a_table(run: Config) -> None:
    assert run_synthesis(run(methods=["base", "pdp_grader"]), progress=False) == {}
    (few,) = run_synthesis(run(methods=["pdp_4", "pdp_answers_16"], pool_samples=6), progress=False).values()
    assert few.attempts["made"] == 4 * 4
    (found,) = run_synthesis(run(), progress=False).values()
    table = found.to_frame()
    assert table.budget.tolist() == [pair.budget for pair in found.preferences] and (table.margin > 0).all()
    assert table.reasoning_preferred.tolist() == [pair.winner.reasoning for pair in found.preferences]
    assert read_pairs(table).startswith(f"{len(table)} pair") and read_pairs(table.head(0)).startswith("No pair")


def test_all_ways_of_judging_share_their_attempts_and_verdicts(server: FakeServer, run: Config) -> None:
    judge = synthesised(run(), "judge")
    assert judge.comparisons.outcome.isin(["first", "second", "tie", "identical"]).all()
    asked = len(server.requests)
    found = {by: synthesised(run(), by) for by in PREFERENCE_SOURCES}
    assert len(server.requests) == asked
    decided = judge.comparisons[judge.comparisons.outcome.isin(["first", "second"])]
    better = decided.score_first > decided.score_second
    assert len(decided) and (better == (decided.outcome == "first")).all()  # this judge is right
    for by in ("grader", "verifier", "agreement"):
        assert (found[by].comparisons.outcome == judge.comparisons.outcome).all()
        assert [p.budget for p in found[by].preferences] == [*found[by].at_budget] == [2, 5, 9]
        assert found[by].preferences == [*found[by].at_budget.values()]
        assert all(p.winner.grade.score == 1 > p.loser.grade.score == 0 for p in found[by].usable)
    assert found["grader"].comparisons.log_odds_ab.isna().all() and not found["grader"].usable[0].verdict_keys
    table = judge.comparisons.dropna(subset="log_odds_ab")  # the bias for a place cancels between the two orders
    assert ((table.log_odds_ab + table.log_odds_ba) / 2).round(6).eq(0.5).all()
    assert set((table.margin / 2).round(6)) == {-1.0, 0.0, 1.0}
    assert (table.outcome[table.margin.abs() < 0.05] == "tie").all()


def test_preparations_side_by_side_pay_once_and_the_grader_asks_no_judge(server: FakeServer, run: Config) -> None:
    assert synthesised(run(), "grader").preferences
    assert not any(map(judges, server.requests))
    others = [f"pdp_{by}" for by in ("answers", *PREFERENCE_SOURCES[1:])]
    run_sweep(run(methods=["pdp", "pdp_plus", "leap", *others]), progress=False)
    with Store(run().folder / "store.sqlite") as store:
        asked = store.requests().query("kind != 'probe'")
    assert len(asked) == len(server.requests) and any(map(judges, server.requests))
    assert len(asked.query("kind == 'trace' and method == 'synthesis'")) == 16  # though 12 tokens are no checkpoint


@given(st.integers(0, 70), st.integers(1, 80))
def test_a_ring_costs_what_is_stated_and_links_all(n: int, opponents: int) -> None:
    pairs = ring(n, opponents)
    assert len(set(pairs)) == len(pairs) == min(n * math.ceil(opponents / 2), n * (n - 1) // 2)
    assert all(0 <= i < j < n for i, j in pairs)
    assert n < 2 or all(sum(k in pair for pair in pairs) >= min(opponents, n - 1) for k in range(n))
    assert not len(set(strengths(n, dict.fromkeys(pairs, 0.0))[1])) > 1


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=30), st.integers(1, 6), st.sets(st.integers(0, 29)))
def test_noiseless_verdicts_give_the_strengths_they_come_from(true: list[float], k: int, unread: set[int]) -> None:
    """Also where some could not be read: within each group that the others link."""
    pairs = [pair for number, pair in enumerate(ring(len(true), k)) if number not in unread]
    found, group = strengths(len(true), {(i, j): true[i] - true[j] for i, j in pairs})
    for of in set(group):
        here, got = np.array(true)[group == of], found[group == of]
        assert np.allclose(got, here - here.mean(), atol=1e-9) if len(here) > 1 else np.isnan(got).all()


gold = st.sampled_from([0.0, 0.5, 1.0, float("nan")])


@given(st.lists(st.tuples(gold, st.floats(-1, 1)), max_size=12), st.sampled_from(["judge", "grader", "agreement"]))
def test_the_widest_gap_is_taken_however_small(attempts: list[tuple[float, float]], by: Any) -> None:
    scores, judged = ([a[k] for a in attempts] for k in (0, 1))
    quality, tie = (scores if by == "grader" else judged), 1e-9
    n = len(attempts)
    found = widest_of(by, np.array(scores), {(i, j): judged[i] - judged[j] for i, j in ring(n, n)})
    differ = {(i, j): quality[i] - quality[j] for i in range(n) for j in range(i + 1, n)}
    agree = {(i, j) for i, j in differ if by != "agreement" or differ[i, j] * (scores[i] - scores[j]) > 0}
    gaps = {pair: gap for pair, gap in differ.items() if abs(gap) > tie + 1e-8 and pair in agree}
    most = max(map(abs, gaps.values()), default=tie)
    assert found is None or abs(found[2]) == pytest.approx(most, abs=1e-6)
    assert not gaps or (found and gaps[found[:2]] == pytest.approx(found[2], abs=1e-6))
    if by == "grader" and found:  # where nothing is rounded
        assert found[:2] == min(pair for pair, gap in gaps.items() if abs(gap) == most)


def test_strengths_of_two_groups_are_not_compared() -> None:
    scores = np.full(5, np.nan)
    assert widest_of("judge", scores, {(0, 1): 4.0, (2, 3): -5.0}) == (2, 3, -5.0)  # the gap of 0 and 2 is not known
    assert widest_of("judge", scores, {}) is None and widest_of("judge", scores[:0], {}) is None


@pytest.mark.parametrize(("budget", "shown"), [(2, 5), (5, 5), (8, 5), (9, 9), (500, 9)])
def test_the_nearest_smaller_pair_is_shown_and_no_winner_twice(budget: int, shown: int) -> None:
    won, lost = (Attempt(text, "", "", "") for text in ("ended early", ""))
    at = {b: Preference(Problem("p", "sums", "", 0), won, replace(lost, reasoning=f"cut at {b}"), 1) for b in (5, 9)}
    prepared = SimpleNamespace(at_budget=dict(reversed(at.items())), preferences=[*at.values()])
    context = Context(sums(), RunConfig().task("aime"), prepared=prepared, budget=budget)
    (problem,) = context.task.problems(limit=1)
    turns = [load_method(f"pdp{end}").messages(problem, context)[0]["content"] for end in ("_at_budget", "", "_plus")]
    assert [turn.count("ATTEMPT: ended early") for turn in turns] == [1, 2, 1]
    assert turns[0].count("ATTEMPT: cut at") == 1 and f"ATTEMPT: cut at {shown}\n" in turns[0]


def test_a_judge_that_reasons_first_is_read_by_its_letter(server: FakeServer, run: Config) -> None:
    def reasons(body: dict[str, Any], number: int) -> Any:
        said = solver(body, number)
        if judges(body):
            ((choice,), message) = said[1]["choices"], said[1]["choices"][0]["message"]
            message |= {"reasoning_content": "A or B", "content": message["content"] if body["max_tokens"] > 9 else ""}
            choice["logprobs"] = judge_says("A", 3)[1]["choices"][0]["logprobs"]  # of the reasoning's first token
        return said

    server.script = reasons
    few, enough = synthesised(run()), synthesised(run(run="more", pool_verdict_tokens=10))
    assert set(few.comparisons.outcome) == {"unparsed"} and "verdict_tokens" in few.summary()
    assert enough.preferences and all(p.winner.grade.score > p.loser.grade.score for p in enough.usable)


def test_each_pair_is_asked_about_in_both_orders_and_no_more(server: FakeServer, run: Config) -> None:
    table = synthesised(run(pool_samples=6)).comparisons
    asked = [r["messages"][0]["content"] for r in server.requests if judges(r)]
    assert len(asked) == len(set(asked)) == 2 * len(table)
    for _, at in table.groupby(["problem_id", "budget"]):  # those that are the same so far count as one
        assert len(at) == len(ring(len({*at["first"], *at["second"]}), 2))


@pytest.mark.parametrize("method", ["pdp", "pdp_at_budget", "pdp_plus", "pdp_minus", "pdp_answers"])
def test_prompts_show_reasoning_cut_at_each_checkpoint(server: FakeServer, run: Config, method: str) -> None:
    """From the smallest to the largest, without answers; `pdp_at_budget` its own checkpoint's or the nearest's."""
    config = run(methods=["base", method])
    made = synthesised(config)
    cells = run_sweep(config, progress=False)
    assert set(cells.method) == {"base", method}
    assert not {pair.problem.id for pair in made.usable} & set(cells.problem_id)
    asked = [(r["max_tokens"], r["messages"][-1]["content"].split("Now the new problem.")) for r in server.requests]
    shown = {most: {text for of, (text, *more) in asked if of == most and more} for most in (2, 5, 9, 500)}
    wanted = {500: made.preferences}
    if method == "pdp_at_budget":
        wanted = {budget: [made.at_budget[min(budget, 9)]] for budget in shown}
    assert {budget: len(texts) for budget, texts in shown.items() if texts} == dict.fromkeys(wanted, 1)
    for budget, pairs in wanted.items():
        (text,) = shown[budget]
        assert ("Sum: " in text) == (method == "pdp_answers")
        if method == "pdp_answers":
            assert text.count("BETTER ATTEMPT: ") == 2
            continue
        kept = "loser" if method == "pdp_minus" else "winner"
        order = [text.index(f" ATTEMPT: {getattr(pair, kept).reasoning}\n") for pair in pairs]
        assert order == sorted(order) and len(order) == text.count("PROBLEM: ")
        both = method not in ("pdp_plus", "pdp_minus")
        assert all((f"WORSE ATTEMPT: {pair.loser.reasoning}\n" in text) == both for pair in pairs)


def test_fewer_attempts_are_the_first_of_those_there_are(server: FakeServer, run: Config) -> None:
    config = run(methods=["pdp", "pdp_4"], pool_samples=6, pool_problems=2)
    run_sweep(config, progress=False)
    every, four = ((config.folder / f"preferences_sums{end}.jsonl").read_text("utf-8") for end in ("", "_4"))
    assert [max(map(int, re.findall(r'"sample": (\d+)', text))) for text in (every, four)] == [5, 3]
    with Store(config.folder / "store.sqlite") as store:
        assert len(store.requests().query("kind == 'trace' and method == 'synthesis'")) == 6 * 2


def test_a_pair_of_ended_attempts_is_shown_once(server: FakeServer, run: Config) -> None:
    """Traces of three tokens, cut at 2, 5 and 9: the pair of 9 is that of 5."""

    def ends(body: dict[str, Any], number: int) -> Any:
        return f"on {body['seed'] % 50} so" if body.get("seed") else solver(body, number)

    server.script = ends
    made = synthesised(run())
    assert [p.budget for p in made.preferences] == [2, 5] and made.left_out == {"shown at a smaller checkpoint": 1}
    assert made.at_budget[9].winner.reasoning == made.at_budget[5].winner.reasoning
    assert len({frozenset((p.problem.id, p.winner.text, p.loser.text)) for p in made.usable}) == len(made.usable)
    few = synthesised(run(pair_tokens=made.preferences[0].winner.reasoning_tokens * 2 + 6))
    assert [p.budget for p in few.preferences] == [2] and few.left_out["over the token allowance"] == 1


def test_what_came_to_nothing_is_counted(server: FakeServer, run: Config) -> None:
    server.script = lambda body, n: "Both are fine" if judges(body) else solver(body, n)
    found = synthesised(run())
    assert not found.preferences and not found.usable and set(found.comparisons.outcome) == {"unparsed"}
    assert re.search(f"pairs: none, .* {len(found.comparisons)} .* 3 checkpoints without a", found.summary())
    spent = {"prompt_tokens": 1, "completion_tokens": 99, "completion_tokens_details": {"reasoning_tokens": 99}}
    hides = server.completion({"max_tokens": 9, "model": "fake"}, "so") | {"usage": spent}
    for kind, reply in {"failed": (400, {"error": {"message": "no"}}), "hidden": (200, hides)}.items():
        server.script = lambda body, n, reply=reply: reply if body.get("logprobs") else solver(body, n)
        found = synthesised(run(run=kind))
        assert f"from comparisons: 0 (attempts 0 made, 16 {kind}; outcomes none" in found.summary()
        assert ("a server that shows its reasoning may help" in found.summary()) == (kind == "hidden")


def test_a_checker_is_needed_for_pairs_by_verifier(run: Config) -> None:
    with pytest.raises(ConfigError, match="gpqa has no checker"):
        synthesised(run(tasks=["gpqa"]), "verifier")
    trip = load_task("natural_plan_trip")
    (problem,) = trip.problems(limit=1)
    blind = Problem(problem.id, problem.task, problem.text, None)  # without its gold
    assert verified(trip, blind, trip.gold_answer(problem)) == 1.0 and verified(trip, blind, "I do not know") is None


@pytest.mark.parametrize(
    ("said", "read"),
    [("A", 1), (" **B**", -1), ("(A).", 1), ("Attempt B", -1), ("Answer: A", 1), ("B. It is right", -1), ("a", 1),
     ("A better plan is B", None), ("Both", None), ("", None), ("As it is", None), ("I think B", None)],
)  # fmt: skip
def test_letters_are_read_only_where_they_stand_alone(said: str, read: int | None) -> None:
    assert log_odds(said, {}) == read


def test_the_surest_verdict_keeps_its_rank() -> None:
    assert log_odds("A", {"A": -0.01, "B": -5.0}) == pytest.approx(4.99)
    assert log_odds("A", {"A": -0.001, "Both": -9.0}) == pytest.approx(8.999)  # B is too unlikely to be listed
    assert log_odds("Attempt A", {"Attempt": -0.1, "The": -3.0}) is None


def test_verdicts_by_scores_and_agreement_of_two() -> None:
    for odd in (None, float("nan"), float("inf"), -float("inf")):
        assert {scored(odd, 0.5), scored(0.5, odd), scored(odd, odd)} == {Judgement("unparsed")}
    first, second, tie, unread = scored(1, 0.5), scored(0, 1), scored(1, 1), scored(None, 1)
    outcomes = [agreed(first, other).outcome for other in (first, second, tie, unread)]
    assert outcomes == ["first", "disagree", "tie", "unparsed"]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("said", [ValueError, float])
def test_a_checker_that_fails_quotes_no_problem(run: Config, private: bool, said: Any) -> None:
    def bad(problem: Problem, text: str) -> Any:
        if said is float:
            return f"secret: {problem.text}"  # which float() would quote
        raise ValueError(f"secret: {problem.text}")

    task = sums("checks", private=private, verify=bad)
    with pytest.raises(DataError, match=r"the checker of checks failed on checks-\S+ \(ValueError\)") as caught:
        synthesised(run(tasks=[task]), "verifier")
    assert "secret" not in str(caught.value)
    assert ("secret" in "".join(traceback.format_exception(caught.value))) == (not private)
    assert synthesised(run(tasks=[task]), "grader").usable  # who does not need it does not ask it


def attempt(text: str, tokens: int) -> Attempt:
    return Attempt(text, text, "", "", 0, tokens)


pair = st.builds(
    lambda id, level, winner, margin, a, b: Preference(
        Problem(f"p{id}", "t", f"question {id}", 0, {"difficulty": level}),
        attempt(f"w{winner}", a), attempt("l", b), margin, ("k1", "k2"), "judge", (2 * margin, 0.0),
    ),
    st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.floats(0.1, 5), st.integers(1, 40), st.integers(1, 40),
)  # fmt: skip


@given(st.lists(pair, max_size=12), st.integers(1, 6), st.none() | st.integers(0, 200))
def test_pairs_fit_their_allowance_and_every_pair_is_accounted_for(
    usable: list[Preference], n: int, allowance: int | None
) -> None:
    chosen, left_out = choose(usable, n, allowance)
    assert len(chosen) <= n and len(chosen) + sum(left_out.values()) == len(usable)
    costs = [p.winner.tokens + p.loser.tokens + math.ceil(len(p.problem.text.encode()) / 3) for p in chosen]
    assert allowance is None or sum(costs) <= allowance
    if allowance is None:
        problems = [p.problem.id for p in chosen]
        assert len(set(problems)) == min(len(problems), len({p.problem.id for p in usable}))
        assert not usable or chosen[0].margin == max(p.margin for p in usable)


def test_pairs_are_of_different_difficulty_and_answers() -> None:
    def of(id: str, level: int, winner: str, margin: float) -> Preference:
        return Preference(Problem(id, "t", "", 0, {"difficulty": level}), attempt(winner, 9), attempt("l", 9), margin)

    usable = [of("a", 1, "x", 4), of("b", 1, "y", 3), of("c", 2, "x", 2), of("d", 2, "z", 1), of("a", 1, "w", 3.5)]
    assert [p.problem.id for p in choose(usable, 5, None)[0]] == ["a", "d", "b", "c", "a"]


@given(st.lists(pair, max_size=9), st.integers(0, 5))
def test_the_placebo_has_the_same_texts_and_half_of_its_pairs_the_wrong_way_round(
    usable: list[Preference], seed: int
) -> None:
    found = shuffled(usable, seed)
    if len(usable) < 2:  # it would be the treatment, or all of it turned round
        assert found == []
        return
    swapped = sum(p.margin < 0 for p in found)
    assert swapped in {len(usable) // 2, (len(usable) + 1) // 2} and found == shuffled(usable, seed)
    for before, after in zip(usable, found, strict=True):
        assert {id(before.winner), id(before.loser)} == {id(after.winner), id(after.loser)}
        assert (after.winner is before.loser) == (after.margin < 0) and after.problem is before.problem
        turn = -1 if after.margin < 0 else 1  # what was said of the two is swapped with them
        assert after.log_odds == before.log_odds[::turn] and after.verdict_keys == before.verdict_keys[::turn]


def test_a_single_pair_makes_no_placebo_and_the_rest_goes_on(run: Config, caplog: pytest.LogCaptureFixture) -> None:
    config = run(methods=["base", "pdp", "pdp_shuffled"], budgets=[9, 500])
    cells = run_sweep(config, progress=False)
    assert set(cells.method) == {"base", "pdp"}
    assert "sums, by shuffled: preference pairs: none" in caplog.text and "budgets or pairs" in caplog.text
    assert (config.folder / "preferences_sums_shuffled.jsonl").read_text("utf-8") == ""
    assert "1 without a second pair to swap" in (config.folder / "preferences_sums_shuffled.md").read_text("utf-8")


@pytest.mark.parametrize("same", ["id", "text"])
def test_a_planted_overlap_is_found_before_anything_is_asked(
    server: FakeServer, run: Config, monkeypatch: pytest.MonkeyPatch, same: str
) -> None:
    task = sums("leaky", verify=checked)
    config = run(tasks=[task])
    tested = split_problems(task, config.task("leaky"), config.seed).test[0]
    planted = replace(tested, id="another") if same == "text" else replace(tested, text="What is 700 + 1?", gold=701)
    real = CustomTask.problems

    def leaks(self: CustomTask, *asked: Any) -> list[Problem]:
        found = real(self, *asked)
        return [*found[:-1], planted] if "pool" in asked else found

    monkeypatch.setattr(CustomTask, "problems", leaks)
    with pytest.raises(DataError, match="leak: 1 exemplars are also under test"):
        synthesised(config)
    assert not server.requests


def test_the_same_text_is_the_same_problem_whatever_its_gold_and_its_spaces() -> None:
    asked = Problem("a", "t", "What is 7\u00d77?\nSay it.", 49)
    again = [Problem("b", "t", asked.text, "049"), Problem("c", "t", " What is  7\u00d77? Say it.\n", 49)]
    for same in again:
        with pytest.raises(DataError, match="leak: 1 "):
            assert_disjoint([asked], [same])
    assert_disjoint([asked], [Problem("d", "t", "What is 7\u00d78?\nSay it.", 49)])
    for name in ("natural_plan_trip", "aime", "gpqa"):
        problems = load_task(name).problems
        assert_disjoint(problems(None, 30, 7, "test"), problems(None, 15, 7, "pool"))


def test_the_files_open_where_preferences_are_trained_on_and_the_card_warns(run: Config, tmp_path: Path) -> None:
    config = run()
    found, folder = synthesised(config), config.folder
    files = [str(folder / f"preferences_{name}.jsonl") for name in ("sums", "sums_trl")]
    whole, trl = (load_dataset("json", data_files=f, split="train", cache_dir=str(tmp_path / "c")) for f in files)
    assert len(whole) == len(trl) == len(found.usable) > len(found.preferences) > 0
    assert trl.column_names == ["prompt", "chosen", "rejected"]
    for row, p in zip(trl, found.usable, strict=True):
        assert [m["role"] for m in row["prompt"]] == ["user"] and p.problem.text in row["prompt"][0]["content"]
        assert [m["role"] for m in row["chosen"] + row["rejected"]] == ["assistant"] * 2
        assert row["chosen"][0]["content"].endswith(p.winner.answer)
    assert sum(whole["in_context"]) == len(found.preferences)
    assert all(row["chosen"]["gold_score"] == 1 > row["rejected"]["gold_score"] == 0 for row in whole)
    lineage = whole[0]
    assert {"model", "seed", "pool_budget", "by", "package_version", "problem_hash", "temperature"} <= set(lineage)
    verdicts = [v["key"] for v in lineage["verdicts"]]
    with Store(folder / "store.sqlite") as store:
        assert all(map(store.get, [lineage["chosen"]["trace_key"], lineage["rejected"]["answer_key"], *verdicts]))
    _, header, body = (folder / "preferences_sums.md").read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(header)["configs"][0]["data_files"] == "preferences_sums_trl.jsonl"
    assert f"- usable pairs: {len(found.usable)}, from" in body and "asked in both orders" in body
    assert "too few to train on" in body and "`fake`" in body
    synthesised(config, "shuffled")
    assert "A placebo: do not train on it" in (folder / "preferences_sums_shuffled.md").read_text("utf-8")


def test_private_problems_are_not_written_down_nor_shown(server: FakeServer, run: Config) -> None:
    """Neither what was asked and said of them, nor in the repr of what was made."""

    def explains(body: dict[str, Any], n: int) -> Any:
        said = solver(body, n)
        if judges(body):
            said[1]["choices"][0]["message"]["content"] += ". Quagga"
        elif body.get("logprobs"):
            return f"Quagga: {say_something(body, n)}"
        return said

    server.script = explains
    about = {"private": True, "reasoning": "Quagga"}
    rows = [about | {"text": f"Quagga, what is {i} + 1?", "gold": i + 1} for i in range(60)]
    config = run(tasks=[make_task("quaggas", rows, lambda p, text: text == f"Sum: {p.gold}", answer_tokens=16)])
    found = synthesised(config)
    text, card = ((config.folder / f"preferences_quaggas.{end}").read_text("utf-8") for end in ("jsonl", "md"))
    assert found.usable and "withheld" in text and "texts are withheld" in card
    assert not (config.folder / "preferences_quaggas_trl.jsonl").exists()
    learned = Principles("quaggas", ["Quagga"], "Quagga", 1, {"made": 1})
    for shows in (text, card, repr(found), repr(found.usable), repr(learned), found.to_frame().to_string()):
        assert "Quagga" not in shows and "Sum:" not in shows and "sum:" not in shows
    assert "Quagga" in found.usable[0].winner.reasoning


def test_half_a_surrogate_pair_is_no_obstacle(run: Config, tmp_path: Path) -> None:
    found = synthesised(run())
    odd = Preference(found.usable[0].problem, Attempt("\ud83d", "x", "", "", 0, 1), found.usable[0].loser, 1.0)
    save(replace(found, usable=[odd], preferences=[odd]), tmp_path)
    assert json.loads((tmp_path / "preferences_sums.jsonl").read_text("utf-8"))["chosen"]["reasoning"] == "?"
