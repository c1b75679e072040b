"""A notebook in JupyterLab itself, as a reader opens it: Run All, and what is to be seen then."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import STDOUT
from sys import executable
from typing import Any

import nbformat
import psutil
import pytest

PATIENCE = 600  # seconds: on a quiet machine a twentieth of it is needed
CELLS = (
    "from anytime_lib import RunConfig, run_sweep\nfrom anytime_lib.plots import plot_curves, save",
    'config = RunConfig(run="lab", model="simulated", tasks=["aime"], methods=["base"], n_problems=4)\nconfig',
    "cells = run_sweep(config)\nlen(cells)",
    'save(plot_curves(cells, n_resamples=100), config.folder / "curve.png")',
)


def until(true: Callable[[], Any], what: str) -> Any:
    """What `true` returns once that is something."""
    from selenium.common.exceptions import StaleElementReferenceException as Stale
    from selenium.webdriver.support.ui import WebDriverWait

    wait: Any = WebDriverWait(Any, PATIENCE, ignored_exceptions=[Stale])
    return wait.until(lambda _: true(), f"waited in vain for {what}")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a notebook in a JupyterLab of its own, which leaves no process behind."""
    cells, kernel = map(nbformat.v4.new_code_cell, CELLS), {"name": "python3", "display_name": "Python 3"}
    (work := tmp_path / "work").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells], metadata={"kernelspec": kernel}), work / "lab.ipynb")
    kinds = ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
    own = {f"{kind}_DIR": str(tmp_path / kind) for kind in kinds} | {"IPYTHONDIR": str(tmp_path / "ipython")}
    command = [executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command += [f"--ServerApp.root_dir={work}", "--IdentityProvider.token=a-token"]
    with (tmp_path / "log").open("wb") as log:
        server = psutil.Popen(command, cwd=work, env=os.environ | own, stdout=log, stderr=STDOUT)
    try:
        found = until(lambda: [*(tmp_path / "JUPYTER_RUNTIME").glob("jpserver-*.json")], "the server's address")
        yield f"{json.loads(found[0].read_text('utf-8'))['url']}lab/tree/lab.ipynb?token=a-token"
    finally:
        started = [server, *server.children(recursive=True)]
        server.terminate()
        for process in (left := psutil.wait_procs(started, timeout=PATIENCE)[1]):
            process.kill()
    assert not left


def test_run_all_shows_the_settings_and_the_figure(lab: str, browser: Any) -> None:
    def shown(css: str) -> list[Any]:
        return [node for node in browser.find_elements("css selector", css) if node.is_displayed()]

    browser.get(lab)
    until(lambda: any(item.text.endswith("| Idle") for item in shown(".jp-StatusBar-TextItem")), "the kernel")
    next(label for label in shown(".lm-MenuBar-itemLabel") if label.text == "Run").click()
    until(lambda: shown('[data-command="runmenu:run-all"]'), "the menu")[0].click()
    (figure,) = until(lambda: shown(".jp-OutputArea-output img"), "the figure")
    until(lambda: browser.execute_script("return arguments[0].naturalWidth", figure) > 300, "all of the figure")
    until(lambda: [prompt.text for prompt in shown(".jp-InputPrompt")] == ["[1]:", "[2]:", "[3]:", "[4]:"], "the end")
    said = "\n".join(output.text for output in shown(".jp-OutputArea-output"))
    assert "simulated" in said and "32" in said.split() and "Warning" not in said and "Traceback" not in said
    if folder := os.environ.get("ANYTIME_SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / "jupyterlab.png"))
