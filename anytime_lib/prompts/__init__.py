"""What exactly is said to the model? One plain text file per prompt, read here."""

from functools import cache
from importlib.resources import files
from string import Template


@cache
def template(name: str) -> Template:
    """The text of ``prompts/<name>.txt``, with its ``$placeholders``."""
    return Template(files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8").rstrip("\n"))


def prompt(name: str, **values: str) -> str:
    """The text of ``prompts/<name>.txt`` with its ``$placeholders`` filled in.

    Values are put in as they are: a ``$`` or a brace inside a value has no meaning.
    A placeholder without a value is a ``KeyError``.
    """
    return template(name).substitute(values)
