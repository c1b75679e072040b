"""What must never be written down, and what stands in its place?

A server may quote the key in its error, and a prompt may be made from a file that holds one. So whatever is stored,
logged, raised or exported goes through a `Redactor` first.
"""

import json
import os
import re

MARK = "[key withheld]"
_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)S?(?=[_0-9]|$)")
_VALUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])\S{12,}")  # a shorter or plainer one may stand in any text
_PREFIXES = ("sk-", "sk_", "xai-", "hf_", "gsk_", "AIza", "ghp_", "github_pat_", "AKIA")
_SHAPES = re.compile(rf"\b(?:{'|'.join(_PREFIXES)})[A-Za-z0-9_\-]{{16,}}")


class Key(str):
    """A key that does not show itself where local variables are printed, as in a verbose traceback."""

    def __repr__(self) -> str:
        return MARK


class Redactor:
    """Replaces every key in a text by a mark: those in the environment, those given (of at least 8 characters: local
    servers take words such as `none` for one), and whatever has the shape of a provider's."""

    def __init__(self, *keys: str) -> None:
        known = {key for key in keys if len(key.strip()) >= 8}
        known |= {v for name, v in os.environ.items() if _NAMES.search(name.upper()) and _VALUE.fullmatch(v)}
        known |= {json.dumps(value, ensure_ascii=ascii)[1:-1] for value in known for ascii in (True, False)}
        self._known = sorted(map(Key, known), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without keys."""
        for key in self._known:
            text = text.replace(key, MARK)
        return _SHAPES.sub(MARK, text) if any(prefix in text for prefix in _PREFIXES) else text


_RUN = r"[^/]*(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{16,}[^/]*"
_IN_PATH = re.compile(rf"(?<=[^/]/)(?:{_RUN}|[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}})(?=/|\Z)")


def public_address(url: str) -> str:
    """An address as it is stored and shown: parts of its path that may be a key give way to a mark."""
    return _IN_PATH.sub(MARK, Redactor()(url))
