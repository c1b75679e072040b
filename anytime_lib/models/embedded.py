"""How is a GGUF file served on this machine, and for how long?

A child process runs llama.cpp's server on the loopback interface; it stops with its owner, however that one ends.
Everything else reaches it through the `openai` client, like any other endpoint.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

import httpx

from anytime_lib.config import RunConfig
from anytime_lib.errors import EndpointError
from anytime_lib.models import llama_server
from anytime_lib.models.endpoint import Endpoint, is_loopback
from anytime_lib.models.model import Model
from anytime_lib.models.weights import alias, alias_of, checked, resolve, sha256_of
from anytime_lib.redact import Key


class EmbeddedModel(Model):
    """A GGUF file, served by a server of this process's own or by one that is found (see `running_server`)."""

    def __init__(self, config: RunConfig) -> None:
        self._source, self._slots = None if config.model == "embedded" else config.model, config.endpoint.concurrency
        super().__init__(config.endpoint, alias_of(self._source), "embedded")

    @cached_property
    def server(self) -> EmbeddedServer:
        """Made, and the weights fetched, when they are needed: an estimate fetches nothing."""
        return EmbeddedServer(resolve(self._source), slots=min(self._slots, 8))

    def weights(self) -> dict[str, object]:
        gguf = self.server.gguf
        return {"file": gguf.name, "sha256": sha256_of(gguf), "size": gguf.stat().st_size}

    def shared(self) -> AbstractContextManager[object]:
        return nullcontext() if running_server(self.name) else shared(self.server)

    async def connect(self) -> Endpoint:
        url = running_server(self.name) or (await asyncio.to_thread(self.server.start)).base_url
        return await self.reach(url, Key("none"), "the API key")

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        if "server" in vars(self):
            await asyncio.to_thread(self.server.stop)


class EmbeddedServer:
    """A GGUF file behind an OpenAI-compatible server of its own: a context manager, or `start()` and `stop()`.

    It also stops when the object is collected, when the interpreter ends, and when the owning process is killed.

    Args:
        port: 0 for any free port.
        slots: requests that are worked on at the same time, each with `context` tokens.
    """

    def __init__(self, gguf: Path, port: int = 0, slots: int = 4, context: int = 4096) -> None:
        self.gguf = checked(Path(gguf))
        self.alias = alias(self.gguf)
        self.port, self._wanted = 0, (port, slots, context)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where the server listens, up to and including `/v1`."""
        if not self.port:
            raise EndpointError("the embedded server is not running; call start() first")
        return f"http://{llama_server.HOST}:{self.port}/v1"

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> EmbeddedServer:
        """Start the server and wait until it listens (less than a second for a small model).

        Raises:
            EndpointError: the port is taken, or the file cannot be loaded.
        """
        if self.pid:
            return self
        self.stop()
        port = self._wanted[0]
        try:  # where the child finds the port taken, its words do not say so
            socket.create_server((llama_server.HOST, port)).close()
        except (OSError, OverflowError):
            raise EndpointError(
                f"port {port} is taken, or is none; give another, or --port 0 for any free one"
            ) from None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the process
        asked = [llama_server.__file__, self.gguf, self.alias, *self._wanted, os.getpid()]
        pipe = subprocess.PIPE  # whose end, when this object goes, is the server's too
        self._process = subprocess.Popen(  # in a session of its own, where Ctrl-C does not reach it
            [sys.executable, "-P", *map(str, asked)], stdin=pipe, stdout=pipe, stderr=self._log, start_new_session=True
        )
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()  # its port, when it is ready; nothing if it cannot serve
            if not line:
                raise EndpointError(f"the embedded server could not serve {self.gguf}{self.last_words()}")
            self.port = int(line)
        except BaseException:
            self.stop()
            raise
        return self

    def last_words(self) -> str:
        """The end of the server's log, as the end of a sentence; empty if it said nothing."""
        self._log.seek(0)
        said = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"; it said last: {' | '.join(said[-4:])}" if said else ""

    def stop(self) -> None:
        """Stop the server and wait until it is gone. A server that is not running stays so."""
        if process := self._process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            self._log.close()
        self._process, self.port = None, 0

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve_forever(gguf: Path, port: int = 0, slots: int = 4, context: int = 4096) -> None:
    """Serve a file in the foreground until Ctrl-C, and say how others reach it (see `running_server`)."""
    with EmbeddedServer(gguf, port, slots, context) as server:
        print(f"Serving {server.alias} at {server.base_url} until Ctrl-C. Runs and notebooks use it where this is set:")
        print(f"  export OPENAI_BASE_URL={server.base_url} OPENAI_API_KEY=none", flush=True)
        try:
            while server.pid:
                time.sleep(0.2)
            raise EndpointError(f"the embedded server ended by itself{server.last_words()}")
        except KeyboardInterrupt:
            print("Stopped.")


def running_server(alias: str) -> str | None:
    """The address in OPENAI_BASE_URL, if a server of exactly these weights listens there, on this machine."""
    url = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):  # nobody is there, or somebody else
        if is_loopback(url):
            listed = httpx.get(f"{url}/models", timeout=5, trust_env=False).json()  # no proxy stands before it
            return url if alias in [model["id"] for model in listed["data"]] else None
    return None


@contextmanager
def shared(server: EmbeddedServer) -> Iterator[None]:
    """A server that runs as long as this lasts and is found by `running_server`, here and in processes begun here."""
    before = dict(os.environ)
    with server:
        os.environ["OPENAI_BASE_URL"] = server.base_url
        try:
            yield
        finally:
            os.environ.pop("OPENAI_BASE_URL")
            os.environ |= before
