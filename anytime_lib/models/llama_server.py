"""What runs in the server process?

llama.cpp's own server from the `xllamacpp` wheel. The file is run by its path, without the rest of the package; the
process says its port in one line on its standard output and lives only as long as its owner.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


def main(gguf: str, alias: str, port: str, slots: str, context: str, owner: str) -> None:
    """Serve one GGUF file (see `EmbeddedServer`) until the process `owner`, at the other end of our input, is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which then ends this process
    ready = os.dup(1)
    os.dup2(2, 1)  # whatever llama.cpp prints goes to the log, never before the line that says the port
    threading.Thread(target=_until_orphaned, args=(int(owner),), daemon=True).start()
    server = _serve(gguf, alias, int(port), int(slots), int(context))
    os.write(ready, server.listening_address.rsplit(":", 1)[1].encode() + b"\n")
    os.close(ready)
    while os.read(0, 4096):
        pass
    os._exit(0)


def _serve(gguf: str, alias: str, port: int, slots: int, context: int) -> Any:
    """The server, started on its own threads. It stops when the object goes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {alias}
    params.hostnames = [HOST]
    params.port = port
    params.cors_origins = f"http://{HOST}"  # no web page in the user's browser may read what the server says
    params.ui = False
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.fit_params = False  # the context is what was asked for, whatever memory is free at the moment
    params.cache_prompt = True
    params.cache_ram_mib = 1024  # llama.cpp's own default of 8 GiB is more than a laptop spares
    params.prefill_assistant = True
    params.use_jinja = True
    params.endpoint_metrics = True
    params.warmup = False
    # At 1,100 tokens of context, four slots generated 70 tokens/s on a CPU with flash attention and 110 without.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.verbosity = 1
    threads, processors = _threads()
    for group in (params.cpuparams, params.cpuparams_batch):
        group.poll = 0
        if threads:
            group.n_threads = threads
        if processors:
            group.cpumask = [number in processors for number in range(xllamacpp.GGML_MAX_N_THREADS)]
            group.mask_valid = True
            group.strict_cpu = True
    return xllamacpp.Server(params)


def _threads() -> tuple[int | None, set[int]]:
    """How many threads compute, and the processors to bind them to one by one. None, empty: as llama.cpp has it.

    llama.cpp counts the machine's cores, in a container too many. And its threads wait for each other in busy loops:
    beside one busy process, four slots on two cores generated 5 to 16 tokens/s; bound one to a processor, 78 to 87.
    """
    total = os.cpu_count() or 1
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(total))
    allowed, siblings = len(mine), True
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, max(1, int(quota) // int(period)))
    with contextlib.suppress(OSError):
        siblings = Path("/sys/devices/system/cpu/smt/active").read_text().strip() != "0"
    if allowed == len(mine) and not siblings:
        return allowed, mine
    return (allowed if allowed < total else None), set()


def _until_orphaned(owner: int) -> None:
    """For an owner whose end of the pipe was inherited by another process, and so stays open when it dies."""
    while os.name != "posix" or os.getppid() == owner:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
