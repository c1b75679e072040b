"""A sweep on a Ray cluster of several nodes on this machine: the same result, the same limits, and a node that dies."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Config, refused
from fake_server import FakeServer, say_something

from anytime_lib import run_sweep
from anytime_lib.errors import EndpointError
from anytime_lib.sweep.plan import plan
from anytime_lib.tools.on_ray import EVERY, sweep_on_ray

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'anytime-lib[ray]')")
SECRET = "sk-only-in-the-environment-0123456789"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that does not work, and two nodes with a processor each, in an environment with a key."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("LLM_API_KEY", SECRET)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6}
    try:
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": soon})
        found.nodes = [found.add_node(num_cpus=1) for _ in range(2)]
    except Exception as why:  # Ray gives a node 30 s, which a busy machine may not have
        pytest.skip(f"Ray's nodes do not start here: {why}")
    yield found
    ray.shutdown()
    found.shutdown()


def test_workers_make_what_one_machine_makes_though_a_node_is_lost(
    cluster: Any, server: FakeServer, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """And keep to the endpoint's limit together; no file of Ray's has the key. Failed cells are told of as ever."""
    settings: dict[str, Any] = {"methods": ["base", "pdp"], "n_problems": 12, "pool_problems": 2, "concurrency": 4}
    one, many = (config(run=run, api_key_env="LLM_API_KEY", **settings) for run in ("one", "many"))
    whole = run_sweep(one, progress=False)
    single, working, at_once, failing = len(server.requests), list[int](), list[int](), list[str]()

    def script(body: dict[str, Any], n: int) -> Any:
        working.append(n)
        at_once.append(len(working))
        if n == single + single // 2:
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        time.sleep(0.2)
        working.remove(n)
        fails = any(text in body["messages"][-1]["content"] for text in failing)
        return (400, {"error": {"message": "no"}}) if fails else say_something(body, n)

    server.script = script
    cells = sweep_on_ray(many, address=cluster.address)
    assert "another takes its part over" in caplog.text
    assert cells.drop(columns="run").equals(whole.drop(columns="run"))
    assert len(server.requests) - 2 * single <= 2 / 0.2 * (EVERY + 1)  # what its two slots got since it last reported
    assert max(at_once) <= 4 + 2  # for a moment those of the lost worker may be at work still
    assert server.keys == {f"Bearer {SECRET}"}
    logs = Path(cluster.head_node.get_session_dir_path())
    assert not [path for path in logs.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    every = {problem.content_hash: problem.text for problem in plan(config(), None)[0].problems.test}
    failing += [every[content] for content in sorted(every)[::2]]  # all of one part
    sweep_on_ray(config(run="some"), address=cluster.address, workers=2)
    assert "16 of 24 cells ended in an error (the server refused the request" in caplog.text
    failing += every.values()
    with refused(EndpointError, "every request failed, so there is nothing to grade: the server refused"):
        sweep_on_ray(config(run="none"), address=cluster.address, workers=2)
