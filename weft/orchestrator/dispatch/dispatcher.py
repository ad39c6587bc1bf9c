"""Dispatcher: applies a policy's decisions to calls, engines and claims. Nothing here waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from weft.errors import ContextExceeded, EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.decision import Kind, Observe, teller
from weft.orchestrator.dispatch.call_queue import CallQueue, before
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.residents import DispatchCounters, Ended, Residents
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.dispatch.timer import At
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Policy
from weft.orchestrator.program import Program


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
    ) -> None:
        self.policy, self.profiles, self.clock, self.at = policy, profiles, clock, at
        self._tell = None if observe is None else teller(observe, clock)
        self.counters = DispatchCounters()
        self.fleets: dict[str, Fleet] = {}
        self.residents = Residents(
            policy,
            profiles,
            self.fleets,
            clock,
            at,
            lease,
            self.counters,
            self.serve,
            self._tell,
            ended,
        )
        self.programs = self.residents.programs
        for replica in replicas:
            self.add(replica)
        self._arrivals = itertools.count()
        self._fair: dict[str, float] = {}
        self._fair_now = 0.0

    def begin(self, program: Program) -> Program:
        """Note a program; one of the same id that is there already goes on."""
        return self.residents.begin(program)

    def end(self, id: str) -> None:
        """A program is over: its claim goes, and its course is learned from."""
        self.residents.end(id)

    # Calls

    def submit(self, call: Call, wake: Callable[[], None], failed: Ticket | None = None) -> Ticket:
        """Take a call in; `wake` is called when it is bound, perhaps at once.

        Args:
            call: what is to run.
            wake: tells that the ticket's `replica` is set, or that no engine is left.
            failed: an earlier attempt, whose engine is to be avoided and whose turn it has.

        Raises:
            EngineUnavailable: no engine that can run it is left.
            ContextExceeded: no engine's KV cache can hold the prompt.
        """
        fleet = self.fleets[call.request.model]
        self._check(call, fleet)
        now = fleet.tick()
        program = self.programs.get(call.program)
        if program is None:
            program = self.begin(Program(call.program, arrived=now, silent=True))
        if program.acting is not None:
            if program.calls:
                self.profiles.acted(program.name, program.tool, now - program.acting)
                if program.calls == 1:
                    self.profiles.returned(program.name, True)
            program.acting = None
        expected = self.profiles.answer_tokens(program.name, call.stage, call.most_tokens)
        answer = max(1, round(expected.value))
        if call.limit is not None:
            answer = min(answer, call.limit)
        if failed is None:
            ticket = Ticket(call, program, next(self._arrivals), now, answer, wake)
        else:
            ticket = Ticket(call, program, failed.arrival, failed.since, answer, wake)
            ticket.avoid = failed.replica
        program.waiting += 1
        start = self._fair.get(program.tenant, 0.0)
        if start < self._fair_now:
            start = self._fair_now
        ticket.fair_start = start
        self._fair[program.tenant] = start + (ticket.prompt_tokens + answer) / program.weight
        self._enqueue(ticket, fleet)
        return ticket

    def _check(self, call: Call, fleet: Fleet) -> None:
        only = call.only
        if not fleet.engines or (only and all(r.name != only for r in fleet.engines)):
            raise self.no_engine(fleet, only)
        room = fleet.most
        if call.prompt_tokens >= room:
            raise ContextExceeded(
                f"the prompt of {call.prompt_tokens} tokens does not fit the engines' KV cache, "
                f"which holds {room}; shorten it, or give the engine more KV"
            )

    def no_engine(self, fleet: Fleet, only: str = "") -> EngineUnavailable:
        """The error for calls that no engine is left for, or not the only one that they need."""
        last = [r.error for r in fleet.replicas if r.error and only in ("", r.name)]
        why = f": {last[-1]}" if last else ""
        if only:
            return EngineUnavailable(f"{only}, which alone can run this call, is away{why}")
        return EngineUnavailable(f"no engine that serves {fleet.model!r} is left{why}")

    def _enqueue(self, ticket: Ticket, fleet: Fleet) -> None:
        ticket.order = order = self.policy.order(ticket, fleet)
        placement = self.policy.place(ticket, fleet.able(ticket))
        self.counters.decisions += 2
        replica = self._replica(placement.engine)
        firm = placement.firm or bool(ticket.call.only)
        lane = replica.lane if firm else fleet.common
        ticket.where, ticket.reason = placement.reason, "others are ahead of it"
        fleet.waiting += 1
        if self._tell is not None:
            self._told("come", ticket, replica if firm else None, order.reason)
        # Only the first of its lane may start; where nobody waits it need not queue for that.
        if len(lane):
            lane.put(ticket)
            if lane.first(fleet.now) is ticket:
                self._try(ticket, replica, fleet, placement.reason)
        elif not self._try(ticket, replica, fleet, placement.reason):
            lane.put(ticket)
        if ticket.lane is not None and order.overdue is not None:
            fleet.timer.set(max(order.overdue, fleet.now))

    def _replica(self, engine: object) -> Replica:
        assert isinstance(engine, Replica), "place one of the view's engines"
        return engine

    def _overdue(self, fleet: Fleet) -> None:
        """A call may have become overdue."""
        for replica in fleet.engines:
            self.serve(replica, fleet)
        now = fleet.tick()
        lanes = [fleet.common, *(replica.lane for replica in fleet.engines)]
        fleet.timer.set(min(lane.next_overdue(now) for lane in lanes))

    def _try(self, ticket: Ticket, replica: Replica, fleet: Fleet, reason: str) -> bool:
        """Start a call on an engine if there is room and it is admitted."""
        now, overdue = fleet.now, ticket.order.overdue
        if not replica.has_room(ticket):
            if overdue is not None and overdue <= now and replica.waiting_for is None:
                replica.waiting_for = ticket
            full = f"{replica.name} is full: {replica.in_flight} calls run there"
            return self._refuse(ticket, replica, full)
        admission = self.policy.admit(ticket, replica, fleet)
        self.counters.decisions += 1
        while not admission.enter and admission.displace is not None:
            self.counters.revoked += 1
            self.residents.release(admission.displace, f"made room for {ticket.id}")
            admission = self.policy.admit(ticket, replica, fleet)
            self.counters.decisions += 1
        forced = not admission.enter and overdue is not None and overdue <= now
        if not admission.enter and not forced:
            return self._refuse(ticket, replica, admission.reason)
        ticket.reason = f"{reason}; " + ("overdue" if forced else admission.reason)
        ticket.forced = forced
        self._start(ticket, replica, fleet)
        return True

    def _refuse(self, ticket: Ticket, replica: Replica, reason: str) -> bool:
        ticket.reason = reason
        if not ticket.refused:
            ticket.refused = True
            self._told("wait", ticket, replica, reason)
        return False

    def _start(self, ticket: Ticket, replica: Replica, fleet: Fleet) -> None:
        if ticket.lane is not None:
            ticket.lane.remove(ticket)
        fleet.waiting -= 1
        program = ticket.program
        now = ticket.bound_at = fleet.now
        waited = now - ticket.since
        program.waiting -= 1
        program.waited += waited
        if ticket.fair_start > self._fair_now:
            self._fair_now = ticket.fair_start
        counters = self.counters
        counters.started += 1
        counters.forced += ticket.forced
        if waited > counters.longest_wait:
            counters.longest_wait = waited
        replica.start(ticket)
        if self._tell is not None:
            self._told("start", ticket, replica, ticket.reason)
        ticket.wake()

    def leave(self, ticket: Ticket) -> None:
        """A call that waits is cancelled."""
        if ticket.lane is not None:
            lane, fleet = ticket.lane, self.fleets[ticket.call.request.model]
            lane.remove(ticket)
            fleet.waiting -= 1
            ticket.program.waiting -= 1
            self.residents.idle(ticket.program, ticket.program.home, fleet.tick())
            self._serve_lane(lane, fleet)

    def finish(
        self, ticket: Ticket, answer: Sequence[int], tokens: int, cached: int | None, done: bool
    ) -> None:
        """A call that ran has ended, one way or another.

        Args:
            ticket: the call.
            answer: ids of the tokens it generated, as far as known.
            tokens: how many it generated.
            cached: tokens of its prompt that the engine found cached, if it said so.
            done: whether it ended by itself.
        """
        replica, program = ticket.replica, ticket.program
        assert replica is not None
        fleet = self.fleets[ticket.call.request.model]
        now = fleet.tick()
        replica.finish(ticket, answer, tokens)
        seconds = now - ticket.bound_at
        program.calls += 1
        program.seconds += seconds
        critical = ticket.critical + seconds
        if critical > program.critical:
            program.critical = critical
        program.computed += ticket.prompt_tokens - (cached or 0) + tokens
        context = ticket.prompt_tokens + tokens
        if done and context >= program.context > 0:
            self.profiles.grew(program.name, context - program.context)
        program.context = context
        program.tool = ticket.call.tool or ticket.stage
        if done:
            self.profiles.answered(program.name, ticket.stage, tokens)
        if self._tell is not None:
            found = "unknown" if cached is None else str(cached)
            self._told(
                "end",
                ticket,
                replica,
                f"{tokens} tokens generated, {found} of {ticket.prompt_tokens} were cached "
                f"({ticket.cached} foreseen)" + ("" if done else "; it did not finish"),
            )
        self.residents.idle(program, replica, now)
        self.serve(replica, fleet)

    # Engines

    def add(self, replica: Replica) -> None:
        """Take an engine in."""
        model = replica.engine.model
        fleet = self.fleets.get(model)
        if fleet is None:
            fleet = self.fleets[model] = Fleet(
                model, self.profiles, self.clock, self.at, self._overdue
            )
        fleet.replicas.append(replica)
        self.back(replica)

    def remove(self, replica: Replica) -> list[Ticket]:
        """Let an engine go; calls that run there run on. Returns as `died` does."""
        fleet = self.fleets[replica.engine.model]
        fleet.replicas.remove(replica)
        return self.died(replica, EngineUnavailable(f"{replica.name} was taken out of service"))

    def serve(self, replica: Replica, fleet: Fleet) -> None:
        """Start what can start now that an engine has changed."""
        if not fleet.waiting:
            return
        now = fleet.tick()
        blocked_own = blocked_common = False
        while replica.alive and not (blocked_own and blocked_common):
            own = None if blocked_own else replica.lane.first(now)
            common = None if blocked_common else fleet.common.first(now)
            if own is None and common is None:
                break
            if common is None or (own is not None and before(own, common, now)):
                assert own is not None
                blocked_own = not self._try(own, replica, fleet, own.where)
            else:
                placement = self.policy.place(common, fleet.able(common))
                self.counters.decisions += 1
                target = self._replica(placement.engine)
                if not self._try(common, target, fleet, placement.reason):
                    # Others need not wait with a call that now waits for one engine only.
                    blocked_common = not placement.firm
                    if placement.firm:
                        fleet.common.remove(common)
                        target.lane.put(common)
        if replica.alive and not len(replica.lane) and not len(fleet.common):
            self._steal(replica, fleet)

    def _steal(self, replica: Replica, fleet: Fleet) -> None:
        """Ask again about a call that waits for another engine, now that this one is free."""
        longest = max(fleet.engines, key=lambda r: len(r.lane))
        ticket = longest.lane.first(fleet.now)
        if ticket is None or not replica.has_room(ticket):
            return
        placement = self.policy.place(ticket, fleet.able(ticket))
        self.counters.decisions += 1
        if placement.engine is replica:
            self._try(ticket, replica, fleet, placement.reason)

    def _serve_lane(self, lane: CallQueue, fleet: Fleet) -> None:
        for replica in fleet.engines:
            if lane is replica.lane or lane is fleet.common:
                self.serve(replica, fleet)

    def died(self, replica: Replica, error: Exception) -> list[Ticket]:
        """An engine died. What waits for it is placed anew; returns what no engine is left for."""
        replica.died(error)
        fleet = self.fleets[replica.engine.model]
        fleet.refresh()
        tickets = replica.lane.take_all()
        fleet.waiting -= len(tickets)
        if fleet.engines:
            orphans = [ticket for ticket in tickets if ticket.call.only]
        else:
            orphans = tickets + fleet.common.take_all()
            fleet.waiting = 0
        for ticket in orphans:
            ticket.program.waiting -= 1
        fleet.tick()
        for ticket in tickets:
            if fleet.engines and not ticket.call.only:
                self._enqueue(ticket, fleet)
        return orphans

    def back(self, replica: Replica) -> None:
        """An engine answers again."""
        replica.alive, replica.error = True, None
        fleet = self.fleets[replica.engine.model]
        fleet.refresh()
        self.serve(replica, fleet)

    def drain(self, replica: Replica, draining: bool = True) -> None:
        """Give an engine no new programs, or again."""
        replica.draining = draining
        self.serve(replica, self.fleets[replica.engine.model])

    def _told(self, kind: Kind, ticket: Ticket, replica: Replica | None, reason: str) -> None:
        if self._tell is not None:
            engine = replica.name if replica is not None else ""
            self._tell(kind, ticket.program.id, ticket.id, engine, reason)
