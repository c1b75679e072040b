"""The simulated respondent: its runs estimate the truth that is stated, whatever the task, and say what they are."""

import asyncio
from typing import Any

import numpy as np
import pytest
from conftest import Config
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from test_custom_task import right, sums

from anytime_lib import RunConfig, anytime_index, load_task, make_task, measured, run_sweep, run_synthesis, transcripts
from anytime_lib.errors import ConfigError, DataError, RequestFailed
from anytime_lib.index import quality_array
from anytime_lib.methods.base import Context, Prompted
from anytime_lib.models.model import load_model
from anytime_lib.models.simulated import FOUND, LOST, UNREAD, Known, SimulatedModel
from anytime_lib.models.simulation import HOLDING, STOPPED_HOLDING, Simulation
from anytime_lib.models.tokens import cut
from anytime_lib.readings import caveat, read_measured
from anytime_lib.store import Store
from anytime_lib.studies.calibration import known_truth, true_index, truth
from anytime_lib.sweep.costs import price_of
from anytime_lib.sweep.plan import split_problems
from anytime_lib.tasks.base import grade_answer
from anytime_lib.tools.transcripts import stored_trace
from anytime_lib.types import Message, Problem

BUDGETS = [4, 16, 64, 256]


@pytest.fixture
def config(config: Config) -> Config:
    plain: dict[str, Any] = {"model": "simulated", "base_url": None, "concurrency": 64, "tasks": ["aime"]}
    plain |= {"n_problems": 12, "n_samples": 8, "budgets": BUDGETS}
    return lambda **settings: config(**(plain | settings))


def surprise(config: RunConfig, task: str, method: str, cells: Any) -> np.ndarray:
    """How many standard errors each point of an arm's curve lies from the truth (problems fixed, samples drawn)."""
    quality, problems, _ = quality_array(cells)
    true = truth(config, task, method).loc[problems].mean(axis=0)
    error = np.sqrt(quality.var(axis=1, ddof=1).mean(axis=0) / quality.shape[0] / quality.shape[1])
    return np.asarray((quality.mean(axis=(0, 1)) - true) / error)


def test_every_task_and_method_estimates_its_truth(config: Config) -> None:
    own = make_task("sums", sums, right)
    tasks, methods = ["natural_plan_trip", "aime", "gpqa", own], ["base", "pdp", "pdp_shuffled"]
    run = config(tasks=tasks, methods=methods, n_shots=1, pool_problems=3, pool_budget=16, n_problems=6, n_samples=12,
                 difficulty={"natural_plan_trip": [2], "aime": [1]},
                 simulated={"effects": {"pdp": 3.0}, "doubt": 0.02, "give_up": 0.01, "unread": 0.1})  # fmt: skip
    cells = run_sweep(run, progress=False)
    assert cells.model.str.startswith("simulated").all() and set(cells.task) == {"sums", *tasks[:3]}
    z = np.array([surprise(run, task, method, arm) for (task, method), arm in cells.groupby(["task", "method"])])
    assert z.shape == (12, 4) and np.abs(z).max() < 4 and np.abs(z).mean() < 1.3
    gain = (truth(run, "aime", "pdp") - truth(run, "aime")).mean(axis=0)
    assert gain.iloc[1] > 0.1  # so the methods' truths are far enough apart for the test to tell them apart


def test_the_truth_of_other_methods_goes_by_their_words(config: Config) -> None:
    """An arm that bears pdp's words has pdp's effect; `direct` answers from the first state; a search is refused."""
    run = config(simulated={"effects": {"pdp": 4.0}, "doubt": 0.02, "guess": 0.3})
    assert truth(run, "aime", "pdp_shuffled").equals(truth(run, "aime", "pdp"))
    assert truth(run, "aime", "direct").to_numpy() == pytest.approx(0.98 * 0.3)
    for method in ("self_consistency", "tree_of_thoughts", "pdp_per_problem", "imported"):
        with pytest.raises(DataError, match=f"truth of {method} is not known"):
            truth(run, "aime", method)
    with pytest.raises(ConfigError, match="unknown method 'pdpp'; did you mean 'pdp'"):
        truth(run, "aime", "pdpp")
    true = truth(run, "aime")
    raw, pooled, problem = (true_index(true, order) for order in ("raw", "pooled", "problem"))
    assert raw == pytest.approx(anytime_index(BUDGETS, true.mean(), running_max=False)) and raw <= pooled <= problem
    told = known_truth(run.model_copy(update={"tasks": {"aime": {"methods": ["base", "self_consistency", "pdp"]}}}))
    assert told.startswith("aime: ") and f"base {pooled:.3f}, pdp" in told and "self_consistency" not in told
    gain = true_index(truth(run, "aime", "pdp")) - pooled
    assert gain > 0.01 and f"(difference {gain:+.3f})" in told
    assert known_truth(run.model_copy(update={"model": "gpt"})) == ""


def test_the_texts_behind_cells_are_read_back(config: Config) -> None:
    run = config(n_problems=2, n_samples=1)
    cells = run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite", read_only=True) as store:
        backwards, problem = transcripts(store, cells[::-1]), store.problems()[0]
        told = transcripts(store, cells[cells.problem_id == problem.id])
        assert "none is from AIME" in read_measured(measured(cells, run, store))
    assert backwards.budget.tolist() == cells.budget.tolist()[::-1]
    assert told.reasoning.map(told.reasoning.iloc[-1].startswith).all() and set(told.problem) == {problem.text}
    grades = [load_task("aime").grade(problem, text) for text in told.answer]
    assert [(g.score, g.detail) for g in grades] == [*zip(told.score, told.reason, strict=True)]


class Hinted(Prompted):
    name, words = "hinted", "Hint: begin at the end."

    def messages(self, problem: Problem, context: Context) -> list[Message]:
        return [{"role": "user", "content": f"{self.words}\n\n{context.task.question(problem)}"}]


def test_a_method_of_the_user_s_own_has_the_effect_that_is_stated(config: Config) -> None:
    run = config(methods=["base", Hinted()], simulated={"effects": {"hinted": 4.0}})
    cells = run_sweep(run, progress=False)
    for method in run.methods:
        assert np.abs(surprise(run, "aime", method, cells[cells.method == method])).max() < 4
    assert (truth(run, "aime", "hinted") - truth(run, "aime")).mean(axis=0).iloc[1] > 0.1


def test_a_cut_gives_the_state_at_the_cut(config: Config) -> None:
    """No luck in answers, much doubt: each forced answer is right just if the words given back end in a find."""
    run = config(simulated={"guess": 0, "unread": 0, "doubt": 0.05, "solve": 0.05, "stop": 0.01, "give_up": 0.001})
    cells = run_sweep(run, progress=False)
    with Store(run.folder / "store.sqlite") as store:
        for cell in cells.itertuples():
            trace = stored_trace(store, cell.trace_key)
            assert trace.token_mode == "stream"
            words = cut(trace.text, trace.ends, cell.budget)
            assert cell.correct == (words.rfind(FOUND.strip()) > words.rfind(LOST.strip()))
            assert len(words.split()) == cell.tokens_used == min(cell.budget, trace.n_tokens)
    assert 0.2 < cells.correct.mean() < 0.9 and 0 < cells.stopped_naturally.mean() < 1


def test_a_larger_budget_only_extends_a_trace(config: Config) -> None:
    """What `mode: fresh` relies on; and the same settings give the same run."""
    few = {"n_problems": 4, "n_samples": 3}
    runs = [few | {"run": "cut"}, few | {"run": "again"}, few | {"run": "fresh", "mode": "fresh"}]
    cut_, *others = (run_sweep(config(**settings), progress=False) for settings in runs)
    for other in others:
        assert (cut_.score == other.score).all() and (cut_.tokens_used == other.tokens_used).all()
    another = load_model(config(simulated={"solve": 0.02}))
    assert another.name not in set(cut_.model)  # other parameters are another respondent, also in keys
    assert another.name.startswith("simulated-") and "simulation" in caveat(another.name)
    price = price_of(another.name, another.endpoint_id)
    assert price is not None and price.dollars(100, 0, 100) == 0


def test_the_judge_is_as_good_as_stated_and_likes_the_first_place(config: Config) -> None:
    run = config(methods=["base", "pdp"], pool_problems=40, pool_samples=4, pool_budget=64,
                 simulated={"judge_accuracy": 0.9, "position_bias": 0.7, "unread": 0})  # fmt: skip
    found = run_synthesis(run, progress=False)["aime"].comparisons.dropna(subset="margin")
    unequal = found[found.score_first != found.score_second]
    right_ = ((unequal.score_first > unequal.score_second) == (unequal.margin > 0)).mean()
    assert right_ == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / len(unequal))) and len(unequal) > 60
    assert ((found.log_odds_ab + found.log_odds_ba) / 2).mean() == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("name", ["natural_plan_trip", "aime", "gpqa"])
def test_what_it_says_is_read_as_meant(name: str) -> None:
    task = load_task(name)
    problems = task.problems(limit=4, seed=3)
    for problem in problems:
        assert task.grade(problem, task.gold_answer(problem)).correct
        assert task.grade(problem, UNREAD).status == "unparsed"
        wrong = Known(task, problem, problems).distractors
        assert wrong and all(grade_answer(task, problem, w, "stop").status == "ok" for w in wrong)
        assert not any(task.grade(problem, w).correct for w in wrong)


def test_what_else_it_may_be_asked(config: Config) -> None:
    """To go on from a reasoning, to value one, to say something beside any problem; what it cannot, it refuses."""
    run = config(simulated={"doubt": 0, "stop": 0, "solve": 1e-9, "unread": 0, "guess": 0, "judge_accuracy": 1})
    respondent, task = SimulatedModel(run), load_task("aime")
    split = split_problems(task, run.task("aime"), run.seed)
    respondent.tell_problems(task, split)
    problem = split.test[0]
    question, asked = task.question(problem), task.answer_prompt(problem)

    def said(*contents: str, **settings: Any) -> Any:
        turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
        plain = {"max_tokens": 50, "temperature": 0.7, "seed": 1}
        return asyncio.run(respondent.chat(turns, **(plain | settings)))  # type: ignore[arg-type]

    for so_far, right_ in ((f"we see{FOUND} so", True), (f"we see{FOUND} but{LOST}", False)):
        more = said(question, so_far, "Go on from there.")
        assert more.completion_tokens == 50 and FOUND.strip() not in more.text
        answer = said(question, so_far, "Go on from there.", more.text, asked)
        value = said(f"{question}\n\nBEGINNING: {so_far}\n\nRight?", alternatives=20)
        assert task.grade(problem, answer.text).correct == (value.text == "A") == right_
        assert (value.first["A"] > value.first["B"]) == right_
    assert len(said("Sum these principles up.").text.split()) == 30
    for settings in ({"tokens": True}, {"alternatives": 20}):
        with pytest.raises(RequestFailed, match="problems of its config"):
            said("What is 2 + 2?", **settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slove": 0.1}, "simulated: unknown parameter 'slove'; did you mean 'solve'"),
        ({"doubt": 1.5}, "simulated: parameter 'doubt'"),
        ({"effects": {"pdp_pluss": 2.0}}, "simulated: unknown method 'pdp_pluss'; did you mean 'pdp_plus'"),
        ({"effects": {"pdp": 0.0}}, "simulated: parameter 'effects.pdp': input should be greater than 0"),
        ({"effects": {"base": 2.0}}, "simulated: effects: .* could tell base .* can have an effect: .*, pdp, "),
    ],
)
def test_mistakes(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_model(RunConfig(model="simulated", **{"simulated": settings}))
    with pytest.raises(ConfigError, match="is for `model: simulated`"):
        RunConfig(model="gpt-4o", **{"simulated": {}})


rates = st.floats(0, 0.3)
simulations = st.builds(Simulation, solve=st.floats(1e-4, 0.5), spread=st.floats(0, 2), doubt=rates, stop=rates,
                        give_up=rates, guess=st.floats(0, 1), unread=st.floats(0, 1),
                        shape=st.sampled_from(["normal", "uniform", "two_groups"]))  # fmt: skip


@given(simulations, st.lists(st.floats(0.001, 0.999), min_size=1, max_size=4), st.floats(1, 4))
def test_properties_of_the_truth(model: Simulation, u: list[float], effect: float) -> None:
    chain = model.transitions(u, effect)
    assert np.allclose(chain.sum(axis=-1), 1) and np.all(chain >= 0)
    held = model.held(BUDGETS, u, effect)
    assert held.shape == (len(u), 4) and np.all((held >= -1e-12) & (held <= 1 + 1e-12))
    state = np.tile(np.eye(4)[0], (len(u), 1))  # one step at a time gives what powers give
    for _ in range(BUDGETS[0]):
        state = np.einsum("ps,pst->pt", state, chain)
    assert np.allclose(held[:, 0], state[:, [HOLDING, STOPPED_HOLDING]].sum(axis=1))
    order = np.argsort(u)
    if model.give_up == 0 and model.doubt == 0:  # easier problems, helpful methods and longer budgets can only help
        assert np.all(np.diff(held[order], axis=0) >= -1e-9) and np.all(np.diff(held, axis=1) >= -1e-9)
        assert np.all(held >= model.held(BUDGETS, u) - 1e-9)


def test_without_doubt_it_is_the_geometric_distribution() -> None:
    model = Simulation(solve=0.03, spread=0, doubt=0, guess=0, unread=0)
    assert model.held([1, 10, 50], [0.2])[0] == pytest.approx(1 - np.exp(-0.03 * np.array([1, 10, 50])))
    spread = Simulation(solve=0.03, spread=0.8, doubt=0, guess=0, unread=0)
    grid = np.linspace(-8, 8, 20_001)
    exact = np.trapezoid((1 - np.exp(-0.3 * np.exp(0.8 * grid))) * norm.pdf(grid), grid)
    assert spread.quality([10], (np.arange(4_001) + 0.5) / 4_001).mean() == pytest.approx(exact, abs=1e-5)
    for shape in ("normal", "uniform", "two_groups"):
        u = (np.arange(10_000) + 0.5) / 10_000
        ease = Simulation(spread=1.5, shape=shape).log_ease(u)
        assert ease.mean() == pytest.approx(0, abs=1e-9) and ease.std() == pytest.approx(1.5, rel=0.01)


def test_the_fast_draw_and_the_walk_follow_the_chain() -> None:
    model = Simulation(solve=0.02, doubt=0.01, stop=0.01, give_up=0.005, guess=0.2, unread=0.1)
    u, rng = np.array([0.2, 0.5, 0.9]), np.random.default_rng(0)
    drawn = model.draw(BUDGETS, u, 20_000, rng)
    assert np.abs(drawn.mean(axis=1) - model.quality(BUDGETS, u)).max() < 4 * 0.5 / np.sqrt(20_000)
    walks = [model.walk(float(model.chances(0.5)), rng.random((64, 2))) for _ in range(4_000)]
    held = np.mean([bool(turns) and turns[-1][1] for turns, *_ in walks])
    assert held == pytest.approx(model.held([64], [0.5]).item(), abs=4 * 0.5 / np.sqrt(4_000))
