"""Residents: the programs that live on engines; how long they are remembered, what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.orchestrator.decision import Tell
from weft.orchestrator.dispatch.due_times import DueTimes
from weft.orchestrator.dispatch.timer import At
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Policy
from weft.orchestrator.program import Program

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.fleet import Fleet
    from weft.orchestrator.dispatch.replica import Replica

Ended = Callable[[Program, str], None]


@dataclass(slots=True)
class DispatchCounters:
    """What a dispatcher has done.

    Attributes:
        decisions: made by its policy.
        started: calls that were sent to an engine.
        forced: those of them that the policy refused, but that were overdue.
        revoked: claims taken from programs to make room.
        longest_wait: of a call, in seconds.
    """

    decisions: int = 0
    started: int = 0
    forced: int = 0
    revoked: int = 0
    longest_wait: float = 0.0


class Residents:
    """Programs from their first call to their end, with their leases and claims.

    Args:
        policy: decides what is kept between calls.
        profiles: learns from programs that end.
        fleets: the engines by model.
        clock: the time in seconds.
        at: has a callback called at a time.
        lease: most seconds that a program which does nothing is remembered and keeps a claim.
        counters: counts decisions.
        serve: is called when an engine has got room.
        tell: is told of every decision.
        ended: is told of programs that end, and why.
    """

    def __init__(
        self,
        policy: Policy,
        profiles: Profiles,
        fleets: Mapping[str, Fleet],
        clock: Callable[[], float],
        at: At,
        lease: float,
        counters: DispatchCounters,
        serve: Callable[[Replica, Fleet], None],
        tell: Tell | None,
        ended: Ended | None,
    ) -> None:
        self._policy, self._profiles, self._fleets = policy, profiles, fleets
        self._clock, self._lease = clock, lease
        self._counters, self._serve, self._tell, self._ended = counters, serve, tell, ended
        self.programs: dict[str, Program] = {}
        self._claims = DueTimes(clock, at, _same_claim, self._claim_over)
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
        if program.calls:
            self._profiles.finished(program.name, program.calls)
        if program.calls == 1:
            self._profiles.returned(program.name, False)
        if self._ended is not None:
            self._ended(program, reason)
        home = program.home
        if home is not None:
            home.attach(program, 0)
            if program.claim:
                self.release(program, reason)
                self._serve(home, self._fleets[home.engine.model])

    def _lease_over(self, program: Program) -> None:
        """Let a program go that never says goodbye, if it does nothing by now."""
        idle_since, now = program.acting, self._clock()
        if idle_since is not None and now >= idle_since + self._lease:
            self.end(program.id, "its lease is over")
        else:
            self._leases.set(program, (now if idle_since is None else idle_since) + self._lease)

    def idle(self, program: Program, replica: Replica | None, now: float) -> None:
        """If a program has no call any more, decide about its room."""
        if program.running or program.waiting or program.ended or program.acting is not None:
            return
        program.acting = now
        if replica is None or not replica.alive:
            return
        fleet = self._fleets[replica.engine.model]
        fleet.now = now
        retention = self._policy.retain(program, replica, fleet)
        self._counters.decisions += 1
        seconds = retention.seconds if retention.seconds < self._lease else self._lease
        if self._tell is not None:
            how = f"kept for {seconds:.4g} s" if seconds < self._lease else "kept till it ends"
            kept = how if seconds > 0 else "not kept"
            self._tell("retain", program.id, "", replica.name, f"{kept}: {retention.reason}")
        if seconds <= 0:
            return
        if program.home is not replica:  # it had calls on several; this one's context is the last
            replica.attach(program, program.context)
        replica.claim(program, program.context, retention.rank, now + seconds)
        if seconds < self._lease:  # else it ends with the program itself
            self.expires(program)

    def expires(self, program: Program) -> None:
        """Let a program's claim go when its time is up, unless it has made a call by then."""
        self._claims.set(program, program.expires)

    def _claim_over(self, program: Program) -> None:
        home = program.home
        if home is None:
            return
        if program.calls == 1:  # known long before its lease is over
            self._profiles.returned(program.name, False)
        if program.silent and program.calls:
            self._profiles.fell_silent(program.name, program.calls)
        self.release(program, "its time is up")
        self._serve(home, self._fleets[home.engine.model])

    def release(self, program: Program, reason: str) -> None:
        """Take a program's claim away."""
        if program.claim and program.home is not None:
            if self._tell is not None:
                self._tell("release", program.id, "", program.home.name, reason)
            program.home.unclaim(program)


def _same_claim(program: Program, since: float | None) -> bool:
    """Whether the claim that it got then is the one that it has."""
    return program.claim > 0 and program.acting == since


def _lives(program: Program, since: float | None) -> bool:
    return not program.ended
