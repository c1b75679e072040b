"""Every figure: its words within it and apart, one look for a method everywhere, the same bytes, words beside it."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from test_index import cells_of
from test_readings import accounts, shaped

from anytime_lib import plots
from anytime_lib.plots.style import looks_of
from anytime_lib.registry import method_names
from anytime_lib.stats import compare_family

MODEL, TASK = "organisation/A-Model-With-A-Long-Name-Instruct-2512-FP8-dynamic-on-eight-cards", "a long name " * 7
METHODS = ["base", "pdp", "a_method_that_says_at_length_what_it_does_differently"]
TITLE = f"{TASK}\n{MODEL}"


def cells(*methods: str, n: int = 6) -> pd.DataFrame:
    parts = [shaped([0.2, 0.4, 0.6, 0.8], m, n=n, seed=i) for i, m in enumerate(methods or METHODS)]
    return pd.concat(parts, ignore_index=True).assign(model=MODEL, task=TASK)


def figures() -> Iterator[Figure]:
    yield plots.plot_curves(cells(), chance=0.25, n_resamples=50)
    yield plots.plot_curves(cells(*(f"{i} {METHODS[-1]}" for i in range(7))), apart=True, n_resamples=50)
    yield plots.plot_trace(cells()[:4].assign(problem_id=TASK))
    costs = accounts(**{m: ([0.1, 0.3, 0.5], 10 * i) for i, m in enumerate(METHODS)})
    yield plots.plot_accounts(costs.assign(task=TASK, model=MODEL, n_samples=2))
    yield plots.plot_differences(compare_family(cells(), n_resamples=50), title="What changes")
    rows = {"choice": "level of the maximum", "variant": ["pooled", "raw"], "difference": 0.1, "low": [-0.1, 0.05]}
    tables = {f"{m} - {METHODS[-1]}": pd.DataFrame(rows | {"high": 0.2}) for m in METHODS}
    yield plots.plot_variants(tables, title=TITLE, margin=0.05)
    sizes = pd.DataFrame({"n_problems": [10, 20], "n_samples": 2, "power": 0.5, "standard_error": 0.01, "effect": 0.1,
                          "n_simulations": 100, "dollars": 0.0, "tokens": [10, 20], "detectable": 0.2})  # fmt: skip
    yield plots.plot_power(sizes, title=TITLE)
    yield plots.plot_detectable(sizes, title=TITLE)
    pairs = {"log_odds_ab": [1.0, -0.5], "log_odds_ba": [0.2, 1.0], "problem_id": "p"}
    yield plots.plot_verdicts(pd.DataFrame(pairs), title=TITLE)
    judged = {"task": TASK, "budget": [8, 16], "value": 0.5, "low": 0.2, "high": 0.9, "n": 3}
    yield plots.plot_accuracy(pd.DataFrame(judged), title=TITLE)
    bias = {"order": "pooled", "n_samples": [1, 8], "bias": 0.1, "n_repetitions": 9, "n_problems": 30}
    yield plots.plot_bias({TASK: pd.DataFrame(bias)}, along="n_samples", x="samples", title=TITLE)
    stops = {"what": ["budget", "budget", "rule", "oracle"], "of": "traces", "rule": "two answers agree", "tokens": 9.0}
    stops |= {"quality": 0.5, "above": 0.1, "low": 0.0, "high": 0.2, "verdict": "not worse", "n_problems": 9}
    yield plots.plot_stopping(pd.DataFrame(stops | {"n_samples": 2}), title=TITLE)
    rates = {"world": TASK, "n": 30, "N": 4, "measure": "said", "judged": ["before", "now"], "share": 0.1}
    yield plots.plot_rates(pd.DataFrame(rates | {"error": 0.01}), title=TITLE, promised={"said": (0, 0.05)})


def test_all_words_lie_within_the_figure_and_apart() -> None:
    wrong = []
    for figure in figures():
        figure.draw_without_rendering()
        box, name = figure.get_tightbbox(), figure.get_suptitle()
        if box.min.min() < 0 or (box.max > figure.get_size_inches()).any():
            wrong.append((name, "clipped"))
        large = [t for ax in figure.axes for t in (ax.title, ax.xaxis.label) if t.get_text()]
        parts = [part.get_window_extent() for part in (*large, *figure.legends, figure._suptitle)]
        wrong += [(name, "overlap") for a, b in combinations(parts, 2) if a.overlaps(b)]
        assert name.split()[0] in figure.alt and " against " in figure.alt  # type: ignore[attr-defined]
    assert wrong == []


def test_a_method_looks_the_same_in_every_figure_and_like_no_other() -> None:
    looks = [str(look) for look in looks_of([*method_names(), "mine", "yours"]).values()]
    assert len(set(looks)) == len(looks)
    assert len({look["color"] for look in looks_of([f"model-{i}" for i in range(8)]).values()}) == 8
    costs = plots.plot_accounts(accounts(**{METHODS[2]: ([0.1, 0.3, 0.5], 0)}).assign(model=MODEL, n_samples=2))
    curves = plots.plot_curves(cells(*METHODS[1:]), n_resamples=50)
    assert costs.axes[0].lines[0].get_color() == curves.axes[0].lines[2].get_color()


def test_bands_are_named_for_what_they_are() -> None:
    drawn = [plots.plot_curves(c, n_resamples=50) for c in (cells("base", n=40), cells_of(np.ones((9, 2, 3))))]
    assert "(problems resampled)" in drawn[0].get_suptitle() and "(Gaffke's bound, for few" in drawn[1].get_suptitle()


def test_a_figure_is_written_with_its_words_and_always_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        plots.save(figure := plots.plot_trace(cells()[:4]), tmp_path / folder / "one.png")
    for suffix in ("png", "svg", "pdf"):
        one, other = ((tmp_path / folder / f"one.{suffix}").read_bytes() for folder in ("a", "b"))
        assert one == other and 1_000 < len(one) < 150_000 and b"One trace, stopped" in one
    data, about = figure._repr_mimebundle_()  # type: ignore[attr-defined]
    assert about["image/png"]["alt"] == data["text/plain"] and data["image/png"].startswith("iVBOR")
    plots.save(plots.plot_curves(cells().assign(score=np.nan, status="error")), tmp_path / "none.png")
    assert "no cell was graded" in capsys.readouterr().out and not list(tmp_path.glob("none*"))
