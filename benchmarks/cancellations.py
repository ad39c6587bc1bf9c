"""Random cancellations over all of weft's library: what is billed is what the engines did.

    python benchmarks/cancellations.py [--count 10000] [--seed N] [--quick]

Each program is drawn from a seed: samples, typed answers, scores, fan-outs with quorum, limit and
sub-agents, gather, start, tools, threads, deeds, people, waits, timeouts, monitors, votes and
nested budgets, within one another. Each is cancelled at a random moment: as a whole, or a part of
it. The engines count prompts and tokens. Afterwards the bill must be what they counted, and no
task, call, queue, reservation, claim or lease may be left. Some runs are begun again from their
store, and must pay for nothing twice. Every second batch runs on trio in virtual time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import trio
import trio.testing

from weft import (
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    ToolCall,
    ask_person,
    budget,
    fan_out,
    gather,
    generate,
    node,
    once,
    program,
    run,
    score,
    sleep,
    start,
    tool,
    waiting,
)
from weft.backends.scripted.engine import Scripted
from weft.backends.scripted.requests import Admitted
from weft.concurrency import TaskGroup
from weft.errors import BudgetExceeded, EngineError, OutputError, TimedOut
from weft.programs.budgets.limits import Amounts
from weft.programs.history.journal import Journal
from weft.programs.watching import Look, Monitor, watching
from weft.search import majority_of
from weft.testing import people
from weft.threads import fork_join, outline, parallel_paths
from weft.types import Delta, Request, Usage

AT_ONCE = 3
"""Programs that run side by side."""
BATCH = 60
"""Programs of one pool and event loop."""


class Boom(Exception):
    """What a program raises by itself."""


@dataclass
class Ticks:
    """Counts everything that happens, and cancels scopes when their moment has come."""

    now: int = 0
    due: list[tuple[int, anyio.CancelScope]] = field(default_factory=list)

    def __call__(self, _: object = None) -> None:
        self.now += 1
        for one in [one for one in self.due if one[0] <= self.now]:
            self.due.remove(one)
            one[1].cancel()

    def cancel(self, scope: anyio.CancelScope, after: int) -> None:
        self.due.append((self.now + after, scope))


class Counting(ScriptedEngine):
    """Counts what it is asked and what it generates."""

    def __init__(self, name: str, ticks: Ticks, faults: float) -> None:
        super().__init__(
            self.say, lambda _: {"yes": 0.6, "no": 0.4}, model="m", name=name, concurrency=6
        )
        self.ticks, self.faults = ticks, faults
        self.calls = self.prompt = self.generated = 0
        self._number = 0

    async def perform(self, job: Admitted, on_delta: Callable[[Delta], None]) -> None:
        self.calls, self.prompt = self.calls + 1, self.prompt + len(job.tokens)

        def told(delta: Delta) -> None:
            self.generated += delta.count
            on_delta(delta)
            self.ticks()

        await super().perform(job, told)

    def say(self, request: Request) -> Scripted:
        self._number += 1
        chance = random.Random(f"{self.name} {self._number}")
        written = request.messages[-1].content if request.open else ""
        text = "abcdefghij klmn"[: chance.randrange(1, 15)]
        if request.sampling.schema is not None and "parts" in str(request.sampling.schema):
            text = '{"parts": ["a", "b"]}'
        elif request.sampling.schema is not None:
            text = chance.choice(["[1, 2]", '{"answer": [3]}', "[1, ", '["x"]'])
        elif "fork" in request.messages[0].content and not written:
            text = "<Parallel><Outlines><Outline>1: a</Outline><Outline>2: b</Outline></Outlines>"
        dies = chance.randrange(5) if chance.random() < self.faults else None
        called = []
        if request.sampling.tools and request.messages[-1].role == "user":
            called = [ToolCall("work", {"number": n}) for n in range(chance.randrange(3))]
        return Scripted(text, dies_after=dies, tools=called)


class After(Monitor):
    """Ends an answer behind so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    @property
    def key(self) -> str:
        return f"after {self.tokens}"

    def begin(self) -> Look:
        seen = 0

        def look(delta: Delta) -> int | None:
            nonlocal seen
            seen += delta.count
            return max(0, delta.count - (seen - self.tokens)) if seen >= self.tokens else None

        return look


@dataclass(frozen=True)
class Plan:
    """A part of a program: what it does, with which numbers, and the parts inside it."""

    kind: str
    a: int
    b: int
    inner: tuple[Plan, ...]


@dataclass
class World:
    """What the parts of a program need."""

    pool: Pool
    ticks: Ticks
    store: Store
    waits: bool
    seed: int = 0
    named: bool = False


def text(plan: Plan, world: World) -> str:
    """A prompt; some parts of a program ask the same."""
    return f"{world.seed} {plan.kind} {plan.a % 4}"


@tool(limit=2)
async def work(number: int) -> str:
    """Work on a number."""
    if number == 1:
        return (await generate(Prompt.user(f"work {number}"), temperature=0.5)).text
    await anyio.lowlevel.checkpoint()
    if number == 2:
        raise Boom
    return "worked"


@once
async def deed(number: int, *, key: str) -> int:
    """Something that is done once."""
    await anyio.lowlevel.checkpoint()
    return number


async def ask(plan: Plan, world: World) -> None:
    await generate(Prompt.user(text(plan, world)), max_tokens=1 + plan.b)


async def samples(plan: Plan, world: World) -> None:
    await generate(Prompt.user(text(plan, world)), n=1 + plan.b % 4, seed=plan.a)


async def talk(plan: Plan, world: World) -> None:
    prompt = Prompt.system("talk").user(text(plan, world))
    for turn in range(1 + plan.b % 3):
        prompt = (await generate(prompt)).prompt.user(f"go on {turn}")


async def typed(plan: Plan, world: World) -> None:
    await generate(Prompt.user(text(plan, world)), returns=list[int], retries=2)


async def judge(plan: Plan, world: World) -> None:
    await score(Prompt.user(text(plan, world)), ["yes", "no"])


async def several(plan: Plan, world: World) -> None:
    limit = plan.a % 3 + 1 if plan.a % 2 else None
    quorum = 1 + plan.b % len(plan.inner) if plan.b % 2 else None
    act = partial(part, world=world)
    async with fan_out(act, plan.inner, limit=limit, quorum=quorum, programs=plan.a > 9) as found:
        read = 0
        async for _ in found:
            read += 1
            if read == 1 and plan.b == 5:
                found.add(plan.inner[0])
            if read == 2 and plan.b == 8:
                break


async def gathered(plan: Plan, world: World) -> None:
    act = partial(part, world=world, strict=True)
    await gather(act, plan.inner, errors="keep", limit=1 + plan.a % 4, programs=plan.b > 12)


async def started(plan: Plan, world: World) -> None:
    act = program(partial_of(plan.inner[0], world))
    async with start(act, pool=world.pool) as running:
        if plan.a % 2:
            await running
            return
        read = 0
        async for _ in running:
            read += 1
            if read > plan.b:
                break


async def inside(plan: Plan, world: World) -> None:
    await run(program(partial_of(plan.inner[0], world)), pool=world.pool)


async def tools(plan: Plan, world: World) -> None:
    prompt = Prompt.user(text(plan, world))
    for _ in range(2):
        said = await generate(prompt, tools=[work])
        if not said.calls:
            return
        prompt = said.prompt.tools(await said.act(limit=1 + plan.b % 2))


async def threads(plan: Plan, world: World) -> None:
    way = (fork_join, outline, parallel_paths)[plan.a % 3]
    await way(Prompt.user(f"fork {text(plan, world)}"))


async def limited(plan: Plan, world: World) -> None:
    limits: dict[str, Any] = {"calls": 1 + plan.b % 4} if plan.a % 2 else {"tokens": 8 * plan.b + 9}
    with budget(**limits):
        for one in plan.inner:
            await part(one, world=world, strict=True)


async def deeds(plan: Plan, world: World) -> None:
    await deed(plan.a)
    await ask(plan, world)
    await deed(plan.a)


async def nap(plan: Plan, world: World) -> None:
    await ask(plan, world)
    await sleep(0.5 if world.waits else 0)
    async with waiting("tests", expects=1.0):
        await (anyio.sleep(0.2) if world.waits else anyio.lowlevel.checkpoint())
    await ask(plan, world)


async def person(plan: Plan, world: World) -> None:
    if world.named:
        await ask_person(f"May I {plan.a}?", returns=bool)
    await ask(plan, world)


async def cancelled(plan: Plan, world: World) -> None:
    with anyio.CancelScope() as scope:
        world.ticks.cancel(scope, 1 + 2 * plan.a)
        for one in plan.inner:
            await part(one, world=world)


async def in_time(plan: Plan, world: World) -> None:
    @node(timeout=0.3 if world.waits else 30, retry={"attempts": 2, "first": 0})
    async def soon() -> None:
        for one in plan.inner:
            await part(one, world=world)

    await soon()


async def timed(plan: Plan, world: World) -> None:
    if world.waits:
        with anyio.move_on_after(0.3):
            await nap(plan, world)
    with watching(After(1 + plan.b)):
        await part(plan.inner[0], world=world)


async def voted(plan: Plan, world: World) -> None:
    await majority_of(partial(part, world=world), plan.inner[0], n=3)


async def boom(plan: Plan, world: World) -> None:
    await ask(plan, world)
    raise Boom


LEAVES = [ask, samples, talk, typed, judge, tools, threads, deeds, nap, person, boom]
AROUND = [several, several, gathered, started, inside, limited, cancelled, timed, in_time, voted]
KINDS: dict[str, Callable[[Plan, World], Awaitable[None]]] = {
    one.__name__: one for one in (*LEAVES, *AROUND)
}


def partial_of(plan: Plan, world: World) -> Callable[[], Awaitable[str]]:
    async def whole() -> str:
        return await part(plan, world=world)

    return whole


@node
async def part(plan: Plan, *, world: World, strict: bool = False) -> str:
    """A part of a program. What it raises, it keeps, unless it is strict."""
    try:
        await KINDS[plan.kind](plan, world)
    except (BudgetExceeded, EngineError, OutputError, TimedOut, Boom):
        if strict:
            raise
    return "done" if plan.a % 2 else "over"


def grow(chance: random.Random, depth: int) -> Plan:
    """A random program."""
    around = depth > 0 and chance.random() < (0.95 if depth > 2 else 0.55)
    kind = chance.choice(AROUND if around else LEAVES).__name__
    inner = (
        tuple([grow(chance, depth - 1) for _ in range(chance.randrange(1, 4))]) if around else ()
    )
    return Plan(kind, chance.randrange(16), chance.randrange(16), inner)


def without_stored(usage: Usage, journal: Journal) -> Usage:
    """What was paid now: all but what came from the store."""
    for event in journal.events:
        if event.data.get("stored"):
            outcome = event.data["outcome"].usage
            usage = Usage(
                usage.calls - outcome.calls,
                usage.prompt - outcome.prompt,
                usage.cached,
                usage.completion - outcome.completion,
                usage.cancelled - outcome.cancelled,
            )
    return usage


@dataclass
class Tally:
    """What was done in all."""

    programs: int = 0
    cancelled: int = 0
    again: int = 0
    calls: int = 0
    prompt: int = 0
    generated: int = 0
    thrown_away: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def counted(plan: Plan, kinds: Counter[str]) -> None:
    kinds[plan.kind] += 1
    for one in plan.inner:
        counted(one, kinds)


def tasks_alive() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


def left_over(pool: Pool, engines: list[Counting], tasks: int) -> list[str]:
    """What should be gone and is not."""
    scheduler = pool.scheduler
    found = {
        "calls in flight": scheduler.in_flight,
        "calls waiting": scheduler.waiting,
        "programs": len(scheduler.dispatcher.programs),
        "tasks": tasks_alive() - tasks,
        "requests": sum(one.running + one.waiting for one in engines),
        "reserved tokens": sum(one.reserved for one in scheduler.replicas),
        "claimed tokens": sum(one.claimed for one in scheduler.replicas),
        "attached programs": sum(one.attached + one.programs for one in scheduler.replicas),
    }
    return [f"{count} {what} left" for what, count in found.items() if count]


async def one_program(seed: int, world: World, journals: list[Journal], tally: Tally) -> None:
    """Run a program, cancel it somewhere, and perhaps begin it again."""
    chance = random.Random(seed)
    plan = grow(chance, 3)
    counted(plan, tally.kinds)
    tally.programs += 1
    again, kept, limits = chance.random() < 0.5, chance.random() < 0.25, chance.random() < 0.5
    moment = chance.choice([chance.randrange(1, 40), chance.randrange(1, 400)])
    world = replace(world, seed=seed, named=kept)
    options = {"store": world.store, "id": f"r{seed}"} if kept else {}
    act = program(partial_of(plan, world))
    for attempt in range(1 + (again and kept)):
        journal = Journal(world.ticks)
        journals.append(journal)
        with anyio.CancelScope() as scope:
            if attempt == 0:
                world.ticks.cancel(scope, moment)
            with budget(tokens=10**9) if limits else nullcontext() as limit:
                await run(act, pool=world.pool, journal=journal, **options)
        if limit is not None and (limit.held != Amounts() or limit.queue):
            tally.faults.append(f"seed {seed}: a budget holds {limit.held}")
        if limit is not None and limit.spent != journal.usage:
            tally.faults.append(
                f"seed {seed}: a budget of {limit.spent}, and a bill of {journal.usage}"
            )
        tally.cancelled += scope.cancelled_caught
        tally.again += attempt
        world.ticks.due = [one for one in world.ticks.due if one[1] is not scope]


async def batch(seeds: list[int], waits: bool, tally: Tally) -> None:
    """Some programs in one pool."""
    ticks = Ticks()
    engines = [Counting(name, ticks, 0.01 if waits else 0.0) for name in ("one", "other")]
    with people(lambda question, *_: "yes"), Store() as store:
        async with Pool(*engines, outage=0.5) as pool:
            await anyio.wait_all_tasks_blocked()  # the pool's own tasks have begun
            world, tasks = World(pool, ticks, store, waits), tasks_alive()
            for at in range(0, len(seeds), AT_ONCE):
                some = seeds[at : at + AT_ONCE]
                before = [(e.calls, e.prompt, e.generated) for e in engines]
                journals: list[Journal] = []
                async with TaskGroup() as group:
                    for seed in some:
                        group.start_soon(one_program, seed, world, journals, tally)
                paid = [without_stored(journal.usage, journal) for journal in journals]
                billed = tuple(
                    sum(one)
                    for one in zip(
                        *((u.calls, u.prompt, u.completion + u.cancelled) for u in paid),
                        strict=True,
                    )
                )
                done = tuple(
                    sum(values)
                    for values in zip(
                        *(
                            (e.calls - c, e.prompt - p, e.generated - g)
                            for e, (c, p, g) in zip(engines, before, strict=True)
                        ),
                        strict=True,
                    )
                )
                if billed != done:
                    tally.faults.append(
                        f"seeds {some}: billed (calls, prompt, generated) {billed}, done {done}"
                    )
                tally.faults += [f"seeds {some}: {one}" for one in left_over(pool, engines, tasks)]
                tally.calls, tally.prompt = tally.calls + done[0], tally.prompt + done[1]
                tally.generated += done[2]
                tally.thrown_away += sum(usage.cancelled for usage in paid)


def cancellations(count: int, seed: int = 0, size: int = BATCH) -> Tally:
    """Run and cancel so many programs; what went wrong is in `Tally.faults`."""
    tally = Tally()
    seeds = list(range(seed, seed + count))
    for number, at in enumerate(range(0, count, size)):
        some, waits = seeds[at : at + size], number % 2 == 0
        if waits:
            clock = trio.testing.MockClock(autojump_threshold=0)
            trio.run(batch, some, True, tally, clock=clock)
        else:
            anyio.run(batch, some, False, tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--quick", action="store_true", help="500 programs")
    given = parser.parse_args()
    began = time.perf_counter()
    tally = cancellations(500 if given.quick else given.count, given.seed)
    print(
        f"{tally.programs:,} programs, {tally.cancelled:,} of them cancelled as a whole, "
        f"{tally.again:,} begun again; {tally.calls:,} calls, {tally.prompt:,} prompt tokens, "
        f"{tally.generated:,} generated, {tally.thrown_away:,} of them thrown away; "
        f"{time.perf_counter() - began:,.0f} s"
    )
    print(", ".join(f"{kind} {count:,}" for kind, count in tally.kinds.most_common()))
    for fault in tally.faults[:20]:
        print(fault)
    print(f"{len(tally.faults)} faults")
    raise SystemExit(bool(tally.faults))


if __name__ == "__main__":
    main()
