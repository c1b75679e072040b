"""Why was a request not answered from the store? Which of its fields differ from the nearest stored one?"""

from __future__ import annotations

import json
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
    with store.snapshot() as db:
        query = "SELECT key, kind, status, request FROM requests WHERE substr(key, 1, length(?)) = ?"
        found = db.execute(query, (key, key)).fetchmany(2)
        if len(found) != 1:
            raise DataError(f"{store.path} has {'more than one' if found else 'no'} request whose key starts {key!r}")
        whole, kind, status, request = found[0]
        asked, most, nearest, other = _fields(request), -1, "", {}
        for name, request in db.execute("SELECT key, request FROM requests WHERE kind = ? AND key != ?", (kind, whole)):
            fields = _fields(request)
            if (common := sum(fields.get(field) == value for field, value in asked.items())) >= most:
                most, nearest, other = common, name, fields
    came = "is answered from the store" if status == "ok" else "failed or broke off, and is asked again"
    lines = [f"request {whole[:12]} {came}"]
    if not nearest:
        return f"{lines[0]}\nno other request of its kind is there to compare it with"
    differ = [name for name in sorted(asked | other) if asked.get(name) != other.get(name)]
    lines.append(f"the nearest of its kind, {nearest[:12]}, differs in {len(differ)} field(s):")
    lines += [f"  {name}: here {_shown(name, asked)}, there {_shown(name, other)}" for name in differ]
    return "\n".join(lines)


def _fields(request: str) -> dict[str, Any]:
    """A request's fields, each part of a message one of its own."""
    fields: dict[str, Any] = json.loads(request)
    for i, message in enumerate(fields.pop("messages", [])):
        fields |= {f"messages[{i}].{name}": value for name, value in message.items()}
    return fields


def _shown(name: str, fields: dict[str, Any]) -> str:
    if name not in fields:
        return "(not there)"
    value = fields[name]
    if name in _NAMES or not isinstance(value, str | list | dict):
        return Redactor()(ascii(value))[:100]
    return f"a text of {len(str(value))} characters, sha256 {digest(value)[:12]}"
