"""What do the tests share?"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer

# The weights as they come: a test run measures nothing, and says the same on every machine.
os.environ.setdefault("ANYTIME_QUANT", "original")


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedServer]:
    """The embedded model, served for the whole test session (mark the test with `model`)."""
    with EmbeddedServer(weights.resolve(), slots=4, context=2048) as server:
        yield server
