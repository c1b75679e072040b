"""Why was a request not answered from the store? Which of its fields differ from the nearest stored one?"""

import json
from typing import Any

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.store import Store
from anytime_lib.types import withheld


def explain(store: Store, key: str) -> str:
    """Which fields of a request (named by its key, or the start of it) differ from the nearest stored one of its kind:
    that with the most fields in common, and of several the latest. Raises DataError where there is no such request, or
    more than one."""
    with store.snapshot() as db:
        query = "SELECT key, kind, status, request FROM requests WHERE substr(key, 1, length(?)) = ?"
        found = db.execute(query, (key, key)).fetchmany(2)
        if len(found) != 1:
            raise DataError(f"{store.path} has {'more than one' if found else 'no'} request whose key starts {key!r}")
        whole, kind, status, request = found[0]
        query = "SELECT key, request FROM requests WHERE kind = ? AND key != ? ORDER BY rowid DESC"
        others = ((other, _fields(text)) for other, text in db.execute(query, (kind, whole)))
        here = _fields(request)
        nearest, there = max(others, key=lambda other: len(here.items() & other[1].items()), default=("", {}))
    came = "is answered from the store" if status == "ok" else "failed or broke off, and is asked again"
    if not nearest:
        return f"request {whole[:12]} {came}\nno other request of its kind is there to compare it with"
    lines = [f"request {whole[:12]} {came}", f"the nearest of its kind, {nearest[:12]}, differs from it in"]
    for name in sorted(here | there):
        ours, theirs = (fields.get(name, "(not there)") for fields in (here, there))
        if ours != theirs:
            lines.append(f"  {name}: here {ours}, there {theirs}")
    return Redactor()("\n".join(lines))


def _fields(request: str) -> dict[str, str]:
    """A request's fields as they may be shown: messages, which may be private, by length and hash alone."""
    fields: dict[str, Any] = json.loads(request)
    messages = fields.pop("messages", [])
    shown = {f"messages[{i}]": withheld(f"the {said['role']}", said["content"]) for i, said in enumerate(messages)}
    return shown | {name: ascii(value)[:200] for name, value in fields.items()}
