"""Which model does a config mean, and what may be asked of it?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from pkgutil import resolve_name
from typing import Any

from anytime_lib.config import RunConfig
from anytime_lib.models.reply import EachTry, Reply
from anytime_lib.redact import public_address
from anytime_lib.tasks.base import Task
from anytime_lib.types import Message, ProblemSplit, packaged

OWN = {"embedded": "embedded:EmbeddedModel", "simulated": "simulated:SimulatedModel"}
"""Models that need no endpoint elsewhere -> the class that knows how they are reached."""


def load_model(config: RunConfig) -> "Model":
    """The model that a config names: one at an endpoint, an embedded one or a GGUF file served here, or the simulated
    respondent. ConfigError where it cannot be any of them."""
    name, kind = config.model, ""
    if config.endpoint.base_url is None:
        kind = "embedded" if name in packaged("weights.yaml") or name.endswith(".gguf") else name
    model: Model = resolve_name(f"anytime_lib.models.{OWN.get(kind, 'served:ServedModel')}")(config)
    return model


class Model(AbstractAsyncContextManager["Model"]):
    """A model; its server is started, or asked, only when the first call is made.

    Attributes:
        name: in requests and cells; that of our own models carries a hash of the weights or parameters.
        endpoint_id: what stands for the endpoint in a request's key: `embedded`, `simulated`, or the endpoint's URL,
            without what in its path may be a key.
        weights: the file's name, SHA-256 and size; None for a model served elsewhere.
        trace_slots: for whoever makes one request after the other, such as a trace and then its answers: with no more
            of them at work than requests may be in flight, none waits between its requests.
        sending: tasks whose request is with the server now.
        on_retry: hears why a request is tried again; set it before the first call.
    """

    weights: Mapping[str, object] | None = None
    on_retry: Callable[[str], None] | None = None

    def __init__(self, name: str, endpoint_id: str, concurrency: int) -> None:
        self.name, self.endpoint_id = name, public_address(endpoint_id)
        self.trace_slots = asyncio.Semaphore(concurrency)
        self.sending: set[asyncio.Task[Any] | None] = set()

    async def chat(
        self, messages: list[Message], *, max_tokens: int, temperature: float, each_try: EachTry | None, **more: Any
    ) -> Reply:
        """One chat completion of a conversation. `more` may hold `top_p`, `seed`, `tokens` (True asks for the token
        stream), `alternatives` (for the log-probabilities of so many to the first token), `prefill` (True: the last
        message is the assistant's, to be continued) and `effort` (what is sent for its level). RequestFailed where this
        request failed for good; EndpointError where none can succeed (down, wrong key, unknown model, no credit)."""
        raise NotImplementedError

    async def tokenize(self, text: str) -> tuple[list[int] | None, bool]:
        """Where each token of a text ends (bytes), None where nothing tells; and whether a file of the user's did."""
        return None, False

    async def capabilities(
        self, known: Mapping[str, Any] | None, ask: Callable[..., Awaitable[Reply]]
    ) -> Mapping[str, Any] | None:
        """What an endpoint elsewhere can do: as `known` from before, else as is found by asking. None where the server
        is ours, and known anyway, or where it could not be found out."""
        return None

    @property
    def least_tokens(self) -> int:
        """The least `max_tokens` that the server takes; a smaller one is raised to it."""
        return 1

    def tell_problems(self, task: Task, problems: ProblemSplit) -> None:
        """Tell the simulated respondent which problems it may be asked about; any other model needs no telling."""

    def shared(self) -> AbstractContextManager[object]:
        """While it lasts, processes begun here that mean the same embedded model share one server and its caches."""
        return nullcontext()

    async def __aexit__(self, *error: object) -> None:
        """Close what was opened for it."""
