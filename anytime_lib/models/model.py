"""Which model does a config mean, and how is it reached?"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from anytime_lib.config import RunConfig, check_url
from anytime_lib.errors import ConfigError, RequestFailed
from anytime_lib.models import weights
from anytime_lib.models.embedded import EmbeddedServer, announced, running_server
from anytime_lib.models.endpoint import Endpoint, Event, Limiter, Reply, Timeouts, is_loopback
from anytime_lib.models.failures import RetryableError
from anytime_lib.models.probe import PROBE_TOKENS, QUESTION, Capabilities, noted_as, probe
from anytime_lib.models.simulated import Respondent, simulated_name
from anytime_lib.store import Store
from anytime_lib.sweep.spending import SpendLimit
from anytime_lib.types import digest

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"


class Model:
    """A model as a config names it; its server is started, or asked, only when the first call is made.

    Attributes:
        name: the model's name in requests and cells. For the embedded model it carries the weights' hash, for the
            simulated respondent that of its parameters.
        endpoint_id: what stands for the endpoint in a request's key: `embedded`, `simulated`, or the endpoint's URL.
        calls: requests sent to the model since this object was made.
        patience, on_event, limiter: handed to the endpoint; set them before the first call.
        memory: where what a probe finds is kept; None: an endpoint elsewhere is not probed.
        spend_limit: pays for the probe.
        capabilities: what is known of an endpoint elsewhere, once it was reached.
    """

    timeouts = Timeouts()

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._endpoint: Endpoint | Respondent | None = None
        self._server: EmbeddedServer | None = None
        self._lock = asyncio.Lock()
        self.calls = 0
        self.on_event: Callable[[Event], None] | None = None
        self.limiter: Limiter | None = None
        self.memory: Store | None = None
        self.spend_limit = SpendLimit(None)
        self.capabilities: Capabilities | None = None
        self._gguf: Path | None = None
        if config.endpoint.base_url is None and config.model == "simulated":
            self.name = simulated_name(config)
            self.endpoint_id = "simulated"
        elif config.endpoint.base_url is None and (config.model == "embedded" or config.model.endswith(".gguf")):
            self._gguf = weights.resolve(None if config.model == "embedded" else config.model)
            self.name = weights.alias(self._gguf)
            self.endpoint_id = "embedded"
        else:
            self.name = config.model
            named = config.endpoint.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
            self.endpoint_id = check_url(named, "base_url" if config.endpoint.base_url else "OPENAI_BASE_URL")

    def weights(self) -> dict[str, object] | None:
        """The weights' file name, sha256, size and quantisation; None for a model served elsewhere."""
        return None if self._gguf is None else weights.describe(self._gguf)

    def shared(self) -> AbstractContextManager[object]:
        """While it lasts, other processes that mean the same embedded model share one server and its caches."""
        if self._gguf is None or running_server(self.name):
            return nullcontext()
        return announced(self._embedded())

    def _embedded(self) -> EmbeddedServer:
        assert self._gguf is not None
        return EmbeddedServer(self._gguf, alias=self.name, slots=min(self._config.endpoint.concurrency, 8))

    async def endpoint(self) -> Endpoint | Respondent:
        """The live endpoint, checked once: it is there, takes the key and knows the model."""
        async with self._lock:
            if self._endpoint is None:
                self._endpoint = await self._connect()
        return self._endpoint

    async def _connect(self) -> Endpoint | Respondent:
        if self.endpoint_id == "simulated":
            return Respondent(self._config)
        if self._gguf is None:
            url, name = self.endpoint_id, self._config.endpoint.api_key_env
            key = os.environ.get(name, "")
            if not key and not is_loopback(url):
                raise ConfigError(f"no API key: set the environment variable {name} to your key for {url}")
        else:
            url = running_server(self.name) or ""
            if not url:
                self._server = self._embedded()
                await asyncio.to_thread(self._server.start)
                url = self._server.base_url
            key, name = "none", "the API key"
        endpoint = Endpoint(url, self.name, key or "none", key_name=name, timeouts=self.timeouts,
                            on_event=self.on_event, limiter=self.limiter,
                            tokenizer_file=self._config.endpoint.tokenizer_file)  # fmt: skip
        try:
            await endpoint.check()
            if self._gguf is None and self.memory is not None:  # what the embedded server can do is known
                await self._learn(endpoint, self.memory)
        except BaseException:
            await endpoint.close()
            raise
        return endpoint

    async def _learn(self, endpoint: Endpoint, memory: Store) -> None:
        """Recall what this endpoint and model can do, or find it out: once, with the replies on the ledger."""
        about = noted_as(self.endpoint_id, self.name)
        self.capabilities = Capabilities.from_json(memory.noted(about))
        if self.capabilities is not None:
            endpoint.learn(self.capabilities)
            return
        tries, began = itertools.count(), time.time()

        async def each_try(once: Callable[[], Awaitable[Reply]]) -> Reply:
            usage = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "seconds"), 0.0)
            response, status, number = dict[str, Any](), "error", next(tries)
            async with self.spend_limit.reserve([{"role": "user", "content": QUESTION}], PROBE_TOKENS) as bill:
                try:
                    reply = await once()
                    response, status = reply.to_json(), "ok"
                    usage |= reply.spent | {"seconds": reply.seconds}
                    return reply
                except RetryableError as lost:
                    response = {"error": str(lost)}
                    usage |= lost.billed
                    raise
                finally:
                    bill.usage = usage
                    if response:
                        await memory.aput(
                            key=digest([about, number, began]), kind="probe", task="", method="probe", model=self.name,
                            endpoint=self.endpoint_id, request={"probe": number}, response=response, status=status,
                            **usage,
                        )  # fmt: skip

        try:
            self.capabilities = await probe(endpoint, each_try)
        except RequestFailed as failed:  # the run finds out on its way what it can, and the next one probes again
            log.warning("%s could not be probed: %s", self.endpoint_id, failed)
            return
        memory.note(about, self.capabilities.to_json())
        log.info("%s, %s: %s", self.endpoint_id, self.name, self.capabilities.summary())

    async def hides_reasoning(self) -> bool:
        """Whether a probe found that the endpoint hides reasoning; reaches the endpoint if it was not yet."""
        await self.endpoint()
        return self.capabilities is not None and self.capabilities.reasoning == "hidden"

    async def __aenter__(self) -> Model:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
