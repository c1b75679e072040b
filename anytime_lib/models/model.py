"""Which model does a config mean, and how is it reached?"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType

from anytime_lib.config import RunConfig, check_url
from anytime_lib.errors import ConfigError, RequestFailed
from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer, running_server, shared
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.failures import Event
from anytime_lib.models.limiter import Limiter
from anytime_lib.models.probe import Capabilities, probe
from anytime_lib.models.reply import EachTry
from anytime_lib.models.retry import Timeouts
from anytime_lib.models.simulated import Respondent, simulation_of
from anytime_lib.models.transport import is_loopback
from anytime_lib.redact import Key
from anytime_lib.tasks.base import Task
from anytime_lib.types import Problem

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"


class Model:
    """A model as a config names it; its server is started, or asked, only when the first call is made.

    Attributes:
        name: the model's name in requests and cells. For the embedded model it carries the weights' hash, for the
            simulated respondent that of its parameters.
        endpoint_id: what stands for the endpoint in a request's key: `embedded`, `simulated`, or the endpoint's URL.
        timeouts, on_event, limiter: handed to the endpoint; set them before the first call.
    """

    timeouts = Timeouts()

    def __init__(self, config: RunConfig) -> None:
        self._config, self._lock, url = config, asyncio.Lock(), config.endpoint.base_url
        self._endpoint: Endpoint | Respondent | None = None
        self._server: EmbeddedServer | None = None
        self._gguf: Path | None = None
        self._respondent: Respondent | None = None
        self.on_event: Callable[[Event], None] | None = None
        self.limiter: Limiter | None = None
        if url is None and config.model == "simulated":
            self._respondent = Respondent(simulation_of(config.options.get("simulated", {})))
            self.name = self._respondent.name
            self.endpoint_id = "simulated"
        elif url is None and (config.model == "embedded" or config.model.endswith(".gguf")):
            self._gguf = weights.resolve(None if config.model == "embedded" else config.model)
            self.name = weights.alias(self._gguf)
            self.endpoint_id = "embedded"
        else:
            self.name = config.model
            named = url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
            self.endpoint_id = check_url(named, "base_url" if url else "OPENAI_BASE_URL")

    def tell_problems(self, task: Task, test: Sequence[Problem], others: Sequence[Problem] = ()) -> None:
        """Tell the simulated respondent which problems it may be asked about; any other model needs no telling."""
        if self._respondent is not None:
            self._respondent.tell_problems(task, test, others)

    def weights(self) -> dict[str, object] | None:
        """The weights' file name, SHA-256 and size; None for a model served elsewhere."""
        if (path := self._gguf) is None:
            return None
        return {"file": path.name, "sha256": weights.sha256_of(path), "size": path.stat().st_size}

    def shared(self) -> AbstractContextManager[object]:
        """While it lasts, processes begun here that mean the same embedded model share one server and its caches."""
        if self._gguf is None or running_server(self.name):
            return nullcontext()
        return shared(self._embedded())

    def _embedded(self) -> EmbeddedServer:
        assert self._gguf is not None
        return EmbeddedServer(self._gguf, slots=min(self._config.endpoint.concurrency, 8))

    async def endpoint(self) -> Endpoint | Respondent:
        """The live endpoint, checked once: it is there, takes the key and knows the model."""
        async with self._lock:
            if self._endpoint is None:
                self._endpoint = await self._connect()
        return self._endpoint

    async def _connect(self) -> Endpoint | Respondent:
        if self._respondent is not None:
            return self._respondent
        if self._gguf is None:
            url, name = self.endpoint_id, self._config.endpoint.api_key_env
            key = api_key(name, url)
        else:
            url, name, key = running_server(self.name) or "", "the API key", Key("none")
            if not url:
                self._server = self._embedded()
                await asyncio.to_thread(self._server.start)
                url = self._server.base_url
        endpoint = Endpoint(
            url,
            self.name,
            key,
            key_name=name,
            timeouts=self.timeouts,
            on_event=self.on_event,
            limiter=self.limiter,
            tokenizer_file=self._config.endpoint.tokenizer_file,
        )
        try:
            await endpoint.check()
        except BaseException:
            await endpoint.close()
            raise
        return endpoint

    async def capabilities(
        self, known: Capabilities | None = None, each_try: EachTry | None = None
    ) -> Capabilities | None:
        """What an endpoint elsewhere can do: as `known` from before, else as a probe finds, each of whose tries is made
        by `each_try`. None where the server is ours, and known anyway, or where it could not be probed."""
        endpoint = await self.endpoint()
        if self._gguf is not None or not isinstance(endpoint, Endpoint):
            return None
        if known is not None:
            endpoint.learn(known.dropped, known.owner)
            return known
        try:
            found = await probe(endpoint, each_try)
        except RequestFailed as failed:  # the run finds out on its way what it can, and the next one probes again
            log.warning("%s could not be probed: %s", self.endpoint_id, failed)
            return None
        log.info("%s, %s: %s", self.endpoint_id, self.name, found.summary())
        return found

    async def __aenter__(self) -> Model:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)


def api_key(name: str, url: str) -> Key:
    """The key for an address, from the environment variable of that name; a server on this machine needs none.

    Raises:
        ConfigError: there is none, or it holds what no key can.
    """
    key = Key(os.environ.get(name, "").strip())
    if not key and not is_loopback(url):
        raise ConfigError(f"no API key: set the environment variable {name} to your key for {url}")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {name} holds no key: it has a line break or is not plain ASCII")
    return key or Key("none")
