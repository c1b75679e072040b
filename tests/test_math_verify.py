"""Does Math-Verify give its opinion within its limits, whatever the answer does to it?"""

import asyncio
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from anytime_lib.tasks.math_verify import KINDS, disagreements, second_opinions

BOMBS = [r"\boxed{9^{9^{9^9}}}", r"\boxed{10000000!}"]
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
    ("secret " * 50 + "we get 17", 17, "only theirs reads"),
]


@pytest.fixture(scope="module")
def opinions() -> pd.DataFrame:
    """Of all answers, with the bombs among them."""
    return second_opinions([(text, gold) for text, gold, _ in ANSWERS] + [(bomb, 17) for bomb in BOMBS], timeout=1)


def test_kinds(opinions: pd.DataFrame) -> None:
    assert opinions.kind.tolist() == [kind for *_, kind in ANSWERS] + ["timed out"] * 2
    assert opinions.ours.isna()[5] and opinions.theirs[5] == "82"  # the example of the literature
    assert opinions.kind.value_counts(sort=False).index.tolist() == [*KINDS]  # those that nobody has too


def test_the_table_shows_no_more_than_the_end_of_an_answer(opinions: pd.DataFrame) -> None:
    table = disagreements(opinions)
    assert list(table.index) == [5, 6, 7, 10, 13, 14, 15] and table["excerpt"].str.len().max() <= 60
    assert table["theirs"].isna().sum() == 2 and disagreements(second_opinions([])).empty


def test_works_from_threads_and_inside_an_event_loop_and_leaves_no_process_behind() -> None:
    async def cell() -> list[str]:
        return second_opinions([(r"\boxed{17}", 17)]).kind.tolist()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(second_opinions, [(BOMBS[0], 17), (r"\boxed{17}", 17)], 1) for _ in range(2)]
        found = [future.result().kind.tolist() for future in futures]
    assert found == [["timed out", "both right"]] * 2
    assert asyncio.run(cell()) == ["both right"]
    assert not multiprocessing.active_children()
