"""Restore: what a scheduler knows of its programs, carried over to the next one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from weft.cache.prefix import PrefixIndex
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.programs.program import Program


@dataclass(frozen=True, slots=True)
class CachedChain:
    """What a program left in its engine's prefix cache.

    Attributes:
        block_size: tokens of a block.
        hashes: of the blocks, as in `PrefixIndex`; not to be changed.
    """

    block_size: int
    hashes: Sequence[int]


@dataclass(frozen=True, slots=True)
class SchedulingState:
    """A program as a scheduler knew it. Times are seconds up to the moment of saving.

    Attributes:
        id: unique among live programs.
        name: what it is a run of.
        tenant: on whose behalf it runs.
        home: name of the engine that holds its cache; empty if none does.
        age: since it began.
        idle: since its last call ended; 0 while it has one.
        room: for how much longer its room at home is kept for it; 0 if it has none.
        calls: those that have ended.
        context: tokens of prompt and answer of its latest call.
        tool: what it does between its calls.
        seconds: service had.
        critical: seconds of service along the longest chain of its calls.
        waited: seconds that its calls have waited.
        computed: tokens that engines computed for it.
    """

    id: str
    name: str = ""
    tenant: str = ""
    home: str = ""
    age: float = 0.0
    idle: float = 0.0
    room: float = 0.0
    calls: int = 0
    context: int = 0
    tool: str = ""
    seconds: float = 0.0
    critical: float = 0.0
    waited: float = 0.0
    computed: int = 0

    def later(self, seconds: float) -> SchedulingState:
        """The same after so many seconds in which it made no call."""
        return replace(
            self,
            age=self.age + seconds,
            idle=self.idle + seconds,
            room=max(0.0, self.room - seconds),
        )


def save(dispatcher: Dispatcher, id: str, lease: float) -> SchedulingState | None:
    """What is to be carried over of a program; None if it is over.

    Args:
        dispatcher: the scheduler's.
        id: of the program.
        lease: the scheduler's; a program that runs now keeps its room for so long at most.
    """
    program = dispatcher.programs.get(id)
    if program is None:
        return None
    now = dispatcher.clock()
    room = lease if program.running else program.expires - now if program.claim else 0.0
    return SchedulingState(
        program.id,
        program.name,
        program.tenant,
        program.home.name if program.home is not None else "",
        now - program.arrived,
        0.0 if program.acting is None else now - program.acting,
        max(0.0, room),
        program.calls,
        program.context,
        program.tool,
        program.seconds,
        program.critical,
        program.waited,
        program.computed,
    )


def restore(
    dispatcher: Dispatcher, programs: Iterable[tuple[SchedulingState, CachedChain | None]]
) -> None:
    """Have a fresh scheduler go on with programs of an earlier one.

    Each has its home back if an engine of that name is in service, with its blocks in that
    engine's prefix index as far as they fit, the last used ones first. What was left of its
    lease runs on. Its room is kept if it was and the policy would still keep it, as long as
    all that is kept fits the engine.

    Args:
        dispatcher: the scheduler's; calls may be in it already.
        programs: with what each left in its engine's cache. A program whose id is known is
            left alone.
    """
    replicas = {
        replica.name: replica
        for fleet in dispatcher.fleets.values()
        for replica in fleet.replicas
        if replica.alive
    }
    now = dispatcher.clock()
    residents: list[tuple[Program, SchedulingState]] = []
    # The last to be released is the last to be evicted.
    for saved, chain in sorted(programs, key=lambda one: -one[0].idle):
        if saved.id in dispatcher.programs:
            continue
        program = dispatcher.begin(
            Program(
                saved.id,
                saved.name,
                saved.tenant,
                arrived=now - saved.age,
                calls=saved.calls,
                seconds=saved.seconds,
                critical=saved.critical,
                waited=saved.waited,
                computed=saved.computed,
                context=saved.context,
                acting=now - saved.idle,
                tool=saved.tool,
                silent=True,
            )
        )
        home = replicas.get(saved.home)
        if home is None:
            continue
        if chain is not None and chain.block_size == home.block_size:
            _seed(home.index, chain.hashes, program)
        home.attach(program, program.context)
        if saved.room > 0:
            residents.append((program, saved))
    for program, saved in reversed(residents):
        dispatcher.claims.restore(program, saved.idle, saved.room)


def _seed(index: PrefixIndex, hashes: Sequence[int], program: Program) -> None:
    """Take blocks for cached that an earlier scheduler knew."""
    blocks = min(len(hashes), index.free)
    hold = index.open(hashes, blocks)
    index.grow(hold, hashes, blocks)
    index.close(hold, program)
