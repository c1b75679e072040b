"""What must never be written down? Keys that are in use here, wherever somebody quotes one.

Nothing in this package hands a key to a store or an exporter. But a server may quote the key in its error, a prompt
may be made from a file that holds one: so every text is searched for the keys in the environment before it is
written, and, on its way out of a store, for whatever has the shape of a provider's key.
"""

from __future__ import annotations

import json
import os
import re

from anytime_lib.types import digest

MARK = "[key withheld]"
_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?(?=[_0-9]|$)")
_SHAPES = re.compile(r"\b(?:sk-|sk_|xai-|hf_|gsk_|AIza|ghp_|github_pat_|AKIA)[A-Za-z0-9_\-]{16,}")
_LEAST = 12
"""Shorter values, and those without a letter and a digit, are no keys and may stand in any text."""


def known_secrets(*keys: str, least: int = 8) -> tuple[str, ...]:
    """The values of environment variables that are named or look like keys, longest first.

    Args:
        keys: those that are in use, which count however they look.
        least: length from which they do. Local servers are given words such as `none` or `EMPTY`, which any text may
            hold.
    """
    found = {v for name, v in os.environ.items() if _NAMES.search(name.upper()) or _SHAPES.match(v)}
    found = {v for v in found if len(v) >= _LEAST and re.fullmatch(r"(?=.*[0-9])(?=.*[A-Za-z])\S+", v)}
    found |= {key for key in keys if len(key.strip()) >= least and key != "none"}
    found |= {json.dumps(value, ensure_ascii=a)[1:-1] for value in found for a in (True, False)}  # as JSON has them
    return tuple(sorted(found, key=len, reverse=True))


def without_secrets(text: str, secrets: tuple[str, ...]) -> str:
    """A text with every known secret replaced by a mark."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MARK)
    return text


def without_keys(text: str, secrets: tuple[str, ...]) -> str:
    """The same, and whatever looks like a provider's key: for texts that leave the store."""
    return _SHAPES.sub(MARK, without_secrets(text, secrets))


def withheld(what: str, text: str) -> str:
    """What is shown in place of a text: its length and hash, never a word of it."""
    return f"[text of {what} withheld: {len(text)} characters, sha256 {digest(text)[:12]}]"
