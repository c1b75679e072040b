"""Why was a request not answered from the store? Which of its fields differ from the nearest stored one?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.store import Store
from anytime_lib.types import digest

_NAMES = ("endpoint", "kind", "model", "trace")
"""Fields whose texts are names and hold nothing of a problem."""


def explain(store: Store, key: str) -> str:
    """Which fields of a request (named by its key, or the start of it) differ from the nearest stored one of its kind:
    that with the most fields in common, and of several the latest. Texts are shown by length and hash alone, for they
    may be private. Raises DataError where there is no such request, or more than one.
    """
    query = "SELECT key, kind, status, request FROM requests WHERE substr(key, 1, length(?)) = ? LIMIT 2"
    found = store._rows(query, key, key)
    if len(found) != 1:
        raise DataError(f"{store.path} has {'more than one' if found else 'no'} request whose key starts {key!r}")
    whole, kind, status, text = found[0]
    asked, best, nearest, other = _fields(text), -1, "", {}
    with store.snapshot() as db:
        for name, text in db.execute("SELECT key, request FROM requests WHERE kind = ? AND key != ?", (kind, whole)):
            fields = _fields(text)
            if (common := sum(fields.get(field) == value for field, value in asked.items())) >= best:
                best, nearest, other = common, name, fields
    came = "is answered from the store" if status == "ok" else "failed or broke off, and is asked again"
    head = f"request {whole[:12]} {came}"
    if not nearest:
        return f"{head}\nno other request of its kind is there to compare it with"
    differ = [name for name in sorted(asked | other) if asked.get(name) != other.get(name)]
    lines = [f"  {name}: here {_shown(name, asked)}, there {_shown(name, other)}" for name in differ]
    return "\n".join([head, f"the nearest of its kind, {nearest[:12]}, differs in {len(lines)} field(s):", *lines])


def _fields(request: str) -> dict[str, Any]:
    """A request's fields, each message one of its own."""
    fields = json.loads(request)
    for i, message in enumerate(fields.pop("messages", [])):
        fields |= {f"messages[{i}].{name}": value for name, value in message.items()}
    return dict(fields)


def _shown(name: str, fields: dict[str, Any]) -> str:
    if name not in fields:
        return "(not there)"
    value = fields[name]
    if name in _NAMES or not isinstance(value, str | list | dict):
        return Redactor()(ascii(value))[:100]
    return f"a text of {len(str(value))} characters, sha256 {digest(value)[:12]}"


def main(path: Path, key: str) -> None:
    """`anytime explain KEY`."""
    with Store(path, read_only=True) as store:
        print(explain(store, key))
