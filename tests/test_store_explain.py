"""Why was that not cached? The fields are named, and nothing private is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anytime_lib import Store
from anytime_lib.cli import main
from anytime_lib.errors import DataError
from anytime_lib.tools.explain import explain
from anytime_lib.types import digest

TEXTS = [f"Canary question number {i} about a very long trip through Europe, please plan it." for i in range(3)]


def request(problem: int = 0, sample: int = 0, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXTS[problem]}]
    return {"v": 1, "kind": "trace", "model": "m", "endpoint": "e", "sample": sample, "messages": messages,
            "max_tokens": 64, "temperature": 0.7, "seed": 10 * problem + sample} | more  # fmt: skip


def put(store: Store, request: dict[str, Any], status: str = "ok") -> str:
    key = digest(request)
    usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 1)
    store.put(key=key, kind=request["kind"], task="open", method="base", model="m", endpoint="e", request=request,
              response={}, status=status, **usage)  # fmt: skip
    return key


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite") as found:
        for problem in range(3):
            for sample in range(2):
                put(found, request(problem, sample))
        yield found


def test_a_changed_setting_is_named(store: Store) -> None:
    key = put(store, request(2, 1, temperature=0.6, top_p=0.9), status="error")
    told = explain(store, key).splitlines()
    assert "is asked again" in told[0] and digest(request(2, 1))[:12] in told[1]
    assert told[2:] == ["  temperature: here 0.6, there 0.7", "  top_p: here 0.9, there (not there)"]


def test_texts_are_told_by_length_and_hash(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "canary-4711-canary")
    asked = request(1, 1, model="canary-4711-canary")
    asked["messages"] = [asked["messages"][0], {"role": "user", "content": "Canary of another kind"}]
    told = explain(store, put(store, asked))
    assert "messages[1]: here [text of the user withheld: 22 characters, sha256 " in told and "model: here" in told
    assert not any(word in told for word in ("Canary", "trip", "4711"))


def test_by_the_start_of_a_key(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    key = put(store, request(kind="judge"))
    main(["explain", key[:20], str(store.path)])
    assert "no other request of its kind" in capsys.readouterr().out
    for start, match in (("zz", "no request whose key starts"), ("", "more than one"), ("%", "no request")):
        with pytest.raises(DataError, match=match):
            explain(store, start)
