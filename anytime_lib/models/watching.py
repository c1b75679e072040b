"""What is odd about a server's replies, and what is to be done about it? Each oddity is told once."""

from __future__ import annotations

import logging

from anytime_lib.models.failures import RetryableError
from anytime_lib.models.reply import Reply

log = logging.getLogger(__name__)

USUALLY = 3
"""Replies in a row without usable token counts, after which that is taken to be the server's way."""


class Watch:
    """Looks at every reply of one endpoint and model."""

    def __init__(self, url: str, model: str) -> None:
        self._url, self._model = url, model
        self._misnamed = False
        self._uncounted = {True: 0, False: 0}  # replies in a row without token counts: short ones, long ones

    def look(self, reply: Reply, short: bool, streamed: bool) -> bool:
        """Whether streaming should be given up, because it keeps the token counts from being told.

        Raises:
            Trouble: the counts of a short reply are missing or impossible, which is cheaper asked again than guessed
                at; unless the server never tells any.
        """
        self._name(reply)
        uncounted = reply.estimated if short else reply.estimated and not reply.usage
        self._uncounted[short] = self._uncounted[short] + 1 if uncounted else 0
        times = self._uncounted[short]
        if times and short and times <= USUALLY:
            raise RetryableError("the server's token counts are missing or impossible", usage=reply.spent)
        if times >= USUALLY and streamed:
            self._uncounted[short] = 0
            return True
        if times == USUALLY + 1:
            log.warning("%s tells no usable token counts; those on the ledger are estimates", self._url)
        return False

    def _name(self, reply: Reply) -> None:
        """Warn of a reply from another model than was asked; dated and prefixed names are the same one."""
        said, asked = (name.lower().rpartition("/")[2] for name in (reply.model, self._model))
        if said and said not in asked and asked not in said and not self._misnamed:
            self._misnamed = True
            log.warning("%s answers as model %r, not as the %r that was asked for; both are kept with every reply",
                        self._url, reply.model, self._model)  # fmt: skip
