"""Causes of misses and of waits, injected on two vLLM replicas: how many are named rightly.

    python benchmarks/explained.py [--times 10] [--json FILE]

Each cause is brought about `--times` times: prompts that were never sent, that were evicted, that
their conversation went on without, that another engine has, and so on. What the scheduler's log
names as the cause of most of the missing tokens, or of the wait, is compared with what was done.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from real_play import random_llama
from weft.backends.engine import Engine
from weft.backends.local.launch import launch
from weft.backends.local.shipped import shipped_model
from weft.backends.vllm import VLLMEngine
from weft.concurrency import TaskGroup
from weft.orchestrator.call import Call
from weft.orchestrator.decisions.decision import Decision
from weft.orchestrator.policy import Admission, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.scheduler import Scheduler
from weft.orchestrator.views import CallView, EngineView, View
from weft.types import Delta, Message, Request, Sampling

BLOCK, BLOCKS = 32, 64
CHUNK = BLOCK  # tokens of one prompt that the engine computes in a step
LONG = 200  # tokens of an answer that others wait for


class Alone(Policy):
    """One program at a time: whoever is between two calls yields, whoever runs does not."""

    def place(self, call: CallView, view: View) -> Placement:
        """The only engine."""
        return Placement(view.engines[0], "there")

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If no other program runs."""
        if not engine.programs or call.program.running or call.program.claim:
            return Admission(True, "nobody else is there")
        return Admission(False, "another program is there", engine.weakest)

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """For longer than anything takes here."""
        return Retention(300.0, "it may come back")


@dataclass(frozen=True)
class Named:
    """What was brought about, and what was said of it."""

    injected: str
    said: str
    words: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether they are the same."""
        return self.injected == self.said


class Nobody:
    """Hears nothing of an answer."""

    def on_sent(self, ticket: object) -> None:
        """It is sent."""

    def on_delta(self, delta: Delta) -> None:
        """It goes on."""

    def on_refused(self) -> None:
        """It was refused."""


class Injector:
    """Brings causes about, on engines of one model; all prompts are new to them.

    Args:
        engines: two, connected, that run two calls at once.
        block: tokens in a block of theirs.
        blocks: of their caches.
        seed: of the prompts.
    """

    def __init__(self, engines: Sequence[Engine], block: int, blocks: int, seed: int = 0) -> None:
        self.engines, self.block, self.blocks = engines, block, blocks
        self.log: list[Decision] = []
        self._draws = random.Random(f"explained:{seed}")
        self._count = 0
        self._scheduler: Scheduler

    @asynccontextmanager
    async def scheduler(self, policy: Policy, engines: Sequence[Engine]) -> AsyncIterator[None]:
        """Schedule calls by a policy, for the time of the block."""
        self._scheduler = Scheduler(engines, policy, observe=self.log.append)
        async with TaskGroup() as group:
            group.start_soon(self._scheduler.watch)
            yield
            group.cancel_scope.cancel()

    def tokens(self, blocks: float) -> tuple[int, ...]:
        """Token ids that were not sent before."""
        return tuple(self._draws.randrange(5, 45) for _ in range(round(blocks * self.block)))

    def name(self) -> str:
        """A program's, or a call's."""
        self._count += 1
        return f"n{self._count}"

    async def ask(
        self,
        program: str,
        tokens: Sequence[int],
        *,
        engine: int = 0,
        salt: str = "",
        turns: Sequence[str] = ("?",),
        answer: int = 2,
    ) -> str:
        """The id of a call that has ended."""
        call = self.name()
        roles = ("user", "assistant")
        request = Request(
            call,
            self.engines[0].model,
            tuple(Message(roles[i % 2], text) for i, text in enumerate(turns)),
            tokens=tokens,
            sampling=Sampling(max_tokens=answer, ignore_eos=True),
            cache_salt=salt,
        )
        only = (self.engines[engine].name,)
        await self._scheduler.run(Call(request, program, only=only), Nobody())
        return call

    async def once(self, tokens: Sequence[int], **more: object) -> str:
        """The same of a program that ends with it."""
        program = self.name()
        call = await self.ask(program, tokens, **more)  # pyright: ignore[reportArgumentType]
        self._scheduler.end(program)
        return call

    async def fill(self) -> None:
        """More than an engine's cache holds."""
        programs = [self.name() for _ in range(self.blocks // 10 + 1)]
        for program in programs:
            await self.ask(program, self.tokens(11))
        for program in programs:  # not before, for what is over is forgotten first
            self._scheduler.end(program)

    async def new(self) -> str:
        """A prompt that nobody has sent."""
        return await self.once(self.tokens(10))

    async def evicted(self) -> str:
        """A prompt that others have driven out."""
        tokens = self.tokens(10)
        await self.once(tokens)
        await self.fill()
        return await self.once(tokens)

    async def superseded(self) -> str:
        """A conversation that was compacted, and comes back to what it was."""
        program, head = self.name(), self.tokens(2)
        before = (*head, *self.tokens(8.2))
        await self.ask(program, before)
        await self.ask(program, (*head, *self.tokens(3.2)))
        await self.fill()
        call = await self.ask(program, before)
        self._scheduler.end(program)
        return call

    async def sibling(self) -> str:
        """A prompt that another call is computing."""
        tokens, calls = self.tokens(24), list[str]()
        async with TaskGroup() as group:

            async def send() -> None:
                calls.append(await self.once(tokens))

            # Behind a foreign prompt both come to the engine at once: its front end has to wait.
            group.start_soon(self.engines[0].complete, self._foreign(), lambda _: None)
            await anyio.sleep(0.05)
            group.start_soon(send)
            group.start_soon(send)
        return max(calls, key=lambda call: int(call[1:]))

    def _foreign(self) -> Request:
        """A request that the scheduler does not know of."""
        sampling = Sampling(max_tokens=1)
        turns, tokens = (Message("user", "?"),), self.tokens(12)
        model = self.engines[0].model
        return Request(self.name(), model, turns, tokens=tokens, sampling=sampling)

    async def elsewhere(self) -> str:
        """A prompt that another engine has."""
        tokens = self.tokens(10)
        await self.once(tokens)
        return await self.once(tokens, engine=1)

    async def salt(self) -> str:
        """A prompt under another salt."""
        tokens = self.tokens(10)
        await self.once(tokens, salt=self.name())
        return await self.once(tokens, salt=self._draws.choice(("", "other")))

    async def differs(self) -> str:
        """A conversation that goes on, and in which a token is another one."""
        program, tokens = self.name(), list(self.tokens(10.2))
        await self.ask(program, tuple(tokens), turns=("a",))
        at = self._draws.randrange(len(tokens) // 2)
        tokens[at] = tokens[at] - 1 if tokens[at] > 5 else 6
        call = await self.ask(program, (*tokens, *self.tokens(0.5)), turns=("a", "b", "c"))
        self._scheduler.end(program)
        said = next(d.reason for d in self.log if d.call == call and d.cause == "differs")
        assert said.endswith(f"from token {at} on"), said
        return call

    async def boundary(self) -> str:
        """A prompt that is there, but for the end that is no block."""
        tokens = self.tokens(self._draws.choice((3.5, 3.0, 3.9)))
        await self.once(tokens)
        return await self.once(tokens)

    async def _together(self, *calls: tuple[str, int]) -> list[str]:
        """Calls of programs that come one after the other, with so many tokens to answer."""
        found: dict[int, str] = {}

        async def send(place: int, program: str, answer: int) -> None:
            found[place] = await self.ask(program, self.tokens(2), answer=answer)

        async with TaskGroup() as group:
            for place, (program, answer) in enumerate(calls):
                came = len(self.log)
                group.start_soon(send, place, program, answer)
                with anyio.fail_after(60):
                    while not any(d.kind == "come" for d in self.log[came:]):  # noqa: ASYNC110
                        await anyio.sleep(0.001)
        for program in {program for program, _ in calls}:
            self._scheduler.end(program)
        return [found[place] for place in sorted(found)]

    async def busy(self) -> str:
        """A call to an engine that runs all that it can."""
        mine = self.name()
        return (await self._together((mine, LONG), (mine, LONG), (mine, 2)))[2]

    async def ahead(self) -> str:
        """A call behind another one."""
        mine = self.name()
        return (await self._together((mine, LONG), (mine, LONG), (mine, 2), (mine, 2)))[3]

    async def admission(self) -> str:
        """A call that the policy keeps out."""
        return (await self._together((self.name(), LONG), (self.name(), 2)))[1]

    async def displaced(self) -> str:
        """A call of a program whose room was given to others."""
        mine = self.name()
        await self.ask(mine, self.tokens(2))
        return (await self._together((self.name(), LONG), (mine, 2)))[1]

    def named(self, cause: str, call: str) -> Named:
        """What the log says of a call."""
        mine = [d for d in self.log if d.call == call]
        misses = [d for d in mine if d.kind == "miss"]
        if cause in WAITS:
            said = next((d.cause for d in mine if d.kind == "start"), "")
        else:
            said = max(misses, key=lambda d: int(d.reason.split()[0])).cause if misses else ""
        return Named(cause, said, tuple(d.reason for d in (mine if cause in WAITS else misses)))


MISSES = ("new", "evicted", "superseded", "sibling", "elsewhere", "salt", "differs", "boundary")
WAITS = ("busy", "ahead", "admission", "displaced")


async def inject(
    injector: Injector,
    causes: Sequence[str],
    times: int,
    policy: Policy,
    tell: Callable[[Named], None] = lambda _: None,
) -> list[Named]:
    """Bring each cause about so many times; what was said of each."""
    found: list[Named] = []
    for chosen, way, engines in (
        (MISSES, policy, injector.engines),
        (WAITS, Alone(), injector.engines[:1]),
    ):
        async with injector.scheduler(way, engines):
            for cause in (one for one in chosen if one in causes):
                bring: Callable[[], Awaitable[str]] = getattr(injector, cause)
                for _ in range(times):
                    found.append(injector.named(cause, await bring()))
                    tell(found[-1])
    return found


@asynccontextmanager
async def replicas() -> AsyncIterator[list[Engine]]:
    """Two replicas with small caches, for the time of the block."""
    model = shipped_model("countdown")
    if model is None:
        raise SystemExit("the package has no countdown model")
    # Its prompts take long enough to meet each other on the way.
    args = random_llama(BLOCK * BLOCKS, BLOCK, BLOCK * BLOCKS)
    args += ["--long-prefill-token-threshold", str(CHUNK)]
    async with launch(
        model, 2, extra_args=args, on_progress=lambda s: print(s, file=sys.stderr)
    ) as started:
        engines: list[Engine] = [VLLMEngine(one.url, name=f"e{i}") for i, one in enumerate(started)]
        for engine in engines:
            engine.allow(concurrency=2)
            await engine.connect()
        try:
            yield engines
        finally:
            for engine in engines:
                await engine.aclose()


async def main(times: int) -> list[Named]:
    """All causes on real replicas."""
    from weft.orchestrator.policy import parse_policy

    def tell(named: Named) -> None:
        if not named.right:
            print(f"{named.injected} was called {named.said or 'nothing'}: {named.words}")

    async with replicas() as engines:
        injector = Injector(engines, BLOCK, BLOCKS)
        return await inject(injector, (*MISSES, *WAITS), times, parse_policy("fcfs"), tell)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=10, help="of each cause (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    found = anyio.run(main, given.times)
    right = Counter(named.injected for named in found if named.right)
    total = Counter(named.injected for named in found)
    for cause, count in total.items():
        print(f"{cause:<12}{right[cause]:>4} of {count}")
    print(f"{'all':<12}{right.total():>4} of {total.total()}")
    if given.json is not None:
        rows = [{"injected": n.injected, "said": n.said, "words": n.words} for n in found]
        given.json.write_text(json.dumps(rows, indent=2) + "\n")
