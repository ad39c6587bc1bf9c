"""What a decision of the scheduler costs, with many calls waiting.

    python benchmarks/decisions.py [--policy SPEC ...] [--json FILE]

Nothing runs here: calls come, are placed, wait, start and end in the scheduler's own data
structures, with contexts of 100 blocks that grow by 2 a call. Times are CPU time of the process.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import deque
from pathlib import Path

from weft.backends.engine import Engine, OnDelta
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import parse_policy
from weft.orchestrator.programs.program import Program
from weft.types import Request, Sampling

BLOCK = 64
MODEL = "m"


class NoEngine(Engine):
    """Has the attributes of an engine, and runs nothing."""

    def __init__(self, name: str, kv_tokens: int) -> None:
        self.name, self.model, self.kv_tokens = name, MODEL, kv_tokens
        self.block_size, self.concurrency = BLOCK, 64

    async def connect(self) -> None: ...

    async def complete(self, request: Request, on_delta: OnDelta) -> None: ...

    async def aclose(self) -> None: ...


class Known(Call):
    """A call whose blocks are given."""

    __slots__ = ("blocks",)

    @property
    def prompt_tokens(self) -> int:
        return len(self.blocks) * BLOCK + 1

    def hashes(self, block_size: int) -> list[int]:
        return self.blocks

    def grown(self, block_size: int, answer: object, count: int) -> list[int]:
        return self.blocks


class Load:
    """Keeps a number of calls waiting on a dispatcher."""

    def __init__(self, policy: str, waiting: int, programs: int, engines: int) -> None:
        self.now = 0.0
        self.rng = random.Random(0)
        replicas = [Replica(NoEngine(f"e{i}", 40 * 100 * BLOCK)) for i in range(engines)]
        self.dispatcher = Dispatcher(
            replicas, parse_policy(policy), Profiles(), lambda: self.now, self._later, 600.0
        )
        self.contexts = {f"p{i}": [self.rng.getrandbits(60)] for i in range(programs)}
        self.names = list(self.contexts)
        self.running: deque[Ticket] = deque()
        self.calls = 0
        for name in self.names:
            self.dispatcher.begin(Program(name, "agent", f"t{self.calls % 8}", arrived=0.001))
            self.contexts[name] = [self.rng.getrandbits(60) for _ in range(100)]
        while self.waiting < waiting:
            self.come()

    @property
    def waiting(self) -> int:
        return sum(fleet.waiting for fleet in self.dispatcher.fleets.values())

    def _later(self, at: float, callback: object) -> None:
        """Timers don't matter here."""

    def come(self) -> None:
        name = self.rng.choice(self.names)
        blocks = self.contexts[name] = [*self.contexts[name][-120:], self.calls, -self.calls]
        self.calls += 1
        call = Known(Request(str(self.calls), MODEL, (), sampling=Sampling(max_tokens=64)), name)
        call.blocks = blocks
        self.now += 0.001
        holder: list[Ticket] = []
        bound: list[bool] = []

        def wake() -> None:
            bound.append(True)
            if holder:
                self.running.append(holder[0])

        ticket = self.dispatcher.submit(call, wake)
        holder.append(ticket)
        if bound:
            self.running.append(ticket)

    def end(self) -> None:
        self.dispatcher.finish(self.running.popleft(), (), 64, None, done=True)


def measure(
    policy: str, waiting: int, programs: int = 2000, engines: int = 8, seconds: float = 2.0
) -> tuple[float, float]:
    """Decisions a second, and calls a second that come, start and end."""
    load = Load(policy, waiting, programs, engines)
    counters = load.dispatcher.counters
    decided, calls = counters.decisions, load.calls
    begun = time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        load.end()
        while load.waiting < waiting:
            load.come()
    return (counters.decisions - decided) / spent, (load.calls - calls) / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--policy", action="append", help="policies to measure (default: weft)")
    parser.add_argument("--engines", type=int, default=8)
    parser.add_argument("--waiting", type=int, action="append")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    rows = []
    for policy in given.policy or ["weft"]:
        print(f"{policy}: 2,000 programs, {given.engines} engines")
        for waiting in given.waiting or (100, 1_000, 10_000, 100_000):
            decisions, calls = measure(policy, waiting, engines=given.engines)
            print(
                f"  {waiting:>7,} waiting: {decisions:>8,.0f} decisions/s "
                f"({1e6 / decisions:.1f} us each), {calls:,.0f} calls/s"
            )
            rows.append(
                {
                    "name": f"decisions a second, {waiting} calls waiting, {policy}",
                    "unit": "1/s",
                    "better": "higher",
                    "weft": decisions,
                    "peers": {},
                }
            )
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
