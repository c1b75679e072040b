"""What does a token cost?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from anytime_lib.errors import ConfigError


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens of one model at one host.

    Attributes:
        input, cached, output: of prompt tokens, of those that the provider's cache took, of completion tokens.
        date, source: when and where that was listed.
    """

    model: str
    host: str
    input: float
    output: float
    cached: float
    date: str
    source: str

    def dollars(self, prompt: float, cached: float, completion: float) -> float:
        """The price of so many tokens; cached ones are part of the prompt."""
        return ((prompt - cached) * self.input + cached * self.cached + completion * self.output) / 1e6

    def of(self, usage: Mapping[str, Any]) -> float:
        """The price of one request's usage."""
        counts = (usage.get(f"{name}_tokens") or 0 for name in ("prompt", "cached", "completion"))
        return self.dollars(*counts)


FREE = Price("embedded", "", 0.0, 0.0, 0.0, "", "this machine")


@cache
def load_prices(path: str | None = None) -> tuple[Price, ...]:
    """The price table: a file's, or the one that comes with the package.

    Raises:
        ConfigError: the file cannot be read or an entry lacks a price.
    """
    try:
        raw = (files("anytime_lib") / "data" / "prices.yaml" if path is None else Path(path)).read_text("utf-8")
        return tuple(
            Price(str(e["model"]).lower(), str(e.get("host", "")), float(e["input"]), float(e["output"]),
                  float(e.get("cached", e["input"])), str(e.get("date", "")), str(e.get("source", "")))
            for e in yaml.safe_load(raw)
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"cannot read the prices in {path!r}: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(
            f"{path} must list prices in the form of anytime_lib/data/prices.yaml: model, input and output in dollars "
            "per million tokens"
        ) from None


def price_of(model: str, endpoint: str, table: tuple[Price, ...] | None = None) -> Price | None:
    """The price of a model at an endpoint; None where the table has none.

    A dated name counts as the model it dates, a provider's prefix as its model. The embedded model and the
    simulated respondent cost nothing.
    """
    if endpoint in ("embedded", "simulated"):
        return FREE
    name = re.sub(r"-\d{4}-\d{2}-\d{2}$|-latest$|:[a-z]+$", "", model.lower())
    found = [p for p in (load_prices() if table is None else table) if p.model in (name, name.rsplit("/", 1)[-1])]
    host = urlsplit(endpoint).hostname or ""
    return next((p for p in found if p.host and host.endswith(p.host)), found[0] if found else None)
