"""Dispatcher: what calls and programs come and end, and what follows from it. Nothing waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from weft.errors import ContextExceeded
from weft.orchestrator.call import Call, PromptMark
from weft.orchestrator.decisions.decision import Observe, teller
from weft.orchestrator.decisions.guarded_callback import guarded_callback
from weft.orchestrator.dispatch.binder import Binder
from weft.orchestrator.dispatch.claims import Claims
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.gatekeeper import Gatekeeper
from weft.orchestrator.dispatch.guards.guarded_policy import GuardedPolicy
from weft.orchestrator.dispatch.guards.standstill_guard import STANDSTILL, StandstillGuard
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.residents import Ended, Residents
from weft.orchestrator.dispatch.roster import Roster
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.programs.trail import Trail, outermost
from weft.orchestrator.timers.timer import At

if TYPE_CHECKING:
    from weft.orchestrator.causes.cause import Miss, Missed
    from weft.orchestrator.causes.misses import Misses


class Dispatcher:
    """The synchronous heart of the scheduler.

    Args:
        replicas: all engines.
        policy: decides.
        profiles: what is known of programs; learns from every call.
        clock: the time in seconds.
        at: has a callback called at a time.
        lease: most seconds that a program which does nothing is remembered and keeps a claim.
        observe: told of every decision.
        ended: told of programs that end, and why.
        standstill: seconds after which calls that a policy keeps out of idle engines start all
            the same; None for never.
        missed: told why prompts were not cached.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        policy: Policy,
        profiles: Profiles,
        clock: Callable[[], float],
        at: At,
        lease: float,
        observe: Observe | None = None,
        ended: Ended | None = None,
        standstill: float | None = STANDSTILL,
        missed: Missed | None = None,
    ) -> None:
        self.profiles, self.clock, self.at = profiles, clock, at
        tell = None if observe is None else teller(guarded_callback(observe, "observe"), clock)
        if ended is not None:
            ended = guarded_callback(ended, "ended")
        self._tell = tell
        self._missed = None if missed is None else guarded_callback(missed, "missed")
        self.misses: Misses | None = None
        if tell is not None or missed is not None:
            from weft.orchestrator.causes.misses import Misses

            self.misses = Misses()
        self.counters = DispatchCounters()
        guarded = GuardedPolicy(policy, self.counters)
        self.claims = Claims(guarded, clock, at, lease, self._on_freed, tell)
        self._binder = Binder(
            guarded,
            self.claims,
            self.counters,
            tell,
            self._look_later,
            self._watch,
            self.misses,
        )
        self._standstill = StandstillGuard(
            self._binder, self.claims, guarded, self.counters, clock, at, standstill
        )
        self.gatekeeper = Gatekeeper(self._binder, at)
        self.residents = Residents(self.claims, profiles, clock, at, lease, self._on_freed, ended)
        self.programs = self.residents.programs
        self.roster = Roster(self._binder, self.claims, self.residents, profiles, clock, at)
        self.fleets = self.roster.fleets
        self._arrivals = itertools.count()
        self._fair: dict[str, float] = {}
        for replica in replicas:
            self.roster.add(replica)

    def begin(self, program: Program) -> Program:
        """Note a program; one of the same id that is there already goes on."""
        return self.residents.begin(program)

    def end(self, id: str) -> None:
        """A program is over: its claim goes, and its course is learned from."""
        self.residents.end(id)

    def _on_freed(self, replica: Replica) -> None:
        """A claim has given its room back."""
        self._binder.serve(replica)

    def _watch(self, fleet: Fleet) -> None:
        self._standstill.watch(fleet)

    def _look_later(self, replica: Replica, due: float) -> None:
        self.gatekeeper.look_later(replica, due)

    def submit(self, call: Call, wake: Callable[[], None], earlier: Ticket | None = None) -> Ticket:
        """Take a call in; `wake` is called when it is bound, perhaps at once.

        Args:
            call: what is to run.
            wake: tells that the ticket's `replica` is set, or that no engine is left.
            earlier: the attempt before, whose place in the queue it has; its `avoid` holds on.

        Raises:
            EngineUnavailable: no engine that can run it is left.
            ContextExceeded: no engine's KV cache can hold the prompt.
        """
        fleet = self.fleets[call.request.model]
        self._check(call, fleet)
        now = fleet.tick()
        program = self.programs.get(call.program)
        if program is None:
            trail = Trail(kept=False)
            program = self.begin(Program(call.program, arrived=now, silent=True, trail=trail))
        away = 0.0
        if program.acting is not None:
            away = now - program.acting
            if program.calls:
                if not program.timed:
                    self.profiles.learn_tool(program.name, program.tool, away)
                if program.calls == 1:
                    self.profiles.learn_return(program.name, True)
            program.acting = None
        expected = self.profiles.answer_tokens(program.name, call.stage, call.most_tokens)
        answer, limit = round(expected.value) or 1, call.limit
        if limit is not None and limit < answer:
            answer = limit
        if earlier is None:
            program.trail.call(program, call.stage, call.group, away)
            ticket = Ticket(call, program, next(self._arrivals), now, answer, wake)
        else:
            ticket = Ticket(call, program, earlier.arrival, earlier.since, answer, wake)
            ticket.avoid, ticket.overdue, ticket.last = earlier.avoid, earlier.overdue, earlier.last
        start = self._fair.get(program.tenant, 0.0)
        if start < self._binder.fair_now:
            start = self._binder.fair_now
        ticket.fair_start = start
        self._fair[program.tenant] = start + (ticket.prompt_tokens + answer) / program.weight
        try:
            self._binder.enqueue(ticket, fleet)
        except BaseException:  # somebody ends the process while a policy decides
            if ticket.replica is not None:
                self.finish(ticket, (), 0, None, done=False)
            else:
                self.residents.idle(program, None, now)
            raise
        return ticket

    def _check(self, call: Call, fleet: Fleet) -> None:
        able = fleet.living_for(call)
        if call.only and not able:
            raise self.roster.no_engine(fleet, *call.only)
        if not able:
            if not call.stays or not self.roster.expected(fleet):
                raise self.roster.no_engine(fleet)
            return
        room = fleet.most
        if call.prompt_tokens >= room:
            raise ContextExceeded(
                f"the prompt of {call.prompt_tokens} tokens does not fit the engines' KV cache, "
                f"which holds {room}; shorten it, or give the engine more KV",
                call.prompt_tokens,
                room,
            )

    def leave(self, ticket: Ticket) -> None:
        """A call that waits is cancelled."""
        queue, fleet = ticket.queue, self.fleets[ticket.call.request.model]
        if queue is None:
            return
        now = fleet.tick()
        was_next = self._binder.leave(ticket, fleet)
        self.residents.idle(ticket.program, ticket.program.home, now)
        if was_next:
            self._binder.serve_behind(queue, ticket, fleet)

    def finish(
        self,
        ticket: Ticket,
        answer: Sequence[int],
        tokens: int,
        cached: int | None,
        done: bool,
        again: bool = False,
    ) -> None:
        """A call that ran has ended, one way or another.

        Args:
            ticket: the call.
            answer: ids of the tokens it generated, as far as known.
            tokens: how many it generated.
            cached: tokens of its prompt that the engine found cached, if it said so.
            done: whether it ended by itself.
            again: whether it is sent again, so that its program is not between two calls;
                `give_up` must be called if that comes to nothing.
        """
        replica, program = ticket.replica, ticket.program
        assert replica is not None
        now = replica.fleet.tick()
        misses: Sequence[Miss] = ()
        if self.misses is not None:
            misses = self.misses.ending(ticket, answer, tokens, cached if done else None)
        replica.finish(ticket, answer, tokens, done=done)
        seconds = now - ticket.bound_at
        program.calls += not again  # however often it was sent
        program.seconds += seconds
        critical = ticket.critical + seconds
        if critical > program.critical:
            program.critical = critical
        program.computed += ticket.prompt_tokens - (cached or 0) + tokens
        before = program.trunk
        if trunk := _is_trunk(ticket):
            program.trunk = PromptMark.of(ticket.call, replica.block_size)
        if trunk or before is None or before.begins(ticket.call):
            context = ticket.prompt_tokens + tokens
            if done and before is not None:
                # A prompt that is another one, as after a compaction, is no growth.
                grown = context - program.context if before.leads_to(ticket.call) else 0
                self.profiles.learn_growth(program.name, max(0, grown))
            program.context, program.cached_at = context, replica
        program.timed, program.tool, program.expects = False, ticket.call.tool, None
        if program.waits:
            program.tool, program.expects = program.waits[-1].tool, program.waits[-1].expects
        if done:
            self.profiles.learn_answer(program.name, ticket.stage, tokens)
            if replica.gate.lowered:
                replica.gate.credit()
                replica.concurrency = replica.gate.limit
        if misses and self._missed is not None:
            self._missed(program.id, ticket.id, misses)
        if self._tell is not None:
            found = "unknown" if cached is None else str(cached)
            self._tell(
                "end",
                program.id,
                ticket.id,
                replica.name,
                f"{tokens} tokens generated, {found} of {ticket.prompt_tokens} were cached "
                f"({ticket.cached} foreseen)" + ("" if done else "; it did not finish"),
            )
            for miss in misses:
                self._tell(
                    "miss",
                    program.id,
                    ticket.id,
                    replica.name,
                    str(miss),
                    miss.cause,
                    miss.tokens,
                )
        if not again:
            self.residents.idle(program, replica, now)
        self._binder.serve(replica)

    def requeue(self, ticket: Ticket) -> None:
        """A call that is to be sent again goes behind those that wait."""
        ticket.arrival = next(self._arrivals)
        ticket.last = True

    def give_up(self, ticket: Ticket) -> None:
        """A call that was to be sent again is not."""
        fleet = self.fleets[ticket.call.request.model]
        ticket.program.calls += 1
        self.residents.idle(ticket.program, ticket.replica, fleet.tick())


def _is_trunk(ticket: Ticket) -> bool:
    """Whether a call that has ended was none of several that its program made at once."""
    program = ticket.program
    alone = not program.running and not program.waiting
    return (
        alone
        and program.calls <= ticket.calls_before + 1
        and outermost(program, ticket.group) is None
    )
