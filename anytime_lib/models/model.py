"""Which model does a config mean, how is it reached, and what can its endpoint do?"""

import asyncio
import difflib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pkgutil import resolve_name
from typing import Any
from urllib.parse import urlsplit

from anytime_lib.config import RunConfig
from anytime_lib.config.groups import EndpointConfig, check_url
from anytime_lib.errors import ConfigError, RequestFailed, nearest
from anytime_lib.models.endpoint import Endpoint, is_loopback
from anytime_lib.models.failures import DIALECTS
from anytime_lib.models.limiter import Limiter, Timeouts
from anytime_lib.models.reply import Reply, hidden_reasoning
from anytime_lib.models.tokens import ends_of
from anytime_lib.redact import Key, public_address
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
OWN = {
    "embedded": "anytime_lib.models.embedded:EmbeddedModel",
    "simulated": "anytime_lib.models.simulated:SimulatedModel",
}
"""Models that need no endpoint elsewhere -> the class that knows how they are reached."""
QUESTION = "How many r are there in the word strawberry? Answer with one number."
"""Asked once per endpoint and model, and what it tells is kept."""


def load_model(config: RunConfig) -> "Model":
    """The model that a config names: one at an endpoint, an embedded one or a GGUF file served here, or the simulated
    respondent. ConfigError where no endpoint is set and the name is almost one of ours: OpenAI would not know it."""
    name, url = config.model, config.endpoint.base_url
    if url is None:
        embedded = resolve_name("anytime_lib.models.weights:WEIGHTS")
        kind = "embedded" if name in embedded or name.endswith(".gguf") else name
        if kind in OWN:
            own: Model = resolve_name(OWN[kind])(config)
            return own
        url, ours = os.environ.get("OPENAI_BASE_URL"), [*OWN, *embedded]
        if not url and difflib.get_close_matches(name.lower(), ours, cutoff=0.7):
            raise ConfigError(f"model {name!r} is not embedded and base_url is not set{nearest(name.lower(), ours)}")
        url = check_url(url or OPENAI_URL, "OPENAI_BASE_URL")
    return Model(config.endpoint, name, url)


class Model:
    """A model; its server is started, or asked, only when the first call is made.

    Attributes:
        name: in requests and cells; that of our own models carries a hash of the weights or parameters.
        endpoint_id: what stands for the endpoint in a request's key: `embedded`, `simulated`, or the endpoint's URL,
            without what in its path may be a key.
        weights: the file's name, SHA-256 and size; None for a model served elsewhere.
        timeouts, limiter: of the endpoint, by its settings.
        on_retry: hears why a request is tried again; set it before the first call.
    """

    timeouts = Timeouts()
    weights: Mapping[str, object] | None = None
    on_retry: Callable[[str], None] | None = None

    def __init__(self, settings: EndpointConfig, name: str, endpoint_id: str) -> None:
        self.settings, self.name, self.endpoint_id = settings, name, public_address(endpoint_id)
        self._address = endpoint_id
        self.timeouts = replace(self.timeouts, first_token=settings.timeout, retries=settings.retries)
        self.limiter = Limiter(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        self._endpoint: Endpoint | None = None
        self._lock = asyncio.Lock()

    def tell_problems(self, task: Task, test: Sequence[Problem], others: Sequence[Problem] = ()) -> None:
        """Tell the simulated respondent which problems it may be asked about; any other model needs no telling."""

    def shared(self) -> AbstractContextManager[object]:
        """While it lasts, processes begun here that mean the same embedded model share one server and its caches."""
        return nullcontext()

    async def address(self) -> str:
        """The endpoint's URL; a server of our own is up by then."""
        return self._address

    async def endpoint(self) -> Endpoint:
        """The live endpoint, checked once: it is there, takes the key and knows the model."""
        async with self._lock:
            if self._endpoint is None:
                url, at = await self.address(), self.settings
                key = Key("none") if self.endpoint_id in OWN else api_key(at.api_key_env, url)
                file, tell = at.tokenizer_file, self.on_retry
                made = Endpoint(url, self.name, key, at.api_key_env, self.timeouts, tell, self.limiter, file)
                try:
                    await made.check()
                except BaseException:
                    await made.close()
                    raise
                self._endpoint = made
        return self._endpoint

    async def capabilities(
        self, known: Mapping[str, Any] | None, ask: Callable[..., Awaitable[Reply]]
    ) -> Mapping[str, Any] | None:
        """What an endpoint elsewhere can do: as `known` from before, else as a `probe` finds. None where the server
        is ours, and known anyway, or where it could not be probed."""
        endpoint = await self.endpoint()
        if self.endpoint_id in OWN:
            return None
        if known is not None:
            endpoint.dropped |= {*known["dropped"]}
            return known
        try:
            return await probe(endpoint, ask)
        except RequestFailed as failed:  # the run finds out on its way what it can, and the next one probes again
            log.warning("%s could not be probed: %s", self.endpoint_id, failed)
            return None

    async def __aenter__(self) -> "Model":
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()


async def probe(endpoint: Endpoint, ask: Callable[..., Awaitable[Reply]]) -> dict[str, Any]:
    """What an endpoint can do, as it is stored; `ask` makes the request in place of `endpoint.chat`, for it is paid.

    Returns reasoning (returned apart from the text, `shown`; not at all though it is billed, `hidden`; or `none`),
    tokens (how those of a reasoning are known: see `TokenMode`), dropped (settings and routes that were refused) and
    owner (who serves). RequestFailed where it does not even answer a tiny request.
    """
    question, enough = [{"role": "user", "content": QUESTION}], 160  # for the beginning of a reasoning to show itself
    reply = await ask(messages=question, max_tokens=enough, temperature=1.0, seed=1, tokens=True)
    shown, tokens = reply.reasoning or reply.text, "stream"
    if reply.ends is None or not shown:
        pieces, by_file = await endpoint.tokenize(shown)
        known = pieces and ends_of(pieces, shown) is not None
        tokens = "proportional" if not known else "file" if by_file else "tokenizer"
    hidden = hidden_reasoning(reply.to_json(), reply.ends)
    reasoning = "hidden" if hidden else "shown" if reply.reasoning else "none"
    return {"reasoning": reasoning, "tokens": tokens, "dropped": sorted(endpoint.dropped), "owner": endpoint.owner}


def api_key(name: str, url: str) -> Key:
    """The key for an address, from the environment variable of that name; a server on this machine needs none.
    ConfigError where it is somebody else's: a file of parameters could send any of them anywhere."""
    host, where = urlsplit(url).hostname or "", public_address(url)
    for hosts in filter(None, map(DIALECTS["owners"].get, name.split("_"))):
        if not is_loopback(url) and not f".{host}".endswith(tuple(hosts.split())):
            why = f"{name} is not sent to {host}, for it is not that host's by its name"
            raise ConfigError(f"{why}; set a variable of its own, such as LLM_API_KEY, and name it in api_key_env")
    key = Key(os.environ.get(name, "").strip())
    if not key and not is_loopback(url):
        raise ConfigError(f"no API key: set the environment variable {name} to your key for {where}")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {name} holds no key: it has a line break or is not plain ASCII")
    return key or Key("none")
