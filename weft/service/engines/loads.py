"""Engine loads: what engines say of themselves, asked for again and again."""

from __future__ import annotations

import anyio

from weft.backends.engine import EngineLoad
from weft.concurrency import TaskGroup
from weft.errors import EngineError, PartFailed
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.scheduler import Scheduler
from weft.parts.faults import blaming, expect


async def follow_loads(
    scheduler: Scheduler, loads: dict[str, EngineLoad], interval: float = 2.0
) -> None:
    """Keep in `loads` what each engine that is in service said last; until cancelled.

    Args:
        scheduler: has the engines, which may come and go.
        loads: by the engines' names; an engine that does not answer is not in it.
        interval: seconds between questions, and most seconds for the answers.
    """
    while True:
        living = {replica.name for replica in scheduler.replicas if replica.alive}
        for gone in loads.keys() - living:
            del loads[gone]
        async with TaskGroup() as group:
            for replica in scheduler.replicas:
                if replica.alive:
                    group.start_soon(_ask, replica, loads, interval)
        await anyio.sleep(interval)


async def _ask(replica: Replica, loads: dict[str, EngineLoad], limit: float) -> None:
    with anyio.move_on_after(limit):
        try:
            with blaming("engine", type(replica.engine)):
                load = expect(await replica.engine.load(), EngineLoad, "load", awaited=True)
                replica.note_preemptions(load.preemptions)
            loads[replica.name] = load
            return
        except (EngineError, PartFailed):
            pass
    loads.pop(replica.name, None)
