"""How is a model reached that is served at an OpenAI-compatible endpoint, and what can that endpoint do?"""

import asyncio
import difflib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from anytime_lib.config import RunConfig
from anytime_lib.config.groups import check_url
from anytime_lib.errors import ConfigError, RequestFailed, nearest
from anytime_lib.models.endpoint import Endpoint, is_loopback
from anytime_lib.models.limiter import Limiter, Timeouts
from anytime_lib.models.model import OWN, Model
from anytime_lib.models.reply import DIALECTS, Reply, hidden_reasoning
from anytime_lib.models.tokenizers import TextTokenizer
from anytime_lib.redact import Key, public_address
from anytime_lib.types import Message, packaged

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
QUESTION = "How many r are there in the word strawberry? Answer with one number."
"""Asked once per endpoint and model, and what it tells is kept."""


class ServedModel(Model):
    """A model at an endpoint: the config's, or (with an `endpoint_id` that says so) that of a server of our own.
    ConfigError where no endpoint is set and the model's name is almost one of ours: OpenAI would not know it."""

    timeouts = Timeouts()

    def __init__(self, config: RunConfig, name: str = "", endpoint_id: str = "") -> None:
        self.settings = at = config.endpoint
        self._address = "" if endpoint_id else at.base_url or _default_url(config.model)
        super().__init__(name or config.model, endpoint_id or self._address, at.concurrency)
        self.timeouts = replace(self.timeouts, first_token=at.timeout, retries=at.retries)
        self.limiter = Limiter(at.concurrency, at.requests_per_minute, at.tokens_per_minute)
        self._lock = asyncio.Lock()
        self._endpoint: Endpoint | None = None

    async def address(self) -> str:
        """The endpoint's URL; a server of our own is up by then."""
        return self._address

    async def endpoint(self) -> Endpoint:
        """The live endpoint, checked once: it is there, takes the key and knows the model."""
        async with self._lock:
            if self._endpoint is None:
                url, at = await self.address(), self.settings
                key = Key("none") if self.endpoint_id in OWN else api_key(at.api_key_env, url)
                told = self.timeouts, self.on_retry, self.limiter, self.sending
                made = Endpoint(url, self.name, key, at.api_key_env, *told)
                try:
                    self._tokenizer = TextTokenizer(made, at.tokenizer_file)
                    await made.check()
                except BaseException:
                    await made.close()
                    raise
                self._endpoint = made
        return self._endpoint

    async def chat(self, messages: list[Message], **settings: Any) -> Reply:
        return await (await self.endpoint()).chat(messages, **settings)

    async def tokenize(self, text: str) -> tuple[list[int] | None, bool]:
        await self.endpoint()
        return await self._tokenizer.ends(text)

    async def capabilities(
        self, known: Mapping[str, Any] | None, ask: Callable[..., Awaitable[Reply]]
    ) -> Mapping[str, Any] | None:
        endpoint = await self.endpoint()
        if self.endpoint_id in OWN:
            return None
        if known is not None:
            endpoint.dropped |= {*known["dropped"]}
            return known
        try:
            return await probe(self._tokenizer, ask)
        except RequestFailed as failed:  # the run finds out on its way what it can, and the next one probes again
            log.warning("%s could not be probed: %s", self.endpoint_id, failed)
            return None

    @property
    def least_tokens(self) -> int:
        return self._endpoint.least if self._endpoint else 1

    async def __aexit__(self, *error: object) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()


def _default_url(model: str) -> str:
    url, ours = os.environ.get("OPENAI_BASE_URL"), [*OWN, *packaged("weights.yaml")]
    if not url and difflib.get_close_matches(model.lower(), ours, cutoff=0.7):
        raise ConfigError(f"model {model!r} is not embedded and base_url is not set{nearest(model.lower(), ours)}")
    return check_url(url or OPENAI_URL, "OPENAI_BASE_URL")


async def probe(tokenizer: TextTokenizer, ask: Callable[..., Awaitable[Reply]]) -> dict[str, Any]:
    """What an endpoint can do, as it is stored; `ask` makes the request in place of its `chat`, for it is paid.

    Returns reasoning (returned apart from the text, `shown`; not at all though it is billed, `hidden`; or `none`),
    tokens (how those of a reasoning are known: see `TokenMode`), dropped (settings and routes that were refused) and
    owner (who serves). RequestFailed where it does not even answer a tiny request.
    """
    endpoint = tokenizer.endpoint
    question, enough = [{"role": "user", "content": QUESTION}], 160  # for the beginning of a reasoning to show itself
    reply = await ask(messages=question, max_tokens=enough, temperature=1.0, seed=1, tokens=True)
    shown, tokens = reply.reasoning or reply.text, "stream"
    if reply.ends is None or not shown:
        ends, by_file = await tokenizer.ends(shown)
        tokens = "proportional" if not ends else "file" if by_file else "tokenizer"
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
