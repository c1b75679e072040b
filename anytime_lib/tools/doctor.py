"""Is everything there that a run needs, and where not, what is to be done? Nothing is sent that costs."""

import asyncio
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

import httpx
import huggingface_hub
import psutil
from packaging.requirements import Requirement

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError
from anytime_lib.models.model import OWN, load_model
from anytime_lib.models.weights import WEIGHTS
from anytime_lib.registry import load_task
from anytime_lib.types import cache_folder

SECONDS = 5.0  # that a server may take to say that it is there


class Finding(NamedTuple):
    """What was looked at, whether it is all right (None: it is not there, and only some runs need it), and what was
    found or is to be done."""

    what: str
    ok: bool | None
    says: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', None: '--', False: 'NOT'}[self.ok]:<4}{self.what}: {self.says}"


def diagnose(config: RunConfig) -> Iterator[Finding]:
    """What the run of a config needs, one finding after the other: the machine first, then the model, then the data."""
    yield Finding("Python", True, platform.python_version())
    yield _packages()
    yield Finding("cores", True, str(os.cpu_count()))
    name = next(iter(WEIGHTS)) if config.model == "embedded" else config.model
    size, models = WEIGHTS[name].bytes if name in WEIGHTS else 0, cache_folder() / "models"
    smaller = "close other programs, or take a smaller model"
    yield _enough("memory", psutil.virtual_memory().available, size * 3 // 2, smaller)
    there = {weights.file for weights in WEIGHTS.values() if (models / weights.file).is_file()}
    missing = 0 if name in WEIGHTS and WEIGHTS[name].file in there else 2 * size
    for folder, needed in ((models, missing), (config.folder.absolute(), 0)):
        root = next(place for place in (folder, *folder.parents) if place.is_dir())
        yield _enough(f"disk of {folder}", shutil.disk_usage(root).free, needed, "make room, or set ANYTIME_CACHE")
    for model, weights in WEIGHTS.items():
        here = weights.file in there
        fetched = f"not here yet: {weights.bytes / 1e6:,.0f} MB are fetched once, when the model is first used"
        yield Finding(f"weights of {model}", here or None, "here" if here else fetched)
    yield from _endpoint(config)
    yield from _data(config)
    yield Finding("browser", True, "none is needed: reports are files that any browser opens")


def _packages() -> Finding:
    """Whether what pyproject.toml lists is installed, new enough."""
    wanted = [Requirement(line) for line in requires("anytime-lib") or []]
    wrong, found = [], 0
    for one in wanted:
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            found += 1
            try:
                if not one.specifier.contains(version(one.name), prereleases=True):
                    wrong.append(f"{one.name} is {version(one.name)}, and {one.specifier} is wanted")
            except PackageNotFoundError:
                wrong.append(f"{one.name} is missing")
    says = "; ".join([*wrong, "install them with pip, in the environment that runs this"]) if wrong else f"all {found}"
    return Finding("packages", not wrong, says)


def _enough(what: str, free: int, needed: int, advice: str) -> Finding:
    lacking = f", and about {needed / 1e9:.1f} GB are needed: {advice}" if free < needed else ""
    return Finding(what, not lacking, f"{free / 1e9:.1f} GB free{lacking}")


def _endpoint(config: RunConfig) -> Iterator[Finding]:
    """Whether the endpoint is there and its key is set; asked is only for the list of its models."""

    async def reached() -> str:
        async with load_model(config.but(retries=0)) as model:
            if model.endpoint_id in OWN:
                return f"none is needed for {config.model!r}"
            await asyncio.wait_for(model.endpoint(), 2 * SECONDS)
            return f"{model.endpoint_id} answers"

    try:
        yield Finding("endpoint", True, asyncio.run(reached()))
    except AnytimeError as error:
        yield Finding("endpoint", False, str(error))
    except TimeoutError:
        yield Finding(
            "endpoint", False, f"no answer within {2 * SECONDS:.0f} s; see that the server is up, and base_url"
        )
    key = config.endpoint.api_key_env
    unset = "not set; only an endpoint elsewhere needs one: export it in the shell that runs this"
    yield Finding(f"key {key}", bool(os.environ.get(key)) or None, "set" if os.environ.get(key) else unset)


def _data(config: RunConfig) -> Iterator[Finding]:
    """Whether the problems of each task can be read, and whether the hub is there, which some sources name."""
    needs_hub = False
    for name in config.tasks:
        of = config.task(name)
        for source in dict.fromkeys([of.source, *({of.pool_source} - {None, "none"})]):
            if source and source.startswith(("hub", "official")):
                needs_hub |= source.startswith("hub")
                yield Finding(f"data of {name}", None, f"{source}: fetched once, when it is first used")
                continue
            try:
                load_task(name).problems(source, limit=1)
                yield Finding(f"data of {name}", True, source or "problems of our own")
            except AnytimeError as error:
                yield Finding(f"data of {name}", False, str(error))
    hub = huggingface_hub.constants.ENDPOINT
    try:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise httpx.ConnectError("HF_HUB_OFFLINE is set")
        httpx.head(hub, timeout=SECONDS)
        yield Finding("hub", True, f"{hub} answers; a token is {'set' if huggingface_hub.get_token() else 'not set'}")
    except httpx.HTTPError as error:
        why = f"{hub} cannot be reached ({str(error) or type(error).__name__})"
        yield Finding(
            "hub", False if needs_hub else None, f"{why}; where a source names it, give a file's path instead"
        )
