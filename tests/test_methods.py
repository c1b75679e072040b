"""The methods: what each asks, what it spends at every budget, and how a user adds one."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pandas as pd
import pytest
from conftest import Config
from fake_server import FakeServer, say_something
from hypothesis import given, settings
from hypothesis import strategies as st
from test_request_keys import Replies

from anytime_lib import RunConfig, Store, load_task, make_task, run_sweep
from anytime_lib.errors import ConfigError, DataError
from anytime_lib.methods.base import BudgetAnswer, Context, Prompted, Sample, Session, chain_of_thought
from anytime_lib.methods.search import Searching, Step
from anytime_lib.methods.self_consistency import elected
from anytime_lib.plots import plot_curves
from anytime_lib.registry import load_method, method_names, register_method
from anytime_lib.sweep.client import CachedClient, Request
from anytime_lib.sweep.ledger import against_fresh, ledger_table
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.trip_problem import plans, read_trip, write_plan
from anytime_lib.tools.estimate import estimate_run
from anytime_lib.types import Completion, Message, Problem, digest

OTHERS = ("imported", "base_fresh", "base_prefill", "pdp_4", "pdp_16", "pdp_answers_16")
ALL = [name for name in method_names() if name not in OTHERS]
"""Of those that run by themselves at any server, and that share no answers with `base` or `pdp`."""
SEARCHING = [name for name in ALL if isinstance(load_method(name), Searching)]


class Respondent(Replies):
    """Replies with lengths of chance, and counts every token but the answers'."""

    def __init__(self, seed: int) -> None:
        self.seed, self.steering = seed, 0

    async def complete(self, request: Request) -> dict[str, Any]:
        chance, most = random.Random(f"{request.key} {self.seed}"), request.body["max_tokens"]
        n = chance.choice([most, chance.randint(0, most)])
        text = "".join(chance.choice("AB") for _ in range(n))
        self.steering += n * (request.kind != "answer" or most < 32)  # of answers, those that the judge is shown
        ended = {"finish_reason": "length" if n == most else "stop", "completion_tokens": n}
        return await super().complete(request) | ended | {"text": text, "ends": [*range(1, n + 1)]}


budgets = st.lists(st.integers(1, 60), min_size=2, max_size=5, unique=True).map(sorted)


@pytest.mark.parametrize("name", SEARCHING)
@given(budgets=budgets, share=st.integers(1, 40), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_no_method_ever_spends_more_than_its_budget(name: str, budgets: list[int], share: int, seed: int) -> None:
    config = RunConfig(tasks=["gpqa"], budgets=budgets, vote_tokens=share, tree_step=share, per_problem_tokens=share)
    task, of = load_task("gpqa"), config.task("gpqa")
    method, problem = load_method(name), task.problems(limit=1)[0]
    backend, context = Respondent(seed), Context(task, of, budget=budgets[-1])
    client = CachedClient(backend, config.sampling, config.seed)  # type: ignore[arg-type]
    session = Session(client, context, Sample(task, name, problem))

    async def all_stops() -> list[BudgetAnswer]:
        return [stop async for stop in method.answers_by_budget(problem, context, session)]

    stops = asyncio.run(all_stops())
    assert [s.budget for s in stops] == budgets and all(isinstance(s.answer, Completion) for s in stops)
    assert all(0 <= s.used <= s.budget for s in stops) and stops == sorted(stops, key=lambda s: s.used)
    assert backend.steering <= budgets[-1]  # looked at from outside as well


def to_the_cap(body: dict[str, Any], number: int) -> Any:
    """Replies that run to their caps and can be read: one answer in four is right, every verdict heeds the texts."""
    asked = body["messages"][-1]["content"]
    lot = int(digest(body)[:8], 16)
    if "ATTEMPT A: " in asked:
        return say_something(body, number) + "." + " x" * 40
    if "BEGINNING: " in asked:
        return "A." + " x" * 40
    if body.get("logprobs") or "principle" in asked or "Explain" in asked:
        return f"{lot:x} {say_something(body | {'logprobs': True}, number)}" + " and" * 400
    return f"Answer: {'ABCD'[lot % 4]}.\n" + "hm " * 400


def test_every_method_spends_and_asks_what_it_may(server: FakeServer, config: Config) -> None:
    """Within its budget, and to the call what was estimated."""
    server.script, server.owner = to_the_cap, "vllm"  # which can continue an assistant's turn
    task = make_task(
        "letters", lambda rng: {"text": f"Which letter, {rng.integers(10**9)}?", "gold": "ABCD"[rng.integers(4)]},
        lambda problem, text: text[8] == problem.gold if text.startswith("Answer: ") else None,
        answer_tokens=32, verify=lambda problem, text: float(text[8] in "AB"), read=lambda problem, text: text[:9],
    )  # fmt: skip
    run = config(tasks=[task], methods=ALL, n_problems=2, budgets=[2, 9, 40, 60], pool_problems=4, n_shots=1)
    told = estimate_run(run).table.groupby("kind").calls.sum().to_dict()
    assert not server.requests
    cells = run_sweep(run, progress=False)
    assert set(cells.method) == set(ALL) and "error" not in set(cells.status)
    assert (cells.tokens_used <= cells.budget).all()
    with Store(run.folder / "store.sqlite") as store:
        ledger = ledger_table(store)
        assert not set(SEARCHING) & set(against_fresh(store).method)
    made = ledger[ledger.kind != "probe"].groupby("kind").requests.sum().to_dict()
    assert told == made and sum(made.values()) == len(server.requests)
    assert {"value", "explain", "principle", "judge", "synthesis"} < set(made)


def cells_of_one(config: Config, method: str, budgets: list[int], **settings: Any) -> pd.DataFrame:
    """Cells of one sample of one problem."""
    return run_sweep(config(methods=[method], n_problems=1, n_samples=1, budgets=budgets, **settings), progress=False)


def test_direct_is_one_answer_and_no_reasoning(server: FakeServer, config: Config) -> None:
    cells = run_sweep(config(methods=["direct"]), progress=False)
    assert len(server.requests) == 3 * 2 and all(len(r["messages"]) == 1 for r in server.requests)
    assert set(cells.tokens_used) == {0} and (cells.groupby(["problem_id", "sample"]).answer_key.nunique() == 1).all()


def test_a_budget_prompt_names_each_budget_and_is_held_to_it(server: FakeServer, config: Config) -> None:
    cells = run_sweep(config(methods=["budget_prompt"]), progress=False)
    traces = [r for r in server.requests if r.get("logprobs")]
    assert Counter(r["max_tokens"] for r in traces) == {2: 6, 5: 6, 9: 6, 500: 6}
    assert all(f"You have {r['max_tokens']} tokens" in r["messages"][-1]["content"] for r in traces)
    assert cells.trace_key.nunique() == len(cells)


def test_few_shot_shows_gold_of_the_pool(server: FakeServer, config: Config) -> None:
    run = config(methods=["few_shot"], n_pairs=2)
    task, problems = load_task("gpqa"), split_problems(load_task("gpqa"), run.task("gpqa"), run.seed)
    run_sweep(run, progress=False)
    for request in server.requests:
        said = [m["content"] for m in request["messages"] if m["role"] == "assistant"]
        assert all(task.gold_answer(p) in said for p in problems.pool[:2])


def test_self_consistency_reads_traces_until_the_budget_is_used(server: FakeServer, config: Config) -> None:
    reasonings = {"one two three": "A", "four five": "B", "six": "no idea", "seven eight nine ten": "B"}

    def script(body: dict[str, Any], number: int) -> str:
        """Traces in the order asked for, and the answer forced after each."""
        if number == 0:
            return "a probe"
        if body.get("logprobs"):
            seeds = list(dict.fromkeys(r["seed"] for r in server.requests if r.get("logprobs")))
            return list(reasonings)[seeds.index(body["seed"])]
        return next(a for r, a in reasonings.items() if r.startswith(body["messages"][-2]["content"]))

    server.script = script
    cells = cells_of_one(config, "self_consistency", [2, 3, 5, 6, 8], vote_tokens=4)
    assert cells.tokens_used.tolist() == [2, 3, 5, 6, 8]
    with Store(config().folder / "store.sqlite") as store:
        said = [(store.get(key) or {})["text"] for key in cells.answer_key]
    assert said == ["A", "A", "A", "A", "B"]  # a tie stays with the first, and what is not read has no vote
    traces = [r for r in server.requests if r.get("logprobs")]
    assert [t["max_tokens"] for t in traces] == [4, 4, 3, 2]  # no trace is asked to go beyond the largest budget
    assert cells.answer_tokens.tolist() == [1, 1, 2, 4, 5]


def test_votes_by_task() -> None:
    aime, own = load_task("aime"), make_task("sums", [], lambda p, t: None)
    p = aime.problems(limit=1)[0]
    assert elected(aime, p, ["Final answer: 7", "I think", "Final answer: \\boxed{007}", "Final answer: 8"]) == 0
    assert elected(aime, p, ["8", "hm", "Final answer: 7", "Final answer: 7"]) == 2
    assert elected(own, p, ["", "The  figs.", "pears", "the figs"]) == 1
    assert elected(own, p, ["", ""]) == 0
    read = make_task("sums", [], lambda p, t: None, read=lambda p, t: t[:1] or None)
    assert elected(read, p, ["x1", "y1", "y2"]) == 1


def test_trips_elect_the_modal_valid_plan_and_else_the_medoid() -> None:
    task = load_task("natural_plan_trip")
    problem = task.problems(limit=1, difficulty=[3])[0]
    trip = read_trip(problem.text)
    valid, cities = write_plan(next(plans(trip))), [*trip.stays]
    assert task.grade(problem, valid).correct
    first, second, third = cities
    wrong = f"Day 1-1: {first}\nDay 2-2: {second}\nDay 3-3: {third}"
    close, far = wrong.replace("3-3", "3-4"), f"Day 4-4: {first}"
    assert elected(task, problem, [wrong, "no plan", wrong, valid]) == 3
    assert elected(task, problem, [far, "no plan", close, wrong]) == 2
    assert elected(task, problem, ["no plan", "none"]) == 0


def test_tree_of_thoughts_answers_from_the_leaf_that_it_values_most(server: FakeServer, config: Config) -> None:
    names = iter("abcdefgh")

    def script(body: dict[str, Any], number: int) -> str:
        asked = body["messages"][-1]["content"]
        if "BEGINNING: " in asked:
            return "A" if "b1" in asked.split("BEGINNING: ")[1] else "B"
        if number == 0 or not body.get("seed"):
            return "Answer: A"
        name = next(names)
        return f"{name}1 {name}2 {name}3"

    server.script = script
    cells = cells_of_one(config, "tree_of_thoughts", [2, 3, 5, 8, 9, 16], tree_step=3, tree_width=1)
    context = [r["messages"][-2]["content"] for r in server.requests if "seed" not in r and len(r["messages"]) > 1]
    # a (3), its value (1), b (3), value (1), c after b (3), value (1), d after b (3), which nothing is left to value
    assert context == ["a1 a2", "a1 a2 a3", "b1 b2 b3", "b1 b2 b3\nc1 c2 c3"]
    assert cells.tokens_used.tolist() == [2, 3, 5, 8, 9, 15]


def test_pdp_per_problem_judges_its_own_attempts_within_the_budget(server: FakeServer, config: Config) -> None:
    texts = iter(["p1 p2 p3", "q1 q2 q3", "r1 r2 r3 r4 r5 r6"])

    def script(body: dict[str, Any], number: int) -> str:
        asked = body["messages"][-1]["content"]
        if "ATTEMPT A: " in asked:
            return "A" if "ATTEMPT A: q1" in asked else "B"
        return next(texts) if number and body.get("seed") else "B"

    server.script = script
    cells = cells_of_one(config, "pdp_per_problem", [2, 7, 10, 12, 40], per_problem_tokens=3)
    forced = [r for r in server.requests if "seed" not in r and len(r["messages"]) == 3]
    read = [r["messages"] for r in forced if r["max_tokens"] > 3]
    # p (3) + answer (1) + q (3) + answer (1) + two verdicts (1 each) = 10 before the reasoning r
    assert [m[1]["content"] for m in read] == ["p1 p2", "p1 p2 p3", "q1 q2 q3", "r1 r2", "r1 r2 r3 r4 r5 r6"]
    assert cells.tokens_used.tolist() == [2, 7, 10, 12, 16] and cells.stopped_naturally.tolist() == [False] * 4 + [True]
    assert "WORSE ATTEMPT: p1 p2 p3\nBETTER ATTEMPT: q1 q2 q3\n" in read[-1][0]["content"]


def test_leap_shares_attempts_with_pdp_and_shows_what_was_learned(
    server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = to_the_cap
    run = config(methods=["leap"], budgets=[2, 60], pool_problems=2)
    run_sweep(run, progress=False)
    asked = [r["messages"] for r in server.requests]
    explained = [m[-1]["content"] for m in asked if "Explain in a few sentences" in m[-1]["content"]]
    assert len(explained) == 2 and all("RIGHT ANSWER: Answer: " in e for e in explained)
    assert sum("Here are principles" in m[0]["content"] for m in asked) == 6 * 3
    run_sweep(run.but(methods=["leap", "pdp_grader"]), progress=False)
    again = [r for r in server.requests[len(asked) :] if r.get("seed") and "other problems" not in str(r["messages"])]
    assert not again  # no attempt is made again; those of the arm bear pdp's words
    right = {p.text: f"Answer: {p.gold}" for p in load_task("gpqa").problems(split="all")}
    server.script = lambda body, n: next((a for t, a in right.items() if t in body["messages"][0]["content"]), "hm")
    run_sweep(run.but(methods=["base", "leap"], run=f"{run.run}-right"), progress=False)
    assert "principles: 0, from mistakes: 0 (attempts 6 made)" in caplog.text and "leap is left out" in caplog.text


class Halves(Searching):
    """Reasons with half of the budget, says what may be wrong with that, and reasons on with the rest."""

    name = "halves"

    async def steps(self, problem: Problem, context: Context, session: Session) -> AsyncIterator[Step]:
        question = chain_of_thought(context.task, problem, context.shots)
        draft = await session.trace(question, context.budget // 2)
        yield Step(draft, grows=True)
        turns: list[Message] = [*question, {"role": "assistant", "content": draft.text}]
        doubt = await session.say([*turns, {"role": "user", "content": "What may be wrong?"}], 8, kind="doubt")
        yield Step(draft)
        again = {"role": "user", "content": f"{doubt.text} Think again."}
        more = await session.trace([*turns, again], context.budget)
        yield Step(more, grows=True, last=more.stopped)


class Shout(Prompted):
    name = "shout"

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return [{"role": "user", "content": context.task.question(problem).upper()}]


def test_a_method_of_the_users_own(server: FakeServer, config: Config) -> None:
    run = config(methods=["base", Halves(), Shout()], budgets=[2, 30, 60])
    assert run.methods == ["base", "halves", "shout"]
    assert config(methods={"gpqa": [Shout()]}).task("gpqa").methods == ["shout"]
    server.script = to_the_cap
    told = estimate_run(run).table
    cells = run_sweep(run, progress=False)
    assert told.calls.sum() == len(server.requests) and (cells.tokens_used <= cells.budget).all()
    with Store(run.folder / "store.sqlite") as store:
        ledger = ledger_table(store).set_index(["method", "kind"])
    assert ledger.requests["halves", "doubt"] == 6 and ledger.requests["halves", "trace"] == 12
    drawn = [t.get_text() for t in plot_curves(cells, n_resamples=50).legends[0].get_texts()]
    assert {"base", "halves", "shout"} < set(drawn)


def odd(kind: type, **parts: Any) -> Any:
    """A method of a kind, made of the given parts."""
    return type("Odd", (kind,), {"name": "odd"} | parts)()


def greedy(more: Any) -> Any:
    """Says at each budget that it used `more` tokens than that."""

    async def answers(self: Any, problem: Problem, context: Context, session: Session) -> AsyncIterator[BudgetAnswer]:
        trace = await session.trace(chain_of_thought(context.task, problem, context.shots), context.budget)
        for budget in context.settings.budgets:
            yield BudgetAnswer(budget, budget + more, await session.read_out(trace, 1))

    return odd(Searching, answers_by_budget=answers)


async def silent(*about: Any) -> AsyncIterator[BudgetAnswer]:
    for stop in ():
        yield stop


@pytest.mark.parametrize(
    ("method", "says"),
    [(greedy(1), "a bug of the method odd: on .* it spent 3 tokens at the budget 2"),
     (greedy("x"), "the method odd failed on .*TypeError"),
     (odd(Searching, answers_by_budget=silent), "a bug of the method odd: .* has no stop at 4 budgets"),
     (odd(Prompted, messages=lambda *about: about[7]), r"the method odd failed on .* \(IndexError\)"),
     *[(odd(Prompted, messages=lambda *about, returned=returned: returned), "`messages` must return a list of chat")
       for returned in ("a text", [], [{"role": "user"}], ["a text"], 1 / 3)]],
)  # fmt: skip
def test_bugs_of_methods_are_told_in_one_sentence(config: Config, method: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        run_sweep(config(methods=[method]), progress=False)


@pytest.mark.parametrize(
    ("method", "says"),
    [(type("M", (), {"name": "mine"})(), "a subclass of Prompted or Searching"),
     (Halves, "a subclass of Prompted or Searching"),
     (type("M", (Prompted,), {})(), "M has no plain `name` .None.: set one"),
     (odd(Prompted, name="base"), "'base' is the name of a built-in one"),
     (odd(Prompted, name="synthesis"), "'synthesis'")],  # which is the ledger's own
)  # fmt: skip
def test_what_cannot_be_registered(method: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        register_method(method)


def test_a_failed_answer_is_one_cell_s_error_and_a_failed_search_those_that_follow(
    server: FakeServer, config: Config
) -> None:
    def script(body: dict[str, Any], number: int) -> Any:
        if "BEGINNING: " in body["messages"][-1]["content"]:
            return 400, {"error": {"message": "no valuations today"}}
        if len(body["messages"]) == 3 and len(body["messages"][-2]["content"].split()) == 1 and not body.get("seed"):
            return 400, {"error": {"message": "too short"}}
        return "Zz one two" if body.get("seed") else "Answer: A"

    server.script = script
    cells = cells_of_one(config, "tree_of_thoughts", [1, 2, 20, 30], tree_step=3)
    assert cells.status.tolist() == ["error", "ok", "error", "error"]
