"""Cutting: pieces join to the text, a cut is a prefix, characters stay whole."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from anytime_lib.tokens import cut, ends_of, proportional_ends

texts = st.text(alphabet=st.characters(codec="utf-8"), min_size=1)


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A text and any division of its bytes into tokens, also inside characters."""
    text = draw(texts)
    raw = text.encode()
    inner = draw(st.lists(st.integers(1, len(raw)), max_size=8)) if len(raw) > 1 else []
    at = sorted({0, len(raw), *inner})
    return text, [raw[a:b] for a, b in itertools.pairwise(at)]


@given(tokenised(), st.integers(-1, 12))
def test_a_cut_is_a_prefix_of_whole_characters(given_: tuple[str, list[bytes]], budget: int) -> None:
    text, pieces = given_
    ends = ends_of(pieces, text)
    assert ends is not None and ends[-1] == len(text.encode()) and len(ends) == len(pieces)
    found = cut(text, ends, budget)
    assert text.startswith(found)
    if budget >= len(pieces):
        assert found == text
    else:
        whole = b"".join(pieces[: max(budget, 0)])
        assert len(whole) - 3 <= len(found.encode()) <= len(whole)


@given(texts)
def test_a_longer_budget_never_gives_less(text: str) -> None:
    ends = ends_of([bytes([b]) for b in text.encode()], text)
    assert ends is not None
    lengths = [len(cut(text, ends, b)) for b in range(len(ends) + 2)]
    assert lengths == sorted(lengths) and lengths[-1] == len(text)


def test_servers_strip_and_add() -> None:
    assert ends_of([b" The", b" end", b"\n"], "The end") == [3, 7]
    assert ends_of([b"The", b" end", b""], "The end") == [3, 7]
    assert ends_of([b"another", b" text"], "The end") is None
    assert ends_of([], "") == []


@given(texts, st.integers(0, 50))
def test_proportional_boundaries_grow_to_the_end(text: str, n: int) -> None:
    ends = proportional_ends(text, n)
    assert ends == sorted(ends)
    if ends:
        assert len(ends) == n and ends[-1] == len(text.encode())
        assert text.startswith(cut(text, ends, n // 2))


@given(texts, st.integers(2, 50))
def test_proportional_cuts_give_their_share_also_without_spaces(text: str, n: int) -> None:
    for budget in range(n):
        assert abs(len(cut(text, proportional_ends(text, n), budget)) - len(text) * budget / n) <= 0.5
