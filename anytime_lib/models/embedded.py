"""How is a GGUF file served on this machine, and for how long?

A child process runs llama.cpp's server on the loopback interface, and is reached like any other endpoint.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx

from anytime_lib.config import RunConfig
from anytime_lib.errors import EndpointError
from anytime_lib.models import llama_server
from anytime_lib.models.endpoint import is_loopback
from anytime_lib.models.served import ServedModel
from anytime_lib.models.weights import WEIGHTS, alias, described, resolve, sha256_of

START = 600.0
"""Seconds that a server may take to load its file; a small model takes less than one."""
PATIENCE = 3600.0
"""Seconds of silence after which a request is tried again, if the settings do not say. A busy machine may read sixteen
long prompts for minutes before it says a word, and what is asked again is read again; a dead server is noticed."""


class EmbeddedModel(ServedModel):
    """A GGUF file, served by a server of this process's own or by one that is found (see `running_server`)."""

    def __init__(self, config: RunConfig) -> None:
        self._model, self._servers, self._stop = config.model, ExitStack(), threading.Event()
        self.weights = described(self._model)
        super().__init__(config, alias(self.weights["file"], self.weights["sha256"]), "embedded")
        if "timeout" not in config.endpoint.model_fields_set:
            self.timeouts = replace(self.timeouts, first_token=PATIENCE, whole=PATIENCE)

    def _url(self) -> str:
        """Where the weights are served, by a server of our own if there is no other."""
        if url := running_server(self.name):
            return url
        server = EmbeddedServer(resolve(self._model, self._stop), slots=min(self.settings.concurrency, 16))
        self._servers.push(server)  # before it is up: it also stops when nobody waits for it any more
        return server.__enter__().base_url

    async def address(self) -> str:
        return await asyncio.to_thread(self._url)

    @contextmanager
    def shared(self) -> Iterator[None]:
        before = dict(os.environ)
        with self._servers:
            os.environ["OPENAI_BASE_URL"] = self._url()
            try:
                yield
            finally:
                del os.environ["OPENAI_BASE_URL"]
                os.environ |= before

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()  # else a thread would go on with a download for which nobody waits any more
        await super().__aexit__(*error)
        await asyncio.to_thread(self._servers.close)


class EmbeddedServer:
    """A GGUF file behind an OpenAI-compatible server of its own, which is up, at `base_url`, within the context that
    this manages. It also stops when the object is collected, the interpreter ends, or the owning process is killed.
    EndpointError where the port is taken, or, when the context is entered, the file cannot be loaded.

    Args:
        port: 0 for any free port.
        slots: requests that are worked on at the same time, each with `context` tokens.
        context: by default 32,768 in all, but at least 4,096 for each slot, and at most what one of `WEIGHTS` was
            trained for (4,096 for other files); a token takes up to 28 KB.
    """

    def __init__(self, gguf: Path, port: int = 0, slots: int = 4, context: int | None = None) -> None:
        sha256 = sha256_of(gguf)
        self.gguf, self.alias, self.base_url = gguf, alias(gguf.name, sha256), ""
        trained = next((known.context for known in WEIGHTS.values() if known.sha256 == sha256), 4096)
        context = context or max(4096, min(trained, 32768 // slots))
        try:  # where the child finds the port taken, its words do not say so
            socket.create_server((llama_server.HOST, port)).close()
        except (OSError, OverflowError):
            raise EndpointError(f"port {port} is none or taken; give another, or --port 0 for any free one") from None
        asked = [llama_server.__file__, gguf, self.alias, port, slots, context, os.getpid()]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the process
        pipe = subprocess.PIPE  # whose end, when this object goes, is the server's too
        self.process = subprocess.Popen(  # in a session of its own, where Ctrl-C does not reach it
            [sys.executable, "-P", *map(str, asked)], stdin=pipe, stdout=pipe, stderr=self._log, start_new_session=True
        )

    def __enter__(self) -> "EmbeddedServer":
        assert self.process.stdout is not None
        limit = threading.Timer(START, self.process.kill)
        limit.start()
        try:
            port = self.process.stdout.readline().decode().strip()  # when it is up; nothing if it cannot serve
            if not port:
                said = self.last_words()
                raise EndpointError(f"the embedded server could not serve {self.gguf} within {START:g} s{said}")
        except BaseException:
            self.__exit__()
            raise
        finally:
            limit.cancel()
        self.base_url = f"http://{llama_server.HOST}:{port}/v1"
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        with self.process:
            self.process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
            self.process.kill()
        self._log.close()

    def last_words(self) -> str:
        """The end of the server's log, as the end of a sentence; empty if it said nothing."""
        self._log.seek(0)
        said = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"; it said last: {' | '.join(said[-4:])}" if said else ""


def serve_forever(gguf: Path, port: int = 0, slots: int = 4, context: int | None = None) -> None:
    """Serve a file in the foreground until Ctrl-C, and say how others reach it (see `running_server`)."""
    with EmbeddedServer(gguf, port, slots, context) as server:
        print(f"Serving {server.alias} at {server.base_url} until Ctrl-C. Runs and notebooks use it where this is set:")
        print(f"  export OPENAI_BASE_URL={server.base_url} OPENAI_API_KEY=none", flush=True)
        try:
            server.process.wait()
            raise EndpointError(f"the embedded server ended by itself{server.last_words()}")
        except KeyboardInterrupt:
            print("Stopped.")


def running_server(alias: str) -> str | None:
    """The address in OPENAI_BASE_URL, if a server of exactly these weights listens there, on this machine."""
    url = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    with suppress(Exception):  # nobody is there, or somebody else
        if is_loopback(url):
            listed = httpx.get(f"{url}/models", timeout=5, trust_env=False).json()  # no proxy stands before it
            return url if alias in [model["id"] for model in listed["data"]] else None
    return None
