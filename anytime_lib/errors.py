"""What went wrong, in one sentence that says what to do?"""

import difflib
from collections.abc import Iterable


class AnytimeError(Exception):
    """A mistake or a failure the user can mend; its text says how. What was stored before it stays stored."""


class ConfigError(AnytimeError, ValueError):
    """A setting is unknown, of the wrong type, or makes no sense."""


class DataError(AnytimeError, ValueError):
    """Problems, traces or a store could not be read."""


class EndpointError(AnytimeError):
    """The endpoint is down, refuses the key, or does not know the model."""


class RequestFailed(Exception):
    """One request did not succeed; others may. Its text is the server's own words."""


class HiddenReasoning(RequestFailed):
    """The server shows the reasoning not at all or in part, so that it cannot be cut."""


def nearest(name: str, known: Iterable[str], most: int = 60) -> str:
    """``"; did you mean 'x'?"`` for the known name nearest to `name`, or the list of known names, of `most` at most."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known[:2000], n=3, cutoff=0.5)
    close.sort(key=lambda found: sorted(found) != sorted(name))  # letters that changed places come first
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known[:most]) or 'none'}{more}"
