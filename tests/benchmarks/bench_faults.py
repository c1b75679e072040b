"""What becomes of 5,000 requests to a server that misbehaves on three tries in ten?

    python tests/benchmarks/bench_faults.py [--requests 5000] [--rate 0.3] [--seed 1] [--concurrency 64]

The same requests are sent twice to one server over real sockets: well-behaved, then misbehaving in every way that
tests/misbehaving_server.py knows. Requests that failed for good are sent again, as the next run of a sweep would.
Lost is a reply that never came, came in part, or differs from the well-behaved one; the target is 0.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from misbehaving_server import HARMLESS, MisbehavingServer

from anytime_lib.models.endpoint import Endpoint, Event, Patience, Reply

PATIENCE = Patience(connect=1, first_token=1, whole=60, backoff=0.02, longest=0.2)


async def ask(
    server: MisbehavingServer, numbers: list[int], concurrency: int, events: Counter[str]
) -> dict[int, Reply | Exception]:
    """Number -> its reply, or the error it ended in."""

    def heard(event: Event) -> None:
        events[event.kind] += 1

    endpoint = Endpoint(server.base_url, "fake", "key", patience=PATIENCE, on_event=heard)
    gate, found = asyncio.Semaphore(concurrency), {}

    async def one(number: int) -> None:
        settings: dict[str, Any] = {"max_tokens": 16, "temperature": 0.0}
        if number % 4 == 0:  # a trace for every three answers
            settings = {"max_tokens": 120, "temperature": 0.7, "seed": number, "tokens": True}
        async with gate:
            try:
                found[number] = await endpoint.chat([{"role": "user", "content": f"question {number}"}], **settings)
            except Exception as error:
                found[number] = error

    await asyncio.gather(*(one(n) for n in numbers))
    await endpoint.close()
    return found


def said(reply: Reply | Exception | None) -> tuple[object, ...] | None:
    """What a cell is made of; None where there is no whole reply."""
    if not isinstance(reply, Reply) or reply.partial:
        return None
    return reply.text, reply.reasoning, reply.finish_reason, reply.ends, reply.completion_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=64)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    server = MisbehavingServer(rate=0.0, seed=given.seed)
    numbers, events = list(range(given.requests)), Counter[str]()
    start = time.perf_counter()
    well = asyncio.run(ask(server, numbers, given.concurrency, events))
    seconds = time.perf_counter() - start
    assert not events and all(said(r) for r in well.values()), "the well-behaved run is not clean"

    server.rate, server.requests = given.rate, 0
    start = time.perf_counter()
    found = asyncio.run(ask(server, numbers, given.concurrency, events))
    first = [n for n in numbers if said(found[n]) is None]
    left, runs = first, 1
    while left and runs < 5:
        found |= asyncio.run(ask(server, left, given.concurrency, events))
        left, runs = [n for n in left if said(found[n]) is None], runs + 1
    faults = sum(server.sent.values())
    lost = [n for n in numbers if said(found[n]) != said(well[n])]
    odd = {type(r).__name__ for r in found.values() if isinstance(r, Exception)} - {"RequestFailed", "EndpointError"}

    print(f"{given.requests} requests, {given.concurrency} at a time, {given.rate:.0%} of tries misbehave")
    print(f"well-behaved: {seconds:.1f} s; misbehaving: {time.perf_counter() - start:.1f} s, {server.requests} tries")
    for kind, count in sorted(server.sent.items()):
        print(f"  {kind:<24} {count:5d}{'  (looked through)' if kind in HARMLESS else ''}")
    print(f"told: {', '.join(f'{kind} {count}' for kind, count in sorted(events.items()))}")
    print(f"failed for good in the first run: {len(first)}; runs until nothing was left: {runs}")
    print(f"faults sent {faults}, survived {faults - len(lost)}, lost {len(lost)}; other exceptions: {odd or 'none'}")
    server.close()
    sys.exit(bool(lost or odd))


if __name__ == "__main__":
    main()
