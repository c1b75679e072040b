"""What runs in the server process?

llama.cpp's own server from the `xllamacpp` wheel, on a socket in a folder of its own; connections to the port that is
said, in one line on standard output, are handed on to it if they name this machine: a web page that has its own name
point here does not. The file is run by its path, without the rest of the package, and lives only as long as its owner.
"""

import asyncio
import os
import re
import select
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
_NAMED = re.compile(rb"(?im)^(?:host|origin):[ \t]*(?:https?://)?(\[[^\]]*\]|[^:/\s]*)")
_KEPT = re.compile(rb"(?im)^(?:proxy-)?(?:connection|keep-alive):.*\r\n")


def main(gguf: str, alias: str, port: str, slots: str, context: str, owner: str) -> None:
    """Serve one GGUF file (see `EmbeddedServer`) until the process `owner`, at the other end of our input, is gone."""
    ready = os.dup(1)
    os.dup2(2, 1)  # whatever llama.cpp prints goes to the log, never before the line that says the port
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {alias}
    folder = tempfile.TemporaryDirectory(prefix="anytime-")
    params.hostnames = [inner := f"{folder.name}/llama.sock"]
    params.cors_origins = f"http://{HOST}"  # no web page in the user's browser may read what the server says
    params.ui = False
    params.n_parallel = int(slots)
    params.n_ctx = int(slots) * int(context)
    params.fit_params = False  # the context is what was asked for, whatever memory is free at the moment
    params.cache_ram_mib = 1024  # llama.cpp's own default of 8 GiB is more than a laptop spares
    params.endpoint_metrics = True
    params.warmup = False
    # At 1,100 tokens of context, four slots generated 70 tokens/s on a CPU with flash attention and 110 without.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = 1
    threads, processors = _threads()
    for group in (params.cpuparams, params.cpuparams_batch):
        group.poll = 0
        group.n_threads = threads
        if processors:
            group.cpumask = [number in processors for number in range(xllamacpp.GGML_MAX_N_THREADS)]
            group.mask_valid = True
            group.strict_cpu = True
    _server = xllamacpp.Server(params)  # on threads of its own
    asyncio.run(_serve(inner, int(port), ready, int(owner)))
    folder.cleanup()
    os._exit(0)


async def _serve(inner: str, port: int, ready: int, owner: int) -> None:
    """Hand connections on until the owner is gone."""

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            names = {*_NAMED.findall(head)}
            if not names or names - {b"127.0.0.1", b"localhost", b"[::1]"}:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                theirs, ours = await asyncio.open_unix_connection(inner)
                # A connection is for one request: a browser would send those of any page on one that is kept open.
                ours.write(_KEPT.sub(b"", head[:-2]) + b"Connection: close\r\n\r\n")
                both = [asyncio.create_task(_copy(*ends)) for ends in ((reader, ours), (theirs, writer))]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                ours.close()
        writer.close()

    front = await asyncio.start_server(connected, HOST, port)
    os.write(ready, b"%d\n" % front.sockets[0].getsockname()[1])
    os.close(ready)
    # Its end of the pipe may be open still, where another process inherited it.
    while os.getppid() == owner and not select.select([0], [], [], 0)[0]:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()


def _threads() -> tuple[int, set[int]]:
    """How many threads compute, and the processors to bind them to one by one. -1, none: as llama.cpp has it.

    llama.cpp counts the machine's cores, in a container too many. And its threads wait for each other in busy loops:
    beside one busy process, four slots on two cores generated 5 to 16 tokens/s; bound one to a processor, 78 to 87.
    """
    total = os.cpu_count() or 1
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(total))
    allowed, siblings = len(mine), True
    with suppress(OSError, ValueError):  # no such file, or "max": no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("utf-8").split()
        allowed = min(allowed, max(1, int(quota) // int(period)))
    with suppress(OSError):
        siblings = Path("/sys/devices/system/cpu/smt/active").read_text("utf-8").strip() != "0"
    if allowed == len(mine) and not siblings:
        return allowed, mine
    return (allowed if allowed < total else -1), set()


if __name__ == "__main__":
    main(*sys.argv[1:])
