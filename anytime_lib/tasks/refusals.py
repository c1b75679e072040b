"""Does a response in which no answer was found decline to answer?"""

from __future__ import annotations

import re

from anytime_lib.types import Grade, unread

_REFUSAL = re.compile(
    r"\bI(?:['’]m| am) (?:sorry|unable|not able)\b"
    r"|\bI (?:cannot|can['’]t|can not|won['’]t|will not) (?:answer|help|assist|provide)"
    r"|\bI (?:must )?(?:decline|refuse) to\b",
    re.IGNORECASE,
)


def no_answer(text: str, why: str) -> Grade:
    """The grade of a response in which no answer was found: `empty`, `refused`, or `unparsed` with the reason `why`."""
    if not text.strip():
        return unread("nothing was said", "empty")
    return unread("declined to answer", "refused") if _REFUSAL.search(text) else unread(why)
