"""Does Math-Verify give its opinion within its limits, whatever the answer does to it?"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anytime_lib.errors import ConfigError
from anytime_lib.tasks import math_verify as second_opinion
from anytime_lib.tasks.math_verify import KINDS, MathVerify, counts, disagreements, second_opinions

BOMBS = [r"\boxed{9^{9^{9^9}}}", r"\boxed{2^{10^{12}}}", r"\boxed{10000000!}"]

ANSWERS = [
    (r"So $\boxed{17}$.", 17, "both right"),
    ("**Final answer:** 017", 17, "both right"),
    (r"\boxed{m+n=17}", 17, "both right"),
    (r"\boxed{\text{017}}", 17, "both right"),
    (r"\boxed{18}", 17, "both wrong"),
    ("80 but will check 81 and 82", 82, "only theirs reads"),
    ("we get 3 + 14 = 17", 17, "only theirs reads"),
    (r"\boxed{1,024}", 17, "only theirs reads"),
    ("no number here", 17, "neither reads"),
    (r"\boxed{m+n=18}", 17, "both wrong"),
    (r"\boxed{12}. I withdraw that: Answer: 18", 18, "differ"),
    ("\ud800 \\boxed{17}", 17, "both right"),
    ("", 17, "neither reads"),
]


@pytest.fixture(scope="module")
def judge() -> Iterator[MathVerify]:
    with MathVerify(timeout=3) as one:
        yield one


@pytest.mark.parametrize(("text", "gold", "kind"), ANSWERS)
def test_kinds(judge: MathVerify, text: str, gold: int, kind: str) -> None:
    found = second_opinion._opinion(judge, text, gold)
    assert found.kind == kind, found


def test_the_example_of_the_literature(judge: MathVerify) -> None:
    found = second_opinion._opinion(judge, "80 but will check 81 and 82", 82)
    assert (found.ours, found.theirs) == (None, "82")


def test_a_bomb_ends_the_process_and_not_the_run() -> None:
    start = time.perf_counter()
    pairs = [(r"\boxed{17}", 17), *((bomb, 17) for bomb in BOMBS), (r"\boxed{17}", 17)]
    found = second_opinions(pairs, timeout=1)
    assert [o.kind for o in found] == ["both right", *["timed out"] * 3, "both right"]
    assert found[-1].seconds < 0.5  # a new start is not counted against the next answer
    assert time.perf_counter() - start < 30
    assert counts(found).to_dict() == dict.fromkeys(KINDS, 0) | {"both right": 2, "timed out": 3}
    table = disagreements(found)
    assert list(table.index) == [1, 2, 3] and table["theirs"].isna().all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of another process")
def test_the_process_has_a_limit_on_memory_and_an_alarm_of_its_own(judge: MathVerify) -> None:
    import resource

    judge.ready()
    assert judge.process is not None
    assert resource.prlimit(judge.process.pid, resource.RLIMIT_AS)[0] == second_opinion.MEMORY
    with MathVerify(timeout=1) as one:
        assert one.process is not None and one.process.stdin is not None
        one.process.stdin.write('{"text": "\\\\boxed{9^{9^{9^9}}}", "gold": 17}\n')
        one.process.stdin.flush()  # and nobody waits for the reply
        assert one.process.wait(timeout=10) == -signal.SIGALRM


def test_a_process_that_died_between_two_answers_costs_none_of_them(judge: MathVerify) -> None:
    judge.ready()
    assert judge.process is not None
    before = judge.process.pid
    os.kill(before, getattr(signal, "SIGKILL", signal.SIGTERM))
    judge.process.wait()
    assert judge.ask(r"\boxed{17}", 17) == {"read": "17", "right": True}
    assert judge.process.pid != before


def test_works_from_threads_and_inside_an_event_loop() -> None:
    async def cell() -> list[str]:
        return [o.kind for o in second_opinions([(r"\boxed{17}", 17)])]

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(second_opinions, [(r"\boxed{17}", 17), (BOMBS[0], 17)], 1) for _ in range(2)]
        assert [[o.kind for o in f.result()] for f in futures] == [["both right", "timed out"]] * 2
    assert asyncio.run(cell()) == ["both right"]


def test_no_process_is_left_behind() -> None:
    with MathVerify() as one:
        process = one.process
    assert process is not None and process.poll() is not None and one.process is None


def test_the_table_shows_no_more_than_the_end_of_an_answer(judge: MathVerify) -> None:
    found = second_opinion._opinion(judge, "secret " * 50 + "we get 17", 17)
    table = disagreements([found, second_opinion._opinion(judge, r"\boxed{17}", 17)])
    assert list(table.index) == [0] and table["excerpt"].str.len().max() <= 60
    assert disagreements([]).empty


def test_a_missing_math_verify_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import a_module_that_is_not_there\n")
    monkeypatch.setattr(second_opinion, "_SCRIPT", script)
    with pytest.raises(ConfigError, match="pip install"):
        second_opinions([(r"\boxed{17}", 17)])
    with pytest.raises(ConfigError, match="positive"):
        second_opinions([], timeout=0)
