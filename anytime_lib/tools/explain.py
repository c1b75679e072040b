"""Why was a request not answered from the store? Which of its fields differ from the nearest stored one, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anytime_lib.errors import DataError
from anytime_lib.redact import Redactor
from anytime_lib.store import Store
from anytime_lib.types import canonical_json, digest

CONTEXT = 16
"""Characters shown on either side of where two texts part."""
_MISSING = "(not there)"
_NAMES = ("endpoint", "kind", "model", "trace", "role")
"""Fields whose texts are names and hold nothing of a problem."""


@dataclass(frozen=True)
class Difference:
    """One field that differs.

    Attributes:
        field: its name; of messages `messages[i].content`, or `messages` where their number differs.
        asked, stored: its values, or what is told of a text: where the two part, length, hash.
    """

    field: str
    asked: str
    stored: str

    def __str__(self) -> str:
        return f"{self.field}: asked {self.asked}, stored {self.stored}"


@dataclass(frozen=True)
class Why:
    """The nearest stored request of the same kind.

    Attributes:
        key: of the request in question.
        status: its own, where the store has it (`ok`: it is answered from there; `error`: it is asked again).
        nearest: the key of the nearest other one; None where there is none of its kind.
        differences: every field that differs from it.
    """

    key: str
    status: str | None
    nearest: str | None
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        start = {
            None: "is not in the store",
            "ok": "is in the store and is answered from there",
        }.get(self.status, "is in the store, failed, and is asked again")
        lines = [f"request {self.key[:12]} {start}"]
        if self.nearest is None:
            lines.append("no other request of its kind is there to compare it with")
        else:
            lines.append(
                f"the nearest stored request, {self.nearest[:12]}, differs in {len(self.differences)} field(s):"
            )
            lines += [f"  {d}" for d in self.differences]
        return "\n".join(lines)


def why(store: Store, request: Mapping[str, Any], *, task: str | None = None) -> Why:
    """Compare a request, as its key is taken of (version, kind, model, endpoint, sample, messages, settings), with
    what is stored.

    The nearest is the stored request of the same kind with the fewest differing fields, and among those the one whose
    messages go along with it furthest. Every one of the kind is read once, so this takes time with the store's size.

    Args:
        store: may be open for reading only.
        request: the request in question; its kind is its field `kind`.
        task: its task. Only where it is named, and none of its problems is private, are a few characters shown of where
            two messages part; else positions, lengths and hashes alone.
    """
    key = digest(request)
    row = store._db.execute("SELECT status FROM requests WHERE key = ?", (key,)).fetchone()
    return _compared(store, key, row and row[0], str(request.get("kind")), dict(request), task)


def why_key(store: Store, key: str) -> Why:
    """Compare a stored request, named by its key or the start of it, with its nearest neighbour.

    Raises:
        DataError: no stored key, or more than one, starts so.
    """
    prefix = key.strip().lower()
    found = store._db.execute(
        "SELECT key, status, kind, task, request FROM requests WHERE key >= ? AND key < ? LIMIT 2",
        (prefix, prefix + "g"),  # keys are hexadecimal: what starts so is sorted before this
    ).fetchall()
    if not prefix or len(found) != 1:
        what = "more than one request whose key starts" if found else "no request whose key starts"
        raise DataError(f"{store.path} has {what} with {key!r}; `trace_key` and `answer_key` of its cells name some")
    whole, status, kind, task, request = found[0]
    return _compared(store, whole, status, kind, json.loads(request), task)


def main(path: str | Path, key: str) -> int:
    """`anytime why KEY`: print why_key of the store at a path; nothing there is changed."""
    with Store(path, read_only=True) as store:
        print(why_key(store, key))
    return 0


def _compared(store: Store, key: str, status: str | None, kind: str, asked: dict[str, Any], task: str | None) -> Why:
    best: tuple[int, int] | None = None
    nearest: tuple[str, str | None, dict[str, Any]] | None = None
    rows = store._db.execute("SELECT key, task, request FROM requests WHERE kind = ? AND key != ?", (kind, key))
    ours = canonical_json(asked.get("messages"))
    for other, its_task, text in rows:
        stored = json.loads(text)
        differing = sum(asked.get(n, _MISSING) != stored.get(n, _MISSING) for n in asked.keys() | stored.keys())
        if best is not None and differing > best[0]:
            continue
        distance = (differing, -_common(ours, canonical_json(stored.get("messages"))))
        if best is None or distance < best:
            best, nearest = distance, (other, its_task, stored)
    if nearest is None:
        return Why(key, status, None)
    other, its_task, stored = nearest
    shown = task is not None and {task, its_task} <= store.public_tasks()
    return Why(key, status, other, tuple(_differences(asked, stored, shown)))


def _differences(asked: dict[str, Any], stored: dict[str, Any], shown: bool) -> list[Difference]:
    found = []
    for name in sorted(asked.keys() | stored.keys()):
        a, b = asked.get(name, _MISSING), stored.get(name, _MISSING)
        if a == b:
            continue
        if name == "messages" and isinstance(a, list) and isinstance(b, list):
            found += _messages(a, b, shown)
        else:
            found.append(Difference(name, *_values(name, a, b, shown)))
    return found


def _messages(asked: list[Any], stored: list[Any], shown: bool) -> list[Difference]:
    found = []
    for i, (a, b) in enumerate(zip(asked, stored, strict=False)):
        for part in sorted(a.keys() | b.keys()) if isinstance(a, dict) and isinstance(b, dict) else ():
            if a.get(part) != b.get(part):
                values = _values(part, a.get(part, _MISSING), b.get(part, _MISSING), shown)
                found.append(Difference(f"messages[{i}].{part}", *values))
    if len(asked) != len(stored):
        found.append(Difference("messages", f"{len(asked)} of them", f"{len(stored)}"))
    return found


def _values(name: str, asked: Any, stored: Any, shown: bool) -> tuple[str, str]:
    """Both values in words: names and numbers as they are, texts by where they part."""
    if all(name in _NAMES or not isinstance(v, str | list | dict) or v == _MISSING for v in (asked, stored)):
        return _quoted(asked), _quoted(stored)
    a, b = (v if isinstance(v, str) else canonical_json(v) for v in (asked, stored))
    at, redact = _common(a, b), Redactor()
    shown = shown and all(redact(text) == text for text in (a, b))

    def told(text: str) -> str:
        words = f": {_quoted(text[max(0, at - CONTEXT) : at + CONTEXT])}" if shown else ""
        return f"{len(text)} characters (sha256 {digest(text)[:12]}) that part at {at}{words}"

    return told(a), told(b)


def _quoted(value: Any) -> str:
    """A value as Python writes it: no line break, control or bidirectional character reaches a terminal."""
    if value == _MISSING:
        return _MISSING
    text = repr(value)
    text = Redactor()(text)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # comparing slices is quick, comparing characters in Python is not
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
