"""A key is written nowhere, whoever quotes it, and shows itself in no traceback."""

import json

import pytest

from anytime_lib.errors import ConfigError
from anytime_lib.models.model import api_key
from anytime_lib.redact import MARK, Key, Redactor, withheld
from anytime_lib.types import Problem, shown


def test_keys_of_the_environment_keys_in_use_and_whatever_looks_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", 'quoted"1234567')
    monkeypatch.setenv("A_TOKEN_COUNT", "128000")
    redact = Redactor("inuse-key", "none")
    quoted = json.dumps('quoted"1234567')[1:-1]
    for secret in ('quoted"1234567', quoted, "inuse-key", "sk-" + "a1" * 10, "hf_" + "b" * 20):
        assert redact(f"a {secret} b") == f"a {MARK} b"
    for plain in ("128000", "none", "task-aaaaaaaaaaaaaaaaaaaa", "sk-short"):
        assert redact(f"a {plain} b") == f"a {plain} b"


def test_a_key_is_stripped_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret\n")
    key = api_key("MY_KEY", "https://host/v1")
    assert key == "sk-secret" and isinstance(key, Key) and repr(key) == MARK and "secret" not in repr({"key": key})
    monkeypatch.setenv("MY_KEY", "sk-first\nsk-second")
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        api_key("MY_KEY", "https://host/v1")
    monkeypatch.delenv("MY_KEY")
    assert api_key("MY_KEY", "http://127.0.0.1:8000/v1") == "none"
    with pytest.raises(ConfigError, match="no API key: set the environment variable MY_KEY"):
        api_key("MY_KEY", "https://host/v1")


def test_a_withheld_text_reads_the_same_everywhere() -> None:
    problem = Problem("p-1", "t", "What is 1 + 1?", 2, {"private": True})
    assert shown(problem) == withheld("p-1", problem.text) and "1 + 1" not in shown(problem) + repr(problem)
    assert "1 + 1" not in shown(problem, "of 1 + 1") and shown(Problem("p", "t", "open", 1)) == "open"


def test_what_a_text_quotes_of_the_request_is_left_out() -> None:
    sent = "The chartreuse zeppelin\nflies over Ouagadougou at noon."
    quoting = "cannot take 'The chartreuse zeppelin flies over Ouagadougou at noon.', sorry"
    assert Redactor()(quoting, sent) == "cannot take '[...]', sorry"
    assert Redactor()("cannot take 'zeppelin'", sent) == "cannot take 'zeppelin'"  # too short to tell anything
    assert Redactor()(quoting) == quoting
