"""Is everything there that a run needs, and where not, what is to be done? Nothing is sent that costs."""

import asyncio
import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import distributions, requires

import httpx
import huggingface_hub
import psutil
from packaging.requirements import Requirement

from anytime_lib.config import RunConfig
from anytime_lib.errors import AnytimeError, DataError
from anytime_lib.files import cache_folder
from anytime_lib.models.model import load_model
from anytime_lib.models.served import ServedModel
from anytime_lib.models.weights import WEIGHTS
from anytime_lib.registry import load_task

SECONDS = 5.0  # that the hub may take to say that it is there; an endpoint has twice as long
Finding = tuple[str, bool | None, str]
"""What was looked at; is it all right (None: it is not there, and not every run needs it); what was found, or to do."""


def diagnose(config: RunConfig) -> Iterator[Finding]:
    """What the run of a config needs, one finding after the other: the machine first, then the model, then the data."""
    key, places = config.endpoint.api_key_env, cache_folder() / "models"
    own = WEIGHTS.get(next(iter(WEIGHTS)) if config.model == "embedded" else config.model)
    yield "Python", True, platform.python_version()
    yield _looked("packages", _packages)
    free, needed = psutil.virtual_memory().available, own.bytes * 3 // 2 if own else 0
    lacking = f", and about {needed / 1e9:.1f} GB are needed: take a smaller model" if free < needed else ""
    yield "memory", not lacking, f"{free / 1e9:.1f} GB free{lacking}"
    for name, weights in WEIGHTS.items() if own else ():
        later = f"not here yet; {weights.bytes / 1e6:,.0f} MB are fetched once, when the model is first used"
        here = (places / weights.file).is_file()
        yield f"weights of {name}", here or None, "here" if here else later
    yield _looked("endpoint", lambda: asyncio.run(_endpoint(config)))
    unset = "not set; an endpoint on another machine needs it: export it in the shell that runs this"
    if config.model != "simulated":
        yield f"key {key}", bool(os.environ.get(key)) or None, "set" if os.environ.get(key) else unset
    for name in config.tasks:
        yield _looked(f"data of {name}", lambda name=name: _data(config, name))  # type: ignore[misc]
    hub, found, says = _looked("hub", _hub)
    yield hub, found or None, says if found else f"{says}; for a source on it, give a file's path instead"


def _looked(what: str, look: Callable[[], str]) -> Finding:
    try:
        return what, True, look()
    except (AnytimeError, TimeoutError, httpx.HTTPError) as error:
        return what, False, str(error) or "no answer in time"


def _packages() -> str:
    wanted = [one for one in map(Requirement, requires("anytime-lib") or []) if not one.marker]
    for one in wanted:
        found = next((package.version for package in distributions(name=one.name)), None)
        if found is None or not one.specifier.contains(found, prereleases=True):
            mend = f"pip install '{one}', in the environment that runs this"
            raise DataError(f"{one.name} is {found or 'missing'}: {mend}")
    return f"all {len(wanted)}"


async def _endpoint(config: RunConfig) -> str:
    """Asks for no more than the list of models."""
    async with load_model(config.but(retries=0)) as model:
        if not isinstance(model, ServedModel) or model.endpoint_id == "embedded":
            return f"none is needed for {config.model!r}"
        await asyncio.wait_for(model.endpoint(), 2 * SECONDS)
        return f"{model.endpoint_id} answers"


def _data(config: RunConfig, task: str) -> str:
    """Reads what problems are taken from, for which it is fetched, where it is not here yet."""
    of = config.task(task)
    sources = [of.source, *({of.pool_source} - {None, "none", of.source})]
    for source in sources:
        load_task(task).problems(source, limit=1)
    return ", ".join(source or "problems of our own" for source in sources)


def _hub() -> str:
    httpx.head(huggingface_hub.constants.ENDPOINT, timeout=SECONDS)
    return f"answers; a token for gated data is {'set' if huggingface_hub.get_token() else 'not set'}"
