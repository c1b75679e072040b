"""What do the tests share?"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: threads cost more than they save on small matrices

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from string import Template
from typing import Any

import hypothesis
import matplotlib
import pytest
from fake_server import FakeServer

from anytime_lib import RunConfig, prompts
from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer

Config = Callable[..., RunConfig]
"""Makes configs of a small sweep, with what is given changed."""
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would children
matplotlib.use("agg")  # figures are looked at, never shown
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")  # a machine may be busy with other work, which is no fault of what is tested


@contextmanager
def refused(kind: type[Exception], says: str) -> Iterator[None]:
    """With one sentence, in which this is found."""
    with pytest.raises(kind, match=says) as error:
        yield
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks first: they take longest, so that of two workers one has them and the other all else."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    items.sort(key=lambda item: "test_notebooks" not in item.nodeid)


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedServer]:
    """The embedded model, served for the whole test session (mark the test with `model`)."""
    with EmbeddedServer(weights.resolve(), context=2048) as server:
        yield server


@pytest.fixture
def old_wordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompts as an older version worded them, so that what it asked can be asked again."""
    now, folder = prompts.template, Path(__file__).parent / "data" / "wordings_old"

    def template(name: str) -> Template:
        path = folder / f"{name}.txt"
        return Template(path.read_text(encoding="utf-8").rstrip("\n")) if path.is_file() else now(name)

    monkeypatch.setattr(prompts, "template", template)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A well-behaved endpoint on a socket, for one test."""
    with closing(FakeServer()) as found:
        yield found


@pytest.fixture
def config(server: FakeServer, tmp_path: Path) -> Config:
    """Makes configs of a small sweep on `server`: 3 problems x 2 samples x 4 budgets, with what is given changed."""
    plain = {"outputs": str(tmp_path), "model": "fake", "base_url": server.base_url, "tasks": ["gpqa"],
             "methods": ["base"], "n_problems": 3, "n_samples": 2, "budgets": [2, 5, 9, 500]}  # fmt: skip
    return lambda **settings: RunConfig(**(plain | settings))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that keeps what pages log."""
    from selenium import webdriver

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    switches = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync disable-background-networking"
    own = f"user-data-dir={tmp_path_factory.mktemp('profile')}"
    for switch in (*switches.split(), "disable-component-update", "window-size=1200,1600", own):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as found:
        yield found
