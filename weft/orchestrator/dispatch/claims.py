"""Claims: room that programs keep on engines between their calls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.orchestrator.decisions.decision import Tell
from weft.orchestrator.dispatch.guards.guarded_policy import GuardedPolicy
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.timers.due_times import DueTimes
from weft.orchestrator.timers.timer import At

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica


class Claims:
    """Given by the policy when a program's last running call ends; each ends at its time.

    Args:
        policy: decides what is kept.
        clock: the time in seconds.
        at: has a callback called at a time.
        lease: most seconds that a claim lasts.
        freed: is called when a claim's time is up, with the engine that has its room back.
        tell: is told of every decision.
    """

    def __init__(
        self,
        policy: GuardedPolicy,
        clock: Callable[[], float],
        at: At,
        lease: float,
        freed: Callable[[Replica], None],
        tell: Tell | None,
    ) -> None:
        self._policy, self._lease, self._freed, self._tell = policy, lease, freed, tell
        self._due = DueTimes(clock, at, _same_claim, self._over)
        self._gone = DueTimes(clock, at, _same_claim, self._presume_over)

    def retain(self, program: Program, replica: Replica, now: float) -> None:
        """Decide about the room of a program that has no call any more."""
        if program.home is not replica:  # it had calls on several
            replica.attach(program, program.context)
        fleet = replica.fleet
        fleet.now = now
        retention = self._policy.retain(program, replica, fleet)
        seconds, due = self._lasts(retention, program, fleet.profiles)
        if self._tell is not None:
            how = f"kept for {seconds:.4g} s" if seconds < self._lease else "kept till it ends"
            kept = how if seconds > 0 else "not kept"
            self._tell("retain", program.id, "", replica.name, f"{kept}: {retention.reason}")
        if seconds <= 0:
            program.expires = now
            if replica.words is not None:
                replica.words.release(program)
            return
        replica.claim(program, program.context, retention.rank, now + seconds)
        if seconds < self._lease:  # else it ends with the program's lease
            due.set(program, program.expires)

    def _lasts(
        self, retention: Retention, program: Program, profiles: Profiles
    ) -> tuple[float, DueTimes]:
        """Seconds that a claim lasts at most, and where its end is noted."""
        seconds, due = retention.seconds, self._due
        if seconds == math.inf and program.silent:  # nobody tells when it has ended
            seconds, due = profiles.gone_after(program), self._gone
        return seconds if seconds < self._lease else self._lease, due

    def reconsider(self, program: Program, now: float) -> None:
        """Decide once more, for more is known of what a program does between its calls.

        Room that was given to others since its last call is not asked for again.
        """
        home, acting = program.home, program.acting
        if home is None or not home.alive or acting is None:
            return
        had = program.claim
        if not had and program.expires > acting:
            return
        if had:
            home.unclaim(program)
        program.acting = now
        self.retain(program, home, now)
        if had and not program.claim:
            self._freed(home)

    def restore(self, program: Program, idle: float, room: float) -> None:
        """Keep a program's room at its home as the policy would, if all that is kept fits.

        Args:
            program: was known to an earlier scheduler.
            idle: seconds since its last call ended.
            room: for how many seconds more its room was kept there.
        """
        home = program.home
        if home is None or home.claimed + program.context > home.capacity:
            return
        now = home.fleet.tick()
        retention = self._policy.retain(program, home, home.fleet)
        seconds, due = self._lasts(retention, program, home.fleet.profiles)
        seconds = min(seconds - idle, room)
        if seconds > 0:
            home.claim(program, program.context, retention.rank, now + seconds)
            due.set(program, program.expires)

    def _over(self, program: Program) -> None:
        home = program.home
        if home is None:
            return
        if program.expires > home.fleet.tick():  # it was decided anew at the same moment
            self._due.set(program, program.expires)
            return
        profiles = home.fleet.profiles
        if program.calls == 1:  # known long before its lease is over
            profiles.learn_return(program.name, False)
        if program.silent and program.calls:
            profiles.fell_silent(program.name, program.calls)
        self.release(program, "its time is up")
        self._freed(home)

    def _presume_over(self, program: Program) -> None:
        """A program that may end without a word has likely ended; of that nothing is learned."""
        home = program.home
        if home is None:
            return
        if program.expires > home.fleet.tick():
            self._gone.set(program, program.expires)
            return
        self.release(program, "it has most likely ended")
        self._freed(home)

    def release(self, program: Program, reason: str) -> None:
        """Take a program's claim away."""
        if program.claim and program.home is not None:
            if self._tell is not None:
                self._tell("release", program.id, "", program.home.name, reason)
            if program.home.words is not None:
                program.home.words.release(program)
            program.home.unclaim(program)

    def release_all(self, replica: Replica, reason: str) -> None:
        """An engine is gone, and all claims with it."""
        for program in replica.claiming:
            self.release(program, reason)


def _same_claim(program: Program, since: float | None) -> bool:
    """Whether the claim that it got then is the one that it has."""
    return program.claim > 0 and program.acting == since
