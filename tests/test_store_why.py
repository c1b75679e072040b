"""Why was that not cached? The field is named, the place is shown, and nothing private is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_lib import Store
from anytime_lib.errors import DataError
from anytime_lib.tools.explain import _common, main, why, why_key
from anytime_lib.types import Problem, digest

TEXTS = [f"Canary question number {i} about a very long trip through Europe, please plan it." for i in range(4)]


def request(problem: int = 0, sample: int = 0, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXTS[problem]}]
    return {"v": 1, "kind": "trace", "model": "m", "endpoint": "e", "sample": sample, "messages": messages,
            "max_tokens": 64, "temperature": 0.7, "seed": 10 * problem + sample} | more  # fmt: skip


def put(store: Store, request: dict[str, Any], **more: Any) -> str:
    row = {"key": digest(request), "kind": request["kind"], "task": "open", "method": "base", "model": "m",
           "endpoint": "e", "request": request, "response": {}, "status": "ok", "prompt_tokens": 1,
           "cached_tokens": 0, "completion_tokens": 1, "seconds": 0}  # fmt: skip
    store.put(**row | more)
    return digest(request)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite") as found:
        found.add_problems(Problem(str(i), "open", text, 0) for i, text in enumerate(TEXTS))
        for problem in range(4):
            for sample in range(3):
                put(found, request(problem, sample))
        yield found


def test_a_changed_setting_is_named(store: Store) -> None:
    found = why(store, request(2, 1, temperature=0.6, top_p=0.9))
    assert found.status is None and found.nearest == digest(request(2, 1))
    assert [str(d) for d in found.differences] == [
        "temperature: asked 0.6, stored 0.7",
        "top_p: asked 0.9, stored (not there)",
    ]
    assert "is not in the store" in str(found)


def test_a_changed_wording_is_shown_where_it_changed(store: Store) -> None:
    asked = request(3, 2)
    asked["messages"] = [asked["messages"][0], {"role": "user", "content": TEXTS[3].replace("please", "pleas\x1b[2J")}]
    (difference,) = why(store, asked, task="open").differences
    at = TEXTS[3].index("please") + 5
    assert difference.field == "messages[1].content" and f"part at {at}: " in difference.asked
    assert "through Europe, please" not in str(difference)
    assert "pleas\\x1b[2J" in difference.asked and "\x1b" not in str(difference)
    unnamed = why(store, asked)
    assert "Europe" not in str(unnamed) and f"part at {at}" in str(unnamed)


@pytest.mark.parametrize("secret", ["private", "unknown"])
def test_of_private_problems_only_places_lengths_and_hashes_are_shown(store: Store, secret: str) -> None:
    if secret == "private":
        store.add_problems([Problem("9", "open", "x", 0, {"private": True})])
    else:
        store._write(lambda db: db.execute("DELETE FROM problems")).result()
    asked = request(0, 0) | {"messages": [{"role": "user", "content": "Canary of another kind"}]}
    found = str(why(store, asked, task="open"))
    assert "Canary" not in found and "trip" not in found
    assert "sha256" in found and "messages: asked 1 of them, stored 2" in found


def test_a_stored_key_is_compared_with_its_neighbour(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    key = put(store, request(1, 0, seed=99), status="error")
    found = why_key(store, key[:10])
    assert found.key == key and found.nearest == digest(request(1, 0)) and found.status == "error"
    assert [d.field for d in found.differences] == ["seed"]
    assert main(store.path, key) == 0 and "failed, and is asked again" in capsys.readouterr().out
    with pytest.raises(DataError, match="no request whose key starts"):
        why_key(store, "zz")
    with pytest.raises(DataError, match="more than one"):
        why_key(store, "")
    assert why(store, request(1, 0, kind="judge")).nearest is None


def test_a_key_in_a_message_is_not_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "canary-4711-canary")
    asked = request(0, 0, model="canary-4711-canary")
    asked["messages"] = [asked["messages"][0], {"role": "user", "content": "Canary canary-4711-canary"}]
    assert "4711" not in str(why(store, asked, task="open"))


@given(st.text(max_size=30), st.text("ab", max_size=20), st.text("ab", max_size=20))
def test_the_common_start(start: str, a: str, b: str) -> None:
    n = _common(start + a, start + b)
    assert (start + a)[:n] == (start + b)[:n] and n >= len(start)
    assert n == min(len(start + a), len(start + b)) or (start + a)[n] != (start + b)[n]
