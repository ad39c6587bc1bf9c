"""What a call costs in weft's own process, beside what no layer could do without.

    python benchmarks/calls.py [--quick] [--json FILE]

The engine answers at once, in one turn of the event loop. The floor, measured in the same
process and in turns with the rest, is a task that awaits such an answer through a stream. All
times are CPU time of the process, the least of several rounds; ratios are the median of those
within a round.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

import weft
from weft import Pool, Prompt, fan_out, generate, run
from weft.backends.engine import Engine, OnDelta
from weft.concurrency import TaskGroup
from weft.search.sampling.votes.majority import Majority
from weft.search.strategy import Question
from weft.store.store import Store
from weft.types import Delta, Message, Request

Work = Callable[[], Awaitable[Any]]
SHORT = Prompt.user("What is the capital of France?")


class Instant(Engine):
    """Answers in one turn of the event loop, with `answer` tokens."""

    def __init__(self, *, takes_tokens: bool = False, answer: int = 1) -> None:
        self.name, self.model, self.context = "instant", "m", 1_000_000
        self.block_size, self.concurrency, self.kv_tokens = 16, 64, 10_000_000
        self.takes_tokens, self.answer = takes_tokens, answer

    async def connect(self) -> None: ...

    async def aclose(self) -> None: ...

    async def render(
        self, messages: tuple[Message, ...], *, open: bool, template: Any = None
    ) -> tuple[int, ...]:
        return tuple(1000 + i % 30_000 for i in range(sum(len(m.content) for m in messages) // 4))

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        await checkpoint()
        tokens = tuple(range(self.answer)) if self.takes_tokens else ()
        on_delta(Delta("Paris" * self.answer, tokens, self.answer))
        on_delta(Delta("", (), 0, finish_reason="stop"))


async def floor(calls: int) -> None:
    """A task, a loop turn and a stream for each call."""
    engine = Instant()
    request = Request("r", "m", SHORT.messages)

    async def stream() -> AsyncIterator[Delta]:
        came: list[Delta] = []
        await engine.complete(request, came.append)
        for delta in came:
            yield delta

    async def one() -> None:
        "".join([delta.text async for delta in stream()])

    async with TaskGroup() as group:
        for _ in range(calls):
            group.start_soon(one)


async def outside(first: int, calls: int) -> None:
    """Calls outside any run, each with a prompt of its own."""
    for i in range(first, first + calls):
        await generate(Prompt.user(f"{i} " + "x" * 10_000), max_tokens=8)


async def within(calls: int) -> None:
    """The calls of one program."""

    async def one(index: int) -> str:
        return (await generate(SHORT, max_tokens=8, index=index)).text

    async with fan_out(one, range(calls)) as results:
        async for _ in results:
            pass


async def cpu(work: Work) -> float:
    """Seconds of CPU that work took."""
    gc.collect()
    begun = time.process_time()
    await work()
    return time.process_time() - begun


@asynccontextmanager
async def ways(calls: int) -> AsyncIterator[dict[str, Work]]:
    """The floor, and several ways to call so many times."""
    number = iter(range(10**9))
    pool, many = Pool(Instant()), Pool(Instant())

    async def programs() -> None:
        async def one() -> None:
            await run(within, 1, pool=many)

        async with TaskGroup() as group:
            for _ in range(calls):
                group.start_soon(one)

    with tempfile.TemporaryDirectory() as folder:

        async def stored(name: object) -> None:
            with Store(Path(folder) / f"{name}.db") as store:
                await run(within, calls, pool=pool, store=store)

        async with many, pool:
            yield {
                "floor": lambda: floor(calls),
                "call": lambda: run(within, calls, pool=pool),
                "call with a Store": lambda: stored(next(number)),
                "call from the Store": lambda: stored(0),
                "call, a program each": programs,
            }


async def costs(calls: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Of the floor and of several ways to call: microseconds a call, and times the floor's.

    The least of all rounds, and the median of the ratios within a round.
    """
    async with ways(calls) as found:
        took: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, work in found.items():
                took[name].append(await cpu(work))
    return {
        name: (
            1e6 * min(seconds) / calls,
            median(one / base for one, base in zip(seconds, took["floor"], strict=True)),
        )
        for name, seconds in took.items()
    }


async def driven(calls: int) -> None:
    """Call in each way that a line of the input names, and say when that is done."""
    async with ways(calls) as found:
        for line in sys.stdin:
            if line == "collect\n":
                gc.collect()
            else:
                await found[line.strip()]()
            print("done", flush=True)


async def steps(tokens: int, count: int) -> tuple[float, float]:
    """Seconds of CPU a step on a path of so many tokens; MiB kept by all of them."""
    prompt = Prompt.user("abcd" * tokens)
    async with Pool(Instant(takes_tokens=True, answer=64)) as pool:

        async def path(prompt: Prompt, count: int) -> Prompt:
            for _ in range(count):
                prompt = (await generate(prompt, max_tokens=64)).prompt
            return prompt

        async def program() -> tuple[float, float]:
            at = await path(prompt, 3)
            least = float("inf")
            for _ in range(5):
                begun = time.process_time()
                at = await path(at, count)
                least = min(least, time.process_time() - begun)
            gc.collect()
            tracemalloc.start()
            at = await path(at, count)
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0] / 2**20
            tracemalloc.stop()
            return least / count, kept

        return (await run(program, pool=pool)).value


async def kept_outside(calls: int) -> float:
    """Blocks of memory kept for each further call outside a run."""
    engine = Instant()
    engine.kv_tokens = 10_000  # what its cache is thought to hold is known
    async with Pool(engine):
        await outside(0, 10_500)  # a little is remembered of the latest
        gc.collect()
        before = sys.getallocatedblocks()
        await outside(10_500, calls)
        gc.collect()
        return (sys.getallocatedblocks() - before) / calls


async def pause(calls: int) -> float:
    """Milliseconds of the collector's longest pause while a program makes many calls."""
    longest = begun = 0.0

    def watch(phase: str, _: object) -> None:
        nonlocal longest, begun
        if phase == "start":
            begun = time.thread_time()
        else:
            longest = max(longest, time.thread_time() - begun)

    async with Pool(Instant()) as pool:
        gc.collect()
        gc.callbacks.append(watch)
        try:
            await run(within, calls, pool=pool)
        finally:
            gc.callbacks.remove(watch)
    return 1e3 * longest


async def votes(n: int) -> tuple[float, float]:
    """Seconds of CPU of a vote of n different answers; of as many calls alone."""
    numbers = iter(range(10**9))
    question = Question(SHORT, lambda text: str(next(numbers)), bool, max_tokens=8)
    pool = Pool(Instant())
    solve, alone = float("inf"), float("inf")
    async with pool:
        for _ in range(3):
            whole = await cpu(lambda: run(Majority(n=n).solve, question, pool=pool))
            solve, alone = (
                min(solve, whole),
                min(alone, await cpu(lambda: run(within, n, pool=pool))),
            )
    return solve, alone


async def main(quick: bool) -> list[dict[str, Any]]:
    """All figures, as rows."""
    rows: list[dict[str, Any]] = []

    def row(name: str, unit: str, value: float, **peers: float) -> None:
        shown = {key: round(number, 4) for key, number in peers.items()}
        rows.append(
            {"name": name, "unit": unit, "better": "less", "weft": round(value, 4), "peers": shown}
        )

    calls, rounds = (300, 7) if quick else (2000, 7)
    found = await costs(calls, rounds)
    base, _ = found.pop("floor")
    for name, (cost, ratio) in found.items():
        row(name, "us", cost, floor=base)
        row(f"{name}, of the floor", "x", ratio, floor=1.0)
    short, _ = await steps(1_000, 50)
    long, kept = await steps(100_000, 50)
    row("step at 100,000 tokens", "us", 1e6 * long, **{"step at 1,000 tokens": 1e6 * short})
    row("step at 100,000 tokens, of one at 1,000", "x", long / short)
    row("kept by 50 steps at 100,000 tokens", "MiB", kept)
    row("kept for each call outside a run", "blocks", await kept_outside(calls))
    row("longest pause of the collector", "ms", await pause(calls))
    vote, alone = await votes(1000)
    row("majority(n=1000), all answers different", "s", vote, **{"1,000 calls": alone})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--driven", type=int, metavar="CALLS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.driven:
        anyio.run(driven, given.driven)
        sys.exit()
    found = anyio.run(main, given.quick)
    print(f"weft {weft.__version__}")
    for r in found:
        peers = "".join(f"  ({k}: {v:,.6g})" for k, v in r["peers"].items())
        print(f"{r['name']:45} {r['weft']:12,.6g} {r['unit']}{peers}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
