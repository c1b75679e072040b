"""The explorer, read as readers do: by mouse and key, in headless Chromium; and what it holds, unpacked."""

import base64
import gzip
import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
from conftest import Config
from fake_gpqa import OFFICIAL, official
from fake_server import FakeServer, say_something

from anytime_lib import RunConfig, Store, run_sweep
from anytime_lib.cli import main
from anytime_lib.tasks.trip_problem import read_trip
from anytime_lib.tools.explorer import explore, show_explorer

MARKUP = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \\frac{1}{2}"
HOSTILE = f"{MARKUP} \u202egnorw\u2066"
SETTINGS = {"run": "read", "model": "fake", "tasks": ["gpqa", "natural_plan_trip"], "methods": ["base", "direct"],
            "n_problems": 6, "n_samples": 2, "budgets": [2, 5, 9, 500]}  # fmt: skip
RIGHT, ENTER = "\ue014", "\ue007"
Open = Callable[..., Any]


def hostile(body: dict[str, Any], number: int) -> str:
    """Reasons in markup; answers A after a few words of it, then B; plans to spend a trip in one city."""
    if body.get("logprobs"):
        return f"{HOSTILE} {say_something(body, number)}"
    first, *others = (message["content"] for message in body["messages"])
    if "European cities" in first:
        return f"Day 1-2: Visit {next(iter(read_trip(first).stays))}.\n{HOSTILE}"
    return f"Answer: {'B' if others and len(others[0]) > 80 else 'A'}\n{HOSTILE}"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The explorer of a run of two tasks and two methods."""
    with closing(FakeServer(hostile)) as server:
        config = RunConfig(**SETTINGS, outputs=str(tmp_path_factory.mktemp("run")), base_url=server.base_url)
        run_sweep(config, progress=False)
    assert main(["report", str(config.folder)]) == 0
    return config.folder / "explorer.html"


def cells_of(page: Path, task: str) -> pd.DataFrame:
    with Store(page.with_name("store.sqlite"), read_only=True) as store:
        return store.cells(task=task, method="base")


def unpacked(page: Path) -> dict[str, Any]:
    """The page's blocks by their names."""
    blocks = re.findall(r'<script type="text/plain" id="([\w-]+)">([^<]*)<', page.read_text("utf-8"))
    return {name: json.loads(gzip.decompress(base64.b64decode(block))) for name, block in blocks}


def test_the_reasoning_shown_is_that_which_was_given_back(config: Config) -> None:
    """Of methods that cut one trace, and of those that ask as they go: what the request of each answer tells."""
    ways = config(methods=["base", "budget_prompt", "self_consistency", "tree_of_thoughts"], budgets=[3, 8, 40])
    run_sweep(ways, progress=False)
    blocks, compared = unpacked(explore(ways.folder)), 0
    assert blocks["cells"]["searching"] == ["self_consistency", "tree_of_thoughts"]
    with Store(ways.folder / "store.sqlite", read_only=True) as store:
        cells = store.cells()
        for number, problem in enumerate(blocks["cells"]["problems"]):
            block, keys = blocks[f"texts-{number}"], cells[cells.problem_id == problem[1]].answer_key
            for (trace, units, answer, *_), key in zip(block["cells"], keys, strict=True):
                whole = block["strings"][block["traces"][trace]["text"]].encode("utf-16-le")
                given = (store.request(key) or {})["messages"][-2]["content"]
                assert whole[: 2 * units].decode("utf-16-le") == given
                assert block["strings"][answer] == (store.get(key) or {})["text"]
                compared += 1
    assert compared == 4 * 3 * 2 * 3


def test_a_private_task_shows_ids_only(config: Config, server: FakeServer, tmp_path: Path) -> None:
    """Questions, reasons and answers quote the canary; no piece of it is in the page."""
    server.script = lambda body, number: f"Ouagadougou {say_something(body, number)}"
    source = official(tmp_path / "gpqa_diamond.csv", (*OFFICIAL, "Explanation"), 12, words="Ouagadougou")
    run_sweep(private := config(source=str(source)), progress=False)
    assert [*(blocks := unpacked(explore(private)))] == ["cells"]
    assert "Ouagadougou" not in json.dumps(blocks) + explore(private).read_text("utf-8")
    assert len(blocks["cells"]["problems"]) == 3 and not any(shown for *_, shown in blocks["cells"]["problems"])


def test_in_a_notebook_it_is_a_frame_without_rights_or_a_link(page: Path) -> None:
    frame = show_explorer(page.parent).data
    assert 'sandbox="allow-scripts"' in frame and "<script" not in frame
    assert "iframe" not in (link := show_explorer(page.parent, most=10).data) and "explorer.html" in link


@pytest.fixture
def opened(page: Path, browser: Any) -> Open:
    """Opens the explorer at a view, or at its link."""

    def at(link: str = "", width: int = 1200, **view: Any) -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.get("about:blank")  # else only what follows the # would change
        browser.get(link or f"{page.as_uri()}#{urlencode(view)}")
        until(browser, lambda: browser.execute_script("return 'ready' in document.documentElement.dataset"))
        return browser

    return at


def until(browser: Any, true: Callable[[], Any]) -> None:
    from selenium.webdriver.support import expected_conditions, ui

    ui.WebDriverWait(browser, 240, 0.5, [expected_conditions.StaleElementReferenceException]).until(lambda _: true())


def text_of(browser: Any, css: str) -> str:
    return "\n".join(node.get_property("textContent") for node in browser.find_elements("css selector", css))


def choose(browser: Any, id: str, value: str) -> None:
    browser.find_element("css selector", f'#{id} option[value="{value}"]').click()


def test_from_the_map_to_a_trace_by_click_and_by_key(opened: Open) -> None:
    read = opened(task="gpqa", method="base")
    read.find_element("css selector", "#heat a").click()
    until(read, lambda: text_of(read, "output") == "2 tokens")
    assert "Answer: A" in text_of(read, ".answer") and text_of(read, "#question")
    read.find_element("id", "budget").send_keys(RIGHT)
    assert text_of(read, "output") == "5 tokens" and "budget=5" in read.current_url
    assert "Answer: B" in text_of(read, ".answer") and text_of(read, ".at[aria-current]") == "5"
    assert text_of(read, ".beyond") and text_of(read, ".trace").endswith("500")
    read.back()
    until(read, lambda: read.find_elements("id", "heat"))
    read.find_element("css selector", "#heat a").send_keys(RIGHT)
    read.switch_to.active_element.send_keys(ENTER)
    until(read, lambda: text_of(read, "output") == "5 tokens")


def test_two_methods_side_by_side_have_a_link(page: Path, opened: Open) -> None:
    problem = cells_of(page, "gpqa").problem_id[0]
    read = opened(task="gpqa", problem=problem, method="base", sample=1, budget=500)
    choose(read, "beside", "direct")
    until(read, lambda: text_of(read, ".panes h2") == "base\ndirect")
    opened(read.current_url)
    assert re.findall("Answer: (.)", text_of(read, ".answer")) == ["B", "A"] and text_of(read, "output") == "500 tokens"
    assert "No reasoning" in text_of(read, ".panes section:last-child h3")
    read.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})  # paper says which sample, and in colours
    assert [read.find_element("id", name).is_displayed() for name in ("sample", "budget")] == [True, False]
    assert read.find_element("css selector", ".mark").value_of_css_property("print-color-adjust") == "exact"


def test_filters_and_points_lead_to_samples(page: Path, opened: Open) -> None:
    own = cells_of(page, "gpqa").pivot(index=["problem_id", "sample"], columns="budget", values="correct").astype(bool)
    lost = int((own[2] & ~own[500]).sum())
    assert lost > 0
    read = opened(task="gpqa", method="direct")
    read.find_element("css selector", 'svg a[aria-label^="base at 9 tokens"]').send_keys(ENTER)
    until(read, lambda: text_of(read, "#samples [role=status]") == "12 samples of base")
    assert read.switch_to.active_element.text == "Which samples?" and "at=9" in read.current_url
    choose(read, "filter", "lost")
    until(read, lambda: text_of(read, "#samples [role=status]") == f"{lost} sample{'s' * (lost > 1)} of base")


def test_what_a_model_wrote_is_text_and_what_nobody_sees_is_shown(page: Path, opened: Open) -> None:
    read = opened(task="gpqa", problem=cells_of(page, "gpqa").problem_id[0], method="base", budget=500)
    assert f"{MARKUP} U+202EgnorwU+2066" in text_of(read, ".answer") and "onerror=" in text_of(read, ".trace")
    assert read.title != "owned" and not read.find_elements("tag name", "img")
    assert not [entry for entry in read.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_trip_shows_what_it_violates_and_fits_a_phone(page: Path, opened: Open) -> None:
    trip = cells_of(page, "natural_plan_trip").iloc[0]
    read = opened(width=375, task=trip.task, problem=trip.problem_id, method="base", beside="direct")
    assert "not visited" in text_of(read, ".trip") and read.find_elements("css selector", ".stay")
    kept, total = map(int, re.findall(r"\d+", text_of(read, ".panes section:first-child .wishes + details summary")))
    assert text_of(read, ".panes section:first-child .wishes").count("✗ violated") == total - kept > 0
    assert kept / total == pytest.approx(trip.score)
    for view in (read, opened(width=375, task=trip.task)):
        assert view.execute_script("return document.documentElement.scrollWidth") == 375
