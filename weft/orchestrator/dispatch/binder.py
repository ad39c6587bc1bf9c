"""Binder: which waiting call starts on which engine, and when."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.orchestrator.decisions.decision import Tell
from weft.orchestrator.dispatch.call_queue import CallQueue, before
from weft.orchestrator.dispatch.claims import Claims
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.guards.guarded_policy import GuardedPolicy
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket

if TYPE_CHECKING:
    from weft.orchestrator.causes.cause import WaitCause
    from weft.orchestrator.causes.misses import Misses

_AT_ONCE = 0.001  # seconds; what the scheduler itself takes is no wait


class Binder:
    """Binds calls to engines as the policy says, when one has room.

    What changes asks the policy as little as will do: of each queue only the head is looked
    at, once for all engines, and not at all while none has a slot. Nothing is changed before
    the decision is in, so an interruption leaves all as it was.

    Args:
        policy: decides.
        claims: what stands in the way, and may be displaced.
        counters: of what is done.
        tell: is told of every decision.
        later: has an engine looked at again at a time, for its next call may start then.
        misses: follows what engines are sent, if somebody wants to know.
        waits: is called with a fleet in which a call waits, unless the fleet is watched.
    """

    def __init__(
        self,
        policy: GuardedPolicy,
        claims: Claims,
        counters: DispatchCounters,
        tell: Tell | None,
        later: Callable[[Replica, float], None],
        waits: Callable[[Fleet], None],
        misses: Misses | None = None,
    ) -> None:
        self._later, self._waits, self._misses = later, waits, misses
        self._policy, self._claims, self._counters, self._tell = policy, claims, counters, tell
        self.fair_now = 0.0
        """The largest start tag of calls that were started."""

    def enqueue(self, ticket: Ticket, fleet: Fleet) -> None:
        """Take in a call, or one whose engine is lost; it may start at once."""
        if not fleet.engines:
            self._strand(ticket, fleet)
            return
        key, overdue, why = self._policy.order(ticket, fleet)
        replica, reason, firm = self._policy.place(ticket, fleet.able(ticket))
        key = (float(ticket.program.precedence), *key)
        # What a policy says of a call that comes again makes it wait no longer than it did before.
        if ticket.last:
            key = (math.inf, *key)
        patience = ticket.call.patience
        if ticket.overdue < overdue:
            overdue = ticket.overdue
        if patience is not None and ticket.since + patience < overdue < math.inf:
            overdue = ticket.since + patience
        ticket.key, ticket.overdue = key, overdue
        firm = firm or bool(ticket.call.only)
        queue = replica.queue if firm else fleet.common
        ticket.placement_reason, ticket.reason = reason, "others are ahead of it"
        fleet.waiting += 1
        ticket.program.waiting += 1
        if self._tell is not None:
            engine = replica.name if firm else ""
            self._tell("come", ticket.program.id, ticket.id, engine, why)
        try:
            # Only the first of its queue may start; where nobody waits it need not wait for that.
            if len(queue):
                queue.put(ticket)
                if queue.first(fleet.now) is ticket:
                    self._try(ticket, replica, fleet, reason)
            elif not self._try(ticket, replica, fleet, reason):
                queue.put(ticket)
            if ticket.queue is not None and ticket.overdue < math.inf:
                if ticket.overdue > fleet.now:
                    fleet.timer.set(ticket.overdue)
                else:
                    self.serve_overdue(fleet)
            if ticket.queue is not None and not fleet.watched:
                self._waits(fleet)
        except BaseException:
            if ticket.replica is None:
                self.leave(ticket, fleet)
            raise

    def _strand(self, ticket: Ticket, fleet: Fleet) -> None:
        """Have a call wait for an engine to come back."""
        ticket.reason = f"no engine that serves {fleet.model!r} is up"
        ticket.blame("down", fleet.now)
        ticket.key = (float(ticket.program.precedence),)  # else by arrival, whatever it was before
        fleet.waiting += 1
        ticket.program.waiting += 1
        fleet.stranded.put(ticket)
        if self._tell is not None:
            self._tell("come", ticket.program.id, ticket.id, "", ticket.reason)

    def leave(self, ticket: Ticket, fleet: Fleet) -> bool:
        """Take a call that waits out; whether it was the first, so that another may start now."""
        queue = ticket.queue
        first = queue is not None and queue.first(fleet.now) is ticket
        if queue is not None:
            queue.remove(ticket)
        fleet.waiting -= 1
        ticket.program.waiting -= 1
        return first or ticket.emptied is not None

    def take_waiting(self, fleet: Fleet) -> list[Ticket]:
        """Take out all calls that wait for engines that are there, in the order of arrival."""
        queues = (fleet.common, fleet.apart, *(replica.queue for replica in fleet.replicas))
        tickets = [ticket for queue in queues for ticket in queue.take_all()]
        fleet.waiting -= len(tickets)
        for replica in fleet.replicas:
            replica.waiting_for = None
        for ticket in tickets:
            ticket.emptied = None
            ticket.program.waiting -= 1
        return sorted(tickets, key=lambda ticket: ticket.arrival)

    def serve_behind(self, queue: CallQueue, ticket: Ticket, fleet: Fleet) -> None:
        """The call that was the first of its queue has left it."""
        if queue is fleet.common and len(queue):
            self.serve_common(fleet)
            return
        emptied, ticket.emptied = ticket.emptied, None
        for replica in fleet.engines:
            if queue is replica.queue or queue is fleet.common or replica is emptied:
                self.serve(replica)

    def serve(self, replica: Replica) -> None:
        """Start what can start now that an engine has changed."""
        fleet = replica.fleet
        if not fleet.waiting:
            return
        now = fleet.tick()
        if len(fleet.apart):
            self._serve_apart(replica, fleet)
        blocked_own = blocked_common = False
        while replica.alive and not (blocked_own and blocked_common):
            own = None if blocked_own else replica.queue.first(now)
            common = None if blocked_common else fleet.common.first(now)
            if own is None and common is None:
                break
            if common is None or (own is not None and before(own, common, now)):
                assert own is not None
                blocked_own = not self._try(own, replica, fleet, own.placement_reason)
                if blocked_own and own.overdue <= now:
                    self._empty(replica, own)
            else:
                blocked_common = not self._advance(common, fleet)
        if replica.alive and not len(replica.queue) and not len(fleet.common):
            self._steal(replica, fleet)

    def probe(self, replica: Replica) -> None:
        """Start the call that has waited longest on an engine that was busy until now.

        Calls that an engine refuses need not be those that the policy would have last.
        """
        fleet = replica.fleet
        fleet.tick()
        waits = [t for q in (replica.queue, fleet.common) if (t := q.oldest) is not None]
        if waits:
            ticket = min(waits, key=lambda t: t.arrival)
            self._try(ticket, replica, fleet, ticket.placement_reason)

    def serve_overdue(self, fleet: Fleet) -> None:
        """A call may have become overdue."""
        now = fleet.tick()
        for replica in fleet.engines:
            first = replica.queue.first(now)
            if first is not None and first.overdue <= now:
                self.serve(replica)
        self.serve_common(fleet)
        fleet.timer.set(fleet.next_overdue(now))

    def put_back(self, ticket: Ticket, fleet: Fleet) -> None:
        """The engine that emptied itself for a call is lost: another one must."""
        ticket.emptied = None
        fleet.apart.remove(ticket)
        fleet.common.put(ticket)
        self.serve_overdue(fleet)

    def serve_common(self, fleet: Fleet) -> None:
        """Start what can start of the calls that wait for any engine."""
        while (ticket := fleet.common.first(fleet.now)) is not None:
            if not self._advance(ticket, fleet):
                break

    def _advance(self, ticket: Ticket, fleet: Fleet) -> bool:
        """Place the first of those that wait for any engine; whether the next one may follow."""
        late = ticket.overdue <= fleet.now
        if not fleet.has_slot() and not (late and self._free(ticket, fleet)):
            return False
        target, reason, firm = self._policy.place(ticket, fleet.able(ticket))
        if self._try(ticket, target, fleet, reason):
            return True
        if firm:  # others need not wait with a call that now waits for one engine only
            fleet.common.remove(ticket)
            target.queue.put(ticket)
            if late:
                self._empty(target, ticket)
            return True
        return late and self._set_apart(ticket, fleet)

    def _serve_apart(self, replica: Replica, fleet: Fleet) -> None:
        """Start overdue calls on an engine that has room for them."""
        while True:
            ticket = replica.waiting_for
            if ticket is None or ticket.queue is not fleet.apart:
                ticket = fleet.apart.first(fleet.now)
            if ticket is None or replica not in fleet.able(ticket).engines:
                return
            if not self._try(ticket, replica, fleet, ticket.placement_reason):
                return

    def _free(self, ticket: Ticket, fleet: Fleet) -> list[Replica]:
        """Engines that could run a call and empty themselves for no other."""
        return [r for r in fleet.able(ticket).engines if r.empties_for in (None, ticket)]

    def _set_apart(self, ticket: Ticket, fleet: Fleet) -> bool:
        """Have one engine empty itself for an overdue call; all others go on without it.

        It is the engine that will soonest have room, as far as that is known; if another one
        has room before, the call goes there.
        """

        def lacks(replica: Replica) -> tuple[bool, int, float]:
            tokens = replica.need(ticket) - (replica.capacity - replica.reserved)
            return replica.draining, max(0, tokens), replica.in_flight / replica.concurrency

        free = self._free(ticket, fleet)
        if not free:
            return False
        chosen = min(free, key=lacks)
        if self._try(ticket, chosen, fleet, ticket.placement_reason):
            return True
        fleet.common.remove(ticket)
        fleet.apart.put(ticket)
        self._empty(chosen, ticket)
        return True

    def _empty(self, replica: Replica, ticket: Ticket) -> None:
        """Have an engine take in nothing else until an overdue call fits."""
        if replica.empties_for is None:
            replica.waiting_for, ticket.emptied = ticket, replica

    def _steal(self, replica: Replica, fleet: Fleet) -> None:
        """Ask again about a call that waits for another engine, now that this one is free."""
        longest = max(fleet.engines, key=lambda r: len(r.queue))
        ticket = longest.queue.first(fleet.now)
        if ticket is None or not replica.has_room(ticket):
            return
        target, reason, _ = self._policy.place(ticket, fleet.able(ticket))
        if target is replica:
            self._try(ticket, replica, fleet, reason)

    def _try(self, ticket: Ticket, replica: Replica, fleet: Fleet, reason: str) -> bool:
        """Start a call on an engine if there is room and it is admitted."""
        if not replica.has_room(ticket):
            return self._refuse(ticket, replica, replica.full, "busy")
        admission = self._policy.admit(ticket, replica, fleet)
        while not admission.enter and admission.displace is not None:
            # Each takes a claim of this engine, of which there are so many and no more.
            self._counters.revoked += 1
            admission.displace.displaced = True
            self._claims.release(admission.displace, f"made room for {ticket.id}")
            admission = self._policy.admit(ticket, replica, fleet)
        forced = not admission.enter and ticket.overdue <= fleet.now
        if not admission.enter and not forced:
            if admission.again is not None:
                self._ask_again(replica, admission.again, fleet.now)
            cause = "displaced" if ticket.program.displaced else "admission"
            return self._refuse(ticket, replica, admission.reason, cause)
        ticket.reason = f"{reason}; " + ("overdue" if forced else admission.reason)
        ticket.forced = forced
        self._start(ticket, replica, fleet)
        return True

    def _refuse(self, ticket: Ticket, replica: Replica, reason: str, cause: WaitCause) -> bool:
        ticket.reason = reason
        ticket.blame(cause, replica.fleet.now)
        if not ticket.refused:
            ticket.refused = True
            if self._tell is not None:
                self._tell("wait", ticket.program.id, ticket.id, replica.name, reason, cause)
        return False

    def _ask_again(self, replica: Replica, due: float, now: float) -> None:
        """Have the policy asked again at a time; at the earliest, if several are given."""
        if now < due < math.inf and not now < replica.asked_again <= due:
            replica.asked_again = due
            self._later(replica, due)

    def _start(self, ticket: Ticket, replica: Replica, fleet: Fleet) -> None:
        if ticket.queue is not None:
            ticket.queue.remove(ticket)
        fleet.waiting -= 1
        program = ticket.program
        now = ticket.bound_at = fleet.now
        waited = now - ticket.since
        program.waiting -= 1
        program.displaced = False
        program.waited += waited
        if ticket.fair_start > self.fair_now:
            self.fair_now = ticket.fair_start
        counters = self._counters
        counters.started += 1
        counters.forced += ticket.forced
        if waited > counters.longest_wait:
            counters.longest_wait = waited
        if self._misses is not None:
            self._misses.starting(ticket, replica)
        replica.start(ticket)
        if (due := replica.gate.pace(now)) is not None:
            self._later(replica, due)
        if waited >= _AT_ONCE:
            ticket.wait_cause = ticket.waited_for(now)
        if self._tell is not None:
            cause = ticket.wait_cause
            self._tell("start", program.id, ticket.id, replica.name, ticket.reason, cause)
        ticket.wake()
        emptied, ticket.emptied = ticket.emptied, None
        if emptied is not None and emptied is not replica:
            self.serve(emptied)  # it need not have emptied itself
