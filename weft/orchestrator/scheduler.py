"""The scheduler: every call waits here until an engine can really start it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from weft.backends.engine import Engine
from weft.cache.prefix import PrefixIndex
from weft.errors import EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.policy import Policy
from weft.types import Delta

_ATTEMPTS = 3  # of one call, before its engines' deaths are the caller's problem
_UNKNOWN_KV = 1 << 20  # tokens; for engines that don't say


class Follower(Protocol):
    """Follows a call: it is told of every engine that tries it, and of what comes."""

    def sent(self, engine: str) -> None:
        """The call goes to an engine; what an earlier one produced is void."""

    def delta(self, delta: Delta) -> None:
        """The engine produced something."""


class Replica:
    """An engine with what the scheduler knows of it; an `EngineView` for policies."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.name
        self.alive = True
        self.error: Exception | None = None
        self.in_flight = 0
        self.reserved = 0
        self.index = PrefixIndex((engine.kv_tokens or _UNKNOWN_KV) // engine.block_size)

    def cached(self, call: Call) -> int:
        """Tokens of the call's prompt that are probably cached."""
        size = self.engine.block_size
        return self.index.match(call.hashes(size)) * size

    def need(self, call: Call) -> int:
        """Tokens of KV that the call may come to need beyond what is cached."""
        return call.prompt_tokens - self.cached(call) + call.expected_tokens

    def has_room(self, call: Call) -> bool:
        """Whether the engine can start the call at once."""
        if not self.alive or self.in_flight >= self.engine.concurrency:
            return False
        room = self.engine.kv_tokens
        return room is None or not self.in_flight or self.reserved + self.need(call) <= room

    def died(self, error: Exception) -> None:
        """Take the engine out of service; its cache is gone."""
        self.alive, self.error = False, error
        self.index.clear()


@dataclass(order=True, slots=True)
class _Waiting:
    order: tuple[float, ...]
    arrival: int
    call: Call = field(compare=False)
    ready: anyio.Event = field(compare=False)
    avoid: Replica | None = field(default=None, compare=False)
    replica: Replica | None = field(default=None, compare=False)
    need: int = field(default=0, compare=False)
    reason: str = field(default="", compare=False)
    gone: bool = field(default=False, compare=False)

    def bind(self, replica: Replica, reason: str) -> None:
        """Take room on an engine; its cache will hold the prompt from now on."""
        self.replica, self.reason = replica, reason
        self.need = replica.need(self.call)
        replica.in_flight += 1
        replica.reserved += self.need
        replica.index.insert(self.call.hashes(replica.engine.block_size))
        self.ready.set()

    def release(self) -> None:
        """Give the room back."""
        if self.replica is not None:
            self.replica.in_flight -= 1
            self.replica.reserved -= self.need


class Scheduler:
    """Binds waiting calls to engines, late: when one has room and the policy says so.

    Args:
        engines: connected engines.
        policy: decides order and placement.
    """

    def __init__(self, engines: Sequence[Engine], policy: Policy) -> None:
        self.replicas = [Replica(engine) for engine in engines]
        self.policy = policy
        self._queues: dict[str, list[_Waiting]] = {e.model: [] for e in engines}
        self._arrivals = itertools.count()

    @property
    def waiting(self) -> int:
        """How many calls wait for an engine."""
        return sum(not w.gone for queue in self._queues.values() for w in queue)

    @property
    def in_flight(self) -> int:
        """How many calls run on engines."""
        return sum(r.in_flight for r in self.replicas)

    async def run(self, call: Call, follower: Follower) -> None:
        """Run a call to its end; it is tried elsewhere if its engine dies.

        Cancelling the surrounding scope takes the call out of the queue, or aborts it in its
        engine.

        Raises:
            EngineUnavailable: no engine that serves the model is left, or several died.
            EngineError: the engine refused the request.
        """
        arrival = next(self._arrivals)
        failed: Replica | None = None
        for attempt in range(1, _ATTEMPTS + 1):
            order = self.policy.order(call, arrival)
            waiting = _Waiting(order, arrival, call, anyio.Event(), failed)
            try:
                replica = await self._bound(waiting)
                follower.sent(replica.name)
                await replica.engine.complete(call.request, follower.delta)
                return
            except EngineUnavailable as error:
                failed = waiting.replica
                if failed is None:
                    raise
                await self._examine(failed, error)
                if attempt == _ATTEMPTS:
                    raise
            finally:
                waiting.gone = True
                waiting.release()
                self.dispatch()

    async def _bound(self, waiting: _Waiting) -> Replica:
        """Wait until the call is bound to an engine."""
        model = waiting.call.request.model
        heapq.heappush(self._queues[model], waiting)
        self.dispatch()
        self._fail_orphans()
        await waiting.ready.wait()
        if waiting.replica is None:
            raise self._no_engine(model)
        return waiting.replica

    def dispatch(self) -> None:
        """Bind every waiting call that can start now, in the policy's order."""
        for model, queue in self._queues.items():
            replicas = [r for r in self.replicas if r.engine.model == model]
            while queue:
                waiting = queue[0]
                if not waiting.gone:
                    # A call that an engine failed goes to another one if there is one.
                    others = [r for r in replicas if r is not waiting.avoid and r.alive]
                    able = [r for r in others or replicas if r.has_room(waiting.call)]
                    if not able:
                        break
                    placement = self.policy.place(waiting.call, able)
                    waiting.bind(next(r for r in able if r is placement.engine), placement.reason)
                heapq.heappop(queue)

    async def _examine(self, replica: Replica, error: EngineUnavailable) -> None:
        """Take an engine that failed a call out of service unless it answers."""
        if replica.alive and not await replica.engine.healthy():
            replica.died(error)
            self._fail_orphans()

    def _fail_orphans(self) -> None:
        """Wake the calls that no engine is left for."""
        for model, queue in self._queues.items():
            if not any(r.alive for r in self.replicas if r.engine.model == model):
                for waiting in queue:
                    waiting.ready.set()
                queue.clear()

    def _no_engine(self, model: str) -> EngineUnavailable:
        last = [r.error for r in self.replicas if r.engine.model == model and r.error]
        why = f": {last[-1]}" if last else ""
        return EngineUnavailable(f"no engine that serves {model!r} is left{why}")

    async def watch(self, interval: float = 1.0) -> None:
        """Bring engines back that answer again; runs until cancelled."""
        while True:
            await anyio.sleep(interval)
            for replica in self.replicas:
                if not replica.alive and await replica.engine.healthy():
                    replica.alive, replica.error = True, None
                    self.dispatch()
