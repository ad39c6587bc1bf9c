"""Residents: the programs that the scheduler knows, and how long they are remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.orchestrator.dispatch.claims import Claims
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.programs.program import Program, ToolWait
from weft.orchestrator.timers.due_times import DueTimes
from weft.orchestrator.timers.timer import At

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica

Ended = Callable[[Program, str], None]


class Residents:
    """Programs from their first call to their end.

    Args:
        claims: the room that they keep.
        profiles: learns from programs that end.
        clock: the time in seconds.
        at: has a callback called at a time.
        lease: most seconds that a program which does nothing is remembered.
        freed: is called when a program that ended had a claim, with the engine that held it.
        ended: is told of programs that end, and why.
    """

    def __init__(
        self,
        claims: Claims,
        profiles: Profiles,
        clock: Callable[[], float],
        at: At,
        lease: float,
        freed: Callable[[Replica], None],
        ended: Ended | None,
    ) -> None:
        self._claims, self._profiles, self._clock, self._lease = claims, profiles, clock, lease
        self._freed, self._ended = freed, ended
        self.programs: dict[str, Program] = {}
        self._leases = DueTimes(clock, at, _lives, self._lease_over)

    def begin(self, program: Program) -> Program:
        """Note a program; one of the same id that is there already goes on."""
        known = self.programs.setdefault(program.id, program)
        if known is program:
            program.arrived = program.arrived or self._clock()
            if program.acting is None:
                program.acting = self._clock()
            self._leases.set(program, program.acting + self._lease)
        return known

    def end(self, id: str, reason: str = "the program is over") -> None:
        """A program is over: its claim goes, and its course is learned from."""
        program = self.programs.pop(id, None)
        if program is None:
            return
        program.ended = True
        if program.calls > program.stored:  # otherwise it was learned from before
            self._profiles.learn_run(program)
            if program.calls == 1:
                self._profiles.learn_return(program.name, False)
        if self._ended is not None:
            self._ended(program, reason)
        home = program.home
        if home is not None:
            home.attach(program, 0)
            if program.claim:
                self._claims.release(program, reason)
                self._freed(home)
            if home.words is not None:
                home.words.forget(program)

    def idle(self, program: Program, replica: Replica | None, now: float) -> None:
        """If a program has no call any more, note it, and decide about its room.

        Args:
            program: had a call that ended.
            replica: where the call ran, if it did.
            now: the time.
        """
        if program.running or program.waiting or program.ended or program.acting is not None:
            return
        program.acting = now
        at = program.cached_at  # its last call may have been a branch, elsewhere
        if replica is not None and at is not None and at.alive and not at.retired:
            replica = replica if program.claim else at
        if replica is not None and replica.alive:
            self._claims.retain(program, replica, now)
        elif replica is not None and replica.retired:
            replica.detach(program)

    def wait(self, program: Program, tool: str, expects: float | None) -> ToolWait:
        """A program begins to wait for a tool; what becomes of its room is asked again.

        Args:
            program: known here.
            tool: its name.
            expects: seconds that it may take, if the program says so.
        """
        now = self._clock()
        wait = ToolWait(tool, expects, now)
        program.waits += (wait,)
        if program.acting is not None:
            program.tool, program.expects = tool, expects
            if program.calls:
                self._claims.reconsider(program, now)
        return wait

    def end_wait(self, program: Program, wait: ToolWait, whole: bool) -> None:
        """A program has waited for a tool; if the tool came to its end, its time is learned."""
        program.waits = tuple([w for w in program.waits if w is not wait])
        if whole:
            self._profiles.learn_tool(program.name, wait.tool, self._clock() - wait.since)
        if program.acting is not None:
            program.tool, program.expects, program.timed = wait.tool, None, True

    def homeless(self, replica: Replica) -> None:
        """An engine was let go: none of its programs has its cache there any more."""
        for program in self.programs.values():
            if program.cached_at is replica:
                program.cached_at = None
            if not program.running:
                replica.detach(program)

    def _lease_over(self, program: Program) -> None:
        """Let a program go that never says goodbye, if it does nothing by now."""
        idle_since, now = program.acting, self._clock()
        if idle_since is None or now < idle_since + self._lease:
            self._leases.set(program, (now if idle_since is None else idle_since) + self._lease)
        elif not program.in_block:
            self.end(program.id, "its lease is over")
        else:
            self._leases.set(program, now + self._lease)
            if program.claim and program.home is not None:
                self._claims.release(program, "its lease is over")
                self._freed(program.home)


def _lives(program: Program, since: float | None) -> bool:
    return not program.ended
