"""What can a model answer from reasoning that somebody else recorded?"""

from __future__ import annotations

from anytime_lib.methods import Method
from anytime_lib.methods.base import Base


class Recorded(Base):
    """Traces imported with `anytime_lib.recorded.import_traces`, cut and answered from like any others.

    The question is put as `base` puts it; nothing is sampled, so a problem has as many samples as were recorded.
    """

    name = "recorded"


METHODS: dict[str, Method] = {"recorded": Recorded()}
