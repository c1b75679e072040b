"""Why was a request not answered from the store? Which of its fields differ from the nearest stored one?"""

import json
from typing import Any

from anytime_lib.errors import DataError
from anytime_lib.store import Store
from anytime_lib.tools.export import Gate


def explain(store: Store, key: str) -> str:
    """Which fields of a request (named by its key, or the start of it) differ from the nearest stored one of its kind:
    that with the most fields in common, of several the latest. DataError where none, or more than one, is so named."""
    gate = Gate(store)
    with store.snapshot() as db:
        query = "SELECT key, kind, status, request, task FROM requests WHERE substr(key, 1, length(?)) = ?"
        found = db.execute(query, (key, key)).fetchmany(2)
        if len(found) != 1:
            raise DataError(f"{store.path} has {'more than one' if found else 'no'} request whose key starts {key!r}")
        whole, kind, status, *request = found[0]
        query = "SELECT key, request, task FROM requests WHERE kind = ? AND key != ? ORDER BY rowid DESC"
        others = ((other, _fields(gate, *asked)) for other, *asked in db.execute(query, (kind, whole)))
        here = _fields(gate, *request)
        nearest, there = max(others, key=lambda other: len(here.items() & other[1].items()), default=("", {}))
    came = "is answered from the store" if status == "ok" else "failed or broke off, and is asked again"
    if not nearest:
        return f"request {whole[:12]} {came}\nno other request of its kind is there to compare it with"
    lines = [f"request {whole[:12]} {came}", f"the nearest of its kind, {nearest[:12]}, differs from it in"]
    for name in sorted(here | there):
        ours, theirs = (fields.get(name, "(not there)") for fields in (here, there))
        if ours != theirs:
            start = max(0, next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0) - 30)
            ours, theirs = (f"...{of[start : start + 120]}..." if len(of) > 200 else of for of in (ours, theirs))
            lines.append(f"  {name}: here {ours}, there {theirs}")
    return "\n".join(lines)


def _fields(gate: Gate, request: str, task: str) -> dict[str, str]:
    """A request's fields as they may be shown: messages that may be private by length and hash alone."""
    fields: dict[str, Any] = json.loads(request)
    said = enumerate(fields.pop("messages", []))
    fields |= {f"messages[{i}]": gate.text(task, f"{turn['role']}: {turn['content']}") for i, turn in said}
    return {name: gate.name(ascii(value)) for name, value in fields.items()}
