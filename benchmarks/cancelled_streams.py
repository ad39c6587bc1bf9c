"""The random cancellations of cancellations.py, over HTTP: what is billed is what was streamed.

    python benchmarks/cancelled_streams.py [--count 1000] [--seed N] [--quick]

The same programs ask two servers (`weft mock`) as they ask vLLM, over real connections and streams.
A server writes a token only when the client has read the one before. So of an answer that is
aborted at most one token is on its way, which nobody can bill; of all others each token is counted
on both sides. Afterwards no request may run in a server, and no connection may be left.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import httpx

from cancellations import (
    AT_ONCE,
    BATCH,
    Counting,
    Tally,
    Ticks,
    World,
    left_over,
    one_program,
    tasks_alive,
    without_stored,
)
from weft import Pool, Store
from weft.backends.mock.server import running
from weft.backends.scripted.requests import Admitted
from weft.backends.vllm import VLLMEngine
from weft.concurrency import TaskGroup
from weft.programs.history.journal import Journal
from weft.testing import people
from weft.types import Delta, Request, Usage

LOOK = 0.0005  # seconds between two looks at whether the client has read


@dataclass
class Stream:
    """One request, on both sides.

    Attributes:
        prompt: its tokens.
        read: tokens that the client has read.
        written: tokens that the server has written.
        taken: whether the server has begun with it.
        ended: whether the client has it whole.
    """

    prompt: int
    read: int = 0
    written: int = 0
    taken: bool = False
    ended: bool = False


STREAMS: ContextVar[Stream] = ContextVar("stream")


class Served(Counting):
    """Behind a server: writes a token when the one before has been read."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Ticks(), 0.0)
        self.streams: dict[str, Stream] = {}

    async def perform(self, job: Admitted, on_delta: Callable[[Delta], None]) -> None:
        stream = self.streams[job.request.id]
        stream.taken = True
        STREAMS.set(stream)

        def told(delta: Delta) -> None:
            stream.written += delta.count
            on_delta(delta)

        await super().perform(job, told)

    async def _spend(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        stream = STREAMS.get()
        while stream.read < stream.written:  # noqa: ASYNC110 - another thread's event loop reads
            await anyio.sleep(LOOK)


class Client(VLLMEngine):
    """Counts what it reads."""

    def __init__(self, url: str, served: Served, ticks: Ticks) -> None:
        super().__init__(url, name=served.name)
        self.served, self.ticks = served, ticks
        self.streams: list[Stream] = []

    async def complete(self, request: Request, on_delta: Callable[[Delta], None]) -> None:
        stream = Stream(len(request.tokens or ()))
        self.streams.append(stream)
        self.served.streams[request.id] = stream

        def told(delta: Delta) -> None:
            on_delta(delta)
            stream.read += delta.count
            self.ticks()

        await super().complete(request, told)
        stream.ended = True


@dataclass
class Streams(Tally):
    """What was done in all.

    Attributes:
        aborted: streams that were left before their end.
        under_way: tokens that were written and not read any more.
        unseen: requests that were cancelled before the server had begun with them.
    """

    aborted: int = 0
    under_way: int = 0
    unseen: int = 0
    faults: list[str] = field(default_factory=list[str])


def sockets() -> int:
    """Sockets that this process has open, on both sides."""
    found = 0
    for file in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{file}").startswith("socket:")
        except OSError:  # the one that lists them
            continue
    return found


async def batch(seeds: list[int], served: list[Served], urls: list[str], tally: Streams) -> None:
    """Some programs in one pool."""
    ticks, before = Ticks(), sockets()
    clients = [Client(url, one, ticks) for url, one in zip(urls, served, strict=True)]
    with people(lambda question, *_: "yes"), Store() as store:
        async with Pool(*clients) as pool:
            await anyio.sleep(0.01)  # the pool's own tasks have begun
            world, tasks = World(pool, ticks, store, waits=False), tasks_alive()
            for at in range(0, len(seeds), AT_ONCE):
                some, journals = seeds[at : at + AT_ONCE], list[Journal]()
                async with TaskGroup() as group:
                    for seed in some:
                        group.start_soon(one_program, seed, world, journals, tally)
                with anyio.move_on_after(10):  # the servers notice
                    while any(one.running + one.waiting for one in served):  # noqa: ASYNC110
                        await anyio.sleep(LOOK)
                paid = [without_stored(journal.usage, journal) for journal in journals]
                check(some, sum(paid, Usage()), clients, tally)
                idle = tasks_alive() - tasks
                tally.faults += [
                    f"seeds {some}: {one}"
                    for one in left_over(pool, list[Counting](served), tasks)
                    if "tasks" not in one or idle > len(clients)
                ]
        with anyio.move_on_after(10):
            while sockets() > before:  # noqa: ASYNC110 - the other side closes by itself
                await anyio.sleep(LOOK)
        if sockets() > before:
            tally.faults.append(f"seeds {seeds}: {sockets() - before} connections left")


def check(some: list[int], paid: Usage, clients: list[Client], tally: Streams) -> None:
    """Compare a bill with what was streamed."""
    streams = [stream for client in clients for stream in client.streams]
    for client in clients:
        client.streams = []
    read = sum(one.read for one in streams)
    billed = paid.calls, paid.prompt, paid.completion + paid.cancelled
    done = len(streams), sum(one.prompt for one in streams), read
    if billed != done:
        tally.faults.append(
            f"seeds {some}: billed (calls, prompt, generated) {billed}, done {done}"
        )
    for one in streams:
        late = one.written - one.read
        if late not in ((0,) if one.ended else (0, 1)):
            tally.faults.append(f"seeds {some}: {one}")
        tally.under_way += late
        tally.aborted += not one.ended
        tally.unseen += not one.taken
    tally.calls, tally.prompt = tally.calls + done[0], tally.prompt + done[1]
    tally.generated, tally.thrown_away = tally.generated + read, tally.thrown_away + paid.cancelled


def cancelled_streams(count: int, seed: int = 0, size: int = BATCH) -> Streams:
    """Run and cancel so many programs over HTTP; what went wrong is in `Streams.faults`."""
    tally, seeds = Streams(), list(range(seed, seed + count))
    served = [Served("one"), Served("other")]
    with running(served[0]) as first, running(served[1]) as second:
        for url in (first, second):
            httpx.get(f"{url}/health")  # a server that is up has all its own sockets
        for at in range(0, count, size):
            anyio.run(batch, seeds[at : at + size], served, [first, second], tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--quick", action="store_true", help="100 programs")
    given = parser.parse_args()
    began = time.perf_counter()
    tally = cancelled_streams(100 if given.quick else given.count, given.seed)
    print(
        f"{tally.programs:,} programs, {tally.cancelled:,} of them cancelled as a whole, "
        f"{tally.again:,} begun again; {tally.calls:,} requests, {tally.prompt:,} prompt tokens, "
        f"{tally.generated:,} generated, {tally.thrown_away:,} of them thrown away; "
        f"{tally.aborted:,} streams aborted, {tally.under_way:,} tokens under way then, "
        f"{tally.unseen:,} requests that no server had begun with; "
        f"{time.perf_counter() - began:,.0f} s"
    )
    for fault in tally.faults[:20]:
        print(fault)
    print(f"{len(tally.faults)} faults")
    raise SystemExit(bool(tally.faults))


if __name__ == "__main__":
    main()
