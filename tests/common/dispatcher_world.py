"""The dispatcher with a clock and timers that the test turns."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.call import Call
from weft.orchestrator.decisions.decision import Decision, Observe
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.dispatch.guards.standstill_guard import STANDSTILL
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.residents import Ended
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Policy, parse_policy
from weft.types import Message, Request, Sampling


class World:
    """A dispatcher over engines that run nothing; the test ends calls and turns the clock.

    Attributes:
        now: the time.
        timers: what is to happen when, and a number that keeps the rest from comparing.
        log: the dispatcher's decisions.
        running: calls that were started and have not ended.
        tickets: all calls, by their ids.
    """

    def __init__(
        self,
        policy: Policy | str,
        engines: int = 1,
        *,
        lease: float = 600.0,
        observe: Observe | None = None,
        ended: Ended | None = None,
        standstill: float | None = STANDSTILL,
        **kwargs: Any,
    ) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.log: list[Decision] = []
        options = {"concurrency": 2, "kv_tokens": 1600, **kwargs}
        self.replicas = [
            Replica(ScriptedEngine("", model="m", name=f"e{i}", **options)) for i in range(engines)
        ]
        self.profiles = Profiles()
        self.dispatcher = Dispatcher(
            self.replicas,
            parse_policy(policy),
            self.profiles,
            lambda: self.now,
            self.at,
            lease,
            self.log.append if observe is None else observe,
            ended,
            standstill,
        )
        self.running: list[str] = []
        self.tickets: dict[str, Ticket] = {}

    def at(self, time: float, callback: Callable[[], None]) -> None:
        """Have something happen at a time."""
        heapq.heappush(self.timers, (time, next(self._numbers), callback))

    def wait(self, seconds: float) -> None:
        """Let time pass, and timers ring."""
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            time, _, ring = heapq.heappop(self.timers)
            self.now = max(self.now, time)
            ring()
        self.now = until

    def ask(
        self,
        program: str,
        tokens: int = 160,
        id: str = "",
        answer: int = 16,
        only: str | tuple[str, ...] = (),
    ) -> str:
        """A program asks something of `tokens` tokens that nobody else asked."""
        name = id or f"{program}.{len(self.tickets)}"
        content = tuple(hash((program, i)) % 1000 for i in range(tokens))
        request = Request(
            name, "m", (Message("user", ""),), tokens=content, sampling=Sampling(max_tokens=answer)
        )
        if isinstance(only, str):
            only = (only,) if only else ()
        ticket = self.dispatcher.submit(
            Call(request, program, stage="s", only=only), lambda: self.running.append(name)
        )
        self.tickets[name] = ticket
        return name

    def end(self, name: str, *, done: bool = True) -> None:
        """A running call ends."""
        if done:
            self.dispatcher.gatekeeper.note_begun(self.tickets[name])
        self.running.remove(name)
        self.dispatcher.finish(self.tickets[name], (), 16, 0, done=done)

    def engine_of(self, name: str) -> str:
        """Where a call runs, or ran."""
        return self.tickets[name].engine

    def check(self) -> None:
        """What is counted as it changes, and looked up once, is as if it were found anew."""
        waiting = [ticket for ticket in self.tickets.values() if ticket.queue is not None]
        assert self.dispatcher.fleets["m"].waiting == len(waiting)
        running = [self.tickets[name] for name in self.running]
        known = self.dispatcher.programs.values()
        for replica in self.replicas:
            there = {ticket.program for ticket in running if ticket.replica is replica}
            claiming = [p for p in known if p.claim and p.home is replica]
            assert replica.programs == len(there) + len(claiming)
            size = replica.block_size
            for ticket in waiting:
                held, pinned = replica.index.look(ticket.hashes(size))
                assert (
                    replica.cached(ticket) == min(held, (ticket.prompt_tokens - 1) // size) * size
                )
                blocks = math.ceil((ticket.prompt_tokens + ticket.answer_tokens) / size)
                assert replica.need(ticket) == max(0, blocks - pinned) * size
